//! Listing, for garbage collection and for the history of runs: nobody lists to find results.

use std::collections::BTreeMap;

use futures::TryStreamExt;
use object_store::ObjectMeta;
use object_store::path::Path;
use weir_model::Timestamp;

use super::{CALL_TIMEOUT, Storage, StorageError, generic};

/// An object as a list shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedObject {
    /// Its name, without the prefix.
    pub name: String,
    /// Its size, in bytes.
    pub bytes: u64,
    /// When it was written, by the clock of the storage.
    pub written_at: Timestamp,
}

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
                    if written_at(&object) < before {
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

    /// The names of objects directly below `prefix` that come after a name, in order: at most `limit`.
    pub async fn list_names(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, StorageError> {
        let listed = self.list_objects(prefix, after, limit, |_| true).await?;
        Ok(listed.into_iter().map(|object| object.name).collect())
    }

    /// Objects directly below `prefix` whose names come after a name and are wanted, in order: at most `limit`.
    ///
    /// A bucket gives them in order and is asked for those alone; a folder is read as a whole, with no more than `limit`
    /// of them in memory.
    pub async fn list_objects(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<Vec<ListedObject>, StorageError> {
        let error = |source| StorageError::new("list", prefix, source);
        let path = Path::parse(prefix).map_err(|e| error(e.into()))?;
        let mut listing = match after {
            Some(name) => self.store.list_with_offset(Some(&path), &path.clone().join(name)),
            None => self.store.list(Some(&path)),
        };
        let in_order = self.bucket.is_some();
        let mut objects = BTreeMap::new();
        while !in_order || objects.len() < limit {
            let next = tokio::time::timeout(CALL_TIMEOUT, listing.try_next()).await;
            let object = match next.unwrap_or_else(|elapsed| Err(generic(elapsed))) {
                Ok(None) => break,
                Ok(Some(object)) => object,
                // A folder that vanishes while it is listed has been deleted by somebody else.
                Err(object_store::Error::NotFound { .. }) => continue,
                Err(source) => return Err(error(source)),
            };
            let mut parts = object.location.prefix_match(&path).into_iter().flatten();
            if let (Some(name), None) = (parts.next(), parts.next())
                && wanted(name.as_ref())
            {
                objects.insert(name.as_ref().to_owned(), (object.size, written_at(&object)));
                if objects.len() > limit {
                    objects.pop_last();
                }
            }
        }
        let object = |(name, (bytes, written_at))| ListedObject {
            name,
            bytes,
            written_at,
        };
        Ok(objects.into_iter().map(object).collect())
    }
}

fn written_at(object: &ObjectMeta) -> Timestamp {
    Timestamp(u64::try_from(object.last_modified.timestamp_millis()).unwrap_or(0))
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

    #[tokio::test]
    async fn names_come_in_order_after_a_name() {
        let dir = tempfile::tempdir().unwrap();
        let storage = Storage::open(dir.path().to_str().unwrap()).unwrap();
        let names = async |after, limit| storage.list_names("list", after, limit).await.unwrap();
        assert_eq!(names(None, 9).await, Vec::<String>::new());
        for key in [
            "list/c",
            "list/a",
            "list/d",
            "list/b",
            "list/deeper/a",
            "lists/a",
            "other",
        ] {
            storage.put(key, Bytes::from_static(b"1")).await.unwrap();
        }
        assert_eq!(names(None, 9).await, ["a", "b", "c", "d"]);
        assert_eq!(names(None, 2).await, ["a", "b"]);
        assert_eq!(names(Some("b"), 1).await, ["c"]);
        assert_eq!(names(Some("bb"), 9).await, ["c", "d"]);
        assert_eq!(names(Some("d"), 9).await, Vec::<String>::new());
        assert_eq!(names(None, 0).await, Vec::<String>::new());
    }
}
