//! Carrying effects out. Each is a task of its own, safe to repeat, whose answer is an input.

use futures::{FutureExt as _, TryFutureExt as _};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinError};
use tracing::Instrument as _;
use weir_model::machine::{Effect, Input};
use weir_model::{
    Failure, FailureKind, RunId, RunOutcome, RunPhase, StageId, StageManifest, StageOutput, StorageRequests,
    TaskMessage, TaskOutput, Timestamp, layout,
};
use weir_platform::output::{self, SinkOutput};
use weir_platform::{QueueError, SendMessage, Storage, StorageError, clock};

use super::Driver;
use super::kept::Kept;
use super::retry::{Backoff, retry};
use crate::history::{self, Ended};
use crate::leases;
use crate::shared::Shared;
use crate::traces::span;
use crate::vitals::Unsent;

/// Objects that one request to the storage lists or deletes.
const PER_REQUEST: usize = 1_000;
/// Task messages in one call of the queue.
const SEND_BATCH: usize = 1_000;

/// What came of an effect.
pub(super) enum Outcome {
    /// Nothing that the machine has to know.
    Done,
    /// Task messages were sent that were begun with at these cursors of the outbox.
    Sent(Vec<u64>),
    /// An answer.
    Input(Box<Input>),
    /// The objects of the finished run are deleted, and the store knows.
    Cleaned,
}

impl Outcome {
    fn input(input: Input) -> Self {
        Self::Input(Box::new(input))
    }
}

/// The outcome of an effect's task.
pub(super) fn joined(result: Result<Outcome, JoinError>) -> Outcome {
    match result {
        Ok(outcome) => outcome,
        // Effects catch their panics, so that this is the abort of one that nobody waits for.
        Err(_) => Outcome::Done,
    }
}

type Dispatch = (Box<TaskMessage>, Option<Timestamp>);

impl Driver {
    /// Starts effects.
    pub(super) fn perform(&mut self, effects: Vec<Effect>) {
        let mut dispatches = Vec::new();
        for effect in effects {
            match effect {
                Effect::Plan => self.plan(),
                Effect::Dispatch { message, not_before } => dispatches.push((message, not_before)),
                Effect::WriteManifest { stage, stage_attempt } => self.write_manifest(stage, stage_attempt),
                Effect::Commit => self.commit(),
                Effect::Abort => self.abort(),
                Effect::Withdraw { pauses } => self.withdraw(pauses),
                Effect::Discard(output) => self.discard(*output),
                Effect::Cleanup => self.clean_up(),
            }
        }
        self.trace(&mut dispatches);
        let before = self.outbox.begin(dispatches.len());
        for (message, not_before) in dispatches {
            let is_copy = !self.state.message_kept_back(message.task);
            self.kept.push(*message, not_before, before, is_copy);
        }
    }

    /// Sends the messages that the gate lets through.
    pub(super) fn send_on(&mut self) {
        let now = clock::now();
        if self.state.phase() != RunPhase::Running || self.state.is_paused() {
            for kept in self.kept.drain() {
                self.outbox.end(kept.before);
            }
        }
        self.kept.wake(now);
        let mut sending = Vec::new();
        loop {
            let in_flight = self.state.tasks_under_way().saturating_sub(self.kept.tasks());
            let granted = self.place.pass(self.kept.ready(), in_flight);
            let mut used = 0;
            while used < granted
                && let Some(kept) = self.kept.pop()
            {
                if self.state.is_awaited(kept.task, kept.stage_attempt(), kept.attempt) {
                    self.state.message_sent(kept.task, now);
                    sending.push(kept);
                    used += 1;
                } else {
                    self.outbox.end(kept.before);
                }
            }
            // What was not used goes back, and others may have it.
            if used == granted {
                break;
            }
        }
        self.sent = self.state.tasks_under_way().saturating_sub(self.kept.tasks());
        if sending.is_empty() {
            return;
        }
        let span = span!("dispatch", self.trace, self.run);
        let shared = self.shared.clone();
        let unsent = Unsent::new(shared.clone(), sending.len());
        // After a panic the cursor stays where it is.
        let sent = async move {
            send(shared, &sending).await;
            drop(unsent);
            Outcome::Sent(sending.iter().map(|kept| kept.before).collect())
        };
        self.start(|_| Outcome::Done, sent.instrument(span));
    }

    /// Says in task messages which stage's span their tasks are part of.
    fn trace(&self, dispatches: &mut [Dispatch]) {
        let mut last = None;
        for (message, _) in dispatches {
            let stage = (message.task.stage, message.stage_attempt);
            let known = last.take().filter(|(known, _)| *known == stage);
            let (_, parent) = known.unwrap_or_else(|| (stage, self.trace.of_stage(stage.0, stage.1).to_string()));
            message.traceparent = Some(parent.clone());
            last = Some((stage, parent));
        }
    }

