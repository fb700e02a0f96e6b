//! Finding things in long lists: runs by words, labels and times, any part of many tasks, and what workers run.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};

use super::fleet::{Fleet, MemberId, until};
use super::http::assert_problem;
use super::identity::{guarded, make_key, make_namespace, send};

/// Runs until it is cancelled.
const ENDLESS: &str = "SELECT a.value % 10 AS k, count(*) AS n FROM generate_series(1, 100000) a, \
                       generate_series(1, 100000) b WHERE sin(a.value * b.value) > 2 GROUP BY 1";

fn get(fleet: &Fleet, server: MemberId, path: &str) -> Value {
    let answer = fleet.request(server, Method::GET, path, &[], "");
    assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    answer.body
}

/// Submits a run and waits until it is over and its history is in storage.
fn ran(fleet: &Fleet, server: MemberId, job: &Value) -> String {
    let headers = [("content-type", "application/json")];
    let made = fleet.request(server, Method::POST, "/api/v1/runs", &headers, job.to_string());
    assert_eq!(made.status, 201, "{}", made.body);
    let run = made.body["id"].as_str().expect("an id").to_owned();
    until("the history of a run", || {
        (fleet.run(server, &run)["history"] == "stored").then_some(())
    });
    run
}

/// Ends the service; gives a server that has its storage alone.
fn history(fleet: &mut Fleet, members: &[MemberId]) -> MemberId {
    for member in members {
        fleet.signal(*member, "TERM");
        assert!(fleet.wait(*member).success());
    }
    for name in [
        "WEIR_DATABASE_URL",
        "WEIR_TASK_QUEUE",
        "WEIR_REPORT_QUEUE",
        "WEIR_DEAD_LETTER_QUEUE",
    ] {
        fleet.set(name, "");
    }
    fleet.history(&[])
}

#[test]
fn runs_are_found_by_words_labels_and_times() {
    let mut fleet = Fleet::new();
    let (server, worker) = (fleet.server(&[]), fleet.worker(2));
    let job =
        |name: &str, labels: Value| json!({"name": name, "labels": labels, "sql": {"statement": "SELECT 1 AS a"}});
    let runs = [
        ran(
            &fleet,
            server,
            &job("Nightly sums", json!({"team": "core", "env": "prod"})),
        ),
        ran(&fleet, server, &job("daily", json!({"team": "core", "note": "a,b\\c"}))),
        ran(&fleet, server, &job("daily", json!({"team": "corner"}))),
    ];
    let created_at = fleet.run(server, &runs[1])["created_at"]
        .as_str()
        .expect("a time")
        .to_owned();
    let queries = [
        ("search=SUMS", vec![0]),
        ("search=daily%20team=cor", vec![2, 1]),
        ("search=daily%20team%3Dcore%20note", vec![1]),
        ("search=nothing-like-it", vec![]),
        ("label=team%3Dcore", vec![1, 0]),
        ("label=team=core,env=prod", vec![0]),
        (r"label=note=a\,b\\c", vec![1]),
        ("label=team%3Dcore&search=daily", vec![1]),
        ("result=succeeded&search=daily", vec![2, 1]),
    ];
    let ids = |listed: &Value| -> Vec<usize> {
        let items = listed["items"].as_array().expect("items").iter();
        let place = |run: &Value| runs.iter().position(|known| run["id"] == **known).expect("a known run");
        items.map(place).collect()
    };
    let check = |fleet: &Fleet, server: MemberId| {
        let listed = |query: &str| ids(&get(fleet, server, &format!("/api/v1/runs?{query}")));
        for (query, found) in &queries {
            assert_eq!(listed(query), *found, "{query}");
        }
        assert_eq!(listed(&format!("search={}", &runs[1][..25])), [1]);
        assert_eq!(listed(&format!("since={created_at}")), [2, 1]);
        assert_eq!(listed(&format!("until={created_at}")), [0]);
        let first = get(fleet, server, "/api/v1/runs?search=team&limit=1");
        let cursor = first["next_cursor"].as_str().expect("there are more");
        assert_eq!(listed(&format!("search=team&cursor={cursor}")), [1, 0]);
        assert_eq!(first["items"][0]["labels"], json!({"team": "corner"}));
        for query in [
            "search=a%00b",
            "label=team",
            "label==x",
            "since=yesterday",
            "search=1+2+3+4+5+6+7+8+9",
        ] {
            let path = format!("/api/v1/runs?{query}");
            let refused = fleet.request(server, Method::GET, &path, &[], "");
            assert_problem(&refused, 400, "invalid_query");
        }
    };
    check(&fleet, server);
    let shown = |fleet: &Fleet, args: &[&str]| -> Vec<usize> {
        let args = ["runs", "list", "-o", "json"].iter().chain(args).copied();
        let items: Value = serde_json::from_str(&fleet.client_ok(server, args)).expect("JSON");
        ids(&json!({ "items": items }))
    };
    assert_eq!(shown(&fleet, &["--search", "Daily core"]), [1]);
    assert_eq!(shown(&fleet, &["--label", "team=core", "--label", r"note=a,b\c"]), [1]);
    assert_eq!(shown(&fleet, &["--since", &created_at]), [2, 1]);
    assert_eq!(shown(&fleet, &["--since", "1h", "--until", &created_at]), [0]);
    assert_eq!(fleet.client(server, ["runs", "list", "--since", "soon"]).code, Some(2));
    let history = history(&mut fleet, &[server, worker]);
    check(&fleet, history);
}

