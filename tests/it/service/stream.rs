//! The stream of changes, as a page of the dashboard meets it.

use std::collections::BTreeMap;

use reqwest::Method;
use serde_json::{Map, Value, json};
use weir_model::Digest;

use super::fleet::{Fleet, MemberId, Stream, StreamEvent, until};
use super::identity::{ROOT, guarded, make_key, make_namespace, send};
use crate::support::repository;

const PIPELINE: &str = "pipeline:\n  type: chain\n  transforms:\n    - type: Create\n      config: {elements: [1, 2]}\n    - type: LogForTesting\n";

fn submit(fleet: &Fleet, server: MemberId, name: &str, headers: &[(&str, &str)]) -> String {
    let headers: Vec<_> = [("content-type", "application/json")]
        .iter()
        .chain(headers)
        .copied()
        .collect();
    let body = json!({"name": name, "pipeline": PIPELINE}).to_string();
    let made = fleet.request(server, Method::POST, "/api/v1/runs", &headers, body);
    assert_eq!(made.status, 201, "{}", made.body);
    made.body["id"].as_str().expect("an id").to_owned()
}

fn get(fleet: &Fleet, server: MemberId, path: &str) -> Value {
    fleet.request(server, Method::GET, path, &[], "").body
}

/// What a client knows that does as the documentation says.
#[derive(Default)]
struct Known {
    runs: BTreeMap<String, Value>,
    run: Map<String, Value>,
    ended: Vec<String>,
}

impl Known {
    fn take(&mut self, event: &StreamEvent) {
        let data = &event.data;
        match event.name.as_str() {
            "rows" => {
                if data["complete"] == true {
                    self.runs.clear();
                }
                for row in data["items"].as_array().expect("rows") {
                    let before = self
                        .runs
                        .insert(row["id"].as_str().expect("an id").to_owned(), row.clone());
                    assert_ne!(before.as_ref(), Some(row), "a row that does not differ was told again");
                }
                for id in data["removed"].as_array().into_iter().flatten() {
                    self.runs.remove(id.as_str().expect("an id"));
                }
            }
            "run" => {
                let run = data["run"].as_object().expect("a run").clone();
                assert_ne!(self.run, run, "a run that does not differ was told again");
                self.run = run;
            }
            "run_patch" => {
                let mut patch = data["patch"].as_object().expect("a patch").clone();
                assert!(!patch.is_empty());
                if let Some(Value::Array(changed)) = patch.remove("stages") {
                    let stages = self.run["stages"].as_array_mut().expect("stages");
                    for stage in changed {
                        match stages.iter_mut().find(|known| known["id"] == stage["id"]) {
                            Some(known) => *known = stage,
                            None => stages.push(stage),
                        }
                    }
                }
                merge(&mut self.run, patch);
            }
            "end" => self.ended.push(data["topic"].as_str().expect("a topic").to_owned()),
            other => panic!("`{other}` is not documented"),
        }
    }
}

fn merge(into: &mut Map<String, Value>, patch: Map<String, Value>) {
    for (key, value) in patch {
        match (into.get_mut(&key), value) {
            (_, Value::Null) => {
                into.insert(key, Value::Null);
            }
            (Some(Value::Object(inner)), Value::Object(patch)) => merge(inner, patch),
            (_, value) => {
                into.insert(key, value);
            }
        }
    }
}

/// Takes events until the client knows enough.
#[track_caller]
fn follow(stream: &mut Stream, known: &mut Known, enough: impl Fn(&Known) -> bool) {
    while !enough(known) {
        let event = stream.next().expect("the stream goes on");
        known.take(&event);
    }
}

