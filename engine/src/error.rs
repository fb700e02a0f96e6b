//! Why a job could not be planned.

use weir_model::spec::Diagnostics;
use weir_model::{Failure, FailureKind};

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
                Failure::new(FailureKind::Platform, "planning_failed", format!("{self}: {source}"))
            }
        }
    }
}
