//! `weir sql`.

use std::io::{self, Read};
use std::path::Path;

use arrow::array::RecordBatch;
use futures::TryStreamExt;
use weir_control_plane::RunResult;
use weir_engine::PlanError;
use weir_engine::statements::{self, StatementRole};
use weir_model::{Job, RunId, Submission, TableRef, layout};

use crate::args::SqlArgs;
use crate::drive;
use crate::embedded::Embedded;
use crate::error::Error;
use crate::rows::RowPrinter;
use crate::submission;

pub(super) async fn execute(args: SqlArgs) -> Result<(), Error> {
    let script = script(&args)?;
    let statements = statements::split(&script).map_err(usage)?;
    if statements
        .iter()
        .all(|statement| statement.role == StatementRole::Setup)
    {
        return Err(Error::Usage(
            "no statement has rows or writes files; end with a SELECT or COPY".to_owned(),
        ));
    }
    let service = Embedded::start(&args.embedded).await?;
    let result = run_all(&service, &args, &statements).await;
    service.shutdown().await;
    result
}

fn script(args: &SqlArgs) -> Result<String, Error> {
    match (&args.statements, &args.file) {
        (Some(text), _) => Ok(text.clone()),
        (None, Some(file)) if file == Path::new("-") => {
            let mut text = String::new();
            io::stdin()
                .read_to_string(&mut text)
                .map_err(Error::io("read statements from standard input"))?;
            Ok(text)
        }
        (None, Some(file)) => std::fs::read_to_string(file)
            .map_err(|error| Error::Usage(format!("cannot read the statements of {}: {error}", file.display()))),
        (None, None) => Err(Error::Usage("give statements, or a file of them by -f".to_owned())),
    }
}

fn usage(error: PlanError) -> Error {
    Error::Usage(error.to_string())
}

async fn run_all(service: &Embedded, args: &SqlArgs, statements: &[statements::Statement]) -> Result<(), Error> {
    let files = args
        .modules
        .iter()
        .map(|file| file.to_string_lossy().into_owned())
        .collect();
    let modules = submission::upload_modules(&service.storage, Path::new(""), files).await?;
    let tables: Vec<TableRef> = args
        .tables
        .iter()
        .map(|(name, path)| TableRef {
            name: name.clone(),
            path: path.clone(),
        })
        .collect();
    let mut setup = Vec::new();
    for statement in statements {
        match statement.role {
            StatementRole::Setup => setup.push(statement.text.clone()),
            StatementRole::Query => {
                let submission = Submission {
                    namespace: Default::default(),
                    name: "sql".to_owned(),
                    job: Job::Sql {
                        statement: statement.text.clone(),
                        setup: setup.clone(),
                        tables: tables.clone(),
                    },
                    modules: modules.clone(),
                    base: submission::current_folder()?,
                    metadata: Default::default(),
                    settings: submission::settings(&args.embedded),
                };
                let run = service
                    .control_plane
                    .submit(submission)
                    .await
                    .map_err(Error::platform("submit the query"))?;
                let snapshot = drive::to_end(service, run).await?;
                drive::check(&snapshot)?;
                for written in &snapshot.outputs {
                    eprintln!("wrote {} rows to {} files", written.rows, written.files.len());
                }
                print_result(service, run, args).await?;
            }
        }
    }
    Ok(())
}

/// Streams the result to stdout, then deletes it: it has reached whom it was for.
async fn print_result(service: &Embedded, run: RunId, args: &SqlArgs) -> Result<(), Error> {
    let result = service
        .control_plane
        .result_outputs(run)
        .await
        .map_err(Error::platform("find the result"))?;
    let Some(RunResult { graph, outputs }) = result else {
        return Ok(());
    };
    let mut rows = service
        .engine
        .read_result(run, &graph, outputs)
        .await
        .map_err(Error::platform("read the result"))?;
    let empty = RecordBatch::new_empty(rows.schema());
    let mut printer = RowPrinter::new(io::BufWriter::new(io::stdout().lock()), args.output);
    while let Some(batch) = rows.try_next().await.map_err(Error::platform("read the result"))? {
        printer.print(&batch).map_err(Error::io("print rows"))?;
    }
    printer.finish(empty).map_err(Error::io("print rows"))?;
    // Executions that were not accepted may have left objects too.
    let all = layout::run_prefix(run);
    service
        .storage
        .delete_prefix(&all)
        .await
        .map_err(Error::platform("delete the printed result"))
}
