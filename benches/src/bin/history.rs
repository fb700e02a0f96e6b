//! How long it takes to write the history of a run with very many tasks, and to open its page from storage alone.
//!
//! `cargo run --release -p weir-benches --bin history -- [--tasks 100000] [--opens 20] [--s3 | --keep FOLDER]`
//!
//! A log is made as a run of two stages leaves it: nine tenths of the tasks write 16 shuffle partitions each, one tenth
//! reads them; every hundredth task failed once. The log is in an SQLite file. The history goes to a folder, or with
//! `--s3` to a real S3 server on this machine. Opening is what the page of a run asks for first: the run, its stages with
//! quantiles and operators, its findings, and the first thousand tasks, from a server over an empty database which has
//! never seen the run. Every opening has a server of its own, so that nothing is in its caches; the operating system's
//! are warm. With `--keep` the storage stays in the folder, for `weir history` and the browser's measurements.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use axum::body::{Body, Bytes};
use axum::http::Request;
use tower::ServiceExt as _;
use weir_benches::{Random, argument, flag};
use weir_control_plane::history::{self, Ended};
use weir_control_plane::http::resources::{ModuleFunction, SqlCheck, SqlCheckRequest};
use weir_control_plane::http::{
    self, Api, CheckError, FileBytes, InspectError, ModuleInspector, RowReader, Rows, RowsError, SqlChecker,
};
use weir_control_plane::store::{Created, Durability, RunSummary, SqliteStore};
use weir_control_plane::{ControlPlane, Environment, Options, Planner, RunResult};
use weir_model::machine::{RunState, apply};
use weir_model::{
    Digest, Event, EventRecord, Exchange, Failure, FailureKind, Job, Namespace, OperatorMetrics, PartitionSpan,
    PlanRef, RunId, RunOutcome, RunSettings, ShuffleObject, SinkInfo, Stage, StageGraph, StageId, StageInput,
    StageOutput, Submission, TaskId, TaskMetrics, TaskOutput, Timestamp, layout,
};
use weir_platform::{MemoryQueue, Storage, StorageOptions, clock};
use weir_testkit::Aws;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const PARTITIONS: u32 = 16;
/// Events that are appended at once.
const BATCH: usize = 5_000;

fn submission() -> Submission {
    Submission {
        namespace: Default::default(),
        name: "large".into(),
        job: Job::Sql {
            statement: "SELECT 1".into(),
            setup: Vec::new(),
            tables: Vec::new(),
        },
        modules: Default::default(),
        base: "/".into(),
        metadata: Default::default(),
        settings: RunSettings::default(),
    }
}

fn graph(maps: u32, reduces: u32) -> StageGraph {
    let stage = |id: u32, name: &str, partitions, inputs, output| Stage {
        id: StageId(id),
        name: name.into(),
        transforms: vec![name.into()],
        plan: PlanRef {
            digest: Digest::of(name.as_bytes()),
            bytes: 1,
        },
        partitions,
        scan_bytes: Vec::new(),
        inputs,
        output,
    };
    let input = StageInput {
        stage: StageId(0),
        exchange: Exchange::All,
    };
    StageGraph {
        stages: vec![
            stage(
                0,
                "Read",
                maps,
                Vec::new(),
                StageOutput::Shuffle { partitions: PARTITIONS },
            ),
            stage(1, "Sum", reduces, vec![input], StageOutput::Discard),
        ],
        build: "bench".into(),
    }
}

/// The events of a run, one after another.
struct Log {
    run: RunId,
    seq: u64,
    random: Random,
    workers: Vec<weir_model::WorkerId>,
    execution: weir_model::ExecutionId,
}

impl Log {
    fn record(&mut self, event: Event) -> EventRecord {
        self.seq += 1;
        EventRecord {
            run: self.run,
            seq: self.seq,
            at: Timestamp(1_800_000_000_000 + self.seq * 3),
            event,
        }
    }

