//! What `kill -9` costs.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::jobs::slow;
use crate::support::{Place, Started};

const OUTPUT: &str = "output=out/totals";

fn totals(place: &Place) -> Vec<(u64, u64)> {
    let mut totals: Vec<(u64, u64)> = place
        .files("out/totals-")
        .iter()
        .flat_map(|(_, text)| text.lines().skip(1).map(str::to_owned).collect::<Vec<_>>())
        .map(|line| {
            let mut fields = line.split(',').map(|field| field.parse().unwrap_or_default());
            (fields.next().unwrap_or_default(), fields.next().unwrap_or_default())
        })
        .collect();
    totals.sort_unstable();
    totals
}

#[test]
fn a_killed_run_resumes_without_doing_accepted_work_again() {
    let place = Place::new();
    place.write("p.yaml", slow(100_000, 300_000, 10));
    let args = [
        "run",
        "p.yaml",
        "--param",
        OUTPUT,
        "--slots",
        "2",
        "--target-partitions",
        "8",
    ];
    let mut run = Started::new(&place, args);
    let before = run.wait_for_event(&place, "stage_completed");
    run.kill("KILL");
    assert!(place.files("out/").is_empty(), "nothing is visible before the commit");
    let accepted = tasks(&before, "task_accepted");
    assert!(!accepted.is_empty());

    let listed = place.ok(["runs", "list", "-o", "json"]);
    let listed: Value = serde_json::from_str(&listed).expect("JSON");
    assert_eq!(listed[0]["result"], Value::Null, "{listed}");

    place.ok(["runs", "resume"]);
    let expected: Vec<(u64, u64)> = (0..100_000u64)
        .map(|k| {
            (
                k,
                (0..=3)
                    .map(|turn| turn * 100_000 + k)
                    .filter(|v| (1..=300_000).contains(v))
                    .sum(),
            )
        })
        .collect();
    assert_eq!(totals(&place), expected);

    let after = place.events();
    assert_eq!(after[..before.len()], before[..], "the log only grows");
    let dispatched_again: Vec<_> = tasks(&after[before.len()..], "task_dispatched")
        .intersection(&accepted)
        .cloned()
        .collect();
    assert!(
        dispatched_again.is_empty(),
        "accepted tasks ran again: {dispatched_again:?}"
    );
    let all_accepted = after.iter().filter(|event| event["type"] == "task_accepted").count();
    assert_eq!(
        all_accepted,
        tasks(&after, "task_accepted").len(),
        "a task was accepted twice"
    );
    assert!(place.ok(["runs", "resume"]).is_empty(), "nothing is left to resume");
}

#[test]
fn a_run_killed_while_planning_resumes() {
    let place = Place::new();
    place.write("p.yaml", slow(100_000, 300_000, 4));
    let mut run = Started::new(&place, ["run", "p.yaml", "--param", OUTPUT]);
    run.wait_for_event(&place, "submitted");
    run.kill("KILL");
    place.ok(["runs", "resume"]);
    assert_eq!(totals(&place).len(), 100_000);
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
