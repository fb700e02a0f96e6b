//! The engine and the modules that it has loaded.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use wasmtime::component::Component;
use wasmtime::{Config, Engine, EngineWeak, InstanceAllocationStrategy, PoolingAllocationConfig};
use weir_model::Digest;

use crate::cache::Cache;
use crate::linker::link;
use crate::{Error, Module, SandboxOptions};

/// Core modules that one component may be made of; components of interpreted languages have the most.
const MODULES_PER_COMPONENT: u32 = 64;
/// Linear memories that one component may have.
const MEMORIES_PER_COMPONENT: u32 = 4;
/// Tables that one component may have.
const TABLES_PER_COMPONENT: u32 = 16;
/// Bytes of an instance's memory that are zeroed by hand when it ends, which is faster than asking the kernel to.
const KEEP_RESIDENT: usize = 256 << 10;

/// Loads modules. Cheap to clone; clones share everything.
#[derive(Clone)]
pub struct Sandbox(Arc<Inner>);

struct Inner {
    engine: Engine,
    options: SandboxOptions,
    cache: Option<Cache>,
    /// Most recently loaded last. The slot of a module is filled by whoever asks first; others wait for it.
    modules: Mutex<VecDeque<(Digest, Slot)>>,
}

/// Where a module came from that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It was compiled.
    Compiled,
    /// An artefact in the cache was read that an earlier process left, or this one before it forgot the module.
    Cached,
    /// This process had it, or another call was loading it.
    Kept,
}

type Slot = Arc<Mutex<Option<Module>>>;

impl Sandbox {
    /// Reserves the address space of all instances and starts the thread that keeps the time.
    ///
    /// # Errors
    /// [`Error::Engine`] when the options cannot be had on this machine, [`Error::Cache`] when the folder of compiled
    /// modules cannot be used.
    pub fn new(options: SandboxOptions) -> Result<Self, Error> {
        let engine = engine(&options).map_err(|source| Error::Engine {
            doing: "starting",
            source: source.into(),
        })?;
        let cache = options
            .cache
            .as_ref()
            .map(|cache| Cache::open(cache, &engine))
            .transpose()?;
        start_ticker(engine.weak(), Duration::from_millis(options.tick_ms.max(1)))?;
        Ok(Self(Arc::new(Inner {
            engine,
            options,
            cache,
            modules: Mutex::default(),
        })))
    }

    /// Loads a component: compiles it, unless this or an earlier process did, links it and asks what it holds. Takes
    /// up to seconds for a component that is new. Concurrent calls with the same bytes compile once.
    ///
    /// # Errors
    /// [`Error::InvalidModule`] when the bytes are too many or no component of this contract, when it imports what it
    /// must not have, or when what it says of itself makes no sense; [`Error::Trap`] and [`Error::Limit`] when it
    /// crashes while it is asked.
    pub fn load(&self, bytes: &[u8]) -> Result<Module, Error> {
        self.load_from(bytes).map(|(module, _)| module)
    }

