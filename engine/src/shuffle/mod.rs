//! Shuffle objects: how rows get from the tasks of one stage to the tasks of the next.
//!
//! A map task writes one object. It holds, ordered by shuffle partition, Arrow IPC messages (dictionary and record
//! batches, LZ4) without a schema message: the schema is that of the plan, which both sides have. Where each partition
//! lies travels in the task's report ([`PartitionSpan`](weir_model::PartitionSpan)) and reaches readers through the
//! stage's manifest, so nobody lists storage.
//!
//! Readers follow the manifest and nothing else. An object that is gone is [`LostObjects`], which re-runs just the
//! tasks that made it.

mod inputs;
mod ipc;
pub(crate) mod reader;
#[cfg(test)]
mod tests;
mod writer;

pub(crate) use inputs::ManifestCache;
pub use inputs::{LostObjects, ShuffleInputs};
pub use ipc::{BatchDecoder, BatchEncoder};
pub use reader::ShuffleReaderExec;
pub use writer::{ShuffleMetrics, ShuffleWriter};
