//! The history of runs, without the database that they were in.

use reqwest::Method;
use serde_json::{Value, json};

use super::fleet::{Answer, Fleet, MemberId, until};

const LOGGING: &str = r#"
pipeline:
  type: chain
  transforms:
    - type: Create
      config: {elements: [{k: 1}, {k: 2}, {k: 3}]}
    - type: LogForTesting
"#;

fn get(fleet: &Fleet, server: MemberId, path: &str, namespace: &str) -> Answer {
    let headers = [("weir-namespace", namespace)];
    fleet.request(server, Method::GET, &format!("/api/v1{path}"), &headers, "")
}

/// Submits a job and waits until it is over and its history is in storage.
fn ran(fleet: &Fleet, server: MemberId, namespace: &str, job: &Value) -> String {
    let headers = [("content-type", "application/json"), ("weir-namespace", namespace)];
    let submitted = fleet.request(server, Method::POST, "/api/v1/runs", &headers, job.to_string());
    assert_eq!(submitted.status, 201, "{}", submitted.body);
    let run = submitted.body["id"].as_str().expect("a run has an id").to_owned();
    until("the history of a run", || {
        let shown = get(fleet, server, &format!("/runs/{run}"), namespace).body;
        (shown["history"] == "stored").then_some(())
    });
    run
}

/// Everything that is shown of a run.
fn pages(fleet: &Fleet, server: MemberId, run: &str, namespace: &str) -> Vec<(String, Value)> {
    let mut paths = vec![
        "/runs".to_owned(),
        "/runs?limit=100&result=failed".to_owned(),
        format!("/runs/{run}"),
    ];
    for page in [
        "metrics",
        "findings",
        "stages",
        "stages/0",
        "attempts?limit=5000",
        "tasks?limit=5000",
        "tasks?sort=-elapsed_us&limit=2",
        "tasks?metric=rows_in&min=1&stage=0",
        "tasks/0/0",
        "events?limit=1000",
        "events/2",
        "events?search=stage",
        "logs?limit=1000",
        "logs?search=1&severity=info",
        "logs?offset=1&limit=1",
        "result",
        "result?limit=1&cursor=1",
        "outputs",
        "outputs/0/rows",
    ] {
        paths.push(format!("/runs/{run}/{page}"));
    }
    let answers = paths.into_iter().map(|path| {
        let answer = get(fleet, server, &path, namespace);
        let mut body = answer.body;
        if let Some(body) = body.as_object_mut() {
            body.remove("request_id");
        }
        (format!("{path}: {}", answer.status), body)
    });
    answers.collect()
}

/// Checks that a run tells what the control plane asked of the storage for it: what its events say, the objects of its
/// history, and its clean-up.
fn check_requests(fleet: &Fleet, server: MemberId, run: &str) {
    let shown = get(fleet, server, &format!("/runs/{run}"), "default").body;
    let used = &shown["usage"]["control_storage_requests"];
    let events = fleet.events(server, run);
    let told = |kind: &str| -> u64 {
        let told = events.iter().filter(|event| event["type"] == "storage_used");
        told.filter_map(|event| event["data"]["requests"][kind].as_u64()).sum()
    };
    let of = |kind: &str| used[kind].as_u64().expect("a number");
    let history = fleet.objects(&format!("weir/history/default/runs/{run}")).len() as u64;
    // Its entry lies apart.
    assert_eq!(of("put"), told("put") + history + 1, "{used}");
    // A plan of two stages, a manifest, the end of an upload and the manifest of the output.
    assert!(told("put") >= 5, "{used}");
    assert!(of("list") > told("list") && of("delete") > told("delete"), "{used}");
    assert_eq!(of("get"), told("get"), "{used}");
    let lines = shown["usage"]["estimated_cost"]["lines"].as_array().expect("lines");
    let writes = lines.iter().find(|line| line["item"] == "storage_writes");
    let of_tasks = |kind: &str| shown["usage"]["storage_requests"][kind].as_u64().expect("a number");
    let expected = of("put") + of("list") + of_tasks("put") + of_tasks("list");
    assert_eq!(writes.and_then(|line| line["quantity"].as_f64()), Some(expected as f64));
}

