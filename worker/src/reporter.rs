//! Sending reports, in batches.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::mpsc;
use weir_model::{ExecutionId, Failure, FailureKind, ReportBody, TaskMessage, TaskReport, WorkerHeartbeat, WorkerId};
use weir_platform::{MAX_MESSAGE_BYTES, Queue, Receipt, SendMessage, clock};

/// Reports that wait to be sent; attempts wait for room, heartbeats are left out when there is none.
const WAITING: usize = 4_096;
/// The largest body of a report; the rest of a message is for its attributes.
const MAX_BODY: usize = MAX_MESSAGE_BYTES - 1_024;
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
        self.send(message, done).await;
    }

    /// Says something about the worker that must not be lost.
    pub(crate) async fn say(&self, heartbeat: &WorkerHeartbeat) {
        self.send(of_worker(heartbeat), None).await;
    }

    /// Says something about the worker that the next heartbeat will say again.
    pub(crate) fn say_if_there_is_room(&self, heartbeat: &WorkerHeartbeat) {
        let message = of_worker(heartbeat);
        let _ = self.waiting.try_send(Outgoing { message, done: None });
    }

    async fn send(&self, message: SendMessage, done: Option<Receipt>) {
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
        SendMessage {
            traceparent: task.traceparent.clone(),
            ..SendMessage::new(fitting(report), task.namespace.to_string())
        }
    }
}

/// A report that a message can carry: without logs and what operators measured when it must be, and at last a failure
/// that says so.
fn fitting(mut report: TaskReport) -> String {
    let fits = |report: &TaskReport| Some(to_json(report)).filter(|body| body.len() <= MAX_BODY);
    if let Some(body) = fits(&report) {
        return body;
    }
    if let Some(metrics) = report.body.metrics_mut() {
        metrics.dropped_log_lines += metrics.logs.len() as u64;
        metrics.logs.clear();
    }
    if let Some(body) = fits(&report) {
        return body;
    }
    if let Some(metrics) = report.body.metrics_mut() {
        metrics.operators.clear();
        metrics.user.clear();
    }
    fits(&report).unwrap_or_else(|| {
        let text = format!(
            "what task {} has to report is larger than a message may be; let the run have fewer partitions",
            report.task
        );
        let metrics = report.body.metrics_mut().map(std::mem::take).unwrap_or_default();
        report.body = ReportBody::Failed {
            failure: Failure::new(FailureKind::User, "report_too_large", text),
            metrics,
        };
        to_json(&report)
    })
}

fn of_worker(heartbeat: &WorkerHeartbeat) -> SendMessage {
    // Of no tenant.
    SendMessage::new(to_json(heartbeat), "")
}

fn to_json(message: &impl Serialize) -> String {
    serde_json::to_string(message).expect("reports are made of numbers and words")
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

#[cfg(test)]
mod tests {
    use weir_model::{LogLevel, LogLine, PartitionSpan, RunId, ShuffleObject, StageId, TaskId, TaskOutput, Timestamp};

    use super::*;

    fn sent(partitions: u32, log_bytes: usize) -> TaskReport {
        let span = |partition| PartitionSpan {
            partition,
            offset: 1 << 40,
            length: 1 << 30,
            rows: 1 << 30,
        };
        let mut output = TaskOutput {
            shuffle: Some(ShuffleObject {
                key: "key".into(),
                index: (0..partitions).map(span).collect(),
            }),
            ..TaskOutput::default()
        };
        output.metrics.rows_out = 7;
        output.metrics.logs = vec![LogLine {
            level: LogLevel::Info,
            source: "f".into(),
            message: "x".repeat(log_bytes),
        }];
        let body = fitting(TaskReport {
            run: RunId::from_parts(Timestamp(1), 1),
            task: TaskId {
                stage: StageId(0),
                index: 0,
            },
            stage_attempt: 0,
            attempt: 0,
            execution: ExecutionId::from_parts(Timestamp(1), 2),
            worker: WorkerId::from_parts(Timestamp(1), 3),
            at: Timestamp(2),
            body: ReportBody::Succeeded { output },
        });
        assert!(body.len() <= MAX_BODY);
        serde_json::from_str(&body).unwrap()
    }

    #[test]
    fn logs_are_left_out_of_a_report_that_is_too_large() {
        let metrics = |mut report: TaskReport| report.body.metrics_mut().unwrap().clone();
        assert_eq!(metrics(sent(10, 1_000)).logs.len(), 1);
        let short = metrics(sent(10, MAX_BODY));
        assert_eq!((short.logs.len(), short.dropped_log_lines, short.rows_out), (0, 1, 7));
    }

    #[test]
    fn what_is_still_too_large_is_a_failure() {
        let ReportBody::Failed { failure, metrics } = sent(100_000, 1).body else {
            panic!("it cannot fit");
        };
        assert_eq!((failure.code.as_str(), metrics.rows_out), ("report_too_large", 7));
    }
}
