use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;

pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a command did not do what it should.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{0}")]
    Usage(String),
    #[error("cannot start `{command}`")]
    Start { command: String, source: io::Error },
    #[error("`{command}` failed ({status})")]
    Failed { command: String, status: ExitStatus },
    #[error("cannot {action} `{}`", path.display())]
    Io {
        action: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("`{command}` printed what was not expected: {problem}")]
    Output { command: String, problem: String },
    #[error(transparent)]
    Guest(#[from] weir_guest_build::Error),
    #[error("cannot make a guest toolchain: {0}")]
    Toolchain(String),
    #[error("{0}")]
    Packages(String),
    #[error("{0}")]
    Python(String),
    #[error("{0}")]
    Terraform(String),
    #[error("failed: {}", .0.join(", "))]
    Steps(Vec<String>),
}

impl Error {
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}
