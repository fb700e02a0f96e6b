//! The API as programs meet it.

use reqwest::Method;
use serde_json::{Value, json};
use weir_model::Digest;

use super::fleet::{Answer, Fleet, MemberId};
use crate::support::repository;

const PIPELINE: &str = "pipeline:\n  type: chain\n  transforms:\n    - type: Create\n      config: {elements: [1, 2]}\n    - type: LogForTesting\n";

fn post(fleet: &Fleet, server: MemberId, body: &Value, headers: &[(&str, &str)]) -> Answer {
    let headers: Vec<_> = [("content-type", "application/json")]
        .iter()
        .chain(headers)
        .copied()
        .collect();
    fleet.request(server, Method::POST, "/api/v1/runs", &headers, body.to_string())
}

fn get(fleet: &Fleet, server: MemberId, path: &str, headers: &[(&str, &str)]) -> Answer {
    fleet.request(server, Method::GET, path, headers, "")
}

#[track_caller]
pub(crate) fn assert_problem(answer: &Answer, status: u16, code: &str) {
    assert_eq!(
        (answer.status, answer.body["code"].as_str()),
        (status, Some(code)),
        "{}",
        answer.body
    );
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    assert_eq!(answer.body["status"], status);
    assert_eq!(answer.body["request_id"].as_str(), answer.header("x-request-id"));
    assert!(answer.body["detail"].as_str().is_some_and(|detail| !detail.is_empty()));
}

#[test]
fn mistakes_are_problems_with_stable_codes() {
    let mut fleet = Fleet::new();
    let server = fleet.server(&[]);
    let refused = |body: Value| post(&fleet, server, &body, &[]);
    assert_problem(&refused(json!({})), 422, "invalid_request");
    assert_problem(&refused(json!({"pipelin": PIPELINE})), 422, "invalid_request");
    assert_problem(&refused(json!(["a name", PIPELINE])), 422, "invalid_request");
    assert_problem(
        &refused(json!({"pipeline": PIPELINE, "sql": {"statement": "SELECT 1"}})),
        422,
        "invalid_request",
    );
    assert_problem(
        &refused(json!({"pipeline": PIPELINE, "settings": {"retries": 3}})),
        422,
        "invalid_request",
    );
    assert_problem(
        &refused(json!({"pipeline": PIPELINE, "settings": {"target_partitions": 0}})),
        422,
        "invalid_request",
    );
    let invalid = refused(json!({"pipeline": PIPELINE.replace("Create", "Creat")}));
    assert_problem(&invalid, 422, "invalid_pipeline");
    assert_eq!(invalid.body["errors"][0]["line"], 4, "{}", invalid.body);
    let digest = Digest::of(b"nothing").to_string();
    let missing = refused(json!({"pipeline": PIPELINE, "modules": {"a.wasm": digest}}));
    assert_problem(&missing, 422, "module_missing");

    let raw = |headers: &[(&str, &str)], body: &str| {
        fleet.request(server, Method::POST, "/api/v1/runs", headers, body.to_owned())
    };
    let json = ("content-type", "application/json");
    assert_problem(&raw(&[json], "{"), 400, "malformed_request");
    assert_problem(&raw(&[], "{}"), 415, "unsupported_media_type");
    assert_problem(&raw(&[json], &" ".repeat(3 << 20)), 413, "body_too_large");
    assert_problem(&raw(&[json, ("idempotency-key", "")], "{}"), 400, "malformed_request");

    for (path, status, code) in [
        ("/api/v1/nothing", 404, "route_not_found"),
        ("/api/v1/runs/nonsense", 404, "run_not_found"),
        ("/api/v1/runs/01jz0000000000000000000000", 404, "run_not_found"),
        ("/api/v1/runs/01jz0000000000000000000000/events", 404, "run_not_found"),
        ("/api/v1/runs/01jz0000000000000000000000/logs", 404, "run_not_found"),
        ("/api/v1/runs?limit=0", 400, "invalid_query"),
        ("/api/v1/runs?colour=red", 400, "invalid_query"),
        ("/api/v1/runs?cursor=x", 400, "invalid_query"),
        ("/api/v1/modules/abc", 400, "invalid_digest"),
    ] {
        assert_problem(&get(&fleet, server, path, &[]), status, code);
    }
    assert_problem(
        &fleet.request(server, Method::PUT, "/api/v1/runs", &[], ""),
        405,
        "method_not_allowed",
    );
    let timeless = get(&fleet, server, "/api/v1/runs?since=yesterday", &[]);
    assert_problem(&timeless, 400, "invalid_query");
    let detail = timeless.body["detail"].as_str().expect("a detail");
    assert!(detail.contains("since: a time is expected, such as"), "{detail}");
    let named = get(&fleet, server, "/api/v1/nothing", &[("x-request-id", "abc-1")]);
    assert_eq!(named.header("x-request-id"), Some("abc-1"));
}

