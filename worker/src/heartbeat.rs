//! Signs of life of all running attempts.

use std::collections::HashSet;
use std::sync::Arc;

use tokio::time::{Instant, MissedTickBehavior};
use weir_model::ReportBody;

use crate::running::{Attempt, Stop, lock};
use crate::worker::Shared;

/// Beats for as long as the worker lives.
pub(crate) async fn beat(shared: Arc<Shared>) {
    let mut ticks = tokio::time::interval(shared.options.heartbeat());
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let attempts = shared.status.0.running.all();
        if attempts.is_empty() {
            continue;
        }
        keep_hidden(&shared, &attempts).await;
        for attempt in &attempts {
            let metrics = attempt.context.progress.metrics();
            let body = ReportBody::Progress { metrics };
            attempt.reported();
            shared
                .reporter
                .report_if_there_is_room(&attempt.message, attempt.context.execution, body);
        }
        stop_cancelled(&shared, &attempts).await;
    }
}

/// Keeps the messages of attempts hidden from other workers.
async fn keep_hidden(shared: &Shared, attempts: &[Arc<Attempt>]) {
    let visibility = shared.options.visibility();
    let now = Instant::now();
    let due: Vec<_> = attempts
        .iter()
        .filter(|attempt| now.duration_since(*lock(&attempt.hidden_at)) >= visibility / 3)
        .collect();
    if due.is_empty() {
        return;
    }
    let receipts = due.iter().map(|attempt| attempt.receipt.clone()).collect();
    match shared.tasks.extend(receipts, visibility).await {
        Ok(()) => due.iter().for_each(|attempt| *lock(&attempt.hidden_at) = now),
        // The next beat tries again; at worst another worker runs the same task.
        Err(error) => tracing::warn!(
            error = &error as &dyn std::error::Error,
            "cannot keep task messages hidden"
        ),
    }
}

async fn stop_cancelled(shared: &Shared, attempts: &[Arc<Attempt>]) {
    let runs: HashSet<_> = attempts.iter().map(|attempt| attempt.run()).collect();
    for run in runs {
        if shared.cancellations.is_cancelled(run).await {
            let of_run = attempts.iter().filter(|attempt| attempt.run() == run);
            of_run.for_each(|attempt| attempt.stop(Stop::RunCancelled));
        }
    }
}
