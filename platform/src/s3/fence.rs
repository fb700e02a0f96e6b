//! Parts of buckets that some may not reach, and those that are all that some may.

use std::sync::Arc;

use object_store::path::Path;
use object_store::{Error, ListResult, Result};

use super::{S3, S3Store, S3Url};

impl S3 {
    /// The same S3 without what lies below a place: nothing there can be read, written, deleted or seen in a list.
    ///
    /// For the files of users, whose jobs must not reach the objects of Weir, which are those of all tenants.
    pub fn without(&self, place: S3Url) -> Self {
        Self {
            fence: Some(place.into()),
            ..self.clone()
        }
    }

    /// The same S3 with what is behind the fence, for the storage of Weir itself.
    pub(crate) fn unfenced(&self) -> Self {
        Self {
            fence: None,
            ..self.clone()
        }
    }

    /// The same S3 with nothing but what lies at or below some places, and not behind the fence.
    ///
    /// For the jobs of a tenant that may not reach the files of others.
    #[must_use]
    pub fn only(&self, places: Arc<[S3Url]>) -> Self {
        Self {
            only: Some(places),
            ..self.clone()
        }
    }
}

impl S3Url {
    /// Whether a path of a bucket is this place or lies below it, folder by folder: `a/bc` does not lie below `a/b`.
    pub fn contains(&self, bucket: &str, path: &Path) -> bool {
        *self.bucket == *bucket && path.prefix_matches(&self.path)
    }
}

impl S3Store {
    /// Refuses a path that the holder of this handle may not use.
    pub(super) fn check(&self, path: &Path) -> Result<()> {
        let place = || format!("`s3://{}/{path}`", self.bucket);
        let reason = if self.is_fenced(path) {
            format!(
                "{} lies in the storage of Weir itself, which jobs cannot use; choose another place",
                place()
            )
        } else if let Some(only) = self.s3.only.as_deref().filter(|only| !self.is_among(only, path)) {
            outside(&place(), only)
        } else {
            return Ok(());
        };
        Err(Error::PermissionDenied {
            path: path.to_string(),
            source: reason.into(),
        })
    }

    /// What of a listing may be seen.
    pub(super) fn visible(&self, mut listed: ListResult) -> ListResult {
        listed.objects.retain(|object| self.check(&object.location).is_ok());
        listed.common_prefixes.retain(|prefix| self.check(prefix).is_ok());
        listed
    }

    fn is_fenced(&self, path: &Path) -> bool {
        let fence = self.s3.fence.as_ref();
        fence.is_some_and(|fence| fence.contains(&self.bucket, path))
    }

    fn is_among(&self, places: &[S3Url], path: &Path) -> bool {
        places.iter().any(|place| place.contains(&self.bucket, path))
    }
}

/// Says that `place` is not among those that a tenant may use.
pub fn outside(place: &str, allowed: &[S3Url]) -> String {
    /// Places that are named.
    const NAMED: usize = 5;
    let mut named: Vec<_> = allowed.iter().take(NAMED).map(|place| format!("`{place}`")).collect();
    if allowed.len() > NAMED {
        named.push(format!("{} more", allowed.len() - NAMED));
    }
    match named.is_empty() {
        true => format!("{place} is no place for the jobs of this namespace, which may use no files of S3"),
        false => format!(
            "{place} is no place for the jobs of this namespace, which may use {}",
            named.join(", ")
        ),
    }
}

#[cfg(test)]
mod tests {
    use futures::TryStreamExt as _;
    use object_store::{ObjectMeta, ObjectStore as _, ObjectStoreExt as _};

    use super::*;

    fn is_refused<T>(result: Result<T>) -> bool {
        matches!(result, Err(Error::PermissionDenied { .. }))
    }

    #[tokio::test]
    async fn nothing_behind_the_fence_can_be_reached() {
        // Nobody answers: what is refused is refused before it is asked for.
        let s3 = S3::from_environment(false).without("s3://ours/weir/a".parse().unwrap());
        let store = s3.bucket("ours");
        let (inside, outside) = (Path::from("weir/a/runs/x"), Path::from("weir/ab"));
        assert!(is_refused(store.get_opts(&inside, Default::default()).await));
        assert!(is_refused(store.head(&inside, Default::default()).await));
        assert!(is_refused(
            store.put_opts(&inside, "x".into(), Default::default()).await
        ));
        assert!(is_refused(store.put_multipart(&inside).await));
        assert!(is_refused(
            store
                .upload_create(&inside, &Default::default(), &Default::default())
                .await
        ));
        assert!(is_refused(store.delete(&inside).await));
        assert!(is_refused(store.copy_opts(&inside, &outside, Default::default()).await));
        assert!(is_refused(store.copy_opts(&outside, &inside, Default::default()).await));
        assert!(is_refused(store.list(Some(&inside)).try_collect::<Vec<_>>().await));
        assert!(is_refused(store.list_with_delimiter(Some(&Path::from("weir/a"))).await));
        assert!(is_refused(store.presign_get(&inside, Default::default()).await));
        assert!(is_refused(store.presign_put(&inside, 1, Default::default()).await));
        assert!(is_refused(
            s3.read_start("s3://ours/weir/a/runs/x", 1)
                .await
                .map_err(|error| error.source)
        ));

        assert!(store.check(&outside).is_ok());
        assert!(s3.bucket("theirs").check(&inside).is_ok());
        let object = |path: &Path| ObjectMeta {
            location: path.clone(),
            last_modified: Default::default(),
            size: 1,
            e_tag: None,
            version: None,
        };
        let listed = store.visible(ListResult {
            common_prefixes: vec![Path::from("weir/a"), Path::from("weir/b")],
            objects: vec![object(&inside), object(&outside)],
        });
        assert_eq!(listed.common_prefixes, [Path::from("weir/b")]);
        assert_eq!(listed.objects, [object(&outside)]);
    }

    #[tokio::test]
    async fn nothing_but_some_places_can_be_reached() {
        let places = ["s3://ours/a", "s3://ours/b/c/", "s3://shared"].map(|place| place.parse().unwrap());
        let all = S3::from_environment(false).without("s3://ours/a/weir".parse().unwrap());
        // Counting opens nothing.
        let s3 = all.only(places.into()).counted(Default::default());
        let may = |bucket: &str, path: &str| s3.bucket(bucket).check(&Path::from(path)).is_ok();
        assert!(
            may("ours", "a") && may("ours", "a/x/y") && may("ours", "b/c/x") && may("shared", "") && may("shared", "x")
        );
        assert!(!may("ours", "a/weir/x") && !may("ours", "ab") && !may("ours", "b") && !may("ours", ""));
        assert!(!may("theirs", "a/x") && !may("ours", "b/cd"));

        let store = s3.bucket("ours");
        assert!(is_refused(store.list_with_delimiter(None).await));
        assert!(is_refused(store.list(None).try_collect::<Vec<_>>().await));
        assert!(is_refused(
            store.put_opts(&Path::from("ab"), "x".into(), Default::default()).await
        ));
        let error = store.head(&Path::from("ab"), Default::default()).await.unwrap_err();
        let error = std::error::Error::source(&error).unwrap().to_string();
        assert!(
            error.contains("`s3://ours/ab`") && error.contains("`s3://shared/`"),
            "{error}"
        );
        let none = all.only(Arc::from([]));
        assert!(is_refused(
            none.bucket("ours").head(&Path::from("a/x"), Default::default()).await
        ));
    }
}
