//! Object storage.

mod hedge;
mod list;

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aws_config::SdkConfig;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};

use crate::s3::{RequestCounts, S3, S3Store, S3Url};
use hedge::Hedge;
pub use list::ListedObject;

/// Time limit of one try of one call. Generous, since it covers the transfer of a whole object.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);
/// Objects that are deleted by one call of a store.
const DELETE_BATCH: usize = 1000;
/// Such calls under way at once.
const CONCURRENT_DELETES: usize = 4;
/// A key that nobody writes, to see whether the storage answers.
const PROBE: &str = "reachable";

/// How often a call is tried, and how long it waits in between.
#[derive(Clone, Copy, Debug)]
struct Retries {
    /// Tries of one call.
    tries: u32,
    /// The wait before the second try; each further one doubles it.
    first_backoff: Duration,
}

const LOCAL: Retries = Retries {
    tries: 4,
    first_backoff: Duration::from_millis(50),
};
/// Longer, since S3 wants to be left alone for a moment when it says so.
const REMOTE: Retries = Retries {
    tries: 6,
    first_backoff: Duration::from_millis(100),
};

/// Where runs keep their objects: a bucket with a prefix, or a folder. Keys are relative to it.
///
/// Calls are tried again a few times after errors that may pass, and every try has a time limit. Reads from S3 that
/// take much longer than most are sent a second time, within a budget, and the first answer counts.
#[derive(Clone)]
pub struct Storage {
    /// What calls go through; it does not try again by itself.
    store: Arc<dyn ObjectStore>,
    /// The same, for streams and uploads.
    streaming: Arc<dyn ObjectStore>,
    retries: Retries,
    hedge: Option<Arc<Hedge>>,
    s3: S3,
    bucket: Option<(S3Store, Path)>,
}

/// How storage in S3 is reached.
#[derive(Clone, Debug, Default)]
pub struct StorageOptions {
    /// Whether the bucket is part of the path instead of the host's name, as many S3-compatible servers want it.
    pub path_style: bool,
    /// Credentials, endpoints and connections; as the environment says (see [`crate::aws::config`]) when absent.
    pub aws: Option<SdkConfig>,
}

impl StorageOptions {
    fn s3(self) -> S3 {
        match self.aws {
            Some(config) => S3::new(config, self.path_style),
            None => S3::from_environment(self.path_style),
        }
    }
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
    fn new(action: &'static str, key: &str, source: object_store::Error) -> Self {
        Self {
            action,
            key: key.to_owned(),
            source,
        }
    }

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
    /// Opens `s3://bucket/prefix`, `file:///path`, or a plain path; a folder is created. S3 is as the environment says.
    pub fn open(url: &str) -> Result<Self, StorageError> {
        Self::open_with(url, StorageOptions::default())
    }

    /// Opens `s3://bucket/prefix`, `file:///path`, or a plain path; a folder is created. S3 is not called yet: see
    /// [`check`](Self::check).
    pub fn open_with(url: &str, options: StorageOptions) -> Result<Self, StorageError> {
        let error = |source| StorageError {
            action: "open the storage",
            key: url.to_owned(),
            source,
        };
        let folder = match url.split_once("://") {
            None => PathBuf::from(url),
            Some(("file", path)) => PathBuf::from(path),
            Some(("s3", _)) => {
                let place: S3Url = url.parse().map_err(|e: crate::s3::S3UrlError| {
                    error(object_store::Error::NotSupported { source: e.into() })
                })?;
                return Ok(Self::in_bucket(options.s3(), place));
            }
            Some((scheme, _)) => {
                return Err(error(object_store::Error::NotSupported {
                    source: format!("storage of the kind `{scheme}` is not known; use a path, `file://` or `s3://`")
                        .into(),
                }));
            }
        };
        std::fs::create_dir_all(&folder).map_err(|e| error(generic(e)))?;
        // Without the clean-up every run would leave its empty folders behind.
        let store = LocalFileSystem::new_with_prefix(&folder).map_err(error)?;
        let store = Arc::new(store.with_automatic_cleanup(true));
        Ok(Self::of(store, options.s3()))
    }

