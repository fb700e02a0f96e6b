//! Message queues with SQS's semantics: at least once, unordered, with visibility timeouts.

use std::time::Duration;

use async_trait::async_trait;

/// The largest message, its trace context included, in bytes.
pub const MAX_MESSAGE_BYTES: usize = 256 * 1024;
/// The longest delay of a message.
pub const MAX_DELAY: Duration = Duration::from_secs(15 * 60);

/// A message to send.
#[derive(Clone, Debug)]
pub struct SendMessage {
    /// The body, not empty, at most [`MAX_MESSAGE_BYTES`].
    pub body: String,
    /// The message group: a tenant, between which the queue is fair.
    pub group: String,
    /// Hidden from receivers for this long, at most [`MAX_DELAY`].
    pub delay: Duration,
    /// W3C `traceparent` of what the message belongs to.
    pub traceparent: Option<String>,
}

impl SendMessage {
    /// A message that may be received at once.
    pub fn new(body: impl Into<String>, group: impl Into<String>) -> Self {
        Self {
            body: body.into(),
            group: group.into(),
            delay: Duration::ZERO,
            traceparent: None,
        }
    }

    /// What counts against [`MAX_MESSAGE_BYTES`].
    pub fn size(&self) -> usize {
        self.body.len()
            + self
                .traceparent
                .as_ref()
                .map_or(0, |value| attribute_size(TRACEPARENT, value))
    }

    pub(crate) fn check_size(&self) -> Result<(), QueueError> {
        match self.size() {
            bytes if bytes > MAX_MESSAGE_BYTES => Err(QueueError::TooLarge { bytes }),
            _ => Ok(()),
        }
    }
}

/// The name of the attribute that carries the trace context.
pub(crate) const TRACEPARENT: &str = "traceparent";

/// Bytes of an attribute of type `String`, as SQS counts them.
pub(crate) fn attribute_size(name: &str, value: &str) -> usize {
    name.len() + "String".len() + value.len()
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
    /// W3C `traceparent` that was sent with it.
    pub traceparent: Option<String>,
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
    /// A message is too large, and so none was sent.
    #[error(
        "a message has {bytes} bytes and may have {MAX_MESSAGE_BYTES}; put what is large into the storage and send its key"
    )]
    TooLarge {
        /// Its size.
        bytes: usize,
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

    /// Receives up to `max` messages, waiting up to `wait` for the first. They stay invisible for `visibility`. When it
    /// is dropped, no message is lost: at worst some come back when their visibility timeout is over.
    async fn receive(&self, max: usize, wait: Duration, visibility: Duration) -> Result<Vec<Delivery>, QueueError>;

    /// Deletes messages that were handled; stale receipts are ignored.
    async fn delete(&self, receipts: Vec<Receipt>) -> Result<(), QueueError>;

    /// Keeps messages invisible for `visibility` from now, which with zero gives them back; stale receipts are ignored.
    async fn extend(&self, receipts: Vec<Receipt>, visibility: Duration) -> Result<(), QueueError>;

    /// Whether the queue can be reached, and exists.
    async fn check(&self) -> Result<(), QueueError> {
        Ok(())
    }
}
