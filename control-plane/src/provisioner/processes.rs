//! Workers as child processes of this one.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use async_trait::async_trait;
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Error, Fleet, Provisioner};

/// A process that ends sooner than this has not worked: the next one waits.
const WORKED: Duration = Duration::from_secs(10);

/// How worker processes are run.
#[derive(Clone, Debug)]
pub struct ProcessOptions {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Variables of its environment, beside those of this process.
    pub environment: Vec<(OsString, OsString)>,
    /// How long a worker may take to end after SIGTERM; then it is killed.
    pub drain: Duration,
    /// The wait before a worker that ended early is replaced; it doubles as long as they do so.
    pub first_backoff: Duration,
    /// The longest such wait.
    pub longest_backoff: Duration,
}

impl ProcessOptions {
    /// Options for a program.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            arguments: Vec::new(),
            environment: Vec::new(),
            drain: Duration::from_secs(130),
            first_backoff: Duration::from_millis(500),
            longest_backoff: Duration::from_secs(30),
        }
    }
}

/// Workers as child processes. They end with this process: told so when it ends in good order, killed when it is
/// dropped. The standard input of each is a pipe that nobody writes to and that ends however this process ends; a
/// worker that is started with `WEIR_EXIT_ON_STDIN_CLOSE=true` in its environment, as these are, is to heed it.
pub struct ProcessProvisioner {
    wanted: watch::Sender<u32>,
    running: watch::Receiver<u32>,
    stop: CancellationToken,
    manager: TaskTracker,
}

impl ProcessProvisioner {
    /// A provisioner that has no workers yet. To be called on a tokio runtime.
    pub fn new(options: ProcessOptions) -> Self {
        let (wanted, wish) = watch::channel(0);
        let (count, running) = watch::channel(0);
        let (stop, manager) = (CancellationToken::new(), TaskTracker::new());
        let manage = Manager {
            options,
            wish,
            count,
            live: BTreeMap::new(),
            ends: JoinSet::new(),
            next: 0,
            failures: 0,
            not_before: None,
        };
        manager.spawn(manage.run(stop.clone()));
        manager.close();
        Self {
            wanted,
            running,
            stop,
            manager,
        }
    }
}

#[async_trait]
impl Provisioner for ProcessProvisioner {
    async fn current(&self) -> Result<Fleet, Error> {
        Ok(Fleet {
            wanted: *self.wanted.borrow(),
            running: *self.running.borrow(),
        })
    }

    async fn set(&self, workers: u32) -> Result<(), Error> {
        self.wanted.send_replace(workers);
        Ok(())
    }

    async fn release(&self) {
        self.wanted.send_replace(0);
    }

    async fn shutdown(&self) {
        self.stop.cancel();
        self.manager.wait().await;
    }
}

impl Drop for ProcessProvisioner {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// The task that owns the processes.
struct Manager {
    options: ProcessOptions,
    wish: watch::Receiver<u32>,
    count: watch::Sender<u32>,
    /// Processes that run, the oldest first, by number.
    live: BTreeMap<u64, Live>,
    ends: JoinSet<(u64, Option<ExitStatus>)>,
    next: u64,
    /// Processes in a row that ended early.
    failures: u32,
    /// When the next process may be started.
    not_before: Option<Instant>,
}

struct Live {
    /// Tells it to end.
    stop: CancellationToken,
    since: Instant,
}

impl Manager {
    async fn run(mut self, stop: CancellationToken) {
        loop {
            let wait = self.reconcile();
            self.count
                .send_replace(u32::try_from(self.live.len()).unwrap_or(u32::MAX));
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(end) = self.ends.join_next() => self.ended(end.ok()),
                changed = self.wish.changed() => if changed.is_err() { break },
                () = sleep_until(wait) => {}
            }
        }
        for live in self.live.values() {
            live.stop.cancel();
        }
        while self.ends.join_next().await.is_some() {}
        self.count.send_replace(0);
    }

    /// Starts and stops what is needed; says when to look again at the latest.
    fn reconcile(&mut self) -> Option<Instant> {
        let wanted = *self.wish.borrow_and_update() as usize;
        let staying = self.live.values().filter(|live| !live.stop.is_cancelled()).count();
        // The youngest go first: the oldest have the most in their caches.
        let too_many = self.live.values().rev().filter(|live| !live.stop.is_cancelled());
        for live in too_many.take(staying.saturating_sub(wanted)) {
            live.stop.cancel();
        }
        for _ in staying..wanted {
            if let Some(time) = self.not_before.filter(|time| *time > Instant::now()) {
                return Some(time);
            }
            self.start();
        }
        None
    }