#[test]
fn a_stream_that_was_cut_goes_on_without_gaps_or_doubles() {
    let mut fleet = Fleet::new();
    let (here, elsewhere) = (fleet.server(&[]), fleet.server(&[]));
    let mut known = Known::default();
    let run = submit(&fleet, here, "first", &[]);
    let topics = format!("?topics=runs,run:{run}");
    // A server that does not drive the run, which learns of it from the store.
    let mut stream = fleet.stream(elsewhere, &topics, &[]);
    assert_eq!(stream.status, 200);
    follow(&mut stream, &mut known, |known| {
        known.runs.len() == 1 && known.run.get("state").is_some_and(|state| state == "running")
    });
    let last = stream.last_event_id.clone().expect("events have ids");
    drop(stream);

    // Nothing has changed: what comes first is about what changes now.
    let path = format!("/api/v1/runs/{run}");
    until("a run that stays as it is", || {
        (get(&fleet, here, &path)["progress"]["tasks"] == 1).then_some(())
    });
    let mut stream = fleet.stream(here, &topics, &[("last-event-id", &last)]);
    let second = submit(&fleet, elsewhere, "second", &[]);
    follow(&mut stream, &mut known, |known| known.runs.contains_key(&second));
    let last = stream.last_event_id.clone().expect("events have ids");
    drop(stream);

    // Meanwhile the runs end.
    fleet.worker(2);
    for run in [&run, &second] {
        until("the end", || {
            (get(&fleet, here, &format!("/api/v1/runs/{run}?wait=30"))["state"] == "finished").then_some(())
        });
    }
    let query = format!("{topics}&last_event_id={}", last.replace(';', "%3B"));
    let mut stream = fleet.stream(elsewhere, &query, &[]);
    follow(&mut stream, &mut known, |known| {
        !known.ended.is_empty() && known.runs.values().all(|run| run["state"] == "finished")
    });
    assert_eq!(Value::Object(known.run.clone()), get(&fleet, here, &path));
    let listed = get(&fleet, here, "/api/v1/runs")["items"]
        .as_array()
        .expect("runs")
        .clone();
    assert_eq!(listed.len(), 2);
    for run in &listed {
        assert_eq!(known.runs.get(run["id"].as_str().expect("an id")), Some(run));
    }
    assert_eq!(known.ended, [format!("run:{run}")]);

    // Whoever knows the end of everything need not come again, and the stream of others ends.
    let alone = format!("?topics=run:{run}");
    let mut stream = fleet.stream(here, &alone, &[]);
    let names: Vec<String> = std::iter::from_fn(|| stream.next()).map(|event| event.name).collect();
    assert_eq!(names, ["run", "end"]);
    let last = stream.last_event_id.expect("events have ids");
    assert_eq!(fleet.stream(here, &alone, &[("last-event-id", &last)]).status, 204);
}

#[test]
fn streams_show_a_namespace_its_own_and_end_with_the_server() {
    let mut fleet = Fleet::new();
    let server = fleet.server(&[]);
    let json = [("content-type", "application/json")];
    let made = fleet.request(
        server,
        Method::POST,
        "/api/v1/namespaces",
        &json,
        json!({"name": "other"}).to_string(),
    );
    assert_eq!(made.status, 201, "{}", made.body);
    let other = [("weir-namespace", "other")];
    let foreign = submit(&fleet, server, "foreign", &other);
    let mut known = Known::default();
    let mut stream = fleet.stream(server, "?topics=runs,workers", &[]);
    let own = submit(&fleet, server, "own", &[]);
    follow(&mut stream, &mut known, |known| known.runs.contains_key(&own));
    assert!(
        !known.runs.contains_key(&foreign),
        "a run of another namespace was told"
    );
    for (query, status, code) in [
        (format!("?topics=run:{foreign}"), 404, "run_not_found"),
        ("?topics=run:x".to_owned(), 404, "run_not_found"),
        ("?topics=".to_owned(), 400, "invalid_query"),
        ("?topics=everything".to_owned(), 400, "invalid_query"),
        (String::new(), 400, "invalid_query"),
    ] {
        let answer = fleet.request(server, Method::GET, &format!("/api/v1/stream{query}"), &[], "");
        assert_eq!(
            (answer.status, answer.body["code"].as_str()),
            (status, Some(code)),
            "{query}"
        );
    }
    fleet.signal(server, "TERM");
    while stream.next().is_some() {}
    drop(stream);
    assert!(fleet.wait(server).success());
}

