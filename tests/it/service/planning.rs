//! Jobs that cost much to plan, sent to a service that others use.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use super::fleet::{Answer, Fleet, MemberId, is_running, until};
use super::http::assert_problem;

/// Bytes by which a server may grow while others than it plan.
const GROWTH: u64 = 256 << 20;
/// How long a server may take to say that it is well, on a machine with much to do.
const WELL: Duration = Duration::from_secs(30);

const JSON: (&str, &str) = ("content-type", "application/json");

/// A query over the information schema that is never done.
fn endless() -> String {
    let settings = "information_schema.df_settings";
    format!(
        "SELECT count(*) FROM (SELECT a.name FROM {settings} a, {settings} b) x, \
         (SELECT c.name FROM {settings} c, {settings} d, {settings} e) y WHERE x.name || y.name = 'x'"
    )
}

fn deep() -> String {
    format!("SELECT {} AS x", vec!["1"; 3_000].join(" + "))
}

fn submit(fleet: &Fleet, server: MemberId, body: &Value) -> String {
    static SUBMITTED: AtomicU32 = AtomicU32::new(0);
    let key = SUBMITTED.fetch_add(1, Ordering::Relaxed).to_string();
    let headers = [JSON, ("idempotency-key", &key)];
    // While all processors plan, a database may not answer in time: then clients try again.
    let made = until("the store to answer", || {
        let made = fleet.request(server, Method::POST, "/api/v1/runs", &headers, body.to_string());
        (made.status != 503).then_some(made)
    });
    assert_eq!(made.status, 201, "{}", made.body);
    format!("/api/v1/runs/{}", made.body["id"].as_str().expect("an id"))
}

fn sql(statement: &str) -> Value {
    json!({"sql": {"statement": statement}})
}

fn end(fleet: &Fleet, server: MemberId, path: &str) -> Value {
    until("the end of a run", || {
        let run = fleet.request(server, Method::GET, &format!("{path}?wait=10"), &[], "");
        (run.body["state"] == "finished").then_some(run.body)
    })
}

fn check(fleet: &Fleet, server: MemberId, script: &str) -> Answer {
    let body = json!({"script": script}).to_string();
    fleet.request(server, Method::POST, "/api/v1/sql/check", &[JSON], body)
}

/// The most memory that a process ever had, in bytes.
fn peak(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("a process that runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_ascii_whitespace().next()?.parse::<u64>().ok());
    kib.expect("its peak") * 1024
}

fn assert_survives(fleet: &Fleet, server: MemberId) {
    let small = submit(fleet, server, &sql("SELECT 1 AS one"));
    assert_eq!(end(fleet, server, &small)["result"], "succeeded");
    let before = peak(fleet.pid(server));
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // All the while, the server is well.
        let watch = scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                let asked = Instant::now();
                let answer = fleet.request(server, Method::GET, "/healthz", &[], "");
                assert_eq!(answer.status, 200);
                assert!(asked.elapsed() < WELL, "it took {:?} to say so", asked.elapsed());
            }
        });
        let work = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| refuse(fleet, server)));
        over.store(true, Ordering::Relaxed);
        watch.join().expect("the server is well");
        if let Err(panic) = work {
            std::panic::resume_unwind(panic);
        }
    });
    let grown = peak(fleet.pid(server)).saturating_sub(before);
    assert!(grown < GROWTH, "the server grew by {grown} bytes");
}

