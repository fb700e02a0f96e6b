//! Operators that only pipelines have.
//!
//! They all have one input, and are one kind of logical node, [`RowsNode`], which the optimiser leaves where it is:
//! nothing moves across it, because each either has effects or decides which rows fail.

mod assert;
mod explode;
mod log;
mod map;
mod node;
mod tagged;
mod threshold;
mod travel;

pub(crate) use assert::{AssertExec, AssertSpec};
pub(crate) use log::{LogExec, LogSpec};
pub(crate) use map::{MapRowsExec, MapRowsSpec, RowOperation};
pub(crate) use node::{RowsKind, RowsNode, RowsPlanner};
pub(crate) use tagged::TaggedOutput;
pub(crate) use threshold::{ThresholdExec, ThresholdSpec};
pub(crate) use travel::RowsSpec;
