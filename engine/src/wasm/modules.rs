//! Getting modules out of storage.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use futures::{StreamExt, TryStreamExt, stream};
use weir_model::{Digest, ModuleLoads, Namespace, layout};
use weir_platform::{Storage, StorageError};
use weir_sandbox::{Module, Origin, Sandbox};

/// Modules that are fetched or compiled at once.
const CONCURRENT: usize = 4;

/// Why a module cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ModuleError {
    /// The namespace of the job does not have it.
    #[error("there is no Wasm module {digest} in the namespace `{namespace}`; upload it, then submit the job again")]
    Absent {
        /// The module.
        digest: Digest,
        /// The namespace.
        namespace: Namespace,
    },
    /// It is not in storage, or storage does not answer.
    #[error("cannot read the Wasm module {digest}")]
    Storage {
        /// The module.
        digest: Digest,
        /// Why.
        source: StorageError,
    },
    /// What is in storage is something else.
    #[error("the Wasm module {digest} is damaged in storage; submit the job again")]
    Damaged {
        /// The module.
        digest: Digest,
    },
    /// It cannot be loaded.
    #[error("cannot load the Wasm module {digest}")]
    Sandbox {
        /// The module.
        digest: Digest,
        /// Why.
        source: weir_sandbox::Error,
    },
    /// Loading it panicked or was cut off by shutdown.
    #[error("loading the Wasm module {digest} was interrupted")]
    Interrupted {
        /// The module.
        digest: Digest,
        /// Why.
        source: tokio::task::JoinError,
    },
}

impl ModuleError {
    /// Whether the module is at fault, so that trying again gives the same.
    pub fn is_user(&self) -> bool {
        match self {
            Self::Absent { .. } => true,
            Self::Sandbox { source, .. } => source.is_user(),
            _ => false,
        }
    }
}

/// Refuses modules that a namespace does not have, though the sandbox may keep them for another one.
///
/// # Errors
/// The first one that is not there.
pub async fn check_modules(
    storage: &Storage,
    namespace: &Namespace,
    digests: impl IntoIterator<Item = Digest>,
) -> Result<(), ModuleError> {
    stream::iter(digests.into_iter().map(Ok))
        .try_for_each_concurrent(CONCURRENT, |digest| async move {
            let found = storage.exists(&layout::module_key(namespace, &digest)).await;
            match found.map_err(|source| ModuleError::Storage { digest, source })? {
                true => Ok(()),
                false => Err(ModuleError::Absent {
                    digest,
                    namespace: namespace.clone(),
                }),
            }
        })
        .await
}

/// Modules, and where they came from.
#[derive(Debug, Default)]
pub struct LoadedModules {
    /// The modules.
    pub modules: BTreeMap<Digest, Module>,
    /// Where they came from, and how long that took.
    pub loads: ModuleLoads,
}

/// Loads modules of a namespace: those that the sandbox keeps at once, others from storage. Whether a job may use them
/// was [asked](check_modules) when it was planned.
///
/// # Errors
/// The first module that cannot be had.
pub async fn load_modules(
    sandbox: &Arc<Sandbox>,
    storage: &Storage,
    namespace: &Namespace,
    digests: impl IntoIterator<Item = Digest>,
) -> Result<LoadedModules, ModuleError> {
    let started = Instant::now();
    let mut loading = stream::iter(digests)
        .map(|digest| async move { Ok((digest, load(sandbox, storage, namespace, digest).await?)) })
        .buffer_unordered(CONCURRENT);
    let mut loaded = LoadedModules::default();
    while let Some((digest, (module, origin))) = loading.try_next().await? {
        let count = match origin {
            Origin::Compiled => &mut loaded.loads.compiled,
            Origin::Cached => &mut loaded.loads.cached,
            Origin::Kept => &mut loaded.loads.warm,
        };
        *count += 1;
        loaded.modules.insert(digest, module);
    }
    if !loaded.modules.is_empty() {
        loaded.loads.load_us = started.elapsed().as_micros() as u64;
    }
    Ok(loaded)
}

async fn load(
    sandbox: &Arc<Sandbox>,
    storage: &Storage,
    namespace: &Namespace,
    digest: Digest,
) -> Result<(Module, Origin), ModuleError> {
    if let Some(module) = sandbox.loaded(&digest) {
        return Ok((module, Origin::Kept));
    }
    let bytes = storage.get(&layout::module_key(namespace, &digest)).await;
    let bytes = bytes.map_err(|source| ModuleError::Storage { digest, source })?;
    if Digest::of(&bytes) != digest {
        return Err(ModuleError::Damaged { digest });
    }
    let sandbox = Arc::clone(sandbox);
    // Compiling takes up to seconds.
    let loaded = tokio::task::spawn_blocking(move || sandbox.load_from(&bytes)).await;
    loaded
        .map_err(|source| ModuleError::Interrupted { digest, source })?
        .map_err(|source| ModuleError::Sandbox { digest, source })
}
