//! Where runs are kept: one narrow row per run, and its event log.

mod presence;
mod sqlite;
mod writer;

use std::time::Duration;

use async_trait::async_trait;
use weir_model::{
    EventRecord, Namespace, Reason, RunId, RunOutcome, RunPhase, RunSnapshot, StagePhase, Submission, Timestamp,
};

pub use sqlite::{Durability, SqliteStore};

/// A store call failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The lease is not the current one, or the log is longer than its owner knew: somebody else owns the run now.
    #[error("run {run} belongs to another control plane now")]
    Fenced {
        /// The run.
        run: RunId,
    },
    /// There is a run of this id already.
    #[error("there is a run {run} already")]
    Exists {
        /// The run.
        run: RunId,
    },
    /// What is stored cannot be read by this build.
    #[error("the record of run {run} cannot be read; it may come from a newer version of weir")]
    Unreadable {
        /// The run.
        run: String,
        /// What is wrong with it.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The database said no, or did not answer.
    #[error("cannot {action}")]
    Database {
        /// What was tried.
        action: &'static str,
        /// Why it failed.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// The right to write the log of a run. A takeover raises the epoch, which fences the owner before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The run.
    pub run: RunId,
    /// Grows with every owner.
    pub epoch: u64,
}

/// What came of an attempt to take a run over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Acquired {
    /// The run is ours.
    Lease(Lease),
    /// Somebody owns it.
    Held {
        /// Who, for people.
        owner: String,
        /// When the lease runs out if it is not renewed.
        until: Timestamp,
    },
    /// There is no such run, or nothing is left to do for it.
    Nothing,
}

/// What the owner of a lease learns when it renews it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renewal {
    /// Who asked for the run to stop, if anybody did.
    pub cancel_requested_by: Option<String>,
}

/// The part of a run's row that follows from its state.
#[derive(Clone, Debug, PartialEq)]
pub struct RunSummary {
    /// Where the run is.
    pub phase: RunPhase,
    /// How it ended, once it has.
    pub outcome: Option<RunOutcome>,
    /// Why it ended so, unless it succeeded.
    pub reason: Option<Reason>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// Its stages, once they are planned.
    pub stages: u32,
    /// Stages that are complete.
    pub stages_done: u32,
    /// Tasks of the stages that have started.
    pub tasks: u32,
    /// Tasks that are done.
    pub tasks_done: u32,
}

impl RunSummary {
    /// What a snapshot says.
    pub fn of(snapshot: &RunSnapshot) -> Self {
        let stages = &snapshot.stages;
        let sum = |count: fn(&weir_model::StageSnapshot) -> u32| stages.iter().map(count).fold(0, u32::saturating_add);
        Self {
            phase: snapshot.phase,
            outcome: snapshot.outcome,
            reason: snapshot.reason.clone(),
            finished_at: snapshot.finished_at,
            stages: stages.len() as u32,
            stages_done: sum(|stage| u32::from(stage.phase == StagePhase::Completed)),
            tasks: sum(|stage| stage.tasks),
            tasks_done: sum(|stage| stage.done),
        }
    }
}

/// The row of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct RunRow {
    /// The run.
    pub run: RunId,
    /// The tenant.
    pub namespace: Namespace,
    /// The job's name.
    pub name: String,
    /// When it was submitted.
    pub created_at: Timestamp,
    /// Where it is; the counts may be some hundred milliseconds old.
    pub summary: RunSummary,
    /// The place of its latest event.
    pub last_seq: u64,
    /// Who asked for it to stop, if anybody did.
    pub cancel_requested_by: Option<String>,
    /// Whether it is over and its objects have been deleted.
    pub cleaned: bool,
    /// Who owns it, unless its lease was released. The lease may have run out.
    pub owner: Option<String>,
    /// When the owner's lease runs out.
    pub owned_until: Timestamp,
}

/// Which runs to list.
#[derive(Clone, Debug, Default)]
pub struct RunFilter {
    /// Only those of this tenant.
    pub namespace: Option<Namespace>,
    /// Only those of this job.
    pub name: Option<String>,
    /// Only those in this phase.
    pub phase: Option<RunPhase>,
    /// Only those that ended so.
    pub outcome: Option<RunOutcome>,
}

/// Where runs are kept.
///
/// Every write to an existing run is conditional on its lease. Every method may be called again after
/// [`Error::Database`].
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Keeps a new run with its first events, owned by `owner`.
    async fn run_create(
        &self,
        run: RunId,
        submission: &Submission,
        events: &[EventRecord],
        owner: &str,
        ttl: Duration,
    ) -> Result<Lease, Error>;

    /// The row of a run.
    async fn run_get(&self, run: RunId) -> Result<Option<RunRow>, Error>;

    /// Rows of runs, the youngest first: at most `limit` that are older than `before`.
    async fn run_list(&self, filter: &RunFilter, before: Option<RunId>, limit: u32) -> Result<Vec<RunRow>, Error>;

    /// Events of a run in order: at most `limit` that come after `after_seq`.
    async fn run_events(&self, run: RunId, after_seq: u64, limit: u32) -> Result<Vec<EventRecord>, Error>;

    /// Appends events, all or none, and brings the row up to date when there is a `summary`.
    ///
    /// Fails with [`Error::Fenced`] unless the lease is current and the latest event is the one before the first of
    /// `events`. Events that are in the log already, after a call whose answer was lost, are not written twice.
    async fn run_append(
        &self,
        lease: &Lease,
        events: &[EventRecord],
        summary: Option<&RunSummary>,
    ) -> Result<(), Error>;

    /// Asks the owner of a run, present or next, to stop it. Says whether there is such a run and it is not over.
    async fn run_request_cancel(&self, run: RunId, by: &str) -> Result<bool, Error>;

    /// Notes that the objects of a finished run are deleted, and releases its lease.
    async fn run_cleaned(&self, lease: &Lease) -> Result<(), Error>;

    /// Runs that are not over, or whose objects are not deleted yet, the oldest first: at most `limit` that are
    /// younger than `after`.
    async fn runs_unfinished(&self, after: Option<RunId>, limit: u32) -> Result<Vec<RunRow>, Error>;

    /// Takes a run over that nobody owns: its lease was released, has run out, or is that of a process which is known
    /// to be dead.
    async fn lease_acquire(&self, run: RunId, owner: &str, ttl: Duration) -> Result<Acquired, Error>;

    /// Renews leases until `ttl` from now, also those that have run out but that nobody has taken. The answers come in
    /// the order of `leases`; `None` for a lease that is lost.
    async fn lease_renew(&self, leases: &[Lease], ttl: Duration) -> Result<Vec<Option<Renewal>>, Error>;

    /// Gives a run up; nothing happens when the lease is lost already.
    async fn lease_release(&self, lease: &Lease) -> Result<(), Error>;
}
