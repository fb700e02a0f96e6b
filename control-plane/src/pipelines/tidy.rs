//! Forgetting the runs that a restart policy or a schedule keeps for a time, or so many of.
//!
//! It goes on beside the making of runs and a little at a time: however many runs there are to forget, and however slow
//! the storage is, no schedule waits for it.

use std::sync::Arc;
use std::time::Duration;

use weir_model::{RunId, RunOutcome, RunPhase};
use weir_platform::clock;

use super::leadership::Leadership;
use crate::housekeeping;
use crate::shared::Shared;
use crate::store::{self, RunFilter, RunRow, ScheduleRow};

/// How often it is looked for what is to be forgotten.
const TIDY: Duration = Duration::from_secs(30);
/// The wait before the next turn when there may be more to do, or another leads.
const PAUSE: Duration = Duration::from_secs(1);
/// Rows in one page of a list, and runs of each kind that are forgotten in one turn.
const PAGE: u32 = 200;

/// Forgets what is to be forgotten, for as long as the control plane lives and leads.
pub(super) async fn run(shared: Arc<Shared>, leadership: Arc<Leadership>) {
    let mut tidying = Tidying {
        shared: shared.clone(),
        expired_after: None,
        trimmed: None,
    };
    let mut wait = PAUSE;
    loop {
        let turn = async {
            tokio::time::sleep(wait).await;
            match leadership.holds() {
                true => tidying.turn().await,
                false => Ok(true),
            }
        };
        let Some(turned) = shared.stop.run_until_cancelled(turn).await else {
            return;
        };
        wait = match turned {
            Ok(true) => PAUSE,
            Ok(false) => TIDY,
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "cannot look for runs to forget"
                );
                TIDY
            }
        };
    }
}

struct Tidying {
    shared: Arc<Shared>,
    /// The last of the runs that were to be forgotten by their time when it was last looked, if there are more.
    expired_after: Option<RunId>,
    /// The last schedule whose history was looked at, if there are more.
    trimmed: Option<ScheduleRow>,
}

impl Tidying {
    /// Does a part of what there is to do; says whether there may be more.
    async fn turn(&mut self) -> Result<bool, store::Error> {
        let expired = self.forget_expired().await?;
        let trimmed = self.trim_histories().await?;
        Ok(expired || trimmed)
    }

    /// Forgets runs that were to be kept for a time.
    async fn forget_expired(&mut self) -> Result<bool, store::Error> {
        let store = &self.shared.store;
        let runs = store.runs_to_forget(clock::now(), self.expired_after, PAGE).await?;
        // Those that cannot be forgotten are tried again when all others had their turn.
        self.expired_after = runs.last().copied().filter(|_| runs.len() == PAGE as usize);
        housekeeping::forget_all(&self.shared, runs).await;
        Ok(self.expired_after.is_some())
    }

    /// Forgets old runs of schedules that keep so many.
    async fn trim_histories(&mut self) -> Result<bool, store::Error> {
        let page = self.shared.store.schedules_all(self.trimmed.as_ref(), PAGE).await?;
        let more = page.len() == PAGE as usize;
        let mut left = PAGE;
        for row in page {
            let (succeeded, failed) = (
                row.definition.successful_run_history_limit,
                row.definition.failed_run_history_limit,
            );
            let limits = [
                (&[RunOutcome::Succeeded][..], succeeded),
                (&[RunOutcome::Failed, RunOutcome::Cancelled], failed),
            ];
            for (outcomes, limit) in limits {
                let Some(limit) = limit else { continue };
                let old = self.old(&row, outcomes, limit, left).await?;
                left = left.saturating_sub(u32::try_from(old.len()).unwrap_or(u32::MAX));
                let forgotten = housekeeping::forget_all(&self.shared, old).await;
                if left == 0 && forgotten.runs > 0 {
                    // The next turn goes on with this schedule.
                    return Ok(true);
                }
            }
            self.trimmed = Some(row);
            if left == 0 {
                return Ok(true);
            }
        }
        if !more {
            self.trimmed = None;
        }
        Ok(more)
    }

    /// The runs of a schedule that ended in one of these ways, apart from the youngest ones that are kept: at most so
    /// many.
    async fn old(
        &self,
        row: &ScheduleRow,
        outcomes: &[RunOutcome],
        keep: u32,
        most: u32,
    ) -> Result<Vec<RunId>, store::Error> {
        let mut before = None;
        if keep > 0 {
            let mut youngest = Vec::new();
            for outcome in outcomes {
                youngest.extend(self.ended(row, *outcome, None, keep).await?.iter().map(|run| run.run));
            }
            youngest.sort_unstable_by_key(|run| std::cmp::Reverse(*run));
            let Some(oldest_kept) = youngest.get(keep as usize - 1) else {
                return Ok(Vec::new());
            };
            before = Some(*oldest_kept);
        }
        let mut old = Vec::new();
        for outcome in outcomes {
            let ended = self.ended(row, *outcome, before, most).await?;
            let done = ended
                .into_iter()
                .filter(|run| run.cleaned && run.summary.restart_at.is_none());
            old.extend(done.map(|run| run.run));
        }
        old.truncate(most as usize);
        Ok(old)
    }

    /// The runs of a schedule that ended in a way, the youngest first.
    async fn ended(
        &self,
        row: &ScheduleRow,
        outcome: RunOutcome,
        before: Option<RunId>,
        most: u32,
    ) -> Result<Vec<RunRow>, store::Error> {
        let filter = RunFilter {
            namespace: Some(row.namespace.clone()),
            schedule: Some(row.name.clone()),
            phase: Some(RunPhase::Finished),
            outcome: Some(outcome),
            ..RunFilter::default()
        };
        Ok(self.shared.store.run_list(&filter, before, most).await?.rows)
    }
}
