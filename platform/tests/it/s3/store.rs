//! The store against a server: object_store's own tests, and what they do not ask.

use std::sync::Arc;
use std::time::Duration;

use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, future};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{
    Attribute, Attributes, DynObjectStore, Error, GetOptions, ObjectStore, ObjectStoreExt, PutMode, PutOptions,
    PutPayload, TagSet, integration,
};
use weir_platform::s3::{MIN_PART_BYTES, S3, WriteCondition};
use weir_testkit::Aws;

use super::store;

#[tokio::test]
async fn integration_put_get_delete_list() {
    let store: Box<DynObjectStore> = Box::new(store().await);
    integration::put_get_delete_list(&*store).await;
}

#[tokio::test]
async fn integration_put_get_attributes() {
    integration::put_get_attributes(&store().await).await;
}

#[tokio::test]
async fn integration_get_opts() {
    integration::get_opts(&store().await).await;
}

#[tokio::test]
async fn integration_put_opts() {
    integration::put_opts(&store().await, true).await;
}

#[tokio::test]
async fn integration_stream_get() {
    let store: Box<DynObjectStore> = Box::new(store().await);
    integration::stream_get(&*store).await;
}

#[tokio::test]
async fn integration_list_uses_directories_correctly() {
    let store: Box<DynObjectStore> = Box::new(store().await);
    integration::list_uses_directories_correctly(&*store).await;
}

#[tokio::test]
async fn integration_list_with_delimiter() {
    let store: Box<DynObjectStore> = Box::new(store().await);
    integration::list_with_delimiter(&*store).await;
}

#[tokio::test]
async fn integration_list_with_offset_exclusivity() {
    let store: Box<DynObjectStore> = Box::new(store().await);
    integration::list_with_offset_exclusivity(&*store).await;
}

#[tokio::test]
async fn integration_list_paginated() {
    let store = store().await;
    integration::list_paginated(&store, &store).await;
}

#[tokio::test]
async fn integration_get_nonexistent_object() {
    let store: Box<DynObjectStore> = Box::new(store().await);
    let missing = integration::get_nonexistent_object(&*store, None).await;
    assert!(matches!(missing, Err(Error::NotFound { .. })), "{missing:?}");
}

#[tokio::test]
async fn integration_rename_and_copy() {
    let store: Box<DynObjectStore> = Box::new(store().await);
    integration::rename_and_copy(&*store).await;
}

#[tokio::test]
async fn integration_copy_if_not_exists() {
    let store: Box<DynObjectStore> = Box::new(store().await);
    integration::copy_if_not_exists(&*store).await;
}

#[tokio::test]
async fn integration_copy_rename_nonexistent_object() {
    let store: Box<DynObjectStore> = Box::new(store().await);
    integration::copy_rename_nonexistent_object(&*store).await;
}

#[tokio::test]
async fn integration_multipart() {
    let store = store().await;
    integration::multipart(&store, &store).await;
}

#[tokio::test]
async fn integration_multipart_race_condition() {
    integration::multipart_race_condition(&store().await, true).await;
}

#[tokio::test]
async fn integration_multipart_out_of_order() {
    integration::multipart_out_of_order(&store().await).await;
}

/// Storage roots are prefixes of buckets.
#[tokio::test]
async fn integration_below_a_prefix() {
    let store = PrefixStore::new(store().await, "root/of all");
    integration::put_get_delete_list(&store).await;
    integration::get_opts(&store).await;
    integration::list_uses_directories_correctly(&store).await;
    integration::list_with_delimiter(&store).await;
    integration::rename_and_copy(&store).await;
    integration::copy_if_not_exists(&store).await;
    integration::stream_get(&store).await;
    integration::multipart(&store, &store).await;
}

#[tokio::test]
async fn more_objects_than_one_page_or_batch_holds() {
    let store = store().await;
    let paths: Vec<Path> = (0..1205).map(|n| Path::from(format!("many/{n:04}"))).collect();
    futures::stream::iter(&paths)
        .map(|path| async { store.put(path, PutPayload::default()).await })
        .buffer_unordered(64)
        .try_collect::<Vec<_>>()
        .await
        .unwrap();
    let list = || store.list(Some(&Path::from("many"))).map_ok(|object| object.location);
    assert_eq!(list().try_collect::<Vec<_>>().await.unwrap(), paths);
    let deleted = store.delete_stream(list().boxed());
    assert_eq!(deleted.try_collect::<Vec<_>>().await.unwrap(), paths);
    assert_eq!(list().count().await, 0);
}

