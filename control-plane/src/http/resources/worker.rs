//! Workers, and how many are wanted.

use serde::{Deserialize, Serialize};
use weir_model::{Namespace, RunId, RunningTask};

use super::Time;
use crate::store::{Backlog, ScalingRow, WorkerRow};
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
    /// What it ran of the namespace when it was last heard of, the longest first; of very many, a part.
    pub tasks: Vec<WorkerTask>,
    /// Tasks that it ran beside those, of other namespaces.
    pub running_elsewhere: u32,
}

/// A task that a worker runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct WorkerTask {
    /// The run.
    #[schema(value_type = String)]
    pub run: RunId,
    /// The stage of the task.
    pub stage: u32,
    /// The task's number in its stage.
    pub task: u32,
    /// The attempt of the task.
    pub attempt: u32,
    /// When the worker took it.
    pub started_at: Time,
}

impl From<&RunningTask> for WorkerTask {
    fn from(running: &RunningTask) -> Self {
        Self {
            run: running.run,
            stage: running.task.stage.0,
            task: running.task.index,
            attempt: running.attempt,
            started_at: running.since.into(),
        }
    }
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

impl WorkerState {
    fn of(row: &WorkerRow) -> Self {
        match row.seen_at < vitals::alive_since() {
            true => Self::Lost,
            false if row.draining => Self::Draining,
            false => Self::Active,
        }
    }
}

impl Worker {
    /// A worker as a namespace sees it.
    pub fn new(row: &WorkerRow, namespace: &Namespace) -> Self {
        let own = row.tasks.iter().filter(|task| task.namespace == *namespace);
        let tasks: Vec<WorkerTask> = own.map(WorkerTask::from).collect();
        let known = u32::try_from(tasks.len()).unwrap_or(u32::MAX);
        Self {
            id: row.worker.to_string(),
            host: row.host.clone(),
            version: row.version.clone(),
            state: WorkerState::of(row),
            slots: row.slots,
            running: row.running,
            started_at: row.started_at.into(),
            seen_at: row.seen_at.into(),
            running_elsewhere: row.running.saturating_sub(known),
            tasks,
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
    /// Workers that are wanted; nothing when no server decides on it, because workers are started by other means.
    pub workers_wanted: Option<u32>,
    /// Workers that whoever starts them says are there; nothing when no server decides on them.
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
    pub(crate) fn new(backlog: Backlog, workers: &[WorkerRow], said: Option<ScalingRow>) -> Self {
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
            workers_wanted: said.map(|said| said.wanted),
            workers_provisioned: said.map(|said| said.provisioned),
        };
        for worker in workers {
            match WorkerState::of(worker) {
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
