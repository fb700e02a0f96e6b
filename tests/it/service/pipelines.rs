//! Pipelines, and what becomes of runs that are paused, late or over.

use reqwest::Method;
use serde_json::{Value, json};
use weir_model::Digest;

use super::fleet::{Answer, Fleet, MemberId, until};

pub(super) const PIPELINE: &str = "pipeline:\n  type: chain\n  transforms:\n    - type: Create\n      config: {elements: [1, 2]}\n    - type: LogForTesting\n";

/// Sends a request with a JSON body.
pub(super) fn send(fleet: &Fleet, server: MemberId, method: Method, path: &str, body: &Value) -> Answer {
    send_with(fleet, server, method, path, body, &[])
}

/// The same with headers.
pub(super) fn send_with(
    fleet: &Fleet,
    server: MemberId,
    method: Method,
    path: &str,
    body: &Value,
    headers: &[(&str, &str)],
) -> Answer {
    let headers: Vec<_> = [("content-type", "application/json")]
        .iter()
        .chain(headers)
        .copied()
        .collect();
    fleet.request(server, method, &format!("/api/v1{path}"), &headers, body.to_string())
}

/// Asks for something below `/api/v1`.
pub(super) fn get(fleet: &Fleet, server: MemberId, path: &str) -> Answer {
    fleet.request(server, Method::GET, &format!("/api/v1{path}"), &[], "")
}

/// An answer is a problem with this code.
#[track_caller]
pub(super) fn assert_problem(answer: &Answer, status: u16, code: &str) {
    assert_eq!(
        (answer.status, answer.body["code"].as_str()),
        (status, Some(code)),
        "{}",
        answer.body
    );
}

/// The ids of the runs that a list gives.
pub(super) fn runs(fleet: &Fleet, server: MemberId, query: &str) -> Vec<String> {
    let page = get(fleet, server, &format!("/runs?{query}"));
    assert_eq!(page.status, 200, "{}", page.body);
    let items = page.body["items"].as_array().expect("items");
    items
        .iter()
        .filter_map(|run| run["id"].as_str().map(str::to_owned))
        .collect()
}

/// Waits for the end of a run; gives the run.
pub(super) fn end_of(fleet: &Fleet, server: MemberId, run: &str) -> Value {
    until("the end of a run", || {
        let run = get(fleet, server, &format!("/runs/{run}?wait=10")).body;
        (run["state"] == "finished").then_some(run)
    })
}

