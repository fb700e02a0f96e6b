//! The handle.

use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::DropGuard;
use weir_model::machine::{Input, RunState};
use weir_model::{
    EventRecord, Namespace, RunId, RunOutcome, RunSnapshot, ShuffleObject, StageGraph, StageOutput, Submission,
    Timestamp,
};
use weir_platform::{Queue, Storage, clock};

use crate::admission::Submitted;
use crate::history::History;
use crate::housekeeping::{self, HousekeepingOptions, Retention};
use crate::pipelines::{Defaults, scheduler};
use crate::provisioner::Provisioner;
use crate::quotas::{NamespaceUsage, Quota};
use crate::receipts::Receipts;
use crate::replay::{PAGE_BYTES, replay};
use crate::shared::{Mail, Shared};
use crate::store::{
    self, Backlog, Changes, EventPage, Idempotency, IdentityStore, Listed, ModuleStore, NamespaceCreation,
    NamespaceDeletion, NamespaceLoad, NamespaceRow, PipelineStore, RevisionStore, RunFilter, RunRow, ScalingRow, Store,
    WorkerRow,
};
use crate::{
    Error, Options, Planner, ScalingOptions, ScalingStatus, admission, dead_letters, gate, inbox, leases, listen,
    receipts, reports, scaling, takeover, vitals,
};

/// What a control plane works with.
#[derive(Clone)]
pub struct Environment {
    /// Where runs are kept.
    pub store: Arc<dyn Store>,
    /// Task messages go here.
    pub tasks: Arc<dyn Queue>,
    /// Reports of workers come from here.
    pub reports: Arc<dyn Queue>,
    /// Where runs keep their objects.
    pub storage: Storage,
    /// Plans submissions.
    pub planner: Arc<dyn Planner>,
}

/// A running control plane. Cheap to clone; dropping the last clone ends it as a crash would, without giving its runs
/// back: see [`shutdown`](Self::shutdown).
#[derive(Clone)]
pub struct ControlPlane {
    shared: Arc<Shared>,
    _kill: Arc<DropGuard>,
}

/// The result stage of a run that succeeded.
#[derive(Clone, Debug, PartialEq)]
pub struct RunResult {
    /// The stages.
    pub graph: StageGraph,
    /// The accepted objects of the result stage, in task order.
    pub objects: Vec<ShuffleObject>,
}

impl RunResult {
    /// The result of a run, if it has a result stage that is complete, and is over.
    pub(crate) fn of(state: &RunState) -> Option<Self> {
        let graph = state.graph()?;
        let stage = graph.stages.iter().find(|stage| stage.output == StageOutput::Result)?;
        (state.outcome() == Some(RunOutcome::Succeeded)).then(|| Self {
            objects: state
                .accepted_outputs(stage.id)
                .filter_map(|(_, output)| output.shuffle.clone())
                .collect(),
            graph: graph.clone(),
        })
    }
}

impl ControlPlane {
    /// Starts a control plane. It drives the runs that are submitted to it, those that it is told to resume, and, when
    /// its options say so, those that nobody drives.
    pub fn start(options: Options, environment: Environment) -> Self {
        let owner = options
            .owner
            .clone()
            .unwrap_or_else(|| format!("process {} ({})", std::process::id(), clock::new_worker_id()));
        let (receipts, handled) = Receipts::new();
        let shared = Arc::new(Shared::new(options, owner, environment, receipts));
        shared.spawn(receipts::put_away(shared.clone(), handled));
        shared.spawn(reports::route(shared.clone()));
        shared.spawn(inbox::take(shared.clone()));
        shared.spawn(listen::listen(shared.clone()));
        shared.spawn(leases::renew(shared.clone()));
        shared.spawn(leases::give_up_expired(shared.clone()));
        shared.spawn(gate::keep(shared.clone()));
        shared.spawn(vitals::show(shared.clone()));
        if shared.options.takes_over {
            shared.spawn(takeover::sweep(shared.clone()));
        }
        let kill = Arc::new(shared.kill.clone().drop_guard());
        Self { shared, _kill: kill }
    }

    /// Explains in their runs the task messages that end up in a dead-letter queue, and deletes them there. Any number
    /// of control planes may watch the same one.
    pub fn watch_dead_letters(&self, queue: Arc<dyn Queue>) {
        self.shared.spawn(dead_letters::watch(self.shared.clone(), queue));
    }

    /// Forgets what is over and deletes what nothing reaches, from time to time, or stands by for the control plane
    /// that does. To be called once.
    pub fn keep_house(&self, options: HousekeepingOptions) {
        self.shared.spawn(housekeeping::run(self.shared.clone(), options));
    }

    /// Does at once what [`keep_house`](Self::keep_house) does from time to time.
    pub async fn keep_house_now(&self, options: &HousekeepingOptions) -> Result<(), housekeeping::Error> {
        housekeeping::sweep(&self.shared, options).await
    }

