//! `Join` and `Sql`.

use super::{check, graph, refused, run, stages};
use crate::driver::{Driver, MEMORY_BYTES};

const INPUTS: &str = "{type: Create, name: People, config: {elements: [{id: 1, name: ann}, {id: 2, name: bob}, \
                      {id: null, name: nil}]}}\n\
                      {type: Create, name: Cities, config: {elements: [{id: 1, city: rome}, {id: 3, city: oslo}, \
                      {id: null, city: none}]}}\n";

fn joined(config: &str) -> String {
    graph(&format!(
        "{INPUTS}{{type: Join, input: {{p: People, c: Cities}}, config: {config}}}\n{{type: LogForTesting, input: Join}}"
    ))
}

const ANN: &str = r#"{"id": 1, "name": "ann", "id0": 1, "city": "rome"}"#;
const BOB: &str = r#"{"id": 2, "name": "bob", "id0": null, "city": null}"#;
const NIL: &str = r#"{"id": null, "name": "nil", "id0": null, "city": null}"#;
const OSLO: &str = r#"{"id": null, "name": null, "id0": 3, "city": "oslo"}"#;
const NONE: &str = r#"{"id": null, "name": null, "id0": null, "city": "none"}"#;

#[tokio::test]
async fn all_kinds_of_joins_of_two() {
    check(&joined("{equalities: id}"), &[ANN]).await;
    check(&joined("{type: inner, equalities: [{p: id, c: id}]}"), &[ANN]).await;
    check(&joined("{type: left, equalities: id}"), &[ANN, BOB, NIL]).await;
    check(&joined("{type: right, equalities: id}"), &[ANN, OSLO, NONE]).await;
    check(&joined("{type: outer, equalities: id}"), &[ANN, BOB, NIL, OSLO, NONE]).await;
    check(&joined("{type: {outer: [p]}, equalities: id}"), &[ANN, BOB, NIL]).await;
    check(&joined("{type: {outer: [c]}, equalities: id}"), &[ANN, OSLO, NONE]).await;
}

