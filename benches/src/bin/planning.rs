//! What planning costs where it is done in processes apart: small SQL jobs through `weir dev` over HTTP, beside the same
//! jobs planned in this process.
//!
//! `cargo build --release --workspace --bin weir --bin planning && target/release/planning [--weir PATH] [--jobs 100]
//! [--pause-ms 200] [--at-once 8]`
//!
//! Prints the time of planning by the service's own clock (`durations.planning_ms`) for jobs that come one after the
//! other with a pause between them, for such that come as fast as the one before ends, and for several at once; the time
//! from the request to the end of such a run; and the time that planning takes in a process that has planned before.

use std::error::Error;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::try_join_all;
use serde_json::{Value, json};
use weir_benches::argument;
use weir_engine::{Engine, EngineOptions};
use weir_model::{Job, RunId, RunSettings, Submission, Timestamp};
use weir_platform::{Storage, aws};
use weir_sandbox::{Sandbox, SandboxOptions};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Two stages: groups, and what becomes of them.
const STATEMENT: &str = "SELECT value % 7 AS k, count(*) AS n, sum(value) AS s FROM generate_series(1, 1000) GROUP BY 1 \
                         HAVING count(*) > 1 ORDER BY n DESC";

/// A service for development, which ends with this.
struct Service {
    process: Child,
    endpoint: String,
    client: reqwest::Client,
}

impl Service {
    fn start(weir: &Path, folder: &Path) -> Result<Self> {
        let mut process = Command::new(weir)
            .args(["dev", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(folder)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("start {}: {error}; name the program by --weir", weir.display()))?;
        let mut lines = BufReader::new(process.stderr.take().ok_or("it has no standard error")?).lines();
        let endpoint = loop {
            let line = lines.next().ok_or("the service ended before it listened")??;
            if let Some(endpoint) = line.strip_prefix("listening on ") {
                break endpoint.to_owned();
            }
        };
        // Whatever it says later has to go somewhere.
        std::thread::spawn(move || lines.for_each(drop));
        Ok(Self {
            process,
            endpoint,
            client: reqwest::Client::new(),
        })
    }

    /// Runs a job to its end; gives the time of planning, and the time from the request to the end.
    async fn run(&self) -> Result<(Duration, Duration)> {
        let begun = Instant::now();
        let url = format!("{}/api/v1/runs", self.endpoint);
        let body = json!({"name": "small", "sql": {"statement": STATEMENT}});
        let answer = self.client.post(&url).json(&body).send().await?.error_for_status()?;
        let mut run: Value = answer.json().await?;
        let url = format!("{url}/{}", run["id"].as_str().ok_or("a run has an id")?);
        while run["state"] != "finished" {
            let answer = self.client.get(&url).query(&[("wait", "30")]).send().await?;
            run = answer.error_for_status()?.json().await?;
        }
        let took = begun.elapsed();
        match (&run["result"], run["durations"]["planning_ms"].as_u64()) {
            (result, Some(planning)) if result == "succeeded" => Ok((Duration::from_millis(planning), took)),
            _ => Err(format!("it did not succeed: {}", run["reason"]).into()),
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The times of planning the same job in this process, after it has been planned once.
async fn in_process(folder: &Path, jobs: usize) -> Result<Vec<Duration>> {
    let storage = Storage::open(&folder.join("storage").display().to_string())?;
    let options = EngineOptions {
        memory_bytes: 1 << 30,
        spill_dir: folder.join("spill"),
        local_files: true,
        templates: Default::default(),
    };
    let engine = Engine::new(
        options,
        storage.clone(),
        Arc::new(Sandbox::new(SandboxOptions::default())?),
    )?;
    let submission = Submission {
        namespace: Default::default(),
        name: "small".into(),
        job: Job::Sql {
            statement: STATEMENT.into(),
            setup: Vec::new(),
            tables: Vec::new(),
        },
        modules: Default::default(),
        base: folder.display().to_string(),
        settings: RunSettings::default(),
        metadata: Default::default(),
    };
    let mut times = Vec::new();
    for _ in 0..=jobs {
        let begun = Instant::now();
        engine
            .plan(RunId::from_parts(Timestamp(0), 0), &submission, &storage)
            .await?;
        times.push(begun.elapsed());
    }
    println!(
        "{:34} {:8.1} ms",
        "the first of a process",
        times[0].as_secs_f64() * 1e3
    );
    Ok(times.split_off(1))
}

fn show(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    let (p50, p90, p99) = (at(0.5), at(0.9), at(0.99));
    println!("{what:34} p50 {p50:8.1} ms   p90 {p90:8.1} ms   p99 {p99:8.1} ms");
}

#[tokio::main]
async fn main() -> Result<()> {
    aws::install_crypto();
    let beside = std::env::current_exe()?.with_file_name("weir");
    let weir: PathBuf = argument("--weir", beside)?;
    let jobs: usize = argument("--jobs", 100)?;
    let pause = Duration::from_millis(argument("--pause-ms", 200)?);
    let at_once: usize = argument("--at-once", 8)?;
    let folder = tempfile::tempdir()?;
    let service = Service::start(&weir, folder.path())?;
    service.run().await?;

    for (what, pause) in [("with a pause", pause), ("without", Duration::ZERO)] {
        let (mut planning, mut ends) = (Vec::new(), Vec::new());
        for _ in 0..jobs {
            tokio::time::sleep(pause).await;
            let (planned, ended) = service.run().await?;
            planning.push(planned);
            ends.push(ended);
        }
        show(&format!("{what}: planning"), planning);
        show(&format!("{what}: request to end"), ends);
    }
    let (mut planning, mut ends) = (Vec::new(), Vec::new());
    for _ in 0..jobs.div_ceil(at_once.max(1)) {
        for (planned, ended) in try_join_all((0..at_once.max(1)).map(|_| service.run())).await? {
            planning.push(planned);
            ends.push(ended);
        }
    }
    show(&format!("{at_once} at once: planning"), planning);
    show(&format!("{at_once} at once: request to end"), ends);
    drop(service);
    show("in one process", in_process(folder.path(), jobs).await?);
    Ok(())
}
