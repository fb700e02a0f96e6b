//! Runs in a world where everything goes wrong that can: several control planes with clocks of their own, workers,
//! two queues, a store and a storage, each of which fails, lies still, comes late, or does things twice.
//!
//! A seed stands for a world, and for all that happens in it. A seed that fails prints how to see it again:
//!
//! - `WEIR_SIMULATION_SEED=7 cargo test -p weir-model --test it simulation::one_seed -- --nocapture` prints what happens
//!   in the world of seed 7.
//! - `WEIR_SIMULATION_SEEDS=5000000 cargo test -p weir-model --test it simulation::` tries that many seeds.
//! - `WEIR_SIMULATION_FIRST=1000000` begins with another seed than zero.

mod costs;
mod effects;
mod ledger;
mod planes;
mod queue;
mod rng;
mod scenario;
mod storage;
mod store;
mod workers;
mod world;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use weir_model::Event;

pub(super) use rng::Rng;
use scenario::Scenario;
use world::World;

/// Seeds that are tried unless somebody asks for more.
const SEEDS: u64 = 100_000;

/// What happened, by how often.
type Seen = BTreeMap<String, u64>;

/// Lives through a world, which is traced or not. Gives what is wrong, if anything is.
fn live(seed: u64, peaceful: bool, traced: bool) -> (World, Result<(), String>) {
    let mut rng = Rng::new(seed);
    let scenario = match peaceful {
        true => Scenario::peaceful(&mut rng),
        false => Scenario::new(&mut rng),
    };
    let mut world = World::new(scenario, rng, traced);
    let result = world.live();
    (world, result)
}

/// What people need who look for the reason.
fn failure(seed: u64, peaceful: bool, what: &str) -> String {
    let (world, _) = live(seed, peaceful, true);
    format!(
        "{}\nseed {seed}: {what}\nto see this again: WEIR_SIMULATION_SEED={seed} cargo test -p weir-model --test it \
         simulation::one_seed -- --nocapture",
        world.trace.unwrap_or_default().join("\n")
    )
}

/// Tries seeds on all processors, up to the first that fails.
fn try_seeds(seeds: std::ops::Range<u64>, peaceful: bool) -> Seen {
    let next = AtomicU64::new(seeds.start);
    let found: Mutex<Option<(u64, String)>> = Mutex::new(None);
    let all: Mutex<Seen> = Mutex::default();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut seen = Seen::new();
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        break;
                    }
                    let (world, result) = live(seed, peaceful, false);
                    if let Err(what) = result {
                        next.store(seeds.end, Ordering::Relaxed);
                        *found.lock().expect("no panics") = Some((seed, what));
                        break;
                    }
                    note_seen(&world, &mut seen);
                }
                let mut all = all.lock().expect("no panics");
                for (what, times) in seen {
                    *all.entry(what).or_default() += times;
                }
            });
        }
    });
    if let Some((seed, what)) = found.into_inner().expect("no panics") {
        panic!("{}", failure(seed, peaceful, &what));
    }
    all.into_inner().expect("no panics")
}

/// Counts the worlds in which something happened.
fn note_seen(world: &World, seen: &mut Seen) {
    let mut count = |what: String| *seen.entry(what).or_default() += 1;
    world.seen.keys().for_each(|what| count((*what).to_owned()));
    count(format!("{:?}", world.store.truth.outcome().expect("an outcome")));
    if let Some(reason) = world.store.truth.reason() {
        count(format!("ends with {}", reason.code));
    }
    let mut latest = BTreeMap::new();
    let mut copies = std::collections::BTreeSet::new();
    let mut reopened = BTreeMap::new();
    for event in world.store.events() {
        match event {
            Event::TaskDispatched {
                task,
                attempt,
                speculative,
                ..
            } => {
                latest.insert(*task, *attempt);
                if *speculative {
                    count("a task is copied".to_owned());
                    copies.insert((*task, *attempt));
                }
            }
            Event::TaskAccepted { task, attempt, .. } => {
                if copies.contains(&(*task, *attempt)) {
                    count("a copy wins".to_owned());
                } else if latest[task] > *attempt {
                    count("an older attempt wins".to_owned());
                }
            }
            Event::AttemptFailed {
                failure, task, attempt, ..
            } => {
                count(format!("attempt failed: {}", failure.code));
                if copies.contains(&(*task, *attempt)) {
                    count("a copy fails".to_owned());
                }
            }
            Event::StageReopened {
                stage, stage_attempt, ..
            } => {
                let joined = reopened.insert(*stage, *stage_attempt) == Some(*stage_attempt);
                count(if joined { "tasks join" } else { "a stage is reopened" }.to_owned());
            }
            Event::Committed { .. } => count("a commit".to_owned()),
            Event::Paused { .. } => count("a run is paused".to_owned()),
            Event::Resumed { .. } => count("a run goes on".to_owned()),
            _ => {}
        }
    }
}

