//! Taking submissions in: now, when there is room, or as queued runs that whoever has room takes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::OwnedSemaphorePermit;
use tracing::Instrument as _;
use weir_model::machine::{Input, RunState, decide};
use weir_model::{Event, Namespace, Restarts, RunId, RunOutcome, Submission};
use weir_platform::clock;

use crate::Error;
use crate::driver::{self, Start};
use crate::quotas::Quota;
use crate::shared::Shared;
use crate::store::{Created, Idempotency, NamespaceLoad, RunRow};
use crate::traces;

/// How long the number of queued runs is taken to be what it was.
const FRESH: Duration = Duration::from_secs(1);
/// When to try again what is refused since too many runs are there.
const SOON: Duration = Duration::from_secs(5);
/// When to try again what is refused until somebody tidies up.
const NOT_SOON: Duration = Duration::from_secs(60);

/// What came of a submission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Submitted {
    /// The run.
    pub run: RunId,
    /// Whether an earlier request with the same key had made it.
    pub replayed: bool,
}

/// The numbers of queued runs of each namespace, of all control planes, as they were a moment ago.
#[derive(Default)]
pub(crate) struct Queued {
    known: Mutex<Option<(Instant, HashMap<Namespace, usize>)>>,
}

/// Queued runs.
#[derive(Clone, Copy, Debug, Default)]
struct Waiting {
    of_namespace: usize,
    of_all: usize,
}

impl Queued {
    /// Notes how many there are.
    pub(crate) fn set(&self, runs: HashMap<Namespace, usize>) {
        *self.lock() = Some((Instant::now(), runs));
    }

    fn add(&self, namespace: &Namespace) {
        if let Some((_, runs)) = &mut *self.lock() {
            *runs.entry(namespace.clone()).or_default() += 1;
        }
    }

