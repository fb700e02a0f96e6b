//! Runs in a world where everything goes wrong that can.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{TestCaseError, TestRunner};
use weir_model::{
    CoalesceSettings, Event, FailureKind, RetrySettings, RunOutcome, RunSettings, SpeculationSettings, StageGraph,
    Submission,
};

use super::graphs::{random, submission};
use super::world::{Faults, Tape, World};

/// More than any tape can use up.
const UNLIMITED: u32 = 100_000;

fn settings(retry: impl Strategy<Value = (u32, u32)>) -> impl Strategy<Value = RunSettings> {
    (1..=4_u32, 1..10_u64, retry).prop_map(
        |(parallelism, min_bytes, (max_attempts, max_stage_attempts))| RunSettings {
            coalesce: CoalesceSettings {
                target_bytes: 20,
                min_bytes,
                parallelism,
            },
            retry: RetrySettings {
                max_attempts,
                backoff_ms: 10,
                max_backoff_ms: 100,
                max_stage_attempts,
            },
            attempt_timeout_ms: 200,
            speculation: SpeculationSettings {
                enabled: true,
                multiplier: 1.5,
                quantile: 0.5,
                min_ms: 10,
            },
            ..RunSettings::default()
        },
    )
}

fn tape() -> impl Strategy<Value = Tape> {
    prop::collection::vec(any::<[u16; 6]>(), 0..600).prop_map(Tape)
}

fn live(settings: RunSettings, graph: StageGraph, faults: Faults, tape: &Tape) -> Result<World, TestCaseError> {
    let submission = Submission {
        settings,
        ..submission()
    };
    let mut world = World::new(submission, graph, faults).map_err(TestCaseError::fail)?;
    world.run(tape).map_err(TestCaseError::fail)?;
    Ok(world)
}

fn happened(world: &World, what: impl Fn(&Event) -> bool) -> bool {
    world.events().any(what)
}

/// What must be in the log when a run ends so.
fn explained(world: &World) -> bool {
    match world.state().outcome() {
        Some(RunOutcome::Succeeded) => true,
        Some(RunOutcome::Cancelled) => happened(world, |event| matches!(event, Event::CancelRequested { .. })),
        Some(RunOutcome::Failed) => happened(world, |event| matches!(event, Event::StopStarted { .. })),
        None => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 700, max_shrink_iters: 20_000, ..ProptestConfig::default() })]

    /// Whatever the platform does, the run ends as if nothing had happened.
    #[test]
    fn faults_of_the_platform_do_not_show(
        settings in settings(Just((UNLIMITED, UNLIMITED))),
        graph in random(),
        tape in tape(),
    ) {
        let faults = Faults { platform: true, lost_objects: true, ..Faults::default() };
        let world = live(settings, graph, faults, &tape)?;
        prop_assert_eq!(world.state().outcome(), Some(RunOutcome::Succeeded), "{}", world.wrong("not as in peace"));
    }

    /// Whatever else happens, the run ends, and says why.
    #[test]
    fn every_run_ends_for_a_reason(
        settings in settings((1..=3_u32, 0..=2_u32)),
        graph in random(),
        tape in tape(),
        faults in (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>()),
    ) {
        let (platform, user, lost_objects, cancel, effects) = faults;
        let faults = Faults { platform, user, lost_objects, cancel, effects };
        let world = live(settings, graph, faults, &tape)?;
        prop_assert!(explained(&world), "{}", world.wrong("the end is not explained"));
        let retryable = world.state().reason().is_some_and(|reason| reason.retryable);
        let users_fault = happened(&world, |event| {
            matches!(event, Event::AttemptFailed { failure, .. } if failure.kind == FailureKind::User)
        });
        match world.state().outcome() {
            Some(RunOutcome::Failed) => {
                prop_assert_eq!(retryable, !users_fault, "{}", world.wrong("the wrong one is blamed"));
            }
            _ => prop_assert!(!users_fault, "{}", world.wrong("a failure of the user's code was passed over")),
        }
    }

    /// In peace a run takes one attempt for each task.
    #[test]
    fn peace_costs_nothing(settings in settings(Just((1, 0))), graph in random()) {
        let world = live(settings, graph, Faults::default(), &Tape(Vec::new()))?;
        prop_assert_eq!(world.state().outcome(), Some(RunOutcome::Succeeded));
        let repeated = happened(&world, |event| {
            matches!(event, Event::TaskDispatched { attempt: 1.., .. } | Event::AttemptFailed { .. })
        });
        prop_assert!(!repeated, "{}", world.wrong("something was done twice"));
    }
}

/// The worlds of the tests above are as bad as they claim to be: each thing that can happen does, and often.
#[test]
fn everything_happens() {
    let mut runner = TestRunner::deterministic();
    let limits = prop_oneof![Just((UNLIMITED, UNLIMITED)), (1..=3_u32, 0..=2_u32)];
    let worlds = (settings(limits), random(), tape(), any::<[bool; 2]>());
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    let mut count = |what: &str| *seen.entry(what.to_owned()).or_default() += 1;
    for _ in 0..200 {
        let (settings, graph, tape, [user, cancel]) = worlds.new_tree(&mut runner).expect("a world").current();
        let faults = Faults {
            platform: true,
            lost_objects: true,
            effects: true,
            user,
            cancel,
        };
        let world = live(settings, graph, faults, &tape).expect("a run that ends");
        world.seen().keys().for_each(|what| count(what));
        count(&format!("{:?}", world.state().outcome()));
        if let Some(reason) = world.state().reason() {
            count(&reason.code);
        }
        let mut sent = BTreeMap::new();
        let mut reopened = BTreeMap::new();
        for event in world.events() {
            match event {
                Event::TaskDispatched { task, attempt, .. } => drop(sent.insert(*task, *attempt)),
                Event::TaskAccepted { task, attempt, .. } if sent[task] > *attempt => count("an older attempt wins"),
                Event::AttemptFailed { failure, .. } => count(&format!("attempt failed: {}", failure.code)),
                Event::OwnerChanged { queue_lost } => count(&format!("queue lost: {queue_lost}")),
                Event::StageReopened {
                    stage, stage_attempt, ..
                } => {
                    let joined = reopened.insert(*stage, *stage_attempt) == Some(*stage_attempt);
                    count(if joined { "tasks join" } else { "a stage is reopened" });
                }
                Event::CommitStarted => count("a commit"),
                _ => {}
            }
        }
    }
    let expected = [
        "Some(Cancelled)",
        "Some(Failed)",
        "Some(Succeeded)",
        "a commit",
        "a former owner deletes or ignores",
        "a message is lost",
        "a report is lost",
        "a stage is reopened",
        "an effect is done twice",
        "an older attempt wins",
        "an output is deleted",
        "attempt failed: attempt_lost",
        "attempt failed: cancelled",
        "attempt failed: disk_full",
        "attempt failed: object_not_found",
        "attempt failed: wasm_trap",
        "queue lost: false",
        "queue lost: true",
        "shuffle_lost",
        "storage",
        "tasks join",
    ];
    let rare: Vec<_> = expected
        .iter()
        .filter(|what| seen.get(**what).copied().unwrap_or(0) < 3)
        .collect();
    assert!(rare.is_empty(), "these hardly ever happen: {rare:?}\nof {seen:#?}");
}
