//! The control planes that own the run, one after the other.

use std::collections::{BTreeMap, BTreeSet};

use weir_model::machine::{Decision, Effect, Input, apply, decide};
use weir_model::{
    Event, EventRecord, Failure, FailureKind, OutputFile, OutputManifest, RunPhase, StageId, StageOutput, Staged,
    TaskMessage, TaskOutput, TaskReport, Timestamp,
};

use super::{Checked, Due, Note, World, ensure, keys};
use crate::machine::graphs::made;

impl World {
    pub(super) fn hear_report(&mut self) -> Checked {
        if self.reports.is_empty() {
            return Ok(());
        }
        let position = self.pick(self.reports.len());
        let fate = self.pick(20);
        let report = match fate {
            17 | 18 => self.reports[position].clone(),
            _ => self.reports.swap_remove(position),
        };
        if fate == 19 {
            self.saw("a report is lost");
            self.note(format!("lost a report of {} attempt {}", report.task, report.attempt));
            return Ok(());
        }
        self.hear(report)
    }

    pub(super) fn hear(&mut self, report: TaskReport) -> Checked {
        self.state.progress(&report, self.now);
        self.feed(Input::Report(Box::new(report)))
    }

    pub(super) fn carry_out_any(&mut self) -> Checked {
        if self.due.is_empty() {
            return Ok(());
        }
        let position = self.pick(self.due.len());
        let due = self.due.remove(position);
        self.carry_out(&due)?;
        let failed = match due.effect {
            Effect::Commit | Effect::WriteManifest { .. } => self.faults.effects && self.chance(10),
            _ => false,
        };
        if failed {
            let failure = Failure::new(FailureKind::Platform, "storage", "the storage is down");
            *self.answers.last_mut().expect("an answer") = Input::CommitFailed(failure);
        } else if self.chance(10) && !matches!(due.effect, Effect::Commit | Effect::Abort | Effect::Cleanup) {
            // It will be carried out again, late.
            self.saw("an effect is done twice");
            self.due.push(due);
        }
        Ok(())
    }

    pub(super) fn hear_answer_any(&mut self) -> Checked {
        if self.answers.is_empty() {
            return Ok(());
        }
        let position = self.pick(self.answers.len());
        let answer = if self.chance(10) {
            self.answers[position].clone()
        } else {
            self.answers.remove(position)
        };
        self.feed(answer)
    }

    pub(super) fn pass_time(&mut self) -> Checked {
        let to = match self.pick(3) {
            0 => self.now.plus_ms(1),
            1 => self.now.plus_ms(40),
            _ => self.state.next_wake(self.now).unwrap_or(self.now),
        };
        self.pass_time_until(to)
    }

    pub(super) fn pass_time_until(&mut self, to: Timestamp) -> Checked {
        let wake = self.state.next_wake(self.now);
        let early = wake.map_or(to, |wake| Timestamp(wake.0 - 1).min(to));
        if early > self.now {
            let decision = decide(&self.state, &Input::Tick, early);
            ensure!(
                self,
                decision == Decision::default(),
                "nothing was due at {early:?}, and yet: {decision:?}"
            );
        }
        self.now = to;
        if wake.is_some_and(|wake| wake <= to) {
            let decision = decide(&self.state, &Input::Tick, to);
            ensure!(self, !decision.events.is_empty(), "something was due at {wake:?}");
        }
        self.feed(Input::Tick)
    }

    /// The owner dies, and another takes the run over from the log.
    pub(super) fn crash(&mut self) -> Checked {
        // It dies before it appends what it has just decided, or after that and before it does anything about it.
        if self.chance(50) && !self.reports.is_empty() {
            let position = self.pick(self.reports.len());
            let report = self.reports.swap_remove(position);
            decide(&self.state, &Input::Report(Box::new(report)), self.now);
        }
        let queue_lost = self.chance(50);
        self.cleaned |= self.state.is_finished();
        self.note(format!("the owner dies; queue lost: {queue_lost}"));
        self.answers.clear();
        // What an owner that only seems dead still does, it does late.
        let survives = self.pick(4) == 0;
        self.due
            .retain(|due| survives && !matches!(due.effect, Effect::Commit | Effect::Abort | Effect::Cleanup));
        if queue_lost {
            self.queue.clear();
            if self.chance(50) {
                self.executions.clear();
                self.reports.clear();
            }
        }
        let replayed = self.replay(self.log.len());
        ensure!(
            self,
            replayed == self.state,
            "the log does not say the same as the state"
        );
        self.state = replayed;
        self.feed(Input::Takeover {
            queue_lost,
            sent_through: 0,
        })
    }

    /// A former owner whose lease has run out hears a report, and decides by what it knew. It cannot append; what it
    /// decides without appending, it does.
    pub(super) fn hear_as_former_owner(&mut self) -> Checked {
        if self.reports.is_empty() {
            return Ok(());
        }
        let position = self.pick(self.reports.len());
        let known = self.pick(self.log.len() + 1);
        let report = self.reports.swap_remove(position);
        let former = self.replay(known);
        let decision = decide(&former, &Input::Report(Box::new(report)), self.now);
        if decision.events.is_empty() {
            self.saw("a former owner deletes or ignores");
            for effect in decision.effects {
                ensure!(
                    self,
                    matches!(effect, Effect::Discard(_)),
                    "{effect:?} without an event"
                );
                self.carry_out(&Due {
                    effect,
                    outputs: Vec::new(),
                })?;
            }
        }
        Ok(())
    }