#[tokio::test]
async fn fields_are_chosen_and_renamed() {
    check(
        &joined("{equalities: id, fields: {c: [city], p: {who: name, key: id}}}"),
        &[r#"{"city": "rome", "who": "ann", "key": 1}"#],
    )
    .await;
    check(
        &joined("{equalities: id, fields: {c: [id]}}"),
        &[r#"{"id": 1, "id0": 1, "name": "ann"}"#],
    )
    .await;
}

#[tokio::test]
async fn three_inputs() {
    let yaml = |config: &str| {
        graph(&format!(
            "{INPUTS}{{type: Create, name: Jobs, config: {{elements: [{{who: ann, job: cook}}, {{who: eve, job: spy}}]}}}}\n\
             {{type: Join, input: {{p: People, c: Cities, j: Jobs}}, config: {config}}}\n\
             {{type: LogForTesting, input: Join}}"
        ))
    };
    let equalities = "equalities: [{p: id, c: id}, {p: name, j: who}]";
    check(
        &yaml(&format!("{{{equalities}, fields: {{p: [name], c: [city], j: [job]}}}}")),
        &[r#"{"name": "ann", "city": "rome", "job": "cook"}"#],
    )
    .await;
    check(
        &yaml(&format!(
            "{{type: {{outer: [p]}}, {equalities}, fields: {{p: [name], c: [city], j: [job]}}}}"
        )),
        &[r#"{"name": "ann", "city": "rome", "job": "cook"}"#],
    )
    .await;
    check(
        &yaml(&format!(
            "{{type: outer, {equalities}, fields: {{p: [name], c: [city], j: [job]}}}}"
        )),
        &[
            r#"{"name": "ann", "city": "rome", "job": "cook"}"#,
            r#"{"name": "bob", "city": null, "job": null}"#,
            r#"{"name": "nil", "city": null, "job": null}"#,
            r#"{"name": null, "city": "oslo", "job": null}"#,
            r#"{"name": null, "city": "none", "job": null}"#,
            r#"{"name": null, "city": null, "job": "spy"}"#,
        ],
    )
    .await;
}

#[tokio::test]
async fn what_cannot_be_joined_is_refused() {
    refused(
        &joined("{equalities: [{p: id, c: «idd}]}"),
        "[Join] the input has no field `idd`; did you mean `id`?",
    )
    .await;
    refused(
        &joined("{equalities: [{p: name, c: «id}]}"),
        "[Join] `p.name` is string and `c.id` is integer; they cannot be equal",
    )
    .await;
    refused(
        &joined("{equalities: id, fields: {p: [«nam]}}"),
        "[Join] the input has no field `nam`; did you mean `name`?",
    )
    .await;
}

#[tokio::test]
async fn queries_over_inputs() {
    let single = |query: &str| {
        graph(&format!(
            "{INPUTS}{{type: Sql, input: People, config: {{query: \"{query}\"}}}}\n{{type: LogForTesting, input: Sql}}\n\
             {{type: AssertEqual, input: Cities, config: {{elements: [{{id: 1, city: rome}}, {{id: 3, city: oslo}}, {{city: none}}]}}}}"
        ))
    };
    check(
        &single("SELECT name, id * 2 AS two FROM PCOLLECTION WHERE id > 1"),
        &[r#"{"name": "bob", "two": 4}"#],
    )
    .await;
    check(
        &single("SELECT COUNT(*) AS n, MAX(`name`) AS m FROM PCOLLECTION"),
        &[r#"{"n": 3, "m": "nil"}"#],
    )
    .await;
    let both = graph(&format!(
        "{INPUTS}{{type: Sql, input: {{p: People, c: Cities}}, config: {{query: \"SELECT p.name, c.city FROM p JOIN c ON \
         p.id = c.id ORDER BY 1 LIMIT 5\"}}}}\n{{type: LogForTesting, input: Sql}}"
    ));
    check(&both, &[r#"{"name": "ann", "city": "rome"}"#]).await;
    let marked = |query: &str| single(query).replace(&format!("\"{query}"), &format!("«\"{query}"));
    refused(
        &marked("SELECT nam FROM PCOLLECTION"),
        "[Sql] the input has no field `nam`; did you mean `name`?",
    )
    .await;
    refused(
        &marked("DROP TABLE PCOLLECTION"),
        "[Sql] this is no query; write a SELECT",
    )
    .await;
}

#[tokio::test]
async fn columns_without_a_name_of_their_own_get_one() {
    let yaml = |query: &str| {
        graph(&format!(
            "{INPUTS}{{type: Sql, input: {{p: People, c: Cities}}, config: {{query: \"{query}\"}}}}\n\
             {{type: LogForTesting, input: Sql}}"
        ))
    };
    let joined = "FROM p JOIN c ON p.id = c.id";
    check(&yaml(&format!("SELECT * {joined}")), &[ANN]).await;
    check(
        &yaml(&format!("SELECT p.id, UPPER(name), c.*, COUNT(*) OVER () {joined}")),
        &[r#"{"id": 1, "EXPR$1": "ANN", "id0": 1, "city": "rome", "EXPR$4": 1}"#],
    )
    .await;
    check(
        &yaml("SELECT COUNT(*), MAX(p.id) AS m FROM p, c WHERE p.id > 1 AND city = 'oslo'"),
        &[r#"{"EXPR$0": 1, "m": 2}"#],
    )
    .await;
}

#[tokio::test]
async fn an_input_that_a_query_reads_twice_is_computed_once() {
    let driver = Driver::new(MEMORY_BYTES);
    let yaml = graph(&format!(
        "{INPUTS}{{type: LogForTesting, name: Once, input: People}}\n\
         {{type: Sql, input: Once, config: {{query: \"SELECT a.name FROM PCOLLECTION a, PCOLLECTION b \
         WHERE a.id = b.id\"}}}}\n\
         {{type: WriteToText, input: Sql, config: {{path: out}}}}\n\
         {{type: WriteToCsv, input: Cities, config: {{path: other}}}}"
    ));
    let run = run(&driver, &yaml).await;
    assert_eq!(super::logged(&run).len(), 3, "each row is logged once");
    assert!(stages(&run)[0] >= 1);
    let text: String = super::texts(&run)
        .into_iter()
        .filter(|(name, _)| name.starts_with("out"))
        .map(|(_, text)| text)
        .collect();
    let mut names: Vec<_> = text.lines().collect();
    names.sort_unstable();
    assert_eq!(names, ["ann", "bob"]);
}
