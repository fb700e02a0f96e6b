//! What must hold at all times, and in the end: kept beside the machine, in other words than its own.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::rc::Rc;

use weir_model::{
    Event, EventRecord, FailureKind, LostShuffle, ReportBody, RunOutcome, ShuffleObject, StageId, StageOutput, TaskId,
    TaskMessage, TaskOutput, TaskReport,
};

use super::effects::sinks;
use super::scenario::{Scenario, Sudden};
use super::storage::{keys, path};
use super::world::{Checked, World, ensure};
use crate::machine::graphs::{made, written};

#[derive(Default)]
pub(super) struct Ledger {
    tasks: HashMap<TaskId, Task>,
    stages: HashMap<StageId, Stage>,
    /// Tasks, each with an attempt of its stage, that were accepted at some time.
    accepted: HashSet<(TaskId, u32)>,
    /// Keys that were accepted at some time.
    accepted_keys: HashSet<String>,
    /// Keys of outputs that a control plane was told of.
    heard_keys: HashSet<String>,
    /// Keys of outputs that count.
    live_keys: HashSet<String>,
    /// Keys that were deleted since nobody had accepted them.
    discarded_keys: HashSet<String>,
    manifests: HashMap<(StageId, u32), Rc<Vec<ShuffleObject>>>,
    completed: HashSet<(StageId, u32)>,
    /// What the event before allows to happen.
    before: Before,
    finished: u32,
    is_paused: bool,
    /// When the objects of the run were last deleted.
    pub(super) cleaned_at: u64,
    /// When the staging folders were last deleted by an abort.
    pub(super) staging_deleted_at: u64,
}

#[derive(Default)]
struct Task {
    under_way: Vec<u32>,
    /// Those of them that somebody is known to run.
    begun: Vec<u32>,
    latest: Option<u32>,
    /// Times that nothing was under way any more after a failure that counts.
    failures: u32,
    accepted: Option<Vec<String>>,
}

#[derive(Default)]
struct Stage {
    tasks: u32,
    attempt: u32,
    accepted: u32,
    /// Tasks with two attempts under way.
    twofold: u32,
    copies: u32,
}

#[derive(Default, PartialEq)]
enum Before {
    #[default]
    Other,
    UserFailed,
    /// Objects of a stage are gone; all of them, when the manifest is.
    ShuffleLost(LostShuffle),
    AttemptsExhausted,
}

impl Ledger {
    /// An event is in the log.
    pub(super) fn appended(&mut self, event: &Event, scenario: &Scenario) -> Checked {
        ensure!(self.finished == 0, "something happens after the end: {event:?}");
        let mut now = Before::Other;
        match event {
            Event::StageStarted { stage, tasks } => {
                ensure!(!self.is_paused, "stage {stage} begins in a pause");
                let covered: Vec<u32> = tasks.iter().cloned().flatten().collect();
                let partitions = scenario.graph.stages[stage.0 as usize].partitions;
                ensure!(
                    covered == (0..partitions).collect::<Vec<_>>(),
                    "stage {stage} runs {covered:?}"
                );
                self.stages.entry(*stage).or_default().tasks = tasks.len() as u32;
            }
            Event::TaskDispatched { .. } => self.dispatched(event, scenario)?,
            Event::AttemptStarted { task, attempt, .. } => {
                let known = self
                    .tasks
                    .get(task)
                    .is_some_and(|task| task.under_way.contains(attempt));
                ensure!(known, "attempt {attempt} of task {task} is not under way, and begins");
                self.tasks.entry(*task).or_default().begun.push(*attempt);
            }
            Event::TaskAccepted { .. } => self.task_accepted(event)?,
            Event::AttemptFailed { .. } => now = self.attempt_failed(event, scenario)?,
            Event::StageReopened { .. } => {
                self.reopened(event)?;
            }
            Event::StageCompleted { stage, stage_attempt } => self.stage_completed(*stage, *stage_attempt, scenario)?,
            Event::Paused { .. } => self.paused()?,
            Event::Resumed { .. } => {
                ensure!(self.is_paused, "the run goes on, and was not paused");
                self.is_paused = false;
            }
            Event::StopStarted { reason } => {
                let timed_out = scenario.submission.settings.timeout_s.is_some() && reason.code == "timeout";
                ensure!(!timed_out || !self.is_paused, "the time of a run that is paused is up");
                let explained = timed_out || self.before != Before::Other || scenario.faults.effect_fails > 0;
                ensure!(explained, "the run is stopped for no reason: {reason:?}");
                let users = self.before == Before::UserFailed;
                ensure!(reason.retryable != users, "the wrong one is blamed: {reason:?}");
            }
            Event::Finished { .. } => self.finished += 1,
            _ => {}
        }
        self.before = now;
        Ok(())
    }

