//! Sessions of browsers, and what ends with a session or a key; and whose requests these are behind a proxy.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use weir_model::Digest;

use super::fleet::{Answer, Fleet, MemberId, Stream, until};
use super::http::assert_problem;
use super::identity::{guarded, make_key, make_namespace, send};

const HOUR_MS: u64 = 3_600_000;
/// How soon a stream ends whose reader is let in no more, with time for a slow machine: much less than a stream lasts.
const SOON: Duration = Duration::from_secs(60);

/// A browser that has logged in.
struct Browser<'a> {
    fleet: &'a Fleet,
    server: MemberId,
    /// `NAME=VALUE`.
    cookie: String,
    csrf: String,
}

/// Sends an API key to the login.
fn login(fleet: &Fleet, server: MemberId, key: &str, headers: &[(&str, &str)]) -> Answer {
    let headers = [&[("content-type", "application/json")], headers].concat();
    let body = json!({"api_key": key}).to_string();
    fleet.request(server, Method::POST, "/api/v1/session", &headers, body)
}

impl<'a> Browser<'a> {
    fn new(fleet: &'a Fleet, server: MemberId, key: &str) -> Self {
        let session = login(fleet, server, key, &[]);
        assert_eq!(session.status, 200, "{}", session.body);
        let cookie = session.header("set-cookie").and_then(|cookie| cookie.split(';').next());
        Self {
            fleet,
            server,
            cookie: cookie.expect("a cookie").to_owned(),
            csrf: session.body["csrf_token"].as_str().expect("a token").to_owned(),
        }
    }

    fn get(&self, path: &str) -> Answer {
        let cookie = [("cookie", &*self.cookie)];
        self.fleet.request(self.server, Method::GET, path, &cookie, "")
    }

    fn stream(&self) -> Stream<'a> {
        let stream = self
            .fleet
            .stream(self.server, "?topics=runs", &[("cookie", &*self.cookie)]);
        assert_eq!(stream.status, 200);
        stream
    }

    fn logout(&self) -> u16 {
        let headers = [
            ("cookie", &*self.cookie),
            ("x-csrf-token", &*self.csrf),
            ("sec-fetch-site", "same-origin"),
        ];
        self.fleet
            .request(self.server, Method::DELETE, "/api/v1/session", &headers, "")
            .status
    }

    /// A condition that picks its row of the sessions.
    fn is_it(&self) -> String {
        let (_, value) = self.cookie.split_once('=').expect("a value");
        format!("hash = '{}'", Digest::of(value.as_bytes()))
    }
}

/// Reads a stream to its end, which must come soon.
#[track_caller]
fn assert_ends(stream: &mut Stream<'_>) {
    let start = Instant::now();
    while stream.next().is_some() {
        assert!(start.elapsed() < SOON, "it goes on");
    }
    assert!(start.elapsed() < SOON, "it went on for {:?}", start.elapsed());
}

#[test]
fn a_session_ends_when_it_is_left_alone_and_when_its_time_is_over() {
    let mut fleet = Fleet::new();
    fleet.set("WEIR_BOOTSTRAP_API_KEY", "open-sesame-for-tests");
    fleet.set("WEIR_HOUSEKEEPING_MS", "1000");
    let server = fleet.server(&[]);
    let (_, key) = make_key((&fleet, server), "default", "viewer");
    let [idle, old, watching, used] = std::array::from_fn(|_| Browser::new(&fleet, server, &key));
    let is_in = |browser: &Browser| browser.get("/api/v1/runs").status == 200;
    let mut streams = [idle.stream(), old.stream()];
    let mut open = watching.stream();
    assert!(open.next().is_some());

    let set = |browser: &Browser, column: &str, change: &str| {
        let statement = format!(
            "UPDATE sessions SET {column} = {column} {change} WHERE {}",
            browser.is_it()
        );
        assert_eq!(fleet.sql(&statement), 1);
    };
    set(&idle, "seen_at", &format!("- {HOUR_MS}"));
    set(&old, "expires_at", &format!("- 12 * {HOUR_MS}"));
    // Nearly an hour of silence, but for a stream that is read and a request.
    for browser in [&watching, &used] {
        set(browser, "seen_at", &format!("- {HOUR_MS} + 120000"));
    }
    for gone in [&idle, &old] {
        until("the session to be over", || (!is_in(gone)).then_some(()));
        assert_problem(&gone.get("/api/v1/runs"), 401, "unauthorized");
    }
    for stream in &mut streams {
        assert_ends(stream);
    }
    for browser in [&watching, &used] {
        let is_seen = format!(
            "UPDATE sessions SET seen_at = seen_at WHERE {} AND seen_at > expires_at - 12 * {HOUR_MS} - 60000",
            browser.is_it()
        );
        until("the session to be known as used", || {
            let is_one_in_use = std::ptr::eq(browser, &used);
            assert!(!is_one_in_use || is_in(browser));
            (fleet.sql(&is_seen) == 1).then_some(())
        });
    }
    // Nothing is kept of what is over.
    let rows = [&idle, &old].map(Browser::is_it).join(" OR ");
    until("the sessions to be forgotten", || {
        (fleet.sql(&format!("UPDATE sessions SET seen_at = seen_at WHERE {rows}")) == 0).then_some(())
    });
    assert!(is_in(&watching) && is_in(&used));
}

