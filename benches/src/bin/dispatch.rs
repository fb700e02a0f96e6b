//! What a task costs before it does anything, in embedded mode: the control plane over an SQLite file, queues in the
//! process, one worker with a slot per core, and tasks that return at once.
//!
//! `cargo run --release -p weir-benches --bin dispatch -- [--tasks 20000] [--runs 200] [--power]
//! [--ungated]`
//!
//! Prints the time from the call of `submit` to the first task's start in the worker (planning takes no time here),
//! the time to the end of such a run as its submitter sees it, and the rate at which the tasks of one large run go
//! through. With `--power` every commit waits for the disk. With `--ungated` all tasks are
//! sent at once, whether or not there are slots for them.

use std::collections::HashMap;
use std::error::Error;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;
use weir_benches::{argument, flag};
use weir_control_plane::store::{Durability, SqliteStore};
use weir_control_plane::{ControlPlane, Environment, Options, Planner};
use weir_model::{
    Digest, Failure, Job, PlanRef, RunId, RunSettings, Stage, StageGraph, StageId, StageOutput, Submission,
    TaskMessage, TaskOutput,
};
use weir_platform::{MemoryQueue, MemoryQueueOptions, Storage};
use weir_worker::{TaskContext, TaskFailure, TaskRunner, Worker, WorkerOptions};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Plans one stage with as many tasks as the submission's target partitions say.
struct OneStage;

#[async_trait]
impl Planner for OneStage {
    async fn plan(&self, _: RunId, submission: &Submission, _: &Storage) -> std::result::Result<StageGraph, Failure> {
        let partitions = submission.settings.target_partitions;
        let stage = Stage {
            id: StageId(0),
            name: "nothing".into(),
            transforms: Vec::new(),
            plan: PlanRef {
                digest: Digest::of(b""),
                bytes: 0,
            },
            partitions,
            scan_bytes: Vec::new(),
            inputs: Vec::new(),
            output: StageOutput::Discard,
        };
        Ok(StageGraph {
            stages: vec![stage],
            build: "bench".into(),
        })
    }
}

/// Does nothing, and remembers when each run's first task did it.
#[derive(Default)]
struct Nothing {
    started: Mutex<HashMap<RunId, Instant>>,
}

#[async_trait]
impl TaskRunner for Nothing {
    async fn run(&self, message: &TaskMessage, _: &TaskContext) -> std::result::Result<TaskOutput, TaskFailure> {
        let now = Instant::now();
        if message.task.index == 0 {
            self.started
                .lock()
                .unwrap_or_else(|e| e.into_inner())
                .entry(message.run)
                .or_insert(now);
        }
        Ok(TaskOutput::default())
    }
}

fn submission(tasks: u32) -> Submission {
    Submission {
        namespace: Default::default(),
        name: "nothing".into(),
        job: Job::Sql {
            statement: "SELECT 1".into(),
            setup: Vec::new(),
            tables: Vec::new(),
        },
        modules: Default::default(),
        base: "/".into(),
        metadata: Default::default(),
        settings: RunSettings {
            target_partitions: tasks,
            ..RunSettings::default()
        },
    }
}

/// Submits a run and waits for its end; gives the moments of submission and end.
async fn run(control_plane: &ControlPlane, tasks: u32) -> Result<(RunId, Instant, Instant)> {
    let submitted = Instant::now();
    let run = control_plane.submit(submission(tasks)).await?;
    let mut snapshots = control_plane.watch(run).await?;
    let last = snapshots.wait_for(|snapshot| snapshot.outcome.is_some()).await?.clone();
    let ended = Instant::now();
    match &last.reason {
        None => Ok((run, submitted, ended)),
        Some(reason) => Err(reason.message.clone().into()),
    }
}

fn percentiles(mut times: Vec<Duration>) -> String {
    times.sort();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    format!(
        "p50 {:.2} ms, p90 {:.2} ms, p99 {:.2} ms, max {:.2} ms",
        at(0.5),
        at(0.9),
        at(0.99),
        at(1.0)
    )
}

#[tokio::main]
async fn main() -> Result<()> {
    let tasks: u32 = argument("--tasks", 20_000)?;
    let runs: u32 = argument("--runs", 200)?;
    let durability = if flag("--power") {
        Durability::Power
    } else {
        Durability::Process
    };
    let dir = tempfile::tempdir()?;
    let store = SqliteStore::open(&dir.path().join("runs.db"), durability).await?;
    let storage = Storage::open(&dir.path().join("storage").display().to_string())?;
    let queue = || Arc::new(MemoryQueue::new(MemoryQueueOptions::default()));
    let (to_workers, to_control_plane) = (queue(), queue());
    let environment = Environment {
        store: Arc::new(store),
        tasks: to_workers.clone(),
        reports: to_control_plane.clone(),
        storage: storage.clone(),
        planner: Arc::new(OneStage),
    };
    let options = Options {
        send_ahead_alone: match flag("--ungated") {
            true => Some(u32::MAX),
            false => Options::default().send_ahead_alone,
        },
        ..Options::default()
    };
    let control_plane = ControlPlane::start(options, environment);
    let runner = Arc::new(Nothing::default());
    let environment = weir_worker::Environment {
        tasks: to_workers,
        reports: to_control_plane,
        storage,
        runner: runner.clone(),
    };
    let shutdown = CancellationToken::new();
    let worker = tokio::spawn(Worker::new(WorkerOptions::default(), environment).run(shutdown.clone()));

    for _ in 0..20 {
        run(&control_plane, 1).await?;
    }
    let (mut to_first_task, mut to_end) = (Vec::new(), Vec::new());
    for _ in 0..runs.max(1) {
        let (id, submitted, ended) = run(&control_plane, 1).await?;
        let started = runner.started.lock().unwrap_or_else(|e| e.into_inner()).remove(&id);
        to_first_task.push(started.ok_or("the task ran")?.duration_since(submitted));
        to_end.push(ended.duration_since(submitted));
    }
    println!("submit to first task   {}", percentiles(to_first_task));
    println!("submit to end of run   {}", percentiles(to_end));

    let (_, submitted, ended) = run(&control_plane, tasks).await?;
    let seconds = ended.duration_since(submitted).as_secs_f64();
    println!(
        "{tasks} tasks of one run  {seconds:.2} s, {:.0} tasks/s",
        f64::from(tasks) / seconds
    );

    control_plane.shutdown().await;
    shutdown.cancel();
    worker.await??;
    Ok(())
}
