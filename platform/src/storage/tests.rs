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
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> object_store::Result<PutResult> {
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
    let storage = Flaky::storage(LOCAL.tries - 1);
    storage.put("k", Bytes::from_static(b"v")).await.unwrap();
    assert_eq!(storage.get("k").await.unwrap(), "v");

    let storage = Flaky::storage(LOCAL.tries);
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