    /// Runs an effect; a panic becomes what `failed` makes of it.
    fn start(
        &mut self,
        failed: impl FnOnce(Failure) -> Outcome + Send + 'static,
        effect: impl Future<Output = Outcome> + Send + 'static,
    ) -> AbortHandle {
        let run = self.run;
        self.effects.spawn(async move {
            match AssertUnwindSafe(effect).catch_unwind().await {
                Ok(outcome) => outcome,
                Err(_) => {
                    tracing::error!(%run, "an effect panicked; the panic is above");
                    failed(Failure::new(
                        FailureKind::Platform,
                        "internal_error",
                        "weir has a bug: the control plane panicked; its log says where",
                    ))
                }
            }
        })
    }

    /// As [`start`](Self::start), within the bound on effects that are under way.
    fn start_bounded(
        &mut self,
        failed: impl FnOnce(Failure) -> Outcome + Send + 'static,
        effect: impl Future<Output = Outcome> + Send + 'static,
    ) {
        let shared = self.shared.clone();
        self.start(failed, async move {
            // The semaphore is never closed.
            let _permit = shared.effects.acquire().await;
            effect.await
        });
    }

    fn plan(&mut self) {
        let Some(submission) = self.state.submission().cloned() else {
            return;
        };
        let (shared, storage, run) = (self.shared.clone(), self.storage.clone(), self.run);
        let failed = |failure| Outcome::input(Input::PlanFailed(failure));
        let span = span!("plan", self.trace, self.run);
        let planned = async move {
            let passing = |failed: &Failed| failed.0.kind == FailureKind::Platform;
            let plan = || shared.planner.plan(run, &submission, &storage).map_err(Failed);
            match retry!("plan the run", passing, plan()) {
                Ok(graph) => Outcome::input(Input::Planned(Box::new(graph))),
                Err(Failed(failure)) => Outcome::input(Input::PlanFailed(failure)),
            }
        };
        let planning = self.start(failed, planned.instrument(span));
        self.planning = Some(planning);
    }

    fn write_manifest(&mut self, stage: StageId, stage_attempt: u32) {
        let outputs = self.state.accepted_outputs(stage);
        let manifest = StageManifest::new(outputs.filter_map(|(_, output)| output.shuffle.as_ref()));
        let bytes = bytes::Bytes::from(manifest.to_bytes());
        let key = layout::manifest_key(self.run, stage, stage_attempt);
        let storage = self.storage.clone();
        let failed = |failure| Outcome::input(Input::CommitFailed(failure));
        self.start_bounded(failed, async move {
            let put = || storage.put(&key, bytes.clone());
            match retry!("write a stage manifest", StorageError::is_transient, put()) {
                Ok(()) => Outcome::input(Input::ManifestWritten { stage, stage_attempt }),
                Err(error) => Outcome::input(Input::CommitFailed(storage_failure(&error))),
            }
        });
    }

    /// The sinks of the run, and what the accepted attempts staged for each.
    fn sink_outputs(&self) -> Vec<SinkOutput> {
        let stages = self.state.graph().map_or(&[][..], |graph| &graph.stages);
        let output = |stage: &weir_model::Stage| {
            let StageOutput::Sink(sink) = &stage.output else {
                return None;
            };
            let accepted = self.state.accepted_outputs(stage.id);
            Some(SinkOutput {
                sink: sink.clone(),
                files: accepted.flat_map(|(_, output)| output.files.iter().cloned()).collect(),
            })
        };
        stages.iter().filter_map(output).collect()
    }

    fn commit(&mut self) {
        let (run, outputs) = (self.run, self.sink_outputs());
        let (shared, lease, lost) = (self.shared.clone(), self.lease.clone(), self.lost.clone());
        let storage = self.storage.clone();
        let failed = |failure| Outcome::input(Input::CommitFailed(failure));
        let span = span!("commit", self.trace, self.run);
        let committed = async move {
            if !leases::confirm(&shared, &lease).await {
                lost.cancel();
                return Outcome::Done;
            }
            let commit = || output::commit(storage.s3(), run, outputs.clone());
            match retry!("commit the outputs", output::Error::is_transient, commit()) {
                Ok(manifests) => Outcome::input(Input::Committed(manifests)),
                Err(error) => Outcome::input(Input::CommitFailed(error.to_failure())),
            }
        };
        self.start_bounded(failed, committed.instrument(span));
    }

