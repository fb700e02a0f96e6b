//! Taking submissions in: now, when there is room, or as queued runs that whoever has room takes.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::OwnedSemaphorePermit;
use tracing::Instrument as _;
use weir_model::machine::{Input, RunState, decide};
use weir_model::{Event, RunId, Submission};
use weir_platform::clock;

use crate::Error;
use crate::driver::{self, Start};
use crate::shared::Shared;
use crate::store::{Created, Idempotency, RunRow};
use crate::traces;

/// How long the number of queued runs is taken to be what it was.
const FRESH: Duration = Duration::from_secs(1);

/// What came of a submission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Submitted {
    /// The run.
    pub run: RunId,
    /// Whether an earlier request with the same key had made it.
    pub replayed: bool,
}

/// The number of queued runs, of all control planes, as it was a moment ago.
#[derive(Default)]
pub(crate) struct Queued {
    known: Mutex<Option<(Instant, usize)>>,
}

impl Queued {
    /// Notes how many there are.
    pub(crate) fn set(&self, runs: usize) {
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), runs));
    }

    /// Notes how many there are at least.
    pub(crate) fn set_at_least(&self, runs: usize) {
        if self.get().is_none_or(|known| known < runs) {
            self.set(runs);
        }
    }

    fn add(&self) {
        if let Some((_, runs)) = &mut *self.known.lock().unwrap_or_else(PoisonError::into_inner) {
            *runs += 1;
        }
    }

    /// How many there are, if that is known.
    pub(crate) fn get(&self) -> Option<usize> {
        let known = *self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.filter(|(at, _)| at.elapsed() < FRESH).map(|(_, runs)| runs)
    }
}

/// Keeps a submission, and drives it when there is room for it.
pub(crate) async fn submit(
    shared: &Arc<Shared>,
    submission: Submission,
    idempotency: Option<&Idempotency>,
) -> Result<Submitted, Error> {
    validate(&submission)?;
    let room = room(shared).await?;
    let run = clock::new_run_id();
    let asked = Instant::now();
    let (mut state, now) = (RunState::new(run), clock::now());
    let decision = decide(&state, &Input::Submit(Box::new(submission)), now);
    let events = driver::fold(&mut state, decision.events, now);
    let submission = state.submission().ok_or_else(|| invalid("it was not accepted"))?;
    // A lease without any time is one that anybody may take.
    let ttl = room.as_ref().map_or(Duration::ZERO, |_| shared.options.lease());
    let create = shared
        .store
        .run_create(run, submission, &events, &shared.owner, ttl, idempotency);
    let created = create.instrument(traces::submission(run, submission)).await?;
    let lease = match created {
        Created::Lease(lease) => lease,
        Created::Existing {
            run,
            same_request: true,
        } => return Ok(Submitted { run, replayed: true }),
        Created::Existing { run, .. } => return Err(Error::IdempotencyKeyReused { run }),
    };
    match room {
        Some(room) => driver::spawn(
            shared,
            Start {
                state,
                lease,
                owned_since: asked,
                inputs: Vec::new(),
                effects: decision.effects,
                sent_through: 0,
                room,
            },
        ),
        None => {
            shared.queued.add();
            shared.sweep.notify_one();
        }
    }
    Ok(Submitted { run, replayed: false })
}

/// Room for one more run; nothing when it is to be queued.
async fn room(shared: &Shared) -> Result<Option<OwnedSemaphorePermit>, Error> {
    if shared.stop.is_cancelled() {
        return Err(Error::ShuttingDown);
    }
    let options = &shared.options;
    // Those who came first go first.
    let others_wait = options.takes_over && shared.queued.get().is_some_and(|runs| runs > 0);
    if !others_wait && let Ok(room) = shared.rooms.clone().try_acquire_owned() {
        return Ok(Some(room));
    }
    if !options.takes_over {
        let limit = options.max_runs;
        return Err(Error::Busy { limit });
    }
    let limit = options.max_queued_runs;
    let queued = match shared.queued.get() {
        Some(queued) => queued,
        None => {
            let most = u32::try_from(limit).unwrap_or(u32::MAX);
            let rows = shared.store.runs_expired(most).await?;
            let queued = rows.iter().filter(|row| is_queued(row)).count();
            shared.queued.set(queued);
            queued
        }
    };
    match queued >= limit {
        true => Err(Error::TooManyQueued { limit }),
        false => Ok(None),
    }
}

/// Whether a run that nobody drives has not been begun with.
pub(crate) fn is_queued(row: &RunRow) -> bool {
    row.last_seq <= 1
}

/// Submits again what a run was, once that is over.
pub(crate) async fn retry(
    shared: &Arc<Shared>,
    run: RunId,
    by: Option<String>,
    idempotency: Option<&Idempotency>,
) -> Result<Submitted, Error> {
    let row = shared.store.run_get(run).await?.ok_or(Error::NotFound { run })?;
    if row.summary.outcome.is_none() {
        return Err(Error::Unfinished { run });
    }
    let first = shared.store.run_events(run, 0, 1).await?;
    let Some(Event::Submitted { submission }) = first.into_iter().next().map(|record| record.event) else {
        return Err(Error::NotFound { run });
    };
    let mut submission = *submission;
    submission.metadata.retry_of = Some(run);
    submission.metadata.submitted_by = by.or(submission.metadata.submitted_by);
    submission.metadata.traceparent = None;
    submit(shared, submission, idempotency).await
}

fn invalid(message: impl Into<String>) -> Error {
    Error::Invalid {
        message: message.into(),
    }
}

fn validate(submission: &Submission) -> Result<(), Error> {
    const HOUR_MS: u64 = 60 * 60 * 1_000;
    if submission.name.trim().is_empty() || submission.name.len() > 200 {
        return Err(invalid("its name must have 1 to 200 bytes"));
    }
    let settings = &submission.settings;
    let (retry, coalesce) = (&settings.retry, &settings.coalesce);
    let ranges = [
        ("target_partitions", u64::from(settings.target_partitions), 1, 100_000),
        ("coalesce.parallelism", u64::from(coalesce.parallelism), 1, 100_000),
        ("coalesce.target_bytes", coalesce.target_bytes, 1, u64::MAX),
        ("retry.max_attempts", u64::from(retry.max_attempts), 1, 100),
        ("retry.max_stage_attempts", u64::from(retry.max_stage_attempts), 0, 100),
        ("retry.backoff_ms", retry.backoff_ms, 0, HOUR_MS),
        ("retry.max_backoff_ms", retry.max_backoff_ms, 0, HOUR_MS),
        ("attempt_timeout_ms", settings.attempt_timeout_ms, 100, 24 * HOUR_MS),
    ];
    for (name, value, least, most) in ranges {
        if !(least..=most).contains(&value) {
            return Err(invalid(format!(
                "`{name}` is {value} and must lie between {least} and {most}"
            )));
        }
    }
    let speculation = &settings.speculation;
    if !(speculation.multiplier.is_finite() && speculation.multiplier >= 1.0) {
        return Err(invalid("`speculation.multiplier` must be a number of at least 1"));
    }
    if !(0.0..=1.0).contains(&speculation.quantile) {
        return Err(invalid("`speculation.quantile` must lie between 0 and 1"));
    }
    Ok(())
}
