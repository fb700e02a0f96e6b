//! Where runs are kept: one narrow row per run, and its event log. Beside them lies what several control planes must
//! agree on: who owns which run, reports for one another, the workers that are there, and who leads.

mod changes;
mod encoding;
mod events;
mod iam;
mod identity;
mod modules;
mod pipelines;
#[cfg(test)]
mod plans;
mod postgres;
mod quotas;
mod relational;
mod requests;
mod revisions;
mod rows;
mod runs;
mod scaling;
mod search;
mod sessions;
mod sqlite;
mod types;
mod workers;
mod writer;

use std::time::Duration;

use async_trait::async_trait;
use weir_model::{Digest, EventRecord, Namespace, RunId, Submission, Timestamp};

use crate::quotas::{Quota, Rate};

pub use changes::{Change, Changes};
pub use identity::{
    AuditFilter, AuditOutcome, AuditRow, IdentityStore, KeyFilter, KeyRow, NamespaceCreation, NamespaceDeletion,
    NamespaceRow,
};
pub use modules::ModuleStore;
pub use pipelines::{
    CatchUp, ConcurrencyPolicy, NewVersion, PipelineChange, PipelineRow, PipelineStore, PipelineVersionRow,
    PipelineWrite, ScheduleChange, ScheduleDefinition, ScheduleProgress, ScheduleRow, ScheduleStatus, Written,
};
pub use postgres::{PasswordSource, PostgresOptions, PostgresStore, SchemaVersion};
pub use revisions::{RevisionStore, Subject};
pub use search::{InvalidSearch, Listed, Search};
pub use sessions::{SessionFilter, SessionPlace, SessionRow};
pub use sqlite::{Durability, SqliteStore};
pub use types::{
    Acquired, Backlog, Created, EventPage, ForwardedReport, Idempotency, InboxReport, Lease, NamespaceLoad, Renewal,
    RunFilter, RunRow, RunSummary, ScalingRow, WorkerRow,
};

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
    /// The database cannot be reached, is starting or shutting down, or does not answer in time. Whether a write was done
    /// is not known.
    #[error("cannot {action}: the database is not available")]
    Unavailable {
        /// What was tried.
        action: &'static str,
        /// Why it failed.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The tables are older than this build.
    #[error("the database has tables of version {found}, and this build needs version {wanted}: run `weir migrate`")]
    OldSchema {
        /// The version of the tables; zero when there are none.
        found: i64,
        /// The version that is needed.
        wanted: i64,
    },
    /// The database said no.
    #[error("cannot {action}")]
    Database {
        /// What was tried.
        action: &'static str,
        /// Why it failed.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Error {
    /// Whether the same call may succeed when it is made again later.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Database { .. })
    }
}

/// Where runs are kept.
///
/// Every write to an existing run is conditional on its lease. Every method may be called again after an error that
/// [is transient](Error::is_transient): what was done already is not done twice. Times are those of the store's clock,
/// which several processes share.
#[async_trait]
pub trait Store: PipelineStore {
    /// Keeps a new run with its first events, owned by `owner`, unless the tenant has made a request with the same
    /// idempotency key before. An owner that asks again for what it made gets its lease again; anybody else gets
    /// [`Error::Exists`].
    async fn run_create(
        &self,
        run: RunId,
        submission: &Submission,
        events: &[EventRecord],
        owner: &str,
        ttl: Duration,
        idempotency: Option<&Idempotency>,
    ) -> Result<Created, Error>;

    /// The row of a run.
    async fn run_get(&self, run: RunId) -> Result<Option<RunRow>, Error>;

    /// The rows of those runs that there are, in no order.
    async fn runs_get(&self, runs: &[RunId]) -> Result<Vec<RunRow>, Error>;

    /// Rows of runs, the youngest first: at most `limit` that are older than `before`. A [search](Search) looks at a
    /// bounded number of runs, to be gone on with.
    async fn run_list(&self, filter: &RunFilter, before: Option<RunId>, limit: u32) -> Result<Listed, Error>;

    /// Events of a run in order: at most `limit` that come after `after_seq`.
    async fn run_events(&self, run: RunId, after_seq: u64, limit: u32) -> Result<Vec<EventRecord>, Error>;