    fn start(&mut self) {
        let mut command = Command::new(&self.options.program);
        command
            .args(&self.options.arguments)
            .envs(self.options.environment.iter().map(|(name, value)| (name, value)))
            .env("WEIR_EXIT_ON_STDIN_CLOSE", "true")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            // An interrupt from the terminal is for this process, which then ends the others in good order.
            .process_group(0)
            .kill_on_drop(true);
        match command.spawn() {
            Ok(child) => {
                let (number, stop) = (self.next, CancellationToken::new());
                self.next += 1;
                tracing::info!(pid = child.id(), "started a worker");
                let watched = watch_over(child, stop.clone(), self.options.drain);
                self.ends.spawn(async move { (number, watched.await) });
                let since = Instant::now();
                self.live.insert(number, Live { stop, since });
            }
            Err(error) => {
                let program = self.options.program.display();
                tracing::error!(%error, %program, "cannot start a worker");
                self.back_off();
            }
        }
    }

    fn ended(&mut self, end: Option<(u64, Option<ExitStatus>)>) {
        // Nothing panics in there, and nobody aborts it.
        let Some((number, status)) = end else { return };
        let Some(live) = self.live.remove(&number) else { return };
        if live.stop.is_cancelled() {
            return tracing::info!(?status, "a worker has ended");
        }
        tracing::warn!(?status, "a worker has ended by itself; another takes its place");
        if live.since.elapsed() < WORKED {
            self.back_off();
        } else {
            self.failures = 0;
        }
    }

    fn back_off(&mut self) {
        let doublings = self.failures.min(16);
        self.failures = self.failures.saturating_add(1);
        let wait = self.options.first_backoff.saturating_mul(1 << doublings);
        self.not_before = Some(Instant::now() + wait.min(self.options.longest_backoff));
    }
}

async fn sleep_until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// Waits for the end of a process, and sees to it when it is told to.
async fn watch_over(mut child: Child, stop: CancellationToken, drain: Duration) -> Option<ExitStatus> {
    // Held until the process has ended: its end is what tells the child that this process is gone.
    let _stdin = child.stdin.take();
    tokio::select! {
        status = child.wait() => return status.ok(),
        () = stop.cancelled() => {}
    }
    terminate(&child);
    match tokio::time::timeout(drain, child.wait()).await {
        Ok(status) => status.ok(),
        Err(_) => {
            tracing::warn!(pid = child.id(), "a worker did not end in time, and is killed");
            let killed = child.kill().await;
            killed
                .inspect_err(|error| tracing::error!(%error, "cannot kill a worker"))
                .ok()?;
            child.wait().await.ok()
        }
    }
}