#[test]
fn workers_are_listed_and_followed() {
    let mut fleet = Fleet::new();
    let server = fleet.server(&[]);
    fleet.worker(3);
    let workers = until("a worker that said that it is there", || {
        let listed = get(&fleet, server, "/api/v1/workers")["items"]
            .as_array()
            .expect("workers")
            .clone();
        (!listed.is_empty()).then_some(listed)
    });
    assert_eq!(workers[0]["slots"], 3, "{workers:?}");
    assert_eq!(workers[0]["state"], "active");
    let event = fleet
        .stream(server, "?topics=workers", &[])
        .next()
        .expect("a first event");
    assert_eq!(event.data["items"][0]["id"], workers[0]["id"]);
    let scaling = get(&fleet, server, "/api/v1/scaling");
    assert_eq!(
        (&scaling["workers_active"], &scaling["slots"]),
        (&json!(1), &json!(3)),
        "{scaling}"
    );
    assert_eq!(scaling["backlog"]["runs"], 0);
    assert_eq!(
        fleet
            .client_ok(server, ["workers", "list", "-o", "jsonl"])
            .lines()
            .count(),
        1
    );
    assert!(fleet.client_ok(server, ["workers", "scaling"]).contains("slots"));
}

/// Takes what a stream tells until it says that a topic is not as it was.
#[track_caller]
fn next_of(stream: &mut Stream, topic: &str) -> StreamEvent {
    loop {
        let event = stream.next().expect("the stream goes on");
        if event.data["topic"] == topic {
            return event;
        }
    }
}

