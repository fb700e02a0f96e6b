//! The attempts that run now.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use weir_engine::TaskContext;
use weir_model::{ExecutionId, RunId, RunningTask, TaskMessage, Timestamp};
use weir_platform::{Receipt, clock};

/// Why an attempt was told to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Its run was cancelled.
    RunCancelled,
    /// It took longer than it may.
    TimeLimit,
    /// The worker shuts down.
    Shutdown,
}

/// An attempt that runs.
pub(crate) struct Attempt {
    pub(crate) message: TaskMessage,
    pub(crate) receipt: Receipt,
    pub(crate) context: TaskContext,
    /// When it was taken.
    since: Timestamp,
    /// When its message was last hidden.
    pub(crate) hidden_at: Mutex<Instant>,
    stop: Mutex<Option<Stop>>,
    /// Messages about it so far.
    reports: AtomicU64,
}

impl Attempt {
    pub(crate) fn new(message: TaskMessage, receipt: Receipt, execution: ExecutionId, received_at: Instant) -> Self {
        Self {
            message,
            receipt,
            context: TaskContext {
                execution,
                cancel: CancellationToken::new(),
                progress: Arc::default(),
            },
            since: clock::now(),
            hidden_at: Mutex::new(received_at),
            stop: Mutex::new(None),
            reports: AtomicU64::new(0),
        }
    }

    /// Counts a message about the attempt; says how many there are with it.
    pub(crate) fn reported(&self) -> u64 {
        self.reports.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(crate) fn run(&self) -> RunId {
        self.message.run
    }

    /// What is said of it.
    pub(crate) fn said(&self) -> RunningTask {
        RunningTask {
            namespace: self.message.namespace.clone(),
            run: self.message.run,
            task: self.message.task,
            attempt: self.message.attempt,
            since: self.since,
        }
    }

    /// Tells the attempt to stop; the first reason counts.
    pub(crate) fn stop(&self, reason: Stop) {
        lock(&self.stop).get_or_insert(reason);
        self.context.cancel.cancel();
    }

    pub(crate) fn stopped(&self) -> Option<Stop> {
        *lock(&self.stop)
    }
}

/// The attempts that run now, by execution; at most one per slot.
#[derive(Default)]
pub(crate) struct Running {
    attempts: Mutex<HashMap<ExecutionId, Arc<Attempt>>>,
    count: watch::Sender<usize>,
}

impl Running {
    pub(crate) fn insert(&self, attempt: Arc<Attempt>) {
        let mut attempts = lock(&self.attempts);
        attempts.insert(attempt.context.execution, attempt);
        self.count.send_replace(attempts.len());
    }

    pub(crate) fn remove(&self, execution: ExecutionId) {
        let mut attempts = lock(&self.attempts);
        attempts.remove(&execution);
        self.count.send_replace(attempts.len());
    }

    pub(crate) fn all(&self) -> Vec<Arc<Attempt>> {
        lock(&self.attempts).values().cloned().collect()
    }

    pub(crate) fn count(&self) -> u32 {
        u32::try_from(*self.count.borrow()).unwrap_or(u32::MAX)
    }

    /// Follows their number.
    pub(crate) fn watch(&self) -> watch::Receiver<usize> {
        self.count.subscribe()
    }
}

/// Locks what is changed by single assignments only.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