/// Sends SIGTERM.
fn terminate(child: &Child) {
    // Present until the process was waited for.
    let Some(pid) = child.id().and_then(|pid| libc::pid_t::try_from(pid).ok()) else {
        return;
    };
    // SAFETY: no memory is involved; and the process was not waited for, so that nobody else has its number.
    if unsafe { libc::kill(pid, libc::SIGTERM) } != 0 {
        let error = std::io::Error::last_os_error();
        tracing::warn!(pid, %error, "cannot tell a worker to end");
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    /// A stand-in for a worker: it leaves a file while it runs, and on SIGTERM does `on_term`.
    fn options(folder: &Path, on_term: &str) -> ProcessOptions {
        let script = format!(
            "trap '{on_term}' TERM; echo $$ > \"$FOLDER/$$.starting\"; mv \"$FOLDER/$$.starting\" \"$FOLDER/$$\"; \
             while :; do read -t 1 line < /dev/null || :; sleep 0.02; done"
        );
        ProcessOptions {
            arguments: vec!["-c".into(), script.into()],
            environment: vec![("FOLDER".into(), folder.into())],
            drain: Duration::from_secs(20),
            first_backoff: Duration::from_millis(1),
            longest_backoff: Duration::from_millis(10),
            ..ProcessOptions::new("bash")
        }
    }

    const END: &str = "rm \"$FOLDER/$$\"; exit 0";

    fn running(folder: &Path) -> Vec<u32> {
        let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
        let mut pids: Vec<u32> = names.filter_map(|name| name.to_str()?.parse().ok()).collect();
        pids.sort_unstable();
        pids
    }

    async fn until(what: &str, holds: impl Fn() -> bool) {
        let waiting = async {
            while !holds() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, waiting).await;
        waited.unwrap_or_else(|_| panic!("never: {what}"));
    }

    fn is_alive(pid: u32) -> bool {
        // SAFETY: no memory is involved, and no signal is sent.
        unsafe { libc::kill(pid as libc::pid_t, 0) == 0 }
    }

    #[tokio::test]
    async fn there_are_as_many_processes_as_wanted_and_they_end_in_good_order() {
        let dir = tempfile::tempdir().unwrap();
        let workers = ProcessProvisioner::new(options(dir.path(), END));
        assert_eq!(workers.current().await.unwrap(), Fleet::default());
        workers.set(3).await.unwrap();
        until("three run", || running(dir.path()).len() == 3).await;
        let first = running(dir.path());
        assert_eq!(workers.current().await.unwrap(), Fleet { wanted: 3, running: 3 });
        workers.set(1).await.unwrap();
        until("one is left", || running(dir.path()).len() == 1).await;
        assert!(first.contains(&running(dir.path())[0]), "one of the first");
        workers.set(0).await.unwrap();
        until("none is left", || running(dir.path()).is_empty()).await;
        until("they were waited for", || *workers.running.borrow() == 0).await;
        assert!(!first.iter().any(|pid| is_alive(*pid)), "no zombies");
        workers.set(2).await.unwrap();
        until("two run again", || running(dir.path()).len() == 2).await;
        workers.shutdown().await;
        assert_eq!(running(dir.path()), Vec::<u32>::new(), "each has had its time to end");
        assert_eq!(workers.current().await.unwrap().running, 0);
    }

    #[tokio::test]
    async fn a_process_that_crashes_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let workers = ProcessProvisioner::new(options(dir.path(), END));
        workers.set(2).await.unwrap();
        until("two run", || running(dir.path()).len() == 2).await;
        let victim = running(dir.path())[0];
        // SAFETY: no memory is involved; it is a child of this process that nobody has waited for.
        unsafe { libc::kill(victim as libc::pid_t, libc::SIGKILL) };
        until("another takes its place", || running(dir.path()).len() == 3).await;
        assert!(!is_alive(victim));
        workers.shutdown().await;
    }

    #[tokio::test]
    async fn processes_that_end_at_once_are_not_started_over_and_over() {
        let dir = tempfile::tempdir().unwrap();
        let options = ProcessOptions {
            arguments: vec!["-c".into(), "echo > \"$FOLDER/$$\"; exit 3".into()],
            first_backoff: Duration::from_millis(20),
            longest_backoff: Duration::from_secs(3_600),
            ..options(dir.path(), "")
        };
        let start = Instant::now();
        let workers = ProcessProvisioner::new(options);
        workers.set(1).await.unwrap();
        until("several have ended", || running(dir.path()).len() >= 4).await;
        // 20, 40 and 80 ms lie between the first four.
        assert!(start.elapsed() >= Duration::from_millis(140), "{:?}", start.elapsed());
        workers.shutdown().await;

        let missing = ProcessProvisioner::new(ProcessOptions::new(dir.path().join("nothing")));
        missing.set(1).await.unwrap();
        missing.shutdown().await;
    }

    #[tokio::test]
    async fn a_process_that_does_not_end_is_killed() {
        let dir = tempfile::tempdir().unwrap();
        let workers = ProcessProvisioner::new(ProcessOptions {
            drain: Duration::from_millis(50),
            ..options(dir.path(), ":")
        });
        workers.set(1).await.unwrap();
        until("it runs", || running(dir.path()).len() == 1).await;
        let pid = running(dir.path())[0];
        workers.set(0).await.unwrap();
        until("it is killed", || !is_alive(pid)).await;
        workers.shutdown().await;
    }

    #[tokio::test]
    async fn processes_do_not_outlive_their_provisioner() {
        let dir = tempfile::tempdir().unwrap();
        let workers = ProcessProvisioner::new(options(dir.path(), END));
        workers.set(2).await.unwrap();
        until("two run", || running(dir.path()).len() == 2).await;
        let pids = running(dir.path());
        drop(workers);
        until("they are gone", || !pids.iter().any(|pid| is_alive(*pid))).await;
    }
}
