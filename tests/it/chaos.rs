//! A real fleet under faults: processes are killed, messages lost, doubled and late, storage calls refused and stalled.
//! Whatever was submitted must end with the output of a run without faults, once, and with nothing else left.
//!
//! `WEIR_CHAOS_SECONDS` is how long the faults go on, `WEIR_CHAOS_SEED` which ones come first:
//!
//! ```sh
//! WEIR_CHAOS_SECONDS=600 cargo xtask test -p weir --test it -- chaos --nocapture
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::net::TcpListener;
use std::process::Child;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use aws_sdk_s3::primitives::ByteStream;
use serde_json::Value;
use tokio::runtime::Runtime;
use weir_platform::output::sweep_orphans;
use weir_platform::s3::S3;
use weir_testkit::{Aws, Call, DeadLetters, Fault, Postgres, Proxy, QueueSpec};

use crate::support::{Place, Ran, repository};

const SERVERS: usize = 2;
const WORKERS: usize = 4;
/// Texts that jobs read, each in several files.
const TEXTS: usize = 3;
const FILES: usize = 4;
/// Runs that are under way at once.
const ACTIVE: usize = 6;
/// How long the faults go on when nobody says.
const SECONDS: u64 = 30;
/// How long everything may take to end after the last fault.
const CALM: Duration = Duration::from_secs(300);

/// A generator of numbers that are the same for the same seed.
struct Numbers(u64);

impl Numbers {
    /// Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014.
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

/// What is done to a call, if anything: a few of a hundred calls of each kind.
fn fault(call: &Call, seed: u64) -> Fault {
    let mut numbers = Numbers(seed ^ call.number.wrapping_mul(0x2545_f491_4f6c_dd1d));
    let dice = numbers.below(100);
    let pause = Duration::from_millis(200 + numbers.below(2_500));
    match call.operation.as_deref() {
        Some("SendMessageBatch" | "SendMessage") => match dice {
            0..=7 => Fault::Twice,
            8..=13 => Fault::Delay(pause),
            14..=16 => Fault::LoseAnswer,
            _ => Fault::None,
        },
        Some("ReceiveMessage") => match dice {
            0..=3 => Fault::LoseMessage,
            4..=6 => Fault::Twice,
            _ => Fault::None,
        },
        Some(_) => match dice {
            0..=2 => Fault::LoseAnswer,
            _ => Fault::None,
        },
        // S3.
        None => match dice {
            0..=1 => Fault::Refuse(axum::http::StatusCode::SERVICE_UNAVAILABLE),
            2..=3 => Fault::Delay(pause),
            4 => Fault::LoseAnswer,
            _ => Fault::None,
        },
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Server { port: u16 },
    Worker,
}

struct Member {
    role: Role,
    child: Option<Child>,
    /// When it comes back.
    back_at: Instant,
}

/// The processes.
struct Fleet<'a> {
    place: &'a Place,
    environment: Vec<(String, String)>,
    members: Vec<Member>,
    starts: usize,
}

impl Fleet<'_> {
    fn start(&mut self, at: usize) {
        let member = &mut self.members[at];
        let log = self.place.write(&format!("logs/{at:02}-{:04}.log", self.starts), "");
        self.starts += 1;
        let mut command = match member.role {
            Role::Server { port } => {
                let address = format!("127.0.0.1:{port}");
                self.place.command(["server", "--migrate", "--listen", &address])
            }
            Role::Worker => self
                .place
                .command(["worker", "--slots", "2", "--visibility-ms", "5000"]),
        };
        let log = File::options().append(true).open(log).expect("the log was just made");
        command
            .envs(self.environment.iter().cloned())
            .env("WEIR_DATA_DIR", self.place.path(&format!("data-{at}")))
            .stdout(log.try_clone().expect("a file can be shared"))
            .stderr(log);
        member.child = Some(command.spawn().expect("the command starts"));
    }

