//! What a process uses of its machine: memory, a folder of caches, the sandbox, the engine.

use std::sync::Arc;

use async_trait::async_trait;
use weir_control_plane::Planner;
use weir_engine::{Engine, EngineOptions};
use weir_model::{Failure, RunId, StageGraph, Submission};
use weir_platform::Storage;
use weir_platform::templates::Templates;
use weir_sandbox::{Sandbox, SandboxOptions};

use crate::args::RENDER_TEMPLATE;
use crate::embedded::DataFolder;
use crate::error::Error;

/// The engine of a process, with its sandbox.
pub(crate) struct Machine {
    pub(crate) engine: Engine,
    pub(crate) sandbox: Arc<Sandbox>,
}

impl Machine {
    /// An engine that keeps its caches in `folder`, over `storage`. Without `local_files`, jobs can reach no file of this
    /// machine. It renders templates in this process: others than its own user's jobs
    /// are planned by [`Planners`](crate::planning::Planners).
    pub(crate) fn start(
        folder: &DataFolder,
        storage: &Storage,
        memory: Option<u64>,
        local_files: bool,
    ) -> Result<Self, Error> {
        let sandbox = Sandbox::new(SandboxOptions {
            cache: Some(folder.cache()),
            ..Default::default()
        })
        .map_err(Error::platform("start the Wasm sandbox"))?;
        let sandbox = Arc::new(sandbox);
        let memory = memory.unwrap_or_else(default_memory);
        let options = EngineOptions {
            memory_bytes: usize::try_from(memory).unwrap_or(usize::MAX),
            spill_dir: folder.spill(),
            local_files,
            templates: Templates::in_process(),
        };
        let engine =
            Engine::new(options, storage.clone(), Arc::clone(&sandbox)).map_err(Error::platform("start the engine"))?;
        Ok(Self { engine, sandbox })
    }
}

/// Templates of others than this process' user, each rendered by a child of this program.
pub(crate) fn templates() -> Result<Templates, Error> {
    let program = std::env::current_exe().map_err(Error::io("find this program"))?;
    Ok(Templates::in_children(program, vec![RENDER_TEMPLATE.into()]))
}

/// Half of the machine's memory; 4 GiB where the system does not say.
fn default_memory() -> u64 {
    const UNKNOWN: u64 = 8 << 30;
    let total = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("MemTotal:"))?;
        line.split_ascii_whitespace()
            .nth(1)?
            .parse::<u64>()
            .ok()
            .map(|kib| kib * 1024)
    });
    total.unwrap_or(UNKNOWN) / 2
}

/// Plans by the engine of this process.
pub(crate) struct EnginePlanner(pub(crate) Engine);

#[async_trait]
impl Planner for EnginePlanner {
    async fn plan(&self, run: RunId, submission: &Submission, storage: &Storage) -> Result<StageGraph, Failure> {
        self.0
            .plan(run, submission, storage)
            .await
            .map_err(|error| error.to_failure())
    }
}
