//! The driver of all runs: it keeps their logs, decides what happens next, and makes their outputs visible.
//!
//! **Invariants.** What happens to a run is decided by [`weir_model::machine`] alone. An event is in the store before
//! any of its consequences leaves this process, and every write to a run's log is conditional on its lease. Reports
//! are deleted from their queue after what follows from them is in the store. Whoever loses a lease stops at once.
//!
//! **Boundary.** [`ControlPlane`] is the whole interface, over a [`Store`](store::Store), two queues, a storage and a
//! [`Planner`]. Knows nothing of how a task computes.
//!
//! **How it is built.** One actor per run (`driver`) owns the run's state, takes inputs in batches from its mailbox,
//! appends all events of a batch in one transaction, and then starts the effects as tasks whose answers are inputs
//! again. `reports` fills the mailboxes from the report queue, `leases` renews what is owned. `store` puts the writes
//! of all actors that wait into one transaction.

mod admission;
mod control_plane;
mod dead_letters;
mod driver;
mod error;
pub mod housekeeping;
pub mod http;
mod inbox;
mod leases;
mod listen;
mod options;
mod planner;
pub mod provisioner;
mod random;
mod receipts;
mod replay;
mod reports;
mod scaling;
mod shared;
pub mod store;
mod takeover;
mod vitals;

pub use admission::Submitted;
pub use control_plane::{ControlPlane, Environment, RunResult};
pub use error::Error;
pub use options::Options;
pub use planner::Planner;
pub use scaling::{ScalingOptions, ScalingStatus};