    fn in_bucket(s3: S3, place: S3Url) -> Self {
        let bucket = s3.bucket(&*place.bucket);
        let below = |store: S3Store| Arc::new(PrefixStore::new(store, place.path.clone()));
        Self {
            store: below(bucket.without_retries()),
            streaming: below(bucket.clone()),
            retries: REMOTE,
            hedge: Some(Arc::default()),
            bucket: Some((bucket, place.path.clone())),
            s3: s3.without(place),
        }
    }

    fn of(store: Arc<dyn ObjectStore>, s3: S3) -> Self {
        Self {
            streaming: Arc::clone(&store),
            store,
            retries: LOCAL,
            hedge: None,
            s3,
            bucket: None,
        }
    }

    /// Storage in `store`, whose root is the root of all keys.
    pub fn new(store: Arc<dyn ObjectStore>) -> Self {
        Self::of(store, StorageOptions::default().s3())
    }

    /// The same storage, whose requests to S3 are counted, and those of its [`s3`](Self::s3). A folder has none.
    #[must_use]
    pub fn counted(&self, counts: &Arc<RequestCounts>) -> Self {
        let s3 = self.s3.counted(Arc::clone(counts));
        match &self.bucket {
            Some((bucket, path)) => {
                let place = S3Url {
                    bucket: bucket.bucket().to_owned(),
                    path: path.clone(),
                };
                Self {
                    hedge: self.hedge.clone(),
                    ..Self::in_bucket(s3.unfenced(), place)
                }
            }
            None => Self { s3, ..self.clone() },
        }
    }

    /// The store, with keys relative to the root, for streams and uploads. What it tries again, and for how long, is up
    /// to it: S3 has limits, a folder needs none.
    pub fn object_store(&self) -> &Arc<dyn ObjectStore> {
        &self.streaming
    }

    /// The S3 of the process, for users' tables and outputs: not for what lies in this storage. It is there even when the
    /// storage is a folder.
    pub fn s3(&self) -> &S3 {
        &self.s3
    }

    /// The bucket that it is in, if it is in one.
    pub fn bucket(&self) -> Option<&str> {
        self.bucket.as_ref().map(|(bucket, _)| bucket.bucket())
    }

    /// Finds out whether the storage can be reached and may be read. In a bucket that takes the right to list it as
    /// well: without that, S3 says of an object that is not there that it is forbidden, and lost objects are not known
    /// as such.
    pub async fn check(&self) -> Result<(), StorageError> {
        self.exists(PROBE).await.map(drop)
    }

    /// A URL by which anybody may write an object of so many bytes until `ttl` is over, at most seven days; `None` for a
    /// folder.
    pub async fn presign_put(&self, key: &str, bytes: u64, ttl: Duration) -> Result<Option<String>, StorageError> {
        let Some((bucket, path)) = self.absolute(key)? else {
            return Ok(None);
        };
        let signed = bucket.presign_put(&path, bytes, ttl).await;
        signed
            .map(Some)
            .map_err(|source| StorageError::new("sign", key, source))
    }

    /// A URL by which anybody may read an object until `ttl` is over, at most seven days; `None` for a folder.
    pub async fn presign_get(&self, key: &str, ttl: Duration) -> Result<Option<String>, StorageError> {
        let Some((bucket, path)) = self.absolute(key)? else {
            return Ok(None);
        };
        let signed = bucket.presign_get(&path, ttl).await;
        signed
            .map(Some)
            .map_err(|source| StorageError::new("sign", key, source))
    }

    /// Where a key is in its bucket.
    fn absolute(&self, key: &str) -> Result<Option<(&S3Store, Path)>, StorageError> {
        let Some((bucket, root)) = &self.bucket else {
            return Ok(None);
        };
        let path = Path::parse(key).map_err(|e| StorageError::new("sign", key, e.into()))?;
        Ok(Some((bucket, root.parts().chain(path.parts()).collect())))
    }

