//! Keys, roles, namespaces, sessions and the audit log, as people and programs meet them.

use reqwest::Method;
use serde_json::{Value, json};

use super::fleet::{Answer, Fleet, MemberId, until};
use super::http::assert_problem;

pub(crate) const ROOT: &str = "open-sesame-for-tests";
const SQL: &str = r#"{"sql": {"statement": "SELECT 1 AS one"}}"#;

/// A fleet whose servers want keys, with one server.
pub(crate) fn guarded() -> (Fleet, MemberId) {
    let mut fleet = Fleet::new();
    fleet.set("WEIR_BOOTSTRAP_API_KEY", ROOT);
    let server = fleet.server(&[]);
    (fleet, server)
}

/// Sends a request with a key, about a namespace or that of the key.
pub(crate) fn send(
    (fleet, server): (&Fleet, MemberId),
    key: &str,
    namespace: Option<&str>,
    method: Method,
    path: &str,
    body: &str,
) -> Answer {
    let authorization = format!("Bearer {key}");
    let mut headers = vec![("authorization", &*authorization), ("content-type", "application/json")];
    headers.extend(namespace.map(|name| ("weir-namespace", name)));
    fleet.request(server, method, path, &headers, body.to_owned())
}

/// Makes a namespace.
pub(crate) fn make_namespace(service: (&Fleet, MemberId), name: &str) {
    let body = json!({"name": name}).to_string();
    let made = send(service, ROOT, None, Method::POST, "/api/v1/namespaces", &body);
    assert_eq!(made.status, 201, "{}", made.body);
}

/// Makes a key of a namespace; gives its id and its secret.
pub(crate) fn make_key(service: (&Fleet, MemberId), namespace: &str, role: &str) -> (String, String) {
    let body = json!({"name": format!("{role} of {namespace}"), "role": role}).to_string();
    let made = send(service, ROOT, Some(namespace), Method::POST, "/api/v1/keys", &body);
    assert_eq!(made.status, 201, "{}", made.body);
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    (text(&made.body["key"]["id"]), text(&made.body["secret"]))
}

#[test]
fn keys_open_their_namespace_with_their_role_until_they_are_revoked() {
    let (fleet, server) = guarded();
    let service = (&fleet, server);
    make_namespace(service, "a");
    make_namespace(service, "b");
    let (id, viewer) = make_key(service, "a", "viewer");
    let (_, submitter) = make_key(service, "a", "submitter");
    let (_, admin) = make_key(service, "a", "admin");
    let get = |key: &str, namespace, path: &str| send(service, key, namespace, Method::GET, path, "");

    let who = get(&viewer, None, "/api/v1/session");
    assert_eq!((who.status, &who.body["namespace"]), (200, &json!("a")), "{}", who.body);
    assert_eq!(
        (&who.body["role"], &who.body["whole_service"]),
        (&json!("viewer"), &json!(false))
    );
    assert_eq!(who.body["namespaces"], json!([{"name": "a", "role": "viewer"}]));
    let root = get(ROOT, None, "/api/v1/session");
    assert_eq!(
        (&root.body["namespace"], &root.body["whole_service"]),
        (&json!("default"), &json!(true))
    );

    // Roles.
    let submit = |key: &str, namespace| send(service, key, namespace, Method::POST, "/api/v1/runs", SQL);
    assert_problem(&submit(&viewer, None), 403, "forbidden");
    let run = submit(&submitter, None);
    assert_eq!(run.status, 201, "{}", run.body);
    let listed = |key: &str, namespace| {
        get(key, namespace, "/api/v1/runs").body["items"]
            .as_array()
            .map(Vec::len)
    };
    assert_eq!(
        (listed(&viewer, None), listed(ROOT, Some("a")), listed(ROOT, None)),
        (Some(1), Some(1), Some(0))
    );
    assert_problem(&get(&submitter, None, "/api/v1/keys"), 403, "forbidden");
    assert_problem(&get(&admin, None, "/api/v1/keys?scope=service"), 403, "forbidden");
    let whole = json!({"name": "x", "role": "viewer", "whole_service": true}).to_string();
    assert_problem(
        &send(service, &admin, None, Method::POST, "/api/v1/keys", &whole),
        403,
        "forbidden",
    );
    assert_problem(
        &send(
            service,
            &admin,
            None,
            Method::POST,
            "/api/v1/namespaces",
            r#"{"name": "c"}"#,
        ),
        403,
        "forbidden",
    );
    assert_eq!(
        get(&admin, None, "/api/v1/keys").body["items"].as_array().map(Vec::len),
        Some(3)
    );

    // Namespaces: one that is another's is as one that is not.
    for namespace in ["b", "nowhere"] {
        assert_problem(
            &get(&admin, Some(namespace), "/api/v1/runs"),
            404,
            "namespace_not_found",
        );
    }
    assert_problem(&submit(ROOT, Some("nowhere")), 404, "namespace_not_found");
    assert_problem(&submit(ROOT, Some("No!")), 400, "malformed_request");

    // The end of a key.
    let path = format!("/api/v1/keys/{id}");
    assert_eq!(get(&admin, None, &path).body["state"], "active");
    let revoked = send(service, &admin, None, Method::DELETE, &path, "");
    assert_eq!(
        (revoked.status, &revoked.body["state"]),
        (200, &json!("revoked")),
        "{}",
        revoked.body
    );
    assert_problem(&get(&viewer, None, "/api/v1/runs"), 401, "unauthorized");
    let soon = json!({"name": "x", "role": "viewer", "expires_at": "2020-01-01T00:00:00Z"}).to_string();
    assert_problem(
        &send(service, &admin, None, Method::POST, "/api/v1/keys", &soon),
        422,
        "invalid_request",
    );

    // Nothing that opens anything is in the log or in the store.
    for secret in [&viewer, &submitter, &admin] {
        assert!(!fleet.log(server).contains(&secret[..20]));
    }
}

