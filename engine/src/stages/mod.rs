//! Plans to stages.
//!
//! A physical plan is cut where rows change partitions. Each piece is a *stage*: it is serialised with how its output
//! is partitioned, and a task runs a range of its partitions from those bytes alone.
//!
//! | exchange in the plan | written as | read by |
//! |---|---|---|
//! | `RepartitionExec` (hash) | rows assigned to shuffle partitions by the same hash | partition `p` reads shuffle partition `p` |
//! | `SortPreservingMergeExec` | one shuffle partition per plan partition | a merge of all of them: a stage, or whoever reads the result |
//! | `CoalescePartitionsExec` | one shuffle partition per plan partition | one partition reads all |
//! | collected side of a join | one shuffle partition per plan partition | every task reads all |

mod builder;
pub mod codec;
mod cut;
mod explain;
mod flow;
mod joins;
mod places;
mod plan;
mod shared;
mod splits;
mod travel;

pub use builder::{Planned, StageBuilder};
pub use joins::DistributedJoins;
pub use plan::BUILD;

pub(crate) use flow::restrict;
pub(crate) use places::{Place, places};
pub(crate) use plan::{Assignment, StagePlan};
