//! Takes task messages, runs them, and reports.
//!
//! **Invariants.** A message is deleted only after the report of its attempt is in the report queue, so that a worker
//! which dies loses nothing. Every delivery is an execution of its own: two deliveries of one message never write the
//! same object. A task that panics, hangs or was cancelled does not disturb its neighbours, and a message that keeps
//! killing workers is set aside.
//!
//! **Boundary.** [`Worker`], over two queues, a storage and a [`TaskRunner`], and [`health`] for whoever asks how it is.
//! Does not know the job store.
//!
//! **Threads.** Tasks are bound by the CPU and DataFusion polls them on tokio, so they run on a runtime of their own:
//! however busy that is, heartbeats and reports go out from the caller's runtime in time.

mod attempt;
mod cancellations;
mod ecs;
pub mod health;
mod heartbeat;
mod options;
mod presence;
mod reporter;
mod runner;
mod running;
mod runtime;
mod status;
mod worker;

pub use ecs::{EcsError, ecs_task_arn};
pub use options::WorkerOptions;
pub use runner::TaskRunner;
pub use status::{Readiness, ReadinessCheck, WorkerStatus};
pub use weir_engine::{TaskContext, TaskFailure};
pub use worker::{Environment, Worker};
