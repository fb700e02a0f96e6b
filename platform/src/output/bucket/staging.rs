//! The staging folder of a run's sink.

use std::collections::HashSet;

use futures::TryStreamExt;
use object_store::ObjectStore;
use object_store::path::Path;
use weir_model::SinkInfo;

use super::{Error, MARKER_SUFFIX, Marker, Place, all};
use crate::s3::S3;

/// Aborts whatever uploads are staged, and deletes the folder.
pub(in super::super) async fn remove_staging(s3: &S3, sink: &SinkInfo) -> Result<(), Error> {
    Place::new(s3, sink)?.remove_staging(&HashSet::new()).await
}

impl Place {
    /// Aborts the uploads that markers name, but for those with the tokens of `completed`, and deletes the folder.
    pub(super) async fn remove_staging(&self, completed: &HashSet<&str>) -> Result<(), Error> {
        let listed = self.store.list(Some(&self.staging));
        let paths: Vec<Path> = listed
            .map_ok(|object| object.location)
            .try_collect()
            .await
            .map_err(self.error("list", &self.staging))?;
        let markers = paths.iter().filter(|path| {
            let token = path.filename().and_then(|name| name.strip_suffix(MARKER_SUFFIX));
            token.is_some_and(|token| !completed.contains(token))
        });
        all(markers.map(|marker| self.abort_marked(marker)).collect()).await?;
        // The markers go last: who fails before finds them again.
        self.delete_all(paths).await
    }

    async fn abort_marked(&self, marker: &Path) -> Result<(), Error> {
        let Some(Marker { path, id }) = self.read_json(marker).await? else {
            return Ok(());
        };
        // A marker is an object in the user's bucket: it may say anything.
        let Ok(path) = Path::parse(path) else {
            return Ok(());
        };
        let aborted = self.store.upload_abort(&path, &id).await;
        aborted.map_err(self.error("abort the upload to", &path))
    }
}
