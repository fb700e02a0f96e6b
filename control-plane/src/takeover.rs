//! Taking runs over that nobody drives: their owner died or gave them back, or there was no room for them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use tokio::sync::OwnedSemaphorePermit;
use weir_model::machine::{Effect, Input};
use weir_model::{Namespace, RunId};
use weir_platform::clock;
use weir_platform::telemetry::metrics::metrics;

use crate::driver::{self, Start};
use crate::replay::replay;
use crate::shared::Shared;
use crate::store::{self, Acquired, Lease, NamespaceLoad, RunRow};
use crate::{Error, admission, leases, random};

/// Runs that one sweep takes at most; the rest is for the next one, or for others.
const PER_SWEEP: usize = 16;
/// Runs that are taken at once.
const AT_ONCE: usize = 4;
/// The time between two sweeps when the first left more than others can take at once.
const MANY_LEFT: Duration = Duration::from_millis(50);
/// The same when it left a few: longer than others take to hear of it.
const FEW_LEFT: Duration = Duration::from_millis(400);
/// The shortest time between two sweeps when there is news of runs, which is often.
const NEWS: Duration = Duration::from_millis(150);
/// How long a run is left alone that could not be taken over, so that it does not keep others from it.
const LEFT_ALONE: Duration = Duration::from_secs(30);
/// Runs that are left alone at most.
const MAX_LEFT_ALONE: usize = 1_000;

/// Takes a lease and drives its run from where its log ends. Says in which way it is not to be had, otherwise.
async fn take_over(shared: &Arc<Shared>, run: RunId, room: OwnedSemaphorePermit) -> Result<Acquired, Error> {
    let owned_since = Instant::now();
    let ttl = shared.options.lease();
    let lease = match shared.store.lease_acquire(run, &shared.owner, ttl).await? {
        Acquired::Lease(lease) => lease,
        refused => return Ok(refused),
    };
    if let Err(error) = drive(shared, lease.clone(), owned_since, room).await {
        // Not to be waited for by whoever can do better.
        if let Err(error) = shared.store.lease_release(&lease).await {
            tracing::debug!(%run, error = &error as &dyn std::error::Error, "cannot give a run back");
        }
        return Err(error);
    }
    Ok(Acquired::Lease(lease))
}

async fn drive(
    shared: &Arc<Shared>,
    lease: Lease,
    owned_since: Instant,
    room: OwnedSemaphorePermit,
) -> Result<(), Error> {
    let run = lease.run;
    let (state, row) = tokio::try_join!(replay(&*shared.store, run), shared.store.run_get(run))?;
    let (Some(state), Some(row)) = (state, row) else {
        return Err(Error::NotFound { run });
    };
    let (mut inputs, mut effects) = (Vec::new(), Vec::new());
    if state.is_finished() {
        effects.push(Effect::Cleanup);
    } else {
        inputs.push(Input::Takeover {
            queue_lost: shared.options.queue_in_process,
            sent_through: row.dispatched_seq,
        });
        inputs.extend(row.cancel_requested_by.map(|by| Input::Cancel { by }));
        inputs.extend(leases::pause_input(row.pause_requested_by, state.is_paused()));
    }
    let start = Start {
        state,
        lease,
        owned_since,
        inputs,
        effects,
        sent_through: row.dispatched_seq,
        room,
    };
    driver::spawn(shared, start);
    // Reports may have been left for whoever owns the run next.
    shared.inbox.wake();
    Ok(())
}

/// Looks for runs that nobody drives, for as long as the control plane takes any.
///
/// Every control plane looks about five times in a lease's time, each at times of its own, and takes half of what there
/// is. Others hear of that and look as well; then it looks again. So the runs of one that died go to all the others,
/// and those that have room for more runs take more.
pub(crate) async fn sweep(shared: Arc<Shared>) {
    let mut left_alone = LeftAlone::default();
    let mut left = Left::Nothing;
    loop {
        let wait = random::around(match left {
            Left::Nothing => shared.options.lease() / 5,
            Left::Few => FEW_LEFT,
            Left::Many => MANY_LEFT,
        });
        let news = async {
            tokio::time::sleep(random::around(NEWS)).await;
            shared.sweep.notified().await;
            // What this control plane has just done is news too.
            if matches!(left, Left::Few) {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = shared.stop.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
            () = news => {}
        }
        left = match sweep_once(&shared, &mut left_alone).await {
            Ok(more) => more,
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "cannot look for runs that nobody drives"
                );
                Left::Nothing
            }
        };
    }
}

