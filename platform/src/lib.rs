//! The world outside the process, behind traits that embedded and service mode both implement: object storage, queues
//! and telemetry.
//!
//! **Invariants.** Every call has a time limit and says what it was doing when it fails. Queues deliver at least once,
//! in no order. Nothing above this crate may know which implementation runs.
//!
//! **Boundary.** Knows bytes, keys and messages; does not know jobs or plans.

mod queue;
mod storage;

pub use queue::{Delivery, Queue, QueueError, Receipt, SendMessage};
pub use storage::{Storage, StorageError};