#[test]
fn a_stream_ends_with_the_key_or_the_session_that_opened_it() {
    let (fleet, server) = guarded();
    let service = (&fleet, server);
    let (id, revoked) = make_key(service, "default", "viewer");
    let (_, kept) = make_key(service, "default", "submitter");
    let with_key = |key: &str| {
        let authorization = format!("Bearer {key}");
        let stream = fleet.stream(server, "?topics=runs", &[("authorization", &*authorization)]);
        assert_eq!(stream.status, 200);
        stream
    };
    let leaving = Browser::new(&fleet, server, &kept);
    let bereft = Browser::new(&fleet, server, &revoked);
    let mut ending = [with_key(&revoked), leaving.stream(), bereft.stream()];
    let mut other = with_key(&kept);
    for stream in ending.iter_mut().chain([&mut other]) {
        assert!(stream.next().is_some(), "it begins with what is there");
    }
    assert_eq!(leaving.logout(), 204);
    let path = format!("/api/v1/keys/{id}");
    assert_eq!(
        send(service, "open-sesame-for-tests", None, Method::DELETE, &path, "").status,
        200
    );
    for stream in &mut ending {
        assert_ends(stream);
    }
    // Others go on.
    let run = r#"{"sql": {"statement": "SELECT 1 AS one"}}"#;
    let made = send(service, &kept, None, Method::POST, "/api/v1/runs", run);
    assert_eq!(made.status, 201, "{}", made.body);
    while let Some(event) = other.next() {
        if event
            .data
            .to_string()
            .contains(made.body["id"].as_str().expect("an id"))
        {
            return;
        }
    }
    panic!("the stream of another key ended");
}

