//! Servers and workers as processes, over servers that are started for the tests.

mod http;

use std::fs::File;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use futures::TryStreamExt;
use serde_json::Value;
use tokio::runtime::Runtime;
use weir_platform::{Storage, StorageOptions};
use weir_testkit::{Aws, DeadLetters, Postgres, QueueSpec};

use super::database;
use crate::support::{Place, Ran};

pub(crate) use http::{Answer, Stream, StreamEvent};

/// How long anything may take that a test waits for. Machines of tests are slow and busy.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(25);

/// Looks until there is something, within bounds.
#[track_caller]
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} for {what}");
        std::thread::sleep(LOOK);
    }
}

/// Whether a process runs, that is has not ended, waited for or not.
pub(crate) fn is_running(process: u32) -> bool {
    state_and_parent(process).is_some_and(|(state, _)| state != 'Z')
}

fn is_planner(process: u32) -> bool {
    let line = std::fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
    line.split(|byte| *byte == 0).any(|word| word == b"plan-job")
}

fn state_and_parent(process: u32) -> Option<(char, u32)> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // After the name, which may hold anything.
    let mut fields = stat.rsplit(')').next()?.split_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

/// A database, queues and a bucket of a test's own, and the processes that work with them.
pub(crate) struct Fleet {
    pub(crate) place: Place,
    pub(crate) bucket: String,
    pub(crate) environment: Vec<(String, String)>,
    storage: Storage,
    runtime: Runtime,
    members: Vec<Member>,
}

struct Member {
    name: String,
    child: Child,
}

/// A process of the fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MemberId(usize);

impl Fleet {
    /// Nothing runs yet, and the database has no tables.
    pub(crate) fn bare() -> Self {
        // For the tests' own requests.
        weir_platform::aws::install_crypto();
        let runtime = Runtime::new().expect("a runtime");
        let (mut environment, bucket, storage, more) = runtime.block_on(async {
            let aws = Aws::shared().await;
            let database = Postgres::shared().await.database().await;
            let dead = aws.queue(&QueueSpec::default()).await;
            let spec = QueueSpec {
                visibility: Some(Duration::from_secs(5)),
                dead_letters: Some(DeadLetters {
                    queue: dead.clone(),
                    max_receives: 20,
                }),
            };
            let tasks = aws.queue(&spec).await;
            let reports = aws.queue(&QueueSpec::default()).await;
            let bucket = aws.bucket().await;
            let options = StorageOptions {
                path_style: true,
                aws: Some(aws.sdk_config()),
            };
            let storage = Storage::open_with(&format!("s3://{bucket}"), options).expect("the bucket is there");
            let more = [
                ("WEIR_DATABASE_URL", database),
                ("WEIR_TASK_QUEUE", tasks),
                ("WEIR_REPORT_QUEUE", reports),
                ("WEIR_DEAD_LETTER_QUEUE", dead),
                ("WEIR_STORAGE", format!("s3://{bucket}/weir")),
                ("WEIR_S3_PATH_STYLE", "true".to_owned()),
                ("WEIR_LEASE_MS", "2000".to_owned()),
            ];
            (aws.environment(), bucket, storage, more)
        });
        environment.extend(more.map(|(name, value)| (name.to_owned(), value)));
        Self {
            place: Place::new(),
            bucket,
            environment,
            storage,
            runtime,
            members: Vec::new(),
        }
    }

    /// Nothing runs yet; the database is ready.
    pub(crate) fn new() -> Self {
        let fleet = Self::bare();
        fleet.ok(["migrate"]);
        fleet
    }

