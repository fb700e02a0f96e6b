//! Namespaces beside each other: who gets the slots of the workers, and the room for runs.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use weir_control_plane::quotas::Quota;
use weir_control_plane::store::{Idempotency, Store};
use weir_control_plane::{ControlPlane, Environment, Error, Options, Planner};
use weir_model::{
    Digest, Event, Failure, FailureKind, Namespace, PlanRef, RunId, RunOutcome, Stage, StageGraph, StageId,
    StageOutput, Submission, TaskMessage, TaskMetrics, TaskOutput,
};
use weir_platform::{MemoryQueue, MemoryQueueOptions, Queue, Storage};
use weir_worker::{TaskContext, TaskFailure, TaskRunner, Worker, WorkerOptions};

use crate::kit::{Kit, PATIENCE, eventually};
use crate::mortal::{Death, Mortal};
use crate::script::submission;

const SLOTS: u32 = 4;

/// Plans one stage with as many tasks as the submission's target partitions say.
struct OneStage;

#[async_trait]
impl Planner for OneStage {
    async fn plan(&self, _: RunId, submission: &Submission, _: &Storage) -> Result<StageGraph, Failure> {
        let stage = Stage {
            id: StageId(0),
            name: "waits".into(),
            transforms: Vec::new(),
            plan: PlanRef {
                digest: Digest::of(b""),
                bytes: 0,
            },
            partitions: submission.settings.target_partitions,
            scan_bytes: Vec::new(),
            inputs: Vec::new(),
            output: StageOutput::Discard,
        };
        Ok(StageGraph {
            stages: vec![stage],
            build: "test".into(),
        })
    }
}

/// Waits, and remembers who ran.
struct Waits {
    /// How long tasks take; without it, until they are told to stop.
    time: Mutex<HashMap<Namespace, Option<Duration>>>,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    /// The namespaces of the tasks that were begun, in order.
    begun: Vec<Namespace>,
    running: HashMap<Namespace, usize>,
    most: HashMap<Namespace, usize>,
}

#[async_trait]
impl TaskRunner for Waits {
    async fn run(&self, message: &TaskMessage, context: &TaskContext) -> Result<TaskOutput, TaskFailure> {
        let namespace = message.namespace.clone();
        {
            let mut seen = self.seen.lock().unwrap();
            seen.begun.push(namespace.clone());
            let running = seen.running.entry(namespace.clone()).or_default();
            *running += 1;
            let running = *running;
            let most = seen.most.entry(namespace.clone()).or_default();
            *most = running.max(*most);
        }
        let time = self.time.lock().unwrap().get(&namespace).copied();
        let cancelled = match time.unwrap_or(Some(Duration::from_millis(5))) {
            Some(time) => {
                tokio::time::sleep(time).await;
                false
            }
            None => {
                context.cancel.cancelled().await;
                true
            }
        };
        *self.seen.lock().unwrap().running.entry(namespace).or_default() -= 1;
        match cancelled {
            false => Ok(TaskOutput::default()),
            true => Err(TaskFailure {
                failure: Failure::new(FailureKind::Cancelled, "cancelled", "told to stop"),
                metrics: TaskMetrics::default(),
            }),
        }
    }
}

struct Service {
    kit: Kit,
    runner: Arc<Waits>,
    tasks: Arc<MemoryQueue>,
    reports: Arc<MemoryQueue>,
    _worker: JoinHandle<()>,
    _stop: tokio_util::sync::DropGuard,
}

impl Service {
    async fn new() -> Self {
        let kit = Kit::new().await;
        let queue = || Arc::new(MemoryQueue::new(MemoryQueueOptions::default()));
        let (tasks, reports) = (queue(), queue());
        let runner = Arc::new(Waits {
            time: Mutex::default(),
            seen: Mutex::default(),
        });
        let options = WorkerOptions {
            slots: SLOTS as usize,
            task_threads: 0,
            visibility_ms: 30_000,
            heartbeat_ms: 20,
            drain_ms: 0,
            stop_ms: 200,
            ..WorkerOptions::default()
        };
        let environment = weir_worker::Environment {
            tasks: tasks.clone(),
            reports: reports.clone(),
            storage: kit.storage.clone(),
            runner: runner.clone(),
        };
        let stop = CancellationToken::new();
        let running = Worker::new(options, environment).run(stop.clone());
        Self {
            kit,
            runner,
            tasks,
            reports,
            _worker: tokio::spawn(async move { running.await.unwrap() }),
            _stop: stop.drop_guard(),
        }
    }

