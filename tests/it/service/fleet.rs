//! Servers and workers as processes, over servers that are started for the tests.

use std::fs::File;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use futures::TryStreamExt;
use reqwest::Method;
use serde_json::Value;
use tokio::runtime::Runtime;
use weir_platform::{Storage, StorageOptions};
use weir_testkit::{Aws, DeadLetters, Postgres, QueueSpec};

use super::database;
use crate::support::{Place, Ran};

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

/// What a server answered.
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: reqwest::header::HeaderMap,
    /// Null when there was none.
    pub(crate) body: Value,
}

impl Answer {
    /// A header as text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// A stream of server-sent events.
pub(crate) struct Stream<'a> {
    fleet: &'a Fleet,
    pub(crate) status: u16,
    response: reqwest::Response,
    /// What was received and not yet understood.
    text: String,
    /// The id of the last event.
    pub(crate) last_event_id: Option<String>,
}

/// A server-sent event.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct StreamEvent {
    pub(crate) name: String,
    pub(crate) data: Value,
}

impl Stream<'_> {
    /// The next event; `None` when the server has closed the stream.
    #[track_caller]
    pub(crate) fn next(&mut self) -> Option<StreamEvent> {
        loop {
            while let Some((block, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| {
                    block
                        .lines()
                        .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
                };
                let event = field("event").zip(field("data")).map(|(name, data)| StreamEvent {
                    name: name.to_owned(),
                    data: serde_json::from_str(data).expect("data is JSON"),
                });
                if event.is_some() {
                    self.last_event_id = field("id").map(str::to_owned);
                }
                self.text = rest.to_owned();
                if event.is_some() {
                    return event;
                }
            }
            let response = &mut self.response;
            let chunk = async { tokio::time::timeout(PATIENCE, response.chunk()).await };
            let chunk = self.fleet.runtime.block_on(chunk);
            match chunk.expect("something comes in time") {
                Ok(Some(chunk)) => self.text.push_str(std::str::from_utf8(&chunk).expect("text")),
                Ok(None) | Err(_) => return None,
            }
        }
    }
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

    /// Sends a request to a server; what it answers besides JSON is a text.
    #[track_caller]
    pub(crate) fn request(
        &self,
        server: MemberId,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<reqwest::Body>,
    ) -> Answer {
        let url = format!("{}{path}", self.endpoint(server));
        let mut request = reqwest::Client::new().request(method, url).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.runtime.block_on(async {
            let answer = request.send().await.expect("the server answers");
            let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
            let bytes = answer.bytes().await.expect("the answer is whole");
            let kind = headers.get("content-type").and_then(|kind| kind.to_str().ok());
            let body = match kind {
                _ if bytes.is_empty() => Value::Null,
                Some(kind) if kind.contains("json") => serde_json::from_slice(&bytes).expect("the answer is JSON"),
                _ => Value::String(String::from_utf8_lossy(&bytes).into_owned()),
            };
            Answer { status, headers, body }
        })
    }

    /// Opens a stream of changes; `query` is what comes after the path.
    #[track_caller]
    pub(crate) fn stream(&self, server: MemberId, query: &str, headers: &[(&str, &str)]) -> Stream<'_> {
        let url = format!("{}/api/v1/stream{query}", self.endpoint(server));
        let mut request = reqwest::Client::new().get(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self.runtime.block_on(request.send()).expect("the server answers");
        Stream {
            fleet: self,
            status: response.status().as_u16(),
            response,
            text: String::new(),
            last_event_id: None,
        }
    }

    /// The first event of a stream of changes, or the problem that it is refused with.
    #[track_caller]
    pub(crate) fn first_of_stream(&self, server: MemberId, query: &str, headers: &[(&str, &str)]) -> Answer {
        let mut stream = self.stream(server, query, headers);
        let status = stream.status;
        let headers = stream.response.headers().clone();
        let body = if status == 200 {
            stream.next().map_or(Value::Null, |event| event.data)
        } else {
            let bytes = self
                .runtime
                .block_on(stream.response.bytes())
                .expect("the answer is whole");
            serde_json::from_slice(&bytes).expect("the answer is JSON")
        };
        Answer { status, headers, body }
    }

    /// The head of an answer, whatever its body would be.
    #[track_caller]
    pub(crate) fn head(&self, server: MemberId, path: &str) -> Answer {
        let url = format!("{}{path}", self.endpoint(server));
        let answer = self.runtime.block_on(reqwest::Client::new().get(url).send());
        let answer = answer.expect("the server answers");
        Answer {
            status: answer.status().as_u16(),
            headers: answer.headers().clone(),
            body: Value::Null,
        }
    }

    /// The text of an answer, which must be one of success.
    #[track_caller]
    pub(crate) fn text(&self, server: MemberId, path: &str, headers: &[(&str, &str)]) -> String {
        let mut request = reqwest::Client::new().get(format!("{}{path}", self.endpoint(server)));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.runtime.block_on(async {
            let answer = request.send().await.expect("the server answers");
            assert!(answer.status().is_success(), "{}", answer.status());
            answer.text().await.expect("the answer is whole")
        })
    }

    /// The bytes behind a URL, as any program gets them.
    #[track_caller]
    pub(crate) fn get_from(&self, url: &str) -> Vec<u8> {
        self.runtime.block_on(async {
            let answer = reqwest::get(url).await.expect("the storage answers");
            assert!(answer.status().is_success(), "{}", answer.status());
            answer.bytes().await.expect("the answer is whole").to_vec()
        })
    }

    /// Deletes an object of the test's bucket.
    pub(crate) fn delete(&self, key: &str) {
        let deleted = self.runtime.block_on(self.storage.delete(vec![key.to_owned()]));
        deleted.expect("the object can be deleted");
    }

    /// Puts bytes to a URL, as any program can; gives the status.
    pub(crate) fn put_to(&self, url: &str, bytes: Vec<u8>) -> u16 {
        let put = reqwest::Client::new().put(url).body(bytes).send();
        let answer = self.runtime.block_on(put);
        answer.expect("the storage answers").status().as_u16()
    }

    /// The metrics of a server.
    pub(crate) fn scrape(&self, server: MemberId) -> String {
        let url = format!("{}/metrics", self.endpoint(server));
        self.runtime.block_on(async {
            let answer = reqwest::get(url).await.expect("the server answers");
            answer.text().await.expect("metrics are text")
        })
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

    /// Objects of the test's bucket below a folder, in order of name, with their text.
    pub(crate) fn objects(&self, folder: &str) -> Vec<(String, String)> {
        self.runtime.block_on(async {
            let prefix = folder.to_owned().into();
            let found: Vec<_> = self
                .storage
                .object_store()
                .list(Some(&prefix))
                .try_collect()
                .await
                .expect("the bucket can be listed");
            let mut objects = Vec::new();
            for object in found {
                let key = object.location.to_string();
                let bytes = self.storage.get(&key).await.expect("the object can be read");
                objects.push((key, String::from_utf8_lossy(&bytes).into_owned()));
            }
            objects.sort();
            objects
        })
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
            for (name, log) in self.place.files("logs/") {
                let lines: Vec<_> = log.lines().collect();
                eprintln!("--- {name}\n{}", lines[lines.len().saturating_sub(40)..].join("\n"));
            }
        }
    }
}
