//! The whole service in this process: SQLite, a queue in memory, a folder, workers.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use weir_control_plane::store::{Durability, SqliteStore, Store};
use weir_control_plane::{self as control_plane, ControlPlane, Planner};
use weir_engine::Engine;
use weir_platform::{MemoryQueue, Queue, Storage, StorageOptions};
use weir_sandbox::{CacheOptions, Sandbox};
use weir_worker::{self as worker, Worker, WorkerOptions};

use crate::args::{DataArgs, EmbeddedArgs};
use crate::error::Error;
use crate::history::Here;
use crate::planning::Setup;
use crate::service::machine::{EnginePlanner, Machine};
use crate::service::prices;
use crate::submission;

/// How often running attempts show what they have done, in milliseconds: a person watches, and nothing is paid for it.
const HEARTBEAT_MS: u64 = 200;

/// Says whether the bucket is part of the path of S3's URLs; servers have a flag for it.
const PATH_STYLE: &str = "WEIR_S3_PATH_STYLE";

/// Compiled components that are kept on disk.
const CACHE_BYTES: u64 = 1 << 30;

/// A running control plane with its workers.
pub(crate) struct Embedded {
    pub(crate) control_plane: ControlPlane,
    pub(crate) engine: Engine,
    pub(crate) sandbox: Arc<Sandbox>,
    pub(crate) storage: Storage,
    /// Its runs, for who looks at them.
    pub(crate) here: Here,
    stop: CancellationToken,
    workers: Vec<JoinHandle<std::io::Result<()>>>,
}

/// The data folder's parts.
pub(crate) struct DataFolder {
    root: PathBuf,
}

impl DataFolder {
    /// The folder that the arguments or the environment choose; made when it is not there.
    pub(crate) fn open(args: &DataArgs) -> Result<Self, Error> {
        let root = match &args.data_dir {
            Some(folder) => folder.clone(),
            None => default_data_dir()?,
        };
        std::fs::create_dir_all(&root).map_err(Error::io(format!("create the data folder {}", root.display())))?;
        let root = root
            .canonicalize()
            .map_err(Error::io(format!("use the data folder {}", root.display())))?;
        Ok(Self { root })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.root
    }

    /// The run history.
    pub(crate) async fn store(&self) -> Result<SqliteStore, Error> {
        SqliteStore::open(&self.root.join("weir.db"), Durability::default())
            .await
            .map_err(Error::platform("open the run history"))
    }

    /// Plans, modules and shuffle objects.
    pub(crate) fn storage(&self) -> Result<Storage, Error> {
        // For jobs whose files are in buckets.
        let options = StorageOptions {
            path_style: path_style(),
            aws: None,
        };
        Storage::open_with(&self.storage_folder(), options).map_err(Error::platform("open the storage folder"))
    }

    fn storage_folder(&self) -> String {
        self.root.join("storage").to_string_lossy().into_owned()
    }

    /// What processes plan with that serve this folder.
    pub(crate) fn planning(&self) -> Setup {
        Setup {
            storage: self.storage_folder(),
            s3_path_style: path_style(),
            data_dir: self.root.clone(),
            local_files: true,
        }
    }

    /// Compiled Wasm components.
    pub(crate) fn cache(&self) -> CacheOptions {
        CacheOptions {
            dir: self.root.join("cache"),
            key_file: self.root.join("cache.key"),
            max_bytes: CACHE_BYTES,
        }
    }

    /// What operators spill.
    pub(crate) fn spill(&self) -> PathBuf {
        self.root.join("spill")
    }
}

fn path_style() -> bool {
    std::env::var(PATH_STYLE).is_ok_and(|value| ["1", "on", "true", "yes"].contains(&&*value))
}

fn default_data_dir() -> Result<PathBuf, Error> {
    let absolute = |name: &str| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    absolute("XDG_DATA_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/share")))
        .map(|folder| folder.join("weir"))
        .ok_or_else(|| Error::Usage("neither HOME nor XDG_DATA_HOME is set; choose a folder by --data-dir".to_owned()))
}

/// The engine alone, for what needs no run.
pub(crate) fn engine(folder: &DataFolder, memory: Option<u64>) -> Result<(Engine, Storage), Error> {
    let storage = folder.storage()?;
    let machine = Machine::start(folder, &storage, memory, true)?;
    Ok((machine.engine, storage))
}

impl Embedded {
    /// Starts everything.
    pub(crate) async fn start(args: &EmbeddedArgs) -> Result<Self, Error> {
        Self::start_with(args, control_plane::Options::default(), 0, None).await
    }

    /// Starts everything, with options of the control plane. Every `presence_ms` milliseconds workers say how they are,
    /// unless that is zero: they are in this process, and who runs one job does not ask.
    /// Jobs are planned by `planner`, or by this process.
    pub(crate) async fn start_with(
        args: &EmbeddedArgs,
        options: control_plane::Options,
        presence_ms: u64,
        planner: Option<Arc<dyn Planner>>,
    ) -> Result<Self, Error> {
        let prices = prices::read(&args.prices)?;
        let folder = DataFolder::open(&args.data)?;
        let storage = folder.storage()?;
        let Machine { engine, sandbox } = Machine::start(&folder, &storage, args.memory, true)?;
        let store: Arc<dyn Store> = Arc::new(folder.store().await?);
        let tasks: Arc<dyn Queue> = Arc::new(MemoryQueue::new(Default::default()));
        let reports: Arc<dyn Queue> = Arc::new(MemoryQueue::new(Default::default()));
        let stop = CancellationToken::new();
        let slots = submission::slots(args) as usize;
        let mut workers = Vec::new();
        for _ in 0..args.workers {
            let options = WorkerOptions {
                slots,
                task_threads: slots,
                millicpus: WorkerOptions::default().millicpus / args.workers.max(1),
                heartbeat_ms: HEARTBEAT_MS,
                presence_ms,
                ..Default::default()
            };
            let environment = worker::Environment {
                tasks: Arc::clone(&tasks),
                reports: Arc::clone(&reports),
                storage: storage.clone(),
                runner: Arc::new(engine.clone()),
            };
            workers.push(tokio::spawn(Worker::new(options, environment).run(stop.clone())));
        }
        let environment = control_plane::Environment {
            store: Arc::clone(&store),
            tasks,
            reports,
            storage: storage.clone(),
            planner: planner.unwrap_or_else(|| Arc::new(EnginePlanner(engine.clone()))),
        };
        let options = control_plane::Options {
            slots: Some(u32::try_from(slots).unwrap_or(u32::MAX).saturating_mul(args.workers)),
            ..options
        };
        let control_plane = ControlPlane::start(options, environment);
        Ok(Self {
            control_plane,
            engine,
            sandbox,
            here: Here::new(store, storage.clone(), prices),
            storage,
            stop,
            workers,
        })
    }

    /// Stops everything; runs that are not over can be resumed.
    pub(crate) async fn shutdown(self) {
        self.control_plane.shutdown().await;
        self.stop.cancel();
        for worker in self.workers {
            match worker.await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::error!(error = &error as &dyn std::error::Error, "a worker failed"),
                Err(error) => tracing::error!(error = &error as &dyn std::error::Error, "a worker panicked"),
            }
        }
    }
}