/// What a sweep leaves that this control plane has room for.
enum Left {
    Nothing,
    Few,
    Many,
}

/// Takes some of the runs that nobody drives.
async fn sweep_once(shared: &Arc<Shared>, left_alone: &mut LeftAlone) -> Result<Left, store::Error> {
    let rooms = shared.rooms.available_permits();
    left_alone.forget_old();
    let limit = 2 * PER_SWEEP + left_alone.runs.len();
    let Found { rows, mut turns } = find(shared, limit).await?;
    let mut queued: HashSet<RunId> = HashSet::new();
    let found: Vec<&RunRow> = rows
        .iter()
        .filter(|row| !left_alone.runs.contains_key(&row.run) && !shared.runs().contains_key(&row.run))
        .collect();
    let share = found.len().div_ceil(2).min(PER_SWEEP).min(rooms);
    let mut taken = Vec::new();
    let (waiting, begun): (Vec<&RunRow>, Vec<&RunRow>) = found.iter().partition(|row| waits(row));
    taken.extend(begun.iter().map(|row| row.run));
    // Control planes that look at the same time shall not all ask for the same runs; where there is room for one only,
    // it is for the one whose turn it is.
    let choice = share + share / 2;
    while taken.len() < choice
        && let Some(run) = turns.next(&waiting, &queued)
    {
        queued.insert(run);
        taken.push(run);
    }
    let left = match found.len() > share && rooms > share {
        true if rows.len() == limit => Left::Many,
        true => Left::Few,
        false => Left::Nothing,
    };
    taken.truncate(choice);
    random::shuffle(&mut taken);
    taken.truncate(share);
    let mut taking = futures::stream::iter(taken.into_iter().map(|run| {
        let shared = shared.clone();
        async move {
            match shared.rooms.clone().try_acquire_owned() {
                Ok(room) => (run, take_over(&shared, run, room).await),
                Err(_) => (run, Ok(Acquired::Nothing)),
            }
        }
    }))
    .buffer_unordered(AT_ONCE);
    while let Some((run, taken)) = taking.next().await {
        match taken {
            Ok(Acquired::Lease(lease)) => {
                if queued.contains(&run) {
                    tracing::debug!(%run, "took a run that waited for room");
                } else {
                    metrics().lease_takeover();
                    tracing::info!(%run, epoch = lease.epoch, "took a run over");
                }
            }
            Ok(Acquired::Held { .. } | Acquired::Nothing) => {}
            Err(error) => {
                tracing::error!(%run, error = &error as &dyn std::error::Error, "cannot take a run over");
                left_alone.add(run);
            }
        }
    }
    Ok(left)
}

/// Whether a run is begun when it is its turn. One that is to be cancelled waits for nothing.
fn waits(row: &RunRow) -> bool {
    admission::is_queued(row) && row.cancel_requested_by.is_none()
}

/// Runs that nobody drives, and who is to have the next one.
struct Found {
    rows: Vec<RunRow>,
    turns: Turns,
}

async fn find(shared: &Shared, limit: usize) -> Result<Found, store::Error> {
    let limit = u32::try_from(limit).unwrap_or(u32::MAX);
    let rows = shared.store.runs_expired(&[], limit).await?;
    if !rows.iter().any(admission::is_queued) {
        shared.queued.set(HashMap::new());
        let turns = Turns::default();
        return Ok(Found { rows, turns });
    }
    let loads = shared.store.namespace_loads(None).await?;
    shared.queued.set(admission::queued(&loads));
    shared.quotas.read(&*shared.store).await?;
    let turns = Turns::new(shared, &loads);
    let full = turns.full();
    // Runs of those that have all they may have must not hide those of others.
    let rows = match full.is_empty() {
        true => rows,
        false => shared.store.runs_expired(&full, limit).await?,
    };
    Ok(Found { rows, turns })
}

