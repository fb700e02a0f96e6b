//! Runs of a server, from the command line.

use reqwest::Method;
use serde_json::{Value, json};

use super::fleet::{Fleet, until};
use crate::jobs::ENDLESS;

const LOGGING: &str = r#"
pipeline:
  type: chain
  transforms:
    - type: Create
      config: {elements: [{k: 1}, {k: 2}, {k: 3}]}
    - type: LogForTesting
"#;

#[test]
fn cancelling_and_retrying_work_through_any_server() {
    let mut fleet = Fleet::new();
    let servers = [fleet.server(&[]), fleet.server(&[])];
    fleet.worker(1);
    fleet.place.write("p.yaml", ENDLESS);
    let output = format!("output=s3://{}/out/never", fleet.bucket);
    let run = fleet.client_ok(servers[0], ["submit", "p.yaml", "--param", &output]);
    let run = run.trim();
    fleet.wait_for_event(servers[1], run, "attempt_started");

    let early = fleet.client(servers[1], ["runs", "retry", run]);
    assert_eq!(early.code, Some(5), "{}", early.stderr);
    let patience = fleet.client(servers[1], ["runs", "watch", run, "--timeout", "1"]);
    assert_eq!(patience.code, Some(6), "{}", patience.stderr);

    // The other server drives it.
    fleet.client_ok(servers[1], ["runs", "cancel", run]);
    let watched = fleet.client(servers[1], ["runs", "watch", run]);
    assert_eq!(watched.code, Some(130), "{}", watched.stderr);
    assert!(watched.stdout.contains("state    cancelled"), "{}", watched.stdout);
    assert!(fleet.objects("out").is_empty());
    let again = fleet.client(servers[0], ["runs", "cancel", run]);
    assert_eq!(again.code, Some(5), "{}", again.stderr);

    let retried = fleet.client_ok(servers[1], ["runs", "retry", run]);
    let retried = retried.trim();
    assert_eq!(fleet.run(servers[0], retried)["retry_of"], run);
    fleet.wait_for_event(servers[0], retried, "attempt_started");
    fleet.client_ok(servers[0], ["runs", "cancel", retried]);
    assert_eq!(fleet.client(servers[0], ["runs", "watch", retried]).code, Some(130));
}

#[test]
fn a_submission_with_a_key_makes_one_run() {
    let mut fleet = Fleet::new();
    let servers = [fleet.server(&[]), fleet.server(&[])];
    fleet.worker(1);
    fleet.place.write("p.yaml", LOGGING);
    let submit = |server, name: &str| {
        let args = ["submit", "p.yaml", "--idempotency-key", "once", "--name", name];
        fleet.client(server, args)
    };
    let first = submit(servers[0], "a");
    assert_eq!(first.code, Some(0), "{}", first.stderr);
    let again = submit(servers[1], "a");
    assert_eq!(
        (again.code, &again.stdout),
        (Some(0), &first.stdout),
        "{}",
        again.stderr
    );
    let other = submit(servers[1], "b");
    assert_eq!(other.code, Some(5), "{}", other.stderr);
    assert!(other.stderr.contains("key"), "{}", other.stderr);
    let listed: Value =
        serde_json::from_str(&fleet.client_ok(servers[0], ["runs", "list", "-o", "json"])).expect("JSON");
    assert_eq!(listed.as_array().map(Vec::len), Some(1));
}

