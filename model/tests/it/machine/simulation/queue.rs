//! Queues as SQS has them: at least once, in any order, hidden while somebody has a message.

use std::collections::BTreeMap;

use weir_model::{TaskMessage, TaskReport};

use super::world::{Action, World, note};

pub(super) struct Queue<T> {
    messages: BTreeMap<u64, Queued<T>>,
}

pub(super) struct Queued<T> {
    pub(super) body: T,
    /// Hidden until then.
    pub(super) visible_at: u64,
    pub(super) receives: u32,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self {
            messages: BTreeMap::new(),
        }
    }
}

impl<T> Queue<T> {
    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    pub(super) fn put(&mut self, id: u64, body: T, visible_at: u64) {
        self.messages.insert(
            id,
            Queued {
                body,
                visible_at,
                receives: 0,
            },
        );
    }

    pub(super) fn get_mut(&mut self, id: u64) -> Option<&mut Queued<T>> {
        self.messages.get_mut(&id)
    }

    pub(super) fn delete(&mut self, id: u64) {
        self.messages.remove(&id);
    }
}

impl World {
    pub(super) fn send_task(&mut self, message: TaskMessage, wait_ms: u64) {
        if self.strikes(|faults| faults.message_lost) {
            self.saw("a message is lost");
            note!(
                self,
                "the message of {} attempt {} is lost",
                message.task,
                message.attempt
            );
            return;
        }
        let id = self.id();
        let at = self.now + wait_ms + self.travel_ms();
        self.tasks.put(id, message, at);
        self.schedule(at, Action::Message(id));
    }

    pub(super) fn send_report(&mut self, report: TaskReport, wait_ms: u64) {
        if self.strikes(|faults| faults.report_lost) {
            self.saw("a report is lost");
            note!(self, "a report of {} attempt {} is lost", report.task, report.attempt);
            return;
        }
        let id = self.id();
        let at = self.now + wait_ms + self.travel_ms();
        self.reports.put(id, report, at);
        self.schedule(at, Action::Report(id));
    }

    fn travel_ms(&mut self) -> u64 {
        match self.strikes(|faults| faults.late) {
            true => self.rng.between(20, 800),
            false => self.rng.between(1, 4),
        }
    }

    /// How long a message stays hidden that somebody takes now.
    pub(super) fn hidden_for(&mut self) -> u64 {
        if self.strikes(|faults| faults.doubled) {
            self.saw("something is delivered twice");
            return self.rng.between(1, 20);
        }
        self.scenario.times.visibility
    }
}