    /// Events of a run in order that come after `after_seq`: about as many as take so many bytes together, and one at
    /// least if there is one. For whoever reads a whole log: of tasks in a wide shuffle, each event takes a megabyte.
    async fn run_events_page(&self, run: RunId, after_seq: u64, bytes: u64) -> Result<EventPage, Error>;

    /// Appends events, all or none, and brings the row up to date when there is a `summary`. The log is the outbox of
    /// task messages: `dispatched_seq` says up to which event all of them were sent, once that is known; it only grows.
    ///
    /// Fails with [`Error::Fenced`] unless the lease is current and the latest event is the one before the first of
    /// `events`. Events that are in the log already, after a call whose answer was lost, are not written twice.
    async fn run_append(
        &self,
        lease: &Lease,
        events: &[EventRecord],
        summary: Option<&RunSummary>,
        dispatched_seq: Option<u64>,
    ) -> Result<(), Error>;

    /// Asks the owner of a run, present or next, to stop it, and not to try it again. Says whether there is such a run
    /// and it is not over, or is to be tried again.
    async fn run_request_cancel(&self, run: RunId, by: &str) -> Result<bool, Error>;

    /// Asks the owner of a run, present or next, to hold it up or, without `by`, to let it go on. Says whether there is
    /// such a run and it is not over.
    async fn run_request_pause(&self, run: RunId, by: Option<&str>) -> Result<bool, Error>;

    /// Runs that are over and are to be tried again by `now`, the longest due first: at most `limit`.
    async fn runs_to_restart(&self, now: Timestamp, limit: u32) -> Result<Vec<RunRow>, Error>;

    /// Notes when a run that is over is to be tried again; nothing when it was. Says whether it still was to be: it was
    /// not tried again before, nor cancelled.
    async fn run_set_restart(&self, run: RunId, at: Option<Timestamp>) -> Result<bool, Error>;

    /// Runs that a schedule made that are not over, or are to be tried again, the youngest first: at most `limit`.
    async fn schedule_runs_open(&self, namespace: &Namespace, schedule: &str, limit: u32)
    -> Result<Vec<RunRow>, Error>;

    /// Runs that are over, whose objects are deleted, and that are to be forgotten by `now`, the oldest first: at most
    /// `limit` that are younger than `after`. Those that are to be tried again are not among them.
    async fn runs_to_forget(&self, now: Timestamp, after: Option<RunId>, limit: u32) -> Result<Vec<RunId>, Error>;

    /// Notes that the objects of a finished run are deleted but for `kept_bytes` of results, releases its lease and drops
    /// what was left for its owner.
    async fn run_cleaned(&self, lease: &Lease, kept_bytes: u64) -> Result<(), Error>;

    /// Runs that are not over, or whose objects are not deleted yet, the oldest first: at most `limit` that are
    /// younger than `after`.
    async fn runs_unfinished(&self, after: Option<RunId>, limit: u32) -> Result<Vec<RunRow>, Error>;

    /// Runs that [`lease_acquire`](Self::lease_acquire) would give out now: the oldest of each namespace first, then
    /// the second of each, and so on. Of the namespaces in `full` only those that somebody has begun with, and those that
    /// are to be cancelled.
    async fn runs_expired(&self, full: &[Namespace], limit: u32) -> Result<Vec<RunRow>, Error>;

    /// Runs that are over, whose objects are deleted, and that ended before a time, the oldest first: at most `limit`
    /// that are younger than `after`.
    async fn runs_over(&self, ended_before: Timestamp, after: Option<RunId>, limit: u32) -> Result<Vec<RunId>, Error>;

    /// Forgets a run that is over and whose objects are deleted, with its log; says whether there was one. A long log goes
    /// in pieces, its end first: what an error leaves is a shorter log, for the next call.
    async fn run_delete(&self, run: RunId) -> Result<bool, Error>;

    /// The tasks of all runs that are not over, as their owners last said.
    async fn backlog(&self) -> Result<Backlog, Error>;

    /// What the runs take that are not over, by namespace and owner: of one namespace, or of all.
    async fn namespace_loads(&self, namespace: Option<&Namespace>) -> Result<Vec<NamespaceLoad>, Error>;