#[test]
fn pipelines_are_kept_in_versions_and_run() {
    let mut fleet = Fleet::new();
    let server = fleet.server(&[]);
    let put = |body: &Value, headers: &[(&str, &str)]| {
        send_with(&fleet, server, Method::PUT, "/pipelines/sums", body, headers)
    };
    let of = |yaml: &str| json!({"description": "adds", "definition": {"pipeline": yaml, "labels": {"team": "x"}}});

    let mut first = of(PIPELINE);
    assert_problem(
        &send(&fleet, server, Method::POST, "/pipelines", &first),
        422,
        "invalid_request",
    );
    first["name"] = json!("sums");
    let made = send(&fleet, server, Method::POST, "/pipelines", &first);
    assert_eq!(made.status, 201, "{}", made.body);
    assert_eq!(made.header("location"), Some("/api/v1/pipelines/sums"));
    let etag = made.header("etag").expect("a tag").to_owned();
    assert_problem(
        &send(&fleet, server, Method::POST, "/pipelines", &first),
        409,
        "pipeline_exists",
    );

    let same = put(&first, &[("if-match", &etag)]);
    assert_eq!((same.status, &same.body["version"]), (200, &json!(1)), "{}", same.body);
    assert_eq!(same.header("etag"), Some(&*etag), "nothing has changed");
    let second = put(&of(&PIPELINE.replace("[1, 2]", "[1, 2, 3]")), &[("if-match", &etag)]);
    assert_eq!(
        (second.status, &second.body["version"]),
        (200, &json!(2)),
        "{}",
        second.body
    );
    assert_problem(&put(&first, &[("if-match", &etag)]), 412, "precondition_failed");
    let new = [("if-none-match", "*")];
    assert_problem(&put(&first, &new), 412, "precondition_failed");
    let versions = get(&fleet, server, "/pipelines/sums/versions").body;
    assert_eq!(versions["items"].as_array().map(Vec::len), Some(2), "{versions}");
    let old = get(&fleet, server, "/pipelines/sums/versions/1").body;
    assert_eq!(old["definition"]["pipeline"], PIPELINE);
    assert_problem(
        &get(&fleet, server, "/pipelines/sums/versions/3"),
        404,
        "pipeline_version_not_found",
    );

    for (wrong, code) in [
        (
            json!({"definition": {"pipeline": PIPELINE.replace("Create", "Creat")}}),
            "invalid_pipeline",
        ),
        (
            json!({"definition": {"pipeline": PIPELINE, "name": "x"}}),
            "invalid_request",
        ),
        (
            json!({"definition": {"pipeline": PIPELINE, "settings": {"retries": 1}}}),
            "invalid_request",
        ),
        (
            json!({"definition": {"pipeline": PIPELINE, "settings": {"timeout_s": 0}}}),
            "invalid_request",
        ),
        (
            json!({"definition": {"pipeline": PIPELINE, "modules": {"a.wasm": Digest::of(b"nothing").to_string()}}}),
            "module_missing",
        ),
        (
            json!({"name": "other", "definition": {"pipeline": PIPELINE}}),
            "invalid_request",
        ),
    ] {
        assert_problem(&put(&wrong, &[]), 422, code);
    }
    assert_problem(&get(&fleet, server, "/pipelines/none"), 404, "pipeline_not_found");
    assert_problem(&get(&fleet, server, "/pipelines/%00"), 404, "pipeline_not_found");
    assert_problem(&get(&fleet, server, "/pipelines?cursor=%00"), 400, "invalid_query");

    fleet.worker(1);
    let key = [("idempotency-key", "once")];
    let body = json!({"version": 1, "labels": {"day": "1"}, "settings": {"target_partitions": 3}});
    let made = send_with(&fleet, server, Method::POST, "/pipelines/sums/runs", &body, &key);
    assert_eq!(made.status, 201, "{}", made.body);
    let run = made.body["id"].as_str().expect("an id").to_owned();
    let again = send_with(&fleet, server, Method::POST, "/pipelines/sums/runs", &body, &key);
    assert_eq!(again.body["id"], json!(run));
    let over = end_of(&fleet, server, &run);
    assert_eq!(over["result"], "succeeded", "{over}");
    assert_eq!(over["pipeline"], json!({"name": "sums", "version": 1}));
    assert_eq!(
        (&over["name"], &over["labels"]),
        (&json!("sums"), &json!({"team": "x", "day": "1"}))
    );
    assert_eq!(over["settings"]["target_partitions"], 3);
    assert_eq!(runs(&fleet, server, "pipeline=sums"), [run]);
    assert_eq!(runs(&fleet, server, "pipeline=none"), Vec::<String>::new());

    let cli = fleet.client_ok(server, ["pipelines", "run", "sums", "--wait"]);
    assert!(cli.contains("succeeded"), "{cli}");
    assert_eq!(runs(&fleet, server, "pipeline=sums").len(), 2);
    assert!(fleet.client_ok(server, ["pipelines", "list"]).contains("sums"));
    fleet.client_ok(server, ["pipelines", "delete", "sums"]);
    assert_eq!(fleet.client(server, ["pipelines", "get", "sums"]).code, Some(4));
    let anew = send(&fleet, server, Method::POST, "/pipelines", &first);
    assert_eq!(anew.body["version"], 3, "{}", anew.body);
}

