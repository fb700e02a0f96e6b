//! Task messages that end whoever runs them.

use std::sync::Arc;
use std::time::Duration;

use weir_control_plane::ControlPlane;
use weir_model::{Event, Failure, RunId, RunOutcome, TaskMessage};
use weir_platform::{MemoryQueue, MemoryQueueOptions, Queue, SendMessage, SqsQueue, clock};
use weir_testkit::{Aws, DeadLetters, QueueSpec};

use crate::kit::{Kit, PATIENCE, eventually};
use crate::script::{MAPS, submission};

const MAX_RECEIVES: u32 = 2;
const HIDDEN: Duration = Duration::from_secs(60);

struct Queues {
    tasks: Arc<dyn Queue>,
    reports: Arc<dyn Queue>,
    dead_letters: Arc<dyn Queue>,
}

fn in_process() -> Queues {
    let queue = || Arc::new(MemoryQueue::new(MemoryQueueOptions::default()));
    let dead_letters = queue();
    let tasks = MemoryQueue::new(MemoryQueueOptions {
        max_receives: MAX_RECEIVES,
        dead_letters: Some(dead_letters.clone()),
        ..MemoryQueueOptions::default()
    });
    Queues {
        tasks: Arc::new(tasks),
        reports: queue(),
        dead_letters,
    }
}

async fn sqs() -> Queues {
    let aws = Aws::shared().await;
    let config = aws.sdk_config();
    let dead = aws.queue(&QueueSpec::default()).await;
    let spec = QueueSpec {
        dead_letters: Some(DeadLetters {
            queue: dead.clone(),
            max_receives: MAX_RECEIVES,
        }),
        ..QueueSpec::default()
    };
    let queue = |url: String| Arc::new(SqsQueue::new(&config, url));
    Queues {
        tasks: queue(aws.queue(&spec).await),
        reports: queue(aws.queue(&QueueSpec::default()).await),
        dead_letters: queue(dead),
    }
}

/// As workers do that die of each message: takes every task message as often as the queue allows.
async fn die_of_all(tasks: &dyn Queue, count: u32) {
    for _ in 0..count * MAX_RECEIVES {
        let got = tasks.receive(1, PATIENCE, HIDDEN).await.unwrap();
        let receipts = got.into_iter().map(|delivery| delivery.receipt).collect();
        tasks.extend(receipts, Duration::ZERO).await.unwrap();
    }
    // Servers set a message aside when they find it to be due.
    let rest = tasks.receive(10, Duration::ZERO, HIDDEN).await.unwrap();
    let receipts = rest.into_iter().map(|delivery| delivery.receipt).collect();
    tasks.extend(receipts, Duration::ZERO).await.unwrap();
}

async fn failures(kit: &Kit, run: RunId) -> Vec<Failure> {
    let failed = |event| match event {
        Event::AttemptFailed { failure, .. } => Some(failure),
        _ => None,
    };
    let events = kit.events(run).await;
    events.into_iter().filter_map(|record| failed(record.event)).collect()
}

async fn outcome(control_plane: &ControlPlane, run: RunId) -> (RunOutcome, String) {
    let mut snapshot = control_plane.watch(run).await.unwrap();
    let finished = snapshot.wait_for(|snapshot| snapshot.outcome.is_some());
    let snapshot = tokio::time::timeout(PATIENCE, finished).await.unwrap().unwrap().clone();
    let reason = snapshot
        .reason
        .as_ref()
        .map_or(String::new(), |reason| reason.message.clone());
    (snapshot.outcome.unwrap(), reason)
}

async fn explains_itself(queues: Queues) {
    let kit = Kit::new().await;
    let store = kit.store.clone();
    let control_plane = kit.control_plane(store, queues.tasks.clone(), queues.reports.clone());
    control_plane.watch_dead_letters(queues.dead_letters.clone());
    let run = control_plane.submit(submission()).await.unwrap();
    die_of_all(&*queues.tasks, MAPS).await;
    let all_failed = async || {
        let failures = failures(&kit, run).await;
        (failures.len() == MAPS as usize).then_some(failures)
    };
    for failure in eventually("all attempts fail", all_failed).await {
        assert_eq!(failure.code, "poison_task");
        assert!(
            failure.message.contains("was delivered as often as its queue allows"),
            "{}",
            failure.message
        );
    }
    // The next attempts come to workers that live.
    let (_worker, _shutdown) = kit.worker(queues.tasks, queues.reports);
    assert_eq!(outcome(&control_plane, run).await.0, RunOutcome::Succeeded);
    kit.check_output();
    let left = queues.dead_letters.receive(10, Duration::ZERO, HIDDEN).await.unwrap();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn a_message_that_kills_workers_is_a_failure_that_explains_itself() {
    explains_itself(in_process()).await;
}

#[tokio::test]
async fn a_message_that_kills_workers_is_a_failure_that_explains_itself_on_sqs() {
    explains_itself(sqs().await).await;
}

#[tokio::test]
async fn a_run_that_kills_every_worker_fails_and_says_why() {
    let (kit, queues) = (Kit::new().await, in_process());
    let store = kit.store.clone();
    let control_plane = kit.control_plane(store, queues.tasks.clone(), queues.reports.clone());
    control_plane.watch_dead_letters(queues.dead_letters.clone());
    let mut submission = submission();
    submission.settings.retry.max_attempts = 1;
    let run = control_plane.submit(submission).await.unwrap();
    die_of_all(&*queues.tasks, MAPS).await;
    let (outcome, reason) = outcome(&control_plane, run).await;
    assert_eq!(outcome, RunOutcome::Failed);
    assert!(reason.contains("it seems to end the process that runs it"), "{reason}");
}

#[tokio::test]
async fn letters_of_nobody_are_deleted() {
    let (kit, queues) = (Kit::new().await, in_process());
    let dead = Arc::new(MemoryQueue::new(MemoryQueueOptions::default()));
    let process = kit.process_with(kit.store.clone(), queues.tasks.clone(), queues.reports.clone());
    let run = process.control_plane.submit(submission()).await.unwrap();
    process.finished(run).await;
    let events = kit.events(run).await.len();
    let letter = |run| TaskMessage {
        namespace: Default::default(),
        run,
        task: weir_model::TaskId {
            stage: weir_model::StageId(0),
            index: 0,
        },
        stage_attempt: 0,
        attempt: 0,
        tasks: 1,
        partitions: 0..1,
        plan: weir_model::Digest::of(b""),
        inputs: Vec::new(),
        pauses: 0,
        time_limit_ms: None,
        traceparent: None,
    };
    let bodies = [
        "not a message".to_owned(),
        serde_json::to_string(&letter(clock::new_run_id())).unwrap(),
        serde_json::to_string(&letter(run)).unwrap(),
    ];
    dead.send(bodies.map(|body| SendMessage::new(body, "default")).into())
        .await
        .unwrap();
    process.control_plane.watch_dead_letters(dead.clone());
    eventually("no letter is left", async || dead.is_empty().then_some(())).await;
    assert_eq!(kit.events(run).await.len(), events);
}
