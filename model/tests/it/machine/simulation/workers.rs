//! The workers: they take messages, read and write the storage, and report.

use std::rc::Rc;

use weir_model::{
    ExecutionId, Failure, FailureKind, LostShuffle, OutputFile, PartitionSpan, ReportBody, ShuffleObject, StageOutput,
    Staged, TaskMessage, TaskMetrics, TaskOutput, TaskReport, Timestamp, WorkerId, layout,
};

use super::world::{Action, Checked, World, note};
use crate::machine::graphs::{made, written};

const SLOTS: u32 = 3;

#[derive(Default)]
pub(super) struct Worker {
    alive: bool,
    running: u32,
    /// Nothing that it says is heard before this time.
    cut_off_until: u64,
}

/// An execution of a task.
pub(super) struct Execution {
    pub(super) message: TaskMessage,
    id: ExecutionId,
    worker: usize,
    /// The message in the queue.
    receipt: u64,
    began_at: u64,
    /// The manifests that it reads, in the order of the message's inputs; nothing where one is gone.
    manifests: Vec<Option<Rc<Vec<ShuffleObject>>>>,
}

impl Worker {
    pub(super) fn begin(&mut self) {
        *self = Self {
            alive: true,
            ..Self::default()
        };
    }
}

impl World {
    pub(super) fn worker_dies(&mut self, worker: usize) {
        if !self.workers[worker].alive {
            return;
        }
        self.saw("a worker dies");
        note!(self, "worker {worker} dies");
        self.workers[worker].alive = false;
        self.executions.retain(|_, execution| execution.worker != worker);
        self.soon(200, Action::WorkerBegins(worker));
    }

    pub(super) fn worker_cut_off(&mut self, worker: usize) {
        self.saw("a worker is cut off");
        let until = self.now + self.rng.between(100, 900);
        note!(self, "worker {worker} is cut off until {until}");
        self.workers[worker].cut_off_until = until;
    }

    pub(super) fn deliver_message(&mut self, id: u64) -> Checked {
        let now = self.now;
        let Some(message) = self.tasks.get_mut(id) else {
            return Ok(());
        };
        if message.visible_at > now {
            let at = message.visible_at;
            self.schedule(at, Action::Message(id));
            return Ok(());
        }
        let body = message.body.clone();
        let first = self.rng.below(self.workers.len() as u64) as usize;
        let candidates = (0..self.workers.len()).map(|offset| (first + offset) % self.workers.len());
        let free = |worker: &usize| {
            let worker = &self.workers[*worker];
            worker.alive && worker.running < SLOTS && worker.cut_off_until <= now
        };
        let Some(worker) = candidates.into_iter().find(free) else {
            self.soon(15, Action::Message(id));
            return Ok(());
        };
        let hidden_ms = self.hidden_for();
        if let Some(message) = self.tasks.get_mut(id) {
            message.receives += 1;
            message.visible_at = now + hidden_ms;
        }
        self.schedule(now + hidden_ms, Action::Message(id));
        self.take(body, worker, id)
    }