    fn abort(&mut self) {
        // Nobody waits for a plan any more.
        if let Some(planning) = self.planning.take() {
            planning.abort();
        }
        let sinks: Vec<_> = self.sink_outputs().into_iter().map(|output| output.sink).collect();
        let (storage, run) = (self.storage.clone(), self.run);
        let ended = self.executions_end();
        let aborted = |_| Outcome::input(Input::Aborted);
        self.start(aborted, async move {
            stop_workers(&storage, run).await;
            let _ended = ended.await;
            let abort = || output::abort(storage.s3(), sinks.clone());
            if let Err(error) = retry!("delete staged outputs", output::Error::is_transient, abort()) {
                // The run must end nevertheless; what is left is not visible to readers.
                tracing::error!(%run, error = &error as &dyn std::error::Error, "staged outputs are left behind");
            }
            Outcome::input(Input::Aborted)
        });
    }

    /// Waits, within bounds, until all executions that were heard of have ended: they write no more then. Says whether
    /// they have.
    fn executions_end(&self) -> impl Future<Output = bool> + Send + 'static {
        let mut left: watch::Receiver<usize> = self.executions_left.subscribe();
        let grace = self.shared.options.grace();
        async move {
            // Executions of workers that have died never end: whatever they left is deleted all the same.
            let ended = tokio::time::timeout(grace, left.wait_for(|left| *left == 0)).await;
            ended.is_ok_and(|left| left.is_ok())
        }
    }

    /// Marks messages as withdrawn for the workers that take them.
    fn withdraw(&mut self, pauses: u32) {
        let (storage, run) = (self.storage.clone(), self.run);
        let key = layout::pause_key(run, pauses);
        self.start_bounded(|_| Outcome::Done, async move {
            let mark = || storage.put(&key, bytes::Bytes::new());
            if let Err(error) = retry!("withdraw task messages", StorageError::is_transient, mark()) {
                // They are begun with, and are no worse for it.
                tracing::warn!(%run, error = &error as &dyn std::error::Error, "task messages were not withdrawn");
            }
            Outcome::Done
        });
    }

    fn discard(&mut self, output: TaskOutput) {
        let (storage, run) = (self.storage.clone(), self.run);
        self.start_bounded(|_| Outcome::Done, async move {
            let keys: Vec<_> = output.shuffle.into_iter().map(|shuffle| shuffle.key).collect();
            let delete = || storage.delete(keys.clone());
            if let Err(error) = retry!("discard an output", StorageError::is_transient, delete()) {
                tracing::warn!(%run, error = &error as &dyn std::error::Error, "left an object behind");
            }
            let files = output.files;
            let delete = || output::discard(storage.s3(), files.clone());
            if let Err(error) = retry!("discard an output", output::Error::is_transient, delete()) {
                tracing::warn!(%run, error = &error as &dyn std::error::Error, "left a file behind");
            }
            Outcome::Done
        });
    }

    /// Writes the run's history, and then deletes its objects, by prefix since executions that crashed told nobody what
    /// they wrote. Its mark stays for whoever takes a message of it later, or goes on with one; housekeeping deletes it.
    fn clean_up(&mut self) {
        let (shared, lease, run) = (self.shared.clone(), self.lease.clone(), self.run);
        let (busy, ended) = (!self.executions.is_empty(), self.executions_end());
        let sinks: Vec<_> = self.sink_outputs().into_iter().map(|output| output.sink).collect();
        let kept = self.state.outcome() == Some(RunOutcome::Succeeded);
        let marked = !kept && self.state.may_have_messages();
        let (mut prefixes, mut keys) = (Vec::new(), Vec::new());
        let mut takes = StorageRequests::default();
        if self.state.has_paused() {
            prefixes.push(layout::pause_prefix(run));
            takes.add(&clearing(1));
        }
        let stages = self.state.graph().map_or(&[][..], |graph| &graph.stages);
        let (result, spent): (Vec<_>, Vec<_>) = stages
            .iter()
            .partition(|stage| kept && stage.output == StageOutput::Result);
        let outputs = result.iter().flat_map(|stage| self.state.accepted_outputs(stage.id));
        let spans = outputs.flat_map(|(_, output)| output.shuffle.iter().flat_map(|object| &object.index));
        let kept_bytes = spans.map(|span| span.length).fold(0, u64::saturating_add);
        for stage in spent {
            if result.iter().all(|result| result.plan.digest != stage.plan.digest) {
                keys.push(layout::plan_key(run, &stage.plan.digest));
            }
            prefixes.push(layout::shuffle_prefix(run, stage.id));
            let objects = self.state.accepted_outputs(stage.id);
            takes.add(&clearing(
                objects.filter(|(_, output)| output.shuffle.is_some()).count(),
            ));
            let attempts = self
                .state
                .stage_attempt(stage.id)
                .map_or(0..0, |latest| 0..latest.saturating_add(1));
            keys.extend(attempts.map(|attempt| layout::manifest_key(run, stage.id, attempt)));
        }
        // With that of the mark.
        takes.delete += (keys.len() + 1).div_ceil(PER_REQUEST) as u64;
        let over = Ended::of(&self.state).map(|ended| Ended {
            clean_up: takes,
            ..ended
        });
        self.start(|_| Outcome::Done, async move {
            if let Some(ended) = over {
                write_history(&shared, ended).await;
            }
            if busy {
                // What they run was done by others meanwhile, or was given up: slow attempts that were overtaken.
                stop_workers(&shared.storage, run).await;
            }
            let ended = ended.await;
            if kept || (ended && !marked) {
                keys.push(layout::cancel_key(run));
            }
            let unstage = || output::remove_staged(shared.storage.s3(), sinks.clone());
            if busy && let Err(error) = retry!("delete staged outputs", output::Error::is_transient, unstage()) {
                tracing::warn!(%run, error = &error as &dyn std::error::Error, "staged outputs are left behind");
            }
            let delete = || async {
                for prefix in &prefixes {
                    shared.storage.delete_prefix(prefix).await?;
                }
                shared.storage.delete(keys.clone()).await
            };
            if let Err(error) = retry!("delete objects", StorageError::is_transient, delete()) {
                tracing::error!(%run, error = &error as &dyn std::error::Error, "objects are left behind");
            }
            if let Err(error) = shared.store.run_cleaned(&lease, kept_bytes).await {
                // The run is over; whoever resumes it will delete what is left, which is nothing.
                tracing::warn!(%run, error = &error as &dyn std::error::Error, "cannot note the clean-up");
            }
            Outcome::Cleaned
        });
    }
}

