//! What must hold at all times, and in the end.

use std::collections::{BTreeSet, HashSet};

use weir_model::machine::Effect;
use weir_model::{Event, RunOutcome, RunPhase, StageId, TaskMessage, TaskOutput};

use super::{Checked, World, ensure, keys};
use crate::machine::graphs::written;

impl World {
    pub(super) fn check_event(&self, event: &Event) -> Checked {
        match event {
            Event::TaskAccepted {
                task,
                stage_attempt,
                output,
                ..
            } => {
                let twice = self.events().any(|other| {
                    matches!(other, Event::TaskAccepted { task: t, stage_attempt: a, .. }
                        if (t, a) == (task, stage_attempt))
                });
                ensure!(
                    self,
                    !twice,
                    "task {task} is accepted twice in attempt {stage_attempt} of its stage"
                );
                let discarded = keys(output).find(|key| self.discarded.contains(key));
                ensure!(self, discarded.is_none(), "{discarded:?} is accepted, and was deleted");
            }
            Event::TaskDispatched { task, attempt, .. } => {
                let later = self.events().any(|other| {
                    matches!(other, Event::TaskDispatched { task: t, attempt: a, .. } if t == task && a >= attempt)
                });
                ensure!(self, !later, "the epoch of task {task} does not grow");
            }
            Event::StageStarted { stage, tasks } => {
                let covered: Vec<u32> = tasks.iter().cloned().flatten().collect();
                let partitions = self.graph.stages[stage.0 as usize].partitions;
                ensure!(
                    self,
                    covered == (0..partitions).collect::<Vec<_>>(),
                    "stage {stage} runs {covered:?}"
                );
            }
            Event::AttemptFailed {
                attempt,
                task,
                execution: Some(_),
                ..
            } => {
                let sent = self.events().any(|other| {
                    matches!(other, Event::TaskDispatched { task: t, attempt: a, .. } if (t, a) == (task, attempt))
                });
                ensure!(self, sent, "attempt {attempt} of task {task} was never sent");
            }
            _ => {}
        }
        Ok(())
    }

    pub(super) fn check_effect(&self, effect: &Effect) -> Checked {
        match effect {
            Effect::Dispatch { message, .. } => self.check_inputs(message),
            Effect::Commit => {
                ensure!(
                    self,
                    self.state.phase() == RunPhase::Committing,
                    "a commit while {:?}",
                    self.state.phase()
                );
                Ok(())
            }
            Effect::Abort => {
                ensure!(
                    self,
                    self.state.phase() == RunPhase::Stopping,
                    "an abort while {:?}",
                    self.state.phase()
                );
                Ok(())
            }
            Effect::Cleanup => {
                ensure!(
                    self,
                    self.state.is_finished(),
                    "clean-up while {:?}",
                    self.state.phase()
                );
                Ok(())
            }
            Effect::Discard(output) => self.check_discard(output),
            Effect::Plan | Effect::WriteManifest { .. } => Ok(()),
        }
    }

    pub(super) fn check_discard(&self, output: &TaskOutput) -> Checked {
        let live = (0..self.graph.stages.len() as u32)
            .flat_map(|stage| self.state.accepted_outputs(StageId(stage)))
            .flat_map(|(_, output)| keys(output));
        let live: HashSet<String> = live.collect();
        let wanted = keys(output).find(|key| live.contains(key));
        ensure!(self, wanted.is_none(), "{wanted:?} is accepted and to be deleted");
        Ok(())
    }

    /// The manifests that a message names were complete when it was sent.
    pub(super) fn check_inputs(&self, message: &TaskMessage) -> Checked {
        for input in &message.inputs {
            let manifest = self.written.get(&(input.stage, input.stage_attempt));
            ensure!(
                self,
                manifest.is_some(),
                "task {} reads the manifest {input:?}, which is not there",
                message.task
            );
        }
        Ok(())
    }

    pub(super) fn check_end(&self) -> Checked {
        let finished = self
            .events()
            .filter(|event| matches!(event, Event::Finished { .. }))
            .count();
        ensure!(self, finished == 1, "the run finished {finished} times");
        if self.state.outcome() != Some(RunOutcome::Succeeded) {
            ensure!(
                self,
                self.visible.is_none(),
                "a run that did not succeed shows an output"
            );
            ensure!(self, self.state.reason().is_some(), "nobody says why");
            return Ok(());
        }
        for stage in self.sinks() {
            let files = self
                .visible
                .as_ref()
                .and_then(|visible| visible.get(&stage))
                .map_or(&[][..], Vec::as_slice);
            let targets: BTreeSet<_> = files.iter().map(|file| &file.target).collect();
            ensure!(self, targets.len() == files.len(), "stage {stage} shows a file twice");
            let rows: u64 = files.iter().map(|file| file.rows).sum();
            let partitions = self.graph.stages[stage.0 as usize].partitions;
            let expected: u64 = (0..partitions).map(|partition| written(stage, partition)).sum();
            ensure!(self, rows == expected, "stage {stage} shows {rows} rows of {expected}");
        }
        Ok(())
    }
}
