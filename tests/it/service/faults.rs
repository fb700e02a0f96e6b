//! Processes that end, in good order and otherwise, while a run is under way.

use std::collections::BTreeSet;

use serde_json::Value;

use super::fleet::{Fleet, MemberId, until};
use crate::jobs::slow;

/// Submits a run and waits until its second stage runs; gives the run and its events so far.
fn begin(fleet: &Fleet, server: MemberId) -> (String, Vec<Value>) {
    begin_with(fleet, server, &[])
}

/// The same with more arguments.
fn begin_with(fleet: &Fleet, server: MemberId, more: &[&str]) -> (String, Vec<Value>) {
    fleet.place.write("p.yaml", slow(50_000, 150_000, 12));
    let output = format!("output=s3://{}/out/totals", fleet.bucket);
    let args = [
        "submit",
        "p.yaml",
        "--param",
        &output,
        "--set",
        "target_partitions=8",
        "--set",
        "coalesce.target_bytes=1",
        "--set",
        "coalesce.min_bytes=1",
    ];
    let run = fleet.client_ok(server, args.iter().chain(more).copied());
    let run = run.trim().to_owned();
    let events = fleet.wait_for_event(server, &run, "stage_completed");
    (run, events)
}

/// Waits for the end of a run at a server, and checks that its output is whole and nothing of it was made twice.
fn finish(fleet: &Fleet, server: MemberId, run: &str, before: &[Value]) -> Vec<Value> {
    let watched = fleet.client(server, ["runs", "watch", run]);
    assert_eq!(watched.code, Some(0), "{}{}", watched.stdout, watched.stderr);
    let mut totals: Vec<(u64, u64)> = fleet
        .csv_lines("out")
        .iter()
        .map(|line| {
            let mut fields = line.split(',').map(|field| field.parse().unwrap_or_default());
            (fields.next().unwrap_or_default(), fields.next().unwrap_or_default())
        })
        .collect();
    totals.sort_unstable();
    let total = |k: u64| {
        (0..=3)
            .map(|turn| turn * 50_000 + k)
            .filter(|v| (1..=150_000).contains(v))
            .sum()
    };
    let expected: Vec<(u64, u64)> = (0..50_000).map(|k| (k, total(k))).collect();
    assert!(totals == expected, "the output is whole, once");

    let events = fleet.events(server, run);
    assert_eq!(events[..before.len()], before[..], "the log only grows");
    let accepted = tasks(before, "task_accepted");
    assert!(!accepted.is_empty());
    let again = tasks(&events[before.len()..], "task_dispatched");
    assert!(again.is_disjoint(&accepted), "accepted tasks ran again: {again:?}");
    let all = events.iter().filter(|event| event["type"] == "task_accepted").count();
    assert_eq!(all, tasks(&events, "task_accepted").len(), "a task was accepted twice");
    events
}

/// Tasks of the events of one kind.
fn tasks(events: &[Value], kind: &str) -> BTreeSet<String> {
    events
        .iter()
        .filter(|event| event["type"] == kind)
        .map(|event| &event["data"]["task"])
        .map(|task| format!("{}.{}", task["stage"], task["index"]))
        .collect()
}

fn happened(events: &[Value], kind: &str) -> bool {
    events.iter().any(|event| event["type"] == kind)
}

#[test]
fn another_server_goes_on_when_one_is_killed() {
    let mut fleet = Fleet::new();
    let servers = [fleet.server(&[]), fleet.server(&[])];
    fleet.worker(2);
    let (run, before) = begin(&fleet, servers[0]);
    fleet.kill(servers[0]);
    let events = finish(&fleet, servers[1], &run, &before);
    assert!(happened(&events[before.len()..], "owner_changed"));
}

