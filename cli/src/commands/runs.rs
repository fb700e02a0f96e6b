//! `weir runs`.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;
use weir_control_plane as control_plane;
use weir_control_plane::http::resources::{Event, ListedRun, LogEntry, LogFilter, LogSeverity, Run, RunState, Time};
use weir_control_plane::store::RunFilter;
use weir_model::{RunId, Timestamp};

use crate::args::{
    DataArgs, EmbeddedArgs, LogFilterArgs, LookArgs, OutputFormat, PriceArgs, RunRef, RunsCommand, Severity, TargetArgs,
};
use crate::client::Client;
use crate::embedded::Embedded;
use crate::error::Error;
use crate::history::{Here, LineCursor};
use crate::{drive, summary, target};

/// Interrupted runs that one command goes on with.
const RESUMED_AT_ONCE: u32 = 1_000;
/// How often a run of this machine's data folder is looked at when another process drives it.
const LOOK: Duration = Duration::from_millis(200);

pub(super) async fn execute(command: RunsCommand) -> Result<(), Error> {
    match command {
        RunsCommand::List {
            look,
            limit,
            name,
            pipeline,
            schedule,
            search,
        } => {
            let filter = RunFilter {
                name,
                pipeline,
                schedule,
                since: search.since,
                until: search.until,
                labels: search.labels,
                search: search.search.as_ref().and_then(|search| search.words.clone()),
                ..Default::default()
            };
            list(&look, limit, filter, search.search.map(|search| search.text)).await
        }
        RunsCommand::Get { run, look } => get(run, &look).await,
        RunsCommand::Watch { run, look, timeout } => watch(run, &look, timeout.map(Duration::from_secs)).await,
        RunsCommand::Logs {
            run,
            look,
            filter,
            follow,
        } => print_logs(run, &look, &LogFilter::from(filter), follow).await,
        RunsCommand::Diagnose { run, look } => diagnose(run, &look).await,
        RunsCommand::Export {
            run,
            output,
            target,
            data,
            prices,
        } => export(run, output, &Source::open_at(&target, &data, &prices).await?).await,
        RunsCommand::Cancel { run, look } => cancel(run, &look).await,
        RunsCommand::Retry {
            run,
            target,
            embedded,
            wait,
            output,
        } => match target::client(&target)? {
            Some(client) => retry_remote(&client, run, wait, output).await,
            None => retry_here(run, &embedded, output).await,
        },
        RunsCommand::Outputs {
            run,
            target,
            preview,
            output,
        } => super::outputs::execute(run, &target, preview, output).await,
        RunsCommand::Events { run, look } => events(run, &look).await,
        RunsCommand::Pause { run, look } => pause(run, &look).await,
        RunsCommand::Resume {
            run,
            target,
            embedded,
            output,
        } => match target::client(&target)? {
            Some(client) => resume_remote(client, run).await,
            None => resume(run, &embedded, output).await,
        },
    }
}

/// Where runs are looked at.
enum Source {
    Server(Client),
    Here(Here),
}

impl Source {
    async fn open(look: &LookArgs) -> Result<Self, Error> {
        Self::open_at(&look.target, &look.data, &look.prices).await
    }

    async fn open_at(target: &TargetArgs, data: &DataArgs, prices: &PriceArgs) -> Result<Self, Error> {
        match target::client(target)? {
            Some(client) => Ok(Self::Server(client)),
            None => Here::open(data, prices).await.map(Self::Here),
        }
    }

    /// The youngest runs; `words` are those of the filter's search.
    async fn list(&self, limit: u32, filter: RunFilter, words: Option<String>) -> Result<Vec<ListedRun>, Error> {
        match self {
            Self::Server(client) => {
                let labels = filter
                    .labels
                    .iter()
                    .map(|(key, value)| escaped(&format!("{key}={value}")));
                let labels: Vec<String> = labels.collect();
                let time = |at: Option<Timestamp>| at.map(|at| Time(at).to_string());
                let given = [
                    ("name", filter.name),
                    ("pipeline", filter.pipeline),
                    ("schedule", filter.schedule),
                    ("label", Some(labels.join(",")).filter(|labels| !labels.is_empty())),
                    ("since", time(filter.since)),
                    ("until", time(filter.until)),
                    ("search", words),
                ];
                let given = given.into_iter().filter_map(|(key, value)| Some((key, value?)));
                client.runs(&given.collect::<Vec<_>>(), limit).await
            }
            Self::Here(here) => here.list(&filter, limit).await,
        }
    }