    /// Forgets runs that are over, those apart that are to be kept, with their objects; says how many.
    pub async fn prune(&self, retention: &Retention) -> Result<u64, housekeeping::Error> {
        housekeeping::prune(&self.shared, retention).await
    }

    /// Makes the runs of schedules at their times, tries runs again whose restart policy says so, and forgets those that
    /// are not to be kept; or stands by for the control plane that does. To be called once. `defaults` are what is added
    /// to pipelines that say nothing of it.
    pub fn schedule(&self, defaults: Defaults) {
        scheduler::start(&self.shared, defaults);
    }

    /// Has as many workers run as there is work for, or stands by for the control plane that does. To be called once.
    pub fn scale(&self, options: ScalingOptions, provisioner: Arc<dyn Provisioner>) {
        let scaling = scaling::run(self.shared.clone(), options, provisioner);
        self.shared.spawn_closing(scaling);
    }

    /// What this control plane knows about the number of workers.
    pub fn scaling(&self) -> watch::Receiver<ScalingStatus> {
        self.shared.scaling.subscribe()
    }

    /// Accepts a submission; the run is in the store when this returns.
    pub async fn submit(&self, submission: Submission) -> Result<RunId, Error> {
        let submitted = admission::submit(&self.shared, submission, None).await?;
        Ok(submitted.run)
    }

    /// Refuses a submission that [`submit`](Self::submit) would find invalid.
    pub fn check(&self, submission: &Submission) -> Result<(), Error> {
        admission::validate(submission)
    }

    /// As [`submit`](Self::submit), once for all requests with the same key. When this control plane has no room for
    /// the run and others may take it, it is queued.
    pub async fn submit_once(
        &self,
        submission: Submission,
        idempotency: Option<&Idempotency>,
    ) -> Result<Submitted, Error> {
        admission::submit(&self.shared, submission, idempotency).await
    }

    /// Submits again what a run was, once that is over; `by` says who asks, for people.
    pub async fn retry(
        &self,
        run: RunId,
        by: Option<String>,
        idempotency: Option<&Idempotency>,
    ) -> Result<Submitted, Error> {
        admission::retry(&self.shared, run, by, idempotency).await
    }

    /// Follows a run. The receiver is closed when the run is over, or when another control plane has taken it; of a
    /// run that is not driven by this one it shows the present only.
    pub async fn watch(&self, run: RunId) -> Result<watch::Receiver<Arc<RunSnapshot>>, Error> {
        if let Some(receiver) = self.watch_driven(run) {
            return Ok(receiver);
        }
        let state = self.replayed(run).await?;
        Ok(watch::channel(Arc::new(state.snapshot())).1)
    }

    /// What the store tells from now on of runs, whoever drives them.
    pub fn changes(&self) -> Changes {
        self.shared.store.changes()
    }

    /// Follows a run that this control plane drives; `None` when it does not. The receiver is closed when the run is
    /// over, or when another control plane has taken it.
    pub fn watch_driven(&self, run: RunId) -> Option<watch::Receiver<Arc<RunSnapshot>>> {
        self.shared.runs().get(&run).map(|driven| driven.snapshot.clone())
    }

    /// Asks for a run to stop, and not to be tried again; `by` says who asks, for people. A run whose commit has begun
    /// goes on.
    pub async fn cancel(&self, run: RunId, by: &str) -> Result<(), Error> {
        // In the store first: a crash of this process does not forget it, and any owner will hear of it.
        if !self.shared.store.run_request_cancel(run, by).await? {
            return Err(self.absent(run).await?);
        }
        let mailbox = self.shared.runs().get(&run).map(|driven| driven.mailbox.clone());
        if let Some(mailbox) = mailbox {
            // A driver that ends meanwhile has finished the run or lost it to an owner who reads the request.
            let _ = mailbox.send(Mail::Input(Input::Cancel { by: by.to_owned() })).await;
        } else {
            // It may wait for room: it is taken now, to be ended.
            self.shared.sweep.notify_one();
        }
        Ok(())
    }

    /// Asks for a run to be held up, or to go on; `by` says who asks, for people. Attempts that run come to their end,
    /// and nothing new is begun. A run whose commit has begun goes on.
    pub async fn set_paused(&self, run: RunId, paused: bool, by: &str) -> Result<(), Error> {
        // In the store first, as a cancellation.
        let requested = self.shared.store.run_request_pause(run, paused.then_some(by)).await?;
        if !requested {
            return Err(self.absent(run).await?);
        }
        let mailbox = self.shared.runs().get(&run).map(|driven| driven.mailbox.clone());
        if let Some(mailbox) = mailbox {
            let by = by.to_owned();
            let input = match paused {
                true => Input::Pause { by },
                false => Input::Resume { by },
            };
            let _ = mailbox.send(Mail::Input(input)).await;
        }
        Ok(())
    }

