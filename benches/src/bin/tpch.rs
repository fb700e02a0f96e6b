//! TPC-H through Weir, as `weir sql` runs it (control plane over SQLite, queues in the process, one worker with a slot
//! per core, stages that exchange rows through files), against plain DataFusion in the same process.
//!
//! `cargo run --release -p weir-benches --bin tpch -- [--sf 1] [--query N] [--rounds 3] [--verify] [--stages]`
//!
//! Generates the data when it is not there. Prints for each query the best of `--rounds` times of both, taken by turns,
//! and their ratio; then the ratios' geometric mean. `--verify` compares the rows instead, at 1, 4 and 16 target
//! partitions, and fails when they differ. `--stages` also prints where the time of each stage went.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use async_trait::async_trait;
use datafusion::prelude::{ParquetReadOptions, SessionConfig, SessionContext};
use futures::TryStreamExt;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use weir_benches::{argument, data_folder, flag};
use weir_control_plane::store::{Durability, SqliteStore};
use weir_control_plane::{ControlPlane, Planner};
use weir_engine::{Engine, EngineOptions};
use weir_model::{
    CoalesceSettings, Failure, Job, RunId, RunSettings, RunSnapshot, StageGraph, Submission, TableRef, TaskMetrics,
};
use weir_platform::{MemoryQueue, Storage};
use weir_sandbox::{Sandbox, SandboxOptions};
use weir_worker::{Worker, WorkerOptions};

#[path = "../../../engine/tests/tpch/mod.rs"]
mod tpch;

use tpch::{QUERIES, TABLES};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Files of each large table, per unit of the scale factor and at least.
const PARTS: i32 = 4;
/// Memory of the worker's tasks.
const MEMORY_BYTES: usize = 8 << 30;

struct EnginePlanner(Engine);

#[async_trait]
impl Planner for EnginePlanner {
    async fn plan(
        &self,
        run: RunId,
        submission: &Submission,
        storage: &Storage,
    ) -> std::result::Result<StageGraph, Failure> {
        self.0
            .plan(run, submission, storage)
            .await
            .map_err(|error| error.to_failure())
    }
}

/// The embedded service.
struct Weir {
    control_plane: ControlPlane,
    engine: Engine,
    stop: CancellationToken,
    worker: JoinHandle<std::io::Result<()>>,
    tables: Vec<TableRef>,
    cores: u32,
    _folder: TempDir,
}

