//! The history of runs.

use serde_json::Value;

use crate::service::fleet::until;
use crate::support::{Place, Started};

/// Runs until it is cancelled.
const ENDLESS: &str = r#"
pipeline:
  type: chain
  transforms:
    - type: Create
      config: {elements: [1]}
    - type: Sql
      config:
        query: >
          SELECT a.value % 10 AS k, count(*) AS n
          FROM PCOLLECTION, generate_series(1, 100000) a, generate_series(1, 100000) b
          WHERE sin(a.value * b.value) > 2 GROUP BY 1
    - type: WriteToCsv
      config: {path: out/never}
"#;

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

#[test]
fn a_run_of_another_process_is_followed_and_cancelled() {
    let place = Place::new();
    place.write("p.yaml", ENDLESS);
    let mut run = Started::new(&place, ["run", "p.yaml", "--slots", "1"]);
    run.wait_for_event(&place, "attempt_started");
    let patience = place.weir(["runs", "watch", "latest", "--timeout", "1"]);
    assert_eq!(patience.code, Some(6), "{}", patience.stderr);
    place.ok(["runs", "cancel", "latest"]);
    let watched = place.weir(["runs", "watch", "latest"]);
    assert_eq!(watched.code, Some(130), "{}", watched.stderr);
    assert_eq!(run.end().code, Some(130));
    assert_eq!(place.weir(["runs", "cancel", "latest"]).code, Some(5));
}

#[test]
fn logs_are_kept_and_a_run_is_tried_again() {
    let place = Place::new();
    place.write("p.yaml", "pipeline:\n  type: chain\n  transforms:\n    - type: Create\n      config: {elements: [1, 2]}\n    - type: LogForTesting\n");
    place.ok(["run", "p.yaml"]);
    let first = place.ok(["runs", "logs", "latest"]);
    assert_eq!(first.lines().count(), 2, "{first}");
    let old: Value = serde_json::from_str(&place.ok(["runs", "get", "latest", "-o", "json"])).expect("JSON");
    let new: Value = serde_json::from_str(&place.ok(["runs", "retry", "latest", "-o", "json"])).expect("JSON");
    assert_eq!((&new["retry_of"], &new["result"]), (&old["id"], &"succeeded".into()));
    assert_eq!(place.ok(["runs", "logs", "latest"]), first);
}

#[test]
fn a_run_is_one_file_that_needs_no_server() {
    let place = Place::new();
    place.ok(["sql", "SELECT k, count(*) FROM (VALUES (1), (2)) t(k) GROUP BY k"]);
    place.ok(["runs", "export", "latest", "-o", "run.html"]);
    let html = std::fs::read_to_string(place.path("run.html")).expect("the file is there");
    assert!(html.starts_with("<!doctype html>") && html.trim_end().ends_with("</html>"));
    for part in [
        "succeeded",
        "Findings",
        "Timeline",
        "<rect ",
        "Stages",
        "Tasks",
        "Configuration",
    ] {
        assert!(html.contains(part), "{part}");
    }
    assert_eq!(place.ok(["runs", "export", "latest", "-o", "-"]), html);
    assert_eq!(
        place.weir(["runs", "export", "01jz0000000000000000000000"]).code,
        Some(4)
    );
}

#[test]
fn the_history_of_a_data_folder_is_served_without_its_database() {
    let place = Place::new();
    place.ok(["sql", "SELECT 1 AS one"]);
    std::fs::remove_file(place.path("data/weir.db")).expect("the database can be removed");
    let storage = place.path("data/storage").display().to_string();
    let log = place.path("history.log");
    let args = ["history", "--storage", &storage, "--listen", "127.0.0.1:0"];
    let history = Started::logging(&place, args, &log);
    let endpoint = until("the address", || {
        let log = std::fs::read_to_string(&log).unwrap_or_default();
        log.lines()
            .find_map(|line| line.strip_prefix("listening on "))
            .map(str::to_owned)
    });
    let listed = place.ok(["runs", "list", "-o", "json", "--endpoint", &endpoint]);
    let listed: Value = serde_json::from_str(&listed).expect("JSON");
    assert_eq!(listed[0]["result"], "succeeded", "{listed}");
    let run = listed[0]["id"].as_str().expect("an id");
    let shown = place.ok(["runs", "get", run, "--endpoint", &endpoint]);
    assert!(shown.contains("state    succeeded"), "{shown}");
    let refused = place.weir(["runs", "retry", run, "--endpoint", &endpoint]);
    assert_ne!(refused.code, Some(0));
    assert!(refused.stderr.contains("changes nothing"), "{}", refused.stderr);
    history.terminate();
}
