//! A worker between two queues, with a scripted runner and paused time.

mod kit;
mod service;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use weir_model::{Failure, FailureKind, ReportBody, TaskMetrics, TaskOutput, TaskReport, layout};
use weir_platform::Queue;
use weir_worker::{TaskContext, TaskFailure, WorkerOptions};

use kit::{Kit, message};

fn failure(kind: FailureKind) -> TaskFailure {
    TaskFailure {
        failure: Failure::new(kind, "scripted", "as told"),
        metrics: TaskMetrics {
            rows_in: 7,
            ..TaskMetrics::default()
        },
    }
}

async fn until_told(context: TaskContext) -> Result<TaskOutput, TaskFailure> {
    context.cancel.cancelled().await;
    Err(failure(FailureKind::Cancelled))
}

fn failed(body: &ReportBody) -> &Failure {
    match body {
        ReportBody::Failed { failure, .. } => failure,
        other => panic!("not a failure: {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_task_is_started_reported_and_its_message_deleted() {
    let kit = Kit::new(|message, context| async move {
        assert_eq!(message.partitions, 3..4);
        let mut output = TaskOutput::default();
        output.metrics.user.insert(
            context.execution.to_string(),
            weir_model::MetricValue::Gauge { value: 1 },
        );
        Ok(output)
    });
    let worker = kit.start(WorkerOptions::default());
    kit.send(&[message(3)]).await;
    let [started, succeeded] = kit.reports(2).await.try_into().unwrap();
    assert_eq!(started.body, ReportBody::Started);
    let ReportBody::Succeeded { output } = &succeeded.body else {
        panic!("{succeeded:?}")
    };
    assert!(
        output.metrics.user.contains_key(&started.execution.to_string()),
        "the runner knows its execution"
    );
    for report in [&started, &succeeded] {
        assert_eq!(
            (report.task, report.attempt, report.stage_attempt),
            (message(3).task, 3, 1)
        );
        assert_eq!((report.execution, report.worker), (started.execution, worker.id));
    }
    kit.until_no_task_is_left().await;
}

#[tokio::test(start_paused = true)]
async fn failures_of_the_runner_are_reported_with_what_was_measured() {
    let kit = Kit::new(|_, _| async { Err(failure(FailureKind::User)) });
    kit.start(WorkerOptions::default());
    kit.send(&[message(0)]).await;
    let reports = kit.reports(2).await;
    let ReportBody::Failed { failure, metrics } = &reports[1].body else {
        panic!("{reports:?}")
    };
    assert_eq!(
        (failure.kind, failure.message.as_str(), metrics.rows_in),
        (FailureKind::User, "as told", 7)
    );
    kit.until_no_task_is_left().await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_the_platforms_fault_and_disturbs_nobody() {
    let kit = Kit::new(|message, _| async move {
        assert_ne!(message.task.index, 0, "this one is told to panic");
        Ok(TaskOutput::default())
    });
    kit.start(WorkerOptions {
        slots: 1,
        ..WorkerOptions::default()
    });
    kit.send(&[message(0), message(1)]).await;
    let reports = kit.reports(4).await;
    let failure = failed(&reports[1].body);
    assert_eq!(
        (failure.kind, failure.code.as_str()),
        (FailureKind::Platform, "worker_panic")
    );
    assert!(failure.message.contains("this one is told to panic"), "{failure:?}");
    assert!(matches!(reports[3].body, ReportBody::Succeeded { .. }));
}

#[tokio::test(start_paused = true)]
async fn no_more_tasks_run_at_once_than_there_are_slots() {
    let (now, most) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let seen = most.clone();
    let kit = Kit::new(move |_, _| {
        let (now, most) = (now.clone(), most.clone());
        async move {
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(10)).await;
            now.fetch_sub(1, Ordering::SeqCst);
            Ok(TaskOutput::default())
        }
    });
    kit.start(WorkerOptions {
        slots: 3,
        ..WorkerOptions::default()
    });
    let start = Instant::now();
    kit.send(&(0..12).map(message).collect::<Vec<_>>()).await;
    kit.reports(24).await;
    assert_eq!(seen.load(Ordering::SeqCst), 3);
    assert_eq!(start.elapsed().as_millis(), 40, "and no fewer");
}

#[tokio::test(start_paused = true)]
async fn a_long_attempt_keeps_its_message_and_shows_that_it_lives() {
    let kit = Kit::new(|_, _| async {
        tokio::time::sleep(Duration::from_secs(100)).await;
        Ok(TaskOutput::default())
    });
    kit.start(WorkerOptions::default());
    kit.send(&[message(0)]).await;
    let mut reports = Vec::new();
    while !matches!(
        reports.last(),
        Some(TaskReport {
            body: ReportBody::Succeeded { .. },
            ..
        })
    ) {
        reports.extend(kit.reports(1).await);
    }
    let alive = reports
        .iter()
        .filter(|report| matches!(report.body, ReportBody::Progress { .. }));
    assert!(alive.count() >= 98, "one per second");
    assert!(
        reports.iter().all(|report| report.execution == reports[0].execution),
        "it ran once"
    );
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_run_stops_and_its_waiting_messages_are_refused() {
    let kit = Kit::new(|_, context| until_told(context));
    kit.start(WorkerOptions {
        slots: 1,
        ..WorkerOptions::default()
    });
    kit.send(&[message(0), message(1)]).await;
    kit.reports(1).await;
    kit.storage
        .put(&layout::cancel_key(message(0).run), Bytes::new())
        .await
        .unwrap();
    let start = Instant::now();
    let mut failures = Vec::new();
    while failures.len() < 2 {
        let report = kit.reports(1).await.remove(0);
        if !matches!(report.body, ReportBody::Progress { .. }) {
            failures.push((failed(&report.body).kind, report.task.index));
        }
    }
    assert_eq!(failures, [(FailureKind::Cancelled, 0), (FailureKind::Cancelled, 1)]);
    assert!(start.elapsed() <= Duration::from_secs(2), "{:?}", start.elapsed());
    kit.until_no_task_is_left().await;
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_takes_too_long_is_stopped_even_if_it_does_not_listen() {
    let kit = Kit::new(|message, context| async move {
        match message.task.index {
            0 => until_told(context).await,
            _ => std::future::pending().await,
        }
    });
    kit.start(WorkerOptions::default());
    let limited = |index| weir_model::TaskMessage {
        time_limit_ms: Some(500),
        ..message(index)
    };
    kit.send(&[limited(0), limited(1)]).await;
    let start = Instant::now();
    let mut ends = Vec::new();
    while ends.len() < 2 {
        let report = kit.reports(1).await.remove(0);
        if let ReportBody::Failed { failure, .. } = report.body {
            assert_eq!((failure.kind, failure.code.as_str()), (FailureKind::User, "time_limit"));
            assert!(failure.message.contains("500 ms"), "{failure:?}");
            ends.push(start.elapsed().as_millis());
        }
    }
    assert_eq!(ends, [500, 2_500]);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_was_delivered_too_often_is_reported_by_name_and_not_run() {
    let kit = Kit::new(|_, _| async { panic!("it must not run") });
    kit.send(&[message(4)]).await;
    for _ in 0..5 {
        // Workers that die with the message in their hands.
        assert_eq!(
            kit.tasks
                .receive(1, Duration::from_secs(1), Duration::from_millis(1))
                .await
                .unwrap()
                .len(),
            1
        );
    }
    kit.start(WorkerOptions::default());
    let reports = kit.reports(1).await;
    let failure = failed(&reports[0].body);
    assert_eq!(
        (failure.kind, failure.code.as_str()),
        (FailureKind::Platform, "poison_task")
    );
    assert!(
        failure.message.contains("task 2.4 was delivered 6 times"),
        "{failure:?}"
    );
    kit.until_no_task_is_left().await;
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_is_dropped() {
    let kit = Kit::new(|_, _| async { Ok(TaskOutput::default()) });
    kit.start(WorkerOptions::default());
    kit.send_text("{\"task\": \"what?\"}").await;
    kit.send(&[message(0)]).await;
    assert_eq!(kit.reports(2).await[0].task, message(0).task);
    kit.until_no_task_is_left().await;
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_lets_tasks_end_and_gives_the_others_back() {
    let kit = Kit::new(|message, context| async move {
        match message.task.index {
            0 => {
                tokio::time::sleep(Duration::from_secs(3)).await;
                Ok(TaskOutput::default())
            }
            1 => until_told(context).await,
            _ => std::future::pending().await,
        }
    });
    let worker = kit.start(WorkerOptions {
        slots: 3,
        ..WorkerOptions::default()
    });
    kit.send(&[message(0), message(1), message(2)]).await;
    kit.reports(3).await;
    let start = Instant::now();
    worker.shutdown().await;
    assert_eq!(start.elapsed().as_millis(), 12_000, "10 s to end, 2 s to stop");
    let ends = kit
        .all_reports()
        .await
        .into_iter()
        .filter(|report| !matches!(report.body, ReportBody::Progress { .. }));
    let ends: Vec<_> = ends.map(|report| (report.task.index, report.body)).collect();
    assert!(matches!(&ends[..], [(0, ReportBody::Succeeded { .. })]), "{ends:?}");
    let back = kit
        .tasks
        .receive(10, Duration::ZERO, Duration::from_secs(1))
        .await
        .unwrap();
    assert_eq!(back.len(), 2, "the others are there at once");
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_is_gone_leaves_its_messages_to_others() {
    let kit = Kit::new(|message, context| async move {
        match message.task.index {
            0 => until_told(context).await,
            _ => Ok(TaskOutput::default()),
        }
    });
    let worker = kit.start(WorkerOptions::default());
    kit.send(&[message(0)]).await;
    kit.reports(1).await;
    worker.kill().await;
    assert!(
        kit.tasks
            .receive(1, Duration::from_secs(15), Duration::ZERO)
            .await
            .unwrap()
            .is_empty()
    );
    let back = kit
        .tasks
        .receive(1, Duration::from_secs(60), Duration::ZERO)
        .await
        .unwrap();
    assert_eq!(back[0].receive_count, 2);
}

#[test]
fn heartbeats_go_out_while_all_task_threads_are_busy() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let release = Arc::new(std::sync::Barrier::new(2));
        let held = release.clone();
        let kit = Kit::new(move |_, _| {
            let held = held.clone();
            async move {
                // As a task does that computes and does not yield.
                tokio::task::spawn_blocking(|| ()).await.unwrap();
                held.wait();
                Ok(TaskOutput::default())
            }
        });
        kit.start(WorkerOptions {
            slots: 1,
            task_threads: 1,
            heartbeat_ms: 5,
            ..WorkerOptions::default()
        });
        kit.send(&[message(0)]).await;
        let reports = kit.reports(10).await;
        assert!(
            reports[1..]
                .iter()
                .all(|report| matches!(report.body, ReportBody::Progress { .. }))
        );
        release.wait();
        while !matches!(kit.reports(1).await[0].body, ReportBody::Succeeded { .. }) {}
    });
}