#[test]
fn the_findings_tell_of_attempts_that_were_lost() {
    let mut fleet = Fleet::new();
    let server = fleet.server(&[]);
    let worker = fleet.worker(2);
    let (run, before) = begin_with(
        &fleet,
        server,
        // On a busy machine those of the second worker may be given up as well.
        &["--set", "attempt_timeout_ms=4000", "--set", "retry.max_attempts=50"],
    );
    until("an attempt that can be lost", || {
        let begun = |event: &Value| event["type"] == "attempt_started" && event["data"]["task"]["stage"] == 1;
        fleet.events(server, &run).iter().any(begun).then_some(())
    });
    fleet.kill(worker);
    fleet.worker(2);
    finish(&fleet, server, &run, &before);

    let found: Value =
        serde_json::from_str(&fleet.client_ok(server, ["runs", "diagnose", &run, "-o", "json"])).unwrap();
    assert_eq!(found["complete"], true);
    let retries = found["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|found| found["code"] == "retries");
    let retries = retries.unwrap_or_else(|| panic!("{found}"));
    assert_eq!(retries["evidence"]["stage"], 1, "{retries}");
    assert!(
        retries["detail"].as_str().unwrap().contains("`attempt_lost`"),
        "{retries}"
    );
    assert!(
        retries["fix"].as_str().unwrap().contains("Workers went away"),
        "{retries}"
    );
    assert_eq!(
        retries["evidence"]["link"].as_str(),
        Some(format!("/runs/{run}?stage=1").as_str())
    );

    // What was lost is in the bill, and nothing of it in the output.
    let resource = fleet.run(server, &run);
    let usage = &resource["usage"];
    let tasks = resource["progress"]["tasks"].as_u64().unwrap();
    assert!(usage["storage_requests"]["put"].as_u64().unwrap() >= tasks, "{usage}");
    assert!(usage["storage_requests"]["get"].as_u64().unwrap() >= tasks, "{usage}");
    assert!(usage["queue_requests"].as_u64().unwrap() > 3 * 3 * tasks, "{usage}");
    assert_eq!(usage["workers"], 2, "{usage}");
    let cost = &usage["estimated_cost"];
    let lines = cost["lines"].as_array().unwrap();
    let sum: f64 = lines.iter().map(|line| line["amount"].as_f64().unwrap()).sum();
    assert!(
        lines.iter().all(|line| line["amount"].as_f64().unwrap() > 0.0),
        "{cost}"
    );
    assert!((sum - cost["amount"].as_f64().unwrap()).abs() < 1e-12, "{cost}");
    assert_eq!(resource["resources"]["worker_slots"], 2);
    let durations = resource["durations"].as_object().unwrap();
    let parts = [
        "queued_ms",
        "planning_ms",
        "cold_start_ms",
        "running_ms",
        "committing_ms",
    ];
    let parts: u64 = parts.iter().map(|part| durations[*part].as_u64().unwrap()).sum();
    assert_eq!(durations["total_ms"].as_u64(), Some(parts), "{durations:?}");

    let stages = fleet.request(
        server,
        reqwest::Method::GET,
        &format!("/api/v1/runs/{run}/stages"),
        &[],
        "",
    );
    let sink = &stages.body["items"][1]["conservation"];
    assert_eq!(
        (&sink["exchange"], &sink["commit"]),
        (&Value::from("holds"), &Value::from("holds")),
        "{sink}"
    );
    assert_eq!(
        (&sink["rows_offered"], &sink["rows_committed"]),
        (&sink["rows_taken"], &sink["rows_out"])
    );
}

#[test]
fn another_worker_goes_on_when_one_is_killed() {
    let mut fleet = Fleet::new();
    let server = fleet.server(&[]);
    let workers = [fleet.worker(2), fleet.worker(2)];
    let (run, before) = begin(&fleet, server);
    fleet.kill(workers[0]);
    finish(&fleet, server, &run, &before);
}

#[test]
fn a_server_that_is_told_to_end_gives_its_runs_to_another() {
    let mut fleet = Fleet::new();
    let servers = [fleet.server(&["--lease-ms", "60000"]), fleet.server(&[])];
    fleet.worker(2);
    let (run, before) = begin(&fleet, servers[0]);
    fleet.signal(servers[0], "TERM");
    assert!(fleet.wait(servers[0]).success(), "{}", fleet.log(servers[0]));
    // Long before the lease would have run out.
    let events = finish(&fleet, servers[1], &run, &before);
    assert!(happened(&events[before.len()..], "owner_changed"));
}

#[test]
fn a_worker_that_is_told_to_end_finishes_what_it_runs() {
    let mut fleet = Fleet::new();
    let server = fleet.server(&[]);
    let workers = [fleet.worker(1), fleet.worker(1)];
    let (run, before) = begin(&fleet, server);
    fleet.signal(workers[0], "TERM");
    assert!(fleet.wait(workers[0]).success(), "{}", fleet.log(workers[0]));
    let events = finish(&fleet, server, &run, &before);
    assert!(!happened(&events, "attempt_failed"), "nothing was lost");
}
