//! Task messages that are not sent yet: they wait at the gate, or for the end of a backoff.
//!
//! There are at most as many as the run has tasks, each much smaller than what the state holds of its task. They need
//! not be kept anywhere else: whoever takes the run over finds in the log what was not sent.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use weir_model::{TaskId, TaskMessage, Timestamp};

/// A message, apart from what the tasks of its stage share.
#[derive(Debug)]
pub(super) struct Kept {
    template: Arc<TaskMessage>,
    pub(super) task: TaskId,
    pub(super) attempt: u32,
    partitions: Range<u32>,
    /// The cursor of the outbox before it.
    pub(super) before: u64,
    /// Whether the task has another attempt, which somebody runs.
    is_copy: bool,
}

impl Kept {
    pub(super) fn stage_attempt(&self) -> u32 {
        self.template.stage_attempt
    }

    /// The message as it is sent.
    pub(super) fn message(&self) -> TaskMessage {
        TaskMessage {
            task: self.task,
            attempt: self.attempt,
            partitions: self.partitions.clone(),
            ..(*self.template).clone()
        }
    }
}

/// The messages of a run that are not sent yet.
#[derive(Debug, Default)]
pub(super) struct KeptBack {
    ready: VecDeque<Kept>,
    /// Those whose backoff is not over, in the order of its end.
    delayed: BTreeMap<(Timestamp, u64), Kept>,
    next_delayed: u64,
    /// Tasks of which nobody runs another attempt.
    tasks: usize,
    latest: Option<Arc<TaskMessage>>,
}

impl KeptBack {
    /// Keeps a message.
    pub(super) fn push(&mut self, message: TaskMessage, not_before: Option<Timestamp>, before: u64, is_copy: bool) {
        let (task, attempt, partitions) = (message.task, message.attempt, message.partitions.clone());
        let kept = Kept {
            template: self.template(message),
            task,
            attempt,
            partitions,
            before,
            is_copy,
        };
        self.tasks += usize::from(!is_copy);
        match not_before {
            Some(time) => {
                self.delayed.insert((time, self.next_delayed), kept);
                self.next_delayed += 1;
            }
            // The run waits for it already.
            None if is_copy => self.ready.push_front(kept),
            None => self.ready.push_back(kept),
        }
    }

    /// What the message shares with that before it, if that is everything but the task.
    fn template(&mut self, mut message: TaskMessage) -> Arc<TaskMessage> {
        if let Some(latest) = &self.latest {
            message.task.index = latest.task.index;
            message.attempt = latest.attempt;
            message.partitions = latest.partitions.clone();
            if message == **latest {
                return latest.clone();
            }
        }
        self.latest.insert(Arc::new(message)).clone()
    }

    /// Has those go on whose backoff is over.
    pub(super) fn wake(&mut self, now: Timestamp) {
        while let Some(entry) = self.delayed.first_entry()
            && entry.key().0 <= now
        {
            self.ready.push_back(entry.remove());
        }
    }

    /// When the next backoff is over.
    pub(super) fn next_wake(&self) -> Option<Timestamp> {
        self.delayed.first_key_value().map(|((time, _), _)| *time)
    }

    /// Messages that wait for nothing but the gate.
    pub(super) fn ready(&self) -> usize {
        self.ready.len()
    }

    /// Tasks whose only attempt is kept back.
    pub(super) fn tasks(&self) -> usize {
        self.tasks
    }

    /// The next message to send.
    pub(super) fn pop(&mut self) -> Option<Kept> {
        let kept = self.ready.pop_front()?;
        self.tasks -= usize::from(!kept.is_copy);
        Some(kept)
    }

    /// All messages, which are not wanted any more.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Kept> {
        let all = std::mem::take(self);
        all.ready.into_iter().chain(all.delayed.into_values())
    }
}

#[cfg(test)]
mod tests {
    use weir_model::{Digest, RunId, StageId};

    use super::*;

    fn message(stage: u32, index: u32) -> TaskMessage {
        TaskMessage {
            namespace: Default::default(),
            run: RunId::from_parts(Timestamp(1), 1),
            task: TaskId {
                stage: StageId(stage),
                index,
            },
            stage_attempt: 0,
            attempt: index % 2,
            tasks: 9,
            partitions: index..index + 1,
            plan: Digest::of(&[stage as u8]),
            inputs: Vec::new(),
            pauses: 0,
            time_limit_ms: None,
            traceparent: None,
        }
    }

    #[test]
    fn messages_come_out_as_they_went_in_and_share_what_is_the_same() {
        let mut kept = KeptBack::default();
        for (stage, index) in [(0, 0), (0, 1), (0, 2), (1, 2), (1, 0)] {
            kept.push(message(stage, index), None, 0, false);
        }
        assert_eq!((kept.ready(), kept.tasks()), (5, 5));
        let first = kept.pop().unwrap();
        assert_eq!(first.message(), message(0, 0));
        let second = kept.pop().unwrap();
        assert!(Arc::ptr_eq(&first.template, &second.template));
        assert_eq!(second.message(), message(0, 1));
        assert_eq!(kept.pop().unwrap().message(), message(0, 2));
        let other = kept.pop().unwrap();
        assert!(!Arc::ptr_eq(&first.template, &other.template));
        assert_eq!(other.message(), message(1, 2));
        assert_eq!(kept.drain().count(), 1);
        assert_eq!((kept.ready(), kept.tasks()), (0, 0));
    }

    #[test]
    fn backoffs_are_waited_for_and_copies_are_not() {
        let mut kept = KeptBack::default();
        kept.push(message(0, 0), Some(Timestamp(20)), 0, false);
        kept.push(message(0, 1), Some(Timestamp(10)), 0, false);
        kept.push(message(0, 2), None, 0, false);
        kept.push(message(0, 3), None, 0, true);
        assert_eq!((kept.ready(), kept.tasks()), (2, 3));
        assert_eq!(kept.next_wake(), Some(Timestamp(10)));
        kept.wake(Timestamp(9));
        assert_eq!(kept.pop().unwrap().task.index, 3);
        assert_eq!(kept.pop().unwrap().task.index, 2);
        assert!(kept.pop().is_none());
        kept.wake(Timestamp(10));
        assert_eq!(kept.pop().unwrap().task.index, 1);
        assert_eq!(kept.next_wake(), Some(Timestamp(20)));
        assert_eq!(kept.drain().next().unwrap().task.index, 0);
        assert_eq!(kept.next_wake(), None);
    }
}