    fn take(&mut self, message: TaskMessage, worker: usize, receipt: u64) -> Checked {
        let number = self.id();
        let manifests = message.inputs.iter().map(|input| {
            let manifest = self.storage.manifests.get(&(input.stage, input.stage_attempt));
            manifest.cloned()
        });
        let execution = Execution {
            manifests: manifests.collect(),
            message,
            id: ExecutionId::from_parts(self.true_time(), number.into()),
            worker,
            receipt,
            began_at: self.now,
        };
        note!(self, "worker {worker} takes {}", execution.name());
        if self.storage.cancelled || self.storage.plans_gone {
            let kind = if self.storage.cancelled {
                FailureKind::Cancelled
            } else {
                FailureKind::Platform
            };
            self.fails(&execution, Failure::new(kind, "refused", "the run is over"));
            return Ok(());
        }
        // Workers know of a pause only after a while.
        if self.storage.withdrawn.contains(&execution.message.pauses) && !self.rng.permille(100) {
            self.saw("a message of before a pause is left alone");
            self.done_with(&execution);
            return Ok(());
        }
        if !self.rng.permille(50) {
            self.says(&execution, ReportBody::Started);
        }
        let takes_ms = match self.strikes(|faults| faults.slow) {
            true => {
                self.saw("an execution is slow");
                let (least, most) = self.scenario.times.slow_task;
                self.rng.between(least, most)
            }
            false => {
                let (least, most) = self.scenario.times.task;
                self.rng.between(least, most)
            }
        };
        let heartbeat_ms = self.scenario.times.heartbeat;
        self.workers[worker].running += 1;
        self.executed += 1;
        self.schedule(self.now + takes_ms, Action::Finish(number));
        if takes_ms > heartbeat_ms {
            self.schedule(self.now + heartbeat_ms, Action::Beat(number));
        }
        self.executions.insert(number, execution);
        Ok(())
    }

    pub(super) fn beat(&mut self, id: u64) {
        let Some(execution) = self.executions.get(&id) else {
            return;
        };
        let (worker, receipt) = (execution.worker, execution.receipt);
        self.schedule(self.now + self.scenario.times.heartbeat, Action::Beat(id));
        if self.workers[worker].cut_off_until > self.now {
            return;
        }
        if self.storage.cancelled {
            let Some(execution) = self.executions.remove(&id) else {
                return;
            };
            self.workers[worker].running -= 1;
            self.fails(
                &execution,
                Failure::new(FailureKind::Cancelled, "cancelled", "told to stop"),
            );
            return;
        }
        let (now, visibility_ms) = (self.now, self.scenario.times.visibility);
        if let Some(message) = self.tasks.get_mut(receipt)
            && message.visible_at < now + visibility_ms * 2 / 3
        {
            message.visible_at = now + visibility_ms;
        }
        if let Some(execution) = self.executions.remove(&id) {
            let metrics = TaskMetrics {
                rows_in: 1,
                ..TaskMetrics::default()
            };
            self.says(&execution, ReportBody::Progress { metrics });
            self.executions.insert(id, execution);
        }
    }

    pub(super) fn finish(&mut self, id: u64) -> Checked {
        let Some(execution) = self.executions.remove(&id) else {
            return Ok(());
        };
        self.workers[execution.worker].running -= 1;
        if self.strikes(|faults| faults.fails) {
            let failure = if self.rng.permille(800) {
                Failure::new(FailureKind::Platform, "disk_full", "the disk is full")
            } else {
                Failure::new(FailureKind::Cancelled, "cancelled", "the worker shuts down")
            };
            self.fails(&execution, failure);
            return Ok(());
        }
        if self.strikes(|faults| faults.user) {
            self.fails(&execution, Failure::new(FailureKind::User, "wasm_trap", "unreachable"));
            return Ok(());
        }
        if self.strikes(|faults| faults.false_alarm)
            && let Some(failure) = false_alarm(&execution)
        {
            self.saw("a false alarm");
            self.fails(&execution, failure);
            return Ok(());
        }
        for (input, manifest) in execution.message.inputs.iter().zip(&execution.manifests) {
            let at = (input.stage, input.stage_attempt);
            let Some(manifest) = manifest else {
                let key = layout::manifest_key(self.store.truth.run(), at.0, at.1);
                self.fails(&execution, lost(at, vec![key]));
                return Ok(());
            };
            self.ledger.check_read(at, manifest)?;
            let mut gone: Vec<String> = manifest
                .iter()
                .map(|object| &object.key)
                .filter(|key| !self.storage.objects.contains_key(*key))
                .cloned()
                .collect();
            if !gone.is_empty() {
                // It may have read on, or not.
                if self.rng.permille(600) {
                    gone = vec![gone.swap_remove(self.rng.below(gone.len() as u64) as usize)];
                }
                self.fails(&execution, lost(at, gone));
                return Ok(());
            }
        }
        let mut output = self.output(&execution);
        if self.rng.permille(700) {
            output.metrics.elapsed_us = (self.now - execution.began_at) * 1_000;
        }
        self.storage.put(execution.message.task.stage, &output, self.now);
        note!(self, "{} is done", execution.name());
        self.says(&execution, ReportBody::Succeeded { output });
        self.done_with(&execution);
        Ok(())
    }