#[test]
fn another_server_refuses_a_revoked_key_within_seconds() {
    let (mut fleet, first) = guarded();
    let second = fleet.server(&[]);
    let (id, key) = make_key((&fleet, first), "default", "viewer");
    let status = || send((&fleet, second), &key, None, Method::GET, "/api/v1/runs", "").status;
    assert_eq!(status(), 200);
    let revoked = send(
        (&fleet, first),
        ROOT,
        None,
        Method::DELETE,
        &format!("/api/v1/keys/{id}"),
        "",
    );
    assert_eq!(revoked.status, 200, "{}", revoked.body);
    until("the key to be refused", || (status() == 401).then_some(()));
}

#[test]
fn a_browser_logs_in_and_only_its_own_pages_change_anything() {
    let (fleet, server) = guarded();
    let service = (&fleet, server);
    let (key_id, key) = make_key(service, "default", "submitter");
    let login = |body: Value, headers: &[(&str, &str)]| {
        let headers: Vec<_> = [("content-type", "application/json")]
            .iter()
            .chain(headers)
            .copied()
            .collect();
        fleet.request(server, Method::POST, "/api/v1/session", &headers, body.to_string())
    };
    assert_problem(&login(json!({"api_key": "weir_nonsense"}), &[]), 401, "unauthorized");
    assert_problem(&login(json!({}), &[]), 422, "invalid_request");
    assert_problem(
        &login(json!({"api_key": key}), &[("sec-fetch-site", "cross-site")]),
        403,
        "csrf",
    );
    let session = login(json!({"api_key": key}), &[("sec-fetch-site", "same-origin")]);
    assert_eq!(session.status, 200, "{}", session.body);
    assert!(!session.body.to_string().contains(&key));
    let cookie = session.header("set-cookie").expect("a cookie").to_owned();
    assert!(
        cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"),
        "{cookie}"
    );
    let cookie = cookie.split(';').next().expect("its value").to_owned();
    let csrf = session.body["csrf_token"].as_str().expect("a token").to_owned();

    let with = |method: Method, path: &str, headers: &[(&str, &str)], body: &str| {
        let headers: Vec<_> = [("cookie", &*cookie), ("content-type", "application/json")]
            .iter()
            .chain(headers)
            .copied()
            .collect();
        fleet.request(server, method, path, &headers, body.to_owned())
    };
    assert_eq!(with(Method::GET, "/api/v1/runs", &[], "").status, 200);
    let again = with(Method::GET, "/api/v1/session", &[], "");
    assert_eq!(again.body["csrf_token"], session.body["csrf_token"]);
    assert_eq!(again.body["authentication"], "session");
    let (token, here) = (("x-csrf-token", &*csrf), ("sec-fetch-site", "same-origin"));
    let submit = |headers: &[(&str, &str)]| with(Method::POST, "/api/v1/runs", headers, SQL);
    for refused in [
        &[][..],
        &[token],
        &[here],
        &[token, ("sec-fetch-site", "cross-site")],
        &[token, ("origin", "https://evil.example")],
    ] {
        assert_problem(&submit(refused), 403, "csrf");
    }
    let made = submit(&[token, here]);
    assert_eq!(made.status, 201, "{}", made.body);

    // A second session, to see that one logout is one.
    let other = login(json!({"api_key": key}), &[]);
    let other = other
        .header("set-cookie")
        .and_then(|cookie| cookie.split(';').next())
        .expect("a cookie")
        .to_owned();
    let other = |path: &str| {
        fleet
            .request(server, Method::GET, path, &[("cookie", &*other)], "")
            .status
    };
    assert_eq!(with(Method::DELETE, "/api/v1/session", &[token, here], "").status, 204);
    assert_problem(&with(Method::GET, "/api/v1/runs", &[], ""), 401, "unauthorized");
    assert_eq!(other("/api/v1/runs"), 200);
    // It ends with the key that it began with.
    send(
        service,
        ROOT,
        None,
        Method::DELETE,
        &format!("/api/v1/keys/{key_id}"),
        "",
    );
    assert_eq!(other("/api/v1/runs"), 401);
}