#[test]
fn runs_are_made_once_and_followed() {
    let mut fleet = Fleet::new();
    let server = fleet.server(&[]);
    let body = json!({"name": "numbers", "pipeline": PIPELINE, "labels": {"a": "b"}});
    let key = [("idempotency-key", "k1")];
    let made = post(&fleet, server, &body, &key);
    assert_eq!(made.status, 201, "{}", made.body);
    let id = made.body["id"].as_str().expect("an id").to_owned();
    assert_eq!(made.header("location"), Some(&*format!("/api/v1/runs/{id}")));
    let again = post(&fleet, server, &body, &key);
    assert_eq!((again.status, again.body["id"].as_str()), (201, Some(&*id)));
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_problem(
        &post(&fleet, server, &json!({"name": "other", "pipeline": PIPELINE}), &key),
        409,
        "idempotency_key_reused",
    );

    // Nobody works yet: the run stays as it is, and says so without being sent again.
    let path = format!("/api/v1/runs/{id}");
    fleet.wait_for_event(server, &id, "task_dispatched");
    let known = get(&fleet, server, &path, &[]);
    assert_eq!(known.body["progress"]["tasks"], 1, "{}", known.body);
    let tag = known.header("etag").expect("a tag").to_owned();
    let same = get(&fleet, server, &format!("{path}?wait=1s"), &[("if-none-match", &tag)]);
    assert_eq!((same.status, &same.body), (304, &Value::Null));

    fleet.worker(1);
    let over = super::fleet::until("the end", || {
        assert_problem(
            &get(&fleet, server, &format!("{path}?wait=61"), &[]),
            400,
            "invalid_query",
        );
        let run = get(&fleet, server, &format!("{path}?wait=30"), &[]);
        (run.body["state"] == "finished").then_some(run)
    });
    assert_eq!(over.body["result"], "succeeded", "{}", over.body);
    assert_eq!(over.body["labels"]["a"], "b");
    assert_ne!(over.header("etag"), Some(&*tag));
    let trace = over.body["trace_id"].as_str().expect("a trace");
    assert_eq!(trace.len(), 32);

    let logs = get(&fleet, server, &format!("{path}/logs?limit=1"), &[]);
    assert_eq!(logs.body["items"].as_array().map(Vec::len), Some(1), "{}", logs.body);
    let next = logs.body["next_cursor"].as_str().expect("a cursor");
    let rest = get(&fleet, server, &format!("{path}/logs?after={next}"), &[]);
    assert_eq!(rest.body["items"].as_array().map(Vec::len), Some(1), "{}", rest.body);
    assert_ne!(rest.body["items"][0]["message"], logs.body["items"][0]["message"]);
    assert_eq!(rest.body["complete"], true);
    let finished = fleet.request(server, Method::POST, &format!("{path}/cancel"), &[], "");
    assert_problem(&finished, 409, "run_finished");
}

