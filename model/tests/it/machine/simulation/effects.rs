//! What control planes do after they have decided: step by step, so that they may die or be too late in between.

use std::collections::BTreeMap;
use std::rc::Rc;

use weir_model::machine::{Effect, Input};
use weir_model::{Failure, FailureKind, OutputFile, OutputManifest, RunOutcome, ShuffleObject, StageId, StageOutput};

use super::planes::Plane;
use super::storage::path;
use super::world::{Action, Checked, World, ensure, note};

/// An effect that is being carried out.
pub(super) struct Effort {
    pub(super) plane: usize,
    pub(super) epoch: u64,
    incarnation: u32,
    effect: Effect,
    since: u64,
    steps_done: usize,
    /// With [`Effect::WriteManifest`]: the objects.
    objects: Vec<ShuffleObject>,
    /// With [`Effect::Commit`]: the files.
    files: Vec<(StageId, OutputFile)>,
}

/// What follows a step.
enum Then {
    NextStep,
    /// Nothing happened: it is tried again a little later.
    Wait,
    Done(Option<Input>),
}

impl World {
    pub(super) fn begin_effects(&mut self, plane: usize, effects: Vec<Effect>) {
        for effect in effects {
            let Plane {
                incarnation, driver, ..
            } = &mut self.planes[plane];
            let Some(driver) = driver else { return };
            let mut effort = Effort {
                plane,
                epoch: driver.epoch,
                incarnation: *incarnation,
                since: self.now,
                steps_done: 0,
                objects: Vec::new(),
                files: Vec::new(),
                effect,
            };
            match &effort.effect {
                Effect::Dispatch { message, .. } => {
                    driver.unsent.extend(driver.dispatch_of(message.task, message.attempt));
                }
                Effect::WriteManifest { stage, .. } => {
                    let outputs = driver.state.accepted_outputs(*stage);
                    effort.objects = outputs.filter_map(|(_, output)| output.shuffle.clone()).collect();
                }
                Effect::Commit => {
                    for stage in sinks(&self.scenario.graph) {
                        let outputs = driver.state.accepted_outputs(stage);
                        let files = outputs.flat_map(|(_, output)| output.files.iter().cloned());
                        effort.files.extend(files.map(|file| (stage, file)));
                    }
                }
                _ => {}
            }
            let id = self.id();
            self.effects.insert(id, effort);
            self.next_step(id);
        }
    }

    fn next_step(&mut self, id: u64) {
        let within = match self.strikes(|faults| faults.effect_late) {
            true => 300,
            false => 4,
        };
        self.soon(within, Action::Effect(id));
    }

    /// Does the next step of an effect.
    pub(super) fn carry_on(&mut self, id: u64) -> Checked {
        let Some(mut effort) = self.effects.remove(&id) else {
            return Ok(());
        };
        let current = self.drives(&effort);
        if !current {
            self.saw("a former owner goes on");
        }
        match self.do_step(&mut effort)? {
            Then::NextStep => {
                effort.steps_done += 1;
                self.effects.insert(id, effort);
                self.next_step(id);
            }
            Then::Wait => {
                self.effects.insert(id, effort);
                self.soon(20, Action::Effect(id));
            }
            Then::Done(answer) => {
                if let Some(answer) = answer.filter(|_| current) {
                    self.tell(effort.plane, answer, None);
                }
            }
        }
        Ok(())
    }

    /// Whether who began it still believes to drive the run.
    fn drives(&self, effort: &Effort) -> bool {
        let plane = &self.planes[effort.plane];
        let driver = plane.driver.as_ref();
        plane.incarnation == effort.incarnation && driver.is_some_and(|driver| driver.epoch == effort.epoch)
    }

