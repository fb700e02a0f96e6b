//! What a control plane says of itself to whoever watches it by metrics.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use weir_model::{Event, EventRecord, FailureKind, RunOutcome, TaskId, Timestamp};
use weir_platform::clock;
use weir_platform::telemetry::metrics::metrics;

use crate::shared::Shared;

/// How often gauges are brought up to date.
const INTERVAL: Duration = Duration::from_secs(5);
/// Workers that are counted.
const WORKERS: u32 = 10_000;
/// Workers that were not heard of for so long are not counted.
pub(crate) const WORKER_ALIVE: Duration = Duration::from_secs(60);

/// Brings gauges up to date for as long as the control plane lives.
pub(crate) async fn show(shared: Arc<Shared>) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        metrics().runs_active(shared.runs().len() as u64);
        metrics().gate_waiting(shared.gate.waiting());
        metrics().outbox_lag(shared.unsent.load(Ordering::Relaxed));
        // Of a store that is this process's alone, nobody asks.
        if shared.options.takes_over
            && let Err(error) = show_fleet(&shared).await
        {
            tracing::debug!(
                error = &error as &dyn std::error::Error,
                "cannot count tasks and workers"
            );
        }
    }
}

async fn show_fleet(shared: &Shared) -> Result<(), crate::store::Error> {
    let backlog = shared.store.backlog().await?;
    metrics().queue_backlog(backlog.waiting.saturating_add(backlog.running));
    let workers = shared.store.worker_list(WORKERS).await?;
    let since = alive_since();
    let alive = workers.iter().filter(|worker| worker.seen_at >= since);
    metrics().workers_running(alive.count() as u64);
    Ok(())
}

/// Workers that were heard of after this count as alive.
pub(crate) fn alive_since() -> Timestamp {
    let ms = u64::try_from(WORKER_ALIVE.as_millis()).unwrap_or(u64::MAX);
    Timestamp(clock::now().0.saturating_sub(ms))
}

/// Counts messages that are being sent, until it is dropped.
pub(crate) struct Unsent {
    shared: Arc<Shared>,
    messages: u64,
}

impl Unsent {
    pub(crate) fn new(shared: Arc<Shared>, messages: usize) -> Self {
        let messages = messages as u64;
        shared.unsent.fetch_add(messages, Ordering::Relaxed);
        Self { shared, messages }
    }
}

impl Drop for Unsent {
    fn drop(&mut self) {
        self.shared.unsent.fetch_sub(self.messages, Ordering::Relaxed);
    }
}

/// Counts what happens in a run.
#[derive(Default)]
pub(crate) struct Counts {
    /// When the tasks were dispatched that nobody has begun with.
    dispatched: HashMap<TaskId, Timestamp>,
}

impl Counts {
    /// Takes events that are in the log now.
    pub(crate) fn add(&mut self, events: &[EventRecord]) {
        for EventRecord { at, event, .. } in events {
            match event {
                Event::TaskDispatched { task, not_before, .. } => {
                    self.dispatched.insert(*task, not_before.unwrap_or(*at));
                }
                Event::AttemptStarted { task, .. } => {
                    if let Some(dispatched) = self.dispatched.remove(task) {
                        metrics().dispatch_latency(Duration::from_millis(at.ms_since(dispatched)));
                    }
                }
                Event::TaskAccepted { task, .. } => {
                    self.dispatched.remove(task);
                    metrics().task_accepted();
                }
                Event::AttemptFailed { failure, .. } => metrics().task_failed(kind(failure.kind)),
                Event::Finished { outcome, .. } => {
                    self.dispatched.clear();
                    metrics().run_finished(name(*outcome));
                }
                _ => {}
            }
        }
    }
}

fn kind(kind: FailureKind) -> &'static str {
    match kind {
        FailureKind::User => "user",
        FailureKind::Platform => "platform",
        FailureKind::ShuffleLost => "shuffle_lost",
        FailureKind::Cancelled => "cancelled",
    }
}

fn name(outcome: RunOutcome) -> &'static str {
    match outcome {
        RunOutcome::Succeeded => "succeeded",
        RunOutcome::Failed => "failed",
        RunOutcome::Cancelled => "cancelled",
    }
}
