//! How the command fails.

use std::error::Error as _;
use std::io;
use std::process::ExitCode;

use weir_model::spec::Diagnostics;
use weir_model::{Reason, RunId, RunOutcome};

/// Why the command could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The pipeline is wrong.
    #[error("{0}")]
    Pipeline(Diagnostics),
    /// The statement, a path or an option is wrong.
    #[error("{0}")]
    Usage(String),
    /// The run ended, but not well. Its summary was printed.
    #[error("run {run} {}", match outcome { RunOutcome::Cancelled => "was cancelled", _ => "failed" })]
    Run {
        run: RunId,
        outcome: RunOutcome,
        #[source]
        reason: Option<RunReason>,
    },
    /// Ctrl-C.
    #[error("interrupted")]
    Interrupted,
    /// There is no such run.
    #[error("{0}")]
    NotFound(String),
    /// Another process has the run.
    #[error("{0}")]
    Conflict(String),
    /// A file or stream could not be used.
    #[error("cannot {action}")]
    Io {
        action: String,
        #[source]
        source: io::Error,
    },
    /// The platform failed.
    #[error("cannot {action}")]
    Platform {
        action: &'static str,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Why a run ended as it did.
#[derive(Debug, thiserror::Error)]
#[error("{}: {}", .0.code, .0.message)]
pub(crate) struct RunReason(pub(crate) Reason);

impl Error {
    /// Wraps an error of a lower layer.
    pub(crate) fn platform<E>(action: &'static str) -> impl FnOnce(E) -> Self
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        move |source| Self::Platform {
            action,
            source: source.into(),
        }
    }

    /// Wraps an IO error.
    pub(crate) fn io(action: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let action = action.into();
        move |source| Self::Io { action, source }
    }

    /// 1 run failed, 2 usage, 4 not found, 5 conflict, 130 interrupted; 0 is left to success.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Run {
                outcome: RunOutcome::Cancelled,
                ..
            }
            | Self::Interrupted => 130,
            Self::Run { .. } | Self::Io { .. } | Self::Platform { .. } => 1,
            Self::Pipeline(_) | Self::Usage(_) => 2,
            Self::NotFound(_) => 4,
            Self::Conflict(_) => 5,
        }
    }
}

/// Prints an error with its causes, and gives its exit code.
pub(crate) fn report(error: &Error) -> ExitCode {
    // Whoever reads our stdout went away (`weir sql ... | head`): nobody to tell, and no failure.
    if let Error::Io { source, .. } = error
        && source.kind() == io::ErrorKind::BrokenPipe
    {
        return ExitCode::SUCCESS;
    }
    eprintln!("error: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        eprintln!("  caused by: {error}");
        cause = error.source();
    }
    ExitCode::from(error.exit_code())
}
