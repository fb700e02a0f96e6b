//! What an operator can tune.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Options of a worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WorkerOptions {
    /// Tasks that run at once.
    pub slots: usize,
    /// Threads that run them; zero for those of the caller's runtime, which then must have some to spare.
    pub task_threads: usize,
    /// Thousandths of processors that it has, for the bill: what the machine has, unless others share it.
    pub millicpus: u32,
    /// How long a message stays hidden from other workers without a sign of life from this one, in milliseconds.
    pub visibility_ms: u64,
    /// How often running attempts are reported, and their runs are checked for a cancellation, in milliseconds.
    pub heartbeat_ms: u64,
    /// Deliveries of a message, after which it is taken to be what kills the workers.
    pub max_receives: u32,
    /// How long a shutdown lets running attempts go on before their messages are given back, in milliseconds.
    pub drain_ms: u64,
    /// How long an attempt may take to stop when it is told to, in milliseconds; then it is dropped.
    pub stop_ms: u64,
    /// How often the worker says that it lives, in milliseconds; zero for never, where nobody counts workers.
    pub presence_ms: u64,
    /// Where it runs, for people; the name of the host when it is not given.
    pub host: Option<String>,
    /// The agent of Amazon ECS, as in the variable `ECS_AGENT_URI`; when it is given, the worker has ECS protect it from
    /// scaling in while it runs tasks.
    pub ecs_agent_uri: Option<String>,
}

impl Default for WorkerOptions {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            slots: cores,
            task_threads: cores,
            millicpus: u32::try_from(cores.saturating_mul(1_000)).unwrap_or(u32::MAX),
            visibility_ms: 30_000,
            heartbeat_ms: 1_000,
            max_receives: 5,
            drain_ms: 10_000,
            stop_ms: 2_000,
            presence_ms: 10_000,
            host: None,
            ecs_agent_uri: None,
        }
    }
}

impl WorkerOptions {
    pub(crate) fn visibility(&self) -> Duration {
        Duration::from_millis(self.visibility_ms.max(1))
    }

    pub(crate) fn heartbeat(&self) -> Duration {
        // A heartbeat must come in time to keep the message hidden.
        Duration::from_millis(self.heartbeat_ms.min(self.visibility_ms / 3).max(1))
    }

    pub(crate) fn presence(&self) -> Option<Duration> {
        (self.presence_ms > 0).then(|| Duration::from_millis(self.presence_ms))
    }

    pub(crate) fn drain(&self) -> Duration {
        Duration::from_millis(self.drain_ms)
    }

    pub(crate) fn stop(&self) -> Duration {
        Duration::from_millis(self.stop_ms)
    }
}
