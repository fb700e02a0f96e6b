//! Looking at runs, whoever drives them.
//!
//! The driver of a run knows most of it, progress of running attempts included. Of runs that another process drives,
//! or nobody any more, the log tells what there is: it is folded here, and what was folded is kept for the next look,
//! so that a look costs the events since the last one.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use weir_model::machine::{RunState, apply};
use weir_model::{Event, RunId, RunSnapshot, Submission};

use super::resources::Run;
use super::source::Source;
use super::{Api, Problem};
use crate::history::Summary;
use crate::store::{Change, Changes};

/// Runs whose folded logs are kept.
const KEPT: usize = 64;
/// Tasks of all of them; their outputs are most of what a fold holds.
const KEPT_TASKS: u64 = 200_000;
/// How often a run that is driven elsewhere is looked at, while somebody waits and the store tells nothing of it.
const LOOK: Duration = Duration::from_millis(500);

/// Folded logs, the latest looked at last.
#[derive(Default)]
pub(super) struct Folds(Mutex<VecDeque<Arc<Fold>>>);

struct Fold {
    run: RunId,
    /// Tasks in the state, as of the last look.
    tasks: AtomicU64,
    state: tokio::sync::Mutex<RunState>,
}

impl Folds {
    fn of(&self, run: RunId) -> Arc<Fold> {
        // A panic cannot leave the list between two states.
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = kept.iter().position(|fold| fold.run == run);
        let fold = known.and_then(|at| kept.remove(at)).unwrap_or_else(|| {
            Arc::new(Fold {
                run,
                tasks: AtomicU64::new(0),
                state: tokio::sync::Mutex::new(RunState::new(run)),
            })
        });
        let tasks = |fold: &Arc<Fold>| fold.tasks.load(Ordering::Relaxed);
        let mut all = tasks(&fold) + kept.iter().map(tasks).sum::<u64>();
        while kept.len() >= KEPT || (all > KEPT_TASKS && !kept.is_empty()) {
            all -= kept.pop_front().as_ref().map_or(0, tasks);
        }
        kept.push_back(Arc::clone(&fold));
        fold
    }
}

/// Looks at the state that the log of a run folds to now; that of a run that does not exist is empty.
pub(super) async fn look<T>(api: &Api, run: RunId, look: impl FnOnce(&RunState) -> T) -> Result<T, Problem> {
    let fold = api.folds().of(run);
    let mut state = fold.state.lock().await;
    loop {
        let after = state.next_seq().saturating_sub(1);
        let page = api.control_plane().run_events_page(run, after).await?;
        page.records.iter().for_each(|record| apply(&mut state, record));
        if page.complete {
            break;
        }
    }
    fold.tasks.store(state.tasks(), Ordering::Relaxed);
    Ok(look(&state))
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
    /// What was written of it, once that is in storage: it changes no more.
    history: Option<Arc<Summary>>,
    /// While this process drives it.
    live: Option<watch::Receiver<Arc<RunSnapshot>>>,
    /// What the store tells of runs that others drive. From before the first look, so that nothing is missed.
    changes: Changes,
}

impl Follower {
    /// Finds a run.
    pub(super) async fn open(api: &Api, run: RunId) -> Result<Self, Problem> {
        Self::at(api, &Source::of(api, run).await?).await
    }

    /// A run of which it is known where it is read from.
    pub(super) async fn at(api: &Api, source: &Source) -> Result<Self, Problem> {
        let changes = api.control_plane().changes();
        let run = source.run();
        let history = match source {
            Source::History(summary) => Some(Arc::clone(summary)),
            Source::Log(_) => None,
        };
        Ok(Self {
            run,
            submission: match &history {
                Some(summary) => summary.submission.clone(),
                None => submission(api, run).await?,
            },
            history,
            live: api.control_plane().watch_driven(run),
            changes,
        })
    }

    /// The run as it is now.
    pub(super) async fn present(&mut self, api: &Api) -> Result<Run, Problem> {
        if let Some(summary) = self.history.clone() {
            return self.stored(api, &summary).await;
        }
        let live = self.live.as_mut().map(|live| Arc::clone(&live.borrow_and_update()));
        let snapshot = match live {
            Some(snapshot) => snapshot,
            None => Arc::new(look(api, self.run, RunState::snapshot).await?),
        };
        // After the snapshot, so that the row is not the older one: a snapshot that is newer than both will be told of.
        let row = api.control_plane().run_get(self.run).await?;
        // From here on it is what its history says, to those who have followed it as to those who come later: what its
        // end has cost is known there only.
        if let Some(row) = row.as_ref().filter(|row| row.cleaned)
            && let Some(summary) = api.history().run(&row.namespace, self.run).await?
        {
            self.history = Some(Arc::clone(&summary));
            return self.stored(api, &summary).await;
        }
        Ok(Run::new(
            &snapshot,
            &self.submission,
            row.as_ref(),
            &api.options().prices,
        ))
    }

    /// The run as it was written.
    async fn stored(&self, api: &Api, summary: &Summary) -> Result<Run, Problem> {
        let mut row = summary.row.clone();
        if row.summary.restart_at.is_some() {
            // What has become of that is for the store to say.
            let known = api.control_plane().run_get(self.run).await?;
            row.summary.restart_at = known.and_then(|row| row.summary.restart_at);
        }
        Ok(Run::new(
            &summary.snapshot,
            &self.submission,
            Some(&row),
            &api.options().prices,
        ))
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
            Change::Run(of) | Change::Cancel(of) | Change::Pause(of) if of != run => {}
            Change::Reports { .. } => {}
            Change::Run(_) | Change::Cancel(_) | Change::Pause(_) | Change::Anything => return,
        }
    }
}
