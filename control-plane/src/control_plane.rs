//! The handle.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio_util::sync::DropGuard;
use weir_model::machine::{Effect, Input, RunState, decide};
use weir_model::{EventRecord, RunId, RunSnapshot, StageGraph, StageOutput, Submission, TaskOutput};
use weir_platform::{Queue, Storage, clock};

use crate::driver::{self, Start};
use crate::replay::replay;
use crate::shared::{Mail, Shared};
use crate::store::{Acquired, Created, RunFilter, RunRow, Store};
use crate::{Error, Options, Planner, leases, reports};

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
    /// The accepted outputs of the result stage, in task order.
    pub outputs: Vec<TaskOutput>,
}

impl ControlPlane {
    /// Starts a control plane. It drives the runs that are submitted to it, and those that it is told to resume.
    pub fn start(options: Options, environment: Environment) -> Self {
        let owner = options
            .owner
            .clone()
            .unwrap_or_else(|| format!("process {} ({})", std::process::id(), clock::new_worker_id()));
        let Environment {
            store,
            tasks,
            reports: report_queue,
            storage,
            planner,
        } = environment;
        let shared = Arc::new(Shared::new(
            options,
            owner,
            store,
            tasks,
            report_queue,
            storage,
            planner,
        ));
        shared.spawn(reports::route(shared.clone()));
        shared.spawn(leases::renew(shared.clone()));
        let kill = Arc::new(shared.kill.clone().drop_guard());
        Self { shared, _kill: kill }
    }

    /// Accepts a submission; the run is in the store when this returns.
    pub async fn submit(&self, submission: Submission) -> Result<RunId, Error> {
        validate(&submission)?;
        self.check_room()?;
        let shared = &self.shared;
        let run = clock::new_run_id();
        let asked = Instant::now();
        let (mut state, now) = (RunState::new(run), clock::now());
        let decision = decide(&state, &Input::Submit(Box::new(submission)), now);
        let events = driver::fold(&mut state, decision.events, now);
        let submission = state.submission().ok_or_else(|| Error::Invalid {
            message: "it was not accepted".into(),
        })?;
        let created = shared
            .store
            .run_create(run, submission, &events, &shared.owner, shared.options.lease(), None)
            .await?;
        let lease = match created {
            Created::Lease(lease) => lease,
            Created::Existing { run, .. } => return Ok(run),
        };
        let start = Start {
            state,
            lease,
            owned_since: asked,
            inputs: Vec::new(),
            effects: decision.effects,
        };
        driver::spawn(shared, start);
        Ok(run)
    }

    /// Follows a run. The receiver is closed when the run is over, or when another control plane has taken it; of a
    /// run that is not driven by this one it shows the present only.
    pub async fn watch(&self, run: RunId) -> Result<watch::Receiver<Arc<RunSnapshot>>, Error> {
        let driven = self.shared.runs().get(&run).map(|driven| driven.snapshot.clone());
        if let Some(receiver) = driven {
            return Ok(receiver);
        }
        let state = self.replayed(run).await?;
        Ok(watch::channel(Arc::new(state.snapshot())).1)
    }

