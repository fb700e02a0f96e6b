//! The component that the word count's folder carries does what its source says.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, StringArray};
use weir_guest_build::{BuildOptions, build};
use weir_model::MetricValue;
use weir_sandbox::{FlatMapInstance, OpenOptions, Sandbox, SandboxOptions};

use crate::support::repository;

/// Lines of every kind that a text may have.
fn lines() -> Vec<Option<String>> {
    let text = std::fs::read_to_string(repository().join("examples/wordcount/weirs.txt")).expect("the example's text");
    let odd = [
        "",
        " ",
        "word",
        "  two  words\t",
        "don't; naïve—café x2y 1984",
        "ALL all All aLL",
        "語 и слово ß ſ K",
        "\u{0}nul\u{7f}bell\u{7}",
        "@[`{az AZ",
        "e\u{301}clair \u{1f600}smile",
    ];
    let long = ["Long".repeat(50_000), "a ".repeat(50_000)];
    text.lines()
        .map(str::to_owned)
        .chain(odd.map(str::to_owned))
        .chain(long)
        .map(Some)
        .chain([None])
        .collect()
}

/// Words by the documented rule, byte by byte.
fn expected(lines: &[Option<String>]) -> Vec<String> {
    let mut words = Vec::new();
    for line in lines.iter().flatten() {
        for run in line
            .as_bytes()
            .split(|byte| !byte.is_ascii_alphabetic())
            .filter(|run| !run.is_empty())
        {
            words.push(run.iter().map(|byte| char::from(byte.to_ascii_lowercase())).collect());
        }
    }
    words
}

fn open(component: &[u8]) -> FlatMapInstance {
    let options = SandboxOptions {
        max_instances: 4,
        ..SandboxOptions::default()
    };
    let module = Sandbox::new(options)
        .expect("a sandbox")
        .load(component)
        .expect("a component");
    let names: Vec<_> = module
        .functions()
        .iter()
        .map(|function| function.name.clone())
        .collect();
    assert_eq!(names, ["tokenize"]);
    module
        .open_flat_map("tokenize", &OpenOptions::default())
        .expect("the function opens")
}

/// The words that a component makes of the lines, in batches of `rows`, and how many it counted.
fn words(component: &[u8], lines: &[Option<String>], rows: usize) -> (Vec<String>, i64) {
    let mut tokenize = open(component);
    let mut words = Vec::new();
    for batch in lines.chunks(rows) {
        let column: ArrayRef = Arc::new(StringArray::from(batch.to_vec()));
        let mapped = tokenize.call(&[column], batch.len()).expect("lines are taken");
        assert!(mapped.errors.is_empty());
        for emitted in mapped.emitted {
            assert_eq!(emitted.output, 0);
            let column = emitted.rows.column_by_name("word").expect("a column of words");
            words.extend(
                column
                    .as_string::<i32>()
                    .iter()
                    .map(|word| word.expect("no nulls").to_owned()),
            );
        }
    }
    match tokenize.drain().metrics.get("words") {
        Some(MetricValue::Counter { value }) => (words, *value),
        other => panic!("a counter of words, not {other:?}"),
    }
}

#[test]
fn the_committed_component_does_what_its_source_does() {
    let example = repository().join("examples/wordcount");
    let committed = std::fs::read(example.join("tokenizer.wasm")).expect("the committed component");
    let options = BuildOptions::for_tests(env!("CARGO_TARGET_TMPDIR"));
    let built = build(&example.join("tokenizer"), &options)
        .unwrap_or_else(|error| panic!("{error}"))
        .bytes;

    assert_eq!(
        open(&committed).function(),
        open(&built).function(),
        "they describe themselves alike"
    );
    let lines = lines();
    let expected = expected(&lines);
    assert!(expected.len() > 50_000);
    for rows in [1, 7, lines.len()] {
        let (by_committed, counted) = words(&committed, &lines, rows);
        assert!(
            by_committed == expected,
            "the committed component follows the rule, in batches of {rows}"
        );
        assert_eq!(counted, expected.len() as i64);
        assert_eq!(
            words(&built, &lines, rows),
            (by_committed, counted),
            "the source does the same"
        );
    }
}