impl Weir {
    async fn start(data: &Path, cores: u32) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let storage = Storage::open(&folder.path().join("storage").display().to_string())?;
        let sandbox = Arc::new(Sandbox::new(SandboxOptions::default())?);
        let options = EngineOptions {
            memory_bytes: MEMORY_BYTES,
            spill_dir: folder.path().join("spill"),
            local_files: true,
            templates: Default::default(),
        };
        let engine = Engine::new(options, storage.clone(), sandbox)?;
        let store = Arc::new(SqliteStore::open(&folder.path().join("weir.db"), Durability::default()).await?);
        let (tasks, reports) = (
            Arc::new(MemoryQueue::new(Default::default())),
            Arc::new(MemoryQueue::new(Default::default())),
        );
        let environment = weir_worker::Environment {
            tasks: tasks.clone(),
            reports: reports.clone(),
            storage: storage.clone(),
            runner: Arc::new(engine.clone()),
        };
        let slots = cores as usize;
        let options = WorkerOptions {
            slots,
            task_threads: slots,
            ..Default::default()
        };
        let stop = CancellationToken::new();
        let worker = tokio::spawn(Worker::new(options, environment).run(stop.clone()));
        let planner = Arc::new(EnginePlanner(engine.clone()));
        let environment = weir_control_plane::Environment {
            store,
            tasks,
            reports,
            storage,
            planner,
        };
        let control_plane = ControlPlane::start(Default::default(), environment);
        let tables = TABLES
            .map(|table| TableRef {
                name: table.to_owned(),
                path: path(data, table),
            })
            .to_vec();
        Ok(Self {
            control_plane,
            engine,
            stop,
            worker,
            tables,
            cores,
            _folder: folder,
        })
    }

    /// Runs a query to its end and reads its rows.
    async fn run(&self, query: &str, target_partitions: u32) -> Result<(RunId, Arc<RunSnapshot>, Vec<RecordBatch>)> {
        let submission = Submission {
            namespace: Default::default(),
            name: "tpch".to_owned(),
            job: Job::Sql {
                statement: query.to_owned(),
                setup: vec![],
                tables: self.tables.clone(),
            },
            modules: Default::default(),
            base: "/".to_owned(),
            metadata: Default::default(),
            settings: RunSettings {
                target_partitions,
                coalesce: CoalesceSettings {
                    parallelism: self.cores,
                    ..Default::default()
                },
                ..Default::default()
            },
        };
        let run = self.control_plane.submit(submission).await?;
        let mut snapshots = self.control_plane.watch(run).await?;
        let last = Arc::clone(&*snapshots.wait_for(|snapshot| snapshot.outcome.is_some()).await?);
        if let Some(reason) = &last.reason {
            return Err(reason.message.clone().into());
        }
        let result = self.control_plane.result(run).await?.ok_or("the run has a result")?;
        let rows = self
            .engine
            .read_result(&Default::default(), run, &result.graph, result.objects, 0)
            .await?;
        Ok((run, last, rows.try_collect().await?))
    }

    /// Prints the times of a run's stages and what their tasks did, summed.
    async fn print_stages(&self, run: RunId, snapshot: &RunSnapshot) -> Result<()> {
        let planning = snapshot.planned_at.map_or(0, |at| at.ms_since(snapshot.created_at));
        println!("     planning {planning} ms");
        let events = self.control_plane.run_events(run, 0, 10_000).await?;
        for stage in &snapshot.stages {
            let (Some(started), Some(finished)) = (stage.started_at, stage.finished_at) else {
                continue;
            };
            println!(
                "     stage {}: {} ms, {} tasks, {} rows in, {} out, {} KiB in, {} out: {}",
                stage.id,
                finished.ms_since(started),
                stage.tasks,
                stage.rows_in,
                stage.rows_out,
                stage.bytes_in / 1024,
                stage.bytes_out / 1024,
                stage.name
            );
            let tasks: Vec<&TaskMetrics> = events
                .iter()
                .filter_map(|record| match &record.event {
                    weir_model::Event::TaskAccepted { task, output, .. } if task.stage == stage.id => {
                        Some(&output.metrics)
                    }
                    _ => None,
                })
                .collect();
            let times: Vec<_> = tasks.iter().map(|task| task.elapsed_us / 1000).collect();
            println!("        tasks {times:?} ms");
            let Some(first) = tasks.first() else { continue };
            for (index, operator) in first.operators.iter().enumerate() {
                let of = |f: fn(&weir_model::OperatorMetrics) -> u64| {
                    tasks
                        .iter()
                        .filter_map(|task| task.operators.get(index))
                        .map(f)
                        .sum::<u64>()
                };
                println!(
                    "        {}{} rows={} cpu={:.1} ms",
                    "  ".repeat(operator.depth as usize),
                    operator.name,
                    of(|o| o.rows),
                    of(|o| o.cpu_us) as f64 / 1000.0
                );
            }
        }
        Ok(())
    }

    async fn stop(self) -> Result<()> {
        self.control_plane.shutdown().await;
        self.stop.cancel();
        Ok(self.worker.await??)
    }
}

fn path(data: &Path, table: &str) -> String {
    data.join(table).display().to_string()
}

/// DataFusion as it comes, with as many partitions as cores.
async fn plain(data: &Path, cores: u32) -> Result<SessionContext> {
    let config = SessionConfig::new().with_target_partitions(cores as usize);
    let context = SessionContext::new_with_config(config);
    for table in TABLES {
        context
            .register_parquet(table, path(data, table), ParquetReadOptions::default())
            .await?;
    }
    Ok(context)
}

