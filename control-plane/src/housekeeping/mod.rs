//! Forgetting what is over, and deleting what nothing reaches.
//!
//! Nothing here is in a hurry and everything is safe to repeat: one control plane at a time does it, at long intervals.

mod leftovers;
mod modules;
pub(crate) mod namespaces;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use serde::{Deserialize, Serialize};
use weir_model::{Event, RunId, RunPhase, StageOutput, Timestamp, layout};
use weir_platform::{StorageError, clock, output};

use crate::history;
use crate::random;
use crate::shared::Shared;
use crate::store::{self, RunFilter, RunRow};

/// What the leader leads.
const LEADERSHIP: &str = "housekeeping";
/// How long the leader leads without renewing it.
const LEASE: Duration = Duration::from_secs(30);
/// Runs in one page of a list.
const PAGE: u32 = 500;
/// Objects and logs that are looked at or deleted at once.
const AT_ONCE: usize = 8;
/// The latest runs, whose outputs are looked at for what attempts have left there.
const MAX_RUNS_OF_UPLOADS: usize = 2_000;
/// Events of a run among which its stages are, if they were planned without a takeover too many.
const FIRST_EVENTS: u32 = 16;
/// Uploads that are younger may be about to say whose they are.
const UPLOAD_AGE: Duration = Duration::from_secs(24 * 3_600);
/// How long after a run's end its attempts may still write something: longer than any message lives, or attempt runs on.
const LATE: Duration = Duration::from_secs(3 * 24 * 3_600);
/// Objects that one sweep deletes at most; the rest is for the next one.
const MAX_SWEPT: usize = 10_000;

/// Options of housekeeping.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HousekeepingOptions {
    /// How often it is done, in milliseconds.
    pub interval_ms: u64,
    /// Which runs are kept.
    pub retention: Retention,
    /// How long a worker is remembered that is not heard of, in milliseconds.
    pub workers_ms: u64,
    /// How long a request can be repeated by its idempotency key, in milliseconds.
    pub requests_ms: u64,
    /// How long the audit log is kept, in milliseconds.
    pub audit_ms: u64,
    /// How long a browser stays logged in that sends nothing, in milliseconds.
    pub session_idle_ms: u64,
    /// How old a module must be that no run uses, before it is deleted, in milliseconds: an upload comes before its
    /// submission. The same for objects of runs that the store does not know.
    pub unused_ms: u64,
    /// How old a module must be that was uploaded past the server and never completed, before it is deleted, in
    /// milliseconds.
    pub uploads_ms: u64,
    /// How long after its deletion a namespace's name cannot be used again, in milliseconds: requests that were let in
    /// before may still leave something there.
    pub namespaces_ms: u64,
}

impl Default for HousekeepingOptions {
    fn default() -> Self {
        const HOUR_MS: u64 = 3_600_000;
        Self {
            interval_ms: HOUR_MS,
            retention: Retention::default(),
            workers_ms: HOUR_MS,
            requests_ms: 24 * HOUR_MS,
            audit_ms: 365 * 24 * HOUR_MS,
            session_idle_ms: HOUR_MS,
            unused_ms: 7 * 24 * HOUR_MS,
            uploads_ms: 24 * HOUR_MS,
            namespaces_ms: namespaces::LATE_MS,
        }
    }
}

/// Which runs are kept that are over.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retention {
    /// Those that ended less than so long ago, in milliseconds; without it, all of them.
    pub keep_ms: Option<u64>,
    /// The youngest ones, so many, however long ago they ended.
    pub keep_last: u32,
}

/// An attempt to keep house failed; what is left is for the next one.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Keeps house for as long as the control plane lives and leads.
pub(crate) async fn run(shared: Arc<Shared>, options: HousekeepingOptions) {
    let interval = Duration::from_millis(options.interval_ms.max(1_000));
    loop {
        // First of all a wait: servers that start together do not sweep together, and one that crashes at it rests.
        tokio::select! {
            () = shared.stop.cancelled() => return,
            () = tokio::time::sleep(random::around(interval)) => {}
        }
        match shared.store.leader_acquire(LEADERSHIP, &shared.owner, LEASE).await {
            Ok(true) => {
                tokio::select! {
                    () = shared.stop.cancelled() => {}
                    swept = sweep(&shared, &options) => if let Err(error) = swept {
                        tracing::warn!(error = &error as &dyn std::error::Error, "housekeeping was cut short");
                    },
                    () = lead(&shared) => tracing::warn!("housekeeping was cut short: another server does it"),
                }
            }
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "cannot lead the housekeeping");
            }
        }
    }
}

/// Stays the leader; ends when another one is.
async fn lead(shared: &Shared) {
    loop {
        tokio::time::sleep(LEASE / 3).await;
        // An error says nothing of who leads, and all that is done is safe to be done twice.
        if let Ok(false) = shared.store.leader_acquire(LEADERSHIP, &shared.owner, LEASE).await {
            return;
        }
    }
}

