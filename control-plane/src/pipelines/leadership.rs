//! Being the one control plane that makes the runs of schedules.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::shared::Shared;

/// What the leader leads.
const NAME: &str = "schedules";
/// How often one that does not lead tries to.
const TRY: Duration = Duration::from_secs(1);

/// Whether this control plane leads. It is renewed on a timer of its own, however long the work takes that it is for.
pub(super) struct Leadership {
    shared: Arc<Shared>,
    ttl: Duration,
    /// Until when nobody else can lead.
    until: Mutex<Option<Instant>>,
}

impl Leadership {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self {
            ttl: shared.options.lease().max(3 * TRY),
            shared,
            until: Mutex::new(None),
        }
    }

    /// Whether this control plane leads now.
    pub(super) fn holds(&self) -> bool {
        let until = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|until| Instant::now() < until)
    }

    /// Becomes the leader when nobody is, and stays it until the control plane stops.
    pub(super) async fn keep(&self) {
        let Shared { store, owner, stop, .. } = &*self.shared;
        loop {
            let asked = Instant::now();
            let asking = tokio::time::timeout(self.ttl, store.leader_acquire(NAME, owner, self.ttl));
            match stop.run_until_cancelled(asking).await {
                None => break,
                Some(Ok(Ok(leads))) => self.set(leads.then(|| asked + self.ttl)),
                // What was known holds until it runs out.
                Some(Ok(Err(error))) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "cannot lead the schedules");
                }
                Some(Err(_)) => tracing::warn!("the store does not answer in time to lead the schedules"),
            }
            let wait = if self.holds() { self.ttl / 3 } else { TRY };
            if stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_none() {
                break;
            }
        }
        if self.holds()
            && let Err(error) = store.leader_release(NAME, owner).await
        {
            tracing::debug!(error = &error as &dyn std::error::Error, "cannot end the leadership");
        }
        self.set(None);
    }

    fn set(&self, until: Option<Instant>) {
        *self.until.lock().unwrap_or_else(PoisonError::into_inner) = until;
    }
}
