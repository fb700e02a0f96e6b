//! `weir explain`.

use std::io::{self, Write};

use serde::Serialize;
use weir_model::StageGraph;

use super::validate::plan_error;
use crate::args::{ExplainArgs, OutputFormat};
use crate::embedded::{self, DataFolder};
use crate::error::Error;
use crate::submission;
use crate::summary::print_json;

#[derive(Serialize)]
struct Plan<'a> {
    logical: &'a str,
    stages: &'a str,
    graph: &'a StageGraph,
}

pub(super) async fn execute(args: ExplainArgs) -> Result<(), Error> {
    let folder = DataFolder::open(&args.embedded.data)?;
    let (engine, storage) = embedded::engine(&folder, args.embedded.memory)?;
    let settings = submission::settings(&args.embedded);
    let submission = submission::pipeline(&storage, &args.file, &args.params, settings).await?;
    let plan = engine.explain(&submission).await.map_err(plan_error)?;
    let mut out = io::stdout().lock();
    let printed = match args.output {
        OutputFormat::Table => {
            write!(
                out,
                "logical plan\n\n{}\n\nstages\n\n{}\n",
                plan.logical.trim_end(),
                plan.stages.trim_end()
            )
        }
        format => {
            let plan = Plan {
                logical: &plan.logical,
                stages: &plan.stages,
                graph: &plan.graph,
            };
            print_json(&mut out, &plan, format == OutputFormat::Json)
        }
    };
    printed.map_err(Error::io("print the plan"))
}
