//! Listing, for garbage collection: nobody lists to find results.

use futures::TryStreamExt;
use object_store::path::Path;
use weir_model::Timestamp;

use super::{CALL_TIMEOUT, Storage, StorageError, generic};

impl Storage {
    /// The names of what lies directly below `prefix` and has objects below it: `b` for `prefix/b/c`.
    pub async fn list_folders(&self, prefix: &str) -> Result<Vec<String>, StorageError> {
        let listed = self.call("list", prefix, |store, path| async move {
            store.list_with_delimiter(Some(&path)).await
        });
        let folders = listed.await?.common_prefixes;
        Ok(folders
            .iter()
            .filter_map(|path| path.filename().map(str::to_owned))
            .collect())
    }

    /// Keys of objects below `prefix` that were written before a time, by the clock of the storage: at most `limit`.
    pub async fn list_older(&self, prefix: &str, before: Timestamp, limit: usize) -> Result<Vec<String>, StorageError> {
        let error = |source| StorageError::new("list", prefix, source);
        let path = Path::parse(prefix).map_err(|e| error(e.into()))?;
        let mut listing = self.store.list(Some(&path));
        let mut keys = Vec::new();
        while keys.len() < limit {
            let next = tokio::time::timeout(CALL_TIMEOUT, listing.try_next()).await;
            let next = next.unwrap_or_else(|elapsed| Err(generic(elapsed)));
            match next {
                Ok(None) => break,
                Ok(Some(object)) => {
                    let written = u64::try_from(object.last_modified.timestamp_millis()).unwrap_or(0);
                    if written < before.0 {
                        keys.push(object.location.to_string());
                    }
                }
                // A folder that vanishes while it is listed has been deleted by somebody else.
                Err(object_store::Error::NotFound { .. }) => {}
                Err(source) => return Err(error(source)),
            }
        }
        Ok(keys)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::clock;

    #[tokio::test]
    async fn lists_show_what_is_below_and_how_old() {
        let dir = tempfile::tempdir().unwrap();
        let storage = Storage::open(dir.path().to_str().unwrap()).unwrap();
        assert_eq!(storage.list_folders("runs").await.unwrap(), Vec::<String>::new());
        assert_eq!(
            storage.list_older("runs", Timestamp(u64::MAX), 9).await.unwrap(),
            Vec::<String>::new()
        );
        for key in ["runs/a/x", "runs/a/y", "runs/b/c/z", "runs/loose", "other/d/e"] {
            storage.put(key, Bytes::from_static(b"1")).await.unwrap();
        }
        let mut folders = storage.list_folders("runs").await.unwrap();
        folders.sort();
        assert_eq!(folders, ["a", "b"]);
        let later = clock::now().plus_ms(60_000);
        let mut all = storage.list_older("runs", later, 9).await.unwrap();
        all.sort();
        assert_eq!(all, ["runs/a/x", "runs/a/y", "runs/b/c/z", "runs/loose"]);
        assert_eq!(storage.list_older("runs", later, 2).await.unwrap().len(), 2);
        let earlier = Timestamp(clock::now().0 - 60_000);
        assert_eq!(
            storage.list_older("runs", earlier, 9).await.unwrap(),
            Vec::<String>::new()
        );
    }
}
