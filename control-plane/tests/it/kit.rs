//! A small system in a temporary folder.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use weir_control_plane::store::{Durability, Lease, SqliteStore, Store};
use weir_control_plane::{ControlPlane, Environment, Options};
use weir_model::{Event, EventRecord, RunId, RunSnapshot, TaskId};
use weir_platform::{MemoryQueue, MemoryQueueOptions, Queue, Storage};
use weir_worker::{Worker, WorkerOptions};

use crate::script::{Plan, ScriptedPlanner, ScriptedRunner, To, expected_lines};

/// Longer than anything here takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// What outlives a control plane and its workers.
pub(crate) struct Kit {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) storage: Storage,
    pub(crate) runner: Arc<ScriptedRunner>,
    pub(crate) planner: Arc<ScriptedPlanner>,
    /// Of the processes that are started from now on.
    pub(crate) options: Options,
    /// Of their workers.
    pub(crate) visibility_ms: u64,
}

/// A control plane with its queues and a worker: what one process holds in embedded mode.
pub(crate) struct Process {
    pub(crate) control_plane: ControlPlane,
    worker_shutdown: CancellationToken,
    worker: JoinHandle<()>,
}

impl Kit {
    /// With the sums going to files.
    pub(crate) async fn new() -> Self {
        Self::with(|dir| To::Folder(dir.join("out")), |_| Plan::Graph).await
    }

    pub(crate) async fn with(to: impl FnOnce(&Path) -> To, plan: impl Fn(u32) -> Plan + Send + Sync + 'static) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let to = to(dir.path());
        let database = dir.path().join("runs.db");
        let store = Arc::new(SqliteStore::open(&database, Durability::Process).await.unwrap());
        let storage = Storage::open(dir.path().join("storage").to_str().unwrap()).unwrap();
        Self {
            runner: Arc::new(ScriptedRunner::new(storage.clone(), to.clone())),
            planner: Arc::new(ScriptedPlanner {
                to,
                calls: Mutex::new(0),
                act: Box::new(plan),
            }),
            options: Options {
                lease_ms: 30_000,
                grace_ms: 1_000,
                snapshot_ms: 1,
                ..Options::default()
            },
            visibility_ms: 30_000,
            dir,
            store,
            storage,
        }
    }

    pub(crate) fn process(&self) -> Process {
        self.process_over(self.store.clone())
    }

    pub(crate) fn process_over(&self, store: Arc<dyn Store>) -> Process {
        let queue = || Arc::new(MemoryQueue::new(MemoryQueueOptions::default()));
        self.process_with(store, queue(), queue())
    }

    pub(crate) fn process_with(
        &self,
        store: Arc<dyn Store>,
        tasks: Arc<dyn Queue>,
        reports: Arc<dyn Queue>,
    ) -> Process {
        let control_plane = self.control_plane(store, tasks.clone(), reports.clone());
        let (worker, worker_shutdown) = self.worker(tasks, reports);
        Process {
            control_plane,
            worker_shutdown,
            worker,
        }
    }

    pub(crate) fn control_plane(
        &self,
        store: Arc<dyn Store>,
        tasks: Arc<dyn Queue>,
        reports: Arc<dyn Queue>,
    ) -> ControlPlane {
        let environment = Environment {
            store,
            tasks,
            reports,
            storage: self.storage.clone(),
            planner: self.planner.clone(),
        };
        ControlPlane::start(self.options.clone(), environment)
    }

    pub(crate) fn worker(&self, tasks: Arc<dyn Queue>, reports: Arc<dyn Queue>) -> (JoinHandle<()>, CancellationToken) {
        let options = WorkerOptions {
            slots: 4,
            task_threads: 0,
            visibility_ms: self.visibility_ms,
            heartbeat_ms: 20,
            drain_ms: 0,
            stop_ms: 200,
            ..WorkerOptions::default()
        };
        let environment = weir_worker::Environment {
            tasks,
            reports,
            storage: self.storage.clone(),
            runner: self.runner.clone(),
        };
        let worker_shutdown = CancellationToken::new();
        let running = Worker::new(options, environment).run(worker_shutdown.clone());
        (tokio::spawn(async move { running.await.unwrap() }), worker_shutdown)
    }