#[test]
fn log_lines_reach_whoever_asks_for_them() {
    let mut fleet = Fleet::new();
    let server = fleet.server(&[]);
    fleet.worker(1);
    fleet.place.write("p.yaml", LOGGING);
    let ran = fleet.client(server, ["submit", "p.yaml", "--wait"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_eq!(ran.stderr.matches("INFO").count(), 3, "{}", ran.stderr);
    let logs = fleet.client_ok(server, ["runs", "logs", "latest", "--follow"]);
    assert_eq!(logs.lines().count(), 3, "{logs}");
    let lines = fleet.client_ok(server, ["runs", "logs", "latest", "-o", "jsonl"]);
    let line: Value = serde_json::from_str(lines.lines().next().expect("a line")).expect("JSON");
    assert_eq!(line["severity"], "info");
    assert!(
        line["message"].as_str().is_some_and(|text| text.contains('1')),
        "{line}"
    );
    let asked = |args: &[&str]| {
        let all: Vec<&str> = ["runs", "logs", "latest"].iter().chain(args).copied().collect();
        fleet.client(server, all)
    };
    for (args, lines) in [
        (&["--search", "2"][..], 1),
        (&["--search", "K", "--severity", "info"], 3),
        (&["--severity", "warn"], 0),
        (&["--stage", "0", "--task", "0"], 3),
        (&["--stage", "1"], 0),
    ] {
        let printed = asked(args);
        assert_eq!(
            (printed.code, printed.stdout.lines().count()),
            (Some(0), lines),
            "{args:?}: {}",
            printed.stdout
        );
    }
    for args in [&["--task", "0"][..], &["--search", ""], &["--severity", "loud"]] {
        assert_eq!(asked(args).code, Some(2), "{args:?}");
    }
}

/// Logs in its first stage; the second one takes for ever.
const LOGGING_ENDLESS: &str = r#"
pipeline:
  type: chain
  transforms:
    - type: Create
      config: {elements: [{k: 1}, {k: 2}, {k: 3}]}
    - type: LogForTesting
    - type: Combine
      config: {group_by: k, combine: {n: {value: k, fn: count}}}
    - type: Sql
      config: {query: "SELECT sum(n * a.value * b.value) AS s FROM PCOLLECTION, generate_series(1, 1000000) a, generate_series(1, 1000000) b"}
    - type: LogForTesting
"#;

#[test]
fn lines_and_events_are_found_while_a_run_goes_on() {
    let mut fleet = Fleet::new();
    let server = fleet.server(&[]);
    fleet.worker(1);
    let body = json!({"name": "endless", "pipeline": LOGGING_ENDLESS}).to_string();
    let json = [("content-type", "application/json")];
    let made = fleet.request(server, Method::POST, "/api/v1/runs", &json, body);
    assert_eq!(made.status, 201, "{}", made.body);
    let run = format!("/api/v1/runs/{}", made.body["id"].as_str().expect("an id"));
    let get = |path: &str| {
        let answer = fleet.request(server, Method::GET, &format!("{run}{path}"), &[], "");
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        answer.body
    };
    until("lines of the first stage", || (get("")["log_lines"] == 3).then_some(()));
    assert_eq!(get("")["state"], "running");
    let items = |page: &Value| page["items"].as_array().expect("items").clone();
    let all = items(&get("/logs"));
    assert_eq!(all.len(), 3);
    for (offset, line) in all.iter().enumerate() {
        let page = get(&format!("/logs?offset={offset}&limit=1"));
        assert_eq!(items(&page), std::slice::from_ref(line), "{page}");
        let message = line["message"].as_str().expect("a message");
        let digit = message.find(|letter: char| letter.is_ascii_digit()).expect("a number");
        let search = &message[digit..=digit];
        let found = get(&format!("/logs?search={search}&stage=0&task=0&severity=info"));
        assert_eq!((items(&found), &found["searched"]), (vec![line.clone()], &json!(3)));
    }
    let beyond = get("/logs?offset=3");
    assert_eq!(
        (items(&beyond).len(), &beyond["complete"]),
        (0, &json!(true)),
        "{beyond}"
    );
    let none = get("/logs?stage=1");
    assert_eq!((items(&none).len(), &none["searched"]), (0, &json!(3)), "{none}");

    let events = items(&get("/events?limit=1000"));
    let found = items(&get("/events?search=TASK%20Accepted"));
    assert!(!found.is_empty());
    for event in events {
        let wanted = event["type"] == "task_accepted";
        assert_eq!(found.contains(&event), wanted, "{event}");
    }
    for (path, wrong) in [
        ("/logs?task=0", "stage"),
        ("/logs?offset=0&stage=0", "offset"),
        ("/logs?offset=0&after=0.0", "offset"),
        ("/logs?search=", "search"),
        ("/events?search=", "search"),
    ] {
        let answer = fleet.request(server, Method::GET, &format!("{run}{path}"), &[], "");
        assert_eq!(
            (answer.status, &answer.body["code"]),
            (400, &json!("invalid_query")),
            "{path}"
        );
        assert!(
            answer.body["detail"].as_str().is_some_and(|text| text.contains(wrong)),
            "{}",
            answer.body
        );
    }
    let cancelled = fleet.request(server, Method::POST, &format!("{run}/cancel"), &[], "");
    assert!(cancelled.status < 300, "{}", cancelled.body);
}

#[test]
fn files_of_the_server_are_out_of_reach() {
    let mut fleet = Fleet::new();
    let server = fleet.server(&[]);
    fleet.worker(1);
    fleet.place.write("secret.txt", "secret\n");
    let read = "pipeline:\n  type: chain\n  transforms:\n    - type: ReadFromText\n      config: {path: secret.txt}\n    - type: LogForTesting\n";
    let write = "pipeline:\n  type: chain\n  transforms:\n    - type: Create\n      config: {elements: [1]}\n    - type: WriteToJson\n      config: {path: out/rows}\n";
    for pipeline in [read, write] {
        fleet.place.write("p.yaml", pipeline);
        let ran = fleet.client(server, ["submit", "p.yaml", "--wait"]);
        assert_eq!(ran.code, Some(1), "{}", ran.stderr);
        assert!(ran.stderr.contains("s3://"), "it says what to use: {}", ran.stderr);
        assert!(!ran.stdout.contains("secret\n"), "{}", ran.stdout);
    }
    fleet.place.write("q.sql", "SELECT * FROM t");
    let table = format!("t={}", fleet.place.write("t.csv", "a\n1\n").display());
    let ran = fleet.client(server, ["submit", "q.sql", "--table", &table, "--wait"]);
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert!(!fleet.place.path("out").exists());
}

#[test]
fn sql_scripts_are_submitted_too() {
    let mut fleet = Fleet::new();
    let server = fleet.server(&[]);
    fleet.worker(2);
    let target = format!("s3://{}/sums", fleet.bucket);
    fleet.place.write(
        "sums.sql",
        format!(
            "CREATE VIEW numbers AS SELECT value AS n FROM generate_series(1, 1000);
             COPY (SELECT n % 7 AS k, sum(n) AS total FROM numbers GROUP BY 1) TO '{target}/rows.csv' STORED AS CSV;"
        ),
    );
    fleet.client_ok(server, ["submit", "sums.sql", "--wait"]);
    let total: u64 = fleet
        .csv_lines("sums")
        .iter()
        .filter_map(|line| line.split_once(',')?.1.parse::<u64>().ok())
        .sum();
    assert_eq!(total, 500_500);
    let listed = fleet.client_ok(server, ["runs", "list", "--name", "sums"]);
    assert!(listed.contains("succeeded"), "{listed}");
    until("the run to be cleaned", || {
        fleet.objects("weir/runs").is_empty().then_some(())
    });
}
