//! What a task may read: the manifests of its input stages.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::error::{DataFusionError, Result};
use futures::{StreamExt, stream};
use tokio::sync::OnceCell;
use weir_model::{InputRef, LostShuffle, RunId, StageId, StageManifest, layout};
use weir_platform::{Storage, StorageError};

use crate::cache::Cache;

/// Objects whose existence is asked for at once, after one was missed.
const CONCURRENT_CHECKS: usize = 16;

/// The inputs of one task, as an extension of its session: operators find them with
/// [`ShuffleInputs::of`].
pub struct ShuffleInputs {
    storage: Storage,
    run: RunId,
    manifests: Arc<ManifestCache>,
    stages: HashMap<StageId, Input>,
}

struct Input {
    attempt: u32,
    manifest: OnceCell<Arc<StageManifest>>,
}

/// Manifests that tasks of this process read lately, by key. A manifest never changes.
pub(crate) type ManifestCache = Cache<String, StageManifest>;

/// Shuffle objects that a manifest names are gone.
#[derive(Debug, thiserror::Error)]
#[error(
    "{} of the shuffle objects of stage {} (attempt {}) are gone; the tasks that made them run again",
    lost.objects.len(), lost.stage, lost.stage_attempt
)]
pub struct LostObjects {
    /// Which.
    pub lost: LostShuffle,
}

impl ShuffleInputs {
    pub(crate) fn new(storage: Storage, run: RunId, manifests: Arc<ManifestCache>, inputs: &[InputRef]) -> Self {
        let stages = inputs
            .iter()
            .map(|input| {
                let manifest = OnceCell::new();
                (
                    input.stage,
                    Input {
                        attempt: input.stage_attempt,
                        manifest,
                    },
                )
            })
            .collect();
        Self {
            storage,
            run,
            manifests,
            stages,
        }
    }

    /// The inputs of the task that `context` belongs to.
    pub fn of(context: &datafusion::execution::TaskContext) -> Result<Arc<Self>> {
        context
            .session_config()
            .get_extension::<Self>()
            .ok_or_else(|| DataFusionError::Internal("a shuffle was read outside a task".to_owned()))
    }

    /// Where shuffle objects lie.
    pub fn storage(&self) -> &Storage {
        &self.storage
    }

    fn input(&self, stage: StageId) -> Result<&Input> {
        self.stages.get(&stage).ok_or_else(|| {
            DataFusionError::Internal(format!(
                "the plan reads stage {stage}, which the task message does not name"
            ))
        })
    }

    /// The manifest of an input stage, read once.
    pub async fn manifest(&self, stage: StageId) -> Result<Arc<StageManifest>> {
        let input = self.input(stage)?;
        let manifest = input.manifest.get_or_try_init(|| async {
            let key = layout::manifest_key(self.run, stage, input.attempt);
            if let Some(manifest) = self.manifests.get(&key) {
                return Ok(manifest);
            }
            let bytes = match self.storage.get(&key).await {
                Ok(bytes) => bytes,
                // Without it nobody finds the objects that it named: the stage is made again.
                Err(error) if error.is_not_found() => return Err(lost(stage, input.attempt, vec![key])),
                Err(error) => return Err(DataFusionError::External(Box::new(error))),
            };
            let manifest =
                Arc::new(StageManifest::from_bytes(&bytes).map_err(|e| DataFusionError::External(Box::new(e)))?);
            self.manifests.insert(key, Arc::clone(&manifest), bytes.len());
            Ok::<_, DataFusionError>(manifest)
        });
        manifest.await.cloned()
    }

    /// The error for a failed read of a shuffle object. When the object is gone, all objects of the stage are looked
    /// for, so that one failure is enough to make all of them again.
    pub(crate) async fn read_error(&self, stage: StageId, error: StorageError) -> DataFusionError {
        if !error.is_not_found() {
            return DataFusionError::External(Box::new(error));
        }
        let (manifest, input) = match (self.manifest(stage).await, self.input(stage)) {
            (Ok(manifest), Ok(input)) => (manifest, input),
            (Err(e), _) | (_, Err(e)) => return e,
        };
        let mut objects: Vec<String> = stream::iter(manifest.objects().to_vec())
            .map(|key| async move {
                // One that cannot be asked for is not known to be gone.
                let gone = !self.storage.exists(&key).await.unwrap_or(true);
                gone.then_some(key)
            })
            .buffer_unordered(CONCURRENT_CHECKS)
            .filter_map(|gone| async { gone })
            .collect()
            .await;
        if !objects.contains(&error.key) {
            objects.push(error.key);
        }
        objects.sort_unstable();
        lost(stage, input.attempt, objects)
    }
}

fn lost(stage: StageId, stage_attempt: u32, objects: Vec<String>) -> DataFusionError {
    let lost = LostShuffle {
        stage,
        stage_attempt,
        objects,
    };
    DataFusionError::External(Box::new(LostObjects { lost }))
}
