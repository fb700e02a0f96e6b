//! `weir runs`.

use std::io;

use weir_control_plane as control_plane;
use weir_control_plane::store::{RunFilter, RunRow, SqliteStore, Store};
use weir_model::{EventRecord, RunId};

use crate::args::{DataArgs, EmbeddedArgs, OutputFormat, RunRef, RunsCommand};
use crate::drive;
use crate::embedded::{DataFolder, Embedded};
use crate::error::Error;
use crate::history;
use crate::summary;

/// Interrupted runs that one command goes on with.
const RESUMED_AT_ONCE: u32 = 1_000;

pub(super) async fn execute(command: RunsCommand) -> Result<(), Error> {
    match command {
        RunsCommand::List { data, output, limit } => list(&data, output, limit).await,
        RunsCommand::Get { run, data, output } => get(run, &data, output).await,
        RunsCommand::Events { run, data, output } => events(run, &data, output).await,
        RunsCommand::Resume { run, embedded, output } => resume(run, &embedded, output).await,
    }
}

async fn open(data: &DataArgs) -> Result<SqliteStore, Error> {
    DataFolder::open(data)?.store().await
}

async fn list(data: &DataArgs, output: OutputFormat, limit: u32) -> Result<(), Error> {
    let store = open(data).await?;
    let rows = store
        .run_list(&RunFilter::default(), None, limit)
        .await
        .map_err(Error::platform("list the runs"))?;
    summary::print_runs(&mut io::stdout().lock(), &rows, output).map_err(Error::io("print the runs"))
}

/// The id of a run that is there.
async fn find(store: &dyn Store, run: RunRef) -> Result<RunRow, Error> {
    let found = match run {
        RunRef::Latest => {
            let rows = store.run_list(&RunFilter::default(), None, 1).await;
            rows.map_err(Error::platform("list the runs"))?.into_iter().next()
        }
        RunRef::Id(run) => store.run_get(run).await.map_err(Error::platform("read the run"))?,
    };
    found.ok_or_else(|| {
        Error::NotFound(match run {
            RunRef::Latest => "no runs yet; `weir run FILE` makes one".to_owned(),
            RunRef::Id(run) => format!("no run {run} in this data folder; `weir runs list` shows those that are"),
        })
    })
}

async fn get(run: RunRef, data: &DataArgs, output: OutputFormat) -> Result<(), Error> {
    let store = open(data).await?;
    let run = find(&store, run).await?.run;
    let snapshot = history::state(&store, run).await?.snapshot();
    summary::print_run(&mut io::stdout().lock(), &snapshot, output).map_err(Error::io("print the run"))
}

async fn events(run: RunRef, data: &DataArgs, output: OutputFormat) -> Result<(), Error> {
    let store = open(data).await?;
    let run = find(&store, run).await?.run;
    let mut events: Vec<EventRecord> = Vec::new();
    history::events(&store, run, |page| {
        events.extend(page);
        Ok(())
    })
    .await?;
    summary::print_events(&mut io::stdout().lock(), &events, output).map_err(Error::io("print the events"))
}

async fn resume(run: Option<RunRef>, args: &EmbeddedArgs, output: OutputFormat) -> Result<(), Error> {
    let service = Embedded::start(args).await?;
    let result = resume_all(&service, run, output).await;
    service.shutdown().await;
    result
}

async fn resume_all(service: &Embedded, run: Option<RunRef>, output: OutputFormat) -> Result<(), Error> {
    let runs: Vec<RunId> = match run {
        None => {
            let rows = service.control_plane.unfinished(None, RESUMED_AT_ONCE).await;
            rows.map_err(Error::platform("look for interrupted runs"))?
                .into_iter()
                .map(|row| row.run)
                .collect()
        }
        Some(run) => {
            let found = find(service.store.as_ref(), run).await?;
            if found.summary.outcome.is_some() {
                return Err(Error::Conflict(format!(
                    "run {} is over already; `weir runs get` shows it",
                    found.run
                )));
            }
            vec![found.run]
        }
    };
    if runs.is_empty() {
        eprintln!("no interrupted runs");
    }
    let mut failed = None;
    for run in runs {
        match service.control_plane.resume(run).await {
            Ok(()) => {}
            // Resumed or ended by another process since we looked.
            Err(control_plane::Error::Finished { .. }) => continue,
            Err(error @ control_plane::Error::Owned { .. }) => {
                failed = Some(Error::Conflict(error.to_string()));
                continue;
            }
            Err(error) => return Err(Error::platform("resume the run")(error)),
        }
        let snapshot = drive::to_end(service, run).await?;
        super::run::print(service, &snapshot, output, 0).await?;
        if let Err(error) = drive::check(&snapshot) {
            failed = Some(error);
        }
    }
    failed.map_or(Ok(()), Err)
}
