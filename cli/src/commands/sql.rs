//! `weir sql`.

use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::buffer::Buffer;
use arrow::datatypes::Schema;
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamDecoder;
use futures::TryStreamExt;
use weir_control_plane::RunResult;
use weir_control_plane::http::resources::{RunRequest, SqlJob, Table};
use weir_engine::PlanError;
use weir_engine::statements::{self, StatementRole};
use weir_model::{Job, RunId, Submission, TableRef, layout};
use weir_platform::clock;

use crate::args::SqlArgs;
use crate::client::Client;
use crate::drive;
use crate::embedded::Embedded;
use crate::error::Error;
use crate::rows::RowPrinter;
use crate::{submission, target};

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
    if let Some(client) = target::client(&args.target)? {
        return run_remotely(&client, &args, &statements).await;
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

/// Runs the statements on a server, whose results come back as they are read.
async fn run_remotely(client: &Client, args: &SqlArgs, statements: &[statements::Statement]) -> Result<(), Error> {
    let files = args
        .modules
        .iter()
        .map(|file| file.to_string_lossy().into_owned())
        .collect();
    let modules = submission::upload_to(client, Path::new(""), files).await?;
    let tables = args.tables.iter().map(|(name, path)| Table {
        name: name.clone(),
        path: path.clone(),
    });
    let tables: Vec<Table> = tables.collect();
    let mut setup = Vec::new();
    for statement in statements {
        match statement.role {
            StatementRole::Setup => setup.push(statement.text.clone()),
            StatementRole::Query => {
                let request = RunRequest {
                    name: Some("sql".to_owned()),
                    sql: Some(SqlJob {
                        statement: statement.text.clone(),
                        setup: setup.clone(),
                        tables: tables.clone(),
                    }),
                    modules: modules.clone(),
                    base: Some(submission::current_folder()?),
                    ..Default::default()
                };
                let run = client.submit(&request, &clock::new_request_id()).await?;
                let run = drive::remote(client, run, None).await?;
                drive::check(&run)?;
                for written in &run.outputs {
                    eprintln!("wrote {} rows to {} files", written.rows, written.files.len());
                }
                if run.outputs.is_empty() {
                    print_remote_result(client, run.id, args).await?;
                }
            }
        }
    }
    Ok(())
}

/// Prints the result of a run of a server while it is received.
async fn print_remote_result(client: &Client, run: RunId, args: &SqlArgs) -> Result<(), Error> {
    let unreadable = |error: ArrowError| Error::platform("read the result")(error);
    let mut answer = client.result(run).await?;
    let mut decoder = StreamDecoder::new();
    let mut printer = RowPrinter::new(io::BufWriter::new(io::stdout().lock()), args.output);
    let mut schema = None;
    while let Some(chunk) = answer
        .chunk()
        .await
        .map_err(|error| Error::platform("receive the result")(error.without_url()))?
    {
        let mut left = Buffer::from(chunk);
        while let Some(batch) = decoder.decode(&mut left).map_err(unreadable)? {
            schema.get_or_insert_with(|| batch.schema());
            printer.print(&batch).map_err(Error::io("print rows"))?;
        }
    }
    decoder.finish().map_err(unreadable)?;
    let empty = RecordBatch::new_empty(schema.unwrap_or_else(|| Arc::new(Schema::empty())));
    printer.finish(empty).map(drop).map_err(Error::io("print rows"))
}

/// Streams the result to stdout, then deletes it: it has reached whom it was for.
async fn print_result(service: &Embedded, run: RunId, args: &SqlArgs) -> Result<(), Error> {
    let result = service
        .control_plane
        .result(run)
        .await
        .map_err(Error::platform("find the result"))?;
    let Some(RunResult { graph, objects }) = result else {
        return Ok(());
    };
    let mut rows = service
        .engine
        .read_result(&Default::default(), run, &graph, objects, 0)
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
