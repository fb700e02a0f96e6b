//! Why a request was refused.

use std::time::Duration;

use weir_model::{Namespace, RunId, Timestamp};

use crate::{history, store};

/// A request was refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The submission makes no sense.
    #[error("the submission is not valid: {message}")]
    Invalid {
        /// What is wrong, and what to do about it.
        message: String,
    },
    /// The quota makes no sense.
    #[error("the quota is not valid: {message}")]
    InvalidQuota {
        /// What is wrong with it.
        message: String,
    },
    /// There are too many runs under way.
    #[error("{limit} runs are under way already; try again when some of them are over")]
    Busy {
        /// The bound.
        limit: usize,
    },
    /// There are too many runs that wait for room.
    #[error("{limit} runs wait already; try again later, or start more control planes")]
    TooManyQueued {
        /// The bound.
        limit: usize,
    },
    /// The namespace has used up what it may.
    #[error("the quota `{quota}` of namespace `{namespace}` is used up: {message}")]
    QuotaExceeded {
        /// The namespace.
        namespace: Namespace,
        /// The name of the limit in [`Quota`](crate::quotas::Quota).
        quota: &'static str,
        /// What is used, and what to do.
        message: String,
        /// When to try again.
        retry_after: Duration,
    },
    /// The idempotency key was used for another request before.
    #[error("the idempotency key was used for another request before, which made run {run}; choose a new key")]
    IdempotencyKeyReused {
        /// The run of that request.
        run: RunId,
    },
    /// The run is not over.
    #[error("run {run} is not over; wait for its end, or cancel it first")]
    Unfinished {
        /// The run.
        run: RunId,
    },
    /// There is no such run.
    #[error("there is no run {run}")]
    NotFound {
        /// The run.
        run: RunId,
    },
    /// The run is over.
    #[error("run {run} is over already")]
    Finished {
        /// The run.
        run: RunId,
    },
    /// Another control plane drives the run.
    #[error("run {run} is driven by {owner}; it can be taken over when that has ended")]
    Owned {
        /// The run.
        run: RunId,
        /// Who drives it.
        owner: String,
        /// When its lease runs out if it is not renewed.
        until: Timestamp,
    },
    /// This control plane is shutting down.
    #[error("the control plane is shutting down")]
    ShuttingDown,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The history of a run cannot be read.
    #[error(transparent)]
    History(#[from] history::Error),
}
