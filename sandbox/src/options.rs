//! What can be tuned, and what the caller of a function provides.

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Settings of a [`Sandbox`](crate::Sandbox).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SandboxOptions {
    /// Instances that can exist at once, over all modules. Opening one more fails with a retryable error. Each holds
    /// 4 GiB of address space, not of memory.
    pub max_instances: u32,
    /// The most memory that [`Limits::memory_bytes`] can ask for.
    pub max_memory_bytes: usize,
    /// The most elements that [`Limits::table_elements`] can ask for.
    pub max_table_elements: usize,
    /// Stack that guest code may use, in bytes. It lies on the stack of the calling thread, which must be larger.
    pub stack_bytes: usize,
    /// Bytes of the largest component that is compiled. A compilation cannot be interrupted, and its time and memory
    /// grow with this: it is what bounds them.
    pub max_module_bytes: usize,
    /// Milliseconds that a component may take to start and to say what it holds, when it is loaded. Compiling it is
    /// not counted.
    pub load_timeout_ms: u64,
    /// Milliseconds between two looks at the time limit of a running call.
    pub tick_ms: u64,
    /// Compiled modules that are kept in memory; the least recently loaded goes first.
    pub max_modules: usize,
    /// Where compiled modules are kept between processes; nowhere by default.
    pub cache: Option<CacheOptions>,
}

impl Default for SandboxOptions {
    fn default() -> Self {
        Self {
            max_instances: 1_000,
            max_memory_bytes: 1 << 30,
            max_table_elements: 100_000,
            stack_bytes: 512 << 10,
            max_module_bytes: 64 << 20,
            load_timeout_ms: 10_000,
            tick_ms: 5,
            max_modules: 64,
            cache: None,
        }
    }
}

/// A folder of compiled modules.
///
/// A compiled module is native code: whoever can put a file of his own there would run code in this process. So every
/// file carries a keyed hash (BLAKE3) of its contents, made with a key that only this user can read, and is
/// read into memory, verified and only then deserialised from that memory. Who can write to the folder but cannot read
/// the key can cause compilations, and nothing else. The key never leaves this machine: a folder that several
/// machines share saves work only between those that share the key file too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CacheOptions {
    /// The folder; made if it is missing.
    pub dir: PathBuf,
    /// A file with the 32-byte key, readable by this user only; made if it is missing. Keep it out of `dir` where
    /// others can write to that.
    pub key_file: PathBuf,
    /// Bytes of artefacts above which the oldest are deleted.
    #[serde(default = "default_cache_bytes")]
    pub max_bytes: u64,
}

fn default_cache_bytes() -> u64 {
    1 << 30
}

/// What one instance may use. All of these always apply.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Linear memory, in bytes.
    pub memory_bytes: usize,
    /// Wall time of one call (a call handles one batch), in milliseconds.
    pub call_timeout_ms: u64,
    /// Elements of all tables together.
    pub table_elements: usize,
    /// Bytes that one call may return, and that one call of the guest to the host may pass.
    pub output_bytes: usize,
    /// Bytes of log messages over the life of the instance; the rest is counted and dropped.
    pub log_bytes: usize,
    /// Metrics that the instance may name; the rest is dropped with a warning in the log.
    pub metrics: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes: 256 << 20,
            call_timeout_ms: 60_000,
            table_elements: 20_000,
            output_bytes: 128 << 20,
            log_bytes: 64 << 10,
            metrics: 64,
        }
    }
}

/// What an instance asks of whoever opened it. Called on the thread that runs the call.
pub trait Host: Send + Sync {
    /// The instance is about to hold `bytes` more memory.
    ///
    /// # Errors
    /// Why it must not, for people. The guest's allocation fails, and if that ends the call, so does this reason.
    fn grow(&self, bytes: usize) -> Result<(), String>;

    /// The instance gave back `bytes` of memory: what it took with [`grow`](Self::grow), when it is dropped.
    fn shrink(&self, bytes: usize);

    /// Whether a running call should stop. Looked at every [`SandboxOptions::tick_ms`].
    fn cancelled(&self) -> bool {
        false
    }
}

/// A [`Host`] without a budget of its own: only [`Limits::memory_bytes`] holds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unlimited;

impl Host for Unlimited {
    fn grow(&self, _bytes: usize) -> Result<(), String> {
        Ok(())
    }

    fn shrink(&self, _bytes: usize) {}
}

/// How to open a function.
#[derive(Clone)]
pub struct OpenOptions {
    /// What the guest gets as its configuration: a JSON object.
    pub config: String,
    /// What the instance may use.
    pub limits: Limits,
    /// Where memory is charged and cancellation is seen.
    pub host: Arc<dyn Host>,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            config: "{}".to_owned(),
            limits: Limits::default(),
            host: Arc::new(Unlimited),
        }
    }
}
