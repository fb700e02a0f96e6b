//! `weir runs`.

use std::io;

use weir_control_plane::{RunFilter, SqliteStore, Store};
use weir_model::{EventRecord, RunId, RunSnapshot};

use crate::args::{DataArgs, EmbeddedArgs, OutputFormat, RunRef, RunsCommand};
use crate::drive;
use crate::embedded::{DataFolder, Embedded};
use crate::error::Error;
use crate::summary;

/// Events read from the store at once.
const EVENT_PAGE: u32 = 1_000;

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
    let runs = newest(&store, limit).await?;
    summary::print_runs(&mut io::stdout().lock(), &runs, output).map_err(Error::io("print the runs"))
}

async fn newest(store: &dyn Store, limit: u32) -> Result<Vec<RunSnapshot>, Error> {
    let filter = RunFilter { limit, ..Default::default() };
    let page = store.run_list(&filter).await.map_err(Error::platform("list the runs"))?;
    Ok(page.runs)
}

async fn find(store: &dyn Store, run: RunRef) -> Result<RunSnapshot, Error> {
    let found = match run {
        RunRef::Latest => newest(store, 1).await?.into_iter().next(),
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
    let run = find(&store, run).await?;
    summary::print_run(&mut io::stdout().lock(), &run, output).map_err(Error::io("print the run"))
}

async fn events(run: RunRef, data: &DataArgs, output: OutputFormat) -> Result<(), Error> {
    let store = open(data).await?;
    let run = find(&store, run).await?.run;
    let mut events: Vec<EventRecord> = Vec::new();
    loop {
        let after = events.last().map_or(0, |event| event.seq);
        let page = store.run_events(run, after, EVENT_PAGE).await.map_err(Error::platform("read the events"))?;
        if page.is_empty() {
            break;
        }
        events.extend(page);
    }
    summary::print_events(&mut io::stdout().lock(), &events, output).map_err(Error::io("print the events"))
}

async fn resume(run: Option<RunRef>, args: &EmbeddedArgs, output: OutputFormat) -> Result<(), Error> {
    let service = Embedded::start(args).await?;
    let result = resume_all(&service, run, args, output).await;
    service.shutdown().await;
    result
}

async fn resume_all(
    service: &Embedded,
    run: Option<RunRef>,
    args: &EmbeddedArgs,
    output: OutputFormat,
) -> Result<(), Error> {
    let runs: Vec<RunId> = match run {
        None => service.control_plane.unfinished().await.map_err(Error::platform("look for interrupted runs"))?,
        Some(run) => {
            let found = find(&open(&args.data).await?, run).await?;
            if found.outcome.is_some() {
                eprintln!("run {} is over already", found.run);
                return summary::print_run(&mut io::stdout().lock(), &found, output)
                    .map_err(Error::io("print the run"));
            }
            vec![found.run]
        }
    };
    if runs.is_empty() {
        eprintln!("no interrupted runs");
    }
    let mut failed = None;
    for run in runs {
        service.control_plane.resume(run).await.map_err(Error::platform("resume the run"))?;
        let snapshot = drive::to_end(service, run).await?;
        super::run::print(service, &snapshot, output, 0).await?;
        if let Err(error) = drive::check(&snapshot) {
            failed = Some(error);
        }
    }
    failed.map_or(Ok(()), Err)
}