    pub(crate) fn out(&self) -> PathBuf {
        self.dir.path().join("out")
    }

    /// Names of everything in the output folder.
    pub(crate) fn output_files(&self) -> Vec<String> {
        files_below(&self.out())
    }

    /// Names of everything that the run has in storage.
    pub(crate) fn objects(&self, run: RunId) -> Vec<String> {
        files_below(&self.dir.path().join(format!("storage/runs/{run}")))
    }

    /// Checks that the output is there once: the right lines, a manifest, and nothing else.
    pub(crate) fn check_output(&self) {
        let files = self.output_files();
        let parts: Vec<_> = files.iter().filter(|name| name.starts_with("part-")).collect();
        assert_eq!(files.len(), parts.len() + 1, "parts and a manifest: {files:?}");
        let read = |name: &&String| std::fs::read_to_string(self.out().join(name)).unwrap();
        let text: String = parts.iter().map(read).collect();
        let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
        lines.sort();
        assert_eq!(lines, expected_lines());
        let manifest = std::fs::read(self.out().join("_weir/part.json")).unwrap();
        let manifest: weir_model::OutputManifest = serde_json::from_slice(&manifest).unwrap();
        assert_eq!(manifest.files.len(), parts.len());
    }

    /// Lets the lease of a run whose first owner was killed run out.
    pub(crate) async fn expire(&self, run: RunId) {
        self.store.lease_release(&Lease { run, epoch: 1 }).await.unwrap();
    }

    pub(crate) async fn events(&self, run: RunId) -> Vec<EventRecord> {
        let events = self.store.run_events(run, 0, 1_000_000).await.unwrap();
        for (record, seq) in events.iter().zip(1..) {
            assert_eq!(record.seq, seq, "the log has no gaps");
        }
        events
    }

    /// Tasks by how often the log says that they were accepted.
    pub(crate) async fn acceptances(&self, run: RunId) -> Vec<TaskId> {
        let accepted = |record: &EventRecord| match record.event {
            Event::TaskAccepted { task, .. } => Some(task),
            _ => None,
        };
        self.events(run).await.iter().filter_map(accepted).collect()
    }
}

fn files_below(root: &Path) -> Vec<String> {
    let mut names = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else {
            continue;
        };
        let entries: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        if entries.is_empty() && folder != root {
            names.push(format!("{}/", folder.strip_prefix(root).unwrap().display()));
        }
        for path in entries {
            if path.is_dir() {
                folders.push(path);
            } else {
                names.push(path.strip_prefix(root).unwrap().display().to_string());
            }
        }
    }
    names.sort();
    names
}

impl Process {
    /// Ends everything at once, as `kill -9` does.
    pub(crate) async fn kill(self) {
        self.worker.abort();
        let _ = self.worker.await;
        drop(self.control_plane);
    }

    /// Ends the worker as `kill -9` does.
    pub(crate) async fn kill_worker(&self) {
        self.worker.abort();
    }

    /// Has the worker end in good order.
    pub(crate) fn stop_worker(&self) {
        self.worker_shutdown.cancel();
    }

    /// Waits for the end of a run.
    pub(crate) async fn finished(&self, run: RunId) -> Arc<RunSnapshot> {
        self.until(run, |snapshot| snapshot.outcome.is_some()).await
    }

    /// Waits until a run looks so.
    pub(crate) async fn until(&self, run: RunId, looks: impl Fn(&RunSnapshot) -> bool) -> Arc<RunSnapshot> {
        let mut snapshots = self.control_plane.watch(run).await.unwrap();
        let waiting = async {
            let snapshot = snapshots.wait_for(|snapshot| looks(snapshot)).await;
            snapshot.expect("the run is driven until then").clone()
        };
        tokio::time::timeout(PATIENCE, waiting).await.expect("the run goes on")
    }
}

/// Waits until a condition holds that nothing announces.
pub(crate) async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let waiting = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let result = tokio::time::timeout(PATIENCE, waiting).await;
    result.unwrap_or_else(|_| panic!("never: {what}"))
}