/// Does all that there is to do. What fails keeps nothing else from being done; the first failure is given.
pub(crate) async fn sweep(shared: &Shared, options: &HousekeepingOptions) -> Result<(), Error> {
    let before = |ms: u64| Timestamp(clock::now().0.saturating_sub(ms));
    let idle = Duration::from_millis(options.session_idle_ms);
    let identities = shared.store.identities();
    let mut done = Done::default();
    let workers = shared.store.workers_forget(before(options.workers_ms)).await;
    let workers = done.count("forget workers", workers);
    let requests = shared.store.requests_forget(before(options.requests_ms)).await;
    let requests = done.count("forget requests", requests);
    let audited = identities.audit_forget(before(options.audit_ms)).await;
    let audited = done.count("shorten the audit log", audited);
    let sessions = identities.sessions_forget(clock::now(), idle).await;
    let sessions = done.count("forget sessions", sessions);
    let runs = done.count("forget runs", prune(shared, &options.retention).await);
    let objects = sweep_runs(shared, before(options.unused_ms)).await;
    let objects = done.count("delete objects of runs", objects);
    let modules = modules::sweep(shared, before(options.unused_ms)).await;
    let modules = done.count("delete modules", modules);
    let incomplete = modules::sweep_incomplete(shared, before(options.uploads_ms)).await;
    let incomplete = done.count("delete incomplete uploads of modules", incomplete);
    done.count("note the sizes of modules", modules::note_sizes(shared).await);
    let uploads = done.count("abort uploads", sweep_uploads(shared).await);
    let namespaces = namespaces::sweep(shared, before(options.namespaces_ms)).await;
    let namespaces = done.count("delete what namespaces have left", namespaces);
    tracing::info!(
        workers,
        requests,
        audited,
        sessions,
        runs,
        objects,
        modules,
        incomplete,
        uploads,
        namespaces,
        "kept house"
    );
    done.failed.map_or(Ok(()), Err)
}

/// What came of the steps of a sweep.
#[derive(Default)]
struct Done {
    /// The first error.
    failed: Option<Error>,
}

impl Done {
    /// Gives what a step counted, nothing when it failed.
    fn count<E: Into<Error>>(&mut self, step: &'static str, result: Result<u64, E>) -> u64 {
        result.unwrap_or_else(|error| {
            let error = error.into();
            tracing::warn!(error = &error as &dyn std::error::Error, "cannot {step}");
            self.failed.get_or_insert(error);
            0
        })
    }
}

/// Forgets runs that are not to be kept, and deletes their objects first; says how many. A run that cannot be forgotten
/// keeps no other from it; the first failure is given.
pub(crate) async fn prune(shared: &Shared, retention: &Retention) -> Result<u64, Error> {
    let Some(keep_ms) = retention.keep_ms else { return Ok(0) };
    let ended_before = Timestamp(clock::now().0.saturating_sub(keep_ms));
    let Some(oldest_kept) = oldest_of_last(shared, retention.keep_last).await? else {
        return Ok(0);
    };
    let (mut pruned, mut failed) = (0, None);
    let mut after = None;
    loop {
        let runs = shared.store.runs_over(ended_before, after, PAGE).await?;
        let of_page = runs.len();
        after = runs.last().copied();
        let goners: Vec<RunId> = runs.into_iter().filter(|run| *run < oldest_kept).collect();
        let last = of_page < PAGE as usize || goners.len() < of_page;
        let forgotten = forget_all(shared, goners).await;
        pruned += forgotten.runs;
        failed = failed.or(forgotten.failed);
        if last {
            return failed.map_or(Ok(pruned), Err);
        }
    }
}

/// What came of forgetting several runs.
#[derive(Default)]
pub(crate) struct Forgotten {
    /// How many there were.
    pub(crate) runs: u64,
    /// The first error.
    pub(crate) failed: Option<Error>,
}

/// Forgets runs that are over, and deletes their objects first; goes on after one that cannot be forgotten.
pub(crate) async fn forget_all(shared: &Shared, runs: Vec<RunId>) -> Forgotten {
    let forgetting = runs
        .into_iter()
        .map(|run| async move { (run, forget(shared, run).await) });
    let mut forgetting = futures::stream::iter(forgetting).buffer_unordered(AT_ONCE);
    let mut forgotten = Forgotten::default();
    while let Some((run, result)) = forgetting.next().await {
        match result {
            Ok(found) => forgotten.runs += u64::from(found),
            Err(error) => {
                tracing::warn!(%run, error = &error as &dyn std::error::Error, "cannot forget a run");
                forgotten.failed.get_or_insert(error);
            }
        }
    }
    forgotten
}

/// Forgets a run that is over, and deletes its objects first; says whether there was one.
async fn forget(shared: &Shared, run: RunId) -> Result<bool, Error> {
    if let Some(row) = shared.store.run_get(run).await? {
        history::delete(&shared.storage, &row.namespace, run).await?;
    }
    shared.storage.delete_prefix(&layout::run_prefix(run)).await?;
    Ok(shared.store.run_delete(run).await?)
}

