//! A store whose process dies when it is told to.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;
use weir_control_plane::quotas::{Quota, Rate};
use weir_control_plane::store::{
    Acquired, Backlog, Changes, Created, Error, EventPage, ForwardedReport, Idempotency, IdentityStore, InboxReport,
    Lease, Listed, ModuleStore, NamespaceLoad, PipelineRow, PipelineStore, PipelineVersionRow, PipelineWrite, Renewal,
    RevisionStore, RunFilter, RunRow, RunSummary, ScalingRow, ScheduleRow, Store, WorkerRow, Written,
};
use weir_model::{Digest, EventRecord, Namespace, RunId, Submission, Timestamp};

use crate::kit::PATIENCE;

/// When a [`Mortal`] store dies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Death {
    /// Before an append: its effects' results are lost.
    Before,
    /// After an append: its effects are never started.
    After,
}

/// What becomes of the renewals of leases.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Renewals {
    Work,
    /// As when the store cannot be reached.
    Fail,
    /// As when the process sleeps.
    Hang,
    /// As when the write that renews this run waits for another one.
    HangFor(RunId),
}

/// A store whose process dies at a chosen append. To the control plane that looks like a lost lease, which it stops at.
pub(crate) struct Mortal {
    inner: Arc<dyn Store>,
    death: Death,
    left: AtomicI64,
    pub(crate) dead: watch::Sender<bool>,
    /// How the store takes renewals.
    pub(crate) renewals: watch::Sender<Renewals>,
    /// How it takes lists of runs.
    pub(crate) lists: Door,
    /// How it takes deletions of runs.
    pub(crate) deletions: Door,
    /// How it takes lists of workers, with which each look begins at what there is to share.
    pub(crate) workers: Door,
    /// How often it said of somebody that they lead something.
    pub(crate) leads: watch::Sender<u64>,
    /// A run that it cannot delete.
    pub(crate) undeletable: watch::Sender<Option<RunId>>,
}

/// Calls that wait until they are let through.
pub(crate) struct Door {
    open: watch::Sender<bool>,
    knocks: watch::Sender<u64>,
}

impl Door {
    fn open() -> Self {
        Self {
            open: watch::Sender::new(true),
            knocks: watch::Sender::new(0),
        }
    }

    pub(crate) fn set_open(&self, open: bool) {
        self.open.send_replace(open);
    }

    /// Waits until there was a call, whether it was let through or not.
    pub(crate) async fn knocked(&self) {
        counted(&self.knocks, 1).await;
    }

    /// Waits for so many more calls to begin.
    pub(crate) async fn knocked_again(&self, times: u64) {
        let before = *self.knocks.borrow();
        counted(&self.knocks, before + times).await;
    }

    async fn pass(&self) {
        self.knocks.send_modify(|knocks| *knocks += 1);
        self.open.subscribe().wait_for(|open| *open).await.unwrap();
    }
}

/// Waits until something was counted so often.
async fn counted(counter: &watch::Sender<u64>, times: u64) {
    let mut counter = counter.subscribe();
    let counted = counter.wait_for(|count| *count >= times);
    tokio::time::timeout(PATIENCE, counted)
        .await
        .expect("it goes on")
        .unwrap();
}

impl Mortal {
    pub(crate) fn new(inner: Arc<dyn Store>, death: Death, appends: i64) -> Arc<Self> {
        Arc::new(Self {
            inner,
            death,
            left: AtomicI64::new(appends),
            dead: watch::Sender::new(false),
            renewals: watch::Sender::new(Renewals::Work),
            lists: Door::open(),
            deletions: Door::open(),
            workers: Door::open(),
            leads: watch::Sender::new(0),
            undeletable: watch::Sender::new(None),
        })
    }

    /// Waits for so many more answers that somebody leads something.
    pub(crate) async fn leads_again(&self, times: u64) {
        let before = *self.leads.borrow();
        counted(&self.leads, before + times).await;
    }

    async fn write<T: Send>(
        &self,
        run: RunId,
        write: impl Future<Output = Result<T, Error>> + Send,
    ) -> Result<T, Error> {
        let left = self.left.fetch_sub(1, Ordering::SeqCst);
        let die = || {
            self.dead.send_replace(true);
            Err(Error::Fenced { run })
        };
        match (left, self.death) {
            (1.., _) => write.await,
            (0, Death::After) => {
                write.await?;
                die()
            }
            _ => die(),
        }
    }
}

#[async_trait]
impl PipelineStore for Mortal {
    async fn pipelines_write(&self, write: PipelineWrite) -> Result<Written, Error> {
        self.inner.pipelines_write(write).await
    }

    async fn pipeline_get(&self, namespace: &Namespace, name: &str) -> Result<Option<PipelineRow>, Error> {
        self.inner.pipeline_get(namespace, name).await
    }

