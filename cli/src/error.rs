//! How the command fails.

use std::error::Error as _;
use std::io;
use std::process::ExitCode;

use weir_control_plane::http::resources::{RunReason as Reason, RunResult};
use weir_model::RunId;
use weir_model::spec::Diagnostics;

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
    #[error("run {run} {}", match outcome { RunResult::Cancelled => "was cancelled", _ => "failed" })]
    Run {
        run: RunId,
        outcome: RunResult,
        #[source]
        reason: Option<RunReason>,
    },
    /// Ctrl-C.
    #[error("interrupted")]
    Interrupted,
    /// There is no such run.
    #[error("{0}")]
    NotFound(String),
    /// A server wants another key.
    #[error("{0}")]
    Auth(String),
    /// A server refused the request.
    #[error("{0}")]
    Refused(String),
    /// Nobody answers.
    #[error("the server at {endpoint} does not answer; is it running, and is the address right?")]
    Unreachable {
        endpoint: String,
        timed_out: bool,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// What was waited for did not happen in time.
    #[error("{0}")]
    Timeout(String),
    /// Something that is needed is missing, as was printed.
    #[error("{0}")]
    Unfit(String),
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

    /// The error of a server's answer.
    pub(crate) fn refused(status: u16, text: String) -> Self {
        match status {
            400 | 413 | 415 | 422 => Self::Usage(text),
            401 | 403 => Self::Auth(text),
            404 => Self::NotFound(text),
            408 | 504 => Self::Timeout(text),
            409 | 412 | 429 => Self::Conflict(text),
            _ => Self::Refused(text),
        }
    }

    /// 1 run or check failed, 2 usage, 3 authentication, 4 not found, 5 conflict or quota, 6 timeout, 130 interrupted;
    /// 0 is left to success.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Run {
                outcome: RunResult::Cancelled,
                ..
            }
            | Self::Interrupted => 130,
            Self::Timeout(_) | Self::Unreachable { timed_out: true, .. } => 6,
            Self::Run { .. }
            | Self::Io { .. }
            | Self::Platform { .. }
            | Self::Refused(_)
            | Self::Unreachable { .. }
            | Self::Unfit(_) => 1,
            Self::Pipeline(_) | Self::Usage(_) => 2,
            Self::Auth(_) => 3,
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

/// An error and its causes, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