#[test]
fn every_page_of_finished_runs_is_served_from_storage_alone() {
    let mut fleet = Fleet::new();
    let server = fleet.server(&[]);
    let worker = fleet.worker(2);
    let named = [("content-type", "application/json")];
    let other = json!({ "name": "other" }).to_string();
    let made = fleet.request(server, Method::POST, "/api/v1/namespaces", &named, other);
    assert_eq!(made.status, 201, "{}", made.body);
    let target = format!("s3://{}/sums/rows.csv", fleet.bucket);
    let sums = json!({ "name": "sums", "sql": {
        "statement": format!("COPY (SELECT n % 7 AS k, sum(n) AS total FROM numbers GROUP BY 1) TO '{target}' STORED AS CSV"),
        "setup": ["CREATE VIEW numbers AS SELECT value AS n FROM generate_series(1, 1000)"],
    }});
    let rows = json!({ "name": "rows", "sql": {
        "statement": "SELECT n % 7 AS k, sum(n) AS total FROM numbers GROUP BY 1 ORDER BY 1",
        "setup": ["CREATE VIEW numbers AS SELECT value AS n FROM generate_series(1, 1000)"],
    }});
    let runs = [
        ("default", ran(&fleet, server, "default", &sums)),
        ("default", ran(&fleet, server, "default", &rows)),
        (
            "default",
            ran(
                &fleet,
                server,
                "default",
                &json!({ "name": "fails", "sql": { "statement": "SELECT 1 / (value - value) FROM generate_series(1, 3)" }}),
            ),
        ),
        (
            "other",
            ran(
                &fleet,
                server,
                "other",
                &json!({ "name": "lines", "pipeline": LOGGING }),
            ),
        ),
    ];
    let outcomes: Vec<Value> = runs
        .iter()
        .map(|(namespace, run)| get(&fleet, server, &format!("/runs/{run}"), namespace).body["result"].clone())
        .collect();
    assert_eq!(outcomes, ["succeeded", "succeeded", "failed", "succeeded"]);
    check_requests(&fleet, server, &runs[0].1);
    let shown: Vec<_> = runs
        .iter()
        .map(|(namespace, run)| pages(&fleet, server, run, namespace))
        .collect();
    let result = |answers: &[(String, Value)]| {
        let mut found = answers.iter().filter(|(path, _)| path.contains("/result: 200"));
        found.next().map(|(_, body)| body["rows"].as_array().map(Vec::len))
    };
    assert_eq!((result(&shown[0]), result(&shown[1])), (None, Some(Some(7))));
    let csv = [("accept", "text/csv")];
    let whole = fleet.text(server, &format!("/api/v1/runs/{}/result", runs[1].1), &csv);
    assert_eq!(whole.lines().count(), 8, "{whole}");
    for member in [server, worker] {
        fleet.signal(member, "TERM");
        assert!(fleet.wait(member).success());
    }

    // No database, and no queues.
    for name in [
        "WEIR_DATABASE_URL",
        "WEIR_TASK_QUEUE",
        "WEIR_REPORT_QUEUE",
        "WEIR_DEAD_LETTER_QUEUE",
    ] {
        fleet.set(name, "");
    }
    let history = fleet.history(&[]);
    for ((namespace, run), wanted) in runs.iter().zip(&shown) {
        let found = pages(&fleet, history, run, namespace);
        for (wanted, found) in wanted.iter().zip(&found) {
            assert_eq!(wanted, found);
        }
        let others = if *namespace == "default" { "other" } else { "default" };
        for path in ["", "/stages", "/tasks", "/events", "/logs"] {
            let foreign = get(&fleet, history, &format!("/runs/{run}{path}"), others);
            assert_eq!((foreign.status, &foreign.body["code"]), (404, &json!("run_not_found")));
        }
    }
    assert_eq!(
        fleet.text(history, &format!("/api/v1/runs/{}/result", runs[1].1), &csv),
        whole
    );
    let refused = fleet.request(history, Method::POST, "/api/v1/runs", &named, sums.to_string());
    assert_eq!((refused.status, &refused.body["code"]), (403, &json!("read_only")));
    let listed = fleet.client_ok(history, ["runs", "list"]);
    assert!(listed.contains("sums") && listed.contains("fails"), "{listed}");
    assert!(!listed.contains("lines"), "{listed}");
    let logs = get(&fleet, history, &format!("/runs/{}/logs", runs[3].1), "other");
    assert_eq!(logs.body["items"].as_array().map(Vec::len), Some(3), "{}", logs.body);
}
