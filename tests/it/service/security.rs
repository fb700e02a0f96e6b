//! Whoever holds things up, leaves early or asks for too much, as an attacker does: others are served all the same.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use super::fleet::{Answer, Fleet, MemberId, until};
use super::http::assert_problem;
use super::identity::{ROOT, guarded, make_key, make_namespace, send};
use crate::support::repository;

/// Longer than a server waits for anybody who does nothing.
const PATIENCE: Duration = Duration::from_secs(120);

/// A fleet with a server that hears of everybody from a proxy on this machine.
fn behind_a_proxy() -> (Fleet, MemberId) {
    let mut fleet = Fleet::new();
    fleet.set("WEIR_BOOTSTRAP_API_KEY", ROOT);
    fleet.set("WEIR_TRUSTED_PROXIES", "127.0.0.0/8");
    let server = fleet.server(&[]);
    (fleet, server)
}

/// A connection on which this was sent, and no more.
fn begin(address: &str, text: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).expect("the server listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time limit");
    // A server may close while this is written.
    let _ = stream.write_all(text.as_bytes());
    stream
}

fn address(fleet: &Fleet, server: MemberId) -> String {
    fleet.endpoint(server).trim_start_matches("http://").to_owned()
}

/// The first line of what a server answers; empty when it closes the connection.
fn first_line(mut stream: &TcpStream) -> String {
    let mut text = Vec::new();
    let mut byte = [0];
    while stream.read(&mut byte).expect("the server does something in time") > 0 && byte != *b"\r" {
        text.push(byte[0]);
    }
    String::from_utf8(text).expect("text")
}

fn login(fleet: &Fleet, server: MemberId, from: &str, body: Value) -> Answer {
    let headers = [("content-type", "application/json"), ("x-forwarded-for", from)];
    fleet.request(server, Method::POST, "/api/v1/session", &headers, body.to_string())
}

#[test]
fn logins_that_do_not_come_hold_nobody_up() {
    const FLOOD: &str = "198.51.100.7";
    let (fleet, server) = behind_a_proxy();
    let (service, address) = ((&fleet, server), address(&fleet, server));
    let unfinished = format!(
        "POST /api/v1/session HTTP/1.1\r\nHost: weir\r\nX-Forwarded-For: {FLOOD}\r\nContent-Type: application/json\r\n\
         Content-Length: 100\r\n\r\n{{"
    );
    // More than the requests that are answered at once, and than the places in the audit log.
    let mut open: Vec<_> = (0..1_100).map(|_| begin(&address, &unfinished)).collect();
    until("an address with too many logins", || {
        open.extend((0..8).map(|_| begin(&address, &unfinished)));
        let refused = login(&fleet, server, FLOOD, json!({"api_key": ROOT}));
        (refused.body["code"] == "too_many_logins").then_some(())
    });
    assert_eq!(send(service, ROOT, None, Method::GET, "/api/v1/runs", "").status, 200);
    make_namespace(service, "made-meanwhile");
    assert_eq!(
        login(&fleet, server, "203.0.113.5", json!({"api_key": ROOT})).status,
        200
    );
    // Those that were let begin are not waited for.
    let given_up = open.iter().map(first_line).find(|line| line.contains(" 408 "));
    assert!(given_up.is_some(), "a login that does not come is given up");
    let large = json!({"api_key": "x".repeat(40 << 10)});
    assert_problem(&login(&fleet, server, "203.0.113.5", large), 413, "body_too_large");
}

#[test]
fn long_polls_of_one_namespace_leave_room_for_others() {
    let (fleet, server) = behind_a_proxy();
    let (service, address) = ((&fleet, server), address(&fleet, server));
    make_namespace(service, "many");
    make_namespace(service, "one");
    let (_, many) = make_key(service, "many", "submitter");
    let (_, one) = make_key(service, "one", "submitter");
    let sql = json!({"sql": {"statement": "SELECT 1 AS one"}}).to_string();
    let submit = |key: &str| {
        let made = send(service, key, None, Method::POST, "/api/v1/runs", &sql);
        assert_eq!(made.status, 201, "{}", made.body);
        made.body["id"].as_str().expect("an id").to_owned()
    };
    // Nobody runs it.
    let run = submit(&many);
    let poll = format!("GET /api/v1/runs/{run}?wait=60 HTTP/1.1\r\nHost: weir\r\nAuthorization: Bearer {many}\r\n\r\n");
    let mut open = Vec::new();
    let path = format!("/api/v1/runs/{run}?wait=1");
    until("a namespace with too many long polls", || {
        // Those that come faster than they are let in are refused: others come after them.
        open.extend((0..200).map(|_| begin(&address, &poll)));
        let refused = send(service, &many, None, Method::GET, &path, "");
        (refused.body["code"] == "too_many_long_polls").then_some(())
    });
    let theirs = submit(&one);
    let path = format!("/api/v1/runs/{theirs}?wait=1");
    assert_eq!(send(service, &one, None, Method::GET, &path, "").status, 200);
    // Their own requests go on as well: who waits takes no room.
    assert_eq!(send(service, &many, None, Method::GET, "/api/v1/runs", "").status, 200);
}