    /// The id of a run that is there.
    async fn find(&self, run: RunRef) -> Result<RunId, Error> {
        match (run, self) {
            (RunRef::Latest, _) => {
                let newest = self.list(1, RunFilter::default(), None).await?.into_iter().next();
                newest
                    .map(|run| run.id)
                    .ok_or_else(|| Error::NotFound("no runs yet; `weir run FILE` makes one".to_owned()))
            }
            // The server says so itself when it is not there.
            (RunRef::Id(run), Self::Server(_)) => Ok(run),
            (RunRef::Id(run), Self::Here(here)) => here.row(run).await.map(|row| row.run),
        }
    }

    async fn run(&self, run: RunId) -> Result<Run, Error> {
        match self {
            Self::Server(client) => client.run(run).await,
            Self::Here(here) => here.run(run).await,
        }
    }

    async fn events(&self, run: RunId) -> Result<Vec<Event>, Error> {
        match self {
            Self::Here(here) => here.events(run).await,
            Self::Server(client) => {
                let mut events = Vec::new();
                let mut cursor = None;
                loop {
                    let page = client.events(run, cursor.as_deref()).await?;
                    events.extend(page.items);
                    if page.complete {
                        return Ok(events);
                    }
                    cursor = Some(page.next_cursor);
                }
            }
        }
    }

    /// Hands over log lines after a cursor, which moves on.
    async fn logs(
        &self,
        run: RunId,
        filter: &LogFilter,
        cursor: &mut Cursor,
        mut line: impl FnMut(LogEntry) -> Result<(), Error>,
    ) -> Result<(), Error> {
        match self {
            Self::Server(client) => drive::remote_logs(client, run, filter, &mut cursor.server, line).await,
            Self::Here(here) => {
                let wanted = |entry: LogEntry| if filter.matches(&entry) { line(entry) } else { Ok(()) };
                here.lines(run, &mut cursor.here, wanted).await
            }
        }
    }

    /// The run when it may have changed.
    async fn changed(&self, known: &Run) -> Result<Run, Error> {
        match self {
            Self::Server(client) => Ok(client.changed(known).await?.unwrap_or_else(|| known.clone())),
            Self::Here(here) => {
                let first = here.row(known.id).await?.last_seq;
                let mut ticks = tokio::time::interval(LOOK);
                // A row that does not change for long is looked at nevertheless.
                for _ in 0..100 {
                    ticks.tick().await;
                    if here.row(known.id).await?.last_seq != first {
                        break;
                    }
                }
                here.run(known.id).await
            }
        }
    }
}

/// How far the log lines of a run were read.
#[derive(Default)]
struct Cursor {
    server: Option<String>,
    here: LineCursor,
}

/// A label as one of several.
fn escaped(label: &str) -> String {
    label.replace('\\', r"\\").replace(',', r"\,")
}

async fn list(look: &LookArgs, limit: u32, filter: RunFilter, words: Option<String>) -> Result<(), Error> {
    let runs = Source::open(look).await?.list(limit, filter, words).await?;
    summary::print_runs(&mut io::stdout().lock(), &runs, look.output).map_err(Error::io("print the runs"))
}

async fn get(run: RunRef, look: &LookArgs) -> Result<(), Error> {
    let source = Source::open(look).await?;
    let run = source.run(source.find(run).await?).await?;
    print_run(&run, look.output)
}

fn print_run(run: &Run, output: OutputFormat) -> Result<(), Error> {
    summary::print_run(&mut io::stdout().lock(), run, output).map_err(Error::io("print the run"))
}

async fn watch(run: RunRef, look: &LookArgs, patience: Option<Duration>) -> Result<(), Error> {
    let source = Source::open(look).await?;
    let run = source.run(source.find(run).await?).await?;
    let run = match &source {
        Source::Server(client) => drive::remote(client, run, patience).await?,
        Source::Here(_) => watch_here(&source, run, patience).await?,
    };
    print_run(&run, look.output)?;
    drive::check(&run)
}

