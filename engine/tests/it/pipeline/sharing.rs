//! What is read several times is computed once; what nobody reads is run.

use super::{check, graph, logged, run, stages, texts};
use crate::driver::{Driver, MEMORY_BYTES};

const NOTED: &str = "{type: Create, config: {elements: [{a: 1}, {a: 2}]}}\n\
                     {type: LogForTesting, name: Noted, input: Create}\n";

/// However many read `Noted`, its two rows are logged once.
async fn once(readers: &str, expect_stages: [usize; 3]) {
    let driver = Driver::new(MEMORY_BYTES);
    let run = run(&driver, &graph(&format!("{NOTED}{readers}"))).await;
    assert_eq!(logged(&run), [r#"{"a": 1}"#, r#"{"a": 2}"#], "{readers}");
    assert_eq!(stages(&run), expect_stages, "{readers}");
}

#[tokio::test]
async fn an_output_is_computed_once_for_all_its_readers() {
    once("", [0, 0, 1]).await;
    once(
        "{type: WriteToCsv, name: X, input: Noted, config: {path: x}}\n\
         {type: WriteToJson, name: Y, input: Noted, config: {path: y}}",
        [1, 2, 0],
    )
    .await;
    once(
        "{type: Filter, name: X, input: Noted, config: {keep: a > 1}}\n\
         {type: Filter, name: Y, input: Noted, config: {keep: a < 1}}\n\
         {type: WriteToText, input: [X, Y], config: {path: x}}",
        [1, 1, 0],
    )
    .await;
    once(
        "{type: WriteToText, input: [Noted, Noted], config: {path: x}}",
        [1, 1, 0],
    )
    .await;
    once("{type: MapToFields, input: Noted, config: {fields: {b: a}}}", [0, 0, 1]).await;
}

#[tokio::test]
async fn a_join_with_itself_reads_twice_and_computes_once() {
    let driver = Driver::new(MEMORY_BYTES);
    let yaml = graph(&format!(
        "{NOTED}{{type: Join, input: {{x: Noted, y: Noted}}, config: {{equalities: a}}}}\n\
         {{type: WriteToCsv, input: Join, config: {{path: x}}}}"
    ));
    let run = run(&driver, &yaml).await;
    assert_eq!(logged(&run).len(), 2);
    let rows: usize = texts(&run).iter().map(|(_, text)| text.lines().count() - 1).sum();
    assert_eq!(rows, 2);
}

#[tokio::test]
async fn error_outputs_share_the_work_too() {
    let driver = Driver::new(MEMORY_BYTES);
    let yaml = graph(&format!(
        "{NOTED}{{type: Filter, input: Noted, config: {{language: sql, keep: 1 / (a - 1) > 0, error_handling: {{output: bad}}}}}}\n\
         {{type: WriteToJson, name: Good, input: Filter, config: {{path: good}}}}\n\
         {{type: WriteToCsv, name: GoodToo, input: Filter, config: {{path: too}}}}\n\
         {{type: WriteToJson, name: Bad, input: Filter.bad, config: {{path: bad}}}}"
    ));
    let run = run(&driver, &yaml).await;
    assert_eq!(logged(&run).len(), 2);
    assert_eq!(stages(&run), [1, 3, 0]);
}

#[tokio::test]
async fn what_nobody_reads_is_run() {
    let yaml = graph(
        "{type: Create, config: {elements: [{a: 1}]}}\n\
         {type: LogForTesting, name: X, input: Create}\n\
         {type: LogForTesting, name: Y, input: Create, config: {prefix: 'y '}}\n\
         {type: LogForTesting, name: Z, input: X, config: {prefix: 'z '}}",
    );
    check(&yaml, &[r#"{"a": 1}"#, r#"y {"a": 1}"#, r#"z {"a": 1}"#]).await;
}

#[tokio::test]
async fn random_values_are_made_once() {
    let driver = Driver::new(MEMORY_BYTES);
    let rows: Vec<_> = (0..200).map(|n| n.to_string()).collect();
    let yaml = graph(&format!(
        "{{type: Create, config: {{elements: [{}]}}}}\n\
         {{type: MapToFields, name: R, input: Create, config: {{language: sql, fields: {{r: random()}}}}}}\n\
         {{type: Filter, name: Large, input: R, config: {{keep: r > 0.5}}}}\n\
         {{type: MapToFields, name: Twice, input: Large, config: {{language: sql, fields: {{a: r, b: r + 0}}}}}}\n\
         {{type: WriteToCsv, input: Twice, config: {{path: x, header: false}}}}",
        rows.join(", ")
    ));
    let run = run(&driver, &yaml).await;
    let text: String = texts(&run).into_iter().map(|(_, text)| text).collect();
    assert!(text.lines().count() > 50, "{text}");
    for line in text.lines() {
        let (a, b) = line.split_once(',').unwrap();
        assert_eq!(a, b, "one value, used twice");
        assert!(a.parse::<f64>().unwrap() > 0.5, "the value that was filtered: {a}");
    }
}

#[tokio::test]
async fn stages_name_the_transforms_that_they_do() {
    let driver = Driver::new(MEMORY_BYTES);
    let yaml = graph(&format!(
        "{NOTED}{{type: Filter, name: F, input: Noted, config: {{keep: a > 1}}}}\n\
         {{type: WriteToCsv, name: X, input: F, config: {{path: x}}}}\n\
         {{type: WriteToCsv, name: Y, input: Noted, config: {{path: y}}}}"
    ));
    let run = run(&driver, &yaml).await;
    let named: Vec<_> = run
        .graph
        .stages
        .iter()
        .map(|stage| stage.transforms.join(" "))
        .collect();
    assert_eq!(named, ["Create Noted", "F X", "Y"]);
}

#[tokio::test]
async fn names_of_transforms_may_be_anything() {
    let yaml = graph(
        "{type: Create, name: 'a \"b`.c', config: {elements: [{a: 1}]}}\n\
         {type: Filter, name: x/y, input: 'a \"b`.c', config: {keep: a > 0}}\n\
         {type: LogForTesting, name: Ä, input: 'x/y'}\n\
         {type: LogForTesting, name: second, input: 'x/y'}",
    );
    check(&yaml, &[r#"{"a": 1}"#, r#"{"a": 1}"#]).await;
}
