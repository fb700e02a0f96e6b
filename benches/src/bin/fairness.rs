//! What one namespace's flood of tasks costs another's small jobs: their latency beside a flood against that on an idle
//! service.
//!
//! `cargo run --release -p weir-benches --bin fairness -- [--jobs 200] [--job-tasks 2] [--flood-tasks 10000]
//! [--slots 8] [--task-ms 100] [--fleet] [--unfair]`
//!
//! All tasks wait for `--task-ms` and do nothing else, so that what is measured is who gets slots, not who gets
//! processors. A small job is a run of one stage with `--job-tasks` tasks, from the call of `submit` to its end as its
//! submitter sees it; one is submitted after the other. First on an idle service; then beside the flood, which is another
//! namespace's run, with as many slots kept (`min_share`) as the job has tasks; then with nothing kept. With `--unfair`
//! also as it was without sharing: everything in one queue, first come, first served, which is measured once, as a job
//! then takes as long as the whole flood.
//!
//! Everything is in this process, over a SQLite file; with `--fleet` two control planes share a Postgres database and SQS
//! queues, servers of their own that the program starts, and the flood is driven by one, the small jobs by the other.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;
use weir_benches::{argument, flag};
use weir_control_plane::quotas::Quota;
use weir_control_plane::store::{Durability, PostgresOptions, PostgresStore, SqliteStore, Store};
use weir_control_plane::{ControlPlane, Environment, Options, Planner};
use weir_model::{
    Digest, Failure, Job, Namespace, PlanRef, RunId, RunSettings, Stage, StageGraph, StageId, StageOutput, Submission,
    TaskMessage, TaskOutput,
};
use weir_platform::{MemoryQueue, MemoryQueueOptions, Queue, SqsQueue, Storage};
use weir_testkit::{Aws, Postgres, QueueSpec};
use weir_worker::{TaskContext, TaskFailure, TaskRunner, Worker, WorkerOptions};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Plans one stage with as many tasks as the submission's target partitions say.
struct OneStage;

#[async_trait]
impl Planner for OneStage {
    async fn plan(&self, _: RunId, submission: &Submission, _: &Storage) -> std::result::Result<StageGraph, Failure> {
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
            build: "bench".into(),
        })
    }
}

/// Waits.
struct Waits(Duration);

#[async_trait]
impl TaskRunner for Waits {
    async fn run(&self, _: &TaskMessage, _: &TaskContext) -> std::result::Result<TaskOutput, TaskFailure> {
        tokio::time::sleep(self.0).await;
        Ok(TaskOutput::default())
    }
}