    /// Decides, appends, applies, and remembers what is to be done.
    pub(super) fn feed(&mut self, input: Input) -> Checked {
        let before = self.state.phase();
        let decision = decide(&self.state, &input, self.now);
        if before == RunPhase::Finished {
            let only_discards = decision
                .effects
                .iter()
                .all(|effect| matches!(effect, Effect::Discard(_)));
            ensure!(
                self,
                decision.events.is_empty() && only_discards,
                "after the end: {decision:?}"
            );
        }
        for event in decision.events {
            self.append(event)?;
        }
        for effect in decision.effects {
            self.check_effect(&effect)?;
            let stages: Vec<StageId> = match &effect {
                Effect::WriteManifest { stage, .. } => vec![*stage],
                Effect::Commit => self.sinks().collect(),
                _ => Vec::new(),
            };
            let outputs = stages.into_iter().flat_map(|stage| {
                self.state
                    .accepted_outputs(stage)
                    .map(move |(_, output)| (stage, output.clone()))
            });
            let outputs = outputs.collect();
            self.due.push(Due { effect, outputs });
        }
        Ok(())
    }

    pub(super) fn append(&mut self, event: Event) -> Checked {
        self.check_event(&event)?;
        let record = EventRecord {
            run: self.state.run(),
            seq: self.state.next_seq(),
            at: self.now,
            event,
        };
        ensure!(
            self,
            record.seq == self.log.len() as u64 + 1,
            "event {} comes after {}",
            record.seq,
            self.log.len()
        );
        let json = serde_json::to_string(&record).map_err(|error| self.wrong(&error.to_string()))?;
        let back: EventRecord = serde_json::from_str(&json).map_err(|error| self.wrong(&error.to_string()))?;
        ensure!(self, back == record, "{json} was {record:?}");
        apply(&mut self.state, &record);
        let once = self.state.clone();
        apply(&mut self.state, &record);
        ensure!(self, once == self.state, "the event counts twice: {record:?}");
        if let Event::TaskAccepted { output, .. } = &record.event {
            self.accepted.extend(keys(output));
        }
        self.trace.push((self.now, Note::Appended(self.log.len())));
        self.log.push(record);
        Ok(())
    }

    pub(super) fn carry_out(&mut self, due: &Due) -> Checked {
        match &due.effect {
            Effect::Plan => self.answers.push(Input::Planned(Box::new(self.graph.clone()))),
            Effect::Dispatch { message, not_before } => {
                self.queue
                    .push((TaskMessage::clone(message), not_before.unwrap_or_default()));
            }
            Effect::WriteManifest { stage, stage_attempt } => {
                self.write_manifest((*stage, *stage_attempt), &due.outputs)?;
                self.answers.push(Input::ManifestWritten {
                    stage: *stage,
                    stage_attempt: *stage_attempt,
                });
            }
            Effect::Commit => self.commit(&due.outputs)?,
            Effect::Abort => {
                let staged: BTreeSet<_> = self.objects.iter().filter(|key| self.is_staged(key)).cloned().collect();
                self.objects.retain(|key| !staged.contains(key));
                self.visible = None;
                self.answers.push(Input::Aborted);
            }
            Effect::Discard(output) => {
                self.saw("an output is deleted");
                self.check_discard(output)?;
                for key in keys(output) {
                    self.note(format!("deleted {key}"));
                    self.objects.remove(&key);
                    self.discarded.insert(key);
                }
            }
            Effect::Cleanup => self.cleaned = true,
        }
        Ok(())
    }

    pub(super) fn write_manifest(&mut self, at: (StageId, u32), outputs: &[(StageId, TaskOutput)]) -> Checked {
        let manifest: Vec<_> = outputs
            .iter()
            .filter_map(|(_, output)| output.shuffle.clone())
            .collect();
        let plan = &self.graph.stages[at.0.0 as usize];
        if let StageOutput::Shuffle { partitions } = plan.output {
            for to in 0..partitions {
                let spans = manifest
                    .iter()
                    .flat_map(|object| &object.index)
                    .filter(|span| span.partition == to);
                let rows: u64 = spans.map(|span| span.rows).sum();
                let expected: u64 = (0..plan.partitions).map(|from| made(at.0, from, to)).sum();
                ensure!(
                    self,
                    rows == expected,
                    "the manifest {at:?} has {rows} rows of {expected} in partition {to}"
                );
            }
        }
        let first = self.written.entry(at).or_insert_with(|| manifest.clone()).clone();
        ensure!(self, first == manifest, "two manifests under the name {at:?}");
        self.manifests.insert(at, manifest);
        Ok(())
    }

    pub(super) fn commit(&mut self, outputs: &[(StageId, TaskOutput)]) -> Checked {
        let mut visible: BTreeMap<StageId, Vec<OutputFile>> = BTreeMap::new();
        for (stage, output) in outputs {
            for file in &output.files {
                let Staged::File { path } = &file.staged;
                ensure!(
                    self,
                    self.objects.contains(path),
                    "{path} is gone and cannot be made visible"
                );
                visible.entry(*stage).or_default().push(file.clone());
            }
        }
        ensure!(
            self,
            self.visible.is_none() || self.visible.as_ref() == Some(&visible),
            "two commits differ"
        );
        self.visible = Some(visible);
        let manifest = OutputManifest {
            run: self.state.run(),
            transform: "sinks".to_owned(),
            files: Vec::new(),
            rows: outputs
                .iter()
                .flat_map(|(_, output)| &output.files)
                .map(|file| file.rows)
                .sum(),
            bytes: 0,
        };
        self.answers.push(Input::Committed(vec![manifest]));
        Ok(())
    }

    pub(super) fn sinks(&self) -> impl Iterator<Item = StageId> {
        let sinks = self
            .graph
            .stages
            .iter()
            .filter(|stage| matches!(stage.output, StageOutput::Sink(_)));
        sinks.map(|stage| stage.id)
    }
}