    fn do_step(&mut self, effort: &mut Effort) -> Checked<Then> {
        match &effort.effect {
            Effect::Plan => Ok(Then::Done(Some(Input::Planned(Box::new(self.scenario.graph.clone()))))),
            Effect::Dispatch { message, not_before } => {
                self.ledger.check_inputs(message)?;
                let time = self.time_of(effort.plane);
                let wait_ms = not_before.map_or(0, |from| from.ms_since(time)).min(1_000);
                let message = message.as_ref().clone();
                if let Some(driver) = &mut self.planes[effort.plane].driver
                    && let Some(seq) = driver.dispatch_of(message.task, message.attempt)
                {
                    driver.unsent.remove(&seq);
                }
                self.send_task(message, wait_ms);
                Ok(Then::Done(None))
            }
            Effect::WriteManifest { stage, stage_attempt } => {
                let at = (*stage, *stage_attempt);
                if self.strikes(|faults| faults.effect_fails) {
                    return Ok(Then::Done(Some(Input::CommitFailed(storage_down()))));
                }
                let objects = Rc::new(std::mem::take(&mut effort.objects));
                note!(self, "the manifest {at:?} is written");
                self.ledger.manifest_written(at, objects.clone())?;
                self.storage.manifests.insert(at, objects);
                Ok(Then::Done(Some(Input::ManifestWritten {
                    stage: at.0,
                    stage_attempt: at.1,
                })))
            }
            Effect::Commit => self.commit_step(effort),
            Effect::Abort => Ok(self.abort_step(effort)),
            Effect::Discard(output) => {
                self.saw("an output is deleted");
                self.ledger.discarded(output)?;
                for key in super::storage::keys(output) {
                    note!(self, "{key} is deleted");
                }
                self.storage.delete(output);
                Ok(Then::Done(None))
            }
            Effect::Withdraw { pauses } => {
                note!(self, "messages of {pauses} pauses are withdrawn");
                self.storage.withdrawn.insert(*pauses);
                Ok(Then::Done(None))
            }
            Effect::Cleanup => self.cleanup_step(effort),
        }
    }

    /// First every file is put in place, then every manifest is written. A step that was done before changes nothing.
    fn commit_step(&mut self, effort: &Effort) -> Checked<Then> {
        if self.strikes(|faults| faults.effect_fails) {
            self.saw("a commit fails");
            return Ok(Then::Done(Some(Input::CommitFailed(storage_down()))));
        }
        let mut outputs: BTreeMap<StageId, Vec<OutputFile>> = BTreeMap::new();
        for stage in sinks(&self.scenario.graph) {
            outputs.insert(stage, Vec::new());
        }
        for (stage, file) in &effort.files {
            outputs.entry(*stage).or_default().push(file.clone());
        }
        let done = |stage: &StageId, files: &Vec<OutputFile>| self.storage.visible.get(stage) == Some(files);
        if outputs.iter().all(|(stage, files)| done(stage, files)) {
            return Ok(Then::Done(Some(self.committed(outputs))));
        }
        let step = effort.steps_done;
        if step == 0 {
            self.storage.journals.extend(outputs.keys().copied());
            return Ok(Then::NextStep);
        }
        if let Some((stage, file)) = effort.files.get(step - 1) {
            let staged_at = path(file);
            let place = (*stage, file.target.clone());
            if self.storage.staged.remove(staged_at).is_some() {
                note!(self, "{staged_at} is put in place");
                self.storage.in_place.insert(place, staged_at.to_owned());
            } else if self.storage.in_place.get(&place).map(String::as_str) != Some(staged_at) {
                // Only who comes late finds nothing: an abort was there before.
                ensure!(!self.is_owner(effort), "{staged_at} is gone and cannot be made visible");
                return Ok(Then::Done(Some(Input::CommitFailed(storage_down()))));
            }
            return Ok(Then::NextStep);
        }
        let Some((stage, files)) = outputs.iter().nth(step - 1 - effort.files.len()) else {
            // Only who comes late finds that nothing is left of it: an abort was there in between.
            ensure!(!self.is_owner(effort), "a commit with nothing left to do is not done");
            return Ok(Then::Done(Some(Input::CommitFailed(storage_down()))));
        };
        if done(stage, files) {
            return Ok(Then::NextStep);
        }
        if !self.storage.journals.contains(stage) {
            ensure!(!self.is_owner(effort), "the staging folder of {stage} is gone");
            return Ok(Then::Done(Some(Input::CommitFailed(storage_down()))));
        }
        let whole = files.iter().all(|file| {
            let place = (*stage, file.target.clone());
            self.storage.in_place.get(&place).map(String::as_str) == Some(path(file))
        });
        ensure!(whole, "the output of stage {stage} becomes visible in part");
        ensure!(
            !self.storage.visible.contains_key(stage),
            "the output of stage {stage} is committed twice, and differs"
        );
        note!(self, "the output of stage {stage} is visible");
        self.storage.visible.insert(*stage, files.clone());
        Ok(Then::NextStep)
    }

