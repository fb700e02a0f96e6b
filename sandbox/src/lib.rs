//! The host side of Weir's functions: loads a user's Wasm component, runs its functions over Arrow arrays, and keeps
//! whatever the component does inside its limits.
//!
//! The contract with the component is `sdk-guest/wit`. A [`Sandbox`] turns component bytes into a [`Module`]; a module
//! opens [`ScalarInstance`]s, [`FlatMapInstance`]s and [`AggregateInstance`]s. An instance is one use of one function
//! by one thread at a time; making one costs microseconds.
//!
//! ```no_run
//! use std::sync::Arc;
//! use arrow::array::{ArrayRef, Int64Array};
//! use weir_sandbox::{OpenOptions, Sandbox, SandboxOptions};
//!
//! let sandbox = Sandbox::new(SandboxOptions::default())?;
//! let module = sandbox.load(&std::fs::read("functions.wasm").unwrap())?;
//! let mut add = module.open_scalar("add", &OpenOptions::default())?;
//! let column: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
//! let sums = add.call(&[column.clone(), column])?.column;
//! # Ok::<(), weir_sandbox::Error>(())
//! ```
//!
//! **Invariants.**
//! - Nothing that a component returns becomes an Arrow array before its lengths, offsets, null counts, text encoding,
//!   types and row counts are checked. No input of a guest makes the host panic.
//! - [`Limits`] hold for every call: memory, time, stack, tables, bytes returned, bytes logged.
//! - A guest reaches nothing but its log and its metrics. WASI imports are inert; any other import is refused at load.
//! - After a trap, a limit or an invalid result the instance is gone and says so; no state of it is used again.
//! - A compiled artefact is authenticated before it is deserialised, see [`CacheOptions`].
//!
//! **Boundary.** Knows wasmtime and Arrow; knows nothing of DataFusion, pipelines, jobs or tasks. Calls are
//! synchronous and run on the caller's thread.

mod abi;
mod aggregate;
mod array_in;
mod array_out;
mod cache;
mod error;
mod flat_map;
mod guest_log;
mod instance;
mod linker;
mod module;
mod options;
mod sandbox;
mod scalar;
mod schema;
mod wasi;
mod words;

pub use aggregate::{AggregateInstance, Emit};
pub use error::{Error, Limit, RowError};
pub use flat_map::{Emitted, FlatMapInstance, Mapped};
pub use guest_log::Drained;
pub use module::{Function, FunctionKind, Module, Output, Volatility};
pub use options::{CacheOptions, Host, Limits, OpenOptions, SandboxOptions, Unlimited};
pub use sandbox::{Origin, Sandbox};
pub use scalar::{Evaluated, ScalarInstance};
pub use schema::takes;
