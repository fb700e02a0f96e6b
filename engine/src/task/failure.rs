//! Errors of an attempt, and whose fault they are.

use std::error::Error;

use arrow::error::ArrowError;
use datafusion::error::DataFusionError;
use weir_model::{Failure, FailureKind};
use weir_platform::StorageError;

use crate::io::WriteError;
use crate::shuffle::LostObjects;

/// An error that an operator or function of ours has classified itself: wrapped in
/// [`DataFusionError::External`], it becomes the attempt's failure as it is.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.message)]
pub struct OperatorError(pub Failure);

impl OperatorError {
    /// The one that an error was made of.
    pub(crate) fn find(error: &DataFusionError) -> Option<&Self> {
        match error.find_root() {
            DataFusionError::External(cause) => cause.downcast_ref(),
            _ => None,
        }
    }
}

impl From<OperatorError> for DataFusionError {
    fn from(error: OperatorError) -> Self {
        Self::External(Box::new(error))
    }
}

/// The failure that an error of a plan means.
pub(crate) fn classify(error: &DataFusionError) -> Failure {
    if let Some(failure) = known(error) {
        return failure;
    }
    let root = error.find_root();
    let message = || root.strip_backtrace();
    let user = |code: &str| Failure::new(FailureKind::User, code, message());
    let platform = |code: &str| Failure::new(FailureKind::Platform, code, message());
    match root {
        DataFusionError::ResourcesExhausted(_) => Failure::new(
            FailureKind::Platform,
            "out_of_memory",
            format!(
                "{}; give workers more memory, or raise target_partitions so that each task holds less",
                message()
            ),
        ),
        DataFusionError::ObjectStore(cause) => match **cause {
            object_store::Error::NotFound { ref path, .. } => Failure::new(
                FailureKind::User,
                "input_missing",
                format!("the input file `{path}` is gone; it was there when the run was planned"),
            ),
            object_store::Error::PermissionDenied { ref path, .. } => Failure::new(
                FailureKind::User,
                "input_forbidden",
                format!(
                    "the input file `{path}` may not be read; give the workers' role the right to: {}",
                    message()
                ),
            ),
            _ => platform("storage"),
        },
        DataFusionError::IoError(_) => platform("io"),
        DataFusionError::ExecutionJoin(_) => platform("task_panicked"),
        DataFusionError::Internal(_) | DataFusionError::Context(..) | DataFusionError::Shared(_) => {
            platform("internal")
        }
        DataFusionError::ArrowError(cause, _) => match **cause {
            ArrowError::DivideByZero => {
                let message = "division by zero; guard the divisor with NULLIF or CASE";
                Failure::new(FailureKind::User, "division_by_zero", message)
            }
            ArrowError::ArithmeticOverflow(_) => user("arithmetic_overflow"),
            ArrowError::CastError(_) | ArrowError::ParseError(_) => user("invalid_value"),
            ArrowError::CsvError(_) | ArrowError::JsonError(_) | ArrowError::ParquetError(_) => user("invalid_input"),
            ArrowError::IoError(..) | ArrowError::IpcError(_) => platform("io"),
            ArrowError::MemoryError(_) => platform("out_of_memory"),
            _ => user("execution_failed"),
        },
        DataFusionError::ParquetError(_) => user("invalid_input"),
        DataFusionError::External(_) => platform("unclassified"),
        _ => user("execution_failed"),
    }
}