fn refuse(fleet: &Fleet, server: MemberId) {
    // What nests too deep, in all that can.
    let run = end(fleet, server, &submit(fleet, server, &sql(&deep())));
    assert_eq!(run["reason"]["code"], "query_too_deep", "{run}");
    let pipeline = format!(
        "pipeline:\n  type: chain\n  transforms:\n    - type: Create\n      config: {{elements: [1]}}\n    \
         - type: MapToFields\n      config:\n        language: sql\n        fields:\n          b: \"{}\"\n    - type: LogForTesting\n",
        vec!["1"; 3_000].join(" + ")
    );
    let run = end(fleet, server, &submit(fleet, server, &json!({"pipeline": pipeline})));
    let message = run["reason"]["message"].as_str().unwrap_or_default();
    assert!(message.contains("nests deeper"), "{run}");
    let checked = check(fleet, server, &deep());
    let message = checked.body["errors"][0]["message"].as_str().unwrap_or_default();
    assert!(message.contains("nests deeper"), "{}", checked.body);

    // What takes memory.
    let settings = "information_schema.df_settings";
    let large = format!("SELECT array_agg(repeat(a.name, 1000)) AS x FROM {settings} a, {settings} b");
    let checked = check(fleet, server, &large);
    let message = checked.body["errors"][0]["message"].as_str().unwrap_or_default();
    assert!(message.contains("memory"), "{} {}", checked.status, checked.body);
    let run = end(fleet, server, &submit(fleet, server, &sql(&large)));
    let message = run["reason"]["message"].as_str().unwrap_or_default();
    assert!(message.contains("memory"), "{run}");
    assert_eq!(run["reason"]["retryable"], false, "{run}");
    let checked = check(fleet, server, "SELECT repeat('x', 2000000000) AS x");
    assert_eq!(checked.status, 200, "{}", checked.body);

    // What takes for ever: as many as there can be are looked at, and planned, and others' runs go on.
    let endless = endless();
    let runs: Vec<_> = (0..6).map(|_| submit(fleet, server, &sql(&endless))).collect();
    std::thread::scope(|scope| {
        let checks: Vec<_> = (0..4).map(|_| scope.spawn(|| check(fleet, server, &endless))).collect();
        let headers = [JSON, ("weir-namespace", "other"), ("idempotency-key", "other")];
        let other = until("the store to answer for others", || {
            let body = sql("SELECT 2 AS two").to_string();
            let made = fleet.request(server, Method::POST, "/api/v1/runs", &headers, body);
            (made.status != 503).then_some(made)
        });
        if other.status == 201 {
            let path = format!("/api/v1/runs/{}", other.body["id"].as_str().expect("an id"));
            until("the run of another namespace", || {
                let run = fleet.request(server, Method::GET, &path, &[("weir-namespace", "other")], "");
                (run.body["result"] == "succeeded").then_some(())
            });
        } else {
            assert_problem(&other, 404, "namespace_not_found");
        }
        for check in checks {
            let answer = check.join().expect("an answer");
            match answer.status {
                200 => {
                    let message = answer.body["errors"][0]["message"].as_str().unwrap_or_default();
                    assert!(message.contains("takes longer than"), "{}", answer.body);
                }
                _ => assert_problem(&answer, 429, "too_many_checks"),
            }
        }
    });
    for run in &runs {
        fleet.request(server, Method::POST, &format!("{run}/cancel"), &[], "");
    }
    for run in &runs {
        assert_eq!(end(fleet, server, run)["result"], "cancelled");
    }
    until("the end of what planned them", || {
        (fleet.planners(server).len() <= 1).then_some(())
    });
    let small = submit(fleet, server, &sql("SELECT 3 AS three"));
    assert_eq!(end(fleet, server, &small)["result"], "succeeded");
}

#[test]
fn servers_outlive_jobs_that_cannot_be_planned() {
    let mut fleet = Fleet::new();
    let server = fleet.server(&[]);
    fleet.worker(2);
    fleet.client_ok(server, ["namespaces", "create", "other"]);
    assert_survives(&fleet, server);
}

#[test]
fn development_servers_outlive_jobs_that_cannot_be_planned() {
    let mut fleet = Fleet::bare();
    let server = fleet.dev(&[]);
    assert_survives(&fleet, server);
}

#[test]
fn a_killed_server_leaves_no_planner_and_the_next_one_plans_in_bounds() {
    let mut fleet = Fleet::new();
    let first = fleet.server(&[]);
    let run = submit(&fleet, first, &sql(&endless()));
    let planners = until("a planner at work, and a spare one", || {
        let planners = fleet.planners(first);
        (planners.len() >= 2).then_some(planners)
    });
    fleet.kill(first);
    until("the end of the planners", || {
        planners.iter().all(|planner| !is_running(*planner)).then_some(())
    });
    let second = fleet.server(&[]);
    until("a planner of the next server", || {
        (fleet.planners(second).len() >= 2).then_some(())
    });
    fleet.request(second, Method::POST, &format!("{run}/cancel"), &[], "");
    assert_eq!(end(&fleet, second, &run)["result"], "cancelled");

    // What ends its planner is the fault of the job, and is not planned again.
    let run = submit(&fleet, second, &sql(&endless()));
    let planner = until("its planner", || {
        let busiest = fleet.planners(second).into_iter().max_by_key(|planner| cpu(*planner));
        busiest.filter(|planner| cpu(*planner) > 100)
    });
    let killed = std::process::Command::new("kill")
        .args(["-KILL", &planner.to_string()])
        .status();
    assert!(killed.is_ok_and(|status| status.success()), "the signal is sent");
    let run = end(&fleet, second, &run);
    assert_eq!(run["reason"]["code"], "planning_failed", "{run}");
    assert_eq!(run["reason"]["retryable"], false, "{run}");
}

/// Hundredths of seconds that a process has computed.
fn cpu(process: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let mut fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11);
    fields.next().and_then(|ticks| ticks.parse().ok()).unwrap_or(0)
}
