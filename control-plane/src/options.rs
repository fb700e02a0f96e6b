//! What an operator can tune.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Options of a control plane.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Who owns the leases, for people; made up from the process when it is not given.
    pub owner: Option<String>,
    /// How long a run stays owned without being renewed, in milliseconds: for so long a crash may go unnoticed, unless
    /// the store can tell that the process is dead. Longer than any transaction takes.
    pub lease_ms: u64,
    /// Runs that one control plane drives at once.
    pub max_runs: usize,
    /// Effects that are under way at once, over all runs, besides planning.
    pub concurrent_effects: usize,
    /// How long a stop waits for attempts to end, and a shutdown for clean-up, in milliseconds.
    pub grace_ms: u64,
    /// The shortest time between two snapshots of a run, in milliseconds.
    pub snapshot_ms: u64,
    /// Whether task messages are lost when this process ends, because their queue is in it.
    pub queue_in_process: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            owner: None,
            lease_ms: 15_000,
            max_runs: 1_000,
            concurrent_effects: 64,
            grace_ms: 5_000,
            snapshot_ms: 50,
            queue_in_process: true,
        }
    }
}

impl Options {
    pub(crate) fn lease(&self) -> Duration {
        Duration::from_millis(self.lease_ms.max(10))
    }

    pub(crate) fn grace(&self) -> Duration {
        Duration::from_millis(self.grace_ms)
    }
}
