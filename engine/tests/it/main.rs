//! Jobs through the engine as a worker runs them: planned, cut into stages, each task from its bytes alone.

mod buckets;
mod driver;
mod pipeline;
mod plans;
mod shapes;
mod sql;
mod tasks;
mod tpch;
#[path = "../tpch/mod.rs"]
mod tpch_data;