/// Namespaces take turns at beginning queued runs: whoever has the fewest under way, by weight, is next.
#[derive(Default)]
struct Turns {
    namespaces: HashMap<Namespace, Turn>,
}

struct Turn {
    weight: u64,
    /// Runs that are under way.
    active: u64,
    /// Runs that it may begin here.
    left: u64,
}

impl Turns {
    fn new(shared: &Shared, loads: &[NamespaceLoad]) -> Self {
        let mut turns = Self::default();
        for load in loads {
            let turn = turns.namespaces.entry(load.namespace.clone()).or_insert(Turn {
                weight: 1,
                active: 0,
                left: 0,
            });
            turn.active += load.active;
        }
        for (namespace, turn) in &mut turns.namespaces {
            let quota = shared.quotas.known_of(namespace);
            turn.weight = u64::from(quota.weight.max(1));
            let here = shared.options.max_runs_of_namespace();
            let here = here.saturating_sub(shared.driven_of(namespace)) as u64;
            let limit = quota.max_runs.map_or(u64::MAX, u64::from);
            turn.left = here.min(limit.saturating_sub(turn.active));
        }
        turns
    }

    /// Namespaces that have all they may have.
    fn full(&self) -> Vec<Namespace> {
        let full = self.namespaces.iter().filter(|(_, turn)| turn.left == 0);
        full.map(|(namespace, _)| namespace.clone()).collect()
    }

    /// The next one of the runs that wait, of which `taken` are taken already.
    fn next(&mut self, waiting: &[&RunRow], taken: &HashSet<RunId>) -> Option<RunId> {
        let mut best: Option<(&RunRow, u64, u64)> = None;
        for row in waiting.iter().filter(|row| !taken.contains(&row.run)) {
            let Some(turn) = self.namespaces.get(&row.namespace).filter(|turn| turn.left > 0) else {
                continue;
            };
            // active / weight, compared without division.
            let fewer = best.is_none_or(|(_, active, weight)| turn.active * weight < active * turn.weight);
            if fewer {
                best = Some((row, turn.active, turn.weight));
            }
        }
        let (row, ..) = best?;
        let turn = self.namespaces.get_mut(&row.namespace)?;
        turn.active += 1;
        turn.left -= 1;
        Some(row.run)
    }
}

/// Runs that could not be taken over, and since when.
#[derive(Default)]
struct LeftAlone {
    runs: HashMap<RunId, Instant>,
}

impl LeftAlone {
    fn add(&mut self, run: RunId) {
        if self.runs.len() < MAX_LEFT_ALONE {
            self.runs.insert(run, Instant::now());
        }
    }

    fn forget_old(&mut self) {
        self.runs.retain(|_, since| since.elapsed() < LEFT_ALONE);
    }
}

/// Drives a run that nobody drives. Waits for the lease of its last owner to run out, when that has crashed, and fails
/// with [`Error::Owned`] when it is renewed instead.
pub(crate) async fn resume(shared: &Arc<Shared>, run: RunId) -> Result<(), Error> {
    let mut waited_for = None;
    loop {
        if shared.stop.is_cancelled() {
            return Err(Error::ShuttingDown);
        }
        let limit = shared.options.max_runs;
        let room = shared.rooms.clone().try_acquire_owned();
        let room = room.map_err(|_| Error::Busy { limit })?;
        match take_over(shared, run, room).await? {
            Acquired::Lease(_) => return Ok(()),
            Acquired::Nothing => {
                return Err(match shared.store.run_get(run).await? {
                    Some(_) => Error::Finished { run },
                    None => Error::NotFound { run },
                });
            }
            Acquired::Held { owner, until } if waited_for.is_some_and(|known| until > known) => {
                return Err(Error::Owned { run, owner, until });
            }
            Acquired::Held { until, .. } => {
                waited_for = Some(until);
                let left = until.ms_since(clock::now()).saturating_add(1);
                tokio::time::sleep(Duration::from_millis(left)).await;
            }
        }
    }
}