    fn server(&self, options: Options) -> ControlPlane {
        self.server_over(self.kit.store.clone(), options)
    }

    fn server_over(&self, store: Arc<dyn Store>, options: Options) -> ControlPlane {
        let environment = Environment {
            store,
            tasks: self.tasks.clone() as Arc<dyn Queue>,
            reports: self.reports.clone() as Arc<dyn Queue>,
            storage: self.kit.storage.clone(),
            planner: Arc::new(OneStage),
        };
        ControlPlane::start(options, environment)
    }

    fn takes(&self, namespace: &Namespace, time: Option<Duration>) {
        self.runner.time.lock().unwrap().insert(namespace.clone(), time);
    }

    /// Tasks that were begun of a namespace.
    fn begun(&self, namespace: &Namespace) -> usize {
        let seen = self.runner.seen.lock().unwrap();
        seen.begun.iter().filter(|begun| *begun == namespace).count()
    }

    fn most(&self, namespace: &Namespace) -> usize {
        self.runner
            .seen
            .lock()
            .unwrap()
            .most
            .get(namespace)
            .copied()
            .unwrap_or(0)
    }

    async fn outcome(&self, run: RunId) -> RunOutcome {
        eventually("the run is over", async || {
            let row = self.kit.store.run_get(run).await.unwrap().unwrap();
            row.summary.outcome
        })
        .await
    }

    /// How often each task was dispatched.
    async fn dispatches(&self, run: RunId) -> HashMap<u32, u32> {
        let mut count = HashMap::new();
        for record in self.kit.events(run).await {
            if let Event::TaskDispatched { task, .. } = record.event {
                *count.entry(task.index).or_default() += 1;
            }
        }
        count
    }
}

fn options() -> Options {
    Options {
        lease_ms: 1_000,
        grace_ms: 1_000,
        snapshot_ms: 1,
        slots: Some(SLOTS),
        // The queue is in this process.
        send_ahead_ms: 10,
        send_ahead_alone: Some(0),
        ..Options::service()
    }
}

fn namespace(name: &str) -> Namespace {
    name.parse().unwrap()
}

fn job(namespace: &Namespace, tasks: u32) -> Submission {
    let mut submission = Submission {
        namespace: namespace.clone(),
        ..submission()
    };
    submission.settings.target_partitions = tasks;
    submission.settings.speculation.enabled = false;
    submission
}

#[tokio::test]
async fn one_namespace_alone_uses_every_slot() {
    let service = Service::new().await;
    let server = service.server(options());
    let alone = namespace("alone");
    let run = server.submit(job(&alone, 40)).await.unwrap();
    assert_eq!(service.outcome(run).await, RunOutcome::Succeeded);
    assert_eq!(service.most(&alone), SLOTS as usize);
    assert_eq!(service.begun(&alone), 40);
}

#[tokio::test]
async fn a_small_run_does_not_wait_for_the_flood_of_another_namespace() {
    let service = Service::new().await;
    let server = service.server(options());
    let (flood, small) = (namespace("flood"), namespace("small"));
    let flooding = server.submit(job(&flood, 5_000)).await.unwrap();
    eventually("the flood is under way", async || {
        (service.begun(&flood) > 20).then_some(())
    })
    .await;
    let run = server.submit(job(&small, 8)).await.unwrap();
    assert_eq!(service.outcome(run).await, RunOutcome::Succeeded);
    // From its first task on, it had half of the slots.
    let seen = service.runner.seen.lock().unwrap().begun.clone();
    let first = seen.iter().position(|of| *of == small).unwrap();
    let last = seen.iter().rposition(|of| *of == small).unwrap();
    let of_flood = seen[first..last].iter().filter(|of| **of == flood).count();
    assert!(
        of_flood <= 20,
        "{of_flood} tasks of the flood between 8 of the small run"
    );
    server.cancel(flooding, "test").await.unwrap();
    assert_eq!(service.outcome(flooding).await, RunOutcome::Cancelled);
}

