//! The history of runs.

use serde_json::Value;

use crate::support::Place;

#[test]
fn runs_are_listed_and_shown_after_their_process_is_gone() {
    let place = Place::new();
    place.ok(["sql", "SELECT 1 AS one"]);
    place.ok(["sql", "SELECT k, count(*) FROM (VALUES (1), (2)) t(k) GROUP BY k"]);

    let listed = place.ok(["runs", "list", "-o", "json"]);
    let listed: Value = serde_json::from_str(&listed).expect("JSON");
    assert_eq!(listed.as_array().map(Vec::len), Some(2));
    assert!(listed[0]["id"].as_str() > listed[1]["id"].as_str(), "newest first");

    let id = listed[0]["id"].as_str().expect("an id");
    let got = place.ok(["runs", "get", id]);
    assert!(got.contains("state    succeeded"), "{got}");
    let one: Value = serde_json::from_str(&place.ok(["runs", "get", id, "-o", "jsonl"])).expect("JSON");
    assert_eq!(one["result"], "succeeded");
    assert!(one["stages"].as_array().is_some_and(|stages| !stages.is_empty()));

    let events = place.events();
    let kinds: Vec<_> = events
        .iter()
        .map(|event| event["type"].as_str().unwrap_or_default())
        .collect();
    assert_eq!(kinds.first(), Some(&"submitted"));
    assert_eq!(kinds.last(), Some(&"finished"));
    let numbers: Vec<_> = events.iter().filter_map(|event| event["seq"].as_u64()).collect();
    assert_eq!(numbers, (1..=events.len() as u64).collect::<Vec<_>>());
    assert!(place.ok(["runs", "events", id]).contains("task_accepted"));
}

#[test]
fn a_run_that_is_not_there_is_not_found() {
    let place = Place::new();
    assert_eq!(place.weir(["runs", "get", "latest"]).code, Some(4));
    let ran = place.weir(["runs", "get", "01jz0000000000000000000000"]);
    assert_eq!(ran.code, Some(4));
    assert!(ran.stderr.contains("weir runs list"), "{}", ran.stderr);
    assert_eq!(place.weir(["runs", "get", "nonsense"]).code, Some(2));
}
