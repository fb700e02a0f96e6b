//! Why an output could not be committed.

use std::io;
use std::path::{Path, PathBuf};

use weir_model::{Failure, FailureKind};

use crate::s3::S3UrlError;

/// An output could not be committed or aborted.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file system said no.
    #[error("cannot {action} `{}`", path.display())]
    Io {
        /// The transform whose output it is.
        transform: String,
        /// What was tried.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The object storage said no, or nothing.
    #[error("cannot {action} `{url}`")]
    Storage {
        /// The transform whose output it is.
        transform: String,
        /// What was tried.
        action: &'static str,
        /// Where.
        url: String,
        /// Why not.
        #[source]
        source: Box<object_store::Error>,
    },
    /// The place of an output is none.
    #[error("the output cannot be there")]
    BadPlace {
        /// The transform whose output it is.
        transform: String,
        /// Why not.
        #[source]
        source: S3UrlError,
    },
    /// A file that an accepted attempt staged is not there, or not whole, and neither is its target.
    #[error("the staged file `{}` is gone or incomplete", path.display())]
    Lost {
        /// The transform whose output it is.
        transform: String,
        /// The staged file.
        path: PathBuf,
    },
    /// A file would be put outside of the folder of its output, or where another one goes.
    #[error("`{target}` is not a file of its own in the output folder `{}`", folder.display())]
    BadTarget {
        /// The transform whose output it is.
        transform: String,
        /// Where the file would be.
        target: String,
        /// The folder of the output.
        folder: PathBuf,
    },
}

impl Error {
    pub(super) fn io(transform: &str, action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io {
            transform: transform.to_owned(),
            action,
            path: path.to_owned(),
            source,
        }
    }

    pub(super) fn storage(transform: &str, action: &'static str, url: String, source: object_store::Error) -> Self {
        Self::Storage {
            transform: transform.to_owned(),
            action,
            url,
            source: Box::new(source),
        }
    }

    /// Whether the same call may succeed later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Io { .. } => self.kind() == FailureKind::Platform,
            Self::Storage { source, .. } => matches!(**source, object_store::Error::Generic { .. }),
            _ => false,
        }
    }

    /// The failure to report for a run.
    pub fn to_failure(&self) -> Failure {
        let (transform, code, message) = match self {
            Self::Io {
                transform,
                action,
                path,
                source,
            } => {
                let path = path.display();
                match self.kind() {
                    FailureKind::User => (
                        transform,
                        "output_not_writable",
                        format!(
                            "cannot {action} `{path}`: {source}; choose an output path that this user may write to"
                        ),
                    ),
                    _ => (
                        transform,
                        "commit_failed",
                        format!("cannot {action} `{path}`: {source}"),
                    ),
                }
            }
            Self::Storage { transform, source, .. } => match self.kind() {
                FailureKind::User => (
                    transform,
                    "output_not_writable",
                    format!("{self}: {source}; choose an output that the workers' role may write to"),
                ),
                _ => (transform, "commit_failed", format!("{self}: {source}")),
            },
            Self::BadPlace { transform, source } => (transform, "bad_output_target", source.to_string()),
            Self::Lost { transform, .. } => (
                transform,
                "output_lost",
                format!("{self}; something outside of the run has deleted or changed it: run the job again"),
            ),
            Self::BadTarget { transform, .. } => (transform, "bad_output_target", self.to_string()),
        };
        Failure {
            transform: (!transform.is_empty()).then(|| transform.clone()),
            ..Failure::new(self.kind(), code, message)
        }
    }

    fn kind(&self) -> FailureKind {
        use io::ErrorKind;
        match self {
            Self::Io { source, .. } => match source.kind() {
                ErrorKind::PermissionDenied
                | ErrorKind::ReadOnlyFilesystem
                | ErrorKind::NotADirectory
                | ErrorKind::IsADirectory
                | ErrorKind::AlreadyExists
                | ErrorKind::InvalidFilename
                | ErrorKind::InvalidInput => FailureKind::User,
                _ => FailureKind::Platform,
            },
            Self::Storage { source, .. } => match **source {
                object_store::Error::PermissionDenied { .. } | object_store::Error::NotSupported { .. } => {
                    FailureKind::User
                }
                _ => FailureKind::Platform,
            },
            Self::BadPlace { .. } => FailureKind::User,
            Self::Lost { .. } | Self::BadTarget { .. } => FailureKind::Platform,
        }
    }
}