    /// Bytes of results that the runs of a namespace have left in storage.
    async fn kept_bytes(&self, namespace: &Namespace) -> Result<u64, Error>;

    /// The quotas of the namespaces that have one of their own.
    async fn quotas(&self) -> Result<Vec<(Namespace, Quota)>, Error>;

    /// Gives a namespace a quota of its own, or with `None` that of the service again.
    async fn quota_set(&self, namespace: &Namespace, quota: Option<&Quota>) -> Result<(), Error>;

    /// Takes a token out of a namespace's bucket of submissions; when there is none, says when there will be one. All
    /// processes over one store share the bucket.
    async fn submission_take(&self, namespace: &Namespace, rate: Rate) -> Result<Option<Duration>, Error>;

    /// The request with an idempotency key, and the run that it made.
    async fn request_get(&self, namespace: &Namespace, key: &str) -> Result<Option<(Digest, RunId)>, Error>;

    /// Forgets idempotency keys of requests before a time; says how many.
    async fn requests_forget(&self, before: Timestamp) -> Result<u64, Error>;

    /// Takes a run over that nobody owns: its lease was released, has run out, or is that of a process which is known
    /// to be dead.
    async fn lease_acquire(&self, run: RunId, owner: &str, ttl: Duration) -> Result<Acquired, Error>;

    /// Puts leases together that are renewed by one write. Those of different parts do not wait for each other, if they
    /// are renewed by calls of their own.
    fn lease_parts(&self, leases: Vec<Lease>) -> Vec<Vec<Lease>> {
        vec![leases]
    }

    /// Renews leases until `ttl` from now, also those that have run out but that nobody has taken. The answers come in
    /// the order of `leases`; `None` for a lease that is lost.
    async fn lease_renew(&self, leases: &[Lease], ttl: Duration) -> Result<Vec<Option<Renewal>>, Error>;

    /// Gives a run up; nothing happens when the lease is lost already.
    async fn lease_release(&self, lease: &Lease) -> Result<(), Error>;

    /// Leaves reports for the owners of their runs, present or next. Those of runs that are over are dropped.
    async fn reports_forward(&self, reports: &[ForwardedReport]) -> Result<(), Error>;

    /// Reports that were left for `owner`, the oldest first: at most `limit`, without those whose ids are `held`, which
    /// are those that the caller took and is not done with. They stay until they are [done](Self::reports_done).
    async fn reports_take(&self, owner: &str, held: &[u64], limit: u32) -> Result<Vec<InboxReport>, Error>;

    /// Deletes reports whose consequences are in the log.
    async fn reports_done(&self, ids: &[u64]) -> Result<(), Error>;

    /// Notes signs of life of workers. One that is older than what is known of its worker changes nothing.
    async fn workers_seen(&self, workers: &[WorkerRow]) -> Result<(), Error>;

    /// Workers, those that were seen last first: at most `limit`.
    async fn worker_list(&self, limit: u32) -> Result<Vec<WorkerRow>, Error>;

    /// Forgets workers that were last seen before a time; says how many.
    async fn workers_forget(&self, before: Timestamp) -> Result<u64, Error>;

    /// Makes `owner` the leader of something for `ttl` from now, or keeps it so; says whether it is.
    async fn leader_acquire(&self, name: &str, owner: &str, ttl: Duration) -> Result<bool, Error>;

    /// Ends a leadership; nothing happens when it is another's.
    async fn leader_release(&self, name: &str, owner: &str) -> Result<(), Error>;

    /// Notes how many workers there are to be, for all others to read.
    async fn scaling_set(&self, scaling: &ScalingRow) -> Result<(), Error>;

    /// How many workers there are to be, as was last said, however long ago.
    async fn scaling_get(&self) -> Result<Option<ScalingRow>, Error>;

    /// Who may do what, and what they did.
    fn identities(&self) -> &dyn IdentityStore;

    /// What the Wasm components of namespaces take.
    fn modules(&self) -> &dyn ModuleStore;

    /// How often things were changed that can be followed.
    fn revisions(&self) -> &dyn RevisionStore;

    /// Hears of changes from now on, by whomever they are made.
    fn changes(&self) -> Changes;

    /// Asks the database for a sign of life.
    async fn check(&self) -> Result<(), Error>;
}