#[test]
fn any_part_of_the_tasks_is_given_at_once() {
    let mut fleet = Fleet::new();
    let (server, worker) = (fleet.server(&[]), fleet.worker(4));
    let run = ran(
        &fleet,
        server,
        &json!({"name": "many", "settings": {
            "target_partitions": 30,
            "coalesce": {"target_bytes": 1, "min_bytes": 1, "parallelism": 30},
        }, "sql": {"statement": "SELECT value % 1000 AS k, count(*) AS n FROM generate_series(1, 20000) GROUP BY 1"}}),
    );
    let history = history(&mut fleet, &[server, worker]);
    let tasks = |query: &str| get(&fleet, history, &format!("/api/v1/runs/{run}/tasks?{query}"));
    for query in [
        "",
        "&stage=1",
        "&sort=-elapsed_us",
        "&sort=worker&state=succeeded",
        "&metric=rows_in&min=1",
    ] {
        let all = tasks(&format!("limit=5000{query}"));
        let items = all["items"].as_array().expect("items");
        let total = items.len();
        assert!(total >= 30 || query.contains("metric"), "{query}: {total} tasks");
        assert_eq!(all["total"], json!(total), "{query}");
        for offset in [0, 1, total / 2, total - 1, total, total + 5] {
            let part = tasks(&format!("limit=7&offset={offset}{query}"));
            let (start, end) = (offset.min(total), (offset + 7).min(total));
            assert_eq!(part["items"], json!(items[start..end]), "{query}, {offset}");
            assert_eq!(part["total"], all["total"]);
            // It goes on as any other page does.
            if let Some(cursor) = part["next_cursor"].as_str() {
                let next = tasks(&format!("limit=1&cursor={cursor}{query}"));
                assert_eq!(next["items"][0], items[end], "{query}, {offset}");
            } else {
                assert_eq!(end, total);
            }
        }
    }
    let both = format!("/api/v1/runs/{run}/tasks?offset=1&cursor=0.1");
    assert_problem(
        &fleet.request(history, Method::GET, &both, &[], ""),
        400,
        "invalid_query",
    );
}

#[test]
fn what_workers_run_is_shown_to_its_namespace_alone() {
    const ROOT: &str = "open-sesame-for-tests";
    let (mut fleet, server) = guarded();
    let namespaces = ["acme", "globex"];
    let mut runs = Vec::new();
    for namespace in namespaces {
        make_namespace((&fleet, server), namespace);
        let (_, key) = make_key((&fleet, server), namespace, "submitter");
        let job = json!({"name": "endless", "sql": {"statement": ENDLESS}, "settings": {"target_partitions": 1}});
        let made = send(
            (&fleet, server),
            &key,
            None,
            Method::POST,
            "/api/v1/runs",
            &job.to_string(),
        );
        assert_eq!(made.status, 201, "{}", made.body);
        runs.push((namespace, key, made.body["id"].as_str().expect("an id").to_owned()));
    }
    let worker = fleet.worker(2);
    let look = |namespace: &str, path: &str| send((&fleet, server), ROOT, Some(namespace), Method::GET, path, "").body;
    for (namespace, _, run) in &runs {
        let listed = until("the worker to say what it runs", || {
            let listed = look(namespace, "/api/v1/workers");
            (listed["items"][0]["running"] == 2).then_some(listed)
        });
        let shown = &listed["items"][0];
        assert_eq!(shown["running_elsewhere"], 1, "{listed}");
        let tasks = shown["tasks"].as_array().expect("tasks");
        assert_eq!((tasks.len(), &tasks[0]["run"]), (1, &json!(run)), "{listed}");
        assert!(tasks[0]["started_at"].is_string() && tasks[0]["attempt"].is_number());
        for (other, _, other_run) in runs.iter().filter(|(other, ..)| other != namespace) {
            let text = listed.to_string();
            assert!(!text.contains(other) && !text.contains(other_run), "{text}");
        }
        let headers = [
            ("authorization", "Bearer open-sesame-for-tests"),
            ("weir-namespace", namespace),
        ];
        let event = fleet
            .stream(server, "?topics=workers", &headers)
            .next()
            .expect("an event");
        assert_eq!(event.data["items"][0]["tasks"], shown["tasks"]);
        let args = ["workers", "list", "--namespace", namespace, "--api-key", ROOT];
        let printed = fleet.client_ok(server, args);
        assert!(
            printed.contains(run) && printed.contains("1 of other namespaces"),
            "{printed}"
        );
    }
    for (_, key, run) in &runs {
        let path = format!("/api/v1/runs/{run}/cancel");
        assert_eq!(send((&fleet, server), key, None, Method::POST, &path, "").status, 202);
    }
    fleet.signal(worker, "TERM");
}

#[test]
fn every_server_says_how_many_workers_are_wanted() {
    let mut fleet = Fleet::new();
    let none = fleet.server(&[]);
    assert_eq!(get(&fleet, none, "/api/v1/scaling")["workers_wanted"], Value::Null);
    let args = [
        "--provisioner",
        "process",
        "--workers-min",
        "1",
        "--workers-max",
        "2",
        "--slots",
        "1",
    ];
    let servers = [none, fleet.server(&args), fleet.server(&args)];
    until("all of them to say so", || {
        let said = servers.map(|server| {
            let scaling = get(&fleet, server, "/api/v1/scaling");
            (
                scaling["workers_wanted"].to_string(),
                scaling["workers_provisioned"].to_string(),
            )
        });
        let said: BTreeSet<(String, String)> = said.into_iter().collect();
        (said.into_iter().collect::<Vec<_>>() == [("1".to_owned(), "1".to_owned())]).then_some(())
    });
    let printed = fleet.client_ok(servers[2], ["workers", "scaling"]);
    assert!(printed.contains("wanted   1"), "{printed}");
}
