//! How much of the log has been sent.
//!
//! The log is the outbox of task messages. Its cursor says up to which event all messages were sent; the store learns
//! it with the next append. Whoever takes the run over sends what comes after the cursor and was not started.

use std::collections::BTreeMap;

/// Which events' messages were sent.
#[derive(Debug)]
pub(super) struct Outbox {
    /// The cursors from before each batch of messages that is being sent, with their number.
    sending: BTreeMap<u64, u32>,
    /// The cursor when nothing is being sent.
    through: u64,
}

/// Messages that are being sent.
#[derive(Debug)]
pub(super) struct Sending {
    before: u64,
}

impl Outbox {
    /// The outbox of a log of whose messages those up to `through` are known to be sent.
    pub(super) fn new(through: u64) -> Self {
        Self {
            sending: BTreeMap::new(),
            through,
        }
    }

    /// The place in the log up to which all messages were sent.
    pub(super) fn cursor(&self) -> u64 {
        self.sending.keys().next().copied().unwrap_or(self.through)
    }

    /// Messages are about to be sent that belong to events after the cursor.
    pub(super) fn begin(&mut self) -> Sending {
        let before = self.cursor();
        *self.sending.entry(before).or_default() += 1;
        Sending { before }
    }

    /// The messages of all events up to `seq` have [begun](Self::begin) to be sent.
    pub(super) fn begun(&mut self, seq: u64) {
        self.through = seq;
    }

    /// Messages were sent.
    pub(super) fn end(&mut self, sent: Sending) {
        if let Some(count) = self.sending.get_mut(&sent.before) {
            *count -= 1;
            if *count == 0 {
                self.sending.remove(&sent.before);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cursor_waits_for_every_message_before_it() {
        let mut outbox = Outbox::new(3);
        assert_eq!(outbox.cursor(), 3);
        outbox.begun(5);
        assert_eq!(outbox.cursor(), 5, "events without messages are not waited for");
        let first = outbox.begin();
        outbox.begun(10);
        let second = outbox.begin();
        outbox.begun(20);
        assert_eq!(outbox.cursor(), 5);
        outbox.end(second);
        assert_eq!(outbox.cursor(), 5, "the first is still being sent");
        outbox.end(first);
        assert_eq!(outbox.cursor(), 20);
    }
}
