//! One run, driven by hand.

use std::ops::Range;

use weir_model::machine::{Decision, Effect, Input, RunState, apply, decide};
use weir_model::{
    Event, EventRecord, ExecutionId, Failure, FailureKind, LostShuffle, PartitionSpan, ReportBody, RunId,
    ShuffleObject, StageGraph, StageId, Submission, TaskId, TaskMessage, TaskMetrics, TaskOutput, TaskReport,
    Timestamp, WorkerId,
};

use super::graphs::submission;

/// A run with its log. What is decided is applied at once.
pub(super) struct Run {
    pub(super) state: RunState,
    pub(super) log: Vec<EventRecord>,
    pub(super) now: Timestamp,
}

impl Run {
    /// A run that was submitted.
    pub(super) fn submitted(submission: Submission) -> Self {
        let state = RunState::new(RunId::from_parts(Timestamp(1), 1));
        let mut run = Self {
            state,
            log: Vec::new(),
            now: Timestamp(1_000),
        };
        let decision = run.input(Input::Submit(Box::new(submission)));
        assert_eq!(decision.effects, [Effect::Plan]);
        run
    }

    /// A run that was planned, and the messages of its first stages.
    pub(super) fn planned(graph: StageGraph) -> (Self, Vec<TaskMessage>) {
        Self::planned_with(submission(), graph)
    }

    pub(super) fn planned_with(submission: Submission, graph: StageGraph) -> (Self, Vec<TaskMessage>) {
        let mut run = Self::submitted(submission);
        let decision = run.input(Input::Planned(Box::new(graph)));
        (run, sent(&decision))
    }

    /// Decides, and applies what was decided.
    pub(super) fn input(&mut self, input: Input) -> Decision {
        let decision = decide(&self.state, &input, self.now);
        for event in &decision.events {
            let record = EventRecord {
                run: self.state.run(),
                seq: self.state.next_seq(),
                at: self.now,
                event: event.clone(),
            };
            apply(&mut self.state, &record);
            self.log.push(record);
        }
        assert_eq!(self.replayed(), self.state, "the log does not say the same");
        decision
    }

    pub(super) fn replayed(&self) -> RunState {
        let mut state = RunState::new(self.state.run());
        self.log.iter().for_each(|record| apply(&mut state, record));
        state
    }

    pub(super) fn report(&mut self, message: &TaskMessage, execution: u128, body: ReportBody) -> Decision {
        self.input(Input::Report(Box::new(report(message, execution, body))))
    }

    pub(super) fn succeed(&mut self, message: &TaskMessage, execution: u128) -> Decision {
        self.report(
            message,
            execution,
            ReportBody::Succeeded {
                output: output(message, execution),
            },
        )
    }

    pub(super) fn fail(&mut self, message: &TaskMessage, execution: u128, failure: Failure) -> Decision {
        self.report(
            message,
            execution,
            ReportBody::Failed {
                failure,
                metrics: TaskMetrics::default(),
            },
        )
    }

    /// Lets every message succeed, by executions that count from `first`; gives the last decision.
    pub(super) fn succeed_all(&mut self, messages: &[TaskMessage], first: u128) -> Decision {
        let decisions = (first..)
            .zip(messages)
            .map(|(execution, message)| self.succeed(message, execution));
        decisions.last().expect("messages")
    }

    pub(super) fn manifest_written(&mut self, stage: u32, stage_attempt: u32) -> Decision {
        self.input(Input::ManifestWritten {
            stage: StageId(stage),
            stage_attempt,
        })
    }

    pub(super) fn tick_after(&mut self, ms: u64) -> Decision {
        self.now = self.now.plus_ms(ms);
        self.input(Input::Tick)
    }

    pub(super) fn events(&self) -> impl Iterator<Item = &Event> {
        self.log.iter().map(|record| &record.event)
    }
}

pub(super) fn execution(number: u128) -> ExecutionId {
    ExecutionId::from_parts(Timestamp(2), number)
}

pub(super) fn report(message: &TaskMessage, by: u128, body: ReportBody) -> TaskReport {
    TaskReport {
        run: message.run,
        task: message.task,
        stage_attempt: message.stage_attempt,
        attempt: message.attempt,
        execution: execution(by),
        worker: WorkerId::from_parts(Timestamp(3), 1),
        at: Timestamp(0),
        body,
    }
}

/// An object with one row of one byte for each of two partitions.
pub(super) fn output(message: &TaskMessage, by: u128) -> TaskOutput {
    let span = |partition| PartitionSpan {
        partition,
        offset: u64::from(partition),
        length: 1,
        rows: 1,
    };
    TaskOutput {
        shuffle: Some(ShuffleObject {
            key: key(message.task, by),
            index: vec![span(0), span(1)],
        }),
        ..TaskOutput::default()
    }
}

pub(super) fn key(task: TaskId, by: u128) -> String {
    format!("{task}-{by}")
}

pub(super) fn task(stage: u32, index: u32) -> TaskId {
    TaskId {
        stage: StageId(stage),
        index,
    }
}

/// The messages of a decision.
pub(super) fn sent(decision: &Decision) -> Vec<TaskMessage> {
    decision
        .effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Dispatch { message, .. } => Some(TaskMessage::clone(message)),
            _ => None,
        })
        .collect()
}

/// The only message of a decision.
pub(super) fn only(decision: &Decision) -> TaskMessage {
    let [message] = sent(decision).try_into().expect("one message");
    message
}

pub(super) fn partitions(messages: &[TaskMessage]) -> Vec<Range<u32>> {
    messages.iter().map(|message| message.partitions.clone()).collect()
}

pub(super) fn platform() -> Failure {
    Failure::new(FailureKind::Platform, "disk_full", "the disk is full")
}

pub(super) fn user() -> Failure {
    Failure {
        transform: Some("Parse".to_owned()),
        function: Some("parse_line".to_owned()),
        rows: Some((10, 20)),
        ..Failure::new(FailureKind::User, "wasm_trap", "unreachable")
    }
}

pub(super) fn lost(stage: u32, stage_attempt: u32, objects: &[String]) -> Failure {
    Failure {
        lost: Some(LostShuffle {
            stage: StageId(stage),
            stage_attempt,
            objects: objects.to_vec(),
        }),
        ..Failure::new(FailureKind::ShuffleLost, "object_not_found", "an object is gone")
    }
}