#[tokio::test]
async fn only_one_of_many_creators_wins() {
    let store = store().await;
    for round in 0..20 {
        let path = Path::from(format!("race/{round}"));
        let create = |n: usize| {
            let (store, path) = (&store, &path);
            async move {
                let options = PutOptions::from(PutMode::Create);
                match store.put_opts(path, PutPayload::from(n.to_string()), options).await {
                    Ok(_) => true,
                    Err(Error::AlreadyExists { .. }) => false,
                    Err(error) => panic!("{error}"),
                }
            }
        };
        let won = futures::future::join_all((0..8).map(create)).await;
        let winner = won.iter().position(|won| *won).expect("somebody wins");
        assert_eq!(won.iter().filter(|won| **won).count(), 1, "{won:?}");
        let bytes = store.get(&path).await.unwrap().bytes().await.unwrap();
        assert_eq!(bytes, winner.to_string());
    }
}

#[tokio::test]
async fn parts_before_the_last_must_be_large() {
    let store = store().await;
    let path = Path::from("parts");
    let mut upload = store.put_multipart(&path).await.unwrap();
    for _ in 0..2 {
        upload.put_part(PutPayload::from("too small")).await.unwrap();
    }
    let error = upload.complete().await.unwrap_err();
    assert!(matches!(error, Error::NotSupported { .. }), "{error:?}");
    assert!(
        error.to_string().contains(&format!("must have {MIN_PART_BYTES}")),
        "{error}"
    );
    upload.abort().await.unwrap();

    let mut upload = store.put_multipart(&path).await.unwrap();
    let large = Bytes::from(vec![b'a'; MIN_PART_BYTES as usize]);
    upload.put_part(large.into()).await.unwrap();
    upload.put_part(PutPayload::from("z")).await.unwrap();
    upload.complete().await.unwrap();
    assert_eq!(store.head(&path).await.unwrap().size, MIN_PART_BYTES + 1);
    assert_eq!(store.uploads("").count().await, 0);
}

#[tokio::test]
async fn uploads_are_invisible_until_they_are_completed_once() {
    let store = store().await;
    let path = Path::from("out/part-00000-of-00001");
    let start = || async {
        let token = Attributes::from_iter([(Attribute::Metadata("token".into()), "t")]);
        let id = store.upload_create(&path, &token, &TagSet::default()).await.unwrap();
        let part = store.upload_part(&path, &id, 0, Bytes::from(id.clone())).await.unwrap();
        (id, vec![part])
    };
    let ((first, first_parts), (second, second_parts)) = (start().await, start().await);
    assert!(matches!(store.head(&path).await, Err(Error::NotFound { .. })));
    let open: Vec<_> = store.uploads("out/par").try_collect().await.unwrap();
    assert_eq!(open.len(), 2);
    assert!(open.iter().all(|upload| upload.path == path), "{open:?}");
    assert_eq!(store.uploads("out/x").count().await, 0);

    let absent = WriteCondition::IfAbsent;
    let made = store
        .upload_complete(&path, &first, &first_parts, &absent)
        .await
        .unwrap();
    let late = store.upload_complete(&path, &second, &second_parts, &absent).await;
    assert!(matches!(late, Err(Error::AlreadyExists { .. })), "{late:?}");
    let object = store.get(&path).await.unwrap();
    assert_eq!(
        object.attributes.get(&Attribute::Metadata("token".into())),
        Some(&"t".into())
    );
    assert_eq!(object.bytes().await.unwrap(), first, "the first one's");

    let replace = WriteCondition::IfMatch(made.e_tag.unwrap());
    store
        .upload_complete(&path, &second, &second_parts, &replace)
        .await
        .unwrap();
    assert_eq!(store.get(&path).await.unwrap().bytes().await.unwrap(), second);
    assert_eq!(store.uploads("").count().await, 0);

    let (third, third_parts) = start().await;
    let stale = store.upload_complete(&path, &third, &third_parts, &replace).await;
    assert!(matches!(stale, Err(Error::Precondition { .. })), "{stale:?}");
    store.upload_abort(&path, &third).await.unwrap();
    store.upload_abort(&path, &third).await.unwrap();
    let over = store.upload_complete(&path, &third, &third_parts, &absent).await;
    assert!(matches!(over, Err(Error::NotFound { .. })), "{over:?}");
}

