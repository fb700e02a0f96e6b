//! Every route of the API, attacked from another namespace.
//!
//! Whatever an admin of one namespace asks for of another's must be answered as if it were not there: the same status
//! and the same words as for names that are nowhere. The routes are those of the document that the server gives out; one
//! that this test does not know how to attack fails it.

use std::collections::BTreeMap;

use reqwest::Method;
use serde_json::{Map, Value, json};
use weir_model::Digest;

use super::fleet::{Answer, Fleet, MemberId, until};
use super::identity::{guarded, make_key, make_namespace, send};
use crate::support::repository;

/// Stands in everything of the victim's; in no answer to anybody else.
const CANARY: &str = "canary-1f0b9c";
const VICTIM: &str = "victim";
const ATTACKER: &str = "attacker";

/// One way to send one request.
pub(super) struct Attack {
    pub(super) operation: String,
    pub(super) method: Method,
    /// Has the parameters in braces.
    pub(super) path: String,
    /// Query parameters that may name something.
    query: Vec<String>,
    body: bool,
}

/// What parameters stand for.
pub(super) type Names = BTreeMap<&'static str, String>;

/// The victim's things, and things that are nowhere but look alike.
pub(super) struct Targets {
    pub(super) theirs: Names,
    nowhere: Names,
}

#[test]
fn nothing_of_another_namespace_can_be_seen_named_or_reached() {
    let (fleet, server) = guarded();
    let service = (&fleet, server);
    make_namespace(service, VICTIM);
    make_namespace(service, ATTACKER);
    let (key_id, victim) = make_key(service, VICTIM, "admin");
    let (_, attacker) = make_key(service, ATTACKER, "admin");
    let (_, bystander) = make_key(service, "default", "admin");
    let targets = furnish(&fleet, server, &victim, &key_id);
    let before = inventory(service, &victim, &targets.theirs);

    let mut named_theirs = targets.nowhere.clone();
    named_theirs.insert("namespace", VICTIM.to_owned());
    let attacks = attacks(service);
    assert!(attacks.len() > 40, "the document has all routes");
    for attack in &attacks {
        // Told by the path or the query, and by the header.
        compare(service, attack, &attacker, None, &targets);
        let named = [Some(VICTIM), Some("nowhere")];
        let [there, nowhere] = named.map(|namespace| ask(service, attack, &attacker, namespace, &targets.nowhere));
        if attack.path.starts_with("/api/") && attack.operation != "session_create" {
            assert_eq!(there.status, 404, "{}: {}", attack.operation, there.body);
        }
        assert_same(attack, (&there, &named_theirs), (&nowhere, &targets.nowhere));
        // Without a key nothing but a login is answered.
        let stranger = until("a stranger to be heard", || {
            let answer = ask(service, attack, "", None, &targets.theirs);
            (answer.status != 429).then_some(answer)
        });
        if attack.path.starts_with("/api/") {
            let expected = if attack.operation == "session_create" { 422 } else { 401 };
            assert_eq!(stranger.status, expected, "{}: {}", attack.operation, stranger.body);
        }
    }
    let audit = send(service, &attacker, None, Method::GET, "/api/v1/audit?limit=1000", "");
    assert_eq!(audit.status, 200);
    assert!(!audit.body.to_string().contains(CANARY));
    // What the service's own admins did falls back to no namespace, not even to the default one.
    let audit = send(service, &bystander, None, Method::GET, "/api/v1/audit?limit=1000", "");
    assert_eq!(audit.status, 200);
    for name in [CANARY, VICTIM, ATTACKER, &key_id] {
        assert!(!audit.body.to_string().contains(name), "{name}: {}", audit.body);
    }
    assert_eq!(
        inventory(service, &victim, &targets.theirs),
        before,
        "nothing of the victim's has changed"
    );
}