    /// A setting of the service.
    #[track_caller]
    pub(crate) fn variable(&self, name: &str) -> &str {
        let found = self.environment.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| &**value).expect("it is set")
    }

    /// Sets a variable for the processes that start from now on.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// A command with the service's settings in its environment.
    pub(crate) fn command<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Command {
        let mut command = self.place.command(args);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs a command to its end.
    pub(crate) fn weir<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Ran {
        Ran::from(self.command(args).output().expect("the command starts"))
    }

    /// Runs a command to its end; it must succeed. Gives its stdout.
    #[track_caller]
    pub(crate) fn ok<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> String {
        let ran = self.weir(args);
        assert_eq!(ran.code, Some(0), "stdout:\n{}\nstderr:\n{}", ran.stdout, ran.stderr);
        ran.stdout
    }

    fn start(&mut self, kind: &str, args: &[&str]) -> MemberId {
        let id = self.members.len();
        let name = format!("{kind}-{id}");
        let log = self.place.write(&format!("logs/{name}.log"), "");
        let log = File::options().append(true).open(log).expect("the log was just made");
        let mut command = self.command([kind].into_iter().chain(args.iter().copied()));
        command
            .env("WEIR_DATA_DIR", self.place.path(&format!("data-{name}")))
            .stdout(log.try_clone().expect("a file can be shared"))
            .stderr(log);
        let child = command.spawn().expect("the command starts");
        self.members.push(Member { name, child });
        MemberId(id)
    }

    /// A queue of tasks of which a message is set aside that was received so often, and the queue that it goes to.
    pub(crate) fn queues_with_patience(&self, max_receives: u32) -> [String; 2] {
        self.runtime.block_on(async {
            let aws = Aws::shared().await;
            let dead = aws.queue(&QueueSpec::default()).await;
            let spec = QueueSpec {
                visibility: Some(Duration::from_secs(5)),
                dead_letters: Some(DeadLetters {
                    queue: dead.clone(),
                    max_receives,
                }),
            };
            [aws.queue(&spec).await, dead]
        })
    }

    /// Changes the database behind the service's back; says how many rows.
    #[must_use = "a statement that changed nothing proves nothing"]
    pub(crate) fn sql(&self, statement: &str) -> u64 {
        let url = self.variable("WEIR_DATABASE_URL");
        self.runtime.block_on(database::execute(url, statement))
    }

    /// Starts a server.
    pub(crate) fn unready_server(&mut self, args: &[&str]) -> MemberId {
        let args: Vec<&str> = ["--listen", "127.0.0.1:0"].iter().chain(args).copied().collect();
        self.start("server", &args)
    }

    /// Waits for what a test does itself.
    pub(crate) fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }

    /// Starts a server and waits until it answers.
    pub(crate) fn server(&mut self, args: &[&str]) -> MemberId {
        let server = self.unready_server(args);
        self.ready(server)
    }

    /// Starts a server of the history alone and waits until it answers.
    pub(crate) fn history(&mut self, args: &[&str]) -> MemberId {
        let args: Vec<&str> = ["--listen", "127.0.0.1:0"].iter().chain(args).copied().collect();
        let server = self.start("history", &args);
        self.ready(server)
    }

    /// Starts the whole service in one process and waits until it answers.
    pub(crate) fn dev(&mut self, args: &[&str]) -> MemberId {
        let args: Vec<&str> = ["--listen", "127.0.0.1:0"].iter().chain(args).copied().collect();
        let server = self.start("dev", &args);
        self.ready(server)
    }

    fn ready(&self, server: MemberId) -> MemberId {
        let endpoint = self.endpoint(server);
        until("a server that is ready", || {
            self.assert_runs(server);
            let ready = self.runtime.block_on(reqwest::get(format!("{endpoint}/readyz")));
            ready.is_ok_and(|answer| answer.status().is_success()).then_some(())
        });
        server
    }

    /// Starts a worker with `slots` slots.
    pub(crate) fn worker(&mut self, slots: u32) -> MemberId {
        self.worker_with(&["--slots", &slots.to_string()])
    }

    /// Starts a worker.
    pub(crate) fn worker_with(&mut self, args: &[&str]) -> MemberId {
        let args: Vec<&str> = ["--visibility-ms", "4000"].iter().chain(args).copied().collect();
        self.start("worker", &args)
    }

    /// The address of a server.
    #[track_caller]
    pub(crate) fn endpoint(&self, server: MemberId) -> String {
        until("a server's address in its log", || {
            let log = self.log(server);
            let line = log.lines().find_map(|line| line.strip_prefix("listening on "));
            if line.is_none() {
                self.assert_runs(server);
            }
            line.map(str::to_owned)
        })
    }

    /// What a process wrote.
    pub(crate) fn log(&self, member: MemberId) -> String {
        let name = &self.members[member.0].name;
        let bytes = std::fs::read(self.place.path(&format!("logs/{name}.log"))).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    #[track_caller]
    fn assert_runs(&self, member: MemberId) {
        let ended = !is_running(self.pid(member));
        assert!(!ended, "the process ended:\n{}", self.log(member));
    }

    /// The process.
    pub(crate) fn pid(&self, member: MemberId) -> u32 {
        self.members[member.0].child.id()
    }

    /// Processes whose parent is this one, those aside in which it plans.
    pub(crate) fn children(&self, member: MemberId) -> Vec<u32> {
        let mut children = self.processes_of(member);
        children.retain(|process| !is_planner(*process));
        children
    }

    /// Processes in which a server plans, and the one that waits to.
    pub(crate) fn planners(&self, member: MemberId) -> Vec<u32> {
        let mut planners = self.processes_of(member);
        planners.retain(|process| is_planner(*process));
        planners
    }

    fn processes_of(&self, member: MemberId) -> Vec<u32> {
        let parent = self.pid(member);
        let processes = std::fs::read_dir("/proc").expect("there is /proc");
        processes
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .filter(|process| state_and_parent(*process).is_some_and(|(state, of)| state != 'Z' && of == parent))
            .collect()
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, member: MemberId, signal: &str) {
        let sent = Command::new("kill")
            .args([&format!("-{signal}"), &self.pid(member).to_string()])
            .status();
        assert!(sent.is_ok_and(|status| status.success()), "the signal is sent");
    }

    /// Kills a process as the kernel would.
    pub(crate) fn kill(&mut self, member: MemberId) {
        let child = &mut self.members[member.0].child;
        child.kill().expect("the process is ours");
        child.wait().expect("the process is ours");
    }

    /// Waits until a process has ended.
    #[track_caller]
    pub(crate) fn wait(&mut self, member: MemberId) -> ExitStatus {
        let child = &mut self.members[member.0].child;
        until("a process to end", || child.try_wait().expect("the process is ours"))
    }

    /// Runs a client's command against a server.
    pub(crate) fn client<'a>(&self, server: MemberId, args: impl IntoIterator<Item = &'a str>) -> Ran {
        let mut command = self.place.command(args);
        command.env("WEIR_ENDPOINT", self.endpoint(server));
        Ran::from(command.output().expect("the command starts"))
    }

    /// Runs a client's command against a server; it must succeed. Gives its stdout.
    #[track_caller]
    pub(crate) fn client_ok<'a>(&self, server: MemberId, args: impl IntoIterator<Item = &'a str>) -> String {
        let ran = self.client(server, args);
        assert_eq!(ran.code, Some(0), "stdout:\n{}\nstderr:\n{}", ran.stdout, ran.stderr);
        ran.stdout
    }

    /// Deletes an object of the test's bucket.
    pub(crate) fn delete(&self, key: &str) {
        let deleted = self.runtime.block_on(self.storage.delete(vec![key.to_owned()]));
        deleted.expect("the object can be deleted");
    }

    /// A run as a server shows it.
    #[track_caller]
    pub(crate) fn run(&self, server: MemberId, run: &str) -> Value {
        let text = self.client_ok(server, ["runs", "get", run, "-o", "json"]);
        serde_json::from_str(&text).expect("a run is JSON")
    }

    /// The events of a run as a server shows them.
    #[track_caller]
    pub(crate) fn events(&self, server: MemberId, run: &str) -> Vec<Value> {
        let text = self.client_ok(server, ["runs", "events", run, "-o", "jsonl"]);
        text.lines()
            .map(|line| serde_json::from_str(line).expect("an event is JSON"))
            .collect()
    }

    /// Waits for an event of a run that is not over by then; gives the events so far.
    #[track_caller]
    pub(crate) fn wait_for_event(&self, server: MemberId, run: &str, kind: &str) -> Vec<Value> {
        until(&format!("a `{kind}` event"), || {
            let events = self.events(server, run);
            let happened = events.iter().any(|event| event["type"] == kind);
            let over = events.iter().any(|event| event["type"] == "finished");
            assert!(!over, "the run was over before it could be disturbed");
            happened.then_some(events)
        })
    }

    /// Puts an object into the test's bucket; gives its URL.
    pub(crate) fn put(&self, key: &str, text: impl Into<String>) -> String {
        let put = self.storage.put(key, text.into().into());
        self.runtime.block_on(put).expect("the object can be written");
        format!("s3://{}/{key}", self.bucket)
    }

    /// The names of the objects of the test's bucket below a folder, in order.
    pub(crate) fn keys(&self, folder: &str) -> Vec<String> {
        let prefix = folder.into();
        let listing = self.storage.object_store().list(Some(&prefix));
        let found: Vec<_> = self
            .runtime
            .block_on(listing.try_collect())
            .expect("the bucket can be listed");
        let mut keys: Vec<String> = found.iter().map(|object| object.location.to_string()).collect();
        keys.sort();
        keys
    }

    /// The same objects with their text.
    pub(crate) fn objects(&self, folder: &str) -> Vec<(String, String)> {
        let read = |key: String| {
            let bytes = self
                .runtime
                .block_on(self.storage.get(&key))
                .expect("the object can be read");
            (key, String::from_utf8_lossy(&bytes).into_owned())
        };
        self.keys(folder).into_iter().map(read).collect()
    }

    /// The data lines of the CSV files of an output, sorted.
    pub(crate) fn csv_lines(&self, folder: &str) -> Vec<String> {
        let files = self.objects(folder).into_iter().filter(|(key, _)| key.contains("-of-"));
        let mut lines: Vec<String> = files
            .flat_map(|(_, text)| text.lines().skip(1).map(str::to_owned).collect::<Vec<_>>())
            .collect();
        lines.sort_unstable();
        lines
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        for member in &mut self.members {
            // Fails when it has ended, which is what is wanted.
            let _ = member.child.kill();
            let _ = member.child.wait();
        }
        if std::thread::panicking() {
            for (at, member) in self.members.iter().enumerate() {
                let log = self.log(MemberId(at));
                let lines: Vec<_> = log.lines().collect();
                let last = lines[lines.len().saturating_sub(40)..].join("\n");
                eprintln!("--- {}\n{last}", member.name);
            }
        }
    }
}
