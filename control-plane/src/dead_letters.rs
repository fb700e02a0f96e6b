//! Task messages that were delivered again and again, and that nobody was done with: whatever runs them dies of them.
//! Their queue sets them aside; here each becomes a failure of its attempt, which says so in the run.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use weir_model::{Failure, FailureKind, ReportBody, RunId, RunPhase, TaskMessage, TaskMetrics, TaskReport, WorkerId};
use weir_platform::telemetry::metrics::metrics;
use weir_platform::{Delivery, Queue, QueueError, Receipt, SendMessage, clock};

use crate::shared::Shared;
use crate::store;

/// Messages taken at once.
const BATCH: usize = 100;
/// How long a receive waits for the first message.
const WAIT: Duration = Duration::from_secs(20);
/// How long a message stays hidden while it is looked at.
const VISIBILITY: Duration = Duration::from_secs(60);
/// The wait after an error; what was received comes back when its visibility is over.
const AFTER_ERROR: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Queue(#[from] QueueError),
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// Watches a dead-letter queue for as long as the control plane lives.
pub(crate) async fn watch(shared: Arc<Shared>, queue: Arc<dyn Queue>) {
    // The name under which the failures are reported.
    let reporter = clock::new_worker_id();
    loop {
        if let Err(error) = take(&shared, &*queue, reporter).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "cannot handle dead letters");
            tokio::time::sleep(AFTER_ERROR).await;
        }
    }
}

/// Takes one batch. The failures are in the report queue, on their way to whoever drives their runs, before the
/// messages are deleted: a crash in between says the same twice, which changes nothing.
async fn take(shared: &Shared, queue: &dyn Queue, reporter: WorkerId) -> Result<(), Error> {
    let deliveries = queue.receive(BATCH, WAIT, VISIBILITY).await?;
    deliveries.iter().for_each(|_| metrics().dead_letter());
    let (mut reports, mut receipts) = (Vec::new(), Vec::new());
    let mut live = HashMap::new();
    for delivery in deliveries {
        reports.extend(report(shared, &delivery, reporter, &mut live).await?);
        receipts.push(delivery.receipt);
    }
    settle(shared, queue, reports, receipts).await
}

async fn settle(
    shared: &Shared,
    queue: &dyn Queue,
    reports: Vec<SendMessage>,
    receipts: Vec<Receipt>,
) -> Result<(), Error> {
    if !reports.is_empty() {
        shared.reports.send(reports).await?;
    }
    if !receipts.is_empty() {
        queue.delete(receipts).await?;
    }
    Ok(())
}

/// The report of a dead letter, if it belongs to a run that is under way.
async fn report(
    shared: &Shared,
    letter: &Delivery,
    reporter: WorkerId,
    live: &mut HashMap<RunId, bool>,
) -> Result<Option<SendMessage>, Error> {
    let task: TaskMessage = match serde_json::from_str(&letter.body) {
        Ok(task) => task,
        Err(error) => {
            tracing::error!(%error, "dropped a dead letter that is not a task message");
            return Ok(None);
        }
    };
    if !is_live(shared, task.run, live).await? {
        tracing::info!(run = %task.run, task = %task.task, "dropped a dead letter of a run that is over or unknown");
        return Ok(None);
    }
    tracing::warn!(run = %task.run, task = %task.task, attempt = task.attempt, "a task message is a dead letter");
    let report = TaskReport {
        run: task.run,
        task: task.task,
        stage_attempt: task.stage_attempt,
        attempt: task.attempt,
        execution: clock::new_execution_id(),
        worker: reporter,
        at: clock::now(),
        body: ReportBody::Failed {
            failure: poison(&task),
            metrics: TaskMetrics::default(),
        },
    };
    let body = serde_json::to_string(&report).expect("a report is made of numbers and words");
    Ok(Some(SendMessage {
        traceparent: task.traceparent,
        ..SendMessage::new(body, task.namespace.to_string())
    }))
}

async fn is_live(shared: &Shared, run: RunId, known: &mut HashMap<RunId, bool>) -> Result<bool, Error> {
    if let Some(live) = known.get(&run) {
        return Ok(*live);
    }
    let row = shared.store.run_get(run).await?;
    let live = row.is_some_and(|row| row.summary.phase != RunPhase::Finished);
    known.insert(run, live);
    Ok(live)
}

fn poison(task: &TaskMessage) -> Failure {
    let text = format!(
        "the message of task {} was delivered as often as its queue allows, and no worker ever was done with it: it \
         seems to end the process that runs it; look for workers that were killed for using too much memory, and give \
         them more or let the run have more and smaller partitions",
        task.task
    );
    Failure::new(FailureKind::Platform, "poison_task", text)
}
