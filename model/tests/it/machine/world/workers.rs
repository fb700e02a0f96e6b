//! The queue, the workers that take messages from it, and the storage they write to.

use weir_model::{
    ExecutionId, Failure, FailureKind, InputRef, LostShuffle, OutputFile, PartitionSpan, ReportBody, ShuffleObject,
    StageId, StageOutput, Staged, TaskMessage, TaskMetrics, TaskOutput, TaskReport, Timestamp, WorkerId, layout,
};

use super::{Checked, Execution, World, ensure, keys};
use crate::machine::graphs::{made, written};

impl World {
    pub(super) fn take_message(&mut self) -> Checked {
        if self.queue.is_empty() {
            return Ok(());
        }
        let position = self.pick(self.queue.len());
        let (message, from) = self.queue[position].clone();
        if from > self.now {
            return Ok(());
        }
        let fate = self.pick(20);
        // Delivered and left to be delivered again, lost, or delivered once.
        if fate != 18 {
            self.queue.remove(position);
        }
        if fate == 19 {
            self.saw("a message is lost");
            self.note(format!(
                "lost the message of task {} attempt {}",
                message.task, message.attempt
            ));
            return Ok(());
        }
        let says_so = !self.chance(10);
        self.execute(message, says_so)
    }

    pub(super) fn execute(&mut self, message: TaskMessage, says_so: bool) -> Checked {
        self.check_inputs(&message)?;
        let id = ExecutionId::from_parts(self.now, self.id());
        let worker = WorkerId::from_parts(Timestamp(1), u128::from(message.task.index % 3));
        let execution = Execution { message, id, worker };
        if says_so {
            self.reports.push(execution.report(ReportBody::Started));
        }
        self.executions.push(execution);
        Ok(())
    }

    pub(super) fn step_execution(&mut self) -> Checked {
        if self.executions.is_empty() {
            return Ok(());
        }
        let position = self.pick(self.executions.len());
        let execution = self.executions.swap_remove(position);
        let body = match self.pick(24) {
            0..=3 => {
                let metrics = TaskMetrics {
                    rows_in: 1,
                    ..TaskMetrics::default()
                };
                self.reports.push(execution.report(ReportBody::Progress { metrics }));
                self.executions.push(execution);
                return Ok(());
            }
            4..=5 => {
                self.note(format!("{} died", execution.name()));
                // The queue may find out; if it does not, the control plane will.
                if self.chance(50) {
                    self.queue.push((execution.message, self.now.plus_ms(50)));
                }
                return Ok(());
            }
            6 if self.faults.platform => Failure::new(FailureKind::Platform, "disk_full", "the disk is full"),
            7 if self.faults.platform => Failure::new(FailureKind::Cancelled, "cancelled", "the worker shuts down"),
            8 if self.faults.user && self.chance(20) => Failure::new(FailureKind::User, "wasm_trap", "unreachable"),
            9 if self.faults.lost_objects => match self.false_alarm(&execution.message) {
                Some(failure) => failure,
                None => return self.finish(execution),
            },
            _ => return self.finish(execution),
        };
        self.note(format!("{} fails: {}", execution.name(), body.code));
        self.reports.push(execution.report(ReportBody::Failed {
            failure: body,
            metrics: TaskMetrics::default(),
        }));
        Ok(())
    }

    /// A failure that says that objects are gone which are there, or that the task has nothing to do with.
    pub(super) fn false_alarm(&mut self, message: &TaskMessage) -> Option<Failure> {
        let InputRef { stage, stage_attempt } = *message.inputs.first()?;
        let manifest = self.manifests.get(&(stage, stage_attempt))?;
        let objects = match manifest.first() {
            Some(object) => vec![object.key.clone()],
            None => vec!["nonsense".to_owned()],
        };
        Some(lost(stage, stage_attempt, objects))
    }

    /// Runs a task to its end: reads its inputs, writes its output, reports.
    pub(super) fn finish(&mut self, execution: Execution) -> Checked {
        for input in &execution.message.inputs {
            let at = (input.stage, input.stage_attempt);
            let mut gone = match self.manifests.get(&at) {
                None => vec![layout::manifest_key(self.state.run(), at.0, at.1)],
                Some(manifest) => {
                    for object in manifest {
                        ensure!(
                            self,
                            self.accepted.contains(&object.key),
                            "{} was never accepted",
                            object.key
                        );
                    }
                    let keys = manifest.iter().map(|object| &object.key);
                    keys.filter(|key| !self.objects.contains(*key)).cloned().collect()
                }
            };
            if !gone.is_empty() {
                // It may have read on, or not.
                if self.chance(60) {
                    let first = self.pick(gone.len());
                    gone = vec![gone.swap_remove(first)];
                }
                self.note(format!("{} finds that {gone:?} is gone", execution.name()));
                let failure = lost(at.0, at.1, gone);
                self.reports.push(execution.report(ReportBody::Failed {
                    failure,
                    metrics: TaskMetrics::default(),
                }));
                return Ok(());
            }
        }
        let output = self.write(&execution);
        self.note(format!("{} is done", execution.name()));
        self.reports.push(execution.report(ReportBody::Succeeded { output }));
        Ok(())
    }

    pub(super) fn write(&mut self, execution: &Execution) -> TaskOutput {
        let TaskMessage { task, partitions, .. } = execution.message.clone();
        let key = layout::shuffle_key(self.state.run(), task, execution.id);
        let mut output = TaskOutput::default();
        match self.graph.stages[task.stage.0 as usize].output {
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
                let rows = partitions.map(|partition| written(task.stage, partition)).sum();
                let target = format!("/out/{}/part-{}", task.stage, task.index);
                output.files = vec![OutputFile {
                    target,
                    staged: Staged::File { path: key },
                    rows,
                    bytes: rows,
                }];
            }
            StageOutput::Discard => {}
        }
        self.objects.extend(keys(&output));
        output
    }

    pub(super) fn lose_object(&mut self) {
        if self.chance(20) && !self.manifests.is_empty() {
            let position = self.pick(self.manifests.len());
            let at = *self.manifests.keys().nth(position).expect("a manifest");
            self.note(format!("the manifest {at:?} is gone"));
            self.manifests.remove(&at);
        } else {
            // Staged files do not get lost: there would be nothing to make them again.
            let shuffles: Vec<_> = self
                .objects
                .iter()
                .filter(|key| !self.is_staged(key))
                .cloned()
                .collect();
            if !shuffles.is_empty() {
                let position = self.pick(shuffles.len());
                self.note(format!("{} is gone", shuffles[position]));
                self.objects.remove(&shuffles[position]);
            }
        }
    }

    pub(super) fn is_staged(&self, key: &str) -> bool {
        let stage = key
            .split('/')
            .nth(3)
            .and_then(|stage| stage.parse::<usize>().ok())
            .expect("a shuffle key");
        matches!(self.graph.stages[stage].output, StageOutput::Sink(_))
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

    fn report(&self, body: ReportBody) -> TaskReport {
        TaskReport {
            run: self.message.run,
            task: self.message.task,
            stage_attempt: self.message.stage_attempt,
            attempt: self.message.attempt,
            execution: self.id,
            worker: self.worker,
            at: Timestamp(0),
            body,
        }
    }
}

fn lost(stage: StageId, stage_attempt: u32, objects: Vec<String>) -> Failure {
    Failure {
        lost: Some(LostShuffle {
            stage,
            stage_attempt,
            objects,
        }),
        ..Failure::new(FailureKind::ShuffleLost, "object_not_found", "an object is gone")
    }
}
