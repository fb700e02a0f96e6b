//! Functions of Wasm components in pipelines.

use std::path::Path;
use std::sync::LazyLock;

use weir_guest_build::BuildOptions;
use weir_model::{Digest, FailureKind, Job, MetricValue, layout};

use super::{chain, graph, logged, marked, submission};
use crate::driver::{Driver, Failed, MEMORY_BYTES, Run};

static COMPONENT: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let guest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sandbox/tests/guests/kinds");
    let built = weir_guest_build::build(&guest, &BuildOptions::for_tests(env!("CARGO_TARGET_TMPDIR")));
    built.unwrap_or_else(|error| panic!("{error}")).bytes
});

const PROVIDER: &str =
    "providers:\n  - type: wasm\n    config:\n      path: kinds.wasm\n    transforms:\n      Words: words\n";

async fn try_run(driver: &Driver, yaml: &str) -> Result<Run, Failed> {
    let digest = Digest::of(&COMPONENT);
    driver
        .storage
        .put(
            &layout::module_key(&Default::default(), &digest),
            COMPONENT.clone().into(),
        )
        .await
        .unwrap();
    let mut submission = submission(driver.folder(), yaml);
    submission.modules.insert("kinds.wasm".to_owned(), digest);
    driver.run(&submission).await
}

async fn run(yaml: &str) -> Run {
    let driver = Driver::new(MEMORY_BYTES);
    match try_run(&driver, yaml).await {
        Ok(run) => run,
        Err(Failed::Plan(error)) => panic!("{error}\n{yaml}"),
        Err(Failed::Task(task, failure)) => panic!("{task:?}: {:?}\n{yaml}", failure.failure),
    }
}

async fn check(yaml: &str, expect: &[&str]) {
    let mut expect: Vec<&str> = expect.to_vec();
    expect.sort_unstable();
    assert_eq!(logged(&run(yaml).await), expect, "{yaml}");
}

/// A pipeline is refused with this message about the place that `«` marks.
async fn refused(yaml: &str, expect: &str) {
    let driver = Driver::new(MEMORY_BYTES);
    let (yaml, place) = marked(yaml);
    match try_run(&driver, &yaml).await {
        Err(Failed::Plan(error)) => assert_eq!(error.to_string(), format!("{place}{expect}"), "{yaml}"),
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("it ran\n{yaml}"),
    }
}

fn mapped(elements: &str, fields: &str, more: &str) -> String {
    chain(&format!(
        "{{type: Create, config: {{elements: {elements}}}}}\n\
         {{type: MapToFields, config: {{language: wasm, fields: {fields}{more}}}}}\n{{type: LogForTesting}}"
    ))
}