    fn task(&mut self, stage: u32, index: u32) -> Vec<EventRecord> {
        let task = TaskId {
            stage: StageId(stage),
            index,
        };
        let (execution, stage_attempt) = (self.execution, 0);
        let worker = self.workers[(self.random.bits() % self.workers.len() as u64) as usize];
        let failed = u32::from(index % 100 == 99);
        let mut events = Vec::new();
        for attempt in 0..=failed {
            events.push(self.record(Event::TaskDispatched {
                task,
                stage_attempt,
                attempt,
                not_before: None,
                speculative: false,
            }));
            events.push(self.record(Event::AttemptStarted {
                task,
                attempt,
                execution,
                worker,
            }));
            let event = match attempt < failed {
                true => Event::AttemptFailed {
                    task,
                    attempt,
                    execution: Some(execution),
                    failure: Failure::new(FailureKind::Platform, "storage_failed", "the storage did not answer"),
                    metrics: Box::default(),
                },
                false => Event::TaskAccepted {
                    task,
                    stage_attempt,
                    attempt,
                    execution,
                    worker,
                    output: self.output(stage),
                },
            };
            events.push(self.record(event));
        }
        events
    }

    fn output(&mut self, stage: u32) -> Box<TaskOutput> {
        let rows = 10_000 + self.random.bits() % 1_000_000;
        let bytes = rows * 64;
        let partition = |partition: u32| PartitionSpan {
            partition,
            offset: u64::from(partition) * bytes / 16,
            length: bytes / 16,
            rows: rows / 16,
        };
        let operator = |depth: u32| OperatorMetrics {
            id: depth,
            name: ["ShuffleWriteExec", "AggregateExec", "FilterExec", "DataSourceExec"][depth as usize].into(),
            depth,
            rows,
            bytes,
            cpu_us: rows / 4,
            ..Default::default()
        };
        let metrics = TaskMetrics {
            rows_in: rows * 2,
            rows_out: rows,
            bytes_in: bytes * 2,
            bytes_out: bytes,
            peak_memory_bytes: bytes,
            elapsed_us: 200_000 + rows,
            operators: (0..4).map(operator).collect(),
            ..Default::default()
        };
        let key = format!("runs/{}/shuffle/0/{}-{}", self.run, self.seq, self.execution);
        let index = (0..PARTITIONS).map(partition).collect();
        Box::new(TaskOutput {
            shuffle: (stage == 0).then_some(ShuffleObject { key, index }),
            files: Vec::new(),
            metrics,
        })
    }
}

/// Puts the log of a finished run into the store; gives its end.
async fn make_log(store: &SqliteStore, tasks: u32) -> Result<(Ended, u64)> {
    use weir_control_plane::store::Store as _;
    let run = clock::new_run_id();
    let mut log = Log {
        run,
        seq: 0,
        random: Random::new(7),
        workers: (0..100).map(|_| clock::new_worker_id()).collect(),
        execution: clock::new_execution_id(),
    };
    let (maps, reduces) = (tasks - tasks / 10, tasks / 10);
    let graph = graph(maps, reduces);
    let first = log.record(Event::Submitted {
        submission: Box::new(submission()),
    });
    let mut state = RunState::new(run);
    apply(&mut state, &first);
    let ttl = Duration::from_secs(3_600);
    let created = store
        .run_create(run, &submission(), &[first], "bench", ttl, None)
        .await?;
    let Created::Lease(lease) = created else {
        return Err("the run exists".into());
    };
    let mut waiting = vec![log.record(Event::Planned {
        graph: Box::new(graph.clone()),
    })];
    for (stage, of_stage) in [(0, maps), (1, reduces)] {
        waiting.push(log.record(Event::StageStarted {
            stage: StageId(stage),
            tasks: (0..of_stage).map(|index| index..index + 1).collect(),
        }));
        for index in 0..of_stage {
            waiting.extend(log.task(stage, index));
            if waiting.len() >= BATCH {
                waiting.iter().for_each(|record| apply(&mut state, record));
                store.run_append(&lease, &waiting, None, None).await?;
                waiting.clear();
            }
        }
        waiting.push(log.record(Event::StageCompleted {
            stage: StageId(stage),
            stage_attempt: 0,
        }));
    }
    waiting.push(log.record(Event::Finished {
        outcome: RunOutcome::Succeeded,
        reason: None,
    }));
    waiting.iter().for_each(|record| apply(&mut state, record));
    let snapshot = state.snapshot();
    store
        .run_append(&lease, &waiting, Some(&RunSummary::of(&snapshot)), None)
        .await?;
    let ended = Ended::of(&state).ok_or("the log begins with a submission")?;
    Ok((ended, log.seq))
}