    fn is_owner(&self, effort: &Effort) -> bool {
        self.store.is_current(effort.epoch)
    }

    fn committed(&mut self, outputs: BTreeMap<StageId, Vec<OutputFile>>) -> Input {
        let manifest = |stage: StageId, files: Vec<OutputFile>| OutputManifest {
            run: self.store.truth.run(),
            transform: format!("sink{stage}"),
            rows: files.iter().map(|file| file.rows).sum(),
            bytes: files.iter().map(|file| file.bytes).sum(),
            files: files.into_iter().map(|file| file.target).collect(),
        };
        let manifests: Vec<_> = outputs
            .into_iter()
            .map(|(stage, files)| manifest(stage, files))
            .collect();
        // The staging folders go, with whatever others have left there.
        self.remove_staging();
        Input::Committed(manifests)
    }

    fn remove_staging(&mut self) {
        self.storage.staged.clear();
        self.storage.journals.clear();
    }

    fn abort_step(&mut self, effort: &Effort) -> Then {
        if effort.steps_done == 0 {
            self.storage.cancelled = true;
            return Then::NextStep;
        }
        if self.waits_for_executions(effort) {
            return Then::Wait;
        }
        note!(self, "what was staged is deleted");
        self.storage.visible.clear();
        self.storage.in_place.clear();
        self.remove_staging();
        self.ledger.staging_deleted_at = self.now;
        Then::Done(Some(Input::Aborted))
    }

    fn waits_for_executions(&self, effort: &Effort) -> bool {
        let driver = self.planes[effort.plane].driver.as_ref();
        let busy = driver.is_some_and(|driver| !driver.executions.is_empty());
        busy && self.now < effort.since + self.scenario.times.grace
    }

    fn cleanup_step(&mut self, effort: &Effort) -> Checked<Then> {
        if effort.steps_done == 0 && self.waits_for_executions(effort) {
            self.storage.cancelled = true;
            return Ok(Then::NextStep);
        }
        if self.waits_for_executions(effort) {
            return Ok(Then::Wait);
        }
        note!(self, "the objects of the run are deleted");
        let kept = self.store.truth.outcome() == Some(RunOutcome::Succeeded);
        let graph = &self.scenario.graph;
        self.storage.objects.retain(|_, written| {
            let output = &graph.stages[written.stage.0 as usize].output;
            kept && *output == StageOutput::Result
        });
        self.storage.manifests.clear();
        self.storage.plans_gone = true;
        self.storage.cancelled = false;
        self.ledger.cleaned_at = self.now;
        self.store.cleaned(effort.epoch);
        if self.drives(effort) {
            self.planes[effort.plane].driver = None;
        }
        Ok(Then::Done(None))
    }
}

pub(super) fn sinks(graph: &weir_model::StageGraph) -> impl Iterator<Item = StageId> {
    let sinks = graph
        .stages
        .iter()
        .filter(|stage| matches!(stage.output, StageOutput::Sink(_)));
    sinks.map(|stage| stage.id)
}

fn storage_down() -> Failure {
    Failure::new(FailureKind::Platform, "storage", "the storage is down")
}
