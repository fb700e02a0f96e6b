//! Watching a run to its end.

use std::collections::VecDeque;
use std::sync::Arc;

use weir_model::{LogLine, RunId, RunOutcome, RunPhase, RunSnapshot};

use crate::embedded::Embedded;
use crate::error::Error;
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
    let mut logs = Logs::default();
    let mut interrupted = false;
    loop {
        let snapshot = Arc::clone(&watch.borrow_and_update());
        progress.print(|| logs.print_new(&snapshot));
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
        Some(outcome) => Err(Error::Run { run: run.run, outcome }),
        None => Err(Error::Conflict(format!("run {} is not over", run.run))),
    }
}

/// What user functions and logging transforms wrote, each line once.
#[derive(Default)]
struct Logs {
    printed: VecDeque<LogLine>,
}

impl Logs {
    /// Snapshots carry the latest lines; prints those after the ones that the last snapshot had.
    fn print_new(&mut self, snapshot: &RunSnapshot) {
        let known = self.printed.len();
        let overlap = (0..=known.min(snapshot.logs.len()))
            .rev()
            .find(|&length| {
                self.printed
                    .iter()
                    .skip(known - length)
                    .eq(snapshot.logs.iter().take(length))
            })
            .unwrap_or(0);
        for line in &snapshot.logs[overlap..] {
            eprintln!("{:?} {}: {}", line.level, line.source, line.message);
        }
        self.printed = snapshot.logs.iter().cloned().collect();
    }
}