    fn kill(&mut self, at: usize, back_at: Instant) {
        let member = &mut self.members[at];
        if let Some(mut child) = member.child.take() {
            child.kill().expect("the process is ours");
            child.wait().expect("the process is ours");
        }
        member.back_at = back_at;
    }

    /// Starts those whose time has come, and those that ended by themselves.
    fn revive(&mut self) {
        for at in 0..self.members.len() {
            let member = &mut self.members[at];
            if let Some(child) = &mut member.child
                && let Some(status) = child.try_wait().expect("the process is ours")
            {
                // A server that cannot reach the storage when it starts may say so and end.
                eprintln!("member {at} ended by itself: {status}");
                member.child = None;
                member.back_at = Instant::now() + Duration::from_millis(500);
            }
            if member.child.is_none() && Instant::now() >= member.back_at {
                self.start(at);
            }
        }
    }

    /// Runs a command of the client against one server.
    fn client(&self, server: usize, args: &[&str]) -> Ran {
        let Role::Server { port } = self.members[server % SERVERS].role else {
            unreachable!("servers come first");
        };
        let mut command = self.place.command(args);
        command.env("WEIR_ENDPOINT", format!("http://127.0.0.1:{port}"));
        Ran::from(command.output().expect("the command starts"))
    }

    /// As [`client`](Self::client), of any server that answers, for a while.
    fn patient(&self, args: &[&str]) -> Ran {
        let until = Instant::now() + Duration::from_secs(120);
        for server in 0.. {
            let ran = self.client(server, args);
            if ran.code == Some(0) {
                return ran;
            }
            assert!(Instant::now() < until, "no server answers {args:?}: {}", ran.stderr);
            sleep(Duration::from_millis(200));
        }
        unreachable!("the loop ends by a return or an assertion")
    }

    /// The last lines of every log, for a test that fails.
    fn logs(&self) -> String {
        let mut text = String::new();
        for (name, log) in self.place.files("logs/") {
            let lines: Vec<_> = log.lines().collect();
            let tail = lines[lines.len().saturating_sub(15)..].join("\n");
            if !tail.is_empty() {
                text.push_str(&format!("--- {name}\n{tail}\n"));
            }
        }
        text
    }
}

impl Drop for Fleet<'_> {
    fn drop(&mut self) {
        for at in 0..self.members.len() {
            self.kill(at, Instant::now());
        }
        if std::thread::panicking() {
            eprintln!("{}", self.logs());
        }
    }
}

/// A submitted job.
struct Job {
    key: String,
    text: usize,
    kind: usize,
    run: Option<String>,
}

/// The pipelines; `{{input}}` and `{{output}}` are URLs or paths.
const PIPELINES: [&str; 2] = [include_str!("../../examples/wordcount/pipeline.yaml"), LINES];

/// Several stages: two outputs from one input, one of them joined with itself.
const LINES: &str = r#"
pipeline:
  transforms:
    - type: ReadFromText
      name: Read
      config: {path: "{{ input }}"}
    - type: MapToFields
      name: Lengths
      input: Read
      config:
        language: sql
        fields: {line: line, chars: "CAST(character_length(line) AS BIGINT)"}
    - type: Combine
      name: ByLength
      input: Lengths
      config:
        group_by: chars
        combine: {lines: {value: line, fn: count}}
    - type: Join
      name: Joined
      input: {a: Lengths, b: ByLength}
      config: {equalities: chars, type: inner, fields: {a: [line, chars], b: [lines]}}
    - type: WriteToJson
      name: Write
      input: Joined
      config: {path: "{{ output }}"}
"#;

fn text(numbers: &mut Numbers) -> String {
    const WORDS: [&str; 12] = [
        "weir", "water", "low", "stone", "The", "of", "a", "river", "gate", "miller", "eel", "and",
    ];
    let mut text = String::new();
    for line in 0..4_000 {
        for _ in 0..4 + numbers.below(6) {
            text.push_str(WORDS[numbers.below(WORDS.len() as u64) as usize]);
            text.push(if numbers.below(20) == 0 { '-' } else { ' ' });
        }
        text.push_str(&format!("{}\n", (line * 7) % 13));
    }
    text
}