#[tokio::test]
async fn slots_are_shared_by_weight() {
    let service = Service::new().await;
    let (light, heavy) = (namespace("light"), namespace("heavy"));
    let quota = Quota {
        weight: 3,
        ..Quota::default()
    };
    // What is sent ahead waits in the queue, which has weights of its own; and how much that is goes by the machine.
    let server = service.server(Options {
        send_ahead_ms: 0,
        ..options()
    });
    server.set_quota(&heavy, Some(&quota)).await.unwrap();
    for of in [&light, &heavy] {
        service.takes(of, Some(Duration::from_millis(10)));
        server.submit(job(of, 1_000)).await.unwrap();
    }
    eventually("both are well under way", async || {
        (service.begun(&heavy) > 700).then_some(())
    })
    .await;
    let seen = service.runner.seen.lock().unwrap().begun.clone();
    let first = seen.iter().position(|of| *of == heavy).unwrap();
    let of_heavy = seen[first + 100..first + 700].iter().filter(|of| **of == heavy).count();
    assert!(
        (400..=500).contains(&of_heavy),
        "{of_heavy} of 600 with three quarters of the weight"
    );
}

#[tokio::test]
async fn slots_that_are_kept_are_free_for_their_namespace() {
    let service = Service::new().await;
    let (flood, kept) = (namespace("flood"), namespace("kept"));
    let quota = Quota {
        min_share: 1,
        ..Quota::default()
    };
    let server = service.server(options());
    server.set_quota(&kept, Some(&quota)).await.unwrap();
    // Its tasks never end.
    service.takes(&flood, None);
    let flooding = server.submit(job(&flood, 100)).await.unwrap();
    eventually("the flood is under way", async || {
        (service.begun(&flood) == 3).then_some(())
    })
    .await;
    for _ in 0..3 {
        let run = server.submit(job(&kept, 3)).await.unwrap();
        assert_eq!(service.outcome(run).await, RunOutcome::Succeeded);
    }
    assert_eq!((service.most(&flood), service.most(&kept)), (3, 1));
    server.cancel(flooding, "test").await.unwrap();
    assert_eq!(service.outcome(flooding).await, RunOutcome::Cancelled);
}

#[tokio::test]
async fn a_namespace_has_no_more_tasks_at_once_than_it_may_and_what_waits_is_not_lost() {
    let service = Service::new().await;
    let limited = namespace("limited");
    let quota = Quota {
        max_tasks: Some(1),
        ..Quota::default()
    };
    let server = service.server(options());
    server.set_quota(&limited, Some(&quota)).await.unwrap();
    service.takes(&limited, Some(Duration::from_millis(2_000)));
    let mut runs = Vec::new();
    for _ in 0..2 {
        // Any message that nobody takes is missed before the turn of the last one comes.
        let mut job = job(&limited, 2);
        job.settings.attempt_timeout_ms = 5_000;
        runs.push(server.submit(job).await.unwrap());
    }
    for run in runs {
        assert_eq!(service.outcome(run).await, RunOutcome::Succeeded);
        assert_eq!(service.dispatches(run).await, HashMap::from([(0, 1), (1, 1)]));
    }
    assert_eq!(service.most(&limited), 1);
}