/// Follows a run that another process of this machine drives.
async fn watch_here(source: &Source, mut run: Run, patience: Option<Duration>) -> Result<Run, Error> {
    let deadline = patience.map(|patience| Instant::now() + patience);
    let mut progress = crate::progress::Progress::start();
    while run.state != RunState::Finished {
        progress.update(&run);
        let over = async {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        run = tokio::select! {
            changed = source.changed(&run) => changed?,
            () = over => return Err(Error::Timeout(format!("run {} is not over yet", run.id))),
        };
    }
    Ok(run)
}

impl From<LogFilterArgs> for LogFilter {
    fn from(args: LogFilterArgs) -> Self {
        Self {
            search: args.search.map(|text| text.to_lowercase()),
            stage: args.stage,
            task: args.task,
            severity: args.severity.map(|severity| match severity {
                Severity::Debug => LogSeverity::Debug,
                Severity::Info => LogSeverity::Info,
                Severity::Warn => LogSeverity::Warn,
                Severity::Error => LogSeverity::Error,
            }),
        }
    }
}

async fn print_logs(run: RunRef, look: &LookArgs, filter: &LogFilter, follow: bool) -> Result<(), Error> {
    let source = Source::open(look).await?;
    let mut run = source.run(source.find(run).await?).await?;
    let mut cursor = Cursor::default();
    let mut all = Vec::new();
    loop {
        // Asked before the lines, so that none is missed when the run is over by then.
        let over = run.state == RunState::Finished;
        source
            .logs(run.id, filter, &mut cursor, |line| {
                match look.output {
                    OutputFormat::Json => all.push(line),
                    OutputFormat::Jsonl => summary::print_json(&mut io::stdout().lock(), &line, false)
                        .map_err(Error::io("print the lines"))?,
                    OutputFormat::Table => {
                        writeln!(io::stdout().lock(), "{}", drive::log_line(&line))
                            .map_err(Error::io("print the lines"))?;
                    }
                }
                Ok(())
            })
            .await?;
        if over || !follow {
            break;
        }
        run = source.changed(&run).await?;
    }
    match look.output {
        OutputFormat::Json => {
            summary::print_json(&mut io::stdout().lock(), &all, true).map_err(Error::io("print the lines"))
        }
        _ => Ok(()),
    }
}

async fn diagnose(run: RunRef, look: &LookArgs) -> Result<(), Error> {
    let source = Source::open(look).await?;
    let run = source.find(run).await?;
    let found = match &source {
        Source::Server(client) => client.findings(run).await?,
        Source::Here(here) => here.shown(run).await?.diagnose(),
    };
    summary::print_findings(&mut io::stdout().lock(), &found, look.output).map_err(Error::io("print the findings"))
}

async fn export(run: RunRef, file: Option<PathBuf>, source: &Source) -> Result<(), Error> {
    let run = source.find(run).await?;
    let html = match source {
        Source::Server(client) => client.export(run).await?,
        Source::Here(here) => here.export(run).await?,
    };
    let file = file.unwrap_or_else(|| PathBuf::from(format!("weir-{run}.html")));
    if file == Path::new("-") {
        return io::stdout()
            .lock()
            .write_all(html.as_bytes())
            .map_err(Error::io("print the run"));
    }
    std::fs::write(&file, html).map_err(Error::io(format!("write {}", file.display())))?;
    eprintln!("run {run} is in {}", file.display());
    Ok(())
}

async fn cancel(run: RunRef, look: &LookArgs) -> Result<(), Error> {
    let source = Source::open(look).await?;
    let run = source.find(run).await?;
    match &source {
        Source::Server(client) => {
            client.cancel(run).await?;
        }
        Source::Here(here) => {
            let asked = here.store().run_request_cancel(run, "`weir runs cancel`").await;
            if !asked.map_err(Error::platform("cancel the run"))? {
                return Err(Error::Conflict(format!("run {run} is over already")));
            }
        }
    }
    eprintln!("run {run} is being cancelled; `weir runs watch {run}` waits for its end");
    Ok(())
}

async fn pause(run: RunRef, look: &LookArgs) -> Result<(), Error> {
    let source = Source::open(look).await?;
    let run = source.find(run).await?;
    match &source {
        Source::Server(client) => {
            client.set_paused(run, true).await?;
        }
        Source::Here(here) => {
            let asked = here.store().run_request_pause(run, Some("`weir runs pause`")).await;
            if !asked.map_err(Error::platform("pause the run"))? {
                return Err(Error::Conflict(format!("run {run} is over already")));
            }
        }
    }
    eprintln!("run {run} is being paused; `weir runs resume {run}` lets it go on");
    Ok(())
}

async fn resume_remote(client: Client, run: Option<RunRef>) -> Result<(), Error> {
    let run =
        run.ok_or_else(|| Error::Usage("which run? Servers go on with interrupted ones themselves".to_owned()))?;
    let run = Source::Server(client.clone()).find(run).await?;
    client.set_paused(run, false).await?;
    eprintln!("run {run} goes on; `weir runs watch {run}` waits for its end");
    Ok(())
}

async fn retry_remote(client: &Client, run: RunRef, wait: bool, output: OutputFormat) -> Result<(), Error> {
    let old = Source::Server(client.clone()).find(run).await?;
    let run = client.retry(old).await?;
    super::submit::submitted(client, run, wait, None, output).await
}

async fn retry_here(run: RunRef, args: &EmbeddedArgs, output: OutputFormat) -> Result<(), Error> {
    let service = Embedded::start(args).await?;
    let result = async {
        let old = Source::Here(service.here.clone()).find(run).await?;
        let submitted = match service.control_plane.retry(old, None, None).await {
            Ok(submitted) => submitted,
            Err(error @ control_plane::Error::Unfinished { .. }) => return Err(Error::Conflict(error.to_string())),
            Err(error) => return Err(Error::platform("retry the run")(error)),
        };
        let run = drive::to_end(&service, submitted.run).await?;
        print_run(&run, output)?;
        drive::check(&run)
    };
    let result = result.await;
    service.shutdown().await;
    result
}

async fn events(run: RunRef, look: &LookArgs) -> Result<(), Error> {
    let source = Source::open(look).await?;
    let events = source.events(source.find(run).await?).await?;
    summary::print_events(&mut io::stdout().lock(), &events, look.output).map_err(Error::io("print the events"))
}

async fn resume(run: Option<RunRef>, args: &EmbeddedArgs, output: OutputFormat) -> Result<(), Error> {
    let service = Embedded::start(args).await?;
    let result = resume_all(&service, run, output).await;
    service.shutdown().await;
    result
}

async fn resume_all(service: &Embedded, run: Option<RunRef>, output: OutputFormat) -> Result<(), Error> {
    let mut unpaused = false;
    let runs: Vec<RunId> = match run {
        None => {
            let rows = service.control_plane.unfinished(None, RESUMED_AT_ONCE).await;
            let (paused, interrupted): (Vec<_>, Vec<_>) = rows
                .map_err(Error::platform("look for interrupted runs"))?
                .into_iter()
                .partition(|row| row.pause_requested_by.is_some() && row.summary.outcome.is_none());
            for row in paused {
                eprintln!("run {0} is paused; `weir runs resume {0}` lets it go on", row.run);
            }
            interrupted.into_iter().map(|row| row.run).collect()
        }
        Some(run) => {
            let here = &service.here;
            let source = Source::Here(here.clone());
            let found = source.run(source.find(run).await?).await?;
            if here.row(found.id).await?.pause_requested_by.is_some() {
                let asked = here.store().run_request_pause(found.id, None).await;
                asked.map_err(Error::platform("resume the run"))?;
                unpaused = true;
            }
            if found.result.is_some() {
                return Err(Error::Conflict(format!(
                    "run {} is over already; `weir runs get` shows it",
                    found.id
                )));
            }
            vec![found.id]
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
            Err(control_plane::Error::Owned { owner, .. }) if unpaused => {
                eprintln!("run {run} goes on, driven by {owner}; `weir runs watch {run}` waits for its end");
                continue;
            }
            Err(error @ control_plane::Error::Owned { .. }) => {
                failed = Some(Error::Conflict(error.to_string()));
                continue;
            }
            Err(error) => return Err(Error::platform("resume the run")(error)),
        }
        let ended = drive::to_end(service, run).await?;
        super::run::print(service, &ended, output, 0).await?;
        if let Err(error) = drive::check(&ended) {
            failed = Some(error);
        }
    }
    failed.map_or(Ok(()), Err)
}