    /// As [`load`](Self::load); says where the module came from.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_from(&self, bytes: &[u8]) -> Result<(Module, Origin), Error> {
        let limit = self.0.options.max_module_bytes;
        if bytes.len() > limit {
            return Err(Error::invalid_module(format!(
                "it has {} bytes, and {limit} are allowed; leave out what it does not need, or raise `max_module_bytes`",
                bytes.len()
            )));
        }
        let digest = Digest::of(bytes);
        let slot = self.slot(digest);
        let mut slot = lock(&slot);
        if let Some(module) = slot.as_ref() {
            return Ok((module.clone(), Origin::Kept));
        }
        let (component, origin) = self.component(&digest, bytes)?;
        let SandboxOptions {
            stack_bytes,
            load_timeout_ms,
            ..
        } = self.0.options;
        let module = Module::new(digest, link(&component)?, stack_bytes, load_timeout_ms)?;
        *slot = Some(module.clone());
        Ok((module, origin))
    }

    /// The module with this digest, if it was loaded and is still kept.
    pub fn loaded(&self, digest: &Digest) -> Option<Module> {
        let slot = lock(&self.0.modules)
            .iter()
            .find(|(known, _)| known == digest)?
            .1
            .clone();
        // A slot that is locked is being filled.
        slot.try_lock().ok()?.clone()
    }

    /// The options it was made with.
    pub fn options(&self) -> &SandboxOptions {
        &self.0.options
    }

    fn slot(&self, digest: Digest) -> Slot {
        let mut modules = lock(&self.0.modules);
        let slot = match modules.iter().position(|(known, _)| *known == digest) {
            Some(position) => modules.remove(position).map(|(_, slot)| slot).unwrap_or_default(),
            None => Slot::default(),
        };
        modules.push_back((digest, slot.clone()));
        while modules.len() > self.0.options.max_modules.max(1) {
            modules.pop_front();
        }
        slot
    }

    fn component(&self, digest: &Digest, bytes: &[u8]) -> Result<(Component, Origin), Error> {
        if let Some(artefact) = self.0.cache.as_ref().and_then(|cache| cache.get(digest)) {
            // SAFETY: the artefact carries the tag of our key, so it is what `serialize` of this engine gave.
            match unsafe { Component::deserialize(&self.0.engine, &artefact) } {
                Ok(component) => return Ok((component, Origin::Cached)),
                Err(error) => {
                    tracing::warn!(module = %digest, %error, "a compiled module does not fit; compiling again")
                }
            }
        }
        if !looks_like_component(bytes) {
            return Err(Error::invalid_module(
                "it is not a Wasm component; build it for the target wasm32-wasip2",
            ));
        }
        let component = Component::from_binary(&self.0.engine, bytes)
            .map_err(|error| Error::invalid_module(format!("{error:#}")))?;
        if let Some(cache) = &self.0.cache {
            match component.serialize() {
                Ok(artefact) => cache.put(digest, &artefact),
                Err(error) => tracing::warn!(module = %digest, %error, "cannot keep a compiled module"),
            }
        }
        Ok((component, Origin::Compiled))
    }
}

/// Whether the bytes start as a component does, not as a core module or anything else.
fn looks_like_component(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\0asm\x0d\0\x01\0")
}

/// A panic while a lock was held left the list or the slot as it was before or after, never between.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn engine(options: &SandboxOptions) -> wasmtime::Result<Engine> {
    let instances = options.max_instances.max(1);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .max_core_instances_per_component(MODULES_PER_COMPONENT)
        .max_memories_per_component(MEMORIES_PER_COMPONENT)
        .max_tables_per_component(TABLES_PER_COMPONENT)
        // Almost every component is four core modules (its own, an adapter and two shims) with one memory.
        .total_core_instances(instances.saturating_mul(4).max(MODULES_PER_COMPONENT))
        .total_memories(instances.max(MEMORIES_PER_COMPONENT))
        .total_tables(instances.saturating_mul(4).max(TABLES_PER_COMPONENT))
        .table_elements(options.max_table_elements)
        .max_memory_size(options.max_memory_bytes)
        .max_component_instance_size(1 << 20)
        .max_core_instance_size(1 << 20)
        .linear_memory_keep_resident(KEEP_RESIDENT)
        .table_keep_resident(64 << 10);
    let mut config = Config::new();
    config
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool))
        .epoch_interruption(true)
        .max_wasm_stack(options.stack_bytes)
        // Frames of the guest's functions say little to its author, and collecting them takes time at each trap.
        .wasm_backtrace_max_frames(None)
        // Results must not depend on the machine that ran a task. For NaNs, `array_out` sees to that: a check behind
        // every instruction makes arithmetic several times as slow.
        .relaxed_simd_deterministic(true)
        .wasm_memory64(false)
        .concurrency_support(false);
    Engine::new(&config)
}

/// Moves the time on until the engine is gone.
fn start_ticker(engine: EngineWeak, tick: Duration) -> Result<(), Error> {
    let run = move || {
        loop {
            thread::sleep(tick);
            match engine.upgrade() {
                Some(engine) => engine.increment_epoch(),
                None => return,
            }
        }
    };
    thread::Builder::new()
        .name("wasm-ticker".to_owned())
        .spawn(run)
        .map(drop)
        .map_err(|source| Error::Engine {
            doing: "starting its clock",
            source: source.into(),
        })
}