    /// Runs that are not over, or whose objects are not deleted yet, the oldest first, whoever owns them.
    pub async fn unfinished(&self, after: Option<RunId>, limit: u32) -> Result<Vec<RunRow>, Error> {
        Ok(self.shared.store.runs_unfinished(after, limit).await?)
    }

    /// Drives a run that nobody drives, from where its log ends. Waits for the lease of its last owner to run out,
    /// when that has crashed, and fails with [`Error::Owned`] when it is renewed instead.
    pub async fn resume(&self, run: RunId) -> Result<(), Error> {
        if self.shared.runs().contains_key(&run) {
            return Ok(());
        }
        takeover::resume(&self.shared, run).await
    }

    /// The quota of a namespace as it is in the store, and whether it is its own.
    pub async fn quota(&self, namespace: &Namespace) -> Result<(Quota, bool), Error> {
        self.shared.quotas.read(&*self.shared.store).await?;
        let own = self.shared.quotas.own().get(namespace).copied();
        Ok((own.unwrap_or(self.shared.quotas.default()), own.is_some()))
    }

    /// Gives a namespace a quota of its own, or with `None` that of the service again. Other control planes go by it
    /// within seconds.
    pub async fn set_quota(&self, namespace: &Namespace, quota: Option<&Quota>) -> Result<(), Error> {
        if let Some(quota) = quota {
            quota.check().map_err(|message| Error::InvalidQuota { message })?;
        }
        self.shared.store.quota_set(namespace, quota).await?;
        self.shared.quotas.read(&*self.shared.store).await?;
        // There may be room for runs that wait.
        self.shared.sweep.notify_one();
        Ok(())
    }

    /// What the runs of a namespace take that are not over, as their owners last said.
    pub async fn namespace_usage(&self, namespace: &Namespace) -> Result<NamespaceUsage, Error> {
        let (loads, kept_bytes, module_bytes) = tokio::try_join!(
            self.shared.store.namespace_loads(Some(namespace)),
            self.shared.store.kept_bytes(namespace),
            self.shared.store.modules().module_bytes(namespace)
        )?;
        let sum = |count: fn(&NamespaceLoad) -> u64| loads.iter().map(count).fold(0, u64::saturating_add);
        Ok(NamespaceUsage {
            runs: sum(|load| load.active),
            queued_runs: sum(|load| load.queued),
            tasks_waiting: sum(|load| load.waiting),
            tasks_running: sum(|load| load.running),
            kept_bytes,
            module_bytes,
        })
    }

    /// Refuses what would take so many bytes more in the storage than a namespace may use.
    pub async fn check_storage(&self, namespace: &Namespace, bytes: u64) -> Result<(), Error> {
        let quota = self.shared.quotas.of(&*self.shared.store, namespace).await?;
        admission::check_storage(&self.shared, namespace, &quota, bytes).await
    }

    /// What the Wasm components of namespaces take.
    pub fn modules(&self) -> &dyn ModuleStore {
        self.shared.store.modules()
    }

    /// How often things were changed that can be followed.
    pub fn revisions(&self) -> &dyn RevisionStore {
        self.shared.store.revisions()
    }

    /// The tasks of all runs that are not over, whoever drives them.
    pub async fn backlog(&self) -> Result<Backlog, Error> {
        Ok(self.shared.store.backlog().await?)
    }

    /// The workers that were seen last, at most `limit`.
    pub async fn workers(&self, limit: u32) -> Result<Vec<WorkerRow>, Error> {
        Ok(self.shared.store.worker_list(limit).await?)
    }

    /// How many workers there are to be, as whoever decides on it said within the last minute.
    pub async fn scaling_said(&self) -> Result<Option<ScalingRow>, Error> {
        let said = self.shared.store.scaling_get().await?;
        Ok(said.filter(|said| said.said_at >= vitals::alive_since()))
    }

    /// The result of a run, if it has one and has succeeded: from its history, or from its log as long as that is not
    /// written.
    pub async fn result(&self, run: RunId) -> Result<Option<RunResult>, Error> {
        let row = self.run_get(run).await?.ok_or(Error::NotFound { run })?;
        if row.cleaned {
            let history = History::new(self.shared.storage.clone());
            let summary = history.run(&row.namespace, run).await?;
            if let Some(summary) = summary.filter(|summary| !summary.misses_result()) {
                return Ok(history.result(&summary).await?);
            }
        }
        Ok(RunResult::of(&self.replayed(run).await?))
    }

    /// The row of a run.
    pub async fn run_get(&self, run: RunId) -> Result<Option<RunRow>, Error> {
        Ok(self.shared.store.run_get(run).await?)
    }