#[test]
fn a_paused_run_takes_nothing_and_goes_on_when_it_is_resumed() {
    let mut fleet = Fleet::new();
    let server = fleet.server(&[]);
    let made = send(
        &fleet,
        server,
        Method::POST,
        "/runs",
        &json!({"name": "held", "pipeline": PIPELINE}),
    );
    let run = made.body["id"].as_str().expect("an id").to_owned();
    let path = format!("/runs/{run}");
    until("tasks that wait", || {
        (get(&fleet, server, &path).body["progress"]["tasks"] == 1).then_some(())
    });
    let asked = send(&fleet, server, Method::POST, &format!("{path}/pause"), &json!({}));
    assert_eq!(asked.status, 202, "{}", asked.body);
    let paused = until("the pause", || {
        let run = get(&fleet, server, &path).body;
        (run["state"] == "paused").then_some(run)
    });
    assert_eq!(
        (&paused["requested_state"], paused["paused_at"].is_string()),
        (&Value::Null, true)
    );
    until("the list to say so", || {
        (runs(&fleet, server, "state=paused") == [run.clone()]).then_some(())
    });

    // Its message is in the queue, and whoever takes it leaves it alone; another run is not held up.
    let withdrawn = format!("weir/runs/{run}/paused");
    until("its messages to be withdrawn", || {
        (!fleet.objects(&withdrawn).is_empty()).then_some(())
    });
    fleet.worker(1);
    let other = send(&fleet, server, Method::POST, "/runs", &json!({"pipeline": PIPELINE}));
    let other = end_of(&fleet, server, other.body["id"].as_str().expect("an id"));
    assert_eq!(other["result"], "succeeded");
    let still = get(&fleet, server, &path).body;
    assert_eq!(
        (&still["state"], &still["progress"]["tasks_done"]),
        (&json!("paused"), &json!(0)),
        "{still}"
    );

    fleet.client_ok(server, ["runs", "resume", &run]);
    let over = end_of(&fleet, server, &run);
    assert_eq!(over["result"], "succeeded", "{over}");
    let kinds: Vec<_> = fleet
        .events(server, &run)
        .iter()
        .map(|event| event["type"].clone())
        .collect();
    assert!(
        kinds.contains(&json!("paused")) && kinds.contains(&json!("resumed")),
        "{kinds:?}"
    );
    let late = send(&fleet, server, Method::POST, &format!("{path}/pause"), &json!({}));
    assert_problem(&late, 409, "run_finished");
    assert!(fleet.objects(&withdrawn).is_empty(), "it is cleaned up after");
}

#[test]
fn a_run_that_takes_too_long_fails_and_is_tried_again_as_its_policy_says() {
    let mut fleet = Fleet::new();
    let servers = [fleet.server(&[]), fleet.server(&[])];
    let server = servers[0];
    let policy = json!({"type": "on_failure", "on_failure_retries": 1, "on_failure_retry_interval_s": 0});
    let body = json!({
        "name": "late", "pipeline": PIPELINE,
        "settings": {"timeout_s": 1, "restart_policy": policy},
    });
    let made = send(&fleet, server, Method::POST, "/runs", &body);
    let first = made.body["id"].as_str().expect("an id").to_owned();
    // Nobody works: it is never done.
    let over = end_of(&fleet, server, &first);
    assert_eq!(
        (&over["result"], &over["reason"]["code"]),
        (&json!("failed"), &json!("timeout")),
        "{over}"
    );
    let second = until("the second try", || {
        runs(&fleet, server, "name=late").into_iter().find(|run| *run != first)
    });
    let second = end_of(&fleet, servers[1], &second);
    assert_eq!(
        (&second["retry_of"], &second["restarts"]),
        (&json!(first), &json!(1)),
        "{second}"
    );
    assert_eq!(
        (&second["reason"]["code"], &second["restart_at"]),
        (&json!("timeout"), &Value::Null)
    );
    until("the first one to be done with", || {
        (get(&fleet, server, &format!("/runs/{first}")).body["restart_at"] == Value::Null).then_some(())
    });
    assert_eq!(runs(&fleet, server, "name=late").len(), 2, "once, as its policy says");

    let kept = json!({
        "name": "brief", "pipeline": PIPELINE,
        "settings": {"timeout_s": 1, "restart_policy": {"time_to_live_s": 0}},
    });
    let made = send(&fleet, server, Method::POST, "/runs", &kept);
    let brief = made.body["id"].as_str().expect("an id").to_owned();
    until("the run to be forgotten", || {
        (get(&fleet, server, &format!("/runs/{brief}")).status == 404).then_some(())
    });
}