    async fn pipeline_list(
        &self,
        namespace: &Namespace,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<PipelineRow>, Error> {
        self.inner.pipeline_list(namespace, after, limit).await
    }

    async fn pipeline_versions(
        &self,
        namespace: &Namespace,
        name: &str,
        before: Option<u32>,
        limit: u32,
    ) -> Result<Vec<PipelineVersionRow>, Error> {
        self.inner.pipeline_versions(namespace, name, before, limit).await
    }

    async fn pipeline_versions_all(
        &self,
        after: Option<&PipelineVersionRow>,
        limit: u32,
    ) -> Result<Vec<PipelineVersionRow>, Error> {
        self.inner.pipeline_versions_all(after, limit).await
    }

    async fn schedule_get(&self, namespace: &Namespace, name: &str) -> Result<Option<ScheduleRow>, Error> {
        self.inner.schedule_get(namespace, name).await
    }

    async fn schedule_list(
        &self,
        namespace: &Namespace,
        pipeline: Option<&str>,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<ScheduleRow>, Error> {
        self.inner.schedule_list(namespace, pipeline, after, limit).await
    }

    async fn schedules_all(&self, after: Option<&ScheduleRow>, limit: u32) -> Result<Vec<ScheduleRow>, Error> {
        self.inner.schedules_all(after, limit).await
    }

    async fn schedules_due(
        &self,
        now: Timestamp,
        after: Option<&ScheduleRow>,
        limit: u32,
    ) -> Result<Vec<ScheduleRow>, Error> {
        self.inner.schedules_due(now, after, limit).await
    }
}

#[async_trait]
impl Store for Mortal {
    async fn run_create(
        &self,
        run: RunId,
        submission: &Submission,
        events: &[EventRecord],
        owner: &str,
        ttl: Duration,
        idempotency: Option<&Idempotency>,
    ) -> Result<Created, Error> {
        self.inner
            .run_create(run, submission, events, owner, ttl, idempotency)
            .await
    }

    async fn run_get(&self, run: RunId) -> Result<Option<RunRow>, Error> {
        self.inner.run_get(run).await
    }

    async fn runs_get(&self, runs: &[RunId]) -> Result<Vec<RunRow>, Error> {
        self.inner.runs_get(runs).await
    }

    async fn run_list(&self, filter: &RunFilter, before: Option<RunId>, limit: u32) -> Result<Listed, Error> {
        self.lists.pass().await;
        self.inner.run_list(filter, before, limit).await
    }

    async fn run_events(&self, run: RunId, after_seq: u64, limit: u32) -> Result<Vec<EventRecord>, Error> {
        self.inner.run_events(run, after_seq, limit).await
    }

    async fn run_events_page(&self, run: RunId, after_seq: u64, bytes: u64) -> Result<EventPage, Error> {
        self.inner.run_events_page(run, after_seq, bytes).await
    }

    async fn run_append(
        &self,
        lease: &Lease,
        events: &[EventRecord],
        summary: Option<&RunSummary>,
        dispatched_seq: Option<u64>,
    ) -> Result<(), Error> {
        let append = self.inner.run_append(lease, events, summary, dispatched_seq);
        self.write(lease.run, append).await
    }

    async fn run_request_cancel(&self, run: RunId, by: &str) -> Result<bool, Error> {
        self.inner.run_request_cancel(run, by).await
    }

    async fn run_request_pause(&self, run: RunId, by: Option<&str>) -> Result<bool, Error> {
        self.inner.run_request_pause(run, by).await
    }

    async fn runs_to_restart(&self, now: Timestamp, limit: u32) -> Result<Vec<RunRow>, Error> {
        self.inner.runs_to_restart(now, limit).await
    }

    async fn run_set_restart(&self, run: RunId, at: Option<Timestamp>) -> Result<bool, Error> {
        self.inner.run_set_restart(run, at).await
    }

    async fn schedule_runs_open(
        &self,
        namespace: &Namespace,
        schedule: &str,
        limit: u32,
    ) -> Result<Vec<RunRow>, Error> {
        self.inner.schedule_runs_open(namespace, schedule, limit).await
    }

    async fn runs_to_forget(&self, now: Timestamp, after: Option<RunId>, limit: u32) -> Result<Vec<RunId>, Error> {
        self.inner.runs_to_forget(now, after, limit).await
    }

    async fn run_cleaned(&self, lease: &Lease, kept_bytes: u64) -> Result<(), Error> {
        self.write(lease.run, self.inner.run_cleaned(lease, kept_bytes)).await
    }

    async fn runs_unfinished(&self, after: Option<RunId>, limit: u32) -> Result<Vec<RunRow>, Error> {
        self.inner.runs_unfinished(after, limit).await
    }

    async fn lease_acquire(&self, run: RunId, owner: &str, ttl: Duration) -> Result<Acquired, Error> {
        self.inner.lease_acquire(run, owner, ttl).await
    }

    /// Each by itself, as those of different writers.
    fn lease_parts(&self, leases: Vec<Lease>) -> Vec<Vec<Lease>> {
        leases.into_iter().map(|lease| vec![lease]).collect()
    }

    async fn lease_renew(&self, leases: &[Lease], ttl: Duration) -> Result<Vec<Option<Renewal>>, Error> {
        let mut renewals = self.renewals.subscribe();
        let hangs = |now: &Renewals| match now {
            Renewals::Hang => true,
            Renewals::HangFor(run) => leases.iter().any(|lease| lease.run == *run),
            Renewals::Work | Renewals::Fail => false,
        };
        let renewals = *renewals.wait_for(|now| !hangs(now)).await.unwrap();
        if renewals == Renewals::Fail {
            return Err(Error::Database {
                action: "renew a lease",
                source: "the store is away".into(),
            });
        }
        self.inner.lease_renew(leases, ttl).await
    }

    async fn lease_release(&self, lease: &Lease) -> Result<(), Error> {
        self.inner.lease_release(lease).await
    }

    async fn runs_expired(&self, full: &[Namespace], limit: u32) -> Result<Vec<RunRow>, Error> {
        self.inner.runs_expired(full, limit).await
    }

    async fn backlog(&self) -> Result<Backlog, Error> {
        self.inner.backlog().await
    }

    async fn runs_over(&self, ended_before: Timestamp, after: Option<RunId>, limit: u32) -> Result<Vec<RunId>, Error> {
        self.inner.runs_over(ended_before, after, limit).await
    }

    async fn run_delete(&self, run: RunId) -> Result<bool, Error> {
        self.deletions.pass().await;
        if *self.undeletable.borrow() == Some(run) {
            return Err(Error::Database {
                action: "delete a run",
                source: "it is in the way".into(),
            });
        }
        self.inner.run_delete(run).await
    }

    async fn namespace_loads(&self, namespace: Option<&Namespace>) -> Result<Vec<NamespaceLoad>, Error> {
        self.inner.namespace_loads(namespace).await
    }

    async fn kept_bytes(&self, namespace: &Namespace) -> Result<u64, Error> {
        self.inner.kept_bytes(namespace).await
    }

    async fn quotas(&self) -> Result<Vec<(Namespace, Quota)>, Error> {
        self.inner.quotas().await
    }

    async fn quota_set(&self, namespace: &Namespace, quota: Option<&Quota>) -> Result<(), Error> {
        self.inner.quota_set(namespace, quota).await
    }

    async fn submission_take(&self, namespace: &Namespace, rate: Rate) -> Result<Option<Duration>, Error> {
        self.inner.submission_take(namespace, rate).await
    }

    async fn request_get(&self, namespace: &Namespace, key: &str) -> Result<Option<(Digest, RunId)>, Error> {
        self.inner.request_get(namespace, key).await
    }

    async fn requests_forget(&self, before: Timestamp) -> Result<u64, Error> {
        self.inner.requests_forget(before).await
    }

    async fn reports_forward(&self, reports: &[ForwardedReport]) -> Result<(), Error> {
        self.inner.reports_forward(reports).await
    }

    async fn reports_take(&self, owner: &str, held: &[u64], limit: u32) -> Result<Vec<InboxReport>, Error> {
        self.inner.reports_take(owner, held, limit).await
    }

    async fn reports_done(&self, ids: &[u64]) -> Result<(), Error> {
        self.inner.reports_done(ids).await
    }

    async fn workers_seen(&self, workers: &[WorkerRow]) -> Result<(), Error> {
        self.inner.workers_seen(workers).await
    }

    async fn worker_list(&self, limit: u32) -> Result<Vec<WorkerRow>, Error> {
        self.workers.pass().await;
        self.inner.worker_list(limit).await
    }

    async fn workers_forget(&self, before: Timestamp) -> Result<u64, Error> {
        self.inner.workers_forget(before).await
    }

    async fn leader_acquire(&self, name: &str, owner: &str, ttl: Duration) -> Result<bool, Error> {
        let leads = self.inner.leader_acquire(name, owner, ttl).await?;
        if leads {
            self.leads.send_modify(|leads| *leads += 1);
        }
        Ok(leads)
    }

    async fn leader_release(&self, name: &str, owner: &str) -> Result<(), Error> {
        self.inner.leader_release(name, owner).await
    }

    async fn scaling_set(&self, scaling: &ScalingRow) -> Result<(), Error> {
        self.inner.scaling_set(scaling).await
    }

    async fn scaling_get(&self) -> Result<Option<ScalingRow>, Error> {
        self.inner.scaling_get().await
    }

    fn identities(&self) -> &dyn IdentityStore {
        self.inner.identities()
    }

    fn modules(&self) -> &dyn ModuleStore {
        self.inner.modules()
    }

    fn revisions(&self) -> &dyn RevisionStore {
        self.inner.revisions()
    }

    fn changes(&self) -> Changes {
        self.inner.changes()
    }

    async fn check(&self) -> Result<(), Error> {
        self.inner.check().await
    }
}
