//! Which runs were cancelled or paused, asked of the storage no more often than needed.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;
use weir_model::{RunId, layout};
use weir_platform::Storage;

use crate::running::lock;

/// Marks of runs that are remembered.
const MAX_RUNS: usize = 1_024;

/// What is known of the cancellations and pauses of runs.
pub(crate) struct Cancellations {
    storage: Storage,
    /// How long an answer counts.
    fresh: Duration,
    known: Mutex<HashMap<(RunId, Mark), Known>>,
}

#[derive(Clone, Copy)]
struct Known {
    marked: bool,
    asked_at: Instant,
}

/// What is looked for. Each is there for ever once it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Mark {
    Cancelled,
    /// Messages that were decided after so many pauses are withdrawn.
    Withdrawn(u32),
}

impl Cancellations {
    pub(crate) fn new(storage: Storage, fresh: Duration) -> Self {
        Self {
            storage,
            fresh,
            known: Mutex::default(),
        }
    }

    /// Whether a run was cancelled, as far as was known a moment ago.
    pub(crate) async fn is_cancelled(&self, run: RunId) -> bool {
        self.is_marked(run, Mark::Cancelled).await
    }

    /// Whether messages of a run that were decided after so many pauses are withdrawn, as far as was known a moment ago.
    pub(crate) async fn is_withdrawn(&self, run: RunId, pauses: u32) -> bool {
        self.is_marked(run, Mark::Withdrawn(pauses)).await
    }

    async fn is_marked(&self, run: RunId, mark: Mark) -> bool {
        let known = lock(&self.known).get(&(run, mark)).copied();
        if let Some(known) = known
            && (known.marked || known.asked_at.elapsed() < self.fresh)
        {
            return known.marked;
        }
        let key = match mark {
            Mark::Cancelled => layout::cancel_key(run),
            Mark::Withdrawn(pauses) => layout::pause_key(run, pauses),
        };
        let asked_at = Instant::now();
        match self.storage.exists(&key).await {
            Ok(marked) => {
                self.remember((run, mark), Known { marked, asked_at });
                marked
            }
            Err(error) => {
                tracing::warn!(%run, error = &error as &dyn std::error::Error, "cannot see whether a run was stopped");
                false
            }
        }
    }

    fn remember(&self, key: (RunId, Mark), new: Known) {
        let mut known = lock(&self.known);
        if known.len() >= MAX_RUNS && !known.contains_key(&key) {
            let oldest = known
                .iter()
                .min_by_key(|(_, known)| known.asked_at)
                .map(|(key, _)| *key);
            oldest.and_then(|key| known.remove(&key));
        }
        known.insert(key, new);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use weir_platform::clock::new_run_id;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_cancellation_is_seen_when_the_last_answer_is_no_longer_fresh() {
        let dir = tempfile::tempdir().unwrap();
        let storage = Storage::open(dir.path().to_str().unwrap()).unwrap();
        let cancellations = Cancellations::new(storage.clone(), Duration::from_millis(100));
        let run = new_run_id();
        assert!(!cancellations.is_cancelled(run).await);
        storage.put(&layout::cancel_key(run), Bytes::new()).await.unwrap();
        assert!(
            !cancellations.is_cancelled(run).await,
            "the storage is not asked again so soon"
        );
        tokio::time::advance(Duration::from_millis(100)).await;
        assert!(cancellations.is_cancelled(run).await);
        storage.delete(vec![layout::cancel_key(run)]).await.unwrap();
        tokio::time::advance(Duration::from_secs(1000)).await;
        assert!(cancellations.is_cancelled(run).await, "a cancellation is for ever");

        storage.put(&layout::pause_key(run, 1), Bytes::new()).await.unwrap();
        assert!(cancellations.is_withdrawn(run, 1).await);
        assert!(
            !cancellations.is_withdrawn(run, 2).await,
            "messages of after the pause are not"
        );
    }

    #[tokio::test]
    async fn only_so_many_runs_are_remembered() {
        let dir = tempfile::tempdir().unwrap();
        let storage = Storage::open(dir.path().to_str().unwrap()).unwrap();
        let cancellations = Cancellations::new(storage, Duration::from_secs(1));
        for _ in 0..MAX_RUNS + 10 {
            cancellations.is_cancelled(new_run_id()).await;
        }
        assert_eq!(lock(&cancellations.known).len(), MAX_RUNS);
    }
}