#[test]
fn viewers_change_nothing() {
    let (fleet, server) = guarded();
    let service = (&fleet, server);
    make_namespace(service, VICTIM);
    let (key_id, admin) = make_key(service, VICTIM, "admin");
    let (_, viewer) = make_key(service, VICTIM, "viewer");
    let targets = furnish(&fleet, server, &admin, &key_id);
    let before = inventory(service, &admin, &targets.theirs);
    for attack in attacks(service) {
        // Whoever may only look may begin and end sessions of their own.
        let is_own = matches!(
            attack.operation.as_str(),
            "session_create" | "session_delete" | "sessions_end"
        );
        if attack.method.is_safe() || is_own {
            continue;
        }
        let answer = ask(service, &attack, &viewer, None, &targets.theirs);
        // Of others' sessions there are none.
        let expected = if attack.operation == "sessions_end_one" {
            404
        } else {
            403
        };
        assert_eq!(answer.status, expected, "{}: {}", attack.operation, answer.body);
    }
    assert_eq!(inventory(service, &admin, &targets.theirs), before);
}

/// Makes one of each kind for the victim.
pub(super) fn furnish(fleet: &Fleet, server: MemberId, key: &str, key_id: &str) -> Targets {
    let service = (fleet, server);
    let make = |path: &str, body: Value| {
        let made = send(service, key, None, Method::POST, path, &body.to_string());
        assert_eq!(made.status, 201, "{path}: {}", made.body);
        made.body
    };
    let bytes = std::fs::read(repository().join("examples/wordcount/tokenizer.wasm")).expect("the example's component");
    let digest = Digest::of(&bytes).to_string();
    let authorization = format!("Bearer {key}");
    let headers = [("authorization", &*authorization), ("content-type", "application/wasm")];
    let put = fleet.request(
        server,
        Method::PUT,
        &format!("/api/v1/modules/{digest}"),
        &headers,
        bytes,
    );
    assert_eq!(put.status, 201, "{}", put.body);
    let sql = json!({"statement": format!("SELECT '{CANARY}' AS secret")});
    let run = make(
        "/api/v1/runs",
        json!({"name": CANARY, "sql": sql, "labels": {"label": CANARY}}),
    );
    let run = run["id"].as_str().expect("an id").to_owned();
    make(
        "/api/v1/pipelines",
        json!({"name": "theirs-pipeline", "description": CANARY, "definition": {"sql": sql}}),
    );
    make(
        "/api/v1/schedules",
        json!({"name": "theirs-schedule", "description": CANARY, "pipeline": "theirs-pipeline", "cron": "0 0 1 1 *"}),
    );
    let login = json!({"api_key": key}).to_string();
    let login = fleet.request(
        server,
        Method::POST,
        "/api/v1/session",
        &[("content-type", "application/json")],
        login,
    );
    let cookie = login
        .header("set-cookie")
        .and_then(|cookie| cookie.split([';', '=']).nth(1));
    let session = Digest::of(cookie.expect("a cookie").as_bytes()).to_string();
    let names = |run: &str, key: &str, session: &str, digest: &str, prefix: &str, namespace: &str| {
        Names::from([
            ("run", run.to_owned()),
            ("key", key.to_owned()),
            ("session", session.to_owned()),
            ("digest", digest.to_owned()),
            ("pipeline", format!("{prefix}-pipeline")),
            ("schedule", format!("{prefix}-schedule")),
            ("namespace", namespace.to_owned()),
            // Of one of the things above.
            ("version", "1".to_owned()),
            ("seq", "1".to_owned()),
            ("stage", "0".to_owned()),
            ("task", "0".to_owned()),
            ("attempt", "0".to_owned()),
            ("output", "0".to_owned()),
            ("index", "0".to_owned()),
            ("file", "0".to_owned()),
        ])
    };
    let nowhere = Digest::of(b"nowhere").to_string();
    Targets {
        theirs: names(&run, key_id, &session, &digest, "theirs", VICTIM),
        nowhere: names(
            "01jz0000000000000000000000",
            "01jz0000000000000000000001",
            &Digest::of(b"no session").to_string(),
            &nowhere,
            "absent",
            "nowhere",
        ),
    }
}

/// The operations of the document that the server gives out.
pub(super) fn attacks(service: (&Fleet, MemberId)) -> Vec<Attack> {
    let document = send(
        service,
        "open-sesame-for-tests",
        None,
        Method::GET,
        "/api/v1/openapi.json",
        "",
    )
    .body;
    let paths = document["paths"].as_object().expect("paths").clone();
    let mut attacks = Vec::new();
    for (path, item) in paths {
        for (method, operation) in item.as_object().expect("operations") {
            let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
            let query = parameters.iter().filter(|parameter| parameter["in"] == "query");
            attacks.push(Attack {
                operation: operation["operationId"].as_str().expect("an id").to_owned(),
                method: method.to_uppercase().parse().expect("a method"),
                path: path.clone(),
                query: query
                    .filter_map(|parameter| parameter["name"].as_str().map(str::to_owned))
                    .collect(),
                body: operation["requestBody"].is_object(),
            });
        }
    }
    // A thing of the attacker's own with the victim's name would be found from then on: those that make one come last.
    attacks.sort_by_key(|attack| attack.method == Method::PUT);
    attacks
}