#[tokio::test]
async fn scalar_functions_make_fields() {
    check(
        &mapped(
            "[{a: 1, b: 2, text: ' hi '}, {a: 3, b: 4, text: 'Yo'}]",
            "{a: a, sum: {path: kinds.wasm, name: add}, twice: {path: kinds.wasm, name: add, args: [b, b]}, \
             loud: {path: kinds.wasm, name: shout}}",
            "",
        ),
        &[
            r#"{"a": 1, "sum": 3, "twice": 4, "loud": " HI "}"#,
            r#"{"a": 3, "sum": 7, "twice": 8, "loud": "YO"}"#,
        ],
    )
    .await;
    let filtered = chain(
        "{type: Create, config: {elements: [{x: true, y: true}, {x: true, y: false}]}}\n\
         {type: Filter, config: {language: wasm, keep: {path: kinds.wasm, name: and_then, args: [x, y]}}}\n\
         {type: LogForTesting}",
    );
    check(&filtered, &[r#"{"x": true, "y": true}"#]).await;
}

#[tokio::test]
async fn rows_that_a_function_refuses_or_traps_on_go_to_the_error_output() {
    for (function, args, elements) in [
        ("parse", "[t]", "[{t: '1', n: 1}, {t: x, n: 1}, {t: '3', n: 1}]"),
        ("divide", "[m, n]", "[{m: 1, n: 1}, {m: 2, n: 0}, {m: 3, n: 1}]"),
    ] {
        let yaml = graph(&format!(
            "{{type: Create, config: {{elements: {elements}}}}}\n\
             {{type: MapToFields, name: M, input: Create, config: {{language: wasm, fields: {{x: {{path: kinds.wasm, \
             name: {function}, args: {args}}}}}, error_handling: {{output: bad}}}}}}\n\
             {{type: LogForTesting, name: Good, input: M}}\n\
             {{type: LogForTesting, name: Bad, input: M.bad, config: {{prefix: 'bad '}}}}"
        ));
        // A panic of the guest is in the log too.
        let lines: Vec<_> = logged(&run(&yaml).await)
            .into_iter()
            .filter(|line| line.contains('{'))
            .collect();
        assert_eq!(lines.len(), 3, "{lines:?}");
        assert!(lines[0].starts_with(r#"bad {"element": {""#), "{}", lines[0]);
        assert!(lines[0].contains(function), "{}", lines[0]);
        assert_eq!(lines[1..], [r#"{"x": 1}"#, r#"{"x": 3}"#]);
        let plain = mapped(
            elements,
            &format!("{{x: {{path: kinds.wasm, name: {function}, args: {args}}}}}"),
            "",
        );
        let driver = Driver::new(MEMORY_BYTES);
        let Err(Failed::Task(_, failure)) = try_run(&driver, &plain).await else {
            panic!("it ran")
        };
        assert_eq!(failure.failure.kind, FailureKind::User);
        assert_eq!(failure.failure.function.as_deref(), Some(function));
    }
}

#[tokio::test]
async fn aggregate_functions_combine() {
    let yaml = chain(
        "{type: Create, config: {elements: [{k: a, value: 3.0, weight: 1.0}, {k: a, value: 1.0, weight: 3.0}, \
         {k: b, value: 5.0, weight: null}, {k: a, value: 2.0, weight: 1.0}]}}\n\
         {type: Combine, config: {language: wasm, group_by: k, combine: {m: {value: value, \
         fn: {path: kinds.wasm, name: median}}, w: {value: value, fn: {path: kinds.wasm, name: weighted_mean}}}}}\n\
         {type: LogForTesting}",
    );
    check(
        &yaml,
        &[r#"{"k": "a", "m": 2.0, "w": 1.6}"#, r#"{"k": "b", "m": 5.0, "w": 5.0}"#],
    )
    .await;
}

const LINES: &str = "{type: Create, config: {elements: [{line: 1, text: Some words}, {line: 2, text: ' '}, \
                     {line: 3, text: go STOP now}, {line: 4, text: more}]}}";

#[tokio::test]
async fn flat_maps_have_outputs_and_an_error_output() {
    let yaml = graph(&format!(
        "{LINES}\n\
         {{type: Words, name: W, input: Create, config: {{error_handling: {{output: bad}}}}}}\n\
         {{type: LogForTesting, name: A, input: W}}\n\
         {{type: LogForTesting, name: B, input: W.empty, config: {{prefix: 'empty '}}}}\n\
         {{type: StripErrorMetadata, input: W.bad}}\n\
         {{type: LogForTesting, name: C, input: StripErrorMetadata, config: {{prefix: 'bad '}}}}"
    )) + PROVIDER;
    let run = run(&yaml).await;
    let lines: Vec<_> = logged(&run).into_iter().filter(|line| line.contains('{')).collect();
    assert_eq!(
        lines,
        [
            r#"bad {"line": 3, "text": "go STOP now"}"#,
            r#"empty {"line": 2}"#,
            r#"{"word": "more", "line": 4}"#,
            r#"{"word": "some", "line": 1}"#,
            r#"{"word": "words", "line": 1}"#,
        ]
    );
    let words: Vec<_> = run
        .outputs
        .iter()
        .flatten()
        .filter_map(|output| output.metrics.user.get("words.words"))
        .collect();
    assert_eq!(
        words,
        [&MetricValue::Counter { value: 3 }],
        "the function ran once for all outputs"
    );
}

#[tokio::test]
async fn a_flat_map_that_only_gives_its_main_output() {
    let yaml = chain(&format!(
        "{LINES}\n{{type: Filter, config: {{keep: line == 1}}}}\n{{type: Words}}\n{{type: LogForTesting}}"
    )) + PROVIDER;
    check(
        &yaml,
        &[r#"{"word": "some", "line": 1}"#, r#"{"word": "words", "line": 1}"#],
    )
    .await;
    let unread = chain(&format!(
        "{LINES}\n{{type: Filter, config: {{keep: line == 2}}}}\n{{type: Words}}"
    )) + PROVIDER;
    check(&unread, &["line 2 is empty"]).await;
    let failing = chain(&format!("{LINES}\n{{type: Words}}\n{{type: LogForTesting}}")) + PROVIDER;
    let driver = Driver::new(MEMORY_BYTES);
    let Err(Failed::Task(_, failure)) = try_run(&driver, &failing).await else {
        panic!("it ran")
    };
    assert!(
        failure.failure.message.contains("line 3 says stop"),
        "{}",
        failure.failure.message
    );
    assert_eq!(failure.failure.function.as_deref(), Some("words"));
}

#[tokio::test]
async fn too_many_refused_rows_fail_the_run() {
    let yaml = |threshold: &str| {
        graph(&format!(
            "{LINES}\n\
             {{type: Words, input: Create, config: {{error_handling: {{output: bad, threshold: {threshold}}}}}}}\n\
             {{type: AssertEqual, input: Words.bad, config: {{elements: [{{element: {{line: 3, text: go STOP now}}, \
             msg: line 3 says stop}}]}}}}"
        )) + PROVIDER
    };
    run(&yaml("0.25")).await;
    let driver = Driver::new(MEMORY_BYTES);
    let Err(Failed::Task(_, failure)) = try_run(&driver, &yaml("0.2")).await else {
        panic!("it ran")
    };
    assert_eq!(failure.failure.code, "too_many_errors");
}

#[tokio::test]
async fn what_a_component_does_not_have_is_refused() {
    refused(
        &mapped("[{a: 1, b: 2}]", "{x: {path: kinds.wasm, name: «ad}}", ""),
        "[MapToFields] `kinds.wasm` has no function `ad`; did you mean `add`?",
    )
    .await;
    refused(
        &mapped("[{a: 1, c: 2}]", "{x: {path: kinds.wasm, name: «add}}", ""),
        "[MapToFields] the input has no field `b`; the fields are `a`, `c`",
    )
    .await;
    refused(
        &mapped("[{a: 1}]", "{x: {path: «other.wasm, name: add}}", ""),
        "[MapToFields] the component `other.wasm` did not come with the job; is the file there?",
    )
    .await;
    let yaml = graph(&format!(
        "{LINES}\n{{type: Words, input: Create}}\n{{type: LogForTesting, input: «Words.emty}}"
    )) + PROVIDER;
    refused(&yaml, "[Words] `Words` has no output `emty`; did you mean `empty`?").await;
}

#[tokio::test]
async fn the_word_count_of_the_examples() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap();
    let driver = Driver::new(MEMORY_BYTES);
    let component = std::fs::read(root.join("examples/wordcount/tokenizer.wasm")).unwrap();
    let digest = Digest::of(&component);
    driver
        .storage
        .put(&layout::module_key(&Default::default(), &digest), component.into())
        .await
        .unwrap();
    let yaml = std::fs::read_to_string(root.join("examples/wordcount/pipeline.yaml")).unwrap();
    let mut submission = submission(&root, &yaml);
    let output = driver.folder().join("out/counts").to_str().unwrap().to_owned();
    submission.job = Job::Pipeline {
        yaml,
        file: "p.yaml".to_owned(),
        params: [("output".to_owned(), output)].into(),
    };
    submission.modules.insert("tokenizer.wasm".to_owned(), digest);
    let run = driver
        .run(&submission)
        .await
        .unwrap_or_else(|failed| panic!("{failed:?}"));
    let mut counts: Vec<(String, u64)> = super::texts(&run)
        .iter()
        .flat_map(|(_, text)| text.lines().skip(1))
        .map(|line| {
            let (word, count) = line.split_once(',').unwrap();
            (word.to_owned(), count.parse().unwrap())
        })
        .collect();
    counts.sort();
    let text = std::fs::read_to_string(root.join("examples/wordcount/weirs.txt")).unwrap();
    let mut expect = std::collections::BTreeMap::new();
    for word in text
        .split(|c: char| !c.is_ascii_alphabetic())
        .filter(|word| !word.is_empty())
    {
        *expect.entry(word.to_ascii_lowercase()).or_default() += 1;
    }
    assert_eq!(counts, expect.into_iter().collect::<Vec<(String, u64)>>());
}
