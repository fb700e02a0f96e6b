//! One trace per run, whoever drives it when.
//!
//! The spans of a run and of its stages have ids that [follow from what they are](TraceParent), so that tasks can be
//! part of a stage before its span is made. It is made when the stage is over, from what the log says of it.

use tracing::Span;
use weir_model::machine::RunState;
use weir_model::{
    Event, EventRecord, RunId, RunOutcome, RunSnapshot, StagePhase, StageSnapshot, Submission, Timestamp, TraceParent,
};
use weir_platform::telemetry::trace::{self, Finished};

/// A span of something that is done for a run: `$name` in its trace, and around what is logged meanwhile.
macro_rules! span {
    ($name:literal, $trace:expr, $run:expr) => {{
        let span = tracing::info_span!($name, run = %$run);
        $crate::traces::join(&span, $trace);
        span
    }};
}
pub(crate) use span;

/// Makes a span part of a run's.
pub(crate) fn join(span: &Span, run: TraceParent) {
    trace::set_parent(span, Some(run));
}

/// The span of the storing of a submission.
pub(crate) fn submission(run: RunId, submission: &Submission) -> Span {
    span!("submit", TraceParent::of_run(run, Some(submission)), run)
}

/// Exports the spans of what has ended with these events, which `state` knows.
pub(crate) fn export(state: &RunState, run: TraceParent, records: &[EventRecord]) {
    if !trace::is_exported() {
        return;
    }
    for record in records {
        match &record.event {
            Event::StageCompleted { stage, stage_attempt } => {
                let snapshot = state.snapshot();
                let stages = snapshot.stages.iter().filter(|known| known.id == *stage);
                stages.for_each(|stage| export_stage(run, stage, *stage_attempt, record.at, None));
            }
            Event::Finished { outcome, reason } => {
                let snapshot = state.snapshot();
                let error = reason.as_ref().map(|reason| reason.message.clone());
                for stage in &snapshot.stages {
                    if stage.phase == StagePhase::Running {
                        let attempt = state.stage_attempt(stage.id).unwrap_or_default();
                        let unfinished = error.clone().or_else(|| Some("the run ended before".to_owned()));
                        export_stage(run, stage, attempt, record.at, unfinished);
                    }
                }
                export_run(state, run, &snapshot, *outcome, record.at, error);
            }
            _ => {}
        }
    }
}

fn export_stage(run: TraceParent, stage: &StageSnapshot, attempt: u32, end: Timestamp, error: Option<String>) {
    trace::export_finished(Finished {
        name: "stage",
        place: run.of_stage(stage.id, attempt),
        parent: Some(run),
        start: stage.started_at.unwrap_or(end),
        end,
        error,
        attributes: vec![
            ("stage", stage.id.0.to_string()),
            ("stage_attempt", attempt.to_string()),
            ("stage_name", stage.name.clone()),
            ("tasks", stage.tasks.to_string()),
            ("rows_in", stage.rows_in.to_string()),
            ("rows_out", stage.rows_out.to_string()),
        ],
    });
}

fn export_run(
    state: &RunState,
    run: TraceParent,
    snapshot: &RunSnapshot,
    outcome: RunOutcome,
    end: Timestamp,
    error: Option<String>,
) {
    let outcome = match outcome {
        RunOutcome::Succeeded => "succeeded",
        RunOutcome::Failed => "failed",
        RunOutcome::Cancelled => "cancelled",
    };
    trace::export_finished(Finished {
        name: "run",
        place: run,
        parent: TraceParent::of_request(state.submission()),
        start: snapshot.created_at,
        end,
        error,
        attributes: vec![
            ("run", snapshot.run.to_string()),
            ("namespace", snapshot.namespace.to_string()),
            ("job", snapshot.name.clone()),
            ("outcome", outcome.to_owned()),
        ],
    });
}
