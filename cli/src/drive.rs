//! Watching a run to its end.

use std::time::Duration;

use tokio::time::Instant;
use weir_control_plane::http::resources::{LogEntry, LogFilter, LogSeverity, Run, RunResult, RunState};
use weir_model::{LogLevel, RunId, RunSnapshot};

use crate::client::Client;
use crate::embedded::Embedded;
use crate::error::{Error, RunReason};
use crate::progress::Progress;

/// Shows progress until a run of this process is over. The first Ctrl-C cancels the run and waits for it to clean up,
/// the second leaves at once.
pub(crate) async fn to_end(service: &Embedded, run: RunId) -> Result<Run, Error> {
    let mut watch = service
        .control_plane
        .watch(run)
        .await
        .map_err(Error::platform("watch the run"))?;
    let mut progress = Progress::start();
    let mut printed = 0;
    let mut interrupted = false;
    loop {
        let snapshot = std::sync::Arc::clone(&watch.borrow_and_update());
        if snapshot.log_lines > printed {
            progress.print(|| printed = print_kept_logs(&snapshot, printed));
        }
        progress.update_snapshot(&snapshot);
        if snapshot.phase == weir_model::RunPhase::Finished {
            progress.clear();
            return service.here.run(run).await;
        }
        tokio::select! {
            changed = watch.changed() => {
                // The last snapshot is worth a look even when the sender is gone.
                if changed.is_err() && watch.borrow().phase != weir_model::RunPhase::Finished {
                    progress.clear();
                    return Err(Error::Conflict(format!(
                        "this process no longer owns run {run}; see `weir runs get {run}`"
                    )));
                }
            }
            signal = tokio::signal::ctrl_c() => {
                signal.map_err(Error::io("listen for Ctrl-C"))?;
                if interrupted {
                    progress.clear();
                    return Err(Error::Interrupted);
                }
                interrupted = true;
                progress.print(|| eprintln!("cancelling run {run}; press Ctrl-C again to leave it as it is"));
                service.control_plane.cancel(run, "Ctrl-C").await.map_err(Error::platform("cancel the run"))?;
            }
        }
    }
}

/// Shows progress until a run of a server is over, for at most `patience`. Ctrl-C stops following; the run goes on.
pub(crate) async fn remote(client: &Client, run: Run, patience: Option<Duration>) -> Result<Run, Error> {
    let id = run.id;
    let mut progress = Progress::start();
    let following = follow(client, run, &mut progress);
    let deadline = patience.map(|patience| Instant::now() + patience);
    tokio::select! {
        run = following => run,
        () = at(deadline) => Err(Error::Timeout(format!(
            "run {id} is not over yet; `weir runs watch {id}` goes on following it"
        ))),
        signal = tokio::signal::ctrl_c() => match signal {
            Ok(()) => {
                eprintln!("run {id} goes on; `weir runs watch {id}` follows it, `weir runs cancel {id}` stops it");
                Err(Error::Interrupted)
            }
            Err(error) => Err(Error::io("listen for Ctrl-C")(error)),
        },
    }
}

async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

async fn follow(client: &Client, mut run: Run, progress: &mut Progress) -> Result<Run, Error> {
    let mut printed = 0;
    let mut cursor = None;
    loop {
        if run.log_lines > printed {
            printed = run.log_lines;
            let mut lines = Vec::new();
            remote_logs(client, run.id, &LogFilter::default(), &mut cursor, |line| {
                lines.push(line);
                Ok(())
            })
            .await?;
            progress.print(|| lines.iter().for_each(|line| eprintln!("{}", log_line(line))));
        }
        progress.update(&run);
        if run.state == RunState::Finished {
            progress.clear();
            return Ok(run);
        }
        if let Some(changed) = client.changed(&run).await? {
            run = changed;
        }
    }
}

/// Hands over the log lines that are wanted after a cursor, which moves on.
pub(crate) async fn remote_logs(
    client: &Client,
    run: RunId,
    filter: &LogFilter,
    cursor: &mut Option<String>,
    mut line: impl FnMut(LogEntry) -> Result<(), Error>,
) -> Result<(), Error> {
    loop {
        let page = client.logs(run, filter, cursor.as_deref()).await?;
        *cursor = Some(page.next_cursor);
        page.items.into_iter().try_for_each(&mut line)?;
        if page.complete {
            return Ok(());
        }
    }
}

/// An error unless the run succeeded.
pub(crate) fn check(run: &Run) -> Result<(), Error> {
    match run.result {
        Some(RunResult::Succeeded) => Ok(()),
        Some(outcome) => Err(Error::Run {
            run: run.id,
            outcome,
            reason: run.reason.clone().map(RunReason),
        }),
        None => Err(Error::Conflict(format!("run {} is not over", run.id))),
    }
}

/// A line as people see it.
pub(crate) fn log_line(line: &LogEntry) -> String {
    format!("{} {}: {}", severity(line.severity), line.source, line.message)
}

/// Prints what user functions and logging transforms wrote since a snapshot had `printed` lines; gives the number that
/// this one has.
fn print_kept_logs(snapshot: &RunSnapshot, printed: u64) -> u64 {
    let new = usize::try_from(snapshot.log_lines.saturating_sub(printed)).unwrap_or(usize::MAX);
    if new > snapshot.logs.len() {
        eprintln!("… {} lines were not kept", new - snapshot.logs.len());
    }
    for line in &snapshot.logs[snapshot.logs.len().saturating_sub(new)..] {
        eprintln!("{} {}: {}", level(line.level), line.source, line.message);
    }
    snapshot.log_lines
}

fn level(level: LogLevel) -> &'static str {
    severity(level.into())
}

fn severity(severity: LogSeverity) -> &'static str {
    match severity {
        LogSeverity::Debug => "DEBUG",
        LogSeverity::Info => "INFO",
        LogSeverity::Warn => "WARN",
        LogSeverity::Error => "ERROR",
    }
}
