//! What all parts of a control plane share.

use std::collections::HashMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, Semaphore, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use weir_model::machine::Input;
use weir_model::{Namespace, RunId, RunSnapshot, TaskReport};
use weir_platform::{Queue, Receipt, Storage};

use crate::admission::Queued;
use crate::gate::{self, Gate};
use crate::inbox::Inbox;
use crate::quotas::{Locations, Quotas};
use crate::receipts::{Origin, Receipts};
use crate::scaling::ScalingStatus;
use crate::store::{Lease, Store};
use crate::{Environment, Options, Planner};

/// The runs that this process drives.
pub(crate) type Runs = HashMap<RunId, Driven>;

pub(crate) struct Shared {
    pub(crate) options: Options,
    pub(crate) owner: String,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) tasks: Arc<dyn Queue>,
    pub(crate) reports: Arc<dyn Queue>,
    pub(crate) storage: Storage,
    pub(crate) planner: Arc<dyn Planner>,
    /// Reports that were handled go here.
    pub(crate) receipts: Receipts,
    /// Reports that others received.
    pub(crate) inbox: Inbox,
    /// Bounds the runs that are driven.
    pub(crate) rooms: Arc<Semaphore>,
    pub(crate) queued: Queued,
    pub(crate) quotas: Quotas,
    pub(crate) locations: Locations,
    /// Task messages pass it on their way to the queue.
    pub(crate) gate: Gate,
    /// Held while a run is taken in of a namespace that may have only so many.
    pub(crate) admitting: tokio::sync::Mutex<()>,
    pub(crate) scaling: watch::Sender<ScalingStatus>,
    /// Task messages that are being sent.
    pub(crate) unsent: AtomicU64,
    /// Wakes the sweep for runs that nobody drives.
    pub(crate) sweep: Notify,
    /// Bounds the effects that are under way.
    pub(crate) effects: Semaphore,
    /// Ends the drivers, which give their runs back.
    pub(crate) stop: CancellationToken,
    /// Ends everything at once; cancelled when the last handle is dropped.
    pub(crate) kill: CancellationToken,
    pub(crate) tasks_of_this: TaskTracker,
    /// Tasks that end by themselves, in good order, when the control plane stops.
    pub(crate) closing: TaskTracker,
    runs: Mutex<Runs>,
}

/// A run that this process drives.
pub(crate) struct Driven {
    pub(crate) namespace: Namespace,
    pub(crate) lease: Lease,
    /// When the lease was known to be ours; it may be another's one lease time after that.
    pub(crate) renewed: Instant,
    /// Cancelled when the lease is lost.
    pub(crate) lost: CancellationToken,
    pub(crate) mailbox: mpsc::Sender<Mail>,
    /// Whether the last renewal of the lease found that the run is to be held up and is not, or the other way around.
    pub(crate) pause_differs: bool,
    pub(crate) snapshot: watch::Receiver<Arc<RunSnapshot>>,
}

/// What a driver is told.
pub(crate) enum Mail {
    Report { report: Box<TaskReport>, origin: Origin },
    Input(Input),
}

impl Mail {
    /// The receipt of a report from the queue.
    pub(crate) fn into_receipt(self) -> Option<Receipt> {
        match self {
            Self::Report {
                origin: Origin::Queue(receipt),
                ..
            } => Some(receipt),
            _ => None,
        }
    }
}

impl Shared {
    pub(crate) fn new(options: Options, owner: String, environment: Environment, receipts: Receipts) -> Self {
        let Environment {
            store,
            tasks,
            reports,
            storage,
            planner,
        } = environment;
        Self {
            receipts,
            queued: Queued::default(),
            locations: Locations::default(),
            quotas: Quotas::new(options.default_quota, options.takes_over),
            gate: Gate::new(gate::Options {
                slots: options.slots,
                ahead: Duration::from_millis(options.send_ahead_ms),
                ahead_alone: options.send_ahead_alone,
            }),
            admitting: tokio::sync::Mutex::default(),
            rooms: Arc::new(Semaphore::new(options.max_runs.clamp(1, Semaphore::MAX_PERMITS))),
            scaling: watch::Sender::default(),
            unsent: AtomicU64::new(0),
            inbox: Inbox::default(),
            sweep: Notify::new(),
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
            closing: TaskTracker::new(),
            runs: Mutex::default(),
        }
    }

    /// The runs that this process drives. Not to be held across an await.
    pub(crate) fn runs(&self) -> MutexGuard<'_, Runs> {
        // The map is changed by single insertions and removals.
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many runs of a namespace this process drives.
    pub(crate) fn driven_of(&self, namespace: &Namespace) -> usize {
        let runs = self.runs();
        runs.values().filter(|driven| driven.namespace == *namespace).count()
    }

    /// As [`spawn`](Self::spawn), for a task that a shutdown waits for: it ends soon after a stop.
    pub(crate) fn spawn_closing(&self, task: impl Future<Output = ()> + Send + 'static) {
        let task = self.closing.track_future(task);
        self.spawn(task);
    }

    /// Spawns a task that ends at once when the control plane is killed.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let kill = self.kill.clone();
        self.tasks_of_this.spawn(async move {
            kill.run_until_cancelled(task).await;
        });
    }
}
