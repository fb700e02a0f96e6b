//! The words for why a run ended.

use std::fmt::Write as _;

use crate::{Failure, FailureKind, Reason, Stage, StageId, TaskId};

/// The attempt gave no sign of life for too long.
pub(super) const ATTEMPT_LOST: &str = "attempt_lost";
/// Somebody cancelled the run.
pub(super) const CANCELLED: &str = "cancelled";
/// Intermediate objects were lost again and again.
pub(super) const SHUFFLE_LOST: &str = "shuffle_lost";
/// The run took longer than it may.
pub(super) const TIMEOUT: &str = "timeout";
/// The run could not be planned, whatever is wrong with it.
pub(super) const PLANNING_FAILED: &str = "planning_failed";
/// The plan contradicts itself.
pub(super) const INVALID_PLAN: &str = "invalid_plan";

/// The failure of an attempt that was silent for `timeout_ms`.
pub(super) fn attempt_lost(timeout_ms: u64) -> Failure {
    Failure::new(
        FailureKind::Platform,
        ATTEMPT_LOST,
        format!(
            "no sign of life for {timeout_ms} ms: the worker died or is cut off. If this happens again and again, the \
             task may be using up its worker's memory: look at the worker's log"
        ),
    )
}

/// A graph that cannot be run.
pub(super) fn invalid_plan(problem: &str) -> Reason {
    Reason {
        code: INVALID_PLAN.into(),
        message: format!("the plan of the run contradicts itself: {problem}. This is a bug: please report it"),
        retryable: false,
        task: None,
    }
}

/// Nobody who planned the run lived to the end of it.
pub(super) fn planners_lost(owners: u32) -> Reason {
    Reason {
        code: PLANNING_FAILED.into(),
        message: format!(
            "{owners} servers in a row had the run and ended before it was planned. Planning it may take more memory \
             than they have: look at the servers' logs, and plan the job with `weir explain` before it is submitted \
             again"
        ),
        // Whoever tries is lost.
        retryable: false,
        task: None,
    }
}

/// The user's code, data or query failed in a task.
pub(super) fn user_failure(task: TaskId, stage: &Stage, failure: &Failure) -> Reason {
    Reason {
        code: failure.code.clone(),
        message: format!("{} ({})", described(failure), place(task, stage)),
        retryable: false,
        task: Some(task),
    }
}

/// A task failed too often through the platform's fault.
pub(super) fn attempts_exhausted(task: TaskId, stage: &Stage, failures: u32, failure: &Failure) -> Reason {
    Reason {
        code: failure.code.clone(),
        message: format!(
            "{} failed {failures} times, the last time with: {}. Submit the run again when the cause is gone, or raise \
             `retry.max_attempts`",
            place(task, stage),
            described(failure)
        ),
        retryable: true,
        task: Some(task),
    }
}

/// The shuffle objects of a stage were lost too often.
pub(super) fn shuffle_lost(maker: StageId, reopened: u32, failure: &Failure) -> Reason {
    Reason {
        code: SHUFFLE_LOST.into(),
        message: format!(
            "the output of stage {maker} was lost again after it was made again {reopened} times: {}. Check that \
             nothing else deletes objects below the run's storage, then submit the run again",
            described(failure)
        ),
        retryable: true,
        task: None,
    }
}

/// Planning, writing a manifest, or committing failed.
pub(super) fn run_failure(failure: &Failure) -> Reason {
    Reason {
        code: failure.code.clone(),
        message: described(failure),
        retryable: failure.kind != FailureKind::User,
        task: None,
    }
}

/// The run took longer than it may.
pub(super) fn timed_out(timeout_s: u64) -> Reason {
    Reason {
        code: TIMEOUT.into(),
        message: format!(
            "the run was not done {timeout_s} s after its submission, as its `timeout_s` says. See what took the time, \
             or submit it with more of it"
        ),
        retryable: true,
        task: None,
    }
}

/// Somebody cancelled the run.
pub(super) fn cancelled(by: &str) -> Reason {
    Reason {
        code: CANCELLED.into(),
        message: format!("cancelled by {by}"),
        retryable: true,
        task: None,
    }
}

fn place(task: TaskId, stage: &Stage) -> String {
    format!("task {task}, stage `{}`", stage.name)
}

/// The message of a failure, after what it is about.
fn described(failure: &Failure) -> String {
    let mut about = String::new();
    if let Some(transform) = &failure.transform {
        let _ = write!(about, "transform `{transform}`, ");
    }
    if let Some(function) = &failure.function {
        let _ = write!(about, "function `{function}`, ");
    }
    if let Some((first, end)) = failure.rows {
        let _ = write!(about, "rows {first} to {}, ", end.saturating_sub(1).max(first));
    }
    match about.strip_suffix(", ") {
        Some(about) => format!("{about}: {}", failure.message),
        None => failure.message.clone(),
    }
}
