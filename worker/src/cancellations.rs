//! Which runs were cancelled, asked of the storage no more often than needed.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;
use weir_model::{RunId, layout};
use weir_platform::Storage;

use crate::running::lock;

/// Runs that are remembered.
const MAX_RUNS: usize = 1_024;

/// What is known of the cancellation of runs.
pub(crate) struct Cancellations {
    storage: Storage,
    /// How long an answer counts.
    fresh: Duration,
    known: Mutex<HashMap<RunId, Known>>,
}

#[derive(Clone, Copy)]
struct Known {
    cancelled: bool,
    asked_at: Instant,
}

impl Cancellations {
    pub(crate) fn new(storage: Storage, fresh: Duration) -> Self {
        Self {
            storage,
            fresh,
            known: Mutex::default(),
        }
    }

    /// Whether a run was cancelled, as far as was known a moment ago. A cancellation is for ever.
    pub(crate) async fn is_cancelled(&self, run: RunId) -> bool {
        let known = lock(&self.known).get(&run).copied();
        if let Some(known) = known
            && (known.cancelled || known.asked_at.elapsed() < self.fresh)
        {
            return known.cancelled;
        }
        let asked_at = Instant::now();
        match self.storage.exists(&layout::cancel_key(run)).await {
            Ok(cancelled) => {
                self.remember(run, Known { cancelled, asked_at });
                cancelled
            }
            Err(error) => {
                tracing::warn!(%run, error = &error as &dyn std::error::Error, "cannot see whether a run was cancelled");
                false
            }
        }
    }

    fn remember(&self, run: RunId, new: Known) {
        let mut known = lock(&self.known);
        if known.len() >= MAX_RUNS && !known.contains_key(&run) {
            let oldest = known
                .iter()
                .min_by_key(|(_, known)| known.asked_at)
                .map(|(run, _)| *run);
            oldest.and_then(|run| known.remove(&run));
        }
        known.insert(run, new);
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
