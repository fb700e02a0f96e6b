//! Making runs at their times: those of schedules, and those that try others again.
//!
//! One control plane at a time does it. Each run is made under an idempotency key that says what it is for, and what is
//! next is noted only after that: whoever leads next, after a crash at any moment, makes the same request again, which
//! makes no second run.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use weir_model::{Digest, Metadata, PipelineRef, Reason, RunId, ScheduleRef, Timestamp};
use weir_platform::clock;

use super::due::{Due, due};
use super::leadership::Leadership;
use super::{Cron, Defaults, Overrides, Template, tidy};
use crate::shared::Shared;
use crate::store::{
    self, ConcurrencyPolicy, Idempotency, PipelineWrite, RunRow, ScheduleProgress, ScheduleRow, ScheduleStatus,
};
use crate::{Error, admission};

/// How often the leader looks for what is due.
const LOOK: Duration = Duration::from_secs(1);
/// Times that a schedule catches up with before anything else is looked at.
const ROUNDS: usize = 20;
/// Rows in one page of a list.
const PAGE: u32 = 200;
/// Schedules and runs that are dealt with at once.
const AT_ONCE: usize = 8;
/// Runs of a schedule that are looked at for its concurrency policy.
const MAX_OPEN: u32 = 1_000;
/// The first wait after a run was refused, and the longest, in milliseconds.
const BACKOFF_MS: u64 = 5_000;
const MAX_BACKOFF_MS: u64 = 300_000;

/// Makes runs, and forgets those that are not to be kept, for as long as the control plane lives and leads.
pub(crate) fn start(shared: &Arc<Shared>, defaults: Defaults) {
    let leadership = Arc::new(Leadership::new(shared.clone()));
    let scheduler = Scheduler {
        shared: shared.clone(),
        leadership: leadership.clone(),
        defaults,
    };
    shared.spawn_closing(async move { scheduler.run().await });
    shared.spawn_closing(tidy::run(shared.clone(), leadership.clone()));
    shared.spawn_closing(async move { leadership.keep().await });
}

struct Scheduler {
    shared: Arc<Shared>,
    leadership: Arc<Leadership>,
    defaults: Defaults,
}