#[test]
fn connections_that_say_nothing_are_closed_and_one_network_has_a_part_of_them() {
    let (fleet, server) = guarded();
    let address = address(&fleet, server);
    let silent = ["", "P", "PRI * HTTP/2.0\r\n"].map(|text| begin(&address, text));
    for stream in &silent {
        assert_eq!(first_line(stream), "");
    }
    let (first, mut last) = (begin(&address, ""), begin(&address, ""));
    let mut open = Vec::new();
    for _ in 0..1_030 {
        open.push(std::mem::replace(&mut last, begin(&address, "")));
    }
    assert_eq!(first_line(&last), "", "a network that has too many");
    first.set_nonblocking(true).expect("a socket");
    let error = (&first).read(&mut [0]).expect_err("nothing is to be read");
    assert_eq!(
        error.kind(),
        ErrorKind::WouldBlock,
        "those from before stay for a while"
    );
    drop(open);
    until("room", || {
        let stream = begin(&address, "GET /healthz HTTP/1.1\r\nHost: weir\r\n\r\n");
        first_line(&stream).contains(" 200 ").then_some(())
    });
}

#[test]
fn what_a_client_begins_and_leaves_is_in_the_audit_log() {
    const LEFT: usize = 60;
    let (fleet, server) = guarded();
    let (service, address) = ((&fleet, server), address(&fleet, server));
    make_namespace(service, "a");
    let (_, admin) = make_key(service, "a", "admin");
    let body = json!({"name": "left", "role": "viewer"}).to_string();
    let request = format!(
        "POST /api/v1/keys HTTP/1.1\r\nHost: weir\r\nAuthorization: Bearer {admin}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    for n in 0..LEFT {
        let stream = begin(&address, &request);
        // Sometimes sooner, sometimes later.
        std::thread::sleep(Duration::from_micros(200 * n as u64));
        drop(stream);
    }
    let items = |path: &str| {
        let listed = send(service, &admin, None, Method::GET, path, "").body;
        listed["items"].as_array().expect("items").clone()
    };
    let mut before = 0;
    let keys = until("all that were begun", || {
        let keys = items("/api/v1/keys?limit=1000").len();
        let settled = keys > 1 && keys == std::mem::replace(&mut before, keys);
        std::thread::sleep(Duration::from_millis(200));
        settled.then_some(keys)
    });
    until("an entry of each", || {
        let entries = items("/api/v1/audit?action=keys_create&outcome=allowed&limit=1000");
        let made = entries.iter().filter(|entry| entry["status"] == 201).count();
        (made >= keys).then_some(())
    });
}

#[test]
fn sessions_of_the_bootstrap_key_end_when_it_is_another_one() {
    let (mut fleet, before) = guarded();
    let session = login(&fleet, before, "198.51.100.7", json!({"api_key": ROOT}));
    assert_eq!(session.status, 200, "{}", session.body);
    let cookie = session.header("set-cookie").and_then(|cookie| cookie.split(';').next());
    let cookie = cookie.expect("a cookie").to_owned();
    let status = |fleet: &Fleet, server| {
        let cookie = [("cookie", &*cookie)];
        fleet
            .request(server, Method::GET, "/api/v1/session", &cookie, "")
            .status
    };
    let same = fleet.server(&[]);
    fleet.set("WEIR_BOOTSTRAP_API_KEY", "another-sesame-for-tests");
    let after = fleet.server(&[]);
    assert_eq!(
        [before, same, after].map(|server| status(&fleet, server)),
        [200, 200, 401]
    );
}

