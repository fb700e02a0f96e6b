//! A part of a bucket that some may not reach.

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
}

impl S3Store {
    /// Refuses a path behind the fence.
    pub(super) fn check(&self, path: &Path) -> Result<()> {
        match self.is_fenced(path) {
            false => Ok(()),
            true => Err(Error::PermissionDenied {
                path: path.to_string(),
                source: format!(
                    "`s3://{}/{path}` lies in the storage of Weir itself, which jobs cannot use; choose another place",
                    self.bucket
                )
                .into(),
            }),
        }
    }

    /// What of a listing may be seen.
    pub(super) fn visible(&self, mut listed: ListResult) -> ListResult {
        listed.objects.retain(|object| !self.is_fenced(&object.location));
        listed.common_prefixes.retain(|prefix| !self.is_fenced(prefix));
        listed
    }

    fn is_fenced(&self, path: &Path) -> bool {
        let fence = self.s3.fence.as_ref().filter(|fence| *fence.bucket == *self.bucket);
        fence.is_some_and(|fence| path.prefix_matches(&fence.path))
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
}