fn number(variable: &str) -> Option<u64> {
    #[expect(clippy::disallowed_methods, reason = "a test that is told how long to look")]
    let value = std::env::var(variable).ok()?;
    Some(
        value
            .parse()
            .unwrap_or_else(|_| panic!("{variable} is not a number: {value}")),
    )
}

/// Prints although the test succeeds.
fn say(what: &str) {
    writeln!(std::io::stderr(), "{what}").expect("a place to write to");
}

/// Whatever happens, every run ends for a reason, and what must hold does.
#[test]
fn every_world_is_survived() {
    let first = number("WEIR_SIMULATION_FIRST").unwrap_or(0);
    let seeds = number("WEIR_SIMULATION_SEEDS").unwrap_or(SEEDS);
    let seen = try_seeds(first..first + seeds, false);
    let succeeded = seen.get("Succeeded").copied().unwrap_or(0);
    say(&format!("simulation: {seeds} seeds, {succeeded} runs succeeded"));
    everything_happens(&seen, seeds);
}

/// The worlds are as bad as they claim to be: each thing that can happen does, and often.
fn everything_happens(seen: &Seen, seeds: u64) {
    let expected = [
        "Cancelled",
        "Failed",
        "Succeeded",
        "a clock jumps",
        "a commit",
        "a commit fails",
        "a control plane dies",
        "a control plane shuts down",
        "a copy fails",
        "a copy wins",
        "a false alarm",
        "a former owner cannot write",
        "a former owner goes on",
        "a former owner learns that it is one",
        "a message is lost",
        "a message of before a pause is left alone",
        "a run is paused",
        "a run goes on",
        "a report is lost",
        "a run is taken over",
        "a stage is reopened",
        "a task is copied",
        "a worker dies",
        "a worker is cut off",
        "an append fails",
        "an execution is slow",
        "an object is lost",
        "an older attempt wins",
        "an output is deleted",
        "attempt failed: attempt_lost",
        "attempt failed: cancelled",
        "attempt failed: disk_full",
        "attempt failed: object_not_found",
        "attempt failed: wasm_trap",
        "ends with shuffle_lost",
        "ends with storage",
        "ends with timeout",
        "something is delivered twice",
        "tasks join",
        "the answer of an append is lost",
        "the queues are lost",
    ];
    let often = seeds / 1_000;
    let rare: Vec<_> = expected
        .iter()
        .filter(|what| seen.get(**what).copied().unwrap_or(0) < often)
        .collect();
    assert!(rare.is_empty(), "these hardly ever happen: {rare:?}\nof {seen:#?}");
}

/// In peace a run takes one attempt for each task, and perhaps a copy of what looks slow.
#[test]
fn peace_costs_nothing() {
    let seen = try_seeds(0..2_000, true);
    for never in [
        "a control plane dies",
        "a stage is reopened",
        "an execution is slow",
        "attempt failed: attempt_lost",
        "Failed",
        "Cancelled",
    ] {
        assert!(!seen.contains_key(never), "{never} in {seen:#?}");
    }
    assert_eq!(seen["Succeeded"], 2_000);
}

/// Prints what happens in the world of one seed.
#[test]
fn one_seed() {
    let seed = number("WEIR_SIMULATION_SEED").unwrap_or(0);
    let (world, result) = live(seed, false, true);
    if number("WEIR_SIMULATION_SEED").is_some() {
        say(&world.trace.unwrap_or_default().join("\n"));
    }
    result.unwrap_or_else(|what| panic!("seed {seed}: {what}"));
    let (again, _) = live(seed, false, false);
    assert_eq!(again.store.log, world.store.log, "a seed is not the same twice");
}

/// An event in a few words.
fn brief(event: &Event) -> String {
    match event {
        Event::Planned { .. } => "Planned".to_owned(),
        Event::Submitted { .. } => "Submitted".to_owned(),
        Event::TaskAccepted {
            task,
            stage_attempt,
            attempt,
            execution,
            ..
        } => format!("TaskAccepted {task} attempt {stage_attempt}/{attempt} by {execution}"),
        Event::AttemptFailed {
            task, attempt, failure, ..
        } => format!(
            "AttemptFailed {task} attempt {attempt}: {:?} {} {:?}",
            failure.kind, failure.code, failure.lost
        ),
        event => format!("{event:?}"),
    }
}