struct Nothing;

#[async_trait]
impl Planner for Nothing {
    async fn plan(&self, _: RunId, _: &Submission, _: &Storage) -> std::result::Result<StageGraph, Failure> {
        Err(Failure::new(
            FailureKind::User,
            "read_only",
            "nothing is submitted here",
        ))
    }
}

#[async_trait]
impl ModuleInspector for Nothing {
    async fn inspect(&self, _: Bytes) -> std::result::Result<Vec<ModuleFunction>, InspectError> {
        Ok(Vec::new())
    }
}

fn not_asked() -> RowsError {
    RowsError::Refused {
        message: "rows are not measured".to_owned(),
    }
}

#[async_trait]
impl RowReader for Nothing {
    async fn result(
        &self,
        _: &Namespace,
        _: RunId,
        _: RunResult,
        _: u64,
    ) -> std::result::Result<Box<dyn Rows>, RowsError> {
        Err(not_asked())
    }

    async fn output(&self, _: &SinkInfo, _: &str, _: u64) -> std::result::Result<Box<dyn Rows>, RowsError> {
        Err(not_asked())
    }

    async fn file(&self, _: &SinkInfo, _: &str) -> std::result::Result<FileBytes, RowsError> {
        Err(not_asked())
    }
}

#[async_trait]
impl SqlChecker for Nothing {
    async fn check(
        &self,
        _: &Namespace,
        _: SqlCheckRequest,
        _: String,
        _: &RunSettings,
    ) -> std::result::Result<SqlCheck, CheckError> {
        Ok(SqlCheck::default())
    }
}

/// A server over an empty database and the storage.
struct Server {
    router: axum::Router,
}

impl Server {
    fn new(control_plane: &ControlPlane, storage: &Storage) -> Result<Self> {
        let options = http::Options {
            open: true,
            read_only: true,
            ..Default::default()
        };
        let environment = http::Environment {
            control_plane: control_plane.clone(),
            storage: storage.clone(),
            inspector: Arc::new(Nothing),
            rows: Arc::new(Nothing),
            sql: Arc::new(Nothing),
            templates: Default::default(),
            checks: Vec::new(),
            metrics: Arc::new(String::new),
        };
        let api = Api::new(options, environment)?;
        Ok(Self {
            router: http::router(api),
        })
    }

    /// The answer to a request, all of it; says how many bytes it has.
    async fn get(&self, path: &str) -> Result<usize> {
        let request = Request::builder().uri(format!("/api/v1{path}")).body(Body::empty())?;
        let answer = self.router.clone().oneshot(request).await?;
        let status = answer.status();
        let body = axum::body::to_bytes(answer.into_body(), usize::MAX).await?;
        if !status.is_success() {
            return Err(format!("{path}: {status}: {}", String::from_utf8_lossy(&body)).into());
        }
        Ok(body.len())
    }

    /// As a browser does: the run first, then the rest at once.
    async fn open(&self, run: RunId) -> Result<()> {
        self.get(&format!("/runs/{run}")).await?;
        let paths = ["stages", "findings", "tasks?limit=1000"].map(|page| format!("/runs/{run}/{page}"));
        let [stages, findings, tasks] = &paths;
        tokio::try_join!(self.get(stages), self.get(findings), self.get(tasks))?;
        Ok(())
    }
}

/// A number of `/proc/self/status`, in MiB.
fn memory(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .unwrap_or_default();
    let kib = line
        .trim_start_matches(':')
        .trim()
        .trim_end_matches(" kB")
        .parse::<u64>();
    kib.unwrap_or(0) / 1024
}

fn show(name: &str, mut times: Vec<Duration>) {
    times.sort();
    let ms = |at: usize| times[at].as_secs_f64() * 1e3;
    let last = times.len() - 1;
    println!(
        "{name:<44} median {:>7.1} ms   slowest {:>7.1} ms",
        ms(last / 2),
        ms(last)
    );
}

