//! Processes that end, in good order and otherwise, while a run is under way.

use std::collections::BTreeSet;

use serde_json::Value;

use super::fleet::{Fleet, MemberId};

/// A first stage that is quick and a second one that takes long enough to be disturbed.
const PIPELINE: &str = r#"
pipeline:
  type: chain
  transforms:
    - type: Create
      config: {elements: [1]}
    - type: Sql
      config:
        query: SELECT value % 50000 AS k, value AS v FROM PCOLLECTION CROSS JOIN generate_series(1, 150000)
    - type: Combine
      config:
        group_by: k
        combine: {total: {value: v, fn: sum}}
    - type: MapToFields
      config:
        language: sql
        fields:
          k: k
          total: total
          slow: "{{ slow }}"
    - type: WriteToCsv
      config: {path: "{{ output }}"}
"#;

/// Nested hashes: nothing that an optimiser could fold.
fn slow(depth: usize) -> String {
    let mut expression = "CAST(total AS VARCHAR)".to_owned();
    for _ in 0..depth {
        expression = format!("encode(sha512({expression}), 'hex')");
    }
    expression
}

/// Submits the pipeline and waits until its second stage runs; gives the run and its events so far.
fn begin(fleet: &Fleet, server: MemberId) -> (String, Vec<Value>) {
    fleet.place.write("p.yaml", PIPELINE);
    let run = fleet.client_ok(
        server,
        [
            "submit",
            "p.yaml",
            "--param",
            &format!("slow={}", slow(12)),
            "--param",
            &format!("output=s3://{}/out/totals", fleet.bucket),
            "--set",
            "target_partitions=8",
            "--set",
            "coalesce.target_bytes=1",
            "--set",
            "coalesce.min_bytes=1",
        ],
    );
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
