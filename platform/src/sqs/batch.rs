//! Entries of batch calls: how they are put together, and what became of them.

use std::time::Duration;

use crate::{MAX_MESSAGE_BYTES, QueueError};

/// Entries in one call.
pub(super) const ENTRIES: usize = 10;
/// Tries of an entry that the service refused while it took the call.
pub(super) const TRIES: u32 = 4;
/// The wait before the second try of an entry; each further one doubles it.
const FIRST_BACKOFF: Duration = Duration::from_millis(50);

/// Cuts messages into batches that one call takes: by number, and by their sizes together.
pub(super) fn cut<T>(items: Vec<T>, size: impl Fn(&T) -> usize) -> Vec<Vec<T>> {
    let (mut batches, mut batch, mut bytes) = (Vec::new(), Vec::new(), 0);
    for item in items {
        let more = size(&item);
        if !batch.is_empty() && (batch.len() == ENTRIES || bytes + more > MAX_MESSAGE_BYTES) {
            batches.push(std::mem::take(&mut batch));
            bytes = 0;
        }
        batch.push(item);
        bytes += more;
    }
    batches.extend((!batch.is_empty()).then_some(batch));
    batches
}

/// An entry that the service did not take.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{code}: {message}")]
pub(super) struct Refused {
    /// Its place in the batch.
    pub(super) entry: usize,
    /// Whether it is the entry's fault, so that trying again is of no use.
    pub(super) sender_fault: bool,
    pub(super) code: String,
    pub(super) message: String,
}

impl Refused {
    pub(super) fn new(error: &aws_sdk_sqs::types::BatchResultErrorEntry) -> Self {
        let code = error.code();
        Self {
            // We chose the ids; one that we did not choose must not make the error vanish.
            entry: error.id().parse().unwrap_or(0),
            sender_fault: error.sender_fault(),
            // The older protocol puts `AWS.SimpleQueueService.` before it.
            code: code.rsplit('.').next().unwrap_or(code).to_owned(),
            message: error.message().unwrap_or("no reason was given").to_owned(),
        }
    }

    /// Whether a receipt is one of a delivery that is over.
    pub(super) fn is_stale_receipt(&self) -> bool {
        matches!(
            self.code.as_str(),
            "InvalidParameterValue" | "InvalidReceiptHandle" | "MessageNotInflight" | "ReceiptHandleIsInvalid"
        )
    }

    pub(super) fn into_error(self, action: &'static str) -> QueueError {
        QueueError::Service {
            action,
            source: Box::new(self),
        }
    }
}

/// The wait before a try, the second being number one.
pub(super) fn backoff(tried: u32) -> Duration {
    FIRST_BACKOFF * 2_u32.pow(tried.clamp(1, 10) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lengths(sizes: &[usize]) -> Vec<usize> {
        cut(sizes.to_vec(), |size| *size).iter().map(Vec::len).collect()
    }

    #[test]
    fn batches_are_bounded_in_number_and_in_size() {
        assert_eq!(lengths(&[]), [0; 0]);
        assert_eq!(lengths(&[1; 25]), [10, 10, 5]);
        assert_eq!(lengths(&[MAX_MESSAGE_BYTES; 3]), [1, 1, 1]);
        assert_eq!(lengths(&[MAX_MESSAGE_BYTES / 2; 5]), [2, 2, 1]);
        assert_eq!(lengths(&[MAX_MESSAGE_BYTES - 1, 1, 1]), [2, 1]);
    }
}