/// Rows as text, to compare them.
fn rows(batches: &[RecordBatch]) -> Result<Vec<String>> {
    let options = FormatOptions::default();
    let mut rows = Vec::new();
    for batch in batches {
        let columns = batch
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column.as_ref(), &options));
        let columns = columns.collect::<std::result::Result<Vec<_>, _>>()?;
        rows.extend((0..batch.num_rows()).map(|row| {
            let cells: Vec<_> = columns.iter().map(|column| column.value(row).to_string()).collect();
            cells.join("|")
        }));
    }
    Ok(rows)
}

fn data(scale: f64) -> Result<PathBuf> {
    let folder = data_folder(&format!("tpch-sf{scale}"))?;
    let done = folder.join("complete");
    if !done.exists() {
        eprintln!("generating TPC-H data of scale {scale} in {}", folder.display());
        tpch::generate(&folder, scale, PARTS.max((f64::from(PARTS) * scale) as i32).min(32))?;
        std::fs::write(done, "")?;
    }
    Ok(folder)
}

async fn verify(weir: &Weir, plain: &SessionContext, queries: &[usize]) -> Result<()> {
    let mut wrong = 0;
    for &number in queries {
        let query = QUERIES[number - 1];
        let expected = rows(&plain.sql(query).await?.collect().await?)?;
        for partitions in [1, 4, 16] {
            let (_, _, result) = weir.run(query, partitions).await?;
            let same = rows(&result)? == expected;
            wrong += usize::from(!same);
            let verdict = if same { "the same" } else { "DIFFERENT" };
            println!(
                "q{number:02} at {partitions:2} partitions: {} rows, {verdict}",
                expected.len()
            );
        }
    }
    match wrong {
        0 => Ok(()),
        wrong => Err(format!("{wrong} results differ").into()),
    }
}

async fn measure(weir: &Weir, plain: &SessionContext, queries: &[usize]) -> Result<()> {
    let rounds: u32 = argument("--rounds", 3)?;
    let mut ratios = Vec::new();
    println!("query  datafusion ms    weir ms   ratio  stages");
    for &number in queries {
        let query = QUERIES[number - 1];
        let (mut best_plain, mut best_weir) = (Duration::MAX, Duration::MAX);
        let mut last = None;
        for _ in 0..rounds.max(1) {
            let start = Instant::now();
            plain.sql(query).await?.collect().await?;
            best_plain = best_plain.min(start.elapsed());
            let start = Instant::now();
            let (run, snapshot, _) = weir.run(query, weir.cores).await?;
            best_weir = best_weir.min(start.elapsed());
            last = Some((run, snapshot));
        }
        let ratio = best_weir.as_secs_f64() / best_plain.as_secs_f64();
        ratios.push(ratio);
        let (run, snapshot) = last.ok_or("there is a round")?;
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        println!(
            "q{number:02}   {:13.1} {:10.1} {ratio:7.2} {:7}",
            ms(best_plain),
            ms(best_weir),
            snapshot.stages.len()
        );
        if flag("--stages") {
            weir.print_stages(run, &snapshot).await?;
        }
    }
    let mean = (ratios.iter().map(|ratio| ratio.ln()).sum::<f64>() / ratios.len() as f64).exp();
    println!("geometric mean of {} ratios: {mean:.2}", ratios.len());
    Ok(())
}

#[tokio::main]
async fn main() -> Result<()> {
    let scale: f64 = argument("--sf", 1.0)?;
    let only: usize = argument("--query", 0)?;
    let queries: Vec<usize> = (1..=QUERIES.len())
        .filter(|number| only == 0 || *number == only)
        .collect();
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u32);
    let data = data(scale)?;
    let plain = plain(&data, cores).await?;
    let weir = Weir::start(&data, cores).await?;
    let result = match flag("--verify") {
        true => verify(&weir, &plain, &queries).await,
        false => measure(&weir, &plain, &queries).await,
    };
    weir.stop().await?;
    result
}