impl Scheduler {
    async fn run(&self) {
        let stop = &self.shared.stop;
        while stop.run_until_cancelled(tokio::time::sleep(LOOK)).await.is_some() {
            if let Some(Err(error)) = stop.run_until_cancelled(self.look()).await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "cannot make the runs of schedules"
                );
            }
        }
    }

    async fn look(&self) -> Result<(), store::Error> {
        for _ in 0..ROUNDS {
            if !self.fire_due().await? {
                break;
            }
        }
        self.restart_due().await
    }

    /// Deals with one time of every schedule whose time has come; says whether any of them has gone on to its next.
    async fn fire_due(&self) -> Result<bool, store::Error> {
        let now = clock::now();
        let mut any = false;
        let mut after: Option<ScheduleRow> = None;
        while self.leadership.holds() {
            let page = self.shared.store.schedules_due(now, after.as_ref(), PAGE).await?;
            let last = page.len() < PAGE as usize;
            after = page.last().cloned();
            let firing = page.into_iter().map(|row| async move { self.fire(&row).await });
            let mut firing = futures::stream::iter(firing).buffer_unordered(AT_ONCE);
            while let Some(fired) = firing.next().await {
                any |= fired?;
            }
            if last {
                break;
            }
        }
        Ok(any)
    }

    async fn fire(&self, row: &ScheduleRow) -> Result<bool, store::Error> {
        let Some(at) = row.next_at else { return Ok(false) };
        let now = clock::now();
        // It may be another's by now.
        if !self.leadership.holds() || waits(&row.status, now) {
            return Ok(false);
        }
        let cron = match Cron::parse(&row.definition.cron, &row.definition.time_zone) {
            Ok(cron) => cron,
            Err(error) => {
                // It was valid when it was made: by a build with other time zones, perhaps.
                let status = refused(&row.status, now, "invalid_cron", error.to_string());
                return self.note(row, at, Some(at), status).await;
            }
        };
        if let Due::Skip { times, last, next } = due(&row.definition, &row.status, &cron, at, now) {
            let reason = reason("missed", "nobody was there in time to make a run".to_owned());
            return self
                .note(row, at, next, skipped(&row.status, times, last, reason))
                .await;
        }
        let next = cron.after(at);
        if row.definition.concurrency_policy != ConcurrencyPolicy::Allow {
            let open = self.open_runs(row, at).await?;
            match (row.definition.concurrency_policy, open.first()) {
                (_, None) => {}
                (ConcurrencyPolicy::Replace, Some(first)) => return self.replace(row, at, &open, first).await,
                (_, Some(first)) => {
                    let message = match first.summary.outcome {
                        None => format!("run {} was still under way", first.run),
                        Some(_) => format!("run {} was to be tried again first", first.run),
                    };
                    let status = skipped(&row.status, 1, at, reason("still_running", message));
                    return self.note(row, at, next, status).await;
                }
            }
        }
        match self.submit(row, at).await {
            Ok(run) => {
                tracing::info!(namespace = %row.namespace, schedule = row.name, %run, "made the run of a schedule");
                let status = ScheduleStatus {
                    last_at: Some(at),
                    last_run: Some(run),
                    skipped_at: row.status.skipped_at,
                    skipped: row.status.skipped,
                    ..ScheduleStatus::default()
                };
                self.note(row, at, next, status).await
            }
            Err(Error::Store(error)) => Err(error),
            Err(error) => {
                let status = refused(&row.status, now, code(&error), error.to_string());
                self.note(row, at, Some(at), status).await
            }
        }
    }

    /// Runs of a schedule that are not over, or are to be tried again, but those for a time: they are what is to be made.
    async fn open_runs(&self, row: &ScheduleRow, at: Timestamp) -> Result<Vec<RunRow>, store::Error> {
        let store = &self.shared.store;
        let mut runs = store.schedule_runs_open(&row.namespace, &row.name, MAX_OPEN).await?;
        runs.retain(|run| run.schedule.as_ref().is_none_or(|schedule| schedule.at != Some(at)));
        Ok(runs)
    }

    /// Cancels what is under way, or is to be tried again; the run is made when that is over.
    async fn replace(
        &self,
        row: &ScheduleRow,
        at: Timestamp,
        open: &[RunRow],
        first: &RunRow,
    ) -> Result<bool, store::Error> {
        let by = format!("schedule {}", row.name);
        for run in open {
            self.shared.store.run_request_cancel(run.run, &by).await?;
        }
        if row.status.replacing_at == Some(at) {
            return Ok(false);
        }
        let status = ScheduleStatus {
            replacing_at: Some(at),
            reason: Some(reason("replacing", format!("run {} is being cancelled", first.run))),
            ..row.status.clone()
        };
        self.note(row, at, Some(at), status).await
    }

    async fn submit(&self, row: &ScheduleRow, at: Timestamp) -> Result<RunId, Error> {
        let definition = &row.definition;
        let store = &self.shared.store;
        let before = definition.version.map(|version| version.saturating_add(1));
        let versions = store
            .pipeline_versions(&row.namespace, &row.pipeline, before, 1)
            .await?;
        let wanted = |version: u32| definition.version.is_none_or(|wanted| wanted == version);
        let Some(version) = versions.into_iter().next().filter(|found| wanted(found.version)) else {
            let message = format!("the pipeline `{}` is not there any more", row.pipeline);
            return Err(Error::Invalid { message });
        };
        let template: Template = serde_json::from_str(&version.template).map_err(|error| Error::Invalid {
            message: format!("version {} of the pipeline cannot be read: {error}", version.version),
        })?;
        let overrides = Overrides {
            parameters: definition.parameters.clone(),
            labels: definition.labels.clone(),
            settings: definition.settings.clone(),
        };
        let metadata = Metadata {
            created_by: Some(format!("schedule {}", row.name)),
            pipeline: Some(PipelineRef {
                name: row.pipeline.clone(),
                version: version.version,
            }),
            schedule: Some(ScheduleRef {
                name: row.name.clone(),
                at: Some(at),
            }),
            ..Metadata::default()
        };
        let submission = template.submission(
            row.namespace.clone(),
            row.pipeline.clone(),
            &self.defaults,
            overrides,
            metadata,
        )?;
        // With the time at which it was made: another schedule of the same name may have had a run at this time.
        let request = request(&["schedule", &row.name, &row.created_at.0.to_string(), &at.0.to_string()]);
        let submitted = admission::submit(&self.shared, submission, Some(&request)).await?;
        Ok(submitted.run)
    }

    /// Notes what came of a time, unless somebody has changed the schedule or dealt with the time; says whether the
    /// schedule goes on to its next time.
    async fn note(
        &self,
        row: &ScheduleRow,
        due_at: Timestamp,
        next_at: Option<Timestamp>,
        status: ScheduleStatus,
    ) -> Result<bool, store::Error> {
        let progress = ScheduleProgress {
            namespace: row.namespace.clone(),
            name: row.name.clone(),
            generation: row.generation,
            due_at,
            next_at,
            status,
        };
        let write = PipelineWrite::ScheduleProgress(progress);
        self.shared.store.pipelines_write(write).await?;
        Ok(next_at != Some(due_at))
    }

    /// Tries runs again that are over and whose policy says so.
    async fn restart_due(&self) -> Result<(), store::Error> {
        if !self.leadership.holds() {
            return Ok(());
        }
        let runs = self.shared.store.runs_to_restart(clock::now(), PAGE).await?;
        let restarting = runs.into_iter().map(|row| async move { self.restart(&row).await });
        let mut restarting = futures::stream::iter(restarting).buffer_unordered(AT_ONCE);
        while let Some(restarted) = restarting.next().await {
            restarted?;
        }
        Ok(())
    }

    async fn restart(&self, row: &RunRow) -> Result<(), store::Error> {
        let request = request(&["restart", &row.run.to_string()]);
        let again = match admission::restart(&self.shared, row, &request).await {
            Ok(submitted) => {
                tracing::info!(run = %row.run, again = %submitted.run, "tried a run again");
                return self.restarted(row.run, submitted.run).await;
            }
            Err(Error::Store(error)) => return Err(error),
            Err(error @ (Error::Invalid { .. } | Error::NotFound { .. } | Error::IdempotencyKeyReused { .. })) => {
                tracing::warn!(run = %row.run, error = &error as &dyn std::error::Error, "cannot try a run again");
                None
            }
            // There is no room for it now.
            Err(error) => {
                tracing::debug!(run = %row.run, error = &error as &dyn std::error::Error, "cannot try a run again yet");
                Some(clock::now().plus_ms(BACKOFF_MS))
            }
        };
        self.shared.store.run_set_restart(row.run, again).await.map(drop)
    }

    /// Notes that a run was tried again, unless it was cancelled meanwhile: that is meant for the new run as well.
    async fn restarted(&self, run: RunId, again: RunId) -> Result<(), store::Error> {
        let store = &self.shared.store;
        if store.run_set_restart(run, None).await? {
            return Ok(());
        }
        let row = store.run_get(run).await?;
        if let Some(by) = row.and_then(|row| row.cancel_requested_by) {
            store.run_request_cancel(again, &by).await?;
        }
        Ok(())
    }
}