/// Errors of ours, wherever in the chain they are.
fn known(error: &DataFusionError) -> Option<Failure> {
    let mut next: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(OperatorError(failure)) = error.downcast_ref() {
            return Some(failure.clone());
        }
        if let Some(lost) = error.downcast_ref::<LostObjects>() {
            let mut failure = Failure::new(FailureKind::ShuffleLost, "shuffle_lost", lost.to_string());
            failure.lost = Some(lost.lost.clone());
            return Some(failure);
        }
        if let Some(storage) = error.downcast_ref::<StorageError>() {
            return Some(Failure::new(FailureKind::Platform, "storage", with_sources(storage)));
        }
        if let Some(write) = error.downcast_ref::<WriteError>() {
            let (kind, code) = match write {
                WriteError::Rows { .. } => (FailureKind::User, "unwritable_rows"),
                WriteError::File { .. } => (FailureKind::Platform, "output_io"),
                WriteError::Object(error) => return Some(error.to_failure()),
                WriteError::Memory(_) => (FailureKind::Platform, "out_of_memory"),
            };
            return Some(Failure::new(kind, code, with_sources(write)));
        }
        next = match error.downcast_ref::<DataFusionError>() {
            // These hide what they hold from `source`.
            Some(DataFusionError::External(inner)) => Some(inner.as_ref()),
            Some(DataFusionError::Shared(inner)) => Some(inner.as_ref()),
            Some(DataFusionError::Context(_, inner)) => Some(inner.as_ref()),
            Some(DataFusionError::ArrowError(inner, _)) => Some(inner.as_ref()),
            _ => match error.downcast_ref::<ArrowError>() {
                Some(ArrowError::ExternalError(inner)) => Some(inner.as_ref()),
                _ => error.source(),
            },
        };
    }
    None
}

/// The message of an error and of all that caused it.
pub(super) fn with_sources(error: &dyn Error) -> String {
    let mut message = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        message.push_str(": ");
        message.push_str(&cause.to_string());
        source = cause.source();
    }
    message
}

/// The failure of an attempt that panicked.
pub(super) fn panicked(panic: &(dyn std::any::Any + Send)) -> Failure {
    let what = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned());
    Failure::new(
        FailureKind::Platform,
        "task_panicked",
        format!("the task panicked: {what}"),
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use weir_model::{LostShuffle, StageId};

    use super::*;

    fn check(error: DataFusionError, kind: FailureKind, code: &str) {
        let failure = classify(&error);
        assert_eq!(
            (failure.kind, failure.code.as_str()),
            (kind, code),
            "{}",
            failure.message
        );
        assert!(!failure.message.is_empty());
    }

    #[test]
    fn the_users_errors_are_told_from_the_platforms() {
        use FailureKind::{Platform, User};
        let arrow = |error| DataFusionError::ArrowError(Box::new(error), None);
        check(arrow(ArrowError::DivideByZero), User, "division_by_zero");
        check(
            arrow(ArrowError::CastError("no number".to_owned())),
            User,
            "invalid_value",
        );
        check(
            arrow(ArrowError::ArithmeticOverflow("i64".to_owned())),
            User,
            "arithmetic_overflow",
        );
        check(DataFusionError::Execution("regex".to_owned()), User, "execution_failed");
        check(
            DataFusionError::ResourcesExhausted("pool".to_owned()),
            Platform,
            "out_of_memory",
        );
        check(DataFusionError::IoError(std::io::Error::other("disk")), Platform, "io");
        check(DataFusionError::Internal("bug".to_owned()), Platform, "internal");
        let gone = object_store::Error::NotFound {
            path: "a.csv".to_owned(),
            source: "gone".into(),
        };
        check(DataFusionError::ObjectStore(Box::new(gone)), User, "input_missing");
    }

    #[test]
    fn our_errors_are_found_under_wrappers() {
        let lost = LostShuffle {
            stage: StageId(3),
            stage_attempt: 1,
            objects: vec!["key".to_owned()],
        };
        let error = DataFusionError::External(Box::new(LostObjects { lost: lost.clone() }));
        let error = DataFusionError::Shared(Arc::new(error.context("while merging")));
        let failure = classify(&error);
        assert_eq!(failure.kind, FailureKind::ShuffleLost);
        assert_eq!(failure.lost, Some(lost));

        let user = Failure::new(FailureKind::User, "assertion_failed", "rows differ");
        let error = ArrowError::ExternalError(Box::new(OperatorError(user.clone())));
        assert_eq!(classify(&DataFusionError::ArrowError(Box::new(error), None)), user);
    }
}