#[tokio::test]
async fn signed_urls_read_and_write() {
    let store = store().await;
    let path = Path::from("a b/ü");
    let ttl = Duration::from_secs(60);
    let http = http();
    let put = store.presign_put(&path, 6, ttl).await.unwrap();
    assert!(
        put.contains("SignedHeaders=content-length%3Bhost"),
        "no other length is taken: {put}"
    );
    let answer = http.put(put).body("signed").send().await.unwrap();
    assert!(answer.status().is_success(), "{answer:?}");
    let get = store.presign_get(&path, ttl).await.unwrap();
    assert!(get.contains("X-Amz-Expires=60"), "{get}");
    assert_eq!(http.get(get).send().await.unwrap().text().await.unwrap(), "signed");
}

fn http() -> reqwest::Client {
    weir_platform::aws::install_crypto();
    reqwest::Client::builder().no_proxy().build().unwrap()
}

#[tokio::test]
async fn objects_are_read_by_their_urls() {
    let aws = Aws::shared().await;
    let (s3, bucket) = (S3::new(aws.sdk_config(), true), aws.bucket().await);
    let url = |path| format!("s3://{bucket}/{path}");
    for (path, text) in [("a/b c", "0123456789"), ("empty", "")] {
        s3.bucket(bucket.as_str()).put(&path.into(), text.into()).await.unwrap();
    }
    assert_eq!(s3.read_start(&url("a/b c"), 4).await.unwrap(), "0123");
    assert_eq!(s3.read_start(&url("a/b c"), 40).await.unwrap(), "0123456789");
    assert_eq!(s3.read_start(&url("empty"), 4).await.unwrap(), "");
    assert!(s3.read_start(&url("none"), 4).await.unwrap_err().is_not_found());
    assert!(!s3.read_start("a/b", 4).await.unwrap_err().is_transient());
}

#[tokio::test]
async fn what_is_missing_is_told_apart() {
    let store = store().await;
    let path = Path::from("no/such");
    assert!(matches!(store.get(&path).await, Err(Error::NotFound { .. })));
    assert!(matches!(store.head(&path).await, Err(Error::NotFound { .. })));
    let aws = Aws::shared().await;
    let elsewhere = S3::new(aws.sdk_config(), true).bucket("no-such-bucket");
    let error = elsewhere.get(&path).await.unwrap_err();
    assert!(matches!(error, Error::NotSupported { .. }), "{error:?}");
    assert!(error.to_string().contains("no-such-bucket"), "{error}");

    store.put(&path, PutPayload::from("bytes")).await.unwrap();
    let beyond = store.get_range(&path, 10..12).await.unwrap_err();
    assert!(matches!(beyond, Error::Precondition { .. }), "{beyond:?}");
    let empty = store.get_opts(&path, GetOptions::new().with_range(Some(3..3))).await;
    assert!(matches!(empty, Err(Error::NotSupported { .. })));
}

#[tokio::test]
async fn without_credentials_nothing_is_tried_again() {
    let config = Aws::shared()
        .await
        .sdk_config()
        .into_builder()
        .credentials_provider(SharedCredentialsProvider::new(NoCredentials))
        .build();
    let store = S3::new(config, true).bucket("b");
    let error = store.get(&Path::from("k")).await.unwrap_err();
    assert!(matches!(error, Error::Unauthenticated { .. }), "{error:?}");
    assert!(error.to_string().contains("AWS_ACCESS_KEY_ID"), "{error}");
}

#[derive(Debug)]
struct NoCredentials;

impl ProvideCredentials for NoCredentials {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::ready(Err(CredentialsError::not_loaded_no_source()))
    }
}

/// DataFusion keeps stores behind this type.
#[tokio::test]
async fn it_is_a_shared_object() {
    let store: Arc<dyn ObjectStore> = Arc::new(store().await);
    assert!(store.to_string().starts_with("s3://bucket-"), "{store}");
}
