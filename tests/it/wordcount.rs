//! The example that newcomers run first.

use std::collections::BTreeMap;
use std::process::Command;

use crate::support::{Place, repository};

/// Counts by the shell's own tools, with the example's rule: a word is a run of ASCII letters, in lower case.
fn counts_by_shell(text: &std::path::Path) -> BTreeMap<String, u64> {
    let script = "tr -cs 'A-Za-z' '\\n' < \"$1\" | tr 'A-Z' 'a-z' | grep . | sort | uniq -c";
    let output = Command::new("sh")
        .env("LC_ALL", "C")
        .args(["-c", script, "sh"])
        .arg(text)
        .output()
        .expect("the shell starts");
    assert!(output.status.success());
    String::from_utf8(output.stdout)
        .expect("ASCII")
        .lines()
        .filter_map(|line| line.trim().split_once(' '))
        .map(|(count, word)| (word.to_owned(), count.parse().expect("a count")))
        .collect()
}

fn counts_by_weir(place: &Place) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for (_, text) in place.files("out/counts-") {
        for line in text.lines().skip(1) {
            let (word, count) = line.split_once(',').expect("word,count");
            let twice = counts.insert(word.to_owned(), count.parse().expect("a count"));
            assert_eq!(twice, None, "`{word}` is in the output twice");
        }
    }
    counts
}

#[test]
fn counts_equal_those_of_the_shell() {
    let place = Place::new();
    let example = repository().join("examples/wordcount");
    let mut text = std::fs::read_to_string(example.join("weirs.txt")).expect("the example's text");
    text.push_str("\nDon't: naïve café—x2y; ALL all All\n\n   \nlast line without end");
    let input = place.write("text.txt", text);
    let out = place.ok([
        "run".as_ref(),
        example.join("pipeline.yaml").as_os_str(),
        "--param".as_ref(),
        format!("input={}", input.display()).as_ref(),
        "--param".as_ref(),
        format!("output={}", place.path("out/counts").display()).as_ref(),
        "--target-partitions".as_ref(),
        "3".as_ref(),
    ]);
    let expected = counts_by_shell(&input);
    assert!(expected.len() > 500, "a real text has many words");
    assert_eq!(counts_by_weir(&place), expected);
    assert!(
        out.contains("state    succeeded") && out.contains("first rows"),
        "{out}"
    );
}