/// Requests that it takes to clear a prefix of so many objects: to list them, to delete them, and to look for uploads.
fn clearing(objects: usize) -> StorageRequests {
    let requests = objects.div_ceil(PER_REQUEST) as u64;
    StorageRequests {
        list: requests.max(1) + 1,
        delete: requests,
        ..StorageRequests::default()
    }
}

/// Writes the history of a run, however long that takes: until it is there, the run is not cleaned up, and the log tells
/// of it. When this process ends before, another one does it.
async fn write_history(shared: &Shared, ended: Ended) {
    let run = ended.snapshot.run;
    let mut backoff = Backoff::new();
    loop {
        let written = {
            // The semaphore is never closed.
            let _permit = shared.effects.acquire().await;
            history::write(&*shared.store, &shared.storage, ended.clone()).await
        };
        match written {
            Ok(()) => return,
            Err(error) => {
                tracing::error!(%run, error = &error as &dyn std::error::Error, "cannot write the history of a run; trying again");
                backoff.wait().await;
            }
        }
    }
}

/// Marks a run as over for the workers that still run tasks of it.
async fn stop_workers(storage: &Storage, run: RunId) {
    let key = layout::cancel_key(run);
    let mark = || storage.put(&key, bytes::Bytes::new());
    if let Err(error) = retry!("tell workers to stop", StorageError::is_transient, mark()) {
        tracing::warn!(%run, error = &error as &dyn std::error::Error, "workers were not told to stop");
    }
}

/// Sends task messages, waiting for room as long as the run is driven. What cannot be sent for another reason is
/// missed and sent again by the machine.
async fn send(shared: Arc<Shared>, messages: &[Kept]) {
    let passing = |error: &QueueError| !matches!(error, QueueError::Full { .. });
    for batch in messages.chunks(SEND_BATCH) {
        let mut room = Backoff::new();
        let send = || shared.tasks.send(batch.iter().map(message).collect());
        loop {
            match retry!("send task messages", passing, send()) {
                Ok(()) => break,
                Err(QueueError::Full { .. }) => room.wait().await,
                Err(error) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "task messages were not sent");
                    break;
                }
            }
        }
    }
}

fn message(kept: &Kept) -> SendMessage {
    let message = kept.message();
    let body = serde_json::to_string(&message).expect("a task message is made of numbers and words");
    SendMessage {
        traceparent: message.traceparent,
        ..SendMessage::new(body, message.namespace.to_string())
    }
}

fn storage_failure(error: &StorageError) -> Failure {
    let source = &error.source;
    Failure::new(FailureKind::Platform, "storage_failed", format!("{error}: {source}"))
}

/// A failure as an error, for [`retry`].
#[derive(Debug)]
struct Failed(Failure);

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for Failed {}
