//! Starting stages, and sending the messages of their tasks.

use std::ops::Range;

use crate::{
    Event, Exchange, InputRef, Stage, StageGraph, StageId, StageOutput, StagePhase, TaskId, TaskMessage, Timestamp,
};

use super::Effect;
use super::coalesce::coalesce;
use super::decide::Step;
use super::state::{RunState, Try};

/// What the messages of a stage's tasks share.
struct Template<'a> {
    plan: &'a Stage,
    stage_attempt: u32,
    tasks: u32,
    inputs: Vec<InputRef>,
    speculative: bool,
}

impl Step<'_> {
    /// Starts a stage whose `inputs` are complete.
    pub(super) fn start_stage(&mut self, plan: &Stage, inputs: Vec<InputRef>) {
        if self.holds {
            return;
        }
        let spread = !plan
            .inputs
            .iter()
            .any(|input| matches!(input.exchange, Exchange::Aligned { .. }));
        let tasks = coalesce(
            &partition_bytes(self.state, plan),
            spread,
            &self.state.settings.coalesce,
        );
        self.event(Event::StageStarted {
            stage: plan.id,
            tasks: tasks.clone(),
        });
        let template = Template {
            plan,
            stage_attempt: 0,
            tasks: tasks.len() as u32,
            inputs,
            speculative: false,
        };
        for (index, partitions) in (0..).zip(tasks) {
            self.dispatch(&template, index, partitions, 0, None);
        }
    }

    /// Starts the stages that waited for the manifest of `completed`, and sends the tasks that did.
    pub(super) fn start_readers(&mut self, completed: StageId) {
        let state = self.state;
        for reader in state.readers.get(completed.0 as usize).into_iter().flatten() {
            let (Some(plan), Some(stage)) = (state.planned(*reader), state.stage(*reader)) else {
                continue;
            };
            let Some(inputs) = state.inputs(plan, Some(completed)) else {
                continue;
            };
            match stage.phase {
                StagePhase::Waiting => self.start_stage(plan, inputs),
                StagePhase::Running => {
                    self.send(plan, stage.attempt, inputs, stage.pending.iter().copied(), None);
                }
                StagePhase::Completed => {}
            }
        }
    }

    /// Sends new attempts of `tasks`, unless the stage's inputs are being made again: then the tasks wait for that.
    pub(super) fn dispatch_when_ready(
        &mut self,
        plan: &Stage,
        tasks: impl Iterator<Item = u32>,
        not_before: Option<Timestamp>,
    ) {
        let attempt = self.state.stage(plan.id).map_or(0, |stage| stage.attempt);
        self.dispatch_as(plan, attempt, tasks, not_before);
    }

    /// As [`dispatch_when_ready`](Self::dispatch_when_ready), for the attempt of the stage that the decision begins.
    pub(super) fn dispatch_as(
        &mut self,
        plan: &Stage,
        stage_attempt: u32,
        tasks: impl Iterator<Item = u32>,
        not_before: Option<Timestamp>,
    ) {
        if let Some(inputs) = self.state.inputs(plan, None) {
            self.send(plan, stage_attempt, inputs, tasks, not_before);
        }
    }

    /// Sends copies of the attempts of `tasks` that are under way.
    pub(super) fn dispatch_copies(&mut self, plan: &Stage, tasks: impl Iterator<Item = u32>) {
        if let Some(mut template) = self.template(plan) {
            template.speculative = true;
            self.dispatch_tasks(&template, tasks, None);
        }
    }

    fn send(
        &mut self,
        plan: &Stage,
        stage_attempt: u32,
        inputs: Vec<InputRef>,
        tasks: impl Iterator<Item = u32>,
        not_before: Option<Timestamp>,
    ) {
        let Some(stage) = self.state.stage(plan.id) else { return };
        let template = Template {
            plan,
            stage_attempt,
            tasks: stage.tasks.len() as u32,
            inputs,
            speculative: false,
        };
        self.dispatch_tasks(&template, tasks, not_before);
    }

    /// Sends the messages of a stage again that were decided after `sent_through` and that nobody is known to have
    /// taken. They are in the log: nothing is appended.
    pub(super) fn send_unsent(&mut self, plan: &Stage, sent_through: u64) {
        let (Some(stage), Some(template)) = (self.state.stage(plan.id), self.template(plan)) else {
            return;
        };
        for (index, task) in (0..).zip(&stage.tasks) {
            let unsent = task.under_way().into_iter().flat_map(Try::attempts);
            for attempt in unsent.filter(|attempt| attempt.execution.is_none() && attempt.dispatched_seq > sent_through)
            {
                self.message(
                    &template,
                    index,
                    task.partitions.clone(),
                    attempt.number,
                    attempt.not_before,
                );
            }
        }
    }

    /// What the messages of a stage share whose inputs are complete.
    fn template<'a>(&self, plan: &'a Stage) -> Option<Template<'a>> {
        let stage = self.state.stage(plan.id)?;
        Some(Template {
            plan,
            stage_attempt: stage.attempt,
            tasks: stage.tasks.len() as u32,
            inputs: self.state.inputs(plan, None)?,
            speculative: false,
        })
    }

    fn dispatch_tasks(
        &mut self,
        template: &Template<'_>,
        tasks: impl Iterator<Item = u32>,
        not_before: Option<Timestamp>,
    ) {
        let Some(stage) = self.state.stage(template.plan.id).filter(|_| !self.holds) else {
            return;
        };
        for index in tasks {
            if let Some(task) = stage.tasks.get(index as usize) {
                self.dispatch(template, index, task.partitions.clone(), task.next_attempt, not_before);
            }
        }
    }

    fn dispatch(
        &mut self,
        template: &Template<'_>,
        index: u32,
        partitions: Range<u32>,
        attempt: u32,
        not_before: Option<Timestamp>,
    ) {
        let task = TaskId {
            stage: template.plan.id,
            index,
        };
        self.event(Event::TaskDispatched {
            task,
            stage_attempt: template.stage_attempt,
            attempt,
            not_before,
            speculative: template.speculative,
        });
        self.message(template, index, partitions, attempt, not_before);
    }

    fn message(
        &mut self,
        template: &Template<'_>,
        index: u32,
        partitions: Range<u32>,
        attempt: u32,
        not_before: Option<Timestamp>,
    ) {
        let task = TaskId {
            stage: template.plan.id,
            index,
        };
        let namespace = self
            .state
            .submission()
            .map(|submission| submission.namespace.clone())
            .unwrap_or_default();
        let message = Box::new(TaskMessage {
            namespace,
            run: self.state.run,
            task,
            stage_attempt: template.stage_attempt,
            attempt,
            tasks: template.tasks,
            partitions,
            plan: template.plan.plan.digest,
            inputs: template.inputs.clone(),
            pauses: self.state.pauses,
            time_limit_ms: None,
            traceparent: None,
        });
        self.effect(Effect::Dispatch { message, not_before });
    }
}

