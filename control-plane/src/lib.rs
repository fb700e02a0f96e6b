//! The driver of all runs: it keeps their logs, decides what happens next, and makes their outputs visible.
//!
//! **Invariants.** What happens to a run is decided by [`weir_model::machine`] alone. An event is in the store before
//! any of its consequences leaves this process, and every write to a run's log is conditional on its lease. Reports
//! are deleted from their queue after what follows from them is in the store. Whoever loses a lease stops at once. Any
//! number of control planes may run over one store and queues, and any of them may die at any moment.
//!
//! **Boundary.** [`ControlPlane`] is the whole interface, over a [`Store`](store::Store), two queues, a storage and a
//! [`Planner`]. Knows nothing of how a task computes.
//!
//! **How it is built.** One actor per run (`driver`) owns the run's state, takes inputs in batches from its mailbox,
//! appends all events of a batch in one transaction, and then starts the effects as tasks whose answers are inputs
//! again. `store` puts the writes of all actors that wait into one transaction.
//!
//! - Reports: `reports` fills the mailboxes from the report queue, or leaves a report in the store for the control plane
//!   that drives its run, whose `inbox` takes it; `receipts` deletes what was handled. `dead_letters` turns messages that
//!   nobody survives into reports.
//! - Ownership: `admission` takes submissions in, `leases` renews what is owned, `takeover` takes what nobody drives, and
//!   `listen` hears of what others did in the store.
//! - Sharing: `quotas` has what namespaces may use, and the `gate` lets task messages through, to each namespace its share.
//! - The fleet: `scaling` computes how many workers are wanted, and a [`provisioner`] has them run. [`housekeeping`]
//!   forgets and sweeps, and [`pipelines`] has the runs of schedules made. Of each, one control plane at a time is the
//!   leader.
//! - `vitals` and `traces` show all of it to whoever watches.

mod admission;
mod cache;
mod control_plane;
mod dead_letters;
mod driver;
mod error;
pub mod export;
mod gate;
pub mod history;
pub mod housekeeping;
pub mod http;
pub mod identity;
mod inbox;
mod leases;
mod listen;
mod options;
pub mod pipelines;
mod planner;
pub mod provisioner;
pub mod quotas;
mod random;
mod receipts;
mod replay;
mod reports;
mod scaling;
mod shared;
pub mod store;
mod takeover;
mod traces;
mod vitals;

pub use admission::Submitted;
pub use control_plane::{ControlPlane, Environment, RunResult};
pub use error::Error;
pub use options::Options;
pub use planner::Planner;
pub use scaling::{ScalingOptions, ScalingStatus};
