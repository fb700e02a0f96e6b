//! What all parts of a control plane share.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::{Semaphore, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use weir_model::machine::Input;
use weir_model::{RunId, RunSnapshot, TaskReport};
use weir_platform::{Queue, Receipt, Storage};

use crate::store::{Lease, Store};
use crate::{Options, Planner};

pub(crate) struct Shared {
    pub(crate) options: Options,
    pub(crate) owner: String,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) tasks: Arc<dyn Queue>,
    pub(crate) reports: Arc<dyn Queue>,
    pub(crate) storage: Storage,
    pub(crate) planner: Arc<dyn Planner>,
    /// Bounds the effects that are under way.
    pub(crate) effects: Semaphore,
    /// Ends the drivers, which give their runs back.
    pub(crate) stop: CancellationToken,
    /// Ends everything at once; cancelled when the last handle is dropped.
    pub(crate) kill: CancellationToken,
    pub(crate) tasks_of_this: TaskTracker,
    runs: Mutex<HashMap<RunId, Driven>>,
}

/// A run that this process drives.
pub(crate) struct Driven {
    pub(crate) lease: Lease,
    /// When the lease was known to be ours; it may be another's one lease time after that.
    pub(crate) renewed: Instant,
    /// Cancelled when the lease is lost.
    pub(crate) lost: CancellationToken,
    pub(crate) mailbox: mpsc::Sender<Mail>,
    pub(crate) snapshot: watch::Receiver<Arc<RunSnapshot>>,
}

/// What a driver is told.
pub(crate) enum Mail {
    Report { report: Box<TaskReport>, receipt: Receipt },
    Input(Input),
}

impl Shared {
    pub(crate) fn new(
        options: Options,
        owner: String,
        store: Arc<dyn Store>,
        tasks: Arc<dyn Queue>,
        reports: Arc<dyn Queue>,
        storage: Storage,
        planner: Arc<dyn Planner>,
    ) -> Self {
        Self {
            effects: Semaphore::new(options.concurrent_effects.max(1)),
            options,
            owner,
            store,
            tasks,
            reports,
            storage,
            planner,
            stop: CancellationToken::new(),
            kill: CancellationToken::new(),
            tasks_of_this: TaskTracker::new(),
            runs: Mutex::default(),
        }
    }

    /// The runs that this process drives. Not to be held across an await.
    pub(crate) fn runs(&self) -> MutexGuard<'_, HashMap<RunId, Driven>> {
        // The map is changed by single insertions and removals.
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Spawns a task that ends at once when the control plane is killed.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let kill = self.kill.clone();
        self.tasks_of_this.spawn(async move {
            kill.run_until_cancelled(task).await;
        });
    }
}