fn submission(namespace: &Namespace, tasks: u32) -> Submission {
    Submission {
        namespace: namespace.clone(),
        name: "waits".into(),
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

/// What is measured.
struct Setting {
    slots: u32,
    task: Duration,
    job_tasks: u32,
    flood_tasks: u32,
    fleet: bool,
}

/// A service with its workers, until it is dropped.
struct Service {
    flood: ControlPlane,
    small: ControlPlane,
    _stop: tokio_util::sync::DropGuard,
    _folder: tempfile::TempDir,
}

impl Service {
    async fn start(setting: &Setting, fair: bool) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let storage = Storage::open(&folder.path().join("storage").display().to_string())?;
        let (tasks, reports): (Arc<dyn Queue>, Arc<dyn Queue>) = match setting.fleet {
            true => {
                let aws = Aws::shared().await;
                let config = aws.sdk_config();
                let queue = async || SqsQueue::new(&config, aws.queue(&QueueSpec::default()).await);
                (Arc::new(queue().await), Arc::new(queue().await))
            }
            false => {
                let queue = || Arc::new(MemoryQueue::new(MemoryQueueOptions::default()));
                (queue(), queue())
            }
        };
        let mut options = match setting.fleet {
            true => Options::service(),
            false => Options {
                slots: Some(setting.slots),
                ..Options::default()
            },
        };
        if !fair {
            options.send_ahead_alone = Some(u32::MAX);
        }
        let url = match setting.fleet {
            true => Some(Postgres::shared().await.database().await),
            false => None,
        };
        let store = async || -> Result<Arc<dyn Store>> {
            let store: Arc<dyn Store> = match &url {
                Some(url) => {
                    let store = PostgresStore::connect(&PostgresOptions::new(url)).await?;
                    store.migrate().await?;
                    Arc::new(store)
                }
                None => Arc::new(SqliteStore::open(&folder.path().join("runs.db"), Durability::Process).await?),
            };
            Ok(store)
        };
        let control_plane = async || -> Result<ControlPlane> {
            let environment = Environment {
                store: store().await?,
                tasks: tasks.clone(),
                reports: reports.clone(),
                storage: storage.clone(),
                planner: Arc::new(OneStage),
            };
            Ok(ControlPlane::start(options.clone(), environment))
        };
        let flood = control_plane().await?;
        let small = match setting.fleet {
            true => control_plane().await?,
            false => flood.clone(),
        };
        let stop = CancellationToken::new();
        let workers = if setting.fleet { 2 } else { 1 };
        for _ in 0..workers {
            let options = WorkerOptions {
                slots: (setting.slots / workers) as usize,
                task_threads: 0,
                presence_ms: if setting.fleet { 1_000 } else { 0 },
                ..WorkerOptions::default()
            };
            let environment = weir_worker::Environment {
                tasks: tasks.clone(),
                reports: reports.clone(),
                storage: storage.clone(),
                runner: Arc::new(Waits(setting.task)),
            };
            tokio::spawn(Worker::new(options, environment).run(stop.clone()));
        }
        // The workers say how many slots they have.
        while setting.fleet && flood.workers(10).await?.len() < workers as usize {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(Self {
            flood,
            small,
            _stop: stop.drop_guard(),
            _folder: folder,
        })
    }

    async fn job(&self, submission: Submission) -> Result<Duration> {
        let submitted = Instant::now();
        let run = self.small.submit(submission).await?;
        let mut snapshots = self.small.watch(run).await?;
        let last = snapshots.wait_for(|snapshot| snapshot.outcome.is_some()).await?.clone();
        match &last.reason {
            None => Ok(submitted.elapsed()),
            Some(reason) => Err(reason.message.clone().into()),
        }
    }

    async fn jobs(&self, jobs: u32, namespace: &Namespace, tasks: u32) -> Result<Vec<Duration>> {
        let mut times = Vec::new();
        for n in 0..jobs {
            times.push(self.job(submission(namespace, tasks)).await?);
            // Not in step with the tasks of the flood.
            tokio::time::sleep(Duration::from_micros(u64::from(n * 7_919 % 30_000))).await;
        }
        times.sort();
        Ok(times)
    }

    /// Begins the flood, and waits until it is under way.
    async fn begin_flood(&self, namespace: &Namespace, tasks: u32) -> Result<RunId> {
        let run = self.flood.submit(submission(namespace, tasks)).await?;
        let mut snapshots = self.flood.watch(run).await?;
        let done =
            |snapshot: &Arc<weir_model::RunSnapshot>| snapshot.stages.iter().map(|stage| stage.done).sum::<u32>();
        snapshots.wait_for(|snapshot| done(snapshot) >= tasks / 100).await?;
        Ok(run)
    }

    /// Tasks of the flood that are done.
    async fn done(&self, run: RunId) -> Result<u32> {
        let snapshot = self.flood.watch(run).await?.borrow().clone();
        Ok(snapshot.stages.iter().map(|stage| stage.done).sum())
    }
}

fn at(times: &[Duration], share: f64) -> f64 {
    times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3
}

fn show(what: &str, times: &[Duration], idle: Option<&[Duration]>) {
    let ratio = |share: f64| {
        idle.map_or(String::new(), |idle| {
            format!(" ({:.2}x)", at(times, share) / at(idle, share))
        })
    };
    println!(
        "{what:<44} p50 {:.1} ms{}, p99 {:.1} ms{}, max {:.1} ms",
        at(times, 0.5),
        ratio(0.5),
        at(times, 0.99),
        ratio(0.99),
        at(times, 1.0)
    );
}

#[tokio::main]
async fn main() -> Result<()> {
    let jobs: u32 = argument("--jobs", 200)?;
    let setting = Setting {
        slots: argument("--slots", 8)?,
        task: Duration::from_millis(argument("--task-ms", 100)?),
        job_tasks: argument("--job-tasks", 2)?,
        flood_tasks: argument("--flood-tasks", 10_000)?,
        fleet: flag("--fleet"),
    };
    let (flood, small): (Namespace, Namespace) = ("flood".parse()?, "small".parse()?);
    println!(
        "{jobs} jobs of {} tasks beside {} tasks of {} ms on {} slots, {}",
        setting.job_tasks,
        setting.flood_tasks,
        setting.task.as_millis(),
        setting.slots,
        if setting.fleet { "Postgres and SQS" } else { "embedded" },
    );

    let service = Service::start(&setting, true).await?;
    service.jobs(20, &small, setting.job_tasks).await?;
    let idle = service.jobs(jobs, &small, setting.job_tasks).await?;
    show("idle", &idle, None);
    for (what, min_share) in [
        ("beside the flood, slots kept", setting.job_tasks),
        ("beside the flood, nothing kept", 0),
    ] {
        let quota = Quota {
            min_share,
            ..Quota::default()
        };
        service.small.set_quota(&small, Some(&quota)).await?;
        service.flood.quota(&small).await?;
        let run = service.begin_flood(&flood, setting.flood_tasks).await?;
        let (before, began) = (service.done(run).await?, Instant::now());
        let times = service.jobs(jobs, &small, setting.job_tasks).await?;
        let after = service.done(run).await?;
        show(what, &times, Some(&idle));
        if after >= setting.flood_tasks {
            return Err("the flood was over too soon; give it more tasks".into());
        }
        let rate = f64::from(after - before) / began.elapsed().as_secs_f64();
        println!("    meanwhile the flood had {rate:.1} tasks/s");
        service.flood.cancel(run, "bench").await?;
        while service.flood.backlog().await?.runs > 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    drop(service);

    if flag("--unfair") {
        let service = Service::start(&setting, false).await?;
        // One message group: a queue that is fair between groups has nothing to choose from.
        service.begin_flood(&flood, setting.flood_tasks).await?;
        let times = service.jobs(1, &flood, setting.job_tasks).await?;
        show("without sharing, once", &times, Some(&idle));
    }
    Ok(())
}
