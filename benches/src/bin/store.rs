//! How many transitions of tasks a second one Postgres keeps, each conditional on the lease of its run.
//!
//! `cargo run --release -p weir-benches --bin store -- [--runs 256] [--stores 2] [--writers 2] [--events 1]
//! [--seconds 10] [--database-url postgres://...]`
//!
//! Every run has an actor that does what a driver does: it appends events (one task after another is dispatched,
//! started and accepted, with what a task of a stage with 16 partitions reports), waits until they are in the database,
//! and goes on. The runs are spread over `--stores` connected as so many control planes are. `--events` is how many
//! transitions one append has. Without a URL, a PostgreSQL of its own is started, which waits for the disk at every
//! commit. In the end all logs are checked: every answered append is there, once.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use weir_benches::argument;
use weir_control_plane::store::{Created, Lease, PostgresOptions, PostgresStore, Store};
use weir_model::{
    Event, EventRecord, ExecutionId, Job, OperatorMetrics, PartitionSpan, RunSettings, ShuffleObject, StageId,
    Submission, TaskId, TaskMetrics, TaskOutput, WorkerId,
};
use weir_platform::clock;
use weir_testkit::Postgres;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const LEASE: Duration = Duration::from_secs(3_600);
/// Not measured: caches fill, and plans are made.
const WARM_UP: Duration = Duration::from_secs(2);
/// What a production server of this size is set to, besides what it comes with; nothing that a commit may lose by.
const SETTINGS: [&str; 4] = [
    "shared_buffers=1GB",
    "max_wal_size=8GB",
    "checkpoint_timeout=15min",
    "wal_compression=on",
];

fn submission() -> Submission {
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
        settings: RunSettings::default(),
    }
}

/// What a task of a stage with 16 partitions reports: about two kilobytes.
fn output() -> Box<TaskOutput> {
    let partition = |partition: u32| PartitionSpan {
        partition,
        offset: u64::from(partition) * 1_048_576,
        length: 1_048_576,
        rows: 65_536,
    };
    let operator = |depth: u32| OperatorMetrics {
        name: "AggregateExec".into(),
        depth,
        rows: 1_048_576,
        bytes: 16_777_216,
        cpu_us: 250_000,
        ..Default::default()
    };
    let metrics = TaskMetrics {
        rows_in: 4_194_304,
        rows_out: 1_048_576,
        elapsed_us: 1_500_000,
        operators: (0..6).map(operator).collect(),
        ..Default::default()
    };
    let shuffle = Some(ShuffleObject {
        key: "runs/01k0000000000000000000000/shuffle/0/00000/01k0000000000000000000000.arrow".into(),
        index: (0..16).map(partition).collect(),
    });
    Box::new(TaskOutput {
        shuffle,
        files: Vec::new(),
        metrics,
    })
}

/// The events of one task after another.
struct Log {
    lease: Lease,
    seq: u64,
    execution: ExecutionId,
    worker: WorkerId,
    output: Box<TaskOutput>,
}

impl Log {
    fn next(&mut self) -> EventRecord {
        let seq = self.seq + 1;
        let task = TaskId {
            stage: StageId(0),
            index: u32::try_from(seq / 3).unwrap_or(u32::MAX),
        };
        let (stage_attempt, attempt) = (0, 0);
        let (execution, worker) = (self.execution, self.worker);
        let event = match seq % 3 {
            0 => Event::TaskDispatched {
                task,
                stage_attempt,
                attempt,
                not_before: None,
                speculative: false,
            },
            1 => Event::AttemptStarted {
                task,
                attempt,
                execution,
                worker,
            },
            _ => Event::TaskAccepted {
                task,
                stage_attempt,
                attempt,
                execution,
                worker,
                output: self.output.clone(),
            },
        };
        self.seq = seq;
        EventRecord {
            run: self.lease.run,
            seq,
            at: clock::now(),
            event,
        }
    }
}

async fn create(store: &PostgresStore) -> Result<Log> {
    let (run, submission) = (clock::new_run_id(), submission());
    let event = Event::Submitted {
        submission: Box::new(submission.clone()),
    };
    let first = EventRecord {
        run,
        seq: 1,
        at: clock::now(),
        event,
    };
    match store
        .run_create(run, &submission, &[first], "bench", LEASE, None)
        .await?
    {
        Created::Existing { .. } => Err("the run exists".into()),
        Created::Lease(lease) => Ok(Log {
            lease,
            seq: 1,
            execution: clock::new_execution_id(),
            worker: clock::new_worker_id(),
            output: output(),
        }),
    }
}

/// Appends for as long as it may; gives the log, and how long each append took that was measured.
async fn drive(store: PostgresStore, mut log: Log, events: u64, stage: Arc<AtomicU8>) -> Result<(Log, Vec<Duration>)> {
    let mut times = Vec::new();
    loop {
        let at = stage.load(Ordering::Relaxed);
        if at == DONE {
            return Ok((log, times));
        }
        let records: Vec<_> = (0..events).map(|_| log.next()).collect();
        let begun = Instant::now();
        store.run_append(&log.lease, &records, None, None).await?;
        if at == MEASURED && stage.load(Ordering::Relaxed) == MEASURED {
            times.push(begun.elapsed());
        }
    }
}

/// The stages of the measurement.
const WARMING: u8 = 0;
const MEASURED: u8 = 1;
const DONE: u8 = 2;

#[tokio::main]
async fn main() -> Result<()> {
    let runs: usize = argument("--runs", 256)?;
    let (store_count, writers): (usize, u32) = (argument("--stores", 2)?, argument("--writers", 2)?);
    let (events, seconds): (u64, u64) = (argument("--events", 1)?, argument("--seconds", 10)?);
    let url: String = argument("--database-url", String::new())?;
    let own = match url.is_empty() {
        true => Some(Postgres::start_with(&SETTINGS).await),
        false => None,
    };
    let url = match &own {
        Some(postgres) => postgres.database().await,
        None => url,
    };
    let mut stores = Vec::new();
    for _ in 0..store_count.max(1) {
        let options = PostgresOptions {
            writers,
            ..PostgresOptions::new(&url)
        };
        stores.push(PostgresStore::connect(&options).await?);
    }
    stores[0].migrate().await?;

    let stage = Arc::new(AtomicU8::new(WARMING));
    let mut driving = JoinSet::new();
    for store in stores.iter().cycle().take(runs.max(1)) {
        let log = create(store).await?;
        driving.spawn(drive(store.clone(), log, events.max(1), stage.clone()));
    }
    tokio::time::sleep(WARM_UP).await;
    stage.store(MEASURED, Ordering::Relaxed);
    let begun = Instant::now();
    tokio::time::sleep(Duration::from_secs(seconds.max(1))).await;
    stage.store(DONE, Ordering::Relaxed);
    let measured = begun.elapsed().as_secs_f64();

    let mut times = Vec::new();
    for driven in driving.join_all().await {
        let (log, of_run) = driven?;
        let row = stores[0].run_get(log.lease.run).await?.ok_or("a run is gone")?;
        if row.last_seq != log.seq {
            return Err(format!("the log ends at {}, not at {}", row.last_seq, log.seq).into());
        }
        times.extend(of_run);
    }
    times.sort();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    let appends = times.len() as f64;
    println!(
        "{runs} runs, {} stores with {writers} writers, {events} transitions an append",
        stores.len()
    );
    println!(
        "{:.0} transitions/s in {:.0} appends/s",
        appends * events as f64 / measured,
        appends / measured
    );
    println!(
        "an append takes p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms",
        at(0.5),
        at(0.99),
        at(1.0)
    );
    Ok(())
}
