//! A real fleet under faults: processes are killed, messages lost, doubled and late, storage calls refused and stalled.
//! Whatever was submitted must end with the output of a run without faults, once, and with nothing else left.
//!
//! `WEIR_CHAOS_SECONDS` is how long the faults go on, `WEIR_CHAOS_SEED` which ones come first:
//!
//! ```sh
//! WEIR_CHAOS_SECONDS=600 cargo xtask test -p weir --test it -- chaos --nocapture
//! ```

mod faults;
mod members;
mod world;

use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use self::faults::Numbers;
use self::members::Members;
use self::world::{PIPELINES, TEXTS, World};

const SERVERS: usize = 2;
const WORKERS: usize = 4;
/// Runs that are under way at once.
const ACTIVE: usize = 6;
/// How long the faults go on when nobody says.
const SECONDS: u64 = 30;
/// How long everything may take to end after the last fault.
const CALM: Duration = Duration::from_secs(300);

/// A submitted job.
struct Job {
    key: String,
    text: usize,
    kind: usize,
    run: Option<String>,
}

/// What was seen, for the report at the end.
#[derive(Default)]
struct Seen {
    kills: usize,
    accepted: usize,
    failed: usize,
    takeovers: usize,
}

fn setting(name: &str, otherwise: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} is a number")),
        Err(_) => otherwise,
    }
}

#[test]
fn a_fleet_under_faults_gives_what_one_without_gives() {
    let seed = setting("WEIR_CHAOS_SEED", 1);
    let seconds = setting("WEIR_CHAOS_SECONDS", SECONDS);
    let world = World::new(seed);
    let mut members = Members::new(&world.fleet, SERVERS, WORKERS);
    let mut numbers = Numbers(!seed);
    let mut jobs: Vec<Job> = Vec::new();
    let mut seen = Seen::default();
    members.revive();

    let begun = Instant::now();
    let until = begun + Duration::from_secs(seconds);
    let mut next_kill = Instant::now() + Duration::from_secs(8);
    while Instant::now() < until {
        members.revive();
        if Instant::now() >= next_kill {
            let victim = numbers.below((SERVERS + WORKERS) as u64) as usize;
            members.kill(victim, Instant::now() + Duration::from_millis(numbers.below(2_500)));
            seen.kills += 1;
            next_kill = Instant::now() + Duration::from_millis(1_000 + numbers.below(3_000));
        }
        let over = finished(&members, numbers.next() as usize);
        let submitted = jobs.iter().filter_map(|job| job.run.as_ref());
        let active = submitted.filter(|run| !over.contains_key(*run)).count();
        let number = jobs.len();
        let server = numbers.next() as usize;
        match jobs.iter_mut().find(|job| job.run.is_none()) {
            Some(job) => world.submit(&members, job, server),
            None if active < ACTIVE => {
                let mut job = Job {
                    key: format!("job-{number}"),
                    text: number % TEXTS,
                    kind: number % PIPELINES.len(),
                    run: None,
                };
                world.submit(&members, &mut job, server);
                jobs.push(job);
            }
            None => sleep(Duration::from_millis(200)),
        }
    }

    world.calm();
    let calm = Instant::now();
    loop {
        members.revive();
        for (server, job) in jobs.iter_mut().enumerate().filter(|(_, job)| job.run.is_none()) {
            world.submit(&members, job, server);
        }
        let over = finished(&members, 0);
        let waiting: Vec<_> = jobs
            .iter()
            .filter(|job| job.run.as_ref().is_none_or(|run| !over.contains_key(run)))
            .map(|job| (&job.key, &job.run))
            .collect();
        if waiting.is_empty() {
            break;
        }
        assert!(calm.elapsed() < CALM, "these do not end: {waiting:?}");
        sleep(Duration::from_millis(300));
    }
    let settled = calm.elapsed();
    for job in &jobs {
        world.check(&members, job, &mut seen);
    }
    // Objects of runs are deleted behind their ends; those that attempts write even later, by the housekeeping.
    let cleaning = Instant::now();
    loop {
        let left = world.fleet.keys("weir/runs");
        if left.is_empty() {
            break;
        }
        assert!(cleaning.elapsed() < CALM, "objects are left behind: {left:?}");
        sleep(Duration::from_millis(500));
    }
    // Of an upload that was begun in the moment of a kill, nobody knows but the bucket.
    let swept = world.sweep();
    assert_eq!(world.open_uploads(), [""; 0], "uploads that nobody will complete");
    assert!(
        swept <= seen.kills + world.proxy.faults() as usize,
        "{swept} uploads had no owner"
    );
    assert!(
        jobs.len() >= ACTIVE && seen.kills > 0 && world.proxy.faults() > 0,
        "there was nothing to survive"
    );
    println!(
        "chaos: seed {seed}, {seconds} s: {} runs, {} kills, {} of {} calls disturbed; {} tasks accepted, {} attempts \
         failed, {} takeovers; {swept} uploads swept; all over {:.1} s after the last fault",
        jobs.len(),
        seen.kills,
        world.proxy.faults(),
        world.proxy.calls(),
        seen.accepted,
        seen.failed,
        seen.takeovers,
        settled.as_secs_f64()
    );
}

/// The runs that are over, and how.
fn finished(members: &Members<'_>, server: usize) -> BTreeMap<String, Value> {
    let ran = members.client(server, &["runs", "list", "-o", "jsonl", "--limit", "1000"]);
    let runs = ran
        .stdout
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    runs.filter(|run| run["state"] == "finished")
        .filter_map(|run| Some((run["id"].as_str()?.to_owned(), run["result"].clone())))
        .collect()
}
