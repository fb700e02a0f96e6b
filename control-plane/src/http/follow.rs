//! Looking at runs, whoever drives them.
//!
//! The driver of a run knows most of it, progress of running attempts included. Of runs that another process drives,
//! or nobody any more, the log tells what there is: it is folded here, and what was folded is kept for the next look,
//! so that a look costs the events since the last one.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use weir_model::machine::{RunState, apply};
use weir_model::{Event, RunId, RunPhase, RunSnapshot, Submission};

use super::resources::Run;
use super::{Api, Problem};
use crate::store::{Change, Changes};

/// Events read at once.
const PAGE: u32 = 5_000;
/// Runs whose folded logs are kept.
const KEPT: usize = 64;
/// How often a run that is driven elsewhere is looked at, while somebody waits and the store tells nothing of it.
const LOOK: Duration = Duration::from_millis(500);

/// Folded logs, the latest looked at last.
#[derive(Default)]
pub(super) struct Folds(Mutex<VecDeque<(RunId, Arc<tokio::sync::Mutex<Fold>>)>>);

struct Fold {
    state: RunState,
    seq: u64,
}

impl Folds {
    fn of(&self, run: RunId) -> Arc<tokio::sync::Mutex<Fold>> {
        // A panic cannot leave the list between two states.
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = kept.iter().position(|(known, _)| *known == run);
        let entry = known.and_then(|at| kept.remove(at)).unwrap_or_else(|| {
            let fold = Fold {
                state: RunState::new(run),
                seq: 0,
            };
            (run, Arc::new(tokio::sync::Mutex::new(fold)))
        });
        let fold = Arc::clone(&entry.1);
        kept.push_back(entry);
        if kept.len() > KEPT {
            kept.pop_front();
        }
        fold
    }

    fn forget(&self, run: RunId) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|(known, _)| *known != run);
    }
}

/// What was submitted; a problem when there is no such run.
async fn submission(api: &Api, run: RunId) -> Result<Submission, Problem> {
    let first = api.control_plane().run_events(run, 0, 1).await?;
    match first.into_iter().next().map(|record| record.event) {
        Some(Event::Submitted { submission }) => Ok(*submission),
        _ => Err(Problem::run_not_found(&run.to_string())),
    }
}

/// A run that somebody looks at, perhaps for a while.
pub(super) struct Follower {
    run: RunId,
    submission: Submission,
    /// While this process drives it.
    live: Option<watch::Receiver<Arc<RunSnapshot>>>,
    /// What the store tells of runs that others drive. From before the first look, so that nothing is missed.
    changes: Changes,
}

impl Follower {
    /// Finds a run.
    pub(super) async fn open(api: &Api, run: RunId) -> Result<Self, Problem> {
        let changes = api.control_plane().changes();
        Ok(Self {
            run,
            submission: submission(api, run).await?,
            live: api.control_plane().watch_driven(run),
            changes,
        })
    }

    /// The run as it is now.
    pub(super) async fn present(&mut self, api: &Api) -> Result<Run, Problem> {
        let row = api.control_plane().run_get(self.run).await?;
        let live = self.live.as_mut().map(|live| Arc::clone(&live.borrow_and_update()));
        let snapshot = match live {
            Some(snapshot) => snapshot,
            None => Arc::new(self.folded(api).await?),
        };
        Ok(Run::new(&snapshot, &self.submission, row.as_ref()))
    }

    async fn folded(&self, api: &Api) -> Result<RunSnapshot, Problem> {
        let fold = api.folds().of(self.run);
        let mut fold = fold.lock().await;
        loop {
            let page = api.control_plane().run_events(self.run, fold.seq, PAGE).await?;
            for record in &page {
                apply(&mut fold.state, record);
                fold.seq = record.seq;
            }
            if page.len() < PAGE as usize {
                break;
            }
        }
        let snapshot = fold.state.snapshot();
        if snapshot.phase == RunPhase::Finished && snapshot.stages.iter().map(|stage| stage.tasks).sum::<u32>() > 10_000
        {
            // Its state is large, and who looks at a run that is over seldom looks twice.
            api.folds().forget(self.run);
        }
        Ok(snapshot)
    }

    /// Waits until the run may have changed, at most until `deadline`.
    pub(super) async fn changed(&mut self, api: &Api, deadline: Instant) {
        match &mut self.live {
            Some(live) => {
                let driven_here = tokio::select! {
                    changed = live.changed() => changed.is_ok(),
                    () = tokio::time::sleep_until(deadline) => true,
                    () = api.closing() => true,
                };
                if !driven_here {
                    self.live = None;
                }
            }
            None => {
                tokio::select! {
                    () = told_of(&mut self.changes, self.run) => {}
                    () = tokio::time::sleep_until((Instant::now() + LOOK).min(deadline)) => {}
                    () = api.closing() => {}
                }
                // It may have been taken over by this process.
                self.live = api.control_plane().watch_driven(self.run);
            }
        }
    }
}

async fn told_of(changes: &mut Changes, run: RunId) {
    loop {
        match changes.next().await {
            Change::Run(of) | Change::Cancel(of) if of != run => {}
            Change::Reports { .. } => {}
            Change::Run(_) | Change::Cancel(_) | Change::Anything => return,
        }
    }
}