impl Attack {
    /// The path with names in it, and with what the query may name.
    pub(super) fn url(&self, names: &Names) -> String {
        let mut url = self.path.clone();
        while let Some((before, rest)) = url.split_once('{') {
            let (parameter, after) = rest.split_once('}').expect("a closing brace");
            let name = names.get(parameter);
            let name = name.unwrap_or_else(|| panic!("{}: teach this test what a `{parameter}` is", self.operation));
            url = format!("{before}{name}{after}");
        }
        let mut separator = '?';
        for parameter in &self.query {
            // All that the query can name; page sizes and the like name nothing.
            let value = match parameter.as_str() {
                "run" | "pipeline" | "schedule" | "key" | "digest" | "module" => names.get(parameter.as_str()).cloned(),
                "other" | "base" | "with" | "against" => names.get("run").cloned(),
                "cron" => Some("@daily".to_owned()),
                _ => None,
            };
            if let Some(value) = value {
                url = format!("{url}{separator}{parameter}={value}");
                separator = '&';
            }
        }
        url
    }

    /// A body that is in order, and names what it can name.
    pub(super) fn content(&self, names: &Names) -> Value {
        if !self.body {
            return Value::Null;
        }
        let sql = json!({"statement": "SELECT 1 AS one"});
        match self.operation.as_str() {
            "runs_submit" => json!({"sql": sql, "modules": {"a.wasm": names["digest"]}}),
            "pipelines_create" => {
                json!({"name": "mine", "definition": {"sql": sql, "modules": {"a.wasm": names["digest"]}}})
            }
            "sql_check" => json!({"script": "SELECT 1 AS one", "modules": {"a.wasm": names["digest"]}}),
            "pipelines_put" => json!({"definition": {"sql": sql}}),
            "pipelines_run" => json!({}),
            "schedules_create" => {
                json!({"name": format!("{}-mine", names["schedule"]), "pipeline": names["pipeline"], "cron": "@daily"})
            }
            "schedules_put" => json!({"pipeline": names["pipeline"], "cron": "@daily"}),
            "namespaces_create" => json!({"name": names["namespace"]}),
            "namespaces_put" => json!({"display_name": "mine"}),
            "quotas_put" => json!({"max_runs": 1}),
            "keys_create" => json!({"name": "mine", "role": "viewer"}),
            "session_create" => json!({}),
            "modules_upload" => json!({"bytes": 1}),
            // Bytes that are no module: all that matters is whether it is let come so far.
            "modules_put" => json!({"no": "module"}),
            other => panic!("teach this test what a body of `{other}` is"),
        }
    }
}

/// Sends one request.
fn ask(service: (&Fleet, MemberId), attack: &Attack, key: &str, namespace: Option<&str>, names: &Names) -> Answer {
    let (fleet, server) = service;
    let url = attack.url(names);
    if attack.operation == "stream" {
        return open_stream(service, key, namespace, &names["run"]);
    }
    let content = match attack.content(names) {
        Value::Null => String::new(),
        content => content.to_string(),
    };
    let authorization = format!("Bearer {key}");
    let mut headers = vec![("content-type", "application/json")];
    if !key.is_empty() {
        headers.push(("authorization", &*authorization));
    }
    headers.extend(namespace.map(|name| ("weir-namespace", name)));
    if attack.operation == "metrics" {
        return fleet.head(server, &url);
    }
    fleet.request(server, attack.method.clone(), &url, &headers, content)
}

/// A stream has no end: its first event, or its refusal, says whether it shows anything.
fn open_stream((fleet, server): (&Fleet, MemberId), key: &str, namespace: Option<&str>, run: &str) -> Answer {
    let authorization = format!("Bearer {key}");
    let mut headers = Vec::new();
    if !key.is_empty() {
        headers.push(("authorization", &*authorization));
    }
    headers.extend(namespace.map(|name| ("weir-namespace", name)));
    fleet.first_of_stream(server, &format!("?topics=run:{run}"), &headers)
}

