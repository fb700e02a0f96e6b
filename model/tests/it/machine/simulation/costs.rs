//! What one fault costs a run, with the settings that Weir has by default: how much later it ends, and how many attempts
//! are made beside those that were needed. `docs/faults.md` shows the table that this prints.
//!
//! The run has 24 tasks that shuffle and 8 that write, each of which takes 3 s; four workers with three slots each run
//! it in three waves.

use weir_model::{CoalesceSettings, RunOutcome, RunSettings, SpeculationSettings, Submission};

use super::scenario::{Faults, Scenario, Sudden, Times};
use super::world::World;
use super::{Rng, say};
use crate::machine::graphs::{self, aligned, graph, reading, shuffle, sink, stage};

const MAPS: u32 = 24;
const REDUCES: u32 = 8;
const TASK_MS: u64 = 3_000;
/// How long the one task takes that is slow.
const SLOW_TASK_MS: u64 = 120_000;
const LEASE_MS: u64 = 5_000;
const VISIBILITY_MS: u64 = 30_000;
const HEARTBEAT_MS: u64 = 1_000;

/// Worlds of each kind.
const WORLDS: u64 = 120;

fn scenario(faults: Faults, planes: u64, settings: RunSettings) -> Scenario {
    Scenario {
        graph: graph([
            stage(0, MAPS, shuffle(REDUCES)),
            reading(stage(1, REDUCES, sink("out")), [aligned(0, 0..REDUCES)]),
        ]),
        submission: Submission {
            settings,
            ..graphs::submission()
        },
        faults,
        planes,
        skew_ms: 0,
        embedded: false,
        workers: 4,
        // As long as any of these runs may take.
        turmoil_ms: 1_000_000,
        sudden_within_ms: 3 * TASK_MS,
        most_faults: Some(1),
        times: Times {
            lease: LEASE_MS,
            visibility: VISIBILITY_MS,
            heartbeat: HEARTBEAT_MS,
            grace: 5_000,
            task: (TASK_MS, TASK_MS),
            slow_task: (SLOW_TASK_MS, SLOW_TASK_MS),
        },
    }
}

fn settings() -> RunSettings {
    RunSettings {
        // A task for each partition: one byte is enough.
        coalesce: CoalesceSettings {
            target_bytes: 1,
            min_bytes: 1,
            parallelism: MAPS,
        },
        ..RunSettings::default()
    }
}

/// When a run ended, and the attempts that were not needed.
struct Cost {
    ended_ms: u64,
    repeated: u32,
}

fn run(scenario: &Scenario, seed: u64) -> Cost {
    let mut world = World::new(scenario.clone(), Rng::new(seed), false);
    world.live().unwrap_or_else(|what| panic!("seed {seed}: {what}"));
    assert_eq!(world.store.truth.outcome(), Some(RunOutcome::Succeeded));
    let snapshot = world.store.truth.snapshot();
    let ended = snapshot.finished_at.expect("an end");
    Cost {
        ended_ms: ended.ms_since(snapshot.created_at),
        repeated: world.executed - MAPS - REDUCES,
    }
}

/// Prints what a fault costs, and checks that it is no more than so much time and so many attempts.
fn check(what: &str, scenario: &Scenario, most_ms: u64, most_repeated: u32) {
    let peace = Scenario {
        faults: Faults::default(),
        ..scenario.clone()
    };
    let usual_ms = run(&peace, 0).ended_ms;
    let mut costs: Vec<_> = (0..WORLDS).map(|seed| run(scenario, seed)).collect();
    costs.sort_unstable_by_key(|cost| cost.ended_ms);
    let late = |cost: &Cost| cost.ended_ms.saturating_sub(usual_ms);
    let (typical, worst) = (late(&costs[costs.len() / 2]), late(&costs[costs.len() - 1]));
    let repeated = costs.iter().map(|cost| cost.repeated).max().unwrap_or(0);
    let seconds = |ms: u64| ms as f64 / 1_000.0;
    say(&format!(
        "{what:<60} {:>6.1} s {:>6.1} s {repeated:>4}",
        seconds(typical),
        seconds(worst)
    ));
    assert!(worst <= most_ms, "{what}: the run is {worst} ms late");
    assert!(repeated <= most_repeated, "{what}: {repeated} attempts were not needed");
}

#[test]
fn a_fault_costs_no_more_than_it_must() {
    // Messages, effects and appends take some milliseconds each.
    const SLACK_MS: u64 = 400;
    let timeout_ms = RunSettings::default().attempt_timeout_ms;
    let rarely = 10;
    let none = Faults::default();
    say("one fault                                              typical    worst  attempts");
    check("none", &scenario(none.clone(), 2, settings()), SLACK_MS, 0);
    let doubled = Faults {
        doubled: rarely,
        ..none.clone()
    };
    check(
        "a message or report is delivered twice",
        &scenario(doubled, 2, settings()),
        TASK_MS + SLACK_MS,
        1,
    );
    let fails = Faults {
        fails: 2 * rarely,
        ..none.clone()
    };
    let attempt_ms = TASK_MS + 200;
    check(
        "an attempt fails through the platform's fault",
        &scenario(fails, 2, settings()),
        attempt_ms + SLACK_MS,
        1,
    );
    check(
        "a worker is killed",
        &scenario(sudden(Sudden::WorkerDies), 2, settings()),
        VISIBILITY_MS + TASK_MS + SLACK_MS,
        // The three that it ran come back when their messages do, and may have been copied before.
        6,
    );
    check(
        "the control plane that owns the run is killed",
        &scenario(sudden(Sudden::PlaneDies), 1, settings()),
        LEASE_MS * 4 / 3 + SLACK_MS,
        0,
    );
    check(
        "it shuts down",
        &scenario(sudden(Sudden::PlaneStops), 1, settings()),
        LEASE_MS / 3 + SLACK_MS,
        0,
    );
    check(
        "it stands still, then goes on as if nothing had happened",
        &scenario(sudden(Sudden::PlaneSleeps), 2, settings()),
        // The reports that it has taken are hidden from the others meanwhile; the attempts look slow, and are copied.
        VISIBILITY_MS + SLACK_MS,
        3,
    );
    check(
        "shuffle objects are lost",
        &scenario(sudden(Sudden::ObjectsLost), 2, settings()),
        3 * TASK_MS + SLACK_MS,
        REDUCES + 3,
    );
    let message_lost = Faults {
        message_lost: 3 * rarely,
        ..none.clone()
    };
    check(
        "a task message is lost",
        &scenario(message_lost, 2, settings()),
        timeout_ms + TASK_MS + SLACK_MS,
        0,
    );
    let report_lost = Faults {
        report_lost: rarely,
        ..none.clone()
    };
    check(
        "a report is lost",
        &scenario(report_lost, 2, settings()),
        timeout_ms + attempt_ms + SLACK_MS,
        1,
    );
    let slow = Faults {
        slow: 3 * rarely,
        ..none
    };
    check(
        "one attempt takes 120 s instead of 3 s",
        &scenario(slow.clone(), 2, settings()),
        3 * TASK_MS + HEARTBEAT_MS + SLACK_MS,
        1,
    );
    let without = RunSettings {
        speculation: SpeculationSettings {
            enabled: false,
            ..SpeculationSettings::default()
        },
        ..settings()
    };
    check(
        "the same without speculation",
        &scenario(slow, 2, without),
        SLOW_TASK_MS + SLACK_MS,
        0,
    );
}

fn sudden(sudden: Sudden) -> Faults {
    Faults {
        sudden: vec![sudden],
        ..Faults::default()
    }
}
