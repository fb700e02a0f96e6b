//! How much of the log has been sent.
//!
//! The log is the outbox of task messages. Its cursor says up to which event all messages were sent; the store learns
//! it with the next append. Whoever takes the run over sends what comes after the cursor and was not started.

use std::collections::BTreeMap;

/// Which events' messages were sent.
#[derive(Debug)]
pub(super) struct Outbox {
    /// The cursors from before each batch of messages that are not all sent, with their number.
    sending: BTreeMap<u64, usize>,
    /// The cursor when nothing is left to send.
    through: u64,
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

    /// Messages are to be sent that belong to events after the cursor, which is given.
    pub(super) fn begin(&mut self, messages: usize) -> u64 {
        let before = self.cursor();
        if messages > 0 {
            *self.sending.entry(before).or_default() += messages;
        }
        before
    }

    /// The messages of all events up to `seq` have [begun](Self::begin) to be sent.
    pub(super) fn begun(&mut self, seq: u64) {
        self.through = seq;
    }

    /// A message was sent, or is not to be sent any more, that was begun with at this cursor.
    pub(super) fn end(&mut self, before: u64) {
        if let Some(count) = self.sending.get_mut(&before) {
            *count -= 1;
            if *count == 0 {
                self.sending.remove(&before);
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
        let first = outbox.begin(1);
        outbox.begun(10);
        let second = outbox.begin(1);
        outbox.begun(20);
        assert_eq!(outbox.cursor(), 5);
        outbox.end(second);
        assert_eq!(outbox.cursor(), 5, "the first is still being sent");
        outbox.end(first);
        assert_eq!(outbox.cursor(), 20);
        assert_eq!(outbox.begin(0), 20);
        outbox.begun(30);
        assert_eq!(outbox.cursor(), 30);
    }
}