/// A request that is made once. No client can name one so.
fn request(parts: &[&str]) -> Idempotency {
    let key = parts.join("\u{1f}");
    Idempotency {
        digest: Digest::of(key.as_bytes()),
        key,
    }
}

fn reason(code: &str, message: String) -> Reason {
    Reason {
        code: code.to_owned(),
        message,
        retryable: true,
        task: None,
    }
}

/// Whether a run was refused a moment ago.
fn waits(status: &ScheduleStatus, now: Timestamp) -> bool {
    let doublings = status.refusals.saturating_sub(1).min(16);
    let wait_ms = (BACKOFF_MS << doublings).min(MAX_BACKOFF_MS);
    status.refused_at.is_some_and(|at| now < at.plus_ms(wait_ms))
}

fn refused(status: &ScheduleStatus, now: Timestamp, code: &str, message: String) -> ScheduleStatus {
    ScheduleStatus {
        refused_at: Some(now),
        refusals: status.refusals.saturating_add(1),
        reason: Some(reason(code, message)),
        ..status.clone()
    }
}

fn skipped(status: &ScheduleStatus, times: u64, last: Timestamp, reason: Reason) -> ScheduleStatus {
    ScheduleStatus {
        last_at: Some(last),
        last_run: status.last_run,
        skipped_at: Some(last),
        skipped: status.skipped.saturating_add(times),
        reason: Some(reason),
        ..ScheduleStatus::default()
    }
}

/// A word for why a run was refused.
fn code(error: &Error) -> &'static str {
    match error {
        Error::Invalid { .. } => "invalid_request",
        Error::QuotaExceeded { .. } => "quota_exceeded",
        Error::Busy { .. } | Error::TooManyQueued { .. } => "busy",
        _ => "refused",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_is_refused_is_tried_again_ever_later() {
        let mut status = ScheduleStatus::default();
        let mut now = Timestamp(1_000);
        assert!(!waits(&status, now));
        for wait_ms in [5_000, 10_000, 20_000, 40_000, 80_000, 160_000, 300_000, 300_000] {
            status = refused(&status, now, "busy", "there is no room".to_owned());
            assert!(waits(&status, now.plus_ms(wait_ms - 1)), "{wait_ms}");
            now = now.plus_ms(wait_ms);
            assert!(!waits(&status, now), "{wait_ms}");
        }
        let gone_on = skipped(&status, 3, now, reason("missed", String::new()));
        assert_eq!(
            (gone_on.refusals, gone_on.skipped, gone_on.skipped_at),
            (0, 3, Some(now))
        );
    }
}
