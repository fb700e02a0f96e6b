//! The world outside the process, behind interfaces that embedded and service mode both implement: object storage,
//! queues, the clock, output folders, telemetry, and the processes that templates are rendered in.
//!
//! **Invariants.** Every call has a time limit and says what it was doing when it fails. Queues deliver at least once,
//! in no order. Nothing above this crate may know which implementation runs.
//!
//! **Boundary.** Knows bytes, keys, files and messages; does not know jobs or plans.

pub mod aws;
pub mod clock;
pub mod limits;
mod memory_queue;
pub mod output;
mod queue;
pub mod s3;
mod sqs;
mod storage;
pub mod telemetry;
pub mod templates;

pub use memory_queue::{MemoryQueue, MemoryQueueOptions};
pub use queue::{Delivery, MAX_DELAY, MAX_MESSAGE_BYTES, Queue, QueueError, Receipt, SendMessage};
pub use sqs::SqsQueue;
pub use storage::{ListedObject, Storage, StorageError, StorageOptions};