#[test]
fn an_admin_ends_all_sessions_of_somebody() {
    let (mut fleet, server) = guarded();
    let second = fleet.server(&[]);
    let service = (&fleet, server);
    let login = |key: &str| {
        let headers = [("content-type", "application/json")];
        let body = json!({ "api_key": key }).to_string();
        let session = fleet.request(server, Method::POST, "/api/v1/session", &headers, body);
        assert_eq!(session.status, 200, "{}", session.body);
        let cookie = session.header("set-cookie").and_then(|cookie| cookie.split(';').next());
        let principal = session.body["principal"].as_str().expect("a name").to_owned();
        (cookie.expect("a cookie").to_owned(), principal)
    };
    let (_, theirs) = make_key(service, "default", "submitter");
    let (_, others) = make_key(service, "default", "viewer");
    let (_, admin) = make_key(service, "default", "admin");
    let ((one, name), (two, _), (other, _)) = (login(&theirs), login(&theirs), login(&others));
    let status = |server: MemberId, cookie: &str| {
        let headers = [("cookie", cookie)];
        fleet.request(server, Method::GET, "/api/v1/runs", &headers, "").status
    };
    for cookie in [&one, &two, &other] {
        assert_eq!((status(server, cookie), status(second, cookie)), (200, 200));
    }
    let end = |key: &str, principal: &str| {
        let url = reqwest::Url::parse_with_params("http://x/api/v1/sessions", [("principal", principal)]);
        let url = url.expect("a URL");
        let path = format!("{}?{}", url.path(), url.query().unwrap_or_default());
        send(service, key, None, Method::DELETE, &path, "")
    };
    assert_problem(&end(&others, &name), 403, "forbidden");
    assert_problem(&end(&admin, &name), 403, "forbidden");
    assert_problem(&end(ROOT, ""), 400, "invalid_query");
    let list = |key: &str, query: &str| send(service, key, None, Method::GET, &format!("/api/v1/sessions{query}"), "");
    let own = list(&theirs, "").body;
    let own = own["items"].as_array().expect("items");
    assert_eq!(own.len(), 2, "{own:?}");
    assert!(
        own.iter()
            .all(|session| session["principal"] == *name && session["current"] == false)
    );
    assert_problem(&list(&admin, "?scope=service"), 403, "forbidden");
    assert_problem(&list(ROOT, "?principal=nobody"), 400, "invalid_query");
    assert_problem(&list(ROOT, "?cursor=x"), 400, "invalid_query");
    let first = list(ROOT, "?scope=service&limit=2").body;
    let cursor = first["next_cursor"].as_str().expect("there are more");
    let rest = list(ROOT, &format!("?scope=service&limit=2&cursor={cursor}")).body;
    assert_eq!(
        (rest["items"].as_array().map(Vec::len), rest["next_cursor"].as_str()),
        (Some(1), None)
    );
    assert!(
        rest["items"]
            .as_array()
            .is_some_and(|rest| rest.iter().all(|session| own.contains(session)))
    );
    assert_eq!(end(ROOT, "nobody").body, json!({ "ended": 0 }));
    assert_eq!(end(ROOT, &name).body, json!({ "ended": 2 }));
    for cookie in [&one, &two] {
        assert_eq!(status(server, cookie), 401);
        until("the other server to hear of it", || {
            (status(second, cookie) == 401).then_some(())
        });
    }
    assert_eq!((status(server, &other), status(second, &other)), (200, 200));
    until("the entry", || {
        let page = send(
            service,
            ROOT,
            None,
            Method::GET,
            "/api/v1/audit?scope=service&action=sessions_end",
            "",
        );
        let entries = page.body["items"].as_array().expect("items").clone();
        let target = format!("sessions/{name}");
        entries.iter().any(|entry| entry["target"] == target).then_some(())
    });
}