/// The victim's things are answered as those that are nowhere.
fn compare(
    service: (&Fleet, MemberId),
    attack: &Attack,
    key: &str,
    namespace: Option<&str>,
    Targets { theirs, nowhere }: &Targets,
) {
    let found = ask(service, attack, key, namespace, theirs);
    let absent = ask(service, attack, key, namespace, nowhere);
    assert_same(attack, (&found, theirs), (&absent, nowhere));
}

#[track_caller]
fn assert_same(attack: &Attack, (found, theirs): (&Answer, &Names), (absent, nowhere): (&Answer, &Names)) {
    let Attack {
        operation,
        method,
        path,
        ..
    } = attack;
    let text = found.body.to_string();
    assert!(!text.contains(CANARY), "{operation} shows what is another's: {text}");
    assert!(found.status < 500, "{operation}: {text}");
    let mut bodies = (plain(&found.body, theirs), plain(&absent.body, nowhere));
    if operation == "audit_list" {
        // Each attack adds to it.
        bodies = (Value::Null, Value::Null);
    }
    let (found_body, absent_body) = bodies;
    assert_eq!(
        (found.status, &found_body),
        (absent.status, &absent_body),
        "{operation}: {method} {path} tells what is there from what is not"
    );
    for header in ["etag", "location", "www-authenticate", "retry-after"] {
        assert_eq!(
            found.header(header).is_some(),
            absent.header(header).is_some(),
            "{operation}: {header}"
        );
    }
}

/// An answer without what differs from request to request, and without the names that were sent.
fn plain(value: &Value, names: &Names) -> Value {
    match value {
        Value::Object(fields) => {
            let fields = fields.iter().filter(|(name, _)| {
                !name.ends_with("_id") && !["id", "etag", "prefix", "secret"].contains(&name.as_str())
            });
            let fields = fields.map(|(name, value)| (name.clone(), plain(value, names)));
            Value::Object(fields.collect::<Map<_, _>>())
        }
        Value::Array(items) => items.iter().map(|item| plain(item, names)).collect(),
        Value::String(text) => {
            let long = names.iter().filter(|(_, name)| name.len() > 1);
            let text = long.fold(text.clone(), |text, (kind, name)| {
                text.replace(name, &format!("<{kind}>"))
            });
            Value::String(
                text.split_inclusive(|c: char| !c.is_ascii_alphanumeric())
                    .map(word)
                    .collect(),
            )
        }
        Value::Number(_) => Value::from(0),
        other => other.clone(),
    }
}

/// A word of an answer; those with digits are times, ids and tags.
fn word(word: &str) -> &str {
    if word.bytes().any(|byte| byte.is_ascii_digit()) {
        "#"
    } else {
        word
    }
}

/// The victim's things as the victim sees them.
fn inventory(service: (&Fleet, MemberId), key: &str, theirs: &Names) -> Vec<Value> {
    // Nobody works here: a run stands still once its only task is sent.
    let run = format!("/api/v1/runs/{}", theirs["run"]);
    until("a run whose task is sent", || {
        let events = send(service, key, None, Method::GET, &format!("{run}/events?limit=1000"), "").body;
        let events = events["items"].as_array()?;
        events
            .iter()
            .any(|event| event["type"] == "task_dispatched")
            .then_some(())
    });
    let paths = [
        run,
        format!("/api/v1/keys/{}", theirs["key"]),
        format!("/api/v1/modules/{}", theirs["digest"]),
        format!("/api/v1/pipelines/{}", theirs["pipeline"]),
        format!("/api/v1/schedules/{}", theirs["schedule"]),
        format!("/api/v1/namespaces/{VICTIM}"),
        format!("/api/v1/namespaces/{VICTIM}/quota"),
        "/api/v1/sessions".to_owned(),
    ];
    let show = |path: &String| {
        let mut answer = send(service, key, None, Method::GET, path, "");
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        if let Some(fields) = answer.body.as_object_mut() {
            // They go on by themselves: a message that nobody takes is sent again.
            for moving in ["last_used_at", "usage", "durations", "etag", "phases", "events"] {
                fields.remove(moving);
            }
        }
        answer.body
    };
    paths.iter().map(show).collect()
}