    fn dispatched(&mut self, event: &Event, scenario: &Scenario) -> Checked {
        let Event::TaskDispatched {
            task: id,
            stage_attempt,
            attempt,
            speculative,
            ..
        } = event
        else {
            return Ok(());
        };
        ensure!(!self.is_paused, "task {id} is sent in a pause");
        let stage = self.stages.entry(id.stage).or_default();
        let task = self.tasks.entry(*id).or_default();
        ensure!(task.latest < Some(*attempt), "the epoch of task {id} does not grow");
        ensure!(task.accepted.is_none(), "task {id} is done, and is done again");
        ensure!(
            stage.attempt == *stage_attempt,
            "task {id} is sent for an attempt that is over"
        );
        let settings = &scenario.submission.settings;
        ensure!(
            task.failures < settings.retry.max_attempts,
            "task {id} is tried too often"
        );
        task.latest = Some(*attempt);
        stage.twofold -= u32::from(task.under_way.len() == 2);
        if *speculative {
            ensure!(
                task.under_way.len() == 1,
                "{} attempts are copied",
                task.under_way.len()
            );
            stage.twofold += 1;
            stage.copies += 1;
            let rules = &settings.speculation;
            let enough = f64::from(stage.accepted) >= (f64::from(stage.tasks) * rules.quantile).floor();
            ensure!(
                rules.enabled && enough && stage.accepted > 0 && stage.twofold <= stage.tasks.div_ceil(10),
                "task {id} must not be copied"
            );
        } else {
            task.under_way.clear();
        }
        task.under_way.push(*attempt);
        Ok(())
    }

    /// What nobody is known to run is taken back.
    fn paused(&mut self) -> Checked {
        ensure!(!self.is_paused, "the run is paused twice");
        self.is_paused = true;
        for (id, task) in &mut self.tasks {
            let before = task.under_way.len();
            task.under_way.retain(|attempt| task.begun.contains(attempt));
            if before == 2 && task.under_way.len() < 2 {
                self.stages.entry(id.stage).or_default().twofold -= 1;
            }
        }
        Ok(())
    }

    fn task_accepted(&mut self, event: &Event) -> Checked {
        let Event::TaskAccepted {
            task: id,
            stage_attempt,
            attempt,
            output,
            ..
        } = event
        else {
            return Ok(());
        };
        let stage = self.stages.entry(id.stage).or_default();
        let task = self.tasks.entry(*id).or_default();
        ensure!(
            self.accepted.insert((*id, *stage_attempt)),
            "task {id} is accepted twice in attempt {stage_attempt} of its stage"
        );
        ensure!(
            stage.attempt == *stage_attempt && task.accepted.is_none() && task.latest >= Some(*attempt),
            "attempt {stage_attempt}/{attempt} of task {id} must not be accepted"
        );
        stage.twofold -= u32::from(task.under_way.len() == 2);
        task.under_way.clear();
        stage.accepted += 1;
        let names: Vec<String> = keys(output).map(str::to_owned).collect();
        for key in &names {
            ensure!(!self.discarded_keys.contains(key), "{key} is accepted, and was deleted");
            ensure!(self.accepted_keys.insert(key.clone()), "{key} is accepted again");
            self.live_keys.insert(key.clone());
        }
        task.accepted = Some(names);
        Ok(())
    }