#[test]
fn only_a_trusted_proxy_says_whose_request_it_is() {
    let mut fleet = Fleet::new();
    fleet.set("WEIR_BOOTSTRAP_API_KEY", "open-sesame-for-tests");
    let direct = fleet.server(&[]);
    fleet.set("WEIR_TRUSTED_PROXIES", "127.0.0.0/8,10.0.0.0/8");
    let behind = fleet.server(&[]);
    let get = |server, key: &str, forwarded: &str| {
        let authorization = format!("Bearer {key}");
        let headers = [("authorization", &*authorization), ("x-forwarded-for", forwarded)];
        fleet.request(server, Method::GET, "/api/v1/runs", &headers, "")
    };
    let flood = |server, address: &dyn Fn(u32) -> String| {
        (0..2_000)
            .map(|n| get(server, "weir_guess", &address(n)).status)
            .find(|status| *status != 401)
    };
    // Behind the proxy, the one who guesses is held up, and nobody else.
    assert_eq!(flood(behind, &|_| "198.51.100.7".to_owned()), Some(429));
    assert_eq!(get(behind, "weir_guess", "198.51.100.8").status, 401);
    // Each second lets one more come: of many some are held up still, and of nobody else's this few would be.
    let is_held_up = (0..50).any(|_| get(behind, "weir_guess", "198.51.100.7, 10.1.2.3").status == 429);
    assert!(is_held_up, "past a second proxy");
    assert_eq!(
        get(behind, "weir_guess", "198.51.100.7, 198.51.100.9").status,
        401,
        "what somebody says of others is not believed"
    );
    // Without one, addresses are anybody's invention.
    let invented = |n: u32| format!("198.51.100.{}", n % 250);
    assert_eq!(flood(direct, &invented), Some(429));

    make_namespace((&fleet, behind), "a");
    let name = |server, name: &str| {
        let headers = [
            ("authorization", "Bearer open-sesame-for-tests"),
            ("content-type", "application/json"),
            ("x-forwarded-for", "203.0.113.5, 10.9.9.9"),
        ];
        let body = json!({"name": name}).to_string();
        let status = || {
            fleet
                .request(server, Method::POST, "/api/v1/namespaces", &headers, body.clone())
                .status
        };
        // The address has guessed a great deal; the bootstrap key may be a word, and waits.
        until("the request to be let through", || (status() != 429).then_some(()));
    };
    name(behind, "behind");
    name(direct, "direct");
    let sources = until("the entries", || {
        let path = "/api/v1/audit?scope=service&action=namespaces_create&outcome=allowed";
        let audit = send((&fleet, behind), "open-sesame-for-tests", None, Method::GET, path, "").body;
        let items = audit["items"].as_array().expect("items").clone();
        let source = |name: &str| {
            let made = items
                .iter()
                .find(|entry| entry["target"] == format!("namespaces/{name}"))?;
            Some(made["source"].clone())
        };
        Some([source("behind")?, source("direct")?])
    });
    assert_eq!(sources, [json!("203.0.113.5"), json!("127.0.0.1")]);

    // The same goes for how safe the way was.
    let (_, key) = make_key((&fleet, behind), "default", "viewer");
    for (server, is_secure) in [(behind, true), (direct, false)] {
        let answer = login(&fleet, server, &key, &[("x-forwarded-proto", "https")]);
        assert_eq!(answer.status, 200, "{}", answer.body);
        let cookie = answer.header("set-cookie").expect("a cookie");
        assert_eq!(cookie.contains("Secure"), is_secure, "{cookie}");
        assert_eq!(cookie.starts_with("__Host-"), is_secure, "{cookie}");
        assert_eq!(answer.header("strict-transport-security").is_some(), is_secure);
        // A page of a sibling domain can set a cookie of the plain name, which counts for nothing by HTTPS.
        let token = cookie.split(';').next().and_then(|pair| pair.split_once('='));
        let (_, token) = token.expect("a cookie");
        let status = |name: &str| {
            let cookie = format!("{name}={token}");
            let headers = [("x-forwarded-proto", "https"), ("cookie", &*cookie)];
            fleet
                .request(server, Method::GET, "/api/v1/session", &headers, "")
                .status
        };
        let (strict, plain) = (status("__Host-weir_session"), status("weir_session"));
        assert_eq!([strict, plain], if is_secure { [200, 401] } else { [401, 200] });
    }
    let wrong = fleet.weir(["server", "--listen", "127.0.0.1:0", "--trusted-proxies", "everybody"]);
    assert_eq!(wrong.code, Some(2), "{}", wrong.stderr);
    assert!(wrong.stderr.contains("10.0.0.0/8"), "{}", wrong.stderr);
}

#[test]
fn a_session_is_as_good_as_what_it_began_with() {
    let (fleet, server) = guarded();
    make_namespace((&fleet, server), "a");
    let (_, key) = make_key((&fleet, server), "a", "viewer");
    let browser = Browser::new(&fleet, server, &key);
    let who = browser.get("/api/v1/session");
    assert_eq!(
        (&who.body["namespace"], &who.body["role"]),
        (&json!("a"), &json!("viewer")),
        "{}",
        who.body
    );
    assert_eq!(who.body["whole_service"], Value::Bool(false));
    assert_problem(&browser.get("/api/v1/keys"), 403, "forbidden");
    assert_eq!(browser.logout(), 204);
    assert_problem(&browser.get("/api/v1/session"), 401, "unauthorized");
    // A second logout is nobody's.
    assert_eq!(browser.logout(), 401);
}