    fn fails(&mut self, execution: &Execution, failure: Failure) {
        note!(self, "{} fails: {}", execution.name(), failure.code);
        let metrics = TaskMetrics::default();
        self.says(execution, ReportBody::Failed { failure, metrics });
        self.done_with(execution);
    }

    fn says(&mut self, execution: &Execution, body: ReportBody) {
        let wait_ms = self.workers[execution.worker].cut_off_until.saturating_sub(self.now);
        let report = TaskReport {
            run: execution.message.run,
            task: execution.message.task,
            stage_attempt: execution.message.stage_attempt,
            attempt: execution.message.attempt,
            execution: execution.id,
            worker: WorkerId::from_parts(Timestamp(1), execution.worker as u128),
            at: self.true_time(),
            body,
        };
        self.send_report(report, wait_ms);
    }

    /// Deletes the message, unless the worker is cut off: then somebody else will get it.
    fn done_with(&mut self, execution: &Execution) {
        if self.workers[execution.worker].cut_off_until <= self.now {
            self.tasks.delete(execution.receipt);
        }
    }

    fn output(&self, execution: &Execution) -> TaskOutput {
        let TaskMessage { task, partitions, .. } = &execution.message;
        let key = layout::shuffle_key(execution.message.run, *task, execution.id);
        let mut output = TaskOutput::default();
        match self.scenario.graph.stages[task.stage.0 as usize].output {
            StageOutput::Shuffle { partitions: to } => {
                let mut index = Vec::new();
                let mut offset = 0;
                for partition in 0..to {
                    let length = partitions.clone().map(|from| made(task.stage, from, partition)).sum();
                    if length > 0 {
                        index.push(PartitionSpan {
                            partition,
                            offset,
                            length,
                            rows: length,
                        });
                        offset += length;
                    }
                }
                output.metrics.rows_out = offset;
                if !index.is_empty() {
                    output.shuffle = Some(ShuffleObject { key, index });
                }
            }
            StageOutput::Result => output.shuffle = Some(ShuffleObject { key, index: Vec::new() }),
            StageOutput::Sink(_) => {
                let rows = partitions.clone().map(|partition| written(task.stage, partition)).sum();
                output.metrics.rows_out = rows;
                output.files = vec![OutputFile {
                    target: format!("/out/{}/part-{}", task.stage, task.index),
                    staged: Staged::File { path: key },
                    rows,
                    bytes: rows,
                }];
            }
            StageOutput::Discard => {}
        }
        output
    }
}

impl Execution {
    fn name(&self) -> String {
        let TaskMessage {
            task,
            stage_attempt,
            attempt,
            ..
        } = &self.message;
        format!("{} of task {task} attempt {stage_attempt}/{attempt}", self.id)
    }
}

/// A failure that says that objects are gone which are there, or that the task has nothing to do with.
fn false_alarm(execution: &Execution) -> Option<Failure> {
    let input = execution.message.inputs.first()?;
    let manifest = execution.manifests.first()?.as_ref()?;
    let object = manifest.first().map_or("nonsense", |object| object.key.as_str());
    Some(lost((input.stage, input.stage_attempt), vec![object.to_owned()]))
}

fn lost((stage, stage_attempt): (weir_model::StageId, u32), objects: Vec<String>) -> Failure {
    Failure {
        lost: Some(LostShuffle {
            stage,
            stage_attempt,
            objects,
        }),
        ..Failure::new(FailureKind::ShuffleLost, "object_not_found", "an object is gone")
    }
}