#[tokio::main]
async fn main() -> Result<()> {
    let tasks: u32 = argument("--tasks", 100_000)?;
    let opens: usize = argument("--opens", 20)?;
    let kept: String = argument("--keep", String::new())?;
    let folder = tempfile::tempdir()?;
    let aws = match flag("--s3") {
        true => Some(Aws::start().await),
        false => None,
    };
    let storage = match &aws {
        Some(aws) => {
            let options = StorageOptions {
                path_style: true,
                aws: Some(aws.sdk_config()),
            };
            Storage::open_with(&format!("s3://{}/weir", aws.bucket().await), options)?
        }
        None if kept.is_empty() => Storage::open(&folder.path().join("storage").to_string_lossy())?,
        None => Storage::open(&kept)?,
    };
    let store = SqliteStore::open(&folder.path().join("runs.db"), Durability::Process).await?;
    let (ended, events) = make_log(&store, tasks).await?;
    let run = ended.snapshot.run;
    println!("{tasks} tasks, {events} events");

    let before = memory("VmRSS");
    // The peak so far was that of making the log.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    let begun = Instant::now();
    history::write(&store, &storage, ended).await?;
    println!(
        "written in {:.2} s; memory {} MiB, at most {} MiB while it was written",
        begun.elapsed().as_secs_f64(),
        before,
        memory("VmHWM")
    );
    sizes(&storage).await?;

    let empty = SqliteStore::open(&folder.path().join("empty.db"), Durability::Process).await?;
    let environment = Environment {
        store: Arc::new(empty),
        tasks: Arc::new(MemoryQueue::new(Default::default())),
        reports: Arc::new(MemoryQueue::new(Default::default())),
        storage: storage.clone(),
        planner: Arc::new(Nothing),
    };
    let control_plane = ControlPlane::start(Options::default(), environment);
    let mut times = Vec::new();
    for _ in 0..opens.max(1) {
        let server = Server::new(&control_plane, &storage)?;
        let begun = Instant::now();
        server.open(run).await?;
        times.push(begun.elapsed());
    }
    show("open: run, stages, findings, 1,000 tasks", times);
    for (name, path) in [
        ("the list of runs", "/runs".to_owned()),
        (
            "1,000 tasks, by time, the longest first",
            format!("/runs/{run}/tasks?sort=-elapsed_us"),
        ),
        (
            "the last 250 tasks",
            format!("/runs/{run}/tasks?limit=250&offset={}", tasks - 250),
        ),
        (
            "the last 250 tasks by time, the longest first",
            format!("/runs/{run}/tasks?limit=250&sort=-elapsed_us&offset={}", tasks - 250),
        ),
        (
            "tasks of a stage above a percentile",
            format!("/runs/{run}/tasks?stage=0&metric=elapsed_us&min=1200000&limit=1000"),
        ),
        ("one task with its attempts", format!("/runs/{run}/tasks/0/50099")),
        ("5,000 attempts", format!("/runs/{run}/attempts?limit=5000&after=50000")),
        ("1,000 events", format!("/runs/{run}/events?limit=1000&after=150000")),
        ("the export", format!("/runs/{run}/export")),
    ] {
        let mut times = Vec::new();
        let mut bytes = 0;
        for _ in 0..opens.max(1) {
            let server = Server::new(&control_plane, &storage)?;
            let begun = Instant::now();
            bytes = server.get(&path).await?;
            times.push(begun.elapsed());
        }
        show(&format!("{name} ({} KiB)", bytes / 1024), times);
    }
    println!("memory {} MiB at the end", memory("VmRSS"));
    control_plane.shutdown().await;
    Ok(())
}

/// Shows how many objects there are of each kind, and how large they are.
async fn sizes(storage: &Storage) -> Result<()> {
    let keys = storage
        .list_older(layout::HISTORY, Timestamp(u64::MAX), 1_000_000)
        .await?;
    for kind in ["index", "summary", "attempts", "events", "logs"] {
        let of_kind = keys.iter().filter(|key| key.split('/').any(|part| part == kind));
        let (mut objects, mut bytes) = (0, 0);
        for key in of_kind {
            objects += 1;
            bytes += storage.get(key).await?.len();
        }
        println!("{kind:<10} {objects:>5} objects {:>10.1} KiB", bytes as f64 / 1024.0);
    }
    Ok(())
}
