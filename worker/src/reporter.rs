//! Sending reports, in batches.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use weir_model::{ExecutionId, ReportBody, TaskMessage, TaskReport, WorkerId};
use weir_platform::{Queue, Receipt, SendMessage, clock};

/// Reports that wait to be sent; attempts wait for room, heartbeats are left out when there is none.
const WAITING: usize = 4_096;
/// Reports in one call of the queue.
const BATCH: usize = 500;
/// The wait after the first error of the queue; each further one doubles it.
const FIRST_BACKOFF: Duration = Duration::from_millis(50);
const LONGEST_BACKOFF: Duration = Duration::from_secs(5);

/// Where attempts leave their reports. The sending ends when the last clone is dropped and everything is sent.
#[derive(Clone)]
pub(crate) struct Reporter {
    worker: WorkerId,
    waiting: mpsc::Sender<Outgoing>,
}

struct Outgoing {
    message: SendMessage,
    /// Of the task message, which is done with when the report is sent.
    done: Option<Receipt>,
}

impl Reporter {
    /// A reporter, and the work of sending what it is given.
    pub(crate) fn new(
        worker: WorkerId,
        tasks: Arc<dyn Queue>,
        reports: Arc<dyn Queue>,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (waiting, receiver) = mpsc::channel(WAITING);
        (Self { worker, waiting }, send_all(receiver, tasks, reports))
    }

    /// Reports something that must not be lost. With `done`, the task message is deleted when the report is sent.
    pub(crate) async fn report(
        &self,
        task: &TaskMessage,
        execution: ExecutionId,
        body: ReportBody,
        done: Option<Receipt>,
    ) {
        let message = self.message(task, execution, body);
        // The other end lives until all senders are gone, or the worker is being dropped.
        let _ = self.waiting.send(Outgoing { message, done }).await;
    }

    /// Reports something that the next report will say again.
    pub(crate) fn report_if_there_is_room(&self, task: &TaskMessage, execution: ExecutionId, body: ReportBody) {
        let message = self.message(task, execution, body);
        let _ = self.waiting.try_send(Outgoing { message, done: None });
    }

    fn message(&self, task: &TaskMessage, execution: ExecutionId, body: ReportBody) -> SendMessage {
        let report = TaskReport {
            run: task.run,
            task: task.task,
            stage_attempt: task.stage_attempt,
            attempt: task.attempt,
            execution,
            worker: self.worker,
            at: clock::now(),
            body,
        };
        let body = serde_json::to_string(&report).expect("a report is made of numbers and words");
        SendMessage::new(body, task.namespace.to_string())
    }
}

async fn send_all(mut waiting: mpsc::Receiver<Outgoing>, tasks: Arc<dyn Queue>, reports: Arc<dyn Queue>) {
    let mut batch = Vec::with_capacity(BATCH);
    while waiting.recv_many(&mut batch, BATCH).await > 0 {
        let (messages, done): (Vec<_>, Vec<_>) = batch.drain(..).map(|out| (out.message, out.done)).unzip();
        let mut backoff = FIRST_BACKOFF;
        while let Err(error) = reports.send(messages.clone()).await {
            // Nothing else will say what these say, and what waits is bounded: so try until it works.
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "cannot send reports; trying again"
            );
            tokio::time::sleep(backoff).await;
            backoff = (backoff * 2).min(LONGEST_BACKOFF);
        }
        let done: Vec<_> = done.into_iter().flatten().collect();
        if !done.is_empty()
            && let Err(error) = tasks.delete(done).await
        {
            // They will be delivered again, and their attempts be found to be over.
            tracing::warn!(error = &error as &dyn std::error::Error, "cannot delete task messages");
        }
    }
}
