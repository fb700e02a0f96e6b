//! Message queues with SQS's semantics: at least once, unordered, with visibility timeouts.

use std::time::Duration;

use async_trait::async_trait;

/// A message to send.
#[derive(Clone, Debug)]
pub struct SendMessage {
    /// The body, UTF-8, at most 256 KiB.
    pub body: String,
    /// The message group: a tenant, between which the queue is fair.
    pub group: String,
    /// Hidden from receivers for this long, at most 15 minutes.
    pub delay: Duration,
}

/// A message that was received and is invisible to others until its visibility timeout.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The body.
    pub body: String,
    /// What [`Queue::delete`] and [`Queue::extend`] take. Goes stale when the message is delivered again.
    pub receipt: Receipt,
    /// How often this message has been delivered, from one.
    pub receive_count: u32,
}

/// One delivery of one message.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Receipt(pub String);

/// A queue call failed.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// The queue is full.
    #[error("the queue holds {limit} messages already; try again later")]
    Full {
        /// The bound.
        limit: usize,
    },
    /// The service said no, or did not answer.
    #[error("cannot {action} messages")]
    Service {
        /// What was tried: `send`, `receive`, …
        action: &'static str,
        /// Why it failed.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// A queue. Implementations are cheap to share behind an `Arc`.
#[async_trait]
pub trait Queue: Send + Sync + 'static {
    /// Sends messages; after an error some may have been sent.
    async fn send(&self, messages: Vec<SendMessage>) -> Result<(), QueueError>;

    /// Receives up to `max` messages, waiting up to `wait` for the first. They stay invisible for `visibility`.
    async fn receive(&self, max: usize, wait: Duration, visibility: Duration) -> Result<Vec<Delivery>, QueueError>;

    /// Deletes messages that were handled; stale receipts are ignored.
    async fn delete(&self, receipts: Vec<Receipt>) -> Result<(), QueueError>;

    /// Keeps messages invisible for `visibility` from now; stale receipts are ignored.
    async fn extend(&self, receipts: Vec<Receipt>, visibility: Duration) -> Result<(), QueueError>;
}