#[test]
fn whoever_may_only_look_ends_their_own_sessions_and_no_others() {
    let (fleet, server) = guarded();
    let service = (&fleet, server);
    let (_, viewer) = make_key(service, "default", "viewer");
    let (_, other) = make_key(service, "default", "viewer");
    // A browser: its cookie, and what it must send to change something.
    let login = |key: &str| {
        let headers = [("content-type", "application/json")];
        let body = json!({ "api_key": key }).to_string();
        let session = fleet.request(server, Method::POST, "/api/v1/session", &headers, body);
        let cookie = session.header("set-cookie").and_then(|cookie| cookie.split(';').next());
        let csrf = session.body["csrf_token"].as_str().expect("a token").to_owned();
        (cookie.expect("a cookie").to_owned(), csrf)
    };
    let browse = |(cookie, csrf): &(String, String), method: Method, path: &str| {
        let headers = [
            ("cookie", &**cookie),
            ("x-csrf-token", csrf),
            ("sec-fetch-site", "same-origin"),
        ];
        fleet.request(server, method, path, &headers, "")
    };
    let (one, two, three, foreign) = (login(&viewer), login(&viewer), login(&viewer), login(&other));
    let sessions = |of: &(String, String)| {
        let page = browse(of, Method::GET, "/api/v1/sessions").body;
        page["items"].as_array().expect("items").clone()
    };
    let id_of = |session: &Value| session["id"].as_str().expect("an id").to_owned();
    let current = |sessions: &[Value]| {
        let mut current = sessions.iter().filter(|session| session["current"] == true);
        let found = id_of(current.next().expect("the one that asks"));
        assert!(current.next().is_none(), "{sessions:?}");
        found
    };
    assert_eq!(sessions(&one).len(), 3);
    let (first, second) = (current(&sessions(&one)), current(&sessions(&two)));
    assert_ne!(first, second);
    let strange = current(&sessions(&foreign));
    for absent in [&*strange, "x", &"0".repeat(64)] {
        let refused = browse(&one, Method::DELETE, &format!("/api/v1/sessions/{absent}"));
        assert_problem(&refused, 404, "session_not_found");
    }
    assert_eq!(
        browse(&one, Method::DELETE, &format!("/api/v1/sessions/{second}")).status,
        204
    );
    assert_eq!(browse(&two, Method::GET, "/api/v1/runs").status, 401);
    assert_eq!((sessions(&one).len(), sessions(&foreign).len()), (2, 1));

    let without_proof = [("cookie", &*one.0)];
    let forged = fleet.request(server, Method::DELETE, "/api/v1/sessions", &without_proof, "");
    assert_problem(&forged, 403, "csrf");
    let out = browse(&one, Method::DELETE, "/api/v1/sessions");
    assert_eq!((out.status, out.body), (200, json!({ "ended": 2 })));
    for over in [&one, &three] {
        assert_eq!(browse(over, Method::GET, "/api/v1/runs").status, 401);
    }
    assert_eq!(browse(&foreign, Method::GET, "/api/v1/runs").status, 200);

    // The same on the command line, where one's own are those of the key.
    let weir = |key: &str, args: &[&str]| {
        let args: Vec<&str> = args.iter().chain(&["--api-key", key]).copied().collect();
        fleet.client(server, args)
    };
    let listed = weir(&other, &["sessions", "list", "-o", "jsonl"]);
    let session: Value = serde_json::from_str(listed.stdout.trim()).expect("one session");
    assert_eq!(session["id"], *strange);
    assert_eq!(weir(&other, &["sessions", "list", "--all"]).code, Some(3));
    assert_eq!(weir(&other, &["sessions", "end"]).code, Some(2), "which is not said");
    assert_eq!(weir(&viewer, &["sessions", "end", &strange]).code, Some(4));
    assert!(
        weir(ROOT, &["sessions", "list", "--all"])
            .stdout
            .contains(&strange[..12])
    );
    let ended = weir(&other, &["sessions", "end", "--own", "-o", "json"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(
        serde_json::from_str::<Value>(&ended.stdout).ok(),
        Some(json!({ "ended": 1 }))
    );
    assert_eq!(browse(&foreign, Method::GET, "/api/v1/runs").status, 401);
    let again = login(&other);
    let id = current(&sessions(&again));
    assert_eq!(weir(ROOT, &["sessions", "end", &id]).code, Some(0));
    assert_eq!(browse(&again, Method::GET, "/api/v1/runs").status, 401);
}

#[test]
fn changes_and_denials_are_in_the_audit_log() {
    let (fleet, server) = guarded();
    let service = (&fleet, server);
    make_namespace(service, "a");
    make_namespace(service, "b");
    let (_, submitter) = make_key(service, "a", "submitter");
    let (_, admin) = make_key(service, "a", "admin");
    let run = send(service, &submitter, None, Method::POST, "/api/v1/runs", SQL);
    let run = run.body["id"].as_str().expect("an id").to_owned();
    send(service, &submitter, None, Method::GET, "/api/v1/keys", "");
    send(service, &submitter, Some("b"), Method::GET, "/api/v1/runs", "");
    send(service, "weir_wrong", None, Method::GET, "/api/v1/runs", "");
    send(service, &submitter, None, Method::GET, "/api/v1/runs", "");
    let check = json!({"script": "SELECT 1"}).to_string();
    let checked = send(service, &submitter, None, Method::POST, "/api/v1/sql/check", &check);
    assert_eq!((checked.status, &checked.body["valid"]), (200, &json!(true)));
    send(service, "weir_wrong", None, Method::POST, "/api/v1/sql/check", &check);

    let entries = |key: &str, query: &str| {
        let page = send(service, key, None, Method::GET, &format!("/api/v1/audit{query}"), "");
        assert_eq!(page.status, 200, "{}", page.body);
        page.body["items"].as_array().expect("items").clone()
    };
    let found = |entries: &[Value], action: &str, outcome: &str| {
        let mut found = entries
            .iter()
            .filter(|entry| entry["action"] == action && entry["outcome"] == outcome);
        found.next().cloned()
    };
    // Written beside the requests, all of them soon.
    let all = until("the entries", || {
        let all = entries(ROOT, "?scope=service");
        (all.iter().filter(|entry| entry["outcome"] == "denied").count() >= 4).then_some(all)
    });
    let submitted = found(&all, "runs_submit", "allowed").expect("the submission");
    assert_eq!(submitted["target"], format!("runs/{run}"));
    assert_eq!(
        (&submitted["namespace"], &submitted["status"]),
        (&json!("a"), &json!(201))
    );
    assert!(
        submitted["principal"]
            .as_str()
            .is_some_and(|name| name.starts_with("submitter of a (")),
        "{submitted}"
    );
    assert_eq!(submitted["source"], "127.0.0.1");
    assert_eq!(
        found(&all, "namespaces_create", "allowed").expect("it")["principal"],
        "bootstrap key"
    );
    let denied = found(&all, "keys_list", "denied").expect("the denial");
    assert_eq!(
        (&denied["status"], &denied["detail"]),
        (&json!(403), &json!("forbidden"))
    );
    let denials: Vec<_> = all.iter().filter(|entry| entry["action"] == "runs_list").collect();
    let statuses: Vec<_> = denials.iter().map(|entry| entry["status"].as_u64()).collect();
    assert_eq!(
        statuses,
        [Some(401), Some(404)],
        "looking at what one may see is not noted: {denials:?}"
    );
    let checks: Vec<_> = all.iter().filter(|entry| entry["action"] == "sql_check").collect();
    let outcomes: Vec<_> = checks.iter().map(|entry| &entry["outcome"]).collect();
    assert_eq!(outcomes, ["denied"], "checking SQL changes nothing");
    assert!(!Value::from(all).to_string().contains(&submitter));

    // An admin of a namespace sees what happened there.
    let theirs = entries(&admin, "");
    assert!(
        !theirs.is_empty() && theirs.iter().all(|entry| entry["namespace"] == "a"),
        "{theirs:?}"
    );
    assert_eq!(entries(&admin, "?action=runs_submit&outcome=allowed").len(), 1);
    let first = send(
        service,
        ROOT,
        None,
        Method::GET,
        "/api/v1/audit?scope=service&limit=2",
        "",
    );
    let cursor = first.body["next_cursor"].as_str().expect("more").to_owned();
    let rest = entries(ROOT, &format!("?scope=service&cursor={cursor}"));
    assert!(
        rest.iter()
            .all(|entry| entry["id"].as_str() < first.body["items"][1]["id"].as_str())
    );
}

#[test]
fn guesses_are_counted_and_floods_are_held_up() {
    let mut fleet = Fleet::new();
    fleet.set("WEIR_BOOTSTRAP_API_KEY", ROOT);
    fleet.set("WEIR_REQUESTS_PER_SECOND", "1");
    let server = fleet.server(&[]);
    let get = |key: &str| send((&fleet, server), key, None, Method::GET, "/api/v1/session", "");
    let (_, key) = make_key((&fleet, server), "default", "viewer");
    let (_, other) = make_key((&fleet, server), "default", "viewer");
    let limited = (0..50)
        .map(|_| get(&key))
        .find(|answer| answer.status != 200)
        .expect("an end");
    assert_problem(&limited, 429, "rate_limited");
    assert!(
        limited
            .header("retry-after")
            .is_some_and(|seconds| seconds.parse::<u32>().is_ok_and(|seconds| seconds >= 1))
    );
    assert_eq!(get(ROOT).status, 200, "another's requests are not held up");
    let limited = (0..200)
        .map(|_| get("weir_guess"))
        .find(|answer| answer.status != 401)
        .expect("an end");
    assert_problem(&limited, 429, "rate_limited");
    // A guess comes back each second; one of these takes it before the next.
    let held_up = (0..100).any(|_| get("weir_guess").status == 429 && get(ROOT).status == 429);
    assert!(held_up, "the bootstrap key may be a word, and waits");
    assert_eq!(
        get(&other).status,
        200,
        "one that nobody can guess is not held up by others' guesses"
    );
    assert_eq!(fleet.request(server, Method::GET, "/healthz", &[], "").status, 200);
}

#[test]
fn answers_tell_browsers_to_allow_nobody() {
    let (fleet, server) = guarded();
    for path in ["/api/v1/session", "/healthz", "/runs"] {
        let answer = fleet.head(server, path);
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "same-origin"),
            ("cross-origin-opener-policy", "same-origin"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{path}");
        }
        let policy = answer.header("content-security-policy").expect("a policy");
        assert!(
            policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"),
            "{policy}"
        );
        assert!(answer.header("permissions-policy").is_some());
        assert_eq!(answer.header("strict-transport-security"), None, "it came in the clear");
    }
}

#[test]
fn people_manage_keys_by_the_command_line() {
    let (fleet, server) = guarded();
    let root = |args: &[&str]| {
        let args: Vec<&str> = args.iter().chain(&["--api-key", ROOT]).copied().collect();
        fleet.client(server, args)
    };
    let ok = |args: &[&str]| {
        let ran = root(args);
        assert_eq!(ran.code, Some(0), "{args:?}\n{}\n{}", ran.stdout, ran.stderr);
        ran.stdout
    };
    ok(&["namespaces", "create", "analytics", "--display-name", "Analytics"]);
    assert!(ok(&["namespaces", "list"]).contains("analytics"));
    assert_eq!(root(&["namespaces", "create", "analytics"]).code, Some(5));
    assert_eq!(root(&["namespaces", "create", "No!"]).code, Some(2));
    assert_eq!(root(&["namespaces", "get", "nowhere"]).code, Some(4));
    let secret = ok(&[
        "keys",
        "create",
        "ci",
        "--role",
        "submitter",
        "--namespace",
        "analytics",
    ]);
    let secret = secret.trim();
    assert!(
        secret.starts_with("weir_") && secret.len() == 41,
        "the secret alone is on stdout: {secret}"
    );

    let with = |args: &[&str]| {
        let args: Vec<&str> = args.iter().chain(&["--api-key", secret]).copied().collect();
        fleet.client(server, args)
    };
    let who = with(&["whoami"]);
    assert!(
        who.stdout.contains("analytics") && who.stdout.contains("submitter"),
        "{}",
        who.stdout
    );
    assert_eq!(with(&["runs", "list"]).code, Some(0));
    assert_eq!(with(&["runs", "list", "--namespace", "default"]).code, Some(4));
    assert_eq!(with(&["keys", "list"]).code, Some(3));
    let listed = ok(&["keys", "list", "--namespace", "analytics", "-o", "jsonl"]);
    let key: Value = serde_json::from_str(listed.trim()).expect("one key");
    assert_eq!((&key["name"], &key["state"]), (&json!("ci"), &json!("active")));
    assert!(key["expires_at"].is_string(), "keys end by default: {key}");
    assert!(!listed.contains(&secret[..20]));
    ok(&["keys", "revoke", key["id"].as_str().expect("an id")]);
    assert_eq!(with(&["runs", "list"]).code, Some(3));
    assert!(ok(&["audit", "--all"]).contains("keys_revoke"));
    assert_eq!(ok(&["namespaces", "delete", "analytics"]), "");
    assert_eq!(root(&["namespaces", "delete", "default"]).code, Some(5));
}

#[test]
fn a_bootstrap_key_that_anybody_could_guess_is_refused() {
    let mut fleet = Fleet::new();
    for key in ["", "   ", "nineteen characters", "  nineteen characters  "] {
        fleet.set("WEIR_BOOTSTRAP_API_KEY", key);
        for command in ["server", "history"] {
            let refused = fleet.weir([command, "--listen", "127.0.0.1:0"]);
            assert_eq!(refused.code, Some(2), "{command} {key:?}: {}", refused.stderr);
            assert!(refused.stderr.contains("at least 20 characters"), "{}", refused.stderr);
        }
    }
    // As a file has it, with a line end.
    fleet.set("WEIR_BOOTSTRAP_API_KEY", &format!("{ROOT}\n"));
    let server = fleet.server(&[]);
    let service = (&fleet, server);
    let login = |key: &str| {
        let body = json!({"api_key": key}).to_string();
        fleet.request(
            server,
            Method::POST,
            "/api/v1/session",
            &[("content-type", "application/json")],
            body,
        )
    };
    for key in ["", " "] {
        assert_problem(&login(key), 401, "unauthorized");
        assert_eq!(send(service, key, None, Method::GET, "/api/v1/runs", "").status, 401);
    }
    assert_eq!(login(ROOT).status, 200);
    assert_eq!(send(service, ROOT, None, Method::GET, "/api/v1/runs", "").status, 200);
}

#[test]
fn a_server_is_open_on_loopback_alone_and_until_there_are_keys() {
    let mut fleet = Fleet::new();
    let refused = fleet.weir(["server", "--listen", "0.0.0.0:0"]);
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    assert!(refused.stderr.contains("WEIR_BOOTSTRAP_API_KEY"), "{}", refused.stderr);

    let server = fleet.server(&[]);
    let get = |headers: &[(&str, &str)]| fleet.request(server, Method::GET, "/api/v1/runs", headers, "");
    assert_eq!(get(&[]).status, 200);
    assert_eq!(get(&[("host", "localhost:1234")]).status, 200);
    // A page of another site, and a name of another site that was pointed here.
    for foreign in [
        ("origin", "https://evil.example"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("host", "evil.example"),
        ("host", "evil.example:8080"),
    ] {
        assert_problem(&get(&[foreign]), 403, "foreign_origin");
    }
    let made = fleet.client_ok(
        server,
        ["keys", "create", "first", "--role", "admin", "--whole-service"],
    );
    let later = fleet.server(&[]);
    let status = |headers: &[(&str, &str)]| fleet.request(later, Method::GET, "/api/v1/runs", headers, "").status;
    assert_eq!(status(&[]), 401, "there is a key");
    assert_eq!(status(&[("authorization", &*format!("Bearer {}", made.trim()))]), 200);
}