    fn attempt_failed(&mut self, event: &Event, scenario: &Scenario) -> Checked<Before> {
        let Event::AttemptFailed {
            task: id,
            attempt,
            failure,
            ..
        } = event
        else {
            return Ok(Before::Other);
        };
        let task = self.tasks.entry(*id).or_default();
        ensure!(
            task.latest >= Some(*attempt) && task.accepted.is_none(),
            "attempt {attempt} of task {id} fails, and was never sent or the task is done"
        );
        let under_way = task.under_way.len();
        task.under_way.retain(|known| known != attempt);
        if under_way == 2 && task.under_way.len() == 1 {
            self.stages.entry(id.stage).or_default().twofold -= 1;
        }
        if failure.kind == FailureKind::User {
            return Ok(Before::UserFailed);
        }
        ensure!(
            under_way > task.under_way.len(),
            "attempt {attempt} of task {id} was given up, and fails"
        );
        if !task.under_way.is_empty() {
            return Ok(Before::Other);
        }
        if let Some(lost) = failure.lost.clone() {
            return Ok(Before::ShuffleLost(lost));
        }
        task.failures += 1;
        Ok(match task.failures >= scenario.submission.settings.retry.max_attempts {
            true => Before::AttemptsExhausted,
            false => Before::Other,
        })
    }

    fn reopened(&mut self, event: &Event) -> Checked {
        let Event::StageReopened {
            stage: id,
            stage_attempt,
            tasks,
        } = event
        else {
            return Ok(());
        };
        let stage = self.stages.entry(*id).or_default();
        ensure!(
            stage.attempt == *stage_attempt || stage.attempt + 1 == *stage_attempt,
            "stage {id} goes from attempt {} to {stage_attempt}",
            stage.attempt
        );
        let Before::ShuffleLost(lost) = &self.before else {
            return Err("work is done again, and nothing was lost".to_owned());
        };
        ensure!(lost.stage == *id, "stage {id} is reopened, and {lost:?}");
        // When the manifest is gone or wrong, nobody knows which objects are.
        let whole = lost.stage_attempt == stage.attempt && !lost.objects.iter().any(|key| self.live_keys.contains(key));
        stage.attempt = *stage_attempt;
        for index in tasks {
            let task = TaskId {
                stage: *id,
                index: *index,
            };
            let task = self.tasks.entry(task).or_default();
            let Some(gone) = task.accepted.take() else {
                return Err(format!("task {id}.{index} was not done, and is done again"));
            };
            task.failures = 0;
            stage.accepted -= 1;
            ensure!(
                whole || gone.iter().any(|key| lost.objects.contains(key)),
                "task {id}.{index} is done again, and was not lost"
            );
            for key in gone {
                self.live_keys.remove(&key);
            }
        }
        Ok(())
    }

    /// A stage is complete when all of its tasks are accepted, and all of its rows are where its readers look.
    fn stage_completed(&mut self, id: StageId, stage_attempt: u32, scenario: &Scenario) -> Checked {
        let stage = self.stages.entry(id).or_default();
        ensure!(
            stage.accepted == stage.tasks && stage.attempt == stage_attempt,
            "stage {id} is complete with {} of {} tasks",
            stage.accepted,
            stage.tasks
        );
        let at = (id, stage_attempt);
        self.completed.insert(at);
        let plan = &scenario.graph.stages[id.0 as usize];
        let StageOutput::Shuffle { partitions } = plan.output else {
            return Ok(());
        };
        let Some(manifest) = self.manifests.get(&at) else {
            return Err(format!("the manifest {at:?} was never written"));
        };
        for to in 0..partitions {
            let spans = manifest.iter().flat_map(|object| &object.index);
            let rows: u64 = spans.filter(|span| span.partition == to).map(|span| span.rows).sum();
            let expected: u64 = (0..plan.partitions).map(|from| made(id, from, to)).sum();
            ensure!(
                rows == expected,
                "the manifest {at:?} has {rows} rows of {expected} in partition {to}"
            );
        }
        Ok(())
    }

    /// A control plane is told something.
    pub(super) fn heard(&mut self, report: &TaskReport) {
        if let ReportBody::Succeeded { output } = &report.body {
            self.heard_keys.extend(keys(output).map(str::to_owned));
        }
    }

    /// A manifest is in the storage.
    pub(super) fn manifest_written(&mut self, at: (StageId, u32), objects: Rc<Vec<ShuffleObject>>) -> Checked {
        let before = self.manifests.insert(at, objects.clone());
        ensure!(
            !self.completed.contains(&at) || before == Some(objects),
            "two manifests under the name {at:?}"
        );
        Ok(())
    }

