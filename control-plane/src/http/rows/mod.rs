//! Rows that runs left: results of SQL, and outputs of sinks.
//!
//! **Invariant.** Only what the log of a run names can be read: the files of its committed manifests, by their numbers,
//! and the accepted objects of its result stage.

pub(super) mod outputs;
mod page;
mod reader;
pub(super) mod result;
mod send;

pub use reader::{FileBytes, RowFormat, RowReader, Rows, RowsError};

use axum::http::StatusCode;
use tokio::sync::{OwnedSemaphorePermit, SemaphorePermit};

use super::{Api, Problem};

/// Pages of rows that are read at once: each decodes files.
pub(super) const CONCURRENT_PAGES: usize = 16;
/// Results and files that are sent at once.
pub(super) const CONCURRENT_DOWNLOADS: usize = 64;

fn busy() -> Problem {
    let detail = "this server reads as many rows for others as it can; try again";
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_reads", detail).retry_after(1)
}

/// Room for one more page.
fn room_for_page(api: &Api) -> Result<SemaphorePermit<'_>, Problem> {
    api.pages().try_acquire().map_err(|_| busy())
}

/// Room for one more download.
fn room_for_download(api: &Api) -> Result<OwnedSemaphorePermit, Problem> {
    std::sync::Arc::clone(api.downloads())
        .try_acquire_owned()
        .map_err(|_| busy())
}

impl From<RowsError> for Problem {
    fn from(error: RowsError) -> Self {
        match error {
            RowsError::Gone { message } => Self::new(StatusCode::GONE, "rows_gone", message),
            RowsError::Refused { message } => Self::new(StatusCode::CONFLICT, "rows_unreachable", message),
            RowsError::Unreadable { message } => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "rows_unreadable", message)
            }
            error @ RowsError::Platform { .. } => {
                tracing::error!(error = &error as &dyn std::error::Error, "cannot read rows");
                Self::unavailable("the rows cannot be read at the moment; try again")
            }
        }
    }
}
