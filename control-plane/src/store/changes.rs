//! Learning of what others wrote without asking all the time.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use weir_model::RunId;

/// Changes that a receiver may be behind by; one that is further behind is told to look at everything.
const BACKLOG: usize = 1_024;
/// How often a receiver is told to look at everything, whatever it heard of.
const POLL: Duration = Duration::from_secs(3);

/// Something in the store is different.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A run was given up or taken over, came into another phase, or was cleaned up after.
    Run(RunId),
    /// Somebody asked for a run to stop.
    Cancel(RunId),
    /// Somebody asked for a run to be held up, or to go on.
    Pause(RunId),
    /// Reports were left for an owner of runs, see [`Store::reports_take`](super::Store::reports_take).
    Reports {
        /// Who they are for.
        owner: Arc<str>,
    },
    /// Anything may be different: changes were missed, or none was heard of for some seconds.
    Anything,
}

/// Receives changes. They are hints: a change may be told twice or late, and one that is lost is made up for by
/// [`Change::Anything`] every few seconds.
pub struct Changes {
    heard: broadcast::Receiver<Change>,
    poll: tokio::time::Interval,
}

impl Changes {
    /// Waits for the next change. Cancelling the wait loses nothing.
    pub async fn next(&mut self) -> Change {
        tokio::select! {
            biased;
            heard = self.heard.recv() => match heard {
                Ok(change) => change,
                Err(broadcast::error::RecvError::Lagged(_)) => Change::Anything,
                Err(broadcast::error::RecvError::Closed) => {
                    self.poll.tick().await;
                    Change::Anything
                }
            },
            _ = self.poll.tick() => Change::Anything,
        }
    }
}

/// Tells changes to all receivers. Cheap to clone.
#[derive(Clone)]
pub(super) struct Announcer {
    told: broadcast::Sender<Change>,
}

impl Announcer {
    pub(super) fn new() -> Self {
        Self {
            told: broadcast::Sender::new(BACKLOG),
        }
    }

    pub(super) fn tell(&self, change: Change) {
        // Nobody may be listening.
        let _ = self.told.send(change);
    }

    pub(super) fn subscribe(&self) -> Changes {
        self.subscribe_and_poll(POLL)
    }

    fn subscribe_and_poll(&self, every: Duration) -> Changes {
        let mut poll = interval_at(Instant::now() + every, every);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Changes {
            heard: self.told.subscribe(),
            poll,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_missed_changes_looks_at_everything() {
        let announcer = Announcer::new();
        let run = weir_platform::clock::new_run_id();
        let mut changes = announcer.subscribe_and_poll(Duration::from_secs(3_600));
        announcer.tell(Change::Run(run));
        assert_eq!(changes.next().await, Change::Run(run));
        for _ in 0..=BACKLOG {
            announcer.tell(Change::Cancel(run));
        }
        assert_eq!(changes.next().await, Change::Anything, "it lags");
        assert_eq!(changes.next().await, Change::Cancel(run));

        let every = Duration::from_millis(20);
        let mut changes = announcer.subscribe_and_poll(every);
        assert_eq!(changes.next().await, Change::Anything, "nothing was heard for a while");
        drop(announcer);
        let start = Instant::now();
        for _ in 0..5 {
            assert_eq!(changes.next().await, Change::Anything);
        }
        assert!(start.elapsed() > 3 * every, "a closed channel makes no busy loop");
    }
}
