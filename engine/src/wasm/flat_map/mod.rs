//! Flat-map functions as operators: a logical node, its planner, and the physical operator.

mod exec;
mod node;
mod spec;

pub use exec::WasmFlatMapExec;
pub use node::{FlatMapPlanner, flat_map};
pub use spec::{FlatMapSpec, KIND};
