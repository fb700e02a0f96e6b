//! `Create`, `MapToFields`, `Filter`, `Explode`, `Flatten`, `LogForTesting`.

use super::{chain, check, fails, graph, refused};

#[tokio::test]
async fn create_makes_rows_of_anything() {
    let log = |elements: &str| chain(&format!("{{type: Create, config: {{elements: {elements}}}}}\n{{type: LogForTesting}}"));
    check(&log("[1, 2.5]"), &[r#"{"element": 1.0}"#, r#"{"element": 2.5}"#]).await;
    check(&log("[x, null]"), &[r#"{"element": "x"}"#, r#"{"element": null}"#]).await;
    check(&log("[[1, 2], [3]]"), &[r#"{"element": [1, 2]}"#, r#"{"element": [3]}"#]).await;
    check(&log("[1, {a: 2}]"), &[r#"{"element": 1, "a": null}"#, r#"{"element": null, "a": 2}"#]).await;
    let mixed = "[{a: 1, b: x}, {b: y, c: [1, null], d: {e: 1}}, {a: 3}]";
    check(
        &log(mixed),
        &[
            r#"{"a": 1, "b": "x", "c": null, "d": null}"#,
            r#"{"a": null, "b": "y", "c": [1, null], "d": {"e": 1}}"#,
            r#"{"a": 3, "b": null, "c": null, "d": null}"#,
        ],
    )
    .await;
    check(&log("[]"), &[]).await;
}

#[tokio::test]
async fn create_needs_one_type_per_field() {
    refused(
        &chain("{type: Create, config: {elements: [{a: 1}, {a: x}]}}\n{type: LogForTesting}"),
        "p.yaml:4:50: [Create] `a` is string here and integer before; give all elements one type",
    )
    .await;
}

const ROWS: &str = "{type: Create, config: {elements: [{a: 1, b: x, c: 1.5, t: true}, {a: 2, b: '', c: null, t: false}]}}";

async fn mapped(map: &str, expect: &[&str]) {
    check(&chain(&format!("{ROWS}\n{map}\n{{type: LogForTesting}}")), expect).await;
}

#[tokio::test]
async fn fields_in_the_language_generic() {
    mapped(
        "{type: MapToFields, config: {fields: {n: a, i: 389, f: 1.90216, s: '\"example\"', lt: a < c, eq: b == \"x\"}}}",
        &[],
    )
    .await;
}
