//! Whether a run that is over is tried again, as a new run.

use crate::{RestartType, RunOutcome, Timestamp};

use super::state::RunState;

/// The shortest time between the end of a run that succeeded and the next one.
const MIN_INTERVAL_MS: u64 = 1_000;

impl RunState {
    /// When the run is to be tried again as a new one, by its restart policy; nothing while it is not over.
    pub fn restart_at(&self) -> Option<Timestamp> {
        let (outcome, finished_at) = (self.outcome?, self.finished_at?);
        let policy = &self.settings.restart_policy;
        let restarts = self.submission()?.metadata.restarts;
        let (restarted, most, interval_s) = match self.planned_at {
            Some(_) => (
                restarts.after_runs,
                policy.on_failure_retries,
                policy.on_failure_retry_interval_s,
            ),
            None => (
                restarts.after_submissions,
                policy.on_submission_failure_retries,
                policy.on_submission_failure_retry_interval_s,
            ),
        };
        let interval_ms = interval_s.saturating_mul(1_000);
        match (policy.kind, outcome) {
            (RestartType::OnFailure | RestartType::Always, RunOutcome::Failed) if restarted < most => {
                Some(finished_at.plus_ms(interval_ms))
            }
            (RestartType::Always, RunOutcome::Succeeded) => Some(finished_at.plus_ms(interval_ms.max(MIN_INTERVAL_MS))),
            _ => None,
        }
    }

    /// When the run is to be forgotten, by its restart policy; nothing while it is not over.
    pub fn expires_at(&self) -> Option<Timestamp> {
        let time_to_live_s = self.settings.restart_policy.time_to_live_s?;
        Some(self.finished_at?.plus_ms(time_to_live_s.saturating_mul(1_000)))
    }
}
