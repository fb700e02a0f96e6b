//! `error_handling`, `StripErrorMetadata`.

use super::{chain, check, fails, graph, refused};

const ROWS: &str = "[{a: 1, b: 0, l: [1]}, {a: 2, b: 4, l: null}, {a: 3, b: 0, l: [5, 6]}, {a: 4, b: 8, l: []}]";

/// A transform with an error output, whose rows are both logged.
fn handled(transform: &str, config: &str) -> String {
    graph(&format!(
        "{{type: Create, config: {{elements: {ROWS}}}}}\n\
         {{type: {transform}, name: T, input: Create, config: {config}}}\n\
         {{type: LogForTesting, name: Good, input: T, config: {{prefix: 'good '}}}}\n\
         {{type: MapToFields, name: Bad, input: T.bad, config: {{fields: {{element: element, msg: msg}}}}}}\n\
         {{type: LogForTesting, name: LogBad, input: Bad, config: {{prefix: 'bad '}}}}"
    ))
}

const DIVIDED: &str = "{language: sql, fields: {q: 12 / b}, error_handling: {output: bad}}";

#[tokio::test]
async fn rows_that_cannot_be_mapped_go_to_the_error_output() {
    let message = "division by zero; guard the divisor with NULLIF or CASE";
    check(
        &handled("MapToFields", DIVIDED),
        &[
            r#"good {"q": 3}"#,
            r#"good {"q": 1}"#,
            &format!(r#"bad {{"element": {{"a": 1, "b": 0, "l": [1]}}, "msg": "{message}"}}"#),
            &format!(r#"bad {{"element": {{"a": 3, "b": 0, "l": [5, 6]}}, "msg": "{message}"}}"#),
        ],
    )
    .await;
    let plain = chain(&format!(
        "{{type: Create, config: {{elements: {ROWS}}}}}\n\
         {{type: MapToFields, config: {{language: sql, fields: {{q: 12 / b}}}}}}\n{{type: LogForTesting}}"
    ));
    fails(&plain, "division_by_zero", message).await;
}

#[tokio::test]
async fn rows_that_cannot_be_filtered_go_to_the_error_output() {
    check(
        &handled("Filter", "{language: sql, keep: '12 / b > 1', error_handling: {output: bad}}"),
        &[
            r#"good {"a": 2, "b": 4, "l": null}"#,
            r#"bad {"element": {"a": 1, "b": 0, "l": [1]}, "msg": "division by zero; guard the divisor with NULLIF or CASE"}"#,
            r#"bad {"element": {"a": 3, "b": 0, "l": [5, 6]}, "msg": "division by zero; guard the divisor with NULLIF or CASE"}"#,
        ],
    )
    .await;
}

#[tokio::test]
async fn rows_that_cannot_be_exploded_go_to_the_error_output() {
    check(
        &handled("Explode", "{fields: l, error_handling: {output: bad}}"),
        &[
            r#"good {"a": 1, "b": 0, "l": 1}"#,
            r#"good {"a": 3, "b": 0, "l": 5}"#,
            r#"good {"a": 3, "b": 0, "l": 6}"#,
            r#"bad {"element": {"a": 2, "b": 4, "l": null}, "msg": "`l` is null, so it has no elements to explode"}"#,
        ],
    )
    .await;
}

#[tokio::test]
async fn a_comparison_without_an_order_is_an_error_of_its_row() {
    let yaml = graph(
        "{type: Create, config: {elements: [{a: 1}, {a: null}, {a: 3}]}}\n\
         {type: Filter, input: Create, config: {keep: a < 2, error_handling: {output: bad}}}\n\
         {type: LogForTesting, name: Good, input: Filter}\n\
         {type: StripErrorMetadata, input: Filter.bad}\n\
         {type: LogForTesting, name: Bad, input: StripErrorMetadata, config: {prefix: 'bad '}}",
    );
    check(&yaml, &[r#"{"a": 1}"#, r#"bad {"a": null}"#]).await;
}

#[tokio::test]
async fn only_the_error_output_may_be_read() {
    let yaml = graph(&format!(
        "{{type: Create, config: {{elements: {ROWS}}}}}\n\
         {{type: MapToFields, input: Create, config: {DIVIDED}}}\n\
         {{type: StripErrorMetadata, input: MapToFields.bad}}\n\
         {{type: LogForTesting, input: StripErrorMetadata}}"
    ));
    check(
        &yaml,
        &[r#"{"a": 1, "b": 0, "l": [1]}"#, r#"{"a": 3, "b": 0, "l": [5, 6]}"#],
    )
    .await;
}

#[tokio::test]
async fn many_errors_are_told_from_many_good_rows() {
    let elements: Vec<String> = (0..3000).map(|n| format!("{{n: {n}}}")).collect();
    let yaml = graph(&format!(
        "{{type: Create, config: {{elements: [{}]}}}}\n\
         {{type: MapToFields, input: Create, config: {{language: sql, fields: {{n: n, q: 1 / (n % 3)}}, \
         error_handling: {{output: bad}}}}}}\n\
         {{type: Combine, name: Good, input: MapToFields, config: {{group_by: [], combine: {{n: count, q: sum}}}}}}\n\
         {{type: StripErrorMetadata, input: MapToFields.bad}}\n\
         {{type: Combine, name: Bad, input: StripErrorMetadata, config: {{group_by: [], combine: \
         {{n: count, s: {{value: n, fn: sum}}}}}}}}\n\
         {{type: LogForTesting, name: A, input: Good}}\n\
         {{type: LogForTesting, name: B, input: Bad, config: {{prefix: 'bad '}}}}",
        elements.join(", ")
    ));
    // Of three numbers one fails, one gives 1 and one gives 0.
    check(
        &yaml,
        &[r#"{"n": 2000, "q": 1000}"#, r#"bad {"n": 1000, "s": 1498500}"#],
    )
    .await;
}

#[tokio::test]
async fn too_many_errors_fail_the_run() {
    let yaml = |threshold: &str| {
        handled(
            "MapToFields",
            &format!(
                "{{language: sql, fields: {{q: 12 / b}}, error_handling: {{output: bad, threshold: {threshold}}}}}"
            ),
        )
    };
    fails(
        &yaml("0.4"),
        "too_many_errors",
        "2 of 4 records failed, more than the threshold 0.4 of error_handling allows; correct the records or raise the \
         threshold",
    )
    .await;
    for threshold in ["0.5", "1"] {
        let driver = crate::driver::Driver::new(crate::driver::MEMORY_BYTES);
        let run = super::run(&driver, &yaml(threshold)).await;
        assert_eq!(super::logged(&run).len(), 4);
    }
}

#[tokio::test]
async fn the_error_output_of_logging_has_no_rows() {
    let yaml = graph(
        "{type: Create, config: {elements: [{a: 1}]}}\n\
         {type: LogForTesting, name: L, input: Create, config: {error_handling: {output: bad}}}\n\
         {type: AssertEqual, input: L.bad, config: {elements: []}}",
    );
    check(&yaml, &[r#"{"a": 1}"#]).await;
}

#[tokio::test]
async fn metadata_is_stripped_from_error_outputs_only() {
    let stripped = |elements: &str| {
        chain(&format!(
            "{{type: Create, config: {{elements: {elements}}}}}\n{{type: StripErrorMetadata}}\n{{type: LogForTesting}}"
        ))
    };
    refused(
        &stripped("[{a: 1}]").replace("{type: Strip", "«{type: Strip"),
        "[StripErrorMetadata] the input is no error output: it has none of the fields `failed_row`, \
         `element`, `record`; name one, such as `input: Transform.errors`",
    )
    .await;
    check(&stripped("[{failed_row: {x: 1}, error: e}]"), &[r#"{"x": 1}"#]).await;
    check(&stripped("[1]"), &[r#"{"element": 1}"#]).await;
}

#[tokio::test]
async fn expressions_over_several_rows_have_no_failing_row() {
    refused(
        &handled(
            "MapToFields",
            "{language: sql, fields: {q: «sum(b)}, error_handling: {output: bad}}",
        ),
        "[T] error_handling is about single rows, and this expression is about several",
    )
    .await;
}

#[tokio::test]
async fn values_without_an_order_are_errors_of_all_rows() {
    let yaml = graph(
        "{type: Create, config: {elements: [{a: 1, b: x}, {a: 0, b: y}]}}\n\
         {type: Filter, input: Create, config: {keep: a < b, error_handling: {output: bad}}}\n\
         {type: AssertEqual, input: Filter, config: {elements: []}}\n\
         {type: StripErrorMetadata, input: Filter.bad}\n\
         {type: LogForTesting, input: StripErrorMetadata}",
    );
    check(&yaml, &[r#"{"a": 1, "b": "x"}"#, r#"{"a": 0, "b": "y"}"#]).await;
}
