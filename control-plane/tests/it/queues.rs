//! Queues that do what queues do: lose, repeat, fill up.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use weir_model::{Event, EventRecord, RunOutcome};
use weir_platform::{Delivery, MemoryQueue, MemoryQueueOptions, Queue, QueueError, Receipt, SendMessage};

use crate::kit::{Kit, eventually};
use crate::script::{Act, MAPS, Plan, REDUCES, To, impatient, submission, task};

/// Changes what is sent to a queue.
struct Meddling<F> {
    inner: MemoryQueue,
    meddle: F,
}

impl<F> Meddling<F> {
    fn new(meddle: F) -> Arc<Self> {
        Arc::new(Self {
            inner: MemoryQueue::new(MemoryQueueOptions::default()),
            meddle,
        })
    }
}

#[async_trait]
impl<F: Fn(SendMessage) -> Vec<SendMessage> + Send + Sync + 'static> Queue for Meddling<F> {
    async fn send(&self, messages: Vec<SendMessage>) -> Result<(), QueueError> {
        self.inner
            .send(messages.into_iter().flat_map(&self.meddle).collect())
            .await
    }

    async fn receive(&self, max: usize, wait: Duration, visibility: Duration) -> Result<Vec<Delivery>, QueueError> {
        self.inner.receive(max, wait, visibility).await
    }

    async fn delete(&self, receipts: Vec<Receipt>) -> Result<(), QueueError> {
        self.inner.delete(receipts).await
    }

    async fn extend(&self, receipts: Vec<Receipt>, visibility: Duration) -> Result<(), QueueError> {
        self.inner.extend(receipts, visibility).await
    }
}

fn lose_every_third() -> impl Fn(SendMessage) -> Vec<SendMessage> + Send + Sync + 'static {
    let sent = AtomicUsize::new(0);
    move |message| match sent.fetch_add(1, Ordering::SeqCst) % 3 {
        0 => Vec::new(),
        _ => vec![message],
    }
}

fn repeat(message: SendMessage) -> Vec<SendMessage> {
    let later = SendMessage {
        delay: Duration::from_millis(30),
        ..message.clone()
    };
    vec![message.clone(), message, later]
}

#[tokio::test]
async fn lost_task_messages_are_sent_again() {
    let kit = Kit::new().await;
    let tasks = Meddling::new(lose_every_third());
    let process = kit.process_with(kit.store.clone(), tasks, Meddling::new(|message| vec![message]));
    let run = process.control_plane.submit(impatient(400)).await.unwrap();
    let snapshot = process.finished(run).await;
    assert_eq!(snapshot.outcome, Some(RunOutcome::Succeeded), "{:?}", snapshot.reason);
    kit.check_output();
    assert_eq!(kit.acceptances(run).await.len() as u32, MAPS + REDUCES);
}

#[tokio::test]
async fn lost_reports_are_made_up_for() {
    let kit = Kit::new().await;
    let reports = Meddling::new(lose_every_third());
    let process = kit.process_with(kit.store.clone(), Meddling::new(|message| vec![message]), reports);
    let run = process.control_plane.submit(impatient(400)).await.unwrap();
    let snapshot = process.finished(run).await;
    assert_eq!(snapshot.outcome, Some(RunOutcome::Succeeded), "{:?}", snapshot.reason);
    kit.check_output();
}

#[tokio::test]
async fn repeated_messages_and_reports_change_nothing() {
    let kit = Kit::new().await;
    let process = kit.process_with(kit.store.clone(), Meddling::new(repeat), Meddling::new(repeat));
    let run = process.control_plane.submit(submission()).await.unwrap();
    let snapshot = process.finished(run).await;
    assert_eq!(snapshot.outcome, Some(RunOutcome::Succeeded), "{:?}", snapshot.reason);
    let mut accepted = kit.acceptances(run).await;
    assert_eq!(accepted.len() as u32, MAPS + REDUCES);
    accepted.sort();
    accepted.dedup();
    assert_eq!(accepted.len() as u32, MAPS + REDUCES, "each task once");
    let manifest = std::fs::read(kit.out().join("_weir/part.json")).unwrap();
    let manifest: weir_model::OutputManifest = serde_json::from_slice(&manifest).unwrap();
    assert_eq!(manifest.rows, u64::from(REDUCES));
}

#[tokio::test]
async fn a_full_queue_slows_a_run_down_and_no_more() {
    let kit = Kit::with(|_| To::Nothing { tasks: 300 }, |_| Plan::Graph).await;
    let small = Arc::new(MemoryQueue::new(MemoryQueueOptions {
        limit: 1_000,
        ..MemoryQueueOptions::default()
    }));
    let filler = (0..900).map(|_| SendMessage::new("not a task message", "other"));
    small.send(filler.collect()).await.unwrap();
    let reports = Meddling::new(|message| vec![message]);
    let process = kit.process_with(kit.store.clone(), small.clone(), reports);
    let run = process.control_plane.submit(submission()).await.unwrap();
    assert_eq!(process.finished(run).await.outcome, Some(RunOutcome::Succeeded));
    let dropped = async || small.is_empty().then_some(());
    eventually("messages that cannot be read are dropped", dropped).await;
}

#[tokio::test]
async fn a_slow_attempt_keeps_its_message_and_a_silent_one_is_replaced() {
    let kit = Kit {
        visibility_ms: 300,
        ..Kit::new().await
    };
    // Longer than both the visibility timeout and the attempt timeout, which is that of two hundred heartbeats.
    kit.runner.script(|id, _| match id == task(0, 0) {
        true => Act::WorkAfter(Duration::from_secs(5)),
        false => Act::Work,
    });
    let process = kit.process();
    let run = process.control_plane.submit(impatient(4_000)).await.unwrap();
    let snapshot = process.finished(run).await;
    assert_eq!(snapshot.outcome, Some(RunOutcome::Succeeded), "{:?}", snapshot.reason);
    let failed = |record: &EventRecord| matches!(record.event, Event::AttemptFailed { .. });
    assert!(!kit.events(run).await.iter().any(failed), "heartbeats keep it alive");
    kit.check_output();

    // Without its worker the attempt is silent; another worker takes the task over.
    let kit = Kit {
        visibility_ms: 300,
        ..Kit::new().await
    };
    kit.runner.script(|id, nth| match (id == task(0, 0), nth) {
        (true, 1) => Act::Hang,
        _ => Act::Work,
    });
    let tasks: Arc<dyn Queue> = Arc::new(MemoryQueue::new(MemoryQueueOptions::default()));
    let reports: Arc<dyn Queue> = Arc::new(MemoryQueue::new(MemoryQueueOptions::default()));
    let store = kit.store.clone();
    let process = kit.process_with(store.clone(), tasks.clone(), reports.clone());
    let run = process.control_plane.submit(impatient(400)).await.unwrap();
    process
        .until(run, |snapshot| {
            snapshot.stages.first().is_some_and(|stage| stage.done == 3)
        })
        .await;
    process.kill_worker().await;
    let other = kit.process_with(store, tasks, reports);
    let snapshot = process.finished(run).await;
    assert_eq!(snapshot.outcome, Some(RunOutcome::Succeeded), "{:?}", snapshot.reason);
    assert!(kit.runner.executions(task(0, 0)) > 1);
    kit.check_output();
    drop(other);
}
