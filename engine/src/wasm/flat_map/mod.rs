//! Flat-map functions as operators: a logical node, its planner, and the physical operator.

mod exec;
mod node;
mod spec;

pub use exec::WasmFlatMapExec;
pub(crate) use exec::{REFUSED_ROWS, WASM_TIME};
pub use node::{FlatMapPlanner, flat_map};
pub use spec::{FlatMapSpec, KIND};
