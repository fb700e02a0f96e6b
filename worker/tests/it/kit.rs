//! Two queues, a storage and a runner.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use weir_model::{
    Digest, Namespace, RunId, StageId, TaskId, TaskMessage, TaskOutput, TaskReport, Timestamp, WorkerHeartbeat,
    WorkerId, WorkerMessage,
};
use weir_platform::{MemoryQueue, MemoryQueueOptions, Queue, SendMessage, Storage};
use weir_worker::{Environment, TaskContext, TaskFailure, TaskRunner, Worker, WorkerOptions, WorkerStatus};

/// The message of task `index`, whose partition and attempt are `index` too.
pub(crate) fn message(index: u32) -> TaskMessage {
    TaskMessage {
        namespace: Namespace::default(),
        run: RunId::from_parts(Timestamp(1), 1),
        task: TaskId {
            stage: StageId(2),
            index,
        },
        stage_attempt: 1,
        attempt: index,
        tasks: 10,
        partitions: index..index + 1,
        plan: Digest::of(b""),
        inputs: Vec::new(),
        pauses: 0,
        time_limit_ms: None,
        traceparent: None,
    }
}

type Answer = Pin<Box<dyn Future<Output = Result<TaskOutput, TaskFailure>> + Send>>;

struct Scripted(Box<dyn Fn(TaskMessage, TaskContext) -> Answer + Send + Sync>);

#[async_trait]
impl TaskRunner for Scripted {
    async fn run(&self, message: &TaskMessage, context: &TaskContext) -> Result<TaskOutput, TaskFailure> {
        (self.0)(message.clone(), context.clone()).await
    }
}

pub(crate) struct Kit {
    pub(crate) tasks: Arc<MemoryQueue>,
    pub(crate) storage: Storage,
    reports: Arc<MemoryQueue>,
    runner: Arc<Scripted>,
    _dir: tempfile::TempDir,
}

/// A worker that runs until the test ends, or is told to end.
pub(crate) struct Running {
    pub(crate) id: WorkerId,
    pub(crate) status: WorkerStatus,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    pub(crate) async fn shutdown(self) {
        self.shutdown.cancel();
        self.task.await.unwrap();
    }

    pub(crate) async fn kill(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

impl Kit {
    pub(crate) fn new<F>(run: impl Fn(TaskMessage, TaskContext) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<TaskOutput, TaskFailure>> + Send + 'static,
    {
        let dir = tempfile::tempdir().unwrap();
        let queue = || Arc::new(MemoryQueue::new(MemoryQueueOptions::default()));
        Self {
            tasks: queue(),
            reports: queue(),
            storage: Storage::open(dir.path().to_str().unwrap()).unwrap(),
            runner: Arc::new(Scripted(Box::new(move |message, context| {
                Box::pin(run(message, context))
            }))),
            _dir: dir,
        }
    }

    /// Starts a worker; its tasks run on this runtime, whose time is paused, unless the options ask for threads.
    pub(crate) fn start(&self, options: WorkerOptions) -> Running {
        let options = WorkerOptions {
            task_threads: match options.task_threads {
                1 => 1,
                _ => 0,
            },
            ..options
        };
        let environment = Environment {
            tasks: self.tasks.clone(),
            reports: self.reports.clone(),
            storage: self.storage.clone(),
            runner: self.runner.clone(),
        };
        let worker = Worker::new(options, environment);
        let (id, status, shutdown) = (worker.id(), worker.status(), CancellationToken::new());
        let running = worker.run(shutdown.clone());
        let task = tokio::spawn(async move { running.await.unwrap() });
        Running {
            id,
            status,
            shutdown,
            task,
        }
    }

    pub(crate) async fn send(&self, messages: &[TaskMessage]) {
        for message in messages {
            self.send_text(&serde_json::to_string(message).unwrap()).await;
        }
    }

    pub(crate) async fn send_text(&self, body: &str) {
        self.tasks.send(vec![SendMessage::new(body, "default")]).await.unwrap();
    }

    /// The next reports, so many.
    pub(crate) async fn reports(&self, count: usize) -> Vec<TaskReport> {
        let mut reports = Vec::new();
        while reports.len() < count {
            let wait = Duration::from_secs(120);
            let received = self.receive(1, wait).await;
            assert!(!received.is_empty(), "only {reports:?} came");
            reports.extend(received);
        }
        reports
    }

    /// The reports that are there.
    pub(crate) async fn all_reports(&self) -> Vec<TaskReport> {
        self.receive(1_000, Duration::ZERO).await
    }

    /// Reports that come within a time.
    async fn receive(&self, max: usize, wait: Duration) -> Vec<TaskReport> {
        let deadline = Instant::now() + wait;
        loop {
            let left = deadline.duration_since(Instant::now());
            let (mut reports, mut others) = (Vec::new(), 0);
            for message in self.receive_any(max, left).await {
                match message {
                    WorkerMessage::Task(report) => reports.push(*report),
                    WorkerMessage::Worker(_) => others += 1,
                }
            }
            if others == 0 || !reports.is_empty() {
                return reports;
            }
        }
    }

    /// The next signs of life of workers, so many, without what was reported before them.
    pub(crate) async fn heartbeats(&self, count: usize) -> Vec<WorkerHeartbeat> {
        let mut heartbeats = Vec::new();
        while heartbeats.len() < count {
            let received = self.receive_any(1, Duration::from_secs(120)).await;
            assert!(!received.is_empty(), "only {heartbeats:?} came");
            heartbeats.extend(received.into_iter().filter_map(|message| match message {
                WorkerMessage::Task(_) => None,
                WorkerMessage::Worker(heartbeat) => Some(*heartbeat),
            }));
        }
        heartbeats
    }

    /// Whether nobody says anything.
    pub(crate) async fn is_silent(&self) -> bool {
        self.receive_any(1, Duration::from_secs(60)).await.is_empty()
    }

    async fn receive_any(&self, max: usize, wait: Duration) -> Vec<WorkerMessage> {
        let deliveries = self.reports.receive(max, wait, Duration::from_secs(60)).await.unwrap();
        let receipts = deliveries.iter().map(|delivery| delivery.receipt.clone()).collect();
        self.reports.delete(receipts).await.unwrap();
        deliveries
            .iter()
            .map(|delivery| WorkerMessage::from_json(&delivery.body).unwrap())
            .collect()
    }

    pub(crate) async fn until_no_task_is_left(&self) {
        let empty = async {
            while !self.tasks.is_empty() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), empty)
            .await
            .expect("all messages are deleted");
    }
}
