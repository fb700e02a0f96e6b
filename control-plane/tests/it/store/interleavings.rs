//! Owners that take runs from each other, over several processes.

use std::time::Duration;

use weir_control_plane::store::{Acquired, Error, Lease, Store};
use weir_model::{Event, EventRecord, RunId};

use super::{LONG, create, is_fenced, record};

/// Numbers that look random, the same for a seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

/// Takes runs over, appends to them and gives them back, in an order that the seed and the others decide. Gives what was
/// said to be written.
async fn meddle(store: &impl Store, name: &str, runs: &[RunId], seed: u64) -> Vec<EventRecord> {
    let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let mut owned: Vec<(Lease, u64)> = Vec::new();
    let mut written = Vec::new();
    for turn in 0..150 {
        let ttl = [Duration::ZERO, Duration::from_millis(5), LONG][dice.roll(3) as usize];
        if owned.is_empty() || dice.roll(4) == 0 {
            let run = runs[dice.roll(runs.len() as u64) as usize];
            if let Acquired::Lease(lease) = store.lease_acquire(run, name, ttl).await.unwrap() {
                // Read after the run was taken, as in a takeover.
                let last_seq = store.run_get(run).await.unwrap().unwrap().last_seq;
                owned.retain(|(known, _)| known.run != run);
                owned.push((lease, last_seq));
            }
            continue;
        }
        let at = dice.roll(owned.len() as u64) as usize;
        let (lease, last_seq) = &mut owned[at];
        match dice.roll(10) {
            0 => {
                store.lease_release(lease).await.unwrap();
                owned.remove(at);
            }
            1 => {
                let renewed = store.lease_renew(std::slice::from_ref(lease), ttl).await.unwrap();
                if renewed == [None] {
                    owned.remove(at);
                }
            }
            _ => {
                let by = |n| format!("{} {name} {turn}.{n}", lease.epoch);
                let event = |n| record(lease.run, *last_seq + n, Event::CancelRequested { by: by(n) });
                let events: Vec<_> = (1..=1 + dice.roll(3)).map(event).collect();
                let mut appended = store.run_append(lease, &events, None, None).await;
                if dice.roll(3) == 0 && appended.is_ok() {
                    // As if the answer had been lost: it may have been taken over meanwhile.
                    let again = store.run_append(lease, &events, None, None).await;
                    appended = if is_fenced(again) {
                        Err(Error::Fenced { run: lease.run })
                    } else {
                        Ok(())
                    };
                    written.extend(events.iter().cloned());
                } else if appended.is_ok() {
                    written.extend(events.iter().cloned());
                }
                match appended {
                    Ok(()) => *last_seq += events.len() as u64,
                    Err(Error::Fenced { .. }) => drop(owned.remove(at)),
                    Err(error) => panic!("{error:?}"),
                }
            }
        }
    }
    for (lease, _) in owned {
        store.lease_release(&lease).await.unwrap();
    }
    written
}

/// Whatever owners do and however they interleave: a log has no gaps, nobody writes after his successor, and it has what
/// was said to be written and nothing else.
pub(super) async fn check<S: Store + Clone>(stores: [S; 3]) {
    for seed in 1..=6 {
        let mut runs = Vec::new();
        for _ in 0..3 {
            runs.push(create(&stores[0], "nobody", Duration::ZERO).await.run);
        }
        let meddling = (0..9u64).map(|actor| {
            let (store, runs) = (stores[actor as usize % 3].clone(), runs.clone());
            tokio::spawn(async move { meddle(&store, &format!("actor {actor}"), &runs, seed * 100 + actor).await })
        });
        let meddling: Vec<_> = meddling.collect();
        let mut written = Vec::new();
        for actor in meddling {
            written.extend(actor.await.unwrap());
        }
        assert!(written.len() > 100, "seed {seed}: they came to write {}", written.len());
        let mut logged = 0;
        for run in &runs {
            let log = stores[1].run_events(*run, 0, 100_000).await.unwrap();
            logged += log.len() - 1;
            let row = stores[2].run_get(*run).await.unwrap().unwrap();
            assert_eq!(row.last_seq, log.len() as u64, "seed {seed}");
            assert!(
                log.iter().zip(1..).all(|(event, seq)| event.seq == seq),
                "seed {seed}: no gaps"
            );
            let epoch = |event: &EventRecord| match &event.event {
                Event::CancelRequested { by } => by.split(' ').next().unwrap().parse::<u64>().unwrap(),
                _ => 1,
            };
            assert!(
                log.is_sorted_by_key(epoch),
                "seed {seed}: nobody writes after his successor"
            );
            let missing = written.iter().filter(|event| event.run == *run && !log.contains(event));
            assert_eq!(missing.count(), 0, "seed {seed}");
        }
        assert_eq!(
            logged,
            written.len(),
            "seed {seed}: nothing was written that was refused"
        );
    }
}
