//! What a worker says of itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;
use weir_model::{RunningTask, Timestamp, WorkerHeartbeat, WorkerId};
use weir_platform::{Queue, Storage, clock};

use crate::WorkerOptions;
use crate::running::Running;

/// How long one part may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// Tasks that are told of in a sign of life, so that it fits into a message.
const MAX_TASKS: usize = 500;

/// How a worker is. Cheap to clone; outlives the worker.
#[derive(Clone)]
pub struct WorkerStatus(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) id: WorkerId,
    pub(crate) started_at: Timestamp,
    pub(crate) slots: u32,
    pub(crate) host: String,
    pub(crate) running: Running,
    pub(crate) draining: AtomicBool,
    pub(crate) ended: AtomicBool,
    tasks: Arc<dyn Queue>,
    reports: Arc<dyn Queue>,
    storage: Storage,
}

/// Whether a worker can do its work.
#[derive(Clone, Debug, Serialize)]
pub struct Readiness {
    /// Whether it takes tasks and everything that it needs answers.
    pub ready: bool,
    /// What was asked.
    pub checks: Vec<ReadinessCheck>,
}

/// One part that was asked.
#[derive(Clone, Debug, Serialize)]
pub struct ReadinessCheck {
    /// The part: `worker`, `task_queue`, `report_queue` or `storage`.
    pub name: &'static str,
    /// Whether it answered in time.
    pub ok: bool,
    /// How long that took, in milliseconds.
    pub took_ms: u64,
    /// Why it did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl WorkerStatus {
    pub(crate) fn new(
        options: &WorkerOptions,
        tasks: Arc<dyn Queue>,
        reports: Arc<dyn Queue>,
        storage: Storage,
    ) -> Self {
        Self(Arc::new(Inner {
            id: clock::new_worker_id(),
            started_at: clock::now(),
            slots: u32::try_from(options.slots.max(1)).unwrap_or(u32::MAX),
            host: options.host.clone().unwrap_or_else(host_name),
            running: Running::default(),
            draining: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            tasks,
            reports,
            storage,
        }))
    }

    /// Its sign of life, as of now.
    pub fn heartbeat(&self) -> WorkerHeartbeat {
        let inner = &*self.0;
        WorkerHeartbeat {
            worker: inner.id,
            at: clock::now(),
            started_at: inner.started_at,
            slots: inner.slots,
            running: inner.running.count(),
            draining: self.is_draining(),
            ended: inner.ended.load(Ordering::Relaxed),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            host: inner.host.clone(),
            tasks: self.tasks(),
        }
    }

    /// What it runs, the longest first.
    fn tasks(&self) -> Vec<RunningTask> {
        let running = self.0.running.all();
        let mut tasks: Vec<RunningTask> = running.iter().map(|attempt| attempt.said()).collect();
        tasks.sort_by_key(|task| (task.since, task.run, task.task));
        tasks.truncate(MAX_TASKS);
        tasks
    }

    /// Whether it takes no more tasks.
    pub fn is_draining(&self) -> bool {
        self.0.draining.load(Ordering::Relaxed)
    }

    /// Asks everything that the worker needs, within some seconds.
    pub async fn readiness(&self) -> Readiness {
        let inner = &*self.0;
        let (tasks, reports, storage) = tokio::join!(
            check("task_queue", inner.tasks.check()),
            check("report_queue", inner.reports.check()),
            check("storage", inner.storage.check()),
        );
        let worker = ReadinessCheck {
            name: "worker",
            ok: !self.is_draining(),
            took_ms: 0,
            error: self.is_draining().then(|| "it is shutting down".to_owned()),
        };
        let checks = vec![worker, tasks, reports, storage];
        Readiness {
            ready: checks.iter().all(|check| check.ok),
            checks,
        }
    }
}

async fn check<E: std::error::Error>(name: &'static str, ask: impl Future<Output = Result<(), E>>) -> ReadinessCheck {
    let start = Instant::now();
    let error = match tokio::time::timeout(PATIENCE, ask).await {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(chain(&error)),
        Err(_) => Some(format!("no answer within {} s", PATIENCE.as_secs())),
    };
    ReadinessCheck {
        name,
        ok: error.is_none(),
        took_ms: start.elapsed().as_millis() as u64,
        error,
    }
}

/// An error and its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() {
        format!("process {}", std::process::id())
    } else {
        format!("{name}, process {}", std::process::id())
    }
}