    /// How many there are, if that is known.
    fn get(&self, namespace: &Namespace) -> Option<Waiting> {
        let known = self.lock();
        let (_, runs) = known.as_ref().filter(|(at, _)| at.elapsed() < FRESH)?;
        Some(Waiting {
            of_namespace: runs.get(namespace).copied().unwrap_or(0),
            of_all: runs.values().sum(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Option<(Instant, HashMap<Namespace, usize>)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Queued runs by namespace.
pub(crate) fn queued(loads: &[NamespaceLoad]) -> HashMap<Namespace, usize> {
    let mut queued = HashMap::new();
    for load in loads.iter().filter(|load| load.queued > 0) {
        *queued.entry(load.namespace.clone()).or_default() += usize::try_from(load.queued).unwrap_or(usize::MAX);
    }
    queued
}

/// Keeps a submission, and drives it when there is room for it.
pub(crate) async fn submit(
    shared: &Arc<Shared>,
    mut submission: Submission,
    idempotency: Option<&Idempotency>,
) -> Result<Submitted, Error> {
    validate(&submission)?;
    let namespace = submission.namespace.clone();
    // As they are now, to a second, also of a run that is made again.
    submission.settings.allowed_locations = allowed_locations(shared, &namespace).await?;
    let quota = shared.quotas.of(&*shared.store, &namespace).await?;
    if quota.rate().is_some()
        && let Some(made) = made_before(shared, &namespace, idempotency).await?
    {
        // Asking again is no further submission.
        return Ok(made);
    }
    let admitting = match quota.max_runs {
        Some(_) => Some(shared.admitting.lock().await),
        None => None,
    };
    let room = match admit(shared, &namespace, &quota).await {
        Ok(room) => room,
        // What was taken in is not refused to whoever did not hear of it.
        Err(refused) => return made_before(shared, &namespace, idempotency).await?.ok_or(refused),
    };
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
    drop(admitting);
    let lease = match created {
        Created::Lease(lease) => lease,
        Created::Existing { run, same_request } => return existing(run, same_request),
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
            shared.queued.add(&namespace);
            shared.sweep.notify_one();
        }
    }
    Ok(Submitted { run, replayed: false })
}

/// The places in S3 that the jobs of a namespace may use, if those are not all.
pub(crate) async fn allowed_locations(shared: &Shared, namespace: &Namespace) -> Result<Option<Vec<String>>, Error> {
    Ok(shared.locations.of(&*shared.store, namespace).await?)
}

/// What an earlier request with the same key made.
async fn made_before(
    shared: &Shared,
    namespace: &Namespace,
    idempotency: Option<&Idempotency>,
) -> Result<Option<Submitted>, Error> {
    let Some(request) = idempotency else { return Ok(None) };
    let known = shared.store.request_get(namespace, &request.key).await?;
    let made = known.map(|(digest, run)| existing(run, digest == request.digest));
    made.transpose()
}

fn existing(run: RunId, same_request: bool) -> Result<Submitted, Error> {
    match same_request {
        true => Ok(Submitted { run, replayed: true }),
        false => Err(Error::IdempotencyKeyReused { run }),
    }
}

/// Room for one more run of a namespace; nothing when it is to be queued.
async fn admit(shared: &Shared, namespace: &Namespace, quota: &Quota) -> Result<Option<OwnedSemaphorePermit>, Error> {
    if shared.stop.is_cancelled() {
        return Err(Error::ShuttingDown);
    }
    let exceeded = |quota, message, retry_after| Error::QuotaExceeded {
        namespace: namespace.clone(),
        quota,
        message,
        retry_after,
    };
    // What a run will leave is not known; one byte at least.
    check_storage(shared, namespace, quota, 1).await?;
    let room = room(shared, namespace, quota).await?;
    if room.is_none() {
        match quota.max_runs {
            Some(limit) if !shared.options.takes_over => {
                let message = format!("{limit} of its runs are under way; try again when one of them is over");
                return Err(exceeded("max_runs", message, SOON));
            }
            _ => {}
        }
        let waiting = waiting(shared, namespace).await?;
        if let Some(limit) = quota.max_queued_runs
            && waiting.of_namespace >= limit as usize
        {
            let message = format!("{limit} of its runs wait already; try again when one of them has begun");
            return Err(exceeded("max_queued_runs", message, SOON));
        }
        let limit = shared.options.max_queued_runs;
        if waiting.of_all >= limit {
            return Err(Error::TooManyQueued { limit });
        }
    }
    // Last, so that whatever else is refused costs nothing.
    if let Some(rate) = quota.rate()
        && let Some(wait) = shared.store.submission_take(namespace, rate).await?
    {
        let per_minute = quota.submissions_per_minute.unwrap_or_default();
        let message = format!(
            "it may submit {per_minute} runs a minute; the next one in {} s",
            seconds(wait)
        );
        return Err(exceeded("submissions_per_minute", message, wait));
    }
    Ok(room)
}

/// Refuses what would take so many bytes more in the storage than a namespace may use.
pub(crate) async fn check_storage(
    shared: &Shared,
    namespace: &Namespace,
    quota: &Quota,
    bytes: u64,
) -> Result<(), Error> {
    let Some(limit) = quota.max_storage_bytes else {
        return Ok(());
    };
    let (results, modules) = tokio::try_join!(
        shared.store.kept_bytes(namespace),
        shared.store.modules().module_bytes(namespace)
    )?;
    if results.saturating_add(modules).saturating_add(bytes) <= limit {
        return Ok(());
    }
    Err(Error::QuotaExceeded {
        namespace: namespace.clone(),
        quota: "max_storage_bytes",
        message: format!(
            "its results take {results} bytes and its modules {modules}, and both may take {limit}; forget some of its \
             runs, or delete modules"
        ),
        retry_after: NOT_SOON,
    })
}

/// Seconds, rounded up.
pub(crate) fn seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

/// Room for a run of a namespace to begin at once.
async fn room(shared: &Shared, namespace: &Namespace, quota: &Quota) -> Result<Option<OwnedSemaphorePermit>, Error> {
    let options = &shared.options;
    // Those of a namespace who came first go first, and so do those of others where there is little room.
    let scarce = shared.rooms.available_permits() <= (options.max_runs / 4).max(1);
    let others_wait = |runs: Waiting| runs.of_namespace > 0 || (scarce && runs.of_all > 0);
    if options.takes_over && shared.queued.get(namespace).is_some_and(others_wait) {
        return Ok(None);
    }
    if let Some(limit) = quota.max_runs {
        let loads = shared.store.namespace_loads(Some(namespace)).await?;
        if loads.iter().map(|load| load.active).sum::<u64>() >= u64::from(limit) {
            return Ok(None);
        }
    }
    if shared.driven_of(namespace) >= options.max_runs_of_namespace() && options.takes_over {
        return Ok(None);
    }
    match shared.rooms.clone().try_acquire_owned() {
        Ok(room) => Ok(Some(room)),
        Err(_) if options.takes_over => Ok(None),
        Err(_) => Err(Error::Busy {
            limit: options.max_runs,
        }),
    }
}

/// The runs that are queued.
async fn waiting(shared: &Shared, namespace: &Namespace) -> Result<Waiting, Error> {
    if let Some(waiting) = shared.queued.get(namespace) {
        return Ok(waiting);
    }
    let loads = shared.store.namespace_loads(None).await?;
    shared.queued.set(queued(&loads));
    Ok(shared.queued.get(namespace).unwrap_or_default())
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
    let mut submission = submission_of(shared, run).await?;
    submission.metadata.restarts = Restarts::default();
    submission.metadata.retry_of = Some(run);
    submission.metadata.created_by = by.or(submission.metadata.created_by);
    submission.metadata.traceparent = None;
    submit(shared, submission, idempotency).await
}

/// Submits again what a run was that is over, because its restart policy says so.
pub(crate) async fn restart(shared: &Arc<Shared>, row: &RunRow, idempotency: &Idempotency) -> Result<Submitted, Error> {
    let mut submission = submission_of(shared, row.run).await?;
    let metadata = &mut submission.metadata;
    metadata.retry_of = Some(row.run);
    metadata.traceparent = None;
    let restarts = metadata.restarts;
    metadata.restarts = match row.summary.outcome {
        Some(RunOutcome::Failed) if row.summary.stages > 0 => Restarts {
            after_runs: restarts.after_runs.saturating_add(1),
            ..restarts
        },
        Some(RunOutcome::Failed) => Restarts {
            after_submissions: restarts.after_submissions.saturating_add(1),
            ..restarts
        },
        // Only failures in a row count.
        _ => Restarts::default(),
    };
    submit(shared, submission, Some(idempotency)).await
}

async fn submission_of(shared: &Shared, run: RunId) -> Result<Submission, Error> {
    let first = shared.store.run_events(run, 0, 1).await?;
    match first.into_iter().next().map(|record| record.event) {
        Some(Event::Submitted { submission }) => Ok(*submission),
        _ => Err(Error::NotFound { run }),
    }
}

fn invalid(message: impl Into<String>) -> Error {
    Error::Invalid {
        message: message.into(),
    }
}

/// Whether a submission makes sense by itself.
pub(crate) fn validate(submission: &Submission) -> Result<(), Error> {
    const HOUR_MS: u64 = 60 * 60 * 1_000;
    const YEAR_S: u64 = 365 * 24 * 3_600;
    if submission.name.trim().is_empty() || submission.name.len() > 200 {
        return Err(invalid("its name must have 1 to 200 bytes"));
    }
    if submission.name.contains('\0') {
        return Err(invalid("its name has a NUL character"));
    }
    let settings = &submission.settings;
    let (retry, coalesce, restart) = (&settings.retry, &settings.coalesce, &settings.restart_policy);
    let ranges = [
        ("target_partitions", u64::from(settings.target_partitions), 1, 100_000),
        ("coalesce.parallelism", u64::from(coalesce.parallelism), 1, 100_000),
        ("coalesce.target_bytes", coalesce.target_bytes, 1, u64::MAX),
        ("retry.max_attempts", u64::from(retry.max_attempts), 1, 100),
        ("retry.max_stage_attempts", u64::from(retry.max_stage_attempts), 0, 100),
        ("retry.backoff_ms", retry.backoff_ms, 0, HOUR_MS),
        ("retry.max_backoff_ms", retry.max_backoff_ms, 0, HOUR_MS),
        ("attempt_timeout_ms", settings.attempt_timeout_ms, 100, 24 * HOUR_MS),
        ("timeout_s", settings.timeout_s.unwrap_or(1), 1, YEAR_S),
        (
            "restart_policy.on_failure_retries",
            u64::from(restart.on_failure_retries),
            0,
            1_000,
        ),
        (
            "restart_policy.on_failure_retry_interval_s",
            restart.on_failure_retry_interval_s,
            0,
            YEAR_S,
        ),
        (
            "restart_policy.on_submission_failure_retries",
            u64::from(restart.on_submission_failure_retries),
            0,
            1_000,
        ),
        (
            "restart_policy.on_submission_failure_retry_interval_s",
            restart.on_submission_failure_retry_interval_s,
            0,
            YEAR_S,
        ),
        (
            "restart_policy.time_to_live_s",
            restart.time_to_live_s.unwrap_or(0),
            0,
            100 * YEAR_S,
        ),
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