#[tokio::test]
async fn what_one_server_has_sent_counts_for_another_before_a_worker_begins_with_it() {
    let service = Service::new().await;
    let (limited, busy) = (namespace("limited"), namespace("busy"));
    let quota = Quota {
        max_tasks: Some(2),
        ..Quota::default()
    };
    let of_second = Mortal::new(service.kit.store.clone(), Death::After, i64::MAX);
    let (first, second) = (
        service.server(options()),
        service.server_over(of_second.clone(), options()),
    );
    first.set_quota(&limited, Some(&quota)).await.unwrap();
    service.takes(&busy, None);
    service.takes(&limited, Some(Duration::from_millis(300)));
    let blocking = second.submit(job(&busy, SLOTS)).await.unwrap();
    eventually("no slot is free", async || {
        (service.begun(&busy) == SLOTS as usize).then_some(())
    })
    .await;
    let sent = first.submit(job(&limited, 2)).await.unwrap();
    eventually("the store knows what was sent", async || {
        let row = service.kit.store.run_get(sent).await.unwrap().unwrap();
        assert_eq!(row.summary.tasks_running, 0);
        (row.summary.tasks_sent == 2).then_some(())
    })
    .await;
    // Servers know of each other's tasks as they were a moment ago. One of the lists may be for the metrics; when the
    // second of the others begins, what the first one is for is done.
    of_second.workers.knocked_again(3).await;
    let waiting = second.submit(job(&limited, 2)).await.unwrap();
    eventually("its tasks wait", async || {
        let row = service.kit.store.run_get(waiting).await.unwrap().unwrap();
        (row.summary.tasks_waiting == 2).then_some(())
    })
    .await;
    second.cancel(blocking, "ada").await.unwrap();
    for run in [sent, waiting] {
        assert_eq!(service.outcome(run).await, RunOutcome::Succeeded);
    }
    assert_eq!(service.most(&limited), 2);
}

#[tokio::test]
async fn what_waits_when_its_server_dies_is_sent_by_the_next_one() {
    let service = Service::new().await;
    let limited = namespace("limited");
    let quota = Quota {
        max_tasks: Some(2),
        ..Quota::default()
    };
    let first = service.server(options());
    first.set_quota(&limited, Some(&quota)).await.unwrap();
    service.takes(&limited, Some(Duration::from_millis(20)));
    let run = first.submit(job(&limited, 60)).await.unwrap();
    eventually("some are done", async || (service.begun(&limited) > 10).then_some(())).await;
    drop(first);
    let _second = service.server(options());
    assert_eq!(service.outcome(run).await, RunOutcome::Succeeded);
    let dispatches = service.dispatches(run).await;
    assert_eq!(dispatches.len(), 60);
    assert!(
        dispatches.values().all(|count| *count == 1),
        "none was missed: {dispatches:?}"
    );
}

#[tokio::test]
async fn several_servers_share_the_slots() {
    let service = Service::new().await;
    let (one, other) = (namespace("one"), namespace("other"));
    let (first, second) = (service.server(options()), service.server(options()));
    for of in [&one, &other] {
        service.takes(of, Some(Duration::from_millis(10)));
    }
    first.submit(job(&one, 2_000)).await.unwrap();
    eventually("the first is under way", async || {
        (service.begun(&one) > 50).then_some(())
    })
    .await;
    second.submit(job(&other, 2_000)).await.unwrap();
    eventually("the second is under way", async || {
        (service.begun(&other) > 350).then_some(())
    })
    .await;
    let seen = service.runner.seen.lock().unwrap().begun.clone();
    let begin = seen.iter().position(|of| *of == other).unwrap();
    let of_other = seen[begin + 100..begin + 400].iter().filter(|of| **of == other).count();
    assert!(
        (110..=190).contains(&of_other),
        "{of_other} of 300 with half of the weight"
    );
}

fn exceeded(result: Result<RunId, Error>) -> &'static str {
    match result {
        Err(Error::QuotaExceeded { quota, .. }) => quota,
        other => panic!("a quota is used up: {other:?}"),
    }
}

