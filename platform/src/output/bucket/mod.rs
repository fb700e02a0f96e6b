//! Commits of outputs in S3.
//!
//! Attempts stage a file as a *multipart upload to its target* that they leave incomplete: nobody sees it, and to
//! complete it costs one call, whatever its size. As S3 cannot say what an upload is for, there is an object for each
//! in the staging folder that names it, the *marker*, from before its first part until it is over; and it carries a
//! *token* that its object has as metadata afterwards, by which a completed upload is known again. The commit then goes
//! through these steps:
//!
//! 1. A journal of the targets and tokens is put into the staging folder; an abort follows it backwards.
//! 2. The manifest of an earlier output of the same target is copied into the staging folder, then deleted: readers no
//!    longer see it.
//! 3. The uploads are completed, each on the condition that there is no object. When there is one it is either ours,
//!    completed before a crash; or it is what is to be replaced, and the condition becomes that it is still that one.
//!    An upload that is gone while its target has the token was completed before a crash.
//! 4. Files that the earlier manifest names and that were not replaced are deleted.
//! 5. The new manifest is put.
//! 6. Uploads of other attempts that a marker names are aborted, and the staging folder is deleted. From step 5 on the
//!    output is visible, so that a failure here is only logged.
//!
//! What a process leaves behind that dies and is never heard of again, [`sweep_orphans`] finds.

mod abort;
mod commit;
mod staging;
mod sweep;
mod writer;

use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{Attribute, GetOptions, ObjectMeta, ObjectStore, ObjectStoreExt, PutPayload};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use weir_model::{OutputFile, OutputManifest, SinkInfo, Staged};

use super::{AfterStep, Error, STAGING_ROOT, SinkOutput};
use crate::s3::{S3, S3Store, S3Url};

pub(super) use abort::abort;
pub(super) use commit::{SinkCommit, clean, place, publish};
pub(super) use staging::remove_staging;
pub use sweep::{SweptOrphans, sweep_orphans};
pub use writer::UploadWriter;

/// Calls under way at once.
const CONCURRENT_CALLS: usize = 16;
const JOURNAL: &str = "commit.json";
const REPLACED_PREFIX: &str = "replaced-";
/// The end of a marker's name; before it comes the token.
const MARKER_SUFFIX: &str = ".upload";
/// The metadata that has the token. S3 makes it lower case.
const TOKEN: &str = "weir-token";

/// What a commit is about to do, for an abort to undo. Lies in the staging folder.
#[derive(Serialize, Deserialize)]
struct Journal {
    manifest: OutputManifest,
    files: Vec<Placed>,
}

/// A file that the commit puts in place.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Placed {
    /// The path in the bucket.
    path: String,
    token: String,
}

/// What a marker says.
#[derive(Serialize, Deserialize)]
struct Marker {
    /// The path in the bucket.
    path: String,
    /// The upload's id.
    id: String,
}

/// Where a sink lies in its bucket.
#[derive(Clone, Debug)]
struct Place {
    store: S3Store,
    transform: String,
    /// The folder that the names in a manifest are relative to.
    folder: Path,
    manifest: Path,
    staging: Path,
}

impl Place {
    fn new(s3: &S3, sink: &SinkInfo) -> Result<Self, Error> {
        let folder = match sink.target.strip_suffix('/') {
            Some(folder) => folder,
            None => sink.target.rsplit_once('/').map_or("", |(folder, _)| folder),
        };
        let folder = parse(&sink.transform, folder)?;
        Ok(Self {
            store: s3.bucket(folder.bucket),
            transform: sink.transform.clone(),
            folder: folder.path,
            manifest: parse(&sink.transform, &sink.manifest)?.path,
            staging: parse(&sink.transform, &sink.staging)?.path,
        })
    }

    fn error(&self, action: &'static str, path: &Path) -> impl FnOnce(object_store::Error) -> Error {
        let (transform, url) = (self.transform.clone(), format!("{}/{path}", self.store));
        move |source| Error::storage(&transform, action, url, source)
    }

