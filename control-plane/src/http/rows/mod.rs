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

use std::time::Duration;

use axum::http::StatusCode;

use super::caller::Caller;
use super::pool::Room;
use super::{Api, Problem};

/// Pages of rows that are read at once: each decodes files.
pub(super) const CONCURRENT_PAGES: usize = 16;
/// Results and files that are sent at once.
pub(super) const CONCURRENT_DOWNLOADS: usize = 64;
/// How long one waits for room: others of the namespace may be reading.
const PATIENCE: Duration = Duration::from_secs(10);

/// Room for one more page.
async fn room_for_page(api: &Api, caller: &Caller) -> Result<Room, Problem> {
    let room = api.rooms().pages.wait(caller.namespace(), PATIENCE).await;
    room.map_err(|full| full.problem("too_many_reads", "pages of rows"))
}

/// Room for one more download.
async fn room_for_download(api: &Api, caller: &Caller) -> Result<Room, Problem> {
    let room = api.rooms().downloads.wait(caller.namespace(), PATIENCE).await;
    room.map_err(|full| full.problem("too_many_reads", "downloads"))
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