#[test]
fn a_key_makes_none_that_outlives_it() {
    let (fleet, server) = guarded();
    let service = (&fleet, server);
    let make = |key: &str, body: Value| send(service, key, None, Method::POST, "/api/v1/keys", &body.to_string());
    let secret = |made: &Answer| made.body["secret"].as_str().expect("a secret").to_owned();
    let admin = |end: Option<&str>| json!({"name": "admin", "role": "admin", "expires_at": end});
    let end = "2096-01-01T00:00:00Z";
    let made = make(ROOT, admin(Some(end)));
    assert_eq!(made.status, 201, "{}", made.body);
    let ending = secret(&made);
    let own_end = made.body["key"]["expires_at"].clone();
    assert!(own_end.is_string(), "{}", made.body);
    let child = make(&ending, admin(None));
    assert_eq!((child.status, &child.body["key"]["expires_at"]), (201, &own_end));
    assert_problem(
        &make(&ending, admin(Some("2096-01-01T00:00:01Z"))),
        422,
        "invalid_request",
    );
    let sooner = make(&secret(&child), admin(Some("2095-01-01T00:00:00Z")));
    assert_eq!(sooner.status, 201, "{}", sooner.body);
    assert_ne!(sooner.body["key"]["expires_at"], own_end);
    assert!(make(ROOT, admin(None)).body["key"]["expires_at"].is_null());
}

#[test]
fn nothing_is_left_of_a_namespace_for_whoever_has_its_name_later() {
    let (fleet, server) = guarded();
    let service = (&fleet, server);
    make_namespace(service, "gone");
    let (_, key) = make_key(service, "gone", "admin");
    let definition = json!({"name": "p", "definition": {"sql": {"statement": "SELECT 1 AS one"}}}).to_string();
    let made = send(service, &key, None, Method::POST, "/api/v1/pipelines", &definition);
    assert_eq!(made.status, 201, "{}", made.body);
    let module = repository().join("examples/wordcount/tokenizer.wasm");
    let module = std::fs::read(module).expect("the example's component");
    let path = format!("/api/v1/modules/{}", weir_model::Digest::of(&module));
    let authorization = format!("Bearer {key}");
    let put = fleet.request(
        server,
        Method::PUT,
        &path,
        &[("authorization", &*authorization)],
        module,
    );
    assert_eq!(put.status, 201, "{}", put.body);
    assert!(!fleet.objects("weir/modules/gone").is_empty());

    let delete = || send(service, ROOT, None, Method::DELETE, "/api/v1/namespaces/gone", "");
    assert_problem(&delete(), 409, "namespace_in_use");
    let etag = send(service, &key, None, Method::GET, "/api/v1/pipelines/p", "");
    let etag = etag.header("etag").unwrap_or_default().to_owned();
    let headers = [("authorization", &*authorization), ("if-match", &*etag)];
    let deleted = fleet.request(server, Method::DELETE, "/api/v1/pipelines/p", &headers, "");
    assert_eq!(deleted.status, 204, "{}", deleted.body);
    let deleted = delete();
    assert_eq!(deleted.status, 204, "{}", deleted.body);
    assert!(fleet.objects("weir/modules/gone").is_empty());
    assert_problem(&delete(), 404, "namespace_not_found");
    // Requests may be under way that still leave something there.
    let again = json!({"name": "gone"}).to_string();
    let again = send(service, ROOT, None, Method::POST, "/api/v1/namespaces", &again);
    assert_problem(&again, 409, "namespace_just_deleted");
}

#[test]
fn readiness_says_which_part_is_missing_and_no_more() {
    let mut fleet = Fleet::new();
    fleet.set(
        "WEIR_TASK_QUEUE",
        &format!("{}-that-is-not-there", fleet.variable("WEIR_TASK_QUEUE").to_owned()),
    );
    let server = fleet.unready_server(&[]);
    let answer = fleet.request(server, Method::GET, "/readyz", &[], "");
    assert_eq!(answer.status, 503, "{}", answer.body);
    let checks = answer.body["checks"].as_array().expect("checks");
    let missing: Vec<_> = checks.iter().filter(|check| check["ok"] == false).collect();
    assert!(
        missing.iter().any(|check| check["name"] == "task_queue"),
        "{}",
        answer.body
    );
    for check in missing {
        let said = check["error"].as_str().expect("a text");
        assert!(said.contains("the server's log says more"), "{said}");
    }
    assert!(fleet.log(server).contains("a part of the service is not ready"));
}
