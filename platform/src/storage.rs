//! Object storage.

use std::sync::Arc;

use bytes::Bytes;
use object_store::ObjectStore;

/// Where runs keep their objects: a bucket with a prefix, or a folder. Keys are relative to it.
#[derive(Clone)]
pub struct Storage {
    store: Arc<dyn ObjectStore>,
}

/// A storage call failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} `{key}`")]
pub struct StorageError {
    /// What was tried: `read`, `write`, …
    pub action: &'static str,
    /// The key.
    pub key: String,
    /// Why it failed.
    #[source]
    pub source: object_store::Error,
}

impl StorageError {
    /// Whether the object does not exist.
    pub fn is_not_found(&self) -> bool {
        matches!(self.source, object_store::Error::NotFound { .. })
    }
}

impl Storage {
    /// Opens `file:///path`, or a plain path; the folder is created.
    pub fn open(url: &str) -> Result<Self, StorageError> {
        let _ = url;
        todo!()
    }

    /// The store, with keys relative to the root.
    pub fn object_store(&self) -> &Arc<dyn ObjectStore> {
        &self.store
    }

    /// Reads a whole object.
    pub async fn get(&self, key: &str) -> Result<Bytes, StorageError> {
        let _ = key;
        todo!()
    }

    /// Writes a whole object, replacing what was there.
    pub async fn put(&self, key: &str, bytes: Bytes) -> Result<(), StorageError> {
        let _ = (key, bytes);
        todo!()
    }

    /// Whether an object exists.
    pub async fn exists(&self, key: &str) -> Result<bool, StorageError> {
        let _ = key;
        todo!()
    }

    /// Deletes objects; those that do not exist are fine.
    pub async fn delete(&self, keys: Vec<String>) -> Result<(), StorageError> {
        let _ = keys;
        todo!()
    }
}
