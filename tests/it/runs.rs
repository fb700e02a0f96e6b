//! The history of runs.

use serde_json::Value;
use sqlx::ConnectOptions as _;

use crate::jobs::ENDLESS;
use crate::service::fleet::until;
use crate::support::{Place, Started};

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
    let mut run = Started::new(&place, ["run", "p.yaml", "--param", "output=out/never", "--slots", "1"]);
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
fn a_run_that_is_over_is_shown_without_its_log() {
    let place = Place::new();
    place.write("p.yaml", "pipeline:\n  type: chain\n  transforms:\n    - type: Create\n      config: {elements: [1, 2]}\n    - type: LogForTesting\n    - type: WriteToCsv\n      config: {path: out/rows}\n");
    place.ok(["run", "p.yaml"]);
    let shown = |place: &Place| {
        let commands: [&[&str]; 6] = [
            &["get", "latest", "-o", "json"],
            &["get", "latest"],
            &["logs", "latest"],
            &["logs", "latest", "-o", "json"],
            &["events", "latest", "-o", "jsonl"],
            &["diagnose", "latest", "-o", "json"],
        ];
        commands.map(|command| place.ok([&["runs"], command].concat()))
    };
    until("the history of the run", || {
        let run: Value = serde_json::from_str(&place.ok(["runs", "get", "latest", "-o", "json"])).expect("JSON");
        (run["history"] == "stored").then_some(())
    });
    let before = shown(&place);
    assert_eq!(before[2].lines().count(), 2, "{}", before[2]);
    place.ok(["runs", "export", "latest", "-o", "before.html"]);

    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let deleted = runtime.block_on(async {
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(place.path("data/weir.db"));
        let mut database = options.connect().await.expect("the database is there");
        let deleted = sqlx::query("DELETE FROM run_events").execute(&mut database).await;
        deleted.expect("events can be deleted").rows_affected()
    });
    assert!(deleted > 0);
    assert_eq!(shown(&place), before);
    place.ok(["runs", "export", "latest", "-o", "after.html"]);
    let file = |name: &str| std::fs::read_to_string(place.path(name)).expect("the file is there");
    assert_eq!(file("after.html"), file("before.html"));
}

#[test]
fn runs_of_a_data_folder_cost_what_the_prices_say() {
    let place = Place::new();
    place.write("p.yaml", "pipeline:\n  type: chain\n  transforms:\n    - type: Create\n      config: {elements: [1]}\n    - type: LogForTesting\n");
    place.write(
        "prices.toml",
        "version = \"ours-1\"\ncurrency = \"EUR\"\nvcpu_hour = 1000000.0\n",
    );
    let cost = |args: &[&str]| -> Value {
        let run: Value = serde_json::from_str(&place.ok(args)).expect("JSON");
        run["usage"]["estimated_cost"].clone()
    };
    let dear = cost(&["run", "p.yaml", "-o", "json", "--prices", "prices.toml"]);
    assert_eq!(
        (&dear["currency"], &dear["price_table_version"]),
        (&"EUR".into(), &"ours-1".into())
    );
    let get = ["runs", "get", "latest", "-o", "json"];
    let built_in = cost(&get);
    assert_eq!(built_in["currency"], "USD");
    assert!(dear["amount"].as_f64() > built_in["amount"].as_f64());
    let same = cost(&[&get[..], &["--prices", "prices.toml"]].concat());
    assert_eq!(same["amount"], dear["amount"]);
    let wrong = place.weir(["runs", "get", "latest", "--prices", "absent.toml"]);
    assert_eq!(wrong.code, Some(2), "{}", wrong.stderr);
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
