//! How a job computes: pipeline or SQL to DataFusion plans, plans to stages, and the running of one task.
//!
//! **Invariants.** A task runs from bytes alone: the message, the plan, the manifests and the files that they name.
//! Every operator stays inside the memory pool of its task. Nothing here knows of HTTP, queues or databases.
//!
//! **Boundary.** [`Engine`] is the whole interface: [`Engine::plan`] and [`Engine::explain`] for the control plane's
//! side, [`Engine::run_task`] for the worker's, [`Engine::read_result`] and [`Engine::read_output`] for whoever shows rows.

mod cache;
mod constants;
mod depth;
mod engine;
mod error;
pub mod io;
pub mod pipeline;
mod session;
pub mod shuffle;
pub mod sql;
pub mod stages;
pub mod statements;
pub mod task;
pub mod wasm;

pub use depth::{MAX_DEPTH, STACK_BYTES, TooDeep};
pub use engine::{Engine, EngineOptions, Explanation};
pub use error::PlanError;
pub use io::RowsError;
pub use task::{TaskContext, TaskFailure};
