//! Object storage.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};

/// Time limit of one try of one call. Generous, since it covers the transfer of a whole object.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);
/// Tries of one call.
const TRIES: u32 = 4;
/// The wait before the second try; each further one doubles it.
const FIRST_BACKOFF: Duration = Duration::from_millis(50);
/// Deletes under way at once.
const CONCURRENT_DELETES: usize = 32;

/// Where runs keep their objects: a bucket with a prefix, or a folder. Keys are relative to it.
///
/// Calls are tried again a few times after errors that may pass, and every try has a time limit.
#[derive(Clone)]
pub struct Storage {
    store: Arc<dyn ObjectStore>,
}

impl fmt::Debug for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Storage({})", self.store)
    }
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

    /// Whether the same call may succeed later: the service did not answer, or not with a reason.
    pub fn is_transient(&self) -> bool {
        is_transient(&self.source)
    }
}

fn is_transient(error: &object_store::Error) -> bool {
    use object_store::Error;
    matches!(error, Error::Generic { .. } | Error::JoinError { .. })
}

fn generic(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> object_store::Error {
    object_store::Error::Generic {
        store: "weir",
        source: source.into(),
    }
}

impl Storage {
    /// Opens `file:///path`, or a plain path; the folder is created.
    pub fn open(url: &str) -> Result<Self, StorageError> {
        let error = |source| StorageError {
            action: "open the storage",
            key: url.to_owned(),
            source,
        };
        let folder = match url.split_once("://") {
            None => PathBuf::from(url),
            Some(("file", path)) => PathBuf::from(path),
            Some((scheme, _)) => {
                return Err(error(object_store::Error::NotSupported {
                    source: format!("storage of the kind `{scheme}` is not known; use a path or `file://`").into(),
                }));
            }
        };
        std::fs::create_dir_all(&folder).map_err(|e| error(generic(e)))?;
        // Without the clean-up every run would leave its empty folders behind.
        let store = LocalFileSystem::new_with_prefix(&folder).map_err(error)?;
        Ok(Self::new(Arc::new(store.with_automatic_cleanup(true))))
    }

    /// Storage in `store`, whose root is the root of all keys.
    pub fn new(store: Arc<dyn ObjectStore>) -> Self {
        Self { store }
    }

    /// The store, with keys relative to the root. Calls through it are neither limited in time nor tried again.
    pub fn object_store(&self) -> &Arc<dyn ObjectStore> {
        &self.store
    }

    /// Reads a whole object.
    pub async fn get(&self, key: &str) -> Result<Bytes, StorageError> {
        self.call("read", key, |store, path| async move {
            store.get(&path).await?.bytes().await
        })
        .await
    }

    /// Reads bytes of an object.
    pub async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, StorageError> {
        self.call("read", key, |store, path| {
            let range = range.clone();
            async move { store.get_range(&path, range).await }
        })
        .await
    }

    /// Writes a whole object, replacing what was there.
    pub async fn put(&self, key: &str, bytes: Bytes) -> Result<(), StorageError> {
        self.call("write", key, |store, path| {
            let payload = PutPayload::from(bytes.clone());
            async move { store.put(&path, payload).await.map(drop) }
        })
        .await
    }

    /// Writes a whole object unless there is one already; says whether it wrote it.
    ///
    /// When the answer to an earlier try was lost, an object with the same bytes counts as written by this call.
    pub async fn put_if_absent(&self, key: &str, bytes: Bytes) -> Result<bool, StorageError> {
        let tries = std::sync::atomic::AtomicU32::new(0);
        let result = self
            .call("create", key, |store, path| {
                tries.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                let payload = PutPayload::from(bytes.clone());
                let options = PutOptions::from(PutMode::Create);
                async move { store.put_opts(&path, payload, options).await.map(drop) }
            })
            .await;
        match result {
            Ok(()) => Ok(true),
            Err(e) if matches!(e.source, object_store::Error::AlreadyExists { .. }) => {
                Ok(tries.into_inner() > 1 && self.get(key).await? == bytes)
            }
            Err(e) => Err(e),
        }
    }

    /// Whether an object exists.
    pub async fn exists(&self, key: &str) -> Result<bool, StorageError> {
        let found = self
            .call("look for", key, |store, path| async move { store.head(&path).await })
            .await;
        match found {
            Ok(_) => Ok(true),
            Err(e) if e.is_not_found() => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// Deletes objects, several at once; those that do not exist are fine. Stops at the first error.
    pub async fn delete(&self, keys: Vec<String>) -> Result<(), StorageError> {
        futures::stream::iter(keys)
            .map(|key| async move { self.delete_one(&key).await })
            .buffer_unordered(CONCURRENT_DELETES)
            .try_collect()
            .await
    }

    /// Deletes every object below `prefix`, a whole path segment; for garbage collection only, since it lists.
    pub async fn delete_prefix(&self, prefix: &str) -> Result<(), StorageError> {
        let error = |source| StorageError {
            action: "list",
            key: prefix.to_owned(),
            source,
        };
        let path = Path::parse(prefix).map_err(|e| error(e.into()))?;
        let mut listing = self.store.list(Some(&path)).map_err(error).ready_chunks(1000);
        while let Some(chunk) = tokio::time::timeout(CALL_TIMEOUT, listing.next())
            .await
            .map_err(|e| error(generic(e)))?
        {
            let keys = chunk
                .into_iter()
                // A folder that vanishes while it is listed has been deleted by somebody else.
                .filter(|object| !matches!(object, Err(e) if e.is_not_found()))
                .map(|object| Ok(object?.location.to_string()))
                .collect::<Result<_, StorageError>>()?;
            self.delete(keys).await?;
        }
        Ok(())
    }

    async fn delete_one(&self, key: &str) -> Result<(), StorageError> {
        let deleted = self
            .call("delete", key, |store, path| async move { store.delete(&path).await })
            .await;
        match deleted {
            Err(e) if !e.is_not_found() => Err(e),
            _ => Ok(()),
        }
    }

    async fn call<T, F>(
        &self,
        action: &'static str,
        key: &str,
        request: impl Fn(Arc<dyn ObjectStore>, Path) -> F,
    ) -> Result<T, StorageError>
    where
        F: Future<Output = object_store::Result<T>>,
    {
        let error = |source| StorageError {
            action,
            key: key.to_owned(),
            source,
        };
        let path = Path::parse(key).map_err(|e| error(e.into()))?;
        let mut backoff = FIRST_BACKOFF;
        for tried in 1.. {
            let result = tokio::time::timeout(CALL_TIMEOUT, request(self.store.clone(), path.clone()))
                .await
                .unwrap_or_else(|elapsed| Err(generic(elapsed)));
            match result {
                Ok(value) => return Ok(value),
                Err(e) if tried < TRIES && is_transient(&e) => {
                    tracing::debug!(action, key, tried, error = %e, "storage call failed; trying again");
                    tokio::time::sleep(backoff).await;
                    backoff *= 2;
                }
                Err(e) => return Err(error(e)),
            }
        }
        unreachable!("the last try returns")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use futures::stream::BoxStream;
    use object_store::memory::InMemory;
    use object_store::{
        CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, PutMultipartOptions, PutResult,
    };

    use super::*;

    /// Fails the first calls; a put takes effect even when it "fails", as when an answer is lost.
    #[derive(Debug)]
    struct Flaky {
        inner: InMemory,
        failures: AtomicU32,
    }

    impl Flaky {
        fn storage(failures: u32) -> Storage {
            Storage::new(Arc::new(Self {
                inner: InMemory::new(),
                failures: AtomicU32::new(failures),
            }))
        }

        fn fail(&self) -> object_store::Result<()> {
            let left = |n: u32| n.checked_sub(1);
            match self.failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, left) {
                Ok(_) => Err(generic("the line is down")),
                Err(_) => Ok(()),
            }
        }
    }

    impl fmt::Display for Flaky {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("flaky")
        }
    }

    #[async_trait::async_trait]
    impl ObjectStore for Flaky {
        async fn put_opts(
            &self,
            path: &Path,
            payload: PutPayload,
            options: PutOptions,
        ) -> object_store::Result<PutResult> {
            let result = self.inner.put_opts(path, payload, options).await?;
            self.fail()?;
            Ok(result)
        }

        async fn put_multipart_opts(
            &self,
            path: &Path,
            options: PutMultipartOptions,
        ) -> object_store::Result<Box<dyn MultipartUpload>> {
            self.inner.put_multipart_opts(path, options).await
        }

        async fn get_opts(&self, path: &Path, options: GetOptions) -> object_store::Result<GetResult> {
            self.fail()?;
            self.inner.get_opts(path, options).await
        }

        fn delete_stream(
            &self,
            paths: BoxStream<'static, object_store::Result<Path>>,
        ) -> BoxStream<'static, object_store::Result<Path>> {
            self.inner.delete_stream(paths)
        }

        fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
            self.inner.list(prefix)
        }

        async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
            self.inner.list_with_delimiter(prefix).await
        }

        async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> object_store::Result<()> {
            self.inner.copy_opts(from, to, options).await
        }
    }

    fn folder() -> (tempfile::TempDir, Storage) {
        let dir = tempfile::tempdir().unwrap();
        let url = format!("file://{}/new/root", dir.path().display());
        let storage = Storage::open(&url).unwrap();
        (dir, storage)
    }

    #[tokio::test]
    async fn a_folder_keeps_objects() {
        let (dir, storage) = folder();
        storage.put("a/b/c", Bytes::from_static(b"one")).await.unwrap();
        storage.put("a/b/c", Bytes::from_static(b"three")).await.unwrap();
        assert_eq!(storage.get("a/b/c").await.unwrap(), "three");
        assert_eq!(storage.get_range("a/b/c", 1..3).await.unwrap(), "hr");
        assert!(storage.exists("a/b/c").await.unwrap());
        assert!(!storage.exists("a/b").await.unwrap());
        assert!(storage.get("a/b/d").await.unwrap_err().is_not_found());
        storage.delete(vec!["a/b/c".into(), "a/b/d".into()]).await.unwrap();
        assert!(!storage.exists("a/b/c").await.unwrap());
        let left = std::fs::read_dir(dir.path().join("new/root")).unwrap().count();
        assert_eq!(left, 0, "no empty folder is left");
    }

    #[tokio::test]
    async fn only_the_first_create_wins() {
        let (_dir, storage) = folder();
        assert!(storage.put_if_absent("k", Bytes::from_static(b"a")).await.unwrap());
        assert!(!storage.put_if_absent("k", Bytes::from_static(b"a")).await.unwrap());
        assert_eq!(storage.get("k").await.unwrap(), "a");
    }

    #[tokio::test]
    async fn a_prefix_is_deleted_by_whole_segments() {
        let (_dir, storage) = folder();
        for key in ["runs/1/a", "runs/1/b/c", "runs/10/a"] {
            storage.put(key, Bytes::new()).await.unwrap();
        }
        storage.delete_prefix("runs/1").await.unwrap();
        storage.delete_prefix("runs/1").await.unwrap();
        assert!(!storage.exists("runs/1/a").await.unwrap());
        assert!(!storage.exists("runs/1/b/c").await.unwrap());
        assert!(storage.exists("runs/10/a").await.unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn passing_errors_are_tried_again_with_a_limit() {
        let storage = Flaky::storage(TRIES - 1);
        storage.put("k", Bytes::from_static(b"v")).await.unwrap();
        assert_eq!(storage.get("k").await.unwrap(), "v");

        let storage = Flaky::storage(TRIES);
        let error = storage.get("k").await.unwrap_err();
        assert!(error.is_transient() && !error.is_not_found());
    }

    #[tokio::test(start_paused = true)]
    async fn a_create_whose_answer_was_lost_still_counts_as_ours() {
        let storage = Flaky::storage(1);
        assert!(storage.put_if_absent("k", Bytes::from_static(b"ours")).await.unwrap());
    }

    #[test]
    fn unknown_kinds_of_storage_are_refused() {
        let error = Storage::open("ftp://host/x").unwrap_err();
        assert_eq!(error.to_string(), "cannot open the storage `ftp://host/x`");
        assert!(!error.is_transient());
    }
}
