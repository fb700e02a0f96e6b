//! `weir validate`.

use std::io;

use serde::Serialize;
use weir_engine::PlanError;
use weir_model::spec::Diagnostics;

use crate::args::{OutputFormat, ValidateArgs};
use crate::embedded::{self, DataFolder};
use crate::error::Error;
use crate::submission;
use crate::summary::print_json;

#[derive(Serialize)]
struct Report<'a> {
    file: String,
    valid: bool,
    problems: Vec<Problem<'a>>,
}

#[derive(Serialize)]
struct Problem<'a> {
    /// From one; absent when the problem is the whole file's.
    line: Option<u32>,
    /// In characters, from one; absent when the problem is the whole line's.
    column: Option<u32>,
    transform: Option<&'a str>,
    message: &'a str,
    help: Option<&'a str>,
}

pub(super) async fn execute(args: ValidateArgs) -> Result<(), Error> {
    let result = check(&args).await;
    let (valid, diagnostics) = match &result {
        Ok(()) => (true, None),
        Err(Error::Pipeline(diagnostics)) => (false, Some(diagnostics)),
        Err(_) => return result,
    };
    let mut out = io::stdout().lock();
    let printed = match args.output {
        OutputFormat::Table if valid => {
            io::Write::write_all(&mut out, format!("{}: valid\n", args.file.display()).as_bytes())
        }
        OutputFormat::Table => Ok(()),
        format => {
            let report = Report {
                file: args.file.display().to_string(),
                valid,
                problems: problems(diagnostics),
            };
            print_json(&mut out, &report, format == OutputFormat::Json)
        }
    };
    printed.map_err(Error::io("print the report"))?;
    result
}

fn problems(diagnostics: Option<&Diagnostics>) -> Vec<Problem<'_>> {
    diagnostics
        .iter()
        .flat_map(|diagnostics| diagnostics.0.iter())
        .map(|diagnostic| Problem {
            line: (diagnostic.line > 0).then_some(diagnostic.line),
            column: (diagnostic.column > 0).then_some(diagnostic.column),
            transform: diagnostic.transform.as_deref(),
            message: &diagnostic.message,
            help: diagnostic.help.as_deref(),
        })
        .collect()
}

async fn check(args: &ValidateArgs) -> Result<(), Error> {
    let params = args.params.params.iter().cloned().collect();
    submission::read_pipeline(&args.file, &params)?;
    if args.syntax {
        return Ok(());
    }
    let folder = DataFolder::open(&args.data)?;
    let (engine, storage) = embedded::engine(&folder, None)?;
    let submission = submission::pipeline(&storage, &args.file, &args.params, Default::default()).await?;
    engine.explain(&submission).await.map_err(plan_error)?;
    Ok(())
}

/// A planning error as the command's.
pub(super) fn plan_error(error: PlanError) -> Error {
    match error {
        PlanError::Pipeline(diagnostics) => Error::Pipeline(diagnostics),
        PlanError::TemplateTooLarge(error) => Error::Usage(error.to_string()),
        PlanError::Query(message) | PlanError::QueryAt { message, .. } => Error::Usage(message),
        PlanError::TooDeep(error) => Error::Usage(error.to_string()),
        PlanError::Platform(source) => Error::Platform {
            action: "plan the job",
            source,
        },
    }
}