/// The bytes that each partition of a stage reads: from its aligned inputs, whose sizes are exact, and from files. A
/// partition of which neither is known has no size. What every partition reads as a whole is not counted.
fn partition_bytes(state: &RunState, plan: &Stage) -> Vec<Option<u64>> {
    let mut sizes: Vec<Option<u64>> = match plan.scan_bytes.len() == plan.partitions as usize {
        true => plan.scan_bytes.iter().copied().map(Some).collect(),
        false => vec![None; plan.partitions as usize],
    };
    for input in &plan.inputs {
        let Exchange::Aligned { readers } = &input.exchange else {
            continue;
        };
        for partition in readers.clone() {
            sizes[partition as usize].get_or_insert(0);
        }
        for (_, output) in state.accepted_outputs(input.stage) {
            for span in output.shuffle.iter().flat_map(|object| &object.index) {
                let partition = u64::from(readers.start) + u64::from(span.partition);
                if partition < u64::from(readers.end) {
                    let size = sizes[partition as usize].get_or_insert(0);
                    *size = size.saturating_add(span.length);
                }
            }
        }
    }
    sizes
}

/// Why a graph cannot be run, if it cannot.
pub(super) fn invalid_graph(graph: &StageGraph) -> Option<String> {
    for (position, stage) in (0_u32..).zip(&graph.stages) {
        if stage.id.0 != position {
            return Some(format!("stage {} is at position {position}", stage.id));
        }
        for input in &stage.inputs {
            if input.stage.0 >= position {
                return Some(format!(
                    "stage {position} comes before stage {}, which it reads",
                    input.stage
                ));
            }
            let maker = &graph.stages[input.stage.0 as usize];
            let StageOutput::Shuffle { partitions } = maker.output else {
                return Some(format!(
                    "stage {position} reads stage {}, which is not a shuffle",
                    input.stage
                ));
            };
            if let Exchange::Aligned { readers } = &input.exchange
                && (readers.start > readers.end
                    || readers.end > stage.partitions
                    || readers.end - readers.start != partitions)
            {
                return Some(format!(
                    "partitions {} to {} of stage {position}, which has {}, read the {partitions} of stage {}",
                    readers.start, readers.end, stage.partitions, input.stage
                ));
            }
        }
    }
    None
}