    /// The manifests that a message names were complete when it was decided.
    pub(super) fn check_inputs(&self, message: &TaskMessage) -> Checked {
        for input in &message.inputs {
            ensure!(
                self.completed.contains(&(input.stage, input.stage_attempt)),
                "task {} reads {input:?}, which is not complete",
                message.task
            );
        }
        Ok(())
    }

    /// A reader follows a manifest.
    pub(super) fn check_read(&self, at: (StageId, u32), manifest: &[ShuffleObject]) -> Checked {
        for object in manifest {
            ensure!(
                self.accepted_keys.contains(&object.key),
                "{} of the manifest {at:?} was never accepted",
                object.key
            );
        }
        Ok(())
    }

    /// An output is being deleted that nobody wants.
    pub(super) fn discarded(&mut self, output: &TaskOutput) -> Checked {
        for key in keys(output) {
            ensure!(!self.live_keys.contains(key), "{key} is accepted and deleted");
            self.discarded_keys.insert(key.to_owned());
        }
        Ok(())
    }
}

impl World {
    /// The run is over, and so is everything about it.
    pub(super) fn check_end(&mut self) -> Checked {
        ensure!(self.ledger.finished == 1, "the run does not finish");
        ensure!(
            self.store.replayed() == self.store.truth,
            "the log does not say the same twice"
        );
        if self.rng.permille(50) {
            self.check_readable()?;
        }
        self.check_outcome()?;
        self.check_outputs()?;
        self.check_counts()?;
        self.check_rest()
    }

    /// Every event is read back as it was written.
    fn check_readable(&self) -> Checked {
        for record in &self.store.log {
            let json = serde_json::to_string(record).map_err(|error| error.to_string())?;
            let back: EventRecord = serde_json::from_str(&json).map_err(|error| error.to_string())?;
            ensure!(back == *record, "{json} was {record:?}");
        }
        Ok(())
    }

    fn check_outcome(&self) -> Checked {
        let outcome = self.store.truth.outcome();
        let happened = |what: fn(&Event) -> bool| self.store.events().any(what);
        let stopped = happened(|event| matches!(event, Event::StopStarted { .. }));
        let cancelled = happened(|event| matches!(event, Event::CancelRequested { .. }));
        let users = happened(
            |event| matches!(event, Event::AttemptFailed { failure, .. } if failure.kind == FailureKind::User),
        );
        ensure!(
            !self.scenario.must_succeed() || outcome == Some(RunOutcome::Succeeded),
            "faults of the platform show: {outcome:?} {:?}",
            self.store.truth.reason()
        );
        match outcome {
            // Nobody lets it go on when it is over.
            _ if self.store.truth.is_paused() && !stopped && !cancelled => {
                ensure!(outcome == Some(RunOutcome::Succeeded), "a pause ends a run");
            }
            Some(RunOutcome::Succeeded) => ensure!(!stopped && !cancelled, "a run that was stopped succeeds"),
            Some(RunOutcome::Failed) => ensure!(stopped, "nobody says why the run failed"),
            Some(RunOutcome::Cancelled) => ensure!(cancelled, "nobody cancelled the run"),
            None => return Err("the run is over and has no outcome".to_owned()),
        }
        ensure!(
            !users || outcome == Some(RunOutcome::Failed),
            "a failure of the user's code was passed over"
        );
        let reason = self.store.truth.reason().is_some();
        ensure!(reason != (outcome == Some(RunOutcome::Succeeded)), "nobody says why");
        Ok(())
    }