#[test]
fn lists_are_paged_without_gaps() {
    let mut fleet = Fleet::new();
    let server = fleet.server(&[]);
    let mut made: Vec<String> = (0..5)
        .map(|n| {
            post(
                &fleet,
                server,
                &json!({"name": format!("n{}", n % 2), "pipeline": PIPELINE}),
                &[],
            )
        })
        .map(|answer| answer.body["id"].as_str().expect("an id").to_owned())
        .collect();
    made.reverse();
    let mut seen = Vec::new();
    let mut path = "/api/v1/runs?limit=2".to_owned();
    loop {
        let page = get(&fleet, server, &path, &[]).body;
        let items = page["items"].as_array().expect("items");
        assert!(items.len() <= 2);
        seen.extend(items.iter().filter_map(|run| run["id"].as_str().map(str::to_owned)));
        match page["next_cursor"].as_str() {
            Some(cursor) => path = format!("/api/v1/runs?limit=2&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(seen, made);
    let named = get(&fleet, server, "/api/v1/runs?name=n1", &[]).body;
    assert_eq!(named["items"].as_array().map(Vec::len), Some(2));
    let none = get(&fleet, server, "/api/v1/runs?result=failed", &[]).body;
    assert_eq!(none["items"].as_array().map(Vec::len), Some(0));
}

#[test]
fn modules_are_what_they_say_or_refused() {
    let mut fleet = Fleet::new();
    let server = fleet.server(&[]);
    let bytes = std::fs::read(repository().join("examples/wordcount/tokenizer.wasm")).expect("the example's component");
    let digest = Digest::of(&bytes);
    let path = format!("/api/v1/modules/{digest}");
    let head = |path: &str| fleet.request(server, Method::HEAD, path, &[], "").status;
    assert_eq!(head(&path), 404);
    let put = |path: &str, bytes: Vec<u8>| {
        fleet.request(
            server,
            Method::PUT,
            path,
            &[("content-type", "application/wasm")],
            bytes,
        )
    };

    let other = format!("/api/v1/modules/{}", Digest::of(b"other"));
    assert_problem(&put(&other, bytes.clone()), 422, "digest_mismatch");
    let junk = b"not a component".to_vec();
    assert_problem(
        &put(&format!("/api/v1/modules/{}", Digest::of(&junk)), junk),
        422,
        "invalid_module",
    );
    let huge = vec![0; (64 << 20) + 1];
    assert_problem(
        &put(&format!("/api/v1/modules/{}", Digest::of(&huge)), huge),
        413,
        "body_too_large",
    );
    assert_eq!(head(&path), 404, "nothing of these was kept");

    let made = put(&path, bytes.clone());
    assert_eq!(made.status, 201, "{}", made.body);
    let function = &made.body["functions"][0];
    assert_eq!(
        (&function["name"], &function["kind"]),
        (&json!("tokenize"), &json!("flat_map"))
    );
    assert_eq!(function["arguments"][0]["type"], "Utf8", "{}", made.body);
    assert_eq!(function["outputs"][0]["name"], "main");
    assert_eq!(made.body["uploaded_by"], "anonymous");
    assert_eq!(put(&path, bytes.clone()).status, 200);
    assert_eq!(head(&path), 200);
    assert_eq!(get(&fleet, server, &path, &[]).body, made.body);

    let listed = get(&fleet, server, "/api/v1/modules", &[]).body;
    assert_eq!(listed["items"][0]["digest"], digest.to_string(), "{listed}");
    assert_eq!(listed["items"][0]["functions"], json!(["tokenize"]));
    assert!(
        fleet
            .client_ok(server, ["modules", "get", &digest.to_string()])
            .contains("tokenize")
    );

    // Whoever knows the digest in another namespace reaches nothing by it.
    let json = ("content-type", "application/json");
    let named = json!({"name": "other"}).to_string();
    assert_eq!(
        fleet
            .request(server, Method::POST, "/api/v1/namespaces", &[json], named)
            .status,
        201
    );
    let other = ("weir-namespace", "other");
    assert_problem(&get(&fleet, server, &path, &[other]), 404, "module_not_found");
    let listed = get(&fleet, server, "/api/v1/modules", &[other]).body;
    assert_eq!(listed["items"], json!([]));
    let body = json!({"sql": {"statement": "SELECT 1"}, "modules": {"a.wasm": digest.to_string()}});
    assert_problem(&post(&fleet, server, &body, &[other]), 422, "module_missing");
    let deleted = |headers: &[(&str, &str)]| fleet.request(server, Method::DELETE, &path, headers, "");
    assert_problem(&deleted(&[other]), 404, "module_not_found");

    // It is needed as long as a run is not over.
    let made = post(&fleet, server, &body, &[]);
    assert_eq!(made.status, 201, "{}", made.body);
    assert_problem(&deleted(&[]), 409, "module_in_use");
    let run = format!("/api/v1/runs/{}", made.body["id"].as_str().expect("an id"));
    fleet.request(server, Method::POST, &format!("{run}/cancel"), &[], "");
    super::fleet::until("the end", || {
        (get(&fleet, server, &format!("{run}?wait=30"), &[]).body["state"] == "finished").then_some(())
    });
    assert_eq!(deleted(&[]).status, 204);
    assert_eq!(head(&path), 404);
}

#[test]
fn modules_can_be_uploaded_past_the_server() {
    let mut fleet = Fleet::new();
    let server = fleet.server(&[]);
    let bytes = std::fs::read(repository().join("examples/wordcount/tokenizer.wasm")).expect("the example's component");
    let path = format!("/api/v1/modules/{}", Digest::of(&bytes));
    let post = |action: &str| fleet.request(server, Method::POST, &format!("{path}/{action}"), &[], "");
    let ask = |bytes: u64| {
        let (path, json) = (format!("{path}/upload"), [("content-type", "application/json")]);
        fleet.request(server, Method::POST, &path, &json, json!({"bytes": bytes}).to_string())
    };
    assert_problem(&ask((64 << 20) + 1), 413, "body_too_large");
    let upload = |bytes: Vec<u8>| {
        let asked = ask(bytes.len() as u64);
        assert_eq!(asked.status, 200, "{}", asked.body);
        let url = asked.body["url"].as_str().expect("a URL").to_owned();
        assert!(
            url.contains("SignedHeaders=content-length%3Bhost"),
            "the length is signed: {url}"
        );
        fleet.put_to(&url, bytes)
    };
    assert_problem(&post("complete"), 404, "module_not_found");

    assert_eq!(upload(b"something else".to_vec()), 200);
    assert_problem(&post("complete"), 422, "digest_mismatch");
    assert_eq!(fleet.request(server, Method::HEAD, &path, &[], "").status, 404);

    assert_eq!(upload(bytes), 200);
    let made = post("complete");
    assert_eq!(made.status, 201, "{}", made.body);
    assert_eq!(fleet.request(server, Method::HEAD, &path, &[], "").status, 200);
    assert!(fleet.objects("weir/uploads").is_empty());
}

#[test]
fn a_key_opens_the_api() {
    let mut fleet = Fleet::new();
    fleet.set("WEIR_BOOTSTRAP_API_KEY", "open-sesame-for-tests");
    let server = fleet.server(&[]);
    assert_problem(&get(&fleet, server, "/api/v1/runs", &[]), 401, "unauthorized");
    assert_problem(
        &get(&fleet, server, "/api/v1/runs", &[("authorization", "Bearer other")]),
        401,
        "unauthorized",
    );
    assert_eq!(
        get(
            &fleet,
            server,
            "/api/v1/runs",
            &[("authorization", "Bearer open-sesame-for-tests")]
        )
        .status,
        200
    );
    assert_eq!(get(&fleet, server, "/healthz", &[]).status, 200);
    assert_eq!(fleet.client(server, ["runs", "list"]).code, Some(3));
    fleet.client_ok(server, ["runs", "list", "--api-key", "open-sesame-for-tests"]);
    assert!(!fleet.log(server).contains("open-sesame-for-tests"));
}

#[test]
fn the_document_that_is_served_is_the_committed_one() {
    let mut fleet = Fleet::new();
    let server = fleet.server(&[]);
    let served = get(&fleet, server, "/api/v1/openapi.json", &[]).body;
    let committed = std::fs::read_to_string(repository().join("openapi.json")).expect("the document");
    assert_eq!(served, serde_json::from_str::<Value>(&committed).expect("JSON"));
}