#[tokio::test]
async fn runs_beyond_a_quota_wait_and_then_are_refused() {
    let service = Service::new().await;
    let (limited, other) = (namespace("limited"), namespace("other"));
    let quota = Quota {
        max_runs: Some(2),
        max_queued_runs: Some(3),
        ..Quota::default()
    };
    let server = service.server(options());
    server.set_quota(&limited, Some(&quota)).await.unwrap();
    service.takes(&limited, None);
    let mut runs = Vec::new();
    for _ in 0..5 {
        runs.push(server.submit(job(&limited, 1)).await.unwrap());
    }
    assert_eq!(exceeded(server.submit(job(&limited, 1)).await), "max_queued_runs");
    let usage = server.namespace_usage(&limited).await.unwrap();
    assert_eq!((usage.runs, usage.queued_runs), (2, 3));
    let free = server.submit(job(&other, 1)).await.unwrap();
    assert_eq!(
        service.outcome(free).await,
        RunOutcome::Succeeded,
        "others are not kept waiting"
    );
    for run in &runs[2..] {
        assert!(server.watch_driven(*run).is_none(), "it waits");
    }
    service.takes(&limited, Some(Duration::ZERO));
    for run in &runs[..2] {
        server.cancel(*run, "test").await.unwrap();
    }
    for run in &runs[2..] {
        assert_eq!(service.outcome(*run).await, RunOutcome::Succeeded);
    }
}

#[tokio::test]
async fn the_queued_runs_of_one_namespace_do_not_hide_those_of_another() {
    let service = Service::new().await;
    let (flood, small) = (namespace("flood"), namespace("small"));
    let options = Options {
        max_runs: 2,
        ..options()
    };
    let server = service.server(options);
    service.takes(&flood, None);
    let mut runs = Vec::new();
    for _ in 0..60 {
        runs.push(server.submit(job(&flood, 1)).await.unwrap());
    }
    let run = server.submit(job(&small, 1)).await.unwrap();
    assert!(server.watch_driven(run).is_none(), "there is no room");
    // The next room is for whoever has least.
    let driven = runs.iter().find(|run| server.watch_driven(**run).is_some()).unwrap();
    server.cancel(*driven, "test").await.unwrap();
    assert_eq!(service.outcome(run).await, RunOutcome::Succeeded);
    let left = server.namespace_usage(&flood).await.unwrap();
    assert!(left.queued_runs >= 57, "{left:?}");
}

#[tokio::test]
async fn submissions_beyond_a_rate_are_refused_and_asking_again_is_none() {
    let service = Service::new().await;
    let limited = namespace("limited");
    let quota = Quota {
        submissions_per_minute: Some(1),
        submission_burst: 2,
        ..Quota::default()
    };
    let (first, second) = (service.server(options()), service.server(options()));
    first.set_quota(&limited, Some(&quota)).await.unwrap();
    let request = Idempotency {
        key: "k".into(),
        digest: Digest::of(b"k"),
    };
    let made = first.submit_once(job(&limited, 1), Some(&request)).await.unwrap();
    // Another server knows of the quota within moments, and of what was submitted here.
    let waiting = async {
        loop {
            second.submit(job(&limited, 1)).await?;
        }
    };
    let refused: Result<RunId, Error> = tokio::time::timeout(PATIENCE, waiting).await.unwrap();
    assert_eq!(exceeded(refused), "submissions_per_minute");
    let again = second.submit_once(job(&limited, 1), Some(&request)).await.unwrap();
    assert_eq!((again.run, again.replayed), (made.run, true));
    second.set_quota(&limited, None).await.unwrap();
    second.submit(job(&limited, 1)).await.unwrap();
}

#[tokio::test]
async fn results_that_are_kept_count_against_the_storage() {
    let kit = Kit::with(|_| crate::script::To::Submitter, |_| crate::script::Plan::Graph).await;
    let process = kit.process();
    let run = process.control_plane.submit(submission()).await.unwrap();
    process.finished(run).await;
    let default = Namespace::default();
    let kept = eventually("the run is cleaned up", async || {
        let usage = process.control_plane.namespace_usage(&default).await.unwrap();
        (usage.kept_bytes > 0).then_some(usage.kept_bytes)
    })
    .await;
    let set = async |max_storage_bytes| {
        let quota = Quota {
            max_storage_bytes: Some(max_storage_bytes),
            ..Quota::default()
        };
        process.control_plane.set_quota(&default, Some(&quota)).await.unwrap();
    };
    set(kept).await;
    assert_eq!(
        exceeded(process.control_plane.submit(submission()).await),
        "max_storage_bytes"
    );
    set(kept + 1).await;
    process.control_plane.submit(submission()).await.unwrap();
}