    /// Outputs are visible whole, or not at all; no row is lost, none is doubled.
    fn check_outputs(&self) -> Checked {
        let visible = &self.storage.visible;
        if self.store.truth.outcome() != Some(RunOutcome::Succeeded) {
            ensure!(visible.is_empty(), "a run that did not succeed shows an output");
            ensure!(
                self.storage.in_place.is_empty(),
                "a run that did not succeed leaves files"
            );
            return Ok(());
        }
        let mut expected_in_place = 0;
        for stage in sinks(&self.scenario.graph) {
            let files = visible.get(&stage).map_or(&[][..], Vec::as_slice);
            let targets: BTreeSet<_> = files.iter().map(|file| &file.target).collect();
            ensure!(targets.len() == files.len(), "stage {stage} shows a file twice");
            for file in files {
                let at = (stage, file.target.clone());
                ensure!(
                    self.storage.in_place.get(&at).map(String::as_str) == Some(path(file)),
                    "{at:?} is not what was accepted"
                );
            }
            expected_in_place += files.len();
            let rows: u64 = files.iter().map(|file| file.rows).sum();
            let partitions = self.scenario.graph.stages[stage.0 as usize].partitions;
            let expected: u64 = (0..partitions).map(|partition| written(stage, partition)).sum();
            ensure!(rows == expected, "stage {stage} shows {rows} rows of {expected}");
        }
        ensure!(
            self.storage.in_place.len() == expected_in_place,
            "there are files that no manifest names"
        );
        Ok(())
    }

    /// What people are shown adds up: rows in are rows out, and every copy is counted once.
    fn check_counts(&self) -> Checked {
        let snapshot = self.store.truth.snapshot();
        let succeeded = snapshot.outcome == Some(RunOutcome::Succeeded);
        for (shown, plan) in snapshot.stages.iter().zip(&self.scenario.graph.stages) {
            let copies = self.ledger.stages.get(&plan.id).map_or(0, |stage| stage.copies);
            ensure!(
                shown.speculative_attempts == copies,
                "stage {} had {copies} copies",
                plan.id
            );
            ensure!(shown.speculative_wins <= copies, "more copies win than there are");
            let partitions = 0..plan.partitions;
            let expected: u64 = match plan.output {
                StageOutput::Shuffle { partitions: to } => partitions
                    .map(|from| (0..to).map(|to| made(plan.id, from, to)).sum::<u64>())
                    .sum(),
                StageOutput::Sink(_) => partitions.map(|partition| written(plan.id, partition)).sum(),
                _ => 0,
            };
            ensure!(
                !succeeded || shown.rows_out == expected,
                "stage {} is said to have written {} rows of {expected}",
                plan.id,
                shown.rows_out
            );
        }
        Ok(())
    }

    /// Nothing is left in the storage but what readers reach; and what executions wrote after everybody had stopped
    /// listening, which is for the sweeper.
    fn check_rest(&self) -> Checked {
        let kept: BTreeMap<_, _> = self
            .storage
            .objects
            .iter()
            .filter(|(key, written)| !self.ledger.live_keys.contains(*key) && written.at < self.ledger.cleaned_at)
            .filter(|(_, written)| {
                // Beside the result, which is deleted with the run.
                self.scenario.graph.stages[written.stage.0 as usize].output != StageOutput::Result
            })
            .collect();
        ensure!(kept.is_empty(), "nobody reaches {kept:?}, and it is there");
        let staged: Vec<_> = self
            .storage
            .staged
            .iter()
            .filter(|(_, written)| written.at < self.ledger.staging_deleted_at)
            .collect();
        ensure!(staged.is_empty(), "nobody reaches {staged:?}, and it is there");
        // A control plane that ends may take with it what it wanted to delete.
        let safe = |sudden: &Sudden| matches!(sudden, Sudden::WorkerDies | Sudden::WorkerCutOff | Sudden::ObjectsLost);
        if self.scenario.faults.sudden.iter().all(safe) {
            let known =
                |key: &&String| self.ledger.accepted_keys.contains(*key) || self.ledger.discarded_keys.contains(*key);
            let left = self.ledger.heard_keys.iter().find(|key| !known(key));
            ensure!(left.is_none(), "{left:?} was neither accepted nor deleted");
        }
        let result = |stage: &weir_model::Stage| stage.output == StageOutput::Result;
        for stage in self.scenario.graph.stages.iter().filter(|stage| result(stage)) {
            if self.store.truth.outcome() == Some(RunOutcome::Succeeded) {
                let mut kept = self
                    .store
                    .truth
                    .accepted_outputs(stage.id)
                    .flat_map(|(_, output)| keys(output));
                ensure!(
                    kept.all(|key| self.storage.objects.contains_key(key)),
                    "a part of the result is gone"
                );
            }
        }
        Ok(())
    }
}