    /// Reads a whole object.
    pub async fn get(&self, key: &str) -> Result<Bytes, StorageError> {
        self.read(
            key,
            None,
            |store, path| async move { store.get(&path).await?.bytes().await },
        )
        .await
    }

    /// Reads bytes of an object.
    pub async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, StorageError> {
        let size = range.end.saturating_sub(range.start);
        self.read(key, Some(size), |store, path| {
            let range = range.clone();
            async move { store.get_range(&path, range).await }
        })
        .await
    }

    /// A read of so many bytes, if that is known, which may be sent twice.
    async fn read<F>(
        &self,
        key: &str,
        size: Option<u64>,
        request: impl Fn(Arc<dyn ObjectStore>, Path) -> F,
    ) -> Result<Bytes, StorageError>
    where
        F: Future<Output = object_store::Result<Bytes>>,
    {
        let request = &request;
        self.call("read", key, |store, path| async move {
            match &self.hedge {
                None => request(store, path).await,
                Some(hedge) => hedge.read(size, || request(store.clone(), path.clone())).await,
            }
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

    /// Deletes objects, many at once; those that do not exist are fine. Stops at the first error.
    pub async fn delete(&self, keys: Vec<String>) -> Result<(), StorageError> {
        futures::stream::iter(keys.chunks(DELETE_BATCH))
            .map(Ok)
            .try_for_each_concurrent(CONCURRENT_DELETES, |keys| self.delete_batch(keys))
            .await
    }

    /// Deletes every object below `prefix`, a whole path segment, and aborts the uploads of objects that would be
    /// there; for garbage collection only, since it lists.
    pub async fn delete_prefix(&self, prefix: &str) -> Result<(), StorageError> {
        let error = |source| StorageError::new("list", prefix, source);
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
        self.abort_uploads(prefix).await
    }

    /// Aborts the uploads below `prefix` that processes have left open which died.
    async fn abort_uploads(&self, prefix: &str) -> Result<(), StorageError> {
        let Some((bucket, path)) = self.absolute(prefix)? else {
            return Ok(());
        };
        let error = |source| StorageError::new("abort uploads to", prefix, source);
        let mut uploads = bucket.uploads(&format!("{path}/"));
        while let Some(upload) = tokio::time::timeout(CALL_TIMEOUT, uploads.try_next())
            .await
            .unwrap_or_else(|elapsed| Err(generic(elapsed)))
            .map_err(error)?
        {
            bucket.upload_abort(&upload.path, &upload.id).await.map_err(error)?;
        }
        Ok(())
    }

    async fn delete_batch(&self, keys: &[String]) -> Result<(), StorageError> {
        let parse = |key: &String| Path::parse(key).map_err(|e| StorageError::new("delete", key, e.into()));
        let paths = keys.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
        let Some(first) = keys.first() else { return Ok(()) };
        self.call("delete", first, |store, _| {
            let paths = futures::stream::iter(paths.clone()).map(Ok).boxed();
            async move {
                let deleted = store.delete_stream(paths);
                let real = deleted.filter(|result| {
                    let missing = matches!(result, Err(object_store::Error::NotFound { .. }));
                    std::future::ready(!missing)
                });
                real.try_for_each(|_| std::future::ready(Ok(()))).await
            }
        })
        .await
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
        let error = |source| StorageError::new(action, key, source);
        let path = Path::parse(key).map_err(|e| error(e.into()))?;
        let mut backoff = self.retries.first_backoff;
        for tried in 1.. {
            let result = tokio::time::timeout(CALL_TIMEOUT, request(self.store.clone(), path.clone()))
                .await
                .unwrap_or_else(|elapsed| Err(generic(elapsed)));
            match result {
                Ok(value) => return Ok(value),
                Err(e) if tried < self.retries.tries && is_transient(&e) => {
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
mod tests;
