//! What an operator can tune.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::quotas::Quota;

/// Options of a control plane.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Who owns the leases, for people too; no two processes may have the same. Made up when it is not given.
    pub owner: Option<String>,
    /// How long a run stays owned without being renewed, in milliseconds: for so long a crash may go unnoticed, unless
    /// the store can tell that the process is dead. Longer than any transaction takes.
    pub lease_ms: u64,
    /// Runs that one control plane drives at once.
    pub max_runs: usize,
    /// Runs that wait for a control plane that has room, over all of them; further submissions are refused.
    pub max_queued_runs: usize,
    /// What namespaces may use that have no quota of their own.
    pub default_quota: Quota,
    /// Slots of all workers, where they are known beforehand; otherwise what workers say counts.
    pub slots: Option<u32>,
    /// For how long, in milliseconds, the task messages last the workers that are in the queue beyond one for each slot:
    /// as long as it takes from the end of a task until the message of the next one is with a worker. More lets
    /// namespaces with short tasks wait for each other, less leaves slots idle.
    pub send_ahead_ms: u64,
    /// Task messages that are in the queue beyond one for each slot while only one namespace has any; half as many as there
    /// are slots when it is not given.
    pub send_ahead_alone: Option<u32>,
    /// Whether runs that nobody drives are taken over: those of others that died, and those that wait for room. Not
    /// where several people share one store, each for runs of their own.
    pub takes_over: bool,
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
            max_queued_runs: 10_000,
            default_quota: Quota::default(),
            slots: None,
            send_ahead_ms: 20,
            // The queue in the process lets namespaces take turns by itself.
            send_ahead_alone: Some(1_000),
            takes_over: false,
            concurrent_effects: 64,
            grace_ms: 5_000,
            snapshot_ms: 50,
            queue_in_process: true,
        }
    }
}

impl Options {
    /// The defaults of a service: several control planes over one store and queues that outlive them.
    pub fn service() -> Self {
        Self {
            lease_ms: 5_000,
            takes_over: true,
            queue_in_process: false,
            send_ahead_ms: 250,
            send_ahead_alone: None,
            ..Self::default()
        }
    }

    /// Runs of one namespace that one control plane drives at once, where others may have runs to drive: some room is
    /// left for them.
    pub(crate) fn max_runs_of_namespace(&self) -> usize {
        match self.takes_over {
            true => self.max_runs - self.max_runs / 4,
            false => self.max_runs,
        }
    }

    pub(crate) fn lease(&self) -> Duration {
        Duration::from_millis(self.lease_ms.max(10))
    }

    pub(crate) fn grace(&self) -> Duration {
        Duration::from_millis(self.grace_ms)
    }
}