/// The oldest of the last `keep` runs that are over; later than any when there is nothing to keep, and nothing when
/// there are fewer.
async fn oldest_of_last(shared: &Shared, keep: u32) -> Result<Option<RunId>, store::Error> {
    let over = RunFilter {
        phase: Some(RunPhase::Finished),
        ..RunFilter::default()
    };
    let mut oldest = RunId::from_parts(Timestamp(u64::MAX), u128::MAX);
    let mut left = keep;
    while left > 0 {
        let before = (left < keep).then_some(oldest);
        let page = shared.store.run_list(&over, before, left.min(PAGE)).await?.rows;
        let Some(last) = page.last() else { return Ok(None) };
        oldest = last.run;
        left = left.saturating_sub(u32::try_from(page.len()).unwrap_or(u32::MAX));
    }
    Ok(Some(oldest))
}

/// Deletes objects of runs that the store does not know (any more), and what attempts wrote after their run was over;
/// says of how many runs.
async fn sweep_runs(shared: &Shared, before: Timestamp) -> Result<u64, Error> {
    let unknown = RunId::from_parts(before, 0);
    let late = u64::try_from(LATE.as_millis()).unwrap_or(u64::MAX);
    let ended_after = Timestamp(clock::now().0.saturating_sub(late));
    let names = shared.storage.list_folders("runs").await?;
    // Whatever is not named after a run is none of ours.
    let found: Vec<RunId> = names.into_iter().filter_map(|name| name.parse().ok()).collect();
    let mut swept = 0;
    for page in found.chunks(PAGE as usize) {
        let rows = shared.store.runs_get(page).await?;
        let rows: HashMap<RunId, RunRow> = rows.into_iter().map(|row| (row.run, row)).collect();
        let sweeping = page.iter().copied().map(|run| {
            let row = rows.get(&run);
            async move {
                match row {
                    Some(row) => leftovers::sweep(shared, row, ended_after).await,
                    None if run < unknown => {
                        shared.storage.delete_prefix(&layout::run_prefix(run)).await?;
                        Ok(true)
                    }
                    None => Ok::<_, Error>(false),
                }
            }
        });
        let mut sweeping = futures::stream::iter(sweeping).buffer_unordered(AT_ONCE);
        while let Some(deleted) = sweeping.next().await {
            swept += u64::from(deleted?);
        }
        if swept >= MAX_SWEPT as u64 {
            break;
        }
    }
    Ok(swept)
}

/// Aborts uploads to the outputs of the latest runs that nobody will complete: those of attempts that nobody heard of
/// before their run was over. Says how many outputs and uploads there were.
async fn sweep_uploads(shared: &Shared) -> Result<u64, Error> {
    let runs = latest_runs(shared, MAX_RUNS_OF_UPLOADS).await?;
    let mut folders = BTreeSet::new();
    let mut outputs =
        futures::stream::iter(runs.into_iter().map(|run| buckets_of(shared, run))).buffer_unordered(AT_ONCE);
    while let Some(of_run) = outputs.next().await {
        folders.extend(of_run?);
    }
    drop(outputs);
    let mut swept = 0;
    for folder in folders {
        match output::sweep_orphans(shared.storage.s3(), &folder, UPLOAD_AGE, |run| is_live(shared, run)).await {
            Ok(found) => swept += found.stagings.saturating_add(found.uploads),
            // The bucket may be gone, or not be ours any more.
            Err(error) => {
                tracing::warn!(%folder, error = &error as &dyn std::error::Error, "cannot sweep the uploads of a folder");
            }
        }
    }
    Ok(swept)
}

/// Whether a run may still commit what its attempts have staged.
async fn is_live(shared: &Shared, run: RunId) -> bool {
    match shared.store.run_get(run).await {
        // One that is not known here may be another deployment's.
        Ok(row) => row.is_none_or(|row| !row.cleaned),
        // Whoever cannot tell leaves it alone.
        Err(_) => true,
    }
}

/// The folders in buckets that a run writes to.
async fn buckets_of(shared: &Shared, run: RunId) -> Result<Vec<String>, store::Error> {
    let events = shared.store.run_events(run, 0, FIRST_EVENTS).await?;
    let graph = events.into_iter().find_map(|record| match record.event {
        Event::Planned { graph } => Some(graph),
        _ => None,
    });
    let stages = graph.map_or_else(Vec::new, |graph| graph.stages);
    let folder = |output| match output {
        StageOutput::Sink(sink) if sink.target.starts_with("s3://") => {
            sink.target.rsplit_once('/').map(|(folder, _)| folder.to_owned())
        }
        _ => None,
    };
    Ok(stages.into_iter().filter_map(|stage| folder(stage.output)).collect())
}

/// The youngest runs, at most so many.
async fn latest_runs(shared: &Shared, most: usize) -> Result<Vec<RunId>, store::Error> {
    let mut runs: Vec<RunId> = Vec::new();
    while runs.len() < most {
        let page = shared
            .store
            .run_list(&RunFilter::default(), runs.last().copied(), PAGE)
            .await?
            .rows;
        runs.extend(page.iter().map(|row| row.run));
        if page.len() < PAGE as usize {
            break;
        }
    }
    runs.truncate(most);
    Ok(runs)
}
