//! The loop of a worker.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::FutureExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use weir_model::WorkerId;
use weir_platform::{Delivery, Queue, Storage};

use crate::cancellations::Cancellations;
use crate::reporter::Reporter;
use crate::running::Stop;
use crate::runtime::TaskRuntime;
use crate::{TaskRunner, WorkerOptions, WorkerStatus, attempt, ecs, heartbeat, presence};

/// How long a receive waits for the first message.
const WAIT: Duration = Duration::from_secs(20);
/// The wait after an error of the queue.
const AFTER_ERROR: Duration = Duration::from_secs(1);

/// What a worker works with.
#[derive(Clone)]
pub struct Environment {
    /// Task messages come from here.
    pub tasks: Arc<dyn Queue>,
    /// Reports go here.
    pub reports: Arc<dyn Queue>,
    /// Where runs keep their objects.
    pub storage: Storage,
    /// Runs the tasks.
    pub runner: Arc<dyn TaskRunner>,
}

/// A worker.
pub struct Worker {
    status: WorkerStatus,
    options: WorkerOptions,
    environment: Environment,
}

pub(crate) struct Shared {
    pub(crate) options: WorkerOptions,
    pub(crate) tasks: Arc<dyn Queue>,
    pub(crate) runner: Arc<dyn TaskRunner>,
    pub(crate) runtime: TaskRuntime,
    pub(crate) reporter: Reporter,
    pub(crate) status: WorkerStatus,
    pub(crate) cancellations: Cancellations,
}

impl Worker {
    /// A worker that has not begun.
    pub fn new(options: WorkerOptions, environment: Environment) -> Self {
        let Environment {
            tasks,
            reports,
            storage,
            ..
        } = environment.clone();
        Self {
            status: WorkerStatus::new(&options, tasks, reports, storage),
            options,
            environment,
        }
    }

    /// Its name in reports.
    pub fn id(&self) -> WorkerId {
        self.status.0.id
    }

    /// How it is, for whoever asks while it runs.
    pub fn status(&self) -> WorkerStatus {
        self.status.clone()
    }

    /// Takes and runs tasks until `shutdown` is cancelled; then lets those that run end, within bounds, and gives the
    /// others back. When this is dropped instead, the worker is gone as if its process had been killed.
    ///
    /// Fails when the threads for tasks cannot be made.
    pub async fn run(self, shutdown: CancellationToken) -> io::Result<()> {
        let Environment {
            tasks,
            reports,
            storage,
            runner,
        } = self.environment;
        let (reporter, sending) = Reporter::new(self.status.0.id, tasks.clone(), reports);
        let shared = Arc::new(Shared {
            runtime: TaskRuntime::new(self.options.task_threads)?,
            cancellations: Cancellations::new(storage, self.options.heartbeat()),
            status: self.status,
            options: self.options,
            tasks,
            runner,
            reporter,
        });
        let dropped = CancellationToken::new();
        let _guard = dropped.clone().drop_guard();
        let sending = tokio::spawn(dropped.clone().run_until_cancelled_owned(sending));
        let mut background = JoinSet::new();
        for work in [
            heartbeat::beat(shared.clone()).boxed(),
            presence::beat(shared.clone()).boxed(),
            ecs::protect(shared.clone()).boxed(),
        ] {
            background.spawn(dropped.clone().run_until_cancelled_owned(work));
        }

        let attempts = TaskTracker::new();
        shutdown.run_until_cancelled(take(&shared, &attempts, &dropped)).await;
        shared.status.0.draining.store(true, Ordering::Relaxed);
        presence::say(&shared).await;
        drain(&shared, &attempts).await;
        background.shutdown().await;
        shared.status.0.ended.store(true, Ordering::Relaxed);
        presence::say(&shared).await;
        drop(shared);
        // Nobody holds a reporter any more, so this ends when everything is sent.
        let _ = sending.await;
        Ok(())
    }
}

/// Takes messages for as long as it is polled, each into a slot.
async fn take(shared: &Arc<Shared>, attempts: &TaskTracker, dropped: &CancellationToken) {
    let slots = Arc::new(Semaphore::new(shared.options.slots.max(1)));
    loop {
        let (deliveries, permits) = receive(shared, &slots).await;
        let received_at = Instant::now();
        for (delivery, permit) in deliveries.into_iter().zip(permits) {
            let handling = attempt::handle(shared.clone(), delivery, received_at);
            let handling = dropped.clone().run_until_cancelled_owned(async move {
                handling.await;
                drop(permit);
            });
            attempts.spawn(handling);
        }
    }
}

/// Waits for a free slot and a message; takes as many messages as there are free slots.
async fn receive(shared: &Shared, slots: &Arc<Semaphore>) -> (Vec<Delivery>, Vec<OwnedSemaphorePermit>) {
    loop {
        let first = slots
            .clone()
            .acquire_owned()
            .await
            .expect("the semaphore is never closed");
        let mut permits = vec![first];
        while let Ok(permit) = slots.clone().try_acquire_owned() {
            permits.push(permit);
        }
        let visibility = shared.options.visibility();
        match shared.tasks.receive(permits.len(), WAIT, visibility).await {
            Ok(deliveries) if deliveries.is_empty() => {}
            Ok(deliveries) => return (deliveries, permits),
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "cannot receive task messages");
                tokio::time::sleep(AFTER_ERROR).await;
            }
        }
    }
}

async fn drain(shared: &Shared, attempts: &TaskTracker) {
    attempts.close();
    if tokio::time::timeout(shared.options.drain(), attempts.wait())
        .await
        .is_ok()
    {
        return;
    }
    for attempt in shared.status.0.running.all() {
        attempt.stop(Stop::Shutdown);
    }
    attempts.wait().await;
}
