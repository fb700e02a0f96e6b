//! Watching a run to its end.

use std::sync::Arc;

use weir_model::{LogLevel, RunId, RunOutcome, RunPhase, RunSnapshot};

use crate::embedded::Embedded;
use crate::error::{Error, RunReason};
use crate::progress::Progress;

/// Shows progress until the run is over. The first Ctrl-C cancels the run and waits for it to clean up, the second
/// leaves at once.
pub(crate) async fn to_end(service: &Embedded, run: RunId) -> Result<Arc<RunSnapshot>, Error> {
    let mut watch = service
        .control_plane
        .watch(run)
        .await
        .map_err(Error::platform("watch the run"))?;
    let mut progress = Progress::start();
    let mut printed = 0;
    let mut interrupted = false;
    loop {
        let snapshot = Arc::clone(&watch.borrow_and_update());
        if snapshot.log_lines > printed {
            progress.print(|| printed = print_logs(&snapshot, printed));
        }
        progress.update(&snapshot);
        if snapshot.phase == RunPhase::Finished {
            progress.clear();
            return Ok(snapshot);
        }
        tokio::select! {
            changed = watch.changed() => {
                // The last snapshot is worth a look even when the sender is gone.
                if changed.is_err() && watch.borrow().phase != RunPhase::Finished {
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

/// An error unless the run succeeded.
pub(crate) fn check(run: &RunSnapshot) -> Result<(), Error> {
    match run.outcome {
        Some(RunOutcome::Succeeded) => Ok(()),
        Some(outcome) => Err(Error::Run {
            run: run.run,
            outcome,
            reason: run.reason.clone().map(RunReason),
        }),
        None => Err(Error::Conflict(format!("run {} is not over", run.run))),
    }
}

/// Prints what user functions and logging transforms wrote since a snapshot had `printed` lines; gives the number that
/// this one has.
fn print_logs(snapshot: &RunSnapshot, printed: u64) -> u64 {
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
    match level {
        LogLevel::Debug => "DEBUG",
        LogLevel::Info => "INFO",
        LogLevel::Warn => "WARN",
        LogLevel::Error => "ERROR",
    }
}
