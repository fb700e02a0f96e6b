//! Why a job could not be planned.

use datafusion::error::DataFusionError;
use weir_model::spec::Diagnostics;
use weir_model::{Failure, FailureKind};
use weir_platform::{StorageError, templates};

use crate::depth::TooDeep;
use crate::task::OperatorError;
use crate::wasm::ModuleError;

/// Why a job could not be planned.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The pipeline is wrong; every problem that was found, with its place.
    #[error("{0}")]
    Pipeline(Diagnostics),
    /// Putting the parameters into the pipeline takes too much.
    #[error("{0}")]
    TemplateTooLarge(templates::Error),
    /// The SQL statement is wrong, or a file that it names cannot be read.
    #[error("{0}")]
    Query(String),
    /// The SQL statement is wrong at a place that is known.
    #[error("{message}")]
    QueryAt {
        /// What is wrong.
        message: String,
        /// The line of the statement, from one.
        line: u64,
        /// The column of the line, in characters, from one.
        column: u64,
    },
    /// The job nests too deep, or is too large.
    #[error("{0}")]
    TooDeep(TooDeep),
    /// The job is fine, the platform is not.
    #[error("cannot plan the run")]
    Platform(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl PlanError {
    /// The failure that ends the run.
    pub fn to_failure(&self) -> Failure {
        match self {
            Self::Pipeline(_) => Failure::new(FailureKind::User, "invalid_pipeline", self.to_string()),
            Self::TemplateTooLarge(_) => Failure::new(FailureKind::User, "template_too_large", self.to_string()),
            Self::Query(_) | Self::QueryAt { .. } => Failure::new(FailureKind::User, "invalid_query", self.to_string()),
            Self::TooDeep(_) => Failure::new(FailureKind::User, "query_too_deep", self.to_string()),
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
        if let DataFusionError::External(cause) = error.find_root()
            && let Some(too_deep) = cause.downcast_ref::<TooDeep>()
        {
            return Self::TooDeep(*too_deep);
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
            root => {
                let message = root.strip_backtrace();
                let span = error.diagnostic().and_then(|diagnostic| diagnostic.span);
                let place = span.map(|span| (span.start.line, span.start.column));
                Self::query_at(message.clone(), place.or_else(|| place_in(&message)))
            }
        }
    }

    /// Something that is wrong with a statement, at a line and column if they are known.
    pub(crate) fn query_at(message: String, place: Option<(u64, u64)>) -> Self {
        match place {
            Some((line, column)) if line > 0 => Self::QueryAt { message, line, column },
            _ => Self::Query(message),
        }
    }
}

/// The place that the parser names in its messages: `... at Line: 1, Column: 8`.
pub(crate) fn place_in(message: &str) -> Option<(u64, u64)> {
    let number = |text: &str| {
        let digits = text.trim_start().split(|c: char| !c.is_ascii_digit()).next()?;
        digits.parse().ok()
    };
    let (_, rest) = message.rsplit_once("Line:")?;
    let (line, rest) = rest.split_once("Column:")?;
    Some((number(line)?, number(rest)?))
}

impl From<ModuleError> for PlanError {
    fn from(error: ModuleError) -> Self {
        match (error.is_user(), std::error::Error::source(&error)) {
            (true, Some(source)) => Self::Query(format!("{error}: {source}")),
            (true, None) => Self::Query(error.to_string()),
            _ => Self::Platform(Box::new(error)),
        }
    }
}

impl From<templates::Error> for PlanError {
    fn from(error: templates::Error) -> Self {
        match error {
            templates::Error::Pipeline(diagnostics) => Self::Pipeline(diagnostics),
            templates::Error::TooLarge => Self::TemplateTooLarge(error),
            templates::Error::Busy | templates::Error::Process(_) => Self::Platform(Box::new(error)),
        }
    }
}

impl From<StorageError> for PlanError {
    fn from(error: StorageError) -> Self {
        Self::Platform(Box::new(error))
    }
}
