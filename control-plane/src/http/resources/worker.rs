//! Workers, and how many are wanted.

use serde::{Deserialize, Serialize};

use super::Time;
use crate::scaling::ScalingStatus;
use crate::store::{Backlog, WorkerRow};
use crate::vitals;

/// A process that runs tasks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Worker {
    /// Its id, new with every start.
    pub id: String,
    /// Where it runs: a host, or the ARN of an ECS task.
    pub host: String,
    /// Its version of weir.
    pub version: String,
    /// How it is.
    pub state: WorkerState,
    /// Tasks that it runs at once.
    pub slots: u32,
    /// Tasks that it runs now.
    pub running: u32,
    /// When it started.
    pub started_at: Time,
    /// When it was last heard of.
    pub seen_at: Time,
}

/// How a worker is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WorkerState {
    /// It takes tasks.
    Active,
    /// It ends what it runs, and takes no more.
    Draining,
    /// It was not heard of for a minute.
    Lost,
}

impl From<&WorkerRow> for Worker {
    fn from(row: &WorkerRow) -> Self {
        Self {
            id: row.worker.to_string(),
            host: row.host.clone(),
            version: row.version.clone(),
            state: match row.seen_at < vitals::alive_since() {
                true => WorkerState::Lost,
                false if row.draining => WorkerState::Draining,
                false => WorkerState::Active,
            },
            slots: row.slots,
            running: row.running,
            started_at: row.started_at.into(),
            seen_at: row.seen_at.into(),
        }
    }
}

/// Workers, those that were heard of last first.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct WorkerPage {
    /// The workers.
    pub items: Vec<Worker>,
    /// What to give as `cursor` for those that were heard of earlier; left out when there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// How many workers there are, and how many there should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Scaling {
    /// What there is to do.
    pub backlog: ScalingBacklog,
    /// Workers that take tasks.
    pub workers_active: u32,
    /// Workers that end what they run.
    pub workers_draining: u32,
    /// Tasks that the active workers run at once.
    pub slots: u64,
    /// Tasks that the active workers run now.
    pub slots_busy: u64,
    /// Whether this server decides on the number of workers. Of several servers one does; none does when workers are
    /// started by other means.
    pub decides: bool,
    /// Workers that are wanted; only the server that decides says so.
    pub workers_wanted: Option<u32>,
    /// Workers that whoever starts them says are there; only the server that decides asks.
    pub workers_provisioned: Option<u32>,
}

/// The tasks of all runs that are not over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ScalingBacklog {
    /// Runs that are not over.
    pub runs: u64,
    /// Tasks that no worker has begun with.
    pub tasks_waiting: u64,
    /// Tasks with an attempt under way.
    pub tasks_running: u64,
}

impl Scaling {
    /// What is known of the fleet.
    pub(crate) fn new(backlog: Backlog, workers: &[WorkerRow], status: ScalingStatus) -> Self {
        let mut scaling = Self {
            backlog: ScalingBacklog {
                runs: backlog.runs,
                tasks_waiting: backlog.waiting,
                tasks_running: backlog.running,
            },
            workers_active: 0,
            workers_draining: 0,
            slots: 0,
            slots_busy: 0,
            decides: status.leads,
            workers_wanted: status.leads.then_some(status.wanted),
            workers_provisioned: status.leads.then_some(status.running),
        };
        for worker in workers.iter().map(Worker::from) {
            match worker.state {
                WorkerState::Active => {
                    scaling.workers_active += 1;
                    scaling.slots = scaling.slots.saturating_add(worker.slots.into());
                    scaling.slots_busy = scaling.slots_busy.saturating_add(worker.running.into());
                }
                WorkerState::Draining => scaling.workers_draining += 1,
                WorkerState::Lost => {}
            }
        }
        scaling
    }
}
