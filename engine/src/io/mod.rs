//! Sources and sinks: files in, files out.
//!
//! **Invariants.** What a file means is decided when the job is planned: its rows have the planned schema or the task
//! fails with the file's name. A sink's files are staged under names that only one execution uses; nothing here makes
//! them visible.

mod location;
mod output;
mod render;
pub mod scan;
mod schema_serde;
mod sink;
mod stores;

pub use location::{FileSet, Location, LocationError};
pub(crate) use output::OutputFile;
pub use output::RowsError;
pub use render::{PythonJson, PythonText, python_float};
pub use sink::{FileWriter, ParquetCodec, SinkFormat, SinkPlace, SinkSpec, SinkTarget, Staging, WriteError};
pub(crate) use stores::{AllowedLocations, AttemptStores, Stores, check_local};
