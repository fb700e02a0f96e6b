//! From a delivery to the report of its attempt.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::{Instrument as _, Span};
use weir_engine::TaskFailure;
use weir_model::{Failure, FailureKind, ReportBody, TaskMessage, TaskMetrics, TaskOutput};
use weir_platform::telemetry::metrics::metrics;
use weir_platform::telemetry::trace;
use weir_platform::{Delivery, clock};

use crate::running::{Attempt, Stop};
use crate::worker::Shared;

/// Handles a delivery, to the end.
pub(crate) async fn handle(shared: Arc<Shared>, delivery: Delivery, received_at: Instant) {
    let message: TaskMessage = match serde_json::from_str(&delivery.body) {
        Ok(message) => message,
        Err(error) => {
            tracing::error!(%error, "dropped a task message that cannot be read");
            if let Err(error) = shared.tasks.delete(vec![delivery.receipt]).await {
                tracing::warn!(error = &error as &dyn std::error::Error, "cannot delete a task message");
            }
            return;
        }
    };
    let execution = clock::new_execution_id();
    let attempt = Arc::new(Attempt::new(message, delivery.receipt, execution, received_at));
    if delivery.receive_count > shared.options.max_receives {
        return refuse(&shared, &attempt, poison(&attempt.message, delivery.receive_count)).await;
    }
    if shared.cancellations.is_cancelled(attempt.run()).await {
        return refuse(&shared, &attempt, cancelled(&attempt.message)).await;
    }
    if shared
        .cancellations
        .is_withdrawn(attempt.run(), attempt.message.pauses)
        .await
    {
        // Its run is paused, or was: the task gets another message when it goes on.
        if let Err(error) = shared.tasks.delete(vec![attempt.receipt.clone()]).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "cannot delete a task message");
        }
        return;
    }
    shared.status.0.running.insert(attempt.clone());
    let body = ReportBody::Started;
    attempt.reported();
    shared.reporter.report(&attempt.message, execution, body, None).await;
    let started = Instant::now();
    let end = run(&shared, &attempt).instrument(span(&attempt)).await;
    metrics().task_duration(started.elapsed());
    match end {
        End::Report(mut body) => {
            if let Some(measured) = body.metrics_mut() {
                metrics().modules_loaded(&measured.modules);
                measured.allowance.worker_slots = u32::try_from(shared.options.slots).unwrap_or(u32::MAX);
                measured.allowance.worker_millicpus = shared.options.millicpus;
                measured.reports = attempt.reported();
            }
            let receipt = Some(attempt.receipt.clone());
            shared
                .reporter
                .report(&attempt.message, execution, *body, receipt)
                .await;
        }
        End::GiveBack => {
            let receipts = vec![attempt.receipt.clone()];
            if let Err(error) = shared.tasks.extend(receipts, Duration::ZERO).await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "cannot give a task message back"
                );
            }
        }
    }
    // Only now, so that the message stays hidden until the report is on its way.
    shared.status.0.running.remove(execution);
}

/// How an attempt ended.
enum End {
    Report(Box<ReportBody>),
    /// Somebody else is to run it.
    GiveBack,
}

impl End {
    fn failed(failure: Failure, metrics: TaskMetrics) -> Self {
        Self::Report(Box::new(ReportBody::Failed { failure, metrics }))
    }
}

async fn refuse(shared: &Shared, attempt: &Attempt, failure: Failure) {
    let body = ReportBody::Failed {
        failure,
        metrics: TaskMetrics::default(),
    };
    let receipt = Some(attempt.receipt.clone());
    shared
        .reporter
        .report(&attempt.message, attempt.context.execution, body, receipt)
        .await;
}

/// What an attempt is called in logs and traces; part of its stage's span.
fn span(attempt: &Attempt) -> Span {
    let message = &attempt.message;
    let span = tracing::info_span!(
        "task",
        run = %message.run,
        task = %message.task,
        stage_attempt = message.stage_attempt,
        attempt = message.attempt,
        execution = %attempt.context.execution,
        namespace = %message.namespace,
    );
    if trace::is_exported() {
        let parent = message.traceparent.as_deref().and_then(|parent| parent.parse().ok());
        trace::set_parent(&span, parent);
    }
    span
}

async fn run(shared: &Shared, attempt: &Arc<Attempt>) -> End {
    tracing::debug!("an attempt begins");
    let (runner, of_task) = (shared.runner.clone(), attempt.clone());
    let task = async move { runner.run(&of_task.message, &of_task.context).await }.in_current_span();
    let mut task = AbortOnDrop(shared.runtime.handle().spawn(task));
    let limit = attempt.message.time_limit_ms.map(Duration::from_millis);
    let result = tokio::select! {
        result = &mut task.0 => Some(result),
        () = attempt.context.cancel.cancelled() => None,
        () = sleep_for(limit) => {
            attempt.stop(Stop::TimeLimit);
            None
        }
    };
    let result = match result {
        Some(result) => Some(result),
        // It is dropped when it does not stop by itself in time.
        None => tokio::time::timeout(shared.options.stop(), &mut task.0).await.ok(),
    };
    match result {
        Some(Ok(Ok(output))) => succeeded(output),
        Some(Ok(Err(TaskFailure { failure, metrics }))) => failed(attempt, failure, metrics),
        Some(Err(error)) if error.is_panic() => {
            End::failed(panicked(&attempt.message, &*error.into_panic()), TaskMetrics::default())
        }
        // Dropped, by us or with the task runtime.
        Some(Err(_)) | None => failed(attempt, cancelled(&attempt.message), TaskMetrics::default()),
    }
}

fn succeeded(output: TaskOutput) -> End {
    End::Report(Box::new(ReportBody::Succeeded { output }))
}

fn failed(attempt: &Attempt, failure: Failure, metrics: TaskMetrics) -> End {
    match (failure.kind, attempt.stopped()) {
        (FailureKind::Cancelled, None | Some(Stop::Shutdown)) => End::GiveBack,
        (FailureKind::Cancelled, Some(Stop::TimeLimit)) => End::failed(time_limit(&attempt.message), metrics),
        _ => End::failed(failure, metrics),
    }
}

async fn sleep_for(limit: Option<Duration>) {
    match limit {
        Some(limit) => tokio::time::sleep(limit).await,
        None => std::future::pending().await,
    }
}

struct AbortOnDrop<T>(tokio::task::JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn poison(message: &TaskMessage, deliveries: u32) -> Failure {
    let text = format!(
        "task {} was delivered {deliveries} times and no worker ever reported about it: it seems to end the process \
         that runs it; look for workers that were killed for using too much memory",
        message.task
    );
    Failure::new(FailureKind::Platform, "poison_task", text)
}

fn cancelled(message: &TaskMessage) -> Failure {
    let text = format!("task {} was told to stop", message.task);
    Failure::new(FailureKind::Cancelled, "cancelled", text)
}

fn time_limit(message: &TaskMessage) -> Failure {
    let limit = message.time_limit_ms.unwrap_or_default();
    let text = format!(
        "task {} took longer than its limit of {limit} ms; raise the limit, or split the work into more tasks",
        message.task
    );
    Failure::new(FailureKind::User, "time_limit", text)
}

fn panicked(message: &TaskMessage, panic: &(dyn Any + Send)) -> Failure {
    let words = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    let text = format!("task {} panicked, which is a bug of weir: {words}", message.task);
    Failure::new(FailureKind::Platform, "worker_panic", text)
}
