//! Deleting objects.

use std::collections::HashMap;

use aws_sdk_s3::types::{Delete, ObjectIdentifier};
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{Error, Result};

use super::S3Store;

/// Objects that one call deletes: S3's limit.
const BATCH: usize = 1000;
/// Calls under way at once.
const CONCURRENT_BATCHES: usize = 8;

impl S3Store {
    pub(super) fn delete_all(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let store = self.clone();
        paths
            .try_chunks(BATCH)
            .map(move |paths| {
                let store = store.clone();
                async move {
                    let paths = paths.map_err(|error| error.1)?;
                    Ok::<_, Error>(stream::iter(store.delete_batch(paths).await?))
                }
            })
            .buffered(CONCURRENT_BATCHES)
            .try_flatten()
            .boxed()
    }

    /// Deletes objects with one call and says of each whether that was done; those that do not exist count as deleted.
    async fn delete_batch(&self, paths: Vec<Path>) -> Result<Vec<Result<Path>>> {
        let [path] = paths.as_slice() else {
            return self.delete_several(paths).await;
        };
        let request = self.client().await.delete_object().bucket(self.bucket());
        let deleted = request.key(path.as_ref()).send().await;
        match deleted.map_err(|error| self.call("DeleteObject", path).error(error)) {
            Ok(_) | Err(Error::NotFound { .. }) => Ok(vec![Ok(path.clone())]),
            Err(error) => Ok(vec![Err(error)]),
        }
    }

    async fn delete_several(&self, paths: Vec<Path>) -> Result<Vec<Result<Path>>> {
        let Some(first) = paths.first() else {
            return Ok(Vec::new());
        };
        let call = self.call("DeleteObjects", first);
        let refused = |error: aws_sdk_s3::error::BuildError| call.refused(error.to_string());
        let mut delete = Delete::builder().quiet(true);
        for path in &paths {
            delete = delete.objects(
                ObjectIdentifier::builder()
                    .key(path.as_ref())
                    .build()
                    .map_err(refused)?,
            );
        }
        let request = self.client().await.delete_objects().bucket(self.bucket());
        let answer = request.delete(delete.build().map_err(refused)?).send().await;
        let answer = answer.map_err(|error| call.error(error))?;
        let mut failed: HashMap<&str, String> = HashMap::new();
        for error in answer.errors() {
            let Some(key) = error.key() else {
                return Err(call.failed("an object was not deleted, and the answer does not say which"));
            };
            let reason = [error.code(), error.message()]
                .map(Option::unwrap_or_default)
                .join(": ");
            failed.insert(key, reason);
        }
        let deleted = paths.iter().map(|path| match failed.remove(path.as_ref()) {
            None => Ok(path.clone()),
            Some(reason) if reason.starts_with("NoSuchKey") => Ok(path.clone()),
            Some(reason) if reason.starts_with("AccessDenied") => Err(Error::PermissionDenied {
                path: path.to_string(),
                source: reason.into(),
            }),
            Some(reason) => Err(self.call("DeleteObjects", path).failed(reason)),
        });
        Ok(deleted.collect())
    }
}