#[test]
fn what_people_change_is_announced_to_those_who_may_see_it() {
    let (fleet, server) = guarded();
    let service = (&fleet, server);
    make_namespace(service, "a");
    make_namespace(service, "b");
    let (_, viewer) = make_key(service, "a", "viewer");
    let (_, admin) = make_key(service, "a", "admin");
    let stream = |key: &str, query: &str| {
        let authorization = format!("Bearer {key}");
        fleet.stream(server, query, &[("authorization", &*authorization)])
    };
    let make = |namespace: &str, kind: &str, name: &str| {
        let body = match kind {
            "pipelines" => json!({"name": name, "definition": {"sql": {"statement": "SELECT 1"}}}),
            _ => json!({"name": name, "pipeline": "sums", "cron": "@yearly"}),
        };
        let path = format!("/api/v1/{kind}");
        let made = send(service, ROOT, Some(namespace), Method::POST, &path, &body.to_string());
        assert_eq!(made.status, 201, "{}", made.body);
    };

    // A viewer of one namespace hears of its pipelines, schedules and quota, and of nothing that is done elsewhere.
    let topics = "?topics=pipelines,schedules,quota:a";
    let mut following = stream(&viewer, topics);
    let first: Vec<String> = (0..3).map(|_| following.next().expect("the state").name).collect();
    assert_eq!(first.iter().filter(|name| *name == "changed").count(), 2, "{first:?}");
    assert_eq!(first.iter().filter(|name| *name == "resource").count(), 1, "{first:?}");
    make("b", "pipelines", "sums");
    make("a", "pipelines", "sums");
    let heard = following.next().expect("an event");
    assert_eq!((&*heard.name, &heard.data), ("changed", &json!({"topic": "pipelines"})));
    make("a", "schedules", "yearly");
    let heard = following.next().expect("an event");
    assert_eq!((&*heard.name, &heard.data), ("changed", &json!({"topic": "schedules"})));
    let limits = json!({"max_runs": 7}).to_string();
    let path = "/api/v1/namespaces/a/quota";
    assert_eq!(send(service, ROOT, None, Method::PUT, path, &limits).status, 200);
    let heard = next_of(&mut following, "quota:a");
    assert_eq!(heard.data["resource"]["limits"]["max_runs"], 7, "{}", heard.data);
    let shown = send(service, &viewer, None, Method::GET, path, "").body;
    assert_eq!(heard.data["resource"], shown, "as a request gives it");
    let last = following.last_event_id.clone().expect("events have ids");
    drop(following);

    // Whoever comes again hears of what changed meanwhile, and of nothing else.
    make("a", "pipelines", "means");
    let query = format!("{topics}&last_event_id={}", last.replace(';', "%3B"));
    let mut following = stream(&viewer, &query);
    assert_eq!(
        following.next().expect("an event").data,
        json!({"topic": "pipelines"}),
        "what did not change was told again"
    );

    // An admin hears of the audit log of the namespace; nobody else does.
    let mut following = stream(&admin, "?topics=audit");
    let before = next_of(&mut following, "audit");
    make("a", "pipelines", "sides");
    assert_eq!(next_of(&mut following, "audit").name, before.name);
    let mut following = stream(ROOT, "?topics=audit:service,scaling,quota:b");
    assert_eq!(next_of(&mut following, "audit:service").name, "changed");

    // Keys and namespaces are announced to those who may list them, modules to everybody of the namespace.
    let mut service_wide = stream(ROOT, "?topics=keys:service,namespaces");
    let mut of_a = stream(&admin, "?topics=keys,modules");
    for following in [&mut service_wide, &mut of_a] {
        let first: Vec<String> = (0..2).map(|_| following.next().expect("the state").name).collect();
        assert_eq!(first, ["changed", "changed"]);
    }
    make_namespace(service, "c");
    assert_eq!(
        service_wide.next().expect("an event").data,
        json!({"topic": "namespaces"})
    );
    make_key(service, "b", "viewer");
    assert_eq!(
        service_wide.next().expect("an event").data,
        json!({"topic": "keys:service"})
    );
    let (key, _) = make_key(service, "a", "viewer");
    assert_eq!(
        of_a.next().expect("an event").data,
        json!({"topic": "keys"}),
        "b's is another's"
    );
    assert_eq!(
        service_wide.next().expect("an event").data,
        json!({"topic": "keys:service"})
    );
    let path = format!("/api/v1/keys/{key}");
    assert_eq!(send(service, &admin, None, Method::DELETE, &path, "").status, 200);
    assert_eq!(of_a.next().expect("an event").data, json!({"topic": "keys"}));
    let bytes = std::fs::read(repository().join("examples/wordcount/tokenizer.wasm")).expect("the example's component");
    let path = format!("/api/v1/modules/{}", Digest::of(&bytes));
    for (namespace, status) in [("b", 201), ("a", 201), ("a", 200)] {
        let authorization = format!("Bearer {ROOT}");
        let headers = [
            ("authorization", &*authorization),
            ("weir-namespace", namespace),
            ("content-type", "application/wasm"),
        ];
        let put = fleet.request(server, Method::PUT, &path, &headers, bytes.clone());
        assert_eq!(put.status, status, "{}", put.body);
    }
    assert_eq!(of_a.next().expect("an event").data, json!({"topic": "modules"}));
    assert_eq!(send(service, &admin, None, Method::DELETE, &path, "").status, 204);
    assert_eq!(of_a.next().expect("an event").data, json!({"topic": "modules"}));
    drop((service_wide, of_a));

    for (key, query, status, code) in [
        (&*viewer, "keys", 403, "forbidden"),
        (&*admin, "keys:service", 403, "forbidden"),
        (&*admin, "namespaces", 403, "forbidden"),
        (&*viewer, "audit", 403, "forbidden"),
        (&*viewer, "runs,workers", 403, "forbidden"),
        (&*admin, "audit:service", 403, "forbidden"),
        (&*admin, "scaling", 403, "forbidden"),
        (&*admin, "quota:b", 404, "namespace_not_found"),
        (&*admin, "quota:nowhere", 404, "namespace_not_found"),
        (ROOT, "quota:nowhere", 404, "namespace_not_found"),
        (ROOT, "quota:", 404, "namespace_not_found"),
    ] {
        let path = format!("/api/v1/stream?topics={query}");
        let answer = send(service, key, None, Method::GET, &path, "");
        assert_eq!(
            (answer.status, answer.body["code"].as_str()),
            (status, Some(code)),
            "{query}"
        );
    }
}

#[test]
fn a_run_says_how_long_its_log_is() {
    let mut fleet = Fleet::new();
    let server = fleet.server(&[]);
    fleet.worker(2);
    let run = submit(&fleet, server, "counted", &[]);
    let mut known = Known::default();
    let mut stream = fleet.stream(server, &format!("?topics=run:{run}"), &[]);
    let mut lengths = Vec::new();
    while known.ended.is_empty() {
        known.take(&stream.next().expect("the stream goes on"));
        lengths.push(known.run["events"].as_u64().expect("a number"));
    }
    assert!(lengths.is_sorted(), "{lengths:?}");
    let events = get(&fleet, server, &format!("/api/v1/runs/{run}/events?limit=1000"));
    let events = events["items"].as_array().expect("events").len() as u64;
    assert!(events > 3, "{events}");
    assert_eq!(
        lengths.last(),
        Some(&events),
        "the end is told with all that came before it"
    );
}