    /// Rows of runs, the youngest first: at most `limit` that are older than `before`. A search looks at a bounded number
    /// of runs, to be gone on with.
    pub async fn run_list(&self, filter: &RunFilter, before: Option<RunId>, limit: u32) -> Result<Listed, Error> {
        Ok(self.shared.store.run_list(filter, before, limit).await?)
    }

    /// Where pipelines and schedules are kept.
    pub fn pipelines(&self) -> &dyn PipelineStore {
        &*self.shared.store
    }

    /// Events of a run in order: at most `limit` that come after `after_seq`.
    pub async fn run_events(&self, run: RunId, after_seq: u64, limit: u32) -> Result<Vec<EventRecord>, Error> {
        Ok(self.shared.store.run_events(run, after_seq, limit).await?)
    }

    /// Events of a run in order that come after `after_seq`, about as many as can be held at once.
    pub async fn run_events_page(&self, run: RunId, after_seq: u64) -> Result<EventPage, Error> {
        Ok(self.shared.store.run_events_page(run, after_seq, PAGE_BYTES).await?)
    }

    /// Makes a namespace. What an older one of its name has left is deleted first, once nothing can come to it any more.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn namespace_create(&self, namespace: &NamespaceRow) -> Result<NamespaceCreation, store::Error> {
        let created = self.identities().namespace_create(namespace).await?;
        self.shared.locations.changed();
        if created != NamespaceCreation::JustDeleted {
            return Ok(created);
        }
        let before = Timestamp(clock::now().0.saturating_sub(housekeeping::namespaces::LATE_MS));
        if let Err(error) = housekeeping::namespaces::sweep(&self.shared, before).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "cannot delete what namespaces have left"
            );
        }
        self.identities().namespace_create(namespace).await
    }

    /// Changes what people call a namespace and what its jobs may use; says whether there is one. Jobs that are submitted
    /// here from then on may use no more, and those that are submitted to others no more a second later.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn namespace_update(&self, namespace: &NamespaceRow) -> Result<bool, store::Error> {
        let updated = self.identities().namespace_update(namespace).await;
        // Also when it is not known whether it was done.
        self.shared.locations.changed();
        updated
    }

    /// Deletes a namespace, and its objects.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn namespace_delete(&self, name: &Namespace) -> Result<NamespaceDeletion, store::Error> {
        let deletion = self.identities().namespace_delete(name, clock::now()).await?;
        if deletion == NamespaceDeletion::Deleted
            && let Err(error) = housekeeping::namespaces::delete_objects(&self.shared.storage, name).await
        {
            // They are deleted once more before the name can be used again.
            tracing::warn!(error = &error as &dyn std::error::Error, namespace = %name, "cannot delete its objects");
        }
        Ok(deletion)
    }

    /// Who may do what, and what they did.
    pub fn identities(&self) -> &dyn IdentityStore {
        self.shared.store.identities()
    }

    /// The places in S3 that the jobs of a namespace may use, if those are not all.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn allowed_locations(&self, namespace: &Namespace) -> Result<Option<Vec<String>>, Error> {
        admission::allowed_locations(&self.shared, namespace).await
    }

    /// Ends the control plane: runs that are under way are given back for others to resume, and the clean-up of
    /// finished ones is waited for, within bounds; so is the end of workers that are processes of this one.
    pub async fn shutdown(&self) {
        self.shared.stop.cancel();
        let drained = async {
            while let Some(closed) = self.any_mailbox() {
                closed.closed().await;
                tokio::task::yield_now().await;
            }
        };
        let bound = self.shared.options.grace() + self.shared.options.lease();
        if tokio::time::timeout(bound, drained).await.is_err() {
            tracing::warn!("some runs could not be given back; others can resume them when their leases run out");
        }
        let flushed = self.shared.receipts.flush();
        if tokio::time::timeout(self.shared.options.grace(), flushed)
            .await
            .is_err()
        {
            tracing::warn!("some reports could not be deleted; they will come again, and change nothing");
        }
        self.shared.closing.close();
        self.shared.closing.wait().await;
        self.shared.kill.cancel();
        self.shared.tasks_of_this.close();
        self.shared.tasks_of_this.wait().await;
    }

    fn any_mailbox(&self) -> Option<tokio::sync::mpsc::Sender<Mail>> {
        self.shared.runs().values().next().map(|driven| driven.mailbox.clone())
    }

    async fn replayed(&self, run: RunId) -> Result<RunState, Error> {
        let state = replay(&*self.shared.store, run).await?;
        state.ok_or(Error::NotFound { run })
    }

    /// The error for a run of which nothing is left to do.
    async fn absent(&self, run: RunId) -> Result<Error, Error> {
        Ok(match self.shared.store.run_get(run).await? {
            Some(_) => Error::Finished { run },
            None => Error::NotFound { run },
        })
    }
}
