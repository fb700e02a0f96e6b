//! Getting modules out of storage.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use weir_model::{Digest, layout};
use weir_platform::{Storage, StorageError};
use weir_sandbox::{Module, Sandbox};

/// Modules that are fetched or compiled at once.
const CONCURRENT: usize = 4;

/// Why a module cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ModuleError {
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
        matches!(self, Self::Sandbox { source, .. } if source.is_user())
    }
}

/// Loads modules: those that the sandbox keeps at once, others from storage.
///
/// # Errors
/// The first module that cannot be had.
pub async fn load_modules(
    sandbox: &Arc<Sandbox>,
    storage: &Storage,
    digests: impl IntoIterator<Item = Digest>,
) -> Result<BTreeMap<Digest, Module>, ModuleError> {
    stream::iter(digests)
        .map(|digest| async move { Ok((digest, load(sandbox, storage, digest).await?)) })
        .buffer_unordered(CONCURRENT)
        .try_collect()
        .await
}

async fn load(sandbox: &Arc<Sandbox>, storage: &Storage, digest: Digest) -> Result<Module, ModuleError> {
    if let Some(module) = sandbox.loaded(&digest) {
        return Ok(module);
    }
    let bytes = storage.get(&layout::module_key(&digest)).await;
    let bytes = bytes.map_err(|source| ModuleError::Storage { digest, source })?;
    if Digest::of(&bytes) != digest {
        return Err(ModuleError::Damaged { digest });
    }
    let sandbox = Arc::clone(sandbox);
    // Compiling takes up to seconds.
    let loaded = tokio::task::spawn_blocking(move || sandbox.load(&bytes)).await;
    loaded
        .map_err(|source| ModuleError::Interrupted { digest, source })?
        .map_err(|source| ModuleError::Sandbox { digest, source })
}
