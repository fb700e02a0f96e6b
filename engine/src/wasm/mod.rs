//! Wasm functions as DataFusion functions and operators.
//!
//! [`load_modules`] fetches the modules that a job or a plan names, which takes time and happens before anything else;
//! [`Functions`] holds them for one session; a [`WasmFunction`] from there becomes a [`ScalarUDF`] or an
//! [`AggregateUDF`](datafusion::logical_expr::AggregateUDF), or an operator with [`flat_map`]. In serialised plans a
//! function is a [`WasmFunctionRef`].
//!
//! **Invariants.** What functions log and count reaches the [`TaskLog`](crate::task::TaskLog), after failures too. Memory
//! that instances hold is charged to the task's pool: as reservations of their own, or, with aggregates, as the size
//! that an accumulator reports, so that the aggregation spills. Calls block their thread; they end soon after the task
//! is cancelled.
//!
//! [`ScalarUDF`]: datafusion::logical_expr::ScalarUDF

mod aggregate;
mod failure;
mod flat_map;
mod function;
mod functions;
mod modules;
mod scalar;
#[cfg(test)]
mod tests;

pub use flat_map::{FlatMapPlanner, FlatMapSpec, KIND, WasmFlatMapExec, flat_map};
pub(crate) use flat_map::{REFUSED_ROWS, WASM_TIME};
pub use function::{WasmFunction, WasmFunctionRef, aggregate_reference, scalar_reference};
pub use functions::{Functions, TaskFunctions};
pub use modules::{LoadedModules, ModuleError, check_modules, load_modules};
