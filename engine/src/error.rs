//! Why a job could not be planned.

use datafusion::error::DataFusionError;
use weir_model::spec::Diagnostics;
use weir_model::{Failure, FailureKind};
use weir_platform::StorageError;

use crate::task::OperatorError;
use crate::wasm::ModuleError;

/// Why a job could not be planned.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The pipeline is wrong; every problem that was found, with its place.
    #[error("{0}")]
    Pipeline(Diagnostics),
    /// The SQL statement is wrong, or a file that it names cannot be read.
    #[error("{0}")]
    Query(String),
    /// The job is fine, the platform is not.
    #[error("cannot plan the run")]
    Platform(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl PlanError {
    /// The failure that ends the run.
    pub fn to_failure(&self) -> Failure {
        match self {
            Self::Pipeline(_) => Failure::new(FailureKind::User, "invalid_pipeline", self.to_string()),
            Self::Query(_) => Failure::new(FailureKind::User, "invalid_query", self.to_string()),
            Self::Platform(source) => {
                let mut message = format!("{self}: {source}");
                let mut source = source.source();
                while let Some(error) = source {
                    message.push_str(&format!(": {error}"));
                    source = error.source();
                }
                Failure::new(FailureKind::Platform, "planning_failed", message)
            }
        }
    }

    /// Sorts an error of the planner: most are about the query, those of files and memory are not.
    pub(crate) fn from_datafusion(error: DataFusionError) -> Self {
        use object_store::Error;
        if let Some(OperatorError(failure)) = OperatorError::find(&error) {
            return match failure.kind {
                FailureKind::User => Self::Query(failure.message.clone()),
                _ => Self::Platform(Box::new(error)),
            };
        }
        match error.find_root() {
            // The rights to it, and whether there is such a bucket, are the user's.
            DataFusionError::ObjectStore(cause)
                if !matches!(
                    **cause,
                    Error::NotFound { .. } | Error::PermissionDenied { .. } | Error::NotSupported { .. }
                ) =>
            {
                Self::Platform(Box::new(error))
            }
            DataFusionError::IoError(_)
            | DataFusionError::ResourcesExhausted(_)
            | DataFusionError::ExecutionJoin(_) => Self::Platform(Box::new(error)),
            root => Self::Query(root.strip_backtrace()),
        }
    }
}

impl From<ModuleError> for PlanError {
    fn from(error: ModuleError) -> Self {
        match (error.is_user(), std::error::Error::source(&error)) {
            (true, Some(source)) => Self::Query(format!("{error}: {source}")),
            _ => Self::Platform(Box::new(error)),
        }
    }
}

impl From<StorageError> for PlanError {
    fn from(error: StorageError) -> Self {
        Self::Platform(Box::new(error))
    }
}