fn sorted(text: &str) -> Vec<String> {
    // Every file of CSV has the header.
    let mut lines: Vec<_> = text
        .lines()
        .filter(|line| *line != "word,count")
        .map(str::to_owned)
        .collect();
    lines.sort();
    lines
}

/// What was seen, for the report at the end.
#[derive(Default)]
struct Seen {
    kills: usize,
    accepted: usize,
    failed: usize,
    takeovers: usize,
}

struct World {
    runtime: Runtime,
    aws: &'static Aws,
    proxy: Proxy,
    faults: Arc<AtomicBool>,
    bucket: String,
    expected: BTreeMap<(usize, usize), Vec<String>>,
}

impl World {
    fn s3(&self) -> aws_sdk_s3::Client {
        let config = aws_sdk_s3::config::Builder::from(&self.aws.sdk_config())
            .force_path_style(true)
            .build();
        aws_sdk_s3::Client::from_conf(config)
    }

    fn new(place: &Place, seed: u64) -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let faults = Arc::new(AtomicBool::new(true));
        let (aws, proxy, bucket) = runtime.block_on(async {
            let aws = Aws::shared().await;
            let on = faults.clone();
            let policy = move |call: &Call| match on.load(Ordering::Relaxed) {
                true => fault(call, seed),
                false => Fault::None,
            };
            let proxy = Proxy::start(&aws.endpoint(), Arc::new(policy)).await;
            (aws, proxy, aws.bucket().await)
        });
        let mut world = Self {
            runtime,
            aws,
            proxy,
            faults,
            bucket,
            expected: BTreeMap::new(),
        };
        world.write_inputs(place, &mut Numbers(seed));
        world.run_without_faults(place);
        world
    }

    fn write_inputs(&self, place: &Place, numbers: &mut Numbers) {
        let s3 = self.s3();
        for index in 0..TEXTS {
            for file in 0..FILES {
                let name = format!("in/{index}/{file}.txt");
                let text = text(numbers);
                place.write(&name, &text);
                let put = s3
                    .put_object()
                    .bucket(&self.bucket)
                    .key(&name)
                    .body(ByteStream::from(text.into_bytes()));
                self.runtime.block_on(put.send()).expect("the input can be written");
            }
        }
        place.write(
            "pipelines/tokenizer.wasm",
            std::fs::read(repository().join("examples/wordcount/tokenizer.wasm")).expect("the component is there"),
        );
        for (kind, pipeline) in PIPELINES.iter().enumerate() {
            place.write(&format!("pipelines/{kind}.yaml"), pipeline);
        }
    }

    fn run_without_faults(&mut self, place: &Place) {
        for kind in 0..PIPELINES.len() {
            for text in 0..TEXTS {
                let output = format!("expected-{kind}-{text}/rows");
                place.ok([
                    "run",
                    &format!("pipelines/{kind}.yaml"),
                    "--param",
                    &format!("input=in/{text}/*.txt"),
                    "--param",
                    &format!("output={output}"),
                    "--preview",
                    "0",
                ]);
                let files = place.files(&output);
                let all: String = files.into_iter().map(|(_, text)| text).collect();
                assert!(!all.is_empty());
                self.expected.insert((kind, text), sorted(&all));
            }
        }
    }

    fn fleet<'a>(&self, place: &'a Place) -> Fleet<'a> {
        let (database, tasks, reports, dead) = self.runtime.block_on(async {
            let database = Postgres::shared().await.database().await;
            let dead = self.aws.queue(&QueueSpec::default()).await;
            let spec = QueueSpec {
                visibility: Some(Duration::from_secs(5)),
                dead_letters: Some(DeadLetters {
                    queue: dead.clone(),
                    max_receives: 50,
                }),
            };
            let tasks = self.aws.queue(&spec).await;
            (database, tasks, self.aws.queue(&QueueSpec::default()).await, dead)
        });
        let mut environment = self.aws.environment();
        environment.retain(|(name, _)| !name.starts_with("AWS_ENDPOINT_URL"));
        // Queue URLs name the server itself; calls go to the endpoint that is configured.
        let more = [
            ("AWS_ENDPOINT_URL", self.proxy.endpoint()),
            ("WEIR_DATABASE_URL", database),
            ("WEIR_TASK_QUEUE", tasks),
            ("WEIR_REPORT_QUEUE", reports),
            ("WEIR_DEAD_LETTER_QUEUE", dead),
            ("WEIR_STORAGE", format!("s3://{}/weir", self.bucket)),
            ("WEIR_S3_PATH_STYLE", "true".to_owned()),
            ("WEIR_LEASE_MS", "2000".to_owned()),
            ("WEIR_HOUSEKEEPING_MS", "2000".to_owned()),
        ];
        environment.extend(more.map(|(name, value)| (name.to_owned(), value)));
        let servers = (0..SERVERS).map(|_| {
            let free = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
            let port = free.local_addr().expect("it is bound").port();
            Role::Server { port }
        });
        let members = servers.chain((0..WORKERS).map(|_| Role::Worker)).map(|role| Member {
            role,
            child: None,
            back_at: Instant::now(),
        });
        Fleet {
            place,
            environment,
            members: members.collect(),
            starts: 0,
        }
    }

    /// Submits a job; its run is known once a server has answered.
    fn submit(&self, fleet: &Fleet<'_>, job: &mut Job, server: usize) {
        let output = format!("output=s3://{}/out/{}/rows", self.bucket, job.key);
        let input = format!("input=s3://{}/in/{}/*.txt", self.bucket, job.text);
        let ran = fleet.client(
            server,
            &[
                "submit",
                &format!("pipelines/{}.yaml", job.kind),
                "--param",
                &input,
                "--param",
                &output,
                "--idempotency-key",
                &job.key,
                "--base",
                &format!("s3://{}/none", self.bucket),
                "--set",
                "attempt_timeout_ms=6000",
                "--set",
                "retry.max_attempts=50",
                "--set",
                "retry.max_stage_attempts=50",
            ],
        );
        match ran.code {
            Some(0) => job.run = Some(ran.stdout.trim().to_owned()),
            // A server that is being killed, or starts.
            _ => eprintln!(
                "{} is not submitted yet: {}",
                job.key,
                ran.stderr.lines().next().unwrap_or_default()
            ),
        }
    }

    /// Everything below a prefix, with its contents when asked for.
    fn objects(&self, prefix: &str) -> Vec<String> {
        let s3 = self.s3();
        let mut pages = s3
            .list_objects_v2()
            .bucket(&self.bucket)
            .prefix(prefix)
            .into_paginator()
            .send();
        let mut keys = Vec::new();
        self.runtime.block_on(async {
            while let Some(page) = pages.next().await {
                let page = page.expect("the bucket can be listed");
                keys.extend(
                    page.contents()
                        .iter()
                        .filter_map(|object| object.key().map(str::to_owned)),
                );
            }
        });
        keys
    }

    fn open_uploads(&self) -> Vec<String> {
        let uploads = self
            .runtime
            .block_on(self.s3().list_multipart_uploads().bucket(&self.bucket).send());
        let uploads = uploads.expect("uploads can be listed");
        uploads
            .uploads()
            .iter()
            .filter_map(|upload| upload.key().map(str::to_owned))
            .collect()
    }

    /// Aborts uploads of which no run knows; says how many there were.
    fn sweep(&self) -> usize {
        let s3 = S3::new(self.aws.sdk_config(), true);
        let url = format!("s3://{}/out", self.bucket);
        let sweep = sweep_orphans(&s3, &url, Duration::ZERO, async |_| false);
        let swept = self.runtime.block_on(sweep).expect("the bucket can be swept");
        assert_eq!(swept.stagings, 0, "runs that are over have nothing staged");
        swept.uploads as usize
    }

    fn read(&self, key: &str) -> String {
        let get = self.s3().get_object().bucket(&self.bucket).key(key);
        let bytes = self.runtime.block_on(async {
            let object = get.send().await.expect("the object is there");
            object
                .body
                .collect()
                .await
                .expect("the object can be read")
                .into_bytes()
        });
        String::from_utf8(bytes.to_vec()).expect("the output is text")
    }

    /// Checks a finished run; adds what its log tells to `seen`.
    fn check(&self, fleet: &Fleet<'_>, job: &Job, seen: &mut Seen) {
        let run = job.run.as_deref().expect("it was submitted");
        let ran = fleet.patient(&["runs", "get", run, "-o", "json"]);
        let shown: Value = serde_json::from_str(&ran.stdout).expect("a run is JSON");
        assert_eq!(shown["result"], "succeeded", "{}: {shown:#}", job.key);

        let prefix = format!("out/{}/", job.key);
        let all = self.objects(&prefix);
        let rows: Vec<_> = all
            .iter()
            .filter(|key| key.starts_with(&format!("{prefix}rows")))
            .collect();
        let files = shown["outputs"].as_array().expect("outputs are a list").iter();
        let named: BTreeSet<String> = files
            .flat_map(|output| output["files"].as_array().cloned().unwrap_or_default())
            .filter_map(|file| {
                file.as_str()
                    .map(|name| format!("{prefix}{}", name.trim_start_matches('/')))
            })
            .collect();
        let found: BTreeSet<String> = rows.iter().map(|key| (*key).clone()).collect();
        assert_eq!(
            found, named,
            "{}: files that are there, and that the run names",
            job.key
        );
        let rest = all.len() - rows.len();
        assert!(
            rest <= 1,
            "{}: besides the rows there is one manifest at most: {all:?}",
            job.key
        );
        let text: String = rows.iter().map(|key| self.read(key)).collect();
        assert!(
            sorted(&text) == self.expected[&(job.kind, job.text)],
            "{}: the output is not that of a run without faults",
            job.key
        );

        let ran = fleet.patient(&["runs", "events", run, "-o", "jsonl"]);
        let mut accepted = BTreeSet::new();
        for line in ran.stdout.lines() {
            let event: Value = serde_json::from_str(line).expect("an event is JSON");
            let data = if event["event"].is_object() {
                &event["event"]
            } else {
                &event["data"]
            };
            let kind = event["type"].as_str().or(data["type"].as_str()).unwrap_or_default();
            match kind {
                "task_accepted" => {
                    seen.accepted += 1;
                    let which = (data["task"].to_string(), data["stage_attempt"].to_string());
                    assert!(accepted.insert(which), "{}: a task was accepted twice: {line}", job.key);
                }
                "attempt_failed" => seen.failed += 1,
                "owner_changed" => seen.takeovers += 1,
                _ => {}
            }
        }
        assert!(!accepted.is_empty(), "{}: no task was accepted", job.key);
    }
}

