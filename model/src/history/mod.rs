//! How the history of a run is written when it is over: its attempts in pages of columns, and what is known of each page,
//! so that a view reads few of them.
//!
//! Where the objects lie is said by [`layout`](crate::layout): a summary, and pages of attempts, events and log lines.
//! The control plane writes, compresses and reads them; here is what their bytes mean.

mod attempts;
mod columns;

pub use attempts::{AttemptPage, AttemptPageIndex, Bounds, PageStage, PlacedTask, ROWS_PER_PAGE};
pub use columns::InvalidColumns;