    /// Reads a JSON object, `None` when there is none or it holds something else.
    async fn read_json<T: DeserializeOwned>(&self, path: &Path) -> Result<Option<T>, Error> {
        let read = async { self.store.get(path).await?.bytes().await };
        match read.await {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.error("read", path)(error)),
        }
    }

    async fn write_json(&self, path: &Path, value: &impl Serialize) -> Result<(), Error> {
        let failed = self.error("write", path);
        let bytes = match serde_json::to_vec_pretty(value) {
            Ok(bytes) => bytes,
            Err(error) => {
                return Err(failed(object_store::Error::NotSupported { source: error.into() }));
            }
        };
        let put = self.store.put(path, PutPayload::from(bytes)).await;
        put.map(drop).map_err(failed)
    }

    /// Deletes an object; one that is gone already is fine.
    async fn delete(&self, path: &Path) -> Result<(), Error> {
        match self.store.delete(path).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.error("delete", path)(error)),
        }
    }

    async fn delete_all(&self, paths: Vec<Path>) -> Result<(), Error> {
        let mut deleted = self.store.delete_stream(futures::stream::iter(paths).map(Ok).boxed());
        while let Some(deleted) = deleted.next().await {
            deleted.map_err(self.error("delete objects in", &self.staging))?;
        }
        Ok(())
    }

    /// An object and its token, if there is one.
    async fn find(&self, path: &Path) -> Result<Option<Found>, Error> {
        let options = GetOptions::new().with_head(true);
        match self.store.get_opts(path, options).await {
            Ok(found) => Ok(Some(Found {
                token: found
                    .attributes
                    .get(&Attribute::Metadata(TOKEN.into()))
                    .map(|token| token.to_string()),
                meta: found.meta,
            })),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.error("look for", path)(error)),
        }
    }

    /// Manifests that earlier tries of this commit have copied into the staging folder, oldest first.
    async fn replaced_manifests(&self) -> Result<Vec<OutputManifest>, Error> {
        let mut replaced = Vec::new();
        loop {
            match self.read_json(&self.replaced(replaced.len())).await? {
                Some(manifest) => replaced.push(manifest),
                None => return Ok(replaced),
            }
        }
    }

    fn replaced(&self, n: usize) -> Path {
        self.staging.clone().join(format!("{REPLACED_PREFIX}{n}.json"))
    }

    fn journal(&self) -> Path {
        self.staging.clone().join(JOURNAL)
    }
}

/// An object that is there.
struct Found {
    meta: ObjectMeta,
    token: Option<String>,
}

fn parse(transform: &str, url: &str) -> Result<S3Url, Error> {
    url.parse().map_err(|source| Error::BadPlace {
        transform: transform.to_owned(),
        source,
    })
}

/// Awaits calls, several at once, until the first error.
async fn all<T>(calls: Vec<impl Future<Output = Result<T, Error>>>) -> Result<Vec<T>, Error> {
    futures::stream::iter(calls)
        .buffer_unordered(CONCURRENT_CALLS)
        .try_collect()
        .await
}

/// A path below `folder`, by its name there.
fn below(folder: &Path, name: &str) -> Option<Path> {
    let inside = !name.is_empty() && name.split('/').all(|part| !["", ".", ".."].contains(&part));
    let name = Path::parse(name).ok().filter(|_| inside)?;
    Some(folder.parts().chain(name.parts()).collect())
}

/// Aborts the upload of a file that will not be committed, and deletes its marker; it may be over.
pub(super) async fn discard(s3: &S3, file: &OutputFile) -> Result<(), Error> {
    let Staged::Upload { id, marker, .. } = &file.staged else {
        return Ok(());
    };
    let (target, marker) = (parse("", &file.target)?, parse("", marker)?);
    let store = s3.bucket(target.bucket);
    let failed = |source| Error::storage("", "discard the upload to", file.target.clone(), source);
    store.upload_abort(&target.path, id).await.map_err(failed)?;
    match store.delete(&marker.path).await {
        Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
        Err(error) => Err(failed(error)),
    }
}

#[cfg(test)]
mod tests;
