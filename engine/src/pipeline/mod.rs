//! A checked pipeline to the parts of a job.
//!
//! Every transform becomes a DataFusion plan over the plans of its inputs. An output with several readers becomes a
//! part of its own, computed once. Sinks are parts, and so is what nobody reads, because Beam runs it too. Semantics
//! are Beam's where SQL's differ: names of fields are told apart by case, null equals null in the language `generic`,
//! all rows count, an aggregation of nothing has no row.
//!
//! Where rows differ from Beam's, because every field has one type here:
//!
//! - `Create` and `Flatten` take integers and floats together as floats, and refuse other mixtures of types.
//! - In JSON files objects stay objects, which Beam turns into the text of a Python dictionary; a boolean that is
//!   missing somewhere stays a boolean in JSON and CSV, where Beam has the texts `True` and `False`.
//! - Aggregations pass over null, as SQL does; Beam fails on it, but for `count`, `group`, `all` and `any`.
//! - `WriteToCsv` and `WriteToJson` leave a file even when there are no rows.
//! - SQL is DataFusion's: its functions are there, not all of Calcite's.
//!
//! **Invariants.** What the user can correct is reported as a diagnostic with its place in the file, and all that can
//! be found in one pass is. A transform with `error_handling` is a barrier: nothing moves across it.

mod combine;
mod expressions;
mod flow;
mod functions;
mod join;
mod mapping;
pub(crate) mod operators;
mod planner;
mod problems;
mod sinks;
mod sources;
mod tables;
mod values;
mod wasm;

use std::sync::Arc;

use datafusion::physical_planner::ExtensionPlanner;
use weir_model::spec::Pipeline;
use weir_model::{RunId, Submission};

pub(crate) use functions::function;

use crate::PlanError;
use crate::stages::StageBuilder;
use crate::wasm::Functions;

/// Plans `pipeline`: every sink and every output that nobody reads becomes a part of `builder`. `functions` are those
/// of the submission's Wasm components.
///
/// # Errors
/// [`PlanError::Pipeline`] with everything that was found wrong with the pipeline.
pub async fn build(
    pipeline: &Pipeline,
    submission: &Submission,
    run: RunId,
    functions: &Functions,
    builder: &mut StageBuilder,
) -> Result<(), PlanError> {
    planner::Planner::new(pipeline, submission, run, functions, builder)
        .plan()
        .await
}

/// The planners of this module's logical nodes, for the session that jobs are planned in.
pub fn extension_planners() -> Vec<Arc<dyn ExtensionPlanner + Send + Sync>> {
    vec![Arc::new(operators::RowsPlanner)]
}
