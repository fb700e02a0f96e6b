//! The database: the log, the lease, and the cursor of the outbox.

use weir_model::machine::{Input, RunState, apply, decide};
use weir_model::{Event, EventRecord, RunId, Submission, Timestamp};

pub(super) struct Store {
    pub(super) log: Vec<EventRecord>,
    /// What the log says.
    pub(super) truth: RunState,
    /// The place in the log up to which the messages of tasks are known to have been sent.
    pub(super) sent_through: u64,
    epoch: u64,
    lease_ms: u64,
    leased_until: u64,
    cancel_requested: bool,
    pause_requested: bool,
    cleaned: bool,
}

/// The lease is not the current one.
#[derive(Debug)]
pub(super) struct Fenced;

impl Store {
    /// With a run that was submitted, and that nobody owns.
    pub(super) fn new(submission: &Submission, lease_ms: u64, at: Timestamp) -> Self {
        let mut store = Self {
            log: Vec::new(),
            truth: RunState::new(RunId::from_parts(Timestamp(1), 1)),
            sent_through: 0,
            epoch: 0,
            lease_ms,
            leased_until: 0,
            cancel_requested: false,
            pause_requested: false,
            cleaned: false,
        };
        let submit = Input::Submit(Box::new(submission.clone()));
        for event in decide(&store.truth, &submit, at).events {
            store.put(EventRecord {
                run: store.truth.run(),
                seq: store.truth.next_seq(),
                at,
                event,
            });
        }
        store
    }

    pub(super) fn events(&self) -> impl Iterator<Item = &Event> {
        self.log.iter().map(|record| &record.event)
    }

    /// Gives the number of events that are new.
    pub(super) fn append(&mut self, epoch: u64, records: &[EventRecord], sent_through: u64) -> Result<usize, Fenced> {
        if epoch != self.epoch {
            return Err(Fenced);
        }
        let first = records.first().map_or(self.log.len(), |record| record.seq as usize - 1);
        let known = self.log.get(first..).unwrap_or_default();
        let new = if known.is_empty() && first == self.log.len() {
            records
        } else if known == records {
            &[]
        } else {
            return Err(Fenced);
        };
        for record in new {
            self.put(record.clone());
        }
        self.sent_through = self.sent_through.max(sent_through);
        Ok(new.len())
    }

    fn put(&mut self, record: EventRecord) {
        apply(&mut self.truth, &record);
        self.log.push(record);
    }

    /// The epoch of a new lease, if nobody holds one.
    pub(super) fn acquire(&mut self, now: u64) -> Option<u64> {
        if self.cleaned || now < self.leased_until {
            return None;
        }
        self.epoch += 1;
        self.leased_until = now + self.lease_ms;
        Some(self.epoch)
    }

    pub(super) fn renew(&mut self, epoch: u64, now: u64) -> bool {
        if epoch != self.epoch || self.cleaned {
            return false;
        }
        self.leased_until = now + self.lease_ms;
        true
    }

    /// Whether nobody has taken the run over from who got this lease.
    pub(super) fn is_current(&self, epoch: u64) -> bool {
        epoch == self.epoch
    }

    pub(super) fn release(&mut self, epoch: u64) {
        if epoch == self.epoch {
            self.leased_until = 0;
        }
    }

    pub(super) fn request_cancel(&mut self) {
        self.cancel_requested = true;
    }

    pub(super) fn request_pause(&mut self, paused: bool) {
        self.pause_requested = paused;
    }

    /// What a control plane is to be told that believes the run to be paused, or not.
    pub(super) fn pause_news(&self, paused: bool) -> Option<Input> {
        let by = "somebody".to_owned();
        match (self.pause_requested, paused) {
            (true, false) => Some(Input::Pause { by }),
            (false, true) => Some(Input::Resume { by }),
            _ => None,
        }
    }

    pub(super) fn is_cancel_requested(&self) -> bool {
        self.cancel_requested
    }

    /// The objects of the finished run are deleted.
    pub(super) fn cleaned(&mut self, epoch: u64) {
        self.cleaned |= epoch == self.epoch;
    }

    pub(super) fn is_cleaned(&self) -> bool {
        self.cleaned
    }

    pub(super) fn replayed(&self) -> RunState {
        let mut state = RunState::new(self.truth.run());
        self.log.iter().for_each(|record| apply(&mut state, record));
        state
    }
}