    /// Asks for a run to stop; `by` says who asks, for people. A run whose commit has begun goes on.
    pub async fn cancel(&self, run: RunId, by: &str) -> Result<(), Error> {
        // In the store first: a crash of this process does not forget it, and any owner will hear of it.
        if !self.shared.store.run_request_cancel(run, by).await? {
            return Err(self.absent(run).await?);
        }
        let mailbox = self.shared.runs().get(&run).map(|driven| driven.mailbox.clone());
        if let Some(mailbox) = mailbox {
            // A driver that ends meanwhile has finished the run or lost it to an owner who reads the request.
            let _ = mailbox.send(Mail::Input(Input::Cancel { by: by.to_owned() })).await;
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
        let shared = &self.shared;
        if shared.runs().contains_key(&run) {
            return Ok(());
        }
        self.check_room()?;
        let mut waited_for = None;
        let (lease, asked) = loop {
            let asked = Instant::now();
            let ttl = shared.options.lease();
            match shared.store.lease_acquire(run, &shared.owner, ttl).await? {
                Acquired::Lease(lease) => break (lease, asked),
                Acquired::Nothing => return Err(self.absent(run).await?),
                Acquired::Held { owner, until } if waited_for.is_some_and(|known| until > known) => {
                    return Err(Error::Owned { run, owner, until });
                }
                Acquired::Held { until, .. } => {
                    waited_for = Some(until);
                    let left = until.ms_since(clock::now()).saturating_add(1);
                    tokio::time::sleep(Duration::from_millis(left)).await;
                }
            }
        };
        let (state, row) = tokio::try_join!(replay(&*shared.store, run), shared.store.run_get(run))?;
        let (Some(state), Some(row)) = (state, row) else {
            return Err(Error::NotFound { run });
        };
        let mut inputs = Vec::new();
        let mut effects = Vec::new();
        if state.is_finished() {
            effects.push(Effect::Cleanup);
        } else {
            inputs.push(Input::Takeover {
                queue_lost: shared.options.queue_in_process,
                sent_through: u64::MAX,
            });
            inputs.extend(row.cancel_requested_by.map(|by| Input::Cancel { by }));
        }
        let start = Start {
            state,
            lease,
            owned_since: asked,
            inputs,
            effects,
        };
        driver::spawn(shared, start);
        Ok(())
    }

    /// The result of a run, if it has a result stage that is complete.
    pub async fn result_outputs(&self, run: RunId) -> Result<Option<RunResult>, Error> {
        let state = self.replayed(run).await?;
        let Some(graph) = state.graph() else { return Ok(None) };
        let mut results = graph.stages.iter().filter(|stage| stage.output == StageOutput::Result);
        let Some(stage) = results.next().filter(|_| state.is_finished()) else {
            return Ok(None);
        };
        Ok(Some(RunResult {
            outputs: state
                .accepted_outputs(stage.id)
                .map(|(_, output)| output.clone())
                .collect(),
            graph: graph.clone(),
        }))
    }

    /// The row of a run.
    pub async fn run_get(&self, run: RunId) -> Result<Option<RunRow>, Error> {
        Ok(self.shared.store.run_get(run).await?)
    }

    /// Rows of runs, the youngest first: at most `limit` that are older than `before`.
    pub async fn run_list(&self, filter: &RunFilter, before: Option<RunId>, limit: u32) -> Result<Vec<RunRow>, Error> {
        Ok(self.shared.store.run_list(filter, before, limit).await?)
    }

    /// Events of a run in order: at most `limit` that come after `after_seq`.
    pub async fn run_events(&self, run: RunId, after_seq: u64, limit: u32) -> Result<Vec<EventRecord>, Error> {
        Ok(self.shared.store.run_events(run, after_seq, limit).await?)
    }

    /// Ends the control plane: runs that are under way are given back for others to resume, and the clean-up of
    /// finished ones is waited for, within bounds.
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
        self.shared.kill.cancel();
        self.shared.tasks_of_this.close();
        self.shared.tasks_of_this.wait().await;
    }

    fn any_mailbox(&self) -> Option<tokio::sync::mpsc::Sender<Mail>> {
        self.shared.runs().values().next().map(|driven| driven.mailbox.clone())
    }

    fn check_room(&self) -> Result<(), Error> {
        let limit = self.shared.options.max_runs;
        if self.shared.stop.is_cancelled() {
            Err(Error::ShuttingDown)
        } else if self.shared.runs().len() >= limit {
            Err(Error::Busy { limit })
        } else {
            Ok(())
        }
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

fn validate(submission: &Submission) -> Result<(), Error> {
    let invalid = |message: &str| {
        Err(Error::Invalid {
            message: message.to_owned(),
        })
    };
    let settings = &submission.settings;
    if submission.name.trim().is_empty() || submission.name.len() > 200 {
        return invalid("its name must have 1 to 200 bytes");
    }
    if !(1..=100_000).contains(&settings.target_partitions) {
        return invalid("`target_partitions` must lie between 1 and 100000");
    }
    if !(1..=100).contains(&settings.retry.max_attempts) {
        return invalid("`retry.max_attempts` must lie between 1 and 100");
    }
    if settings.attempt_timeout_ms < 100 {
        return invalid("`attempt_timeout_ms` must be at least 100");
    }
    Ok(())
}