fn setting(name: &str, otherwise: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} is a number")),
        Err(_) => otherwise,
    }
}

#[test]
fn a_fleet_under_faults_gives_what_one_without_gives() {
    let seed = setting("WEIR_CHAOS_SEED", 1);
    let seconds = setting("WEIR_CHAOS_SECONDS", SECONDS);
    let place = Place::new();
    let world = World::new(&place, seed);
    let mut fleet = world.fleet(&place);
    let mut numbers = Numbers(!seed);
    let mut jobs: Vec<Job> = Vec::new();
    let mut seen = Seen::default();
    fleet.revive();

    let begun = Instant::now();
    let until = begun + Duration::from_secs(seconds);
    let mut next_kill = Instant::now() + Duration::from_secs(8);
    while Instant::now() < until {
        fleet.revive();
        if Instant::now() >= next_kill {
            let victim = numbers.below((SERVERS + WORKERS) as u64) as usize;
            fleet.kill(victim, Instant::now() + Duration::from_millis(numbers.below(2_500)));
            seen.kills += 1;
            next_kill = Instant::now() + Duration::from_millis(1_000 + numbers.below(3_000));
        }
        let over = finished(&fleet, numbers.next() as usize);
        let submitted = jobs.iter().filter_map(|job| job.run.as_ref());
        let active = submitted.filter(|run| !over.contains_key(*run)).count();
        let number = jobs.len();
        let server = numbers.next() as usize;
        match jobs.iter_mut().find(|job| job.run.is_none()) {
            Some(job) => world.submit(&fleet, job, server),
            None if active < ACTIVE => {
                let mut job = Job {
                    key: format!("job-{number}"),
                    text: number % TEXTS,
                    kind: number % PIPELINES.len(),
                    run: None,
                };
                world.submit(&fleet, &mut job, server);
                jobs.push(job);
            }
            None => sleep(Duration::from_millis(200)),
        }
    }

    world.faults.store(false, Ordering::Relaxed);
    let calm = Instant::now();
    loop {
        fleet.revive();
        for (server, job) in jobs.iter_mut().enumerate().filter(|(_, job)| job.run.is_none()) {
            world.submit(&fleet, job, server);
        }
        let over = finished(&fleet, 0);
        let waiting: Vec<_> = jobs
            .iter()
            .filter(|job| job.run.as_ref().is_none_or(|run| !over.contains_key(run)))
            .map(|job| (&job.key, &job.run))
            .collect();
        if waiting.is_empty() {
            break;
        }
        assert!(calm.elapsed() < CALM, "these do not end: {waiting:?}");
        sleep(Duration::from_millis(300));
    }
    let settled = calm.elapsed();
    for job in &jobs {
        world.check(&fleet, job, &mut seen);
    }
    // Objects of runs are deleted behind their ends; those that attempts write even later, by the housekeeping.
    let cleaning = Instant::now();
    loop {
        let left = world.objects("weir/runs/");
        if left.is_empty() {
            break;
        }
        assert!(cleaning.elapsed() < CALM, "objects are left behind: {left:?}");
        sleep(Duration::from_millis(500));
    }
    // Of an upload that was begun in the moment of a kill, nobody knows but the bucket.
    let swept = world.sweep();
    assert_eq!(world.open_uploads(), [""; 0], "uploads that nobody will complete");
    assert!(
        swept <= seen.kills + world.proxy.faults() as usize,
        "{swept} uploads had no owner"
    );
    assert!(
        jobs.len() >= ACTIVE && seen.kills > 0 && world.proxy.faults() > 0,
        "there was nothing to survive"
    );
    println!(
        "chaos: seed {seed}, {seconds} s: {} runs, {} kills, {} of {} calls disturbed; {} tasks accepted, {} attempts \
         failed, {} takeovers; {swept} uploads swept; all over {:.1} s after the last fault",
        jobs.len(),
        seen.kills,
        world.proxy.faults(),
        world.proxy.calls(),
        seen.accepted,
        seen.failed,
        seen.takeovers,
        settled.as_secs_f64()
    );
}

/// The runs that are over, and how.
fn finished(fleet: &Fleet<'_>, server: usize) -> BTreeMap<String, Value> {
    let ran = fleet.client(server, &["runs", "list", "-o", "jsonl", "--limit", "1000"]);
    let runs = ran
        .stdout
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    runs.filter(|run| run["state"] == "finished")
        .filter_map(|run| Some((run["id"].as_str()?.to_owned(), run["result"].clone())))
        .collect()
}
