//! Storage in a bucket, and what it does when the line is bad.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::http::{Method, StatusCode};
use bytes::Bytes;
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};
use weir_platform::s3::S3;
use weir_platform::{Storage, StorageOptions};
use weir_testkit::{Aws, Call, Fault, Policy, Proxy};

use super::cutting::CuttingProxy;

/// A storage in a new bucket, behind a proxy.
async fn behind(policy: impl Fn(&Call) -> Fault + Send + Sync + 'static) -> (Proxy, Storage) {
    let aws = Aws::shared().await;
    let proxy = Proxy::start(&aws.endpoint(), Arc::new(policy) as Policy).await;
    let storage = storage(&format!("s3://{}/root", aws.bucket().await), proxy.endpoint()).await;
    (proxy, storage)
}

async fn storage(url: &str, endpoint: String) -> Storage {
    let config = Aws::shared().await.sdk_config().into_builder().endpoint_url(endpoint);
    let options = StorageOptions {
        path_style: true,
        aws: Some(config.build()),
    };
    Storage::open_with(url, options).unwrap()
}

/// Faults for the first requests of a method.
fn first(method: Method, count: u64, fault: Fault) -> impl Fn(&Call) -> Fault + Send + Sync + 'static {
    let met = AtomicU64::new(0);
    move |call| {
        let struck = call.method == method && met.fetch_add(1, Ordering::SeqCst) < count;
        if struck { fault.clone() } else { Fault::None }
    }
}

#[tokio::test]
async fn a_prefix_of_a_bucket_keeps_objects() {
    let aws = Aws::shared().await;
    let bucket = aws.bucket().await;
    let one = storage(&format!("s3://{bucket}/one/root"), aws.endpoint()).await;
    let other = storage(&format!("s3://{bucket}/one"), aws.endpoint()).await;
    one.check().await.unwrap();
    one.put("a/b", Bytes::from_static(b"three")).await.unwrap();
    assert_eq!(one.get("a/b").await.unwrap(), "three");
    assert_eq!(one.get_range("a/b", 1..3).await.unwrap(), "hr");
    assert_eq!(other.get("root/a/b").await.unwrap(), "three");
    assert!(other.get("a/b").await.unwrap_err().is_not_found());
    assert!(one.put_if_absent("c", Bytes::from_static(b"1")).await.unwrap());
    assert!(!one.put_if_absent("c", Bytes::from_static(b"1")).await.unwrap());
    one.delete(vec!["a/b".into(), "never".into()]).await.unwrap();
    assert!(!one.exists("a/b").await.unwrap());

    for key in ["runs/1/a", "runs/1/b/c", "runs/10/a"] {
        one.put(key, Bytes::new()).await.unwrap();
    }
    for key in ["runs/1/open", "runs/10/open"] {
        one.object_store().put_multipart(&Path::from(key)).await.unwrap();
    }
    one.delete_prefix("runs/1").await.unwrap();
    one.delete_prefix("runs/1").await.unwrap();
    let uploads: Vec<_> = one.s3().bucket(bucket).uploads("").try_collect().await.unwrap();
    let uploads: Vec<_> = uploads.iter().map(|upload| upload.path.as_ref()).collect();
    assert_eq!(uploads, ["one/root/runs/10/open"]);
    let left: Vec<_> = one.object_store().list(None).try_collect().await.unwrap();
    let left: Vec<_> = left.iter().map(|object| object.location.as_ref()).collect();
    assert_eq!(left, ["c", "runs/10/a"]);
}

#[tokio::test]
async fn signed_urls_lead_below_the_prefix() {
    let (_proxy, storage) = behind(|_| Fault::None).await;
    let ttl = Duration::from_secs(60);
    weir_platform::aws::install_crypto();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = storage.presign_put("modules/m.wasm", 4, ttl).await.unwrap().unwrap();
    assert!(http.put(url).body("wasm").send().await.unwrap().status().is_success());
    assert_eq!(storage.get("modules/m.wasm").await.unwrap(), "wasm");
    let url = storage.presign_get("modules/m.wasm", ttl).await.unwrap().unwrap();
    assert_eq!(http.get(url).send().await.unwrap().text().await.unwrap(), "wasm");

    let dir = tempfile::tempdir().unwrap();
    let folder = Storage::open(dir.path().to_str().unwrap()).unwrap();
    assert_eq!(folder.presign_put("k", 1, ttl).await.unwrap(), None);
    assert_eq!(folder.presign_get("k", ttl).await.unwrap(), None);
}

#[tokio::test]
async fn a_storage_that_cannot_be_reached_says_so() {
    let aws = Aws::shared().await;
    let storage = storage("s3://no-such-bucket/root", aws.endpoint()).await;
    let error = storage.get("k").await.unwrap_err();
    assert!(!error.is_not_found() && !error.is_transient(), "{error:?}");
    let wrong = Storage::open("s3:///root").unwrap_err();
    assert!(!wrong.is_transient());
}

#[tokio::test]
async fn calls_are_tried_again_but_not_twice_over() {
    let busy = Fault::Refuse(StatusCode::SERVICE_UNAVAILABLE);
    let (proxy, storage) = behind(first(Method::PUT, 3, busy.clone())).await;
    storage.put("k", Bytes::from_static(b"v")).await.unwrap();
    assert_eq!((proxy.calls(), proxy.faults()), (4, 3));
    assert_eq!(storage.get("k").await.unwrap(), "v");

    let (proxy, storage) = behind(move |_| busy.clone()).await;
    let error = storage.get("k").await.unwrap_err();
    assert!(error.is_transient(), "{error:?}");
    assert_eq!(proxy.calls(), 6, "the tries of the storage, and none below it");
    // Streams have only the tries of the SDK.
    storage.object_store().get(&Path::from("k")).await.unwrap_err();
    assert!(proxy.calls() <= 6 + 4, "{}", proxy.calls());
}

#[tokio::test]
async fn a_create_whose_answer_was_lost_counts_as_ours() {
    let (proxy, storage) = behind(first(Method::PUT, 1, Fault::LoseAnswer)).await;
    assert!(storage.put_if_absent("k", Bytes::from_static(b"ours")).await.unwrap());
    assert_eq!(proxy.faults(), 1);
    assert!(!storage.put_if_absent("k", Bytes::from_static(b"theirs")).await.unwrap());
    assert_eq!(storage.get("k").await.unwrap(), "ours");
}

#[tokio::test]
async fn deletes_and_listings_survive_faults() {
    let (proxy, storage) = behind(first(Method::POST, 1, Fault::LoseAnswer)).await;
    for key in ["p/1", "p/2"] {
        storage.put(key, Bytes::new()).await.unwrap();
    }
    storage.delete_prefix("p").await.unwrap();
    assert_eq!(proxy.faults(), 1);
    assert!(!storage.exists("p/1").await.unwrap());
}

#[tokio::test]
async fn a_late_answer_is_overtaken() {
    let slow = Duration::from_secs(60);
    // Of the requests for this object every other one is late, the first as well.
    let asked = AtomicU64::new(0);
    let (proxy, storage) = behind(move |call| {
        let is_asked = call.method == Method::GET && call.path.contains("slow");
        match is_asked && asked.fetch_add(1, Ordering::Relaxed).is_multiple_of(2) {
            true => Fault::Delay(slow),
            false => Fault::None,
        }
    })
    .await;
    for key in ["quick", "slow"] {
        storage.put(key, Bytes::from_static(b"0123456789")).await.unwrap();
    }
    for _ in 0..20 {
        storage.get("quick").await.unwrap();
        storage.get_range("quick", 2..4).await.unwrap();
    }
    let started = Instant::now();
    assert_eq!(storage.get("slow").await.unwrap(), "0123456789");
    assert_eq!(storage.get_range("slow", 2..4).await.unwrap(), "23");
    assert!(started.elapsed() < slow / 2, "{:?}", started.elapsed());
    assert!(proxy.faults() >= 2, "both were late");
}

#[tokio::test]
async fn near_ranges_are_read_together_and_far_ones_at_once() {
    let (proxy, storage) = behind(|_| Fault::None).await;
    let store = storage.object_store();
    let path = Path::from("ranges");
    let bytes: Vec<u8> = (0..(4 << 20)).map(|n: u32| (n % 251) as u8).collect();
    let bytes = Bytes::from(bytes);
    store.put(&path, PutPayload::from(bytes.clone())).await.unwrap();
    let before = proxy.calls();
    let far = 3 << 20;
    let ranges = [10..20, far..far + 100, 30..2000, far + 50..far + 60];
    let read = store.get_ranges(&path, &ranges).await.unwrap();
    for (range, read) in ranges.iter().zip(&read) {
        assert_eq!(read, &bytes.slice(range.start as usize..range.end as usize));
    }
    assert_eq!(proxy.calls() - before, 2);
}

/// The SDK gives up a try that hangs.
#[tokio::test]
async fn a_request_that_hangs_is_given_up() {
    let aws = Aws::shared().await;
    let hang = first(Method::GET, 1, Fault::Delay(Duration::from_secs(120)));
    let proxy = Proxy::start(&aws.endpoint(), Arc::new(hang)).await;
    let limits = aws_config::timeout::TimeoutConfig::builder();
    let config = aws.sdk_config().into_builder().endpoint_url(proxy.endpoint());
    let config = config.timeout_config(limits.operation_attempt_timeout(Duration::from_secs(3)).build());
    let store = S3::new(config.build(), true).bucket(aws.bucket().await);
    let path = Path::from("k");
    store.put(&path, PutPayload::from("v")).await.unwrap();
    let started = Instant::now();
    assert_eq!(store.get(&path).await.unwrap().bytes().await.unwrap(), "v");
    assert!(started.elapsed() < Duration::from_secs(60), "{:?}", started.elapsed());
    assert_eq!(proxy.faults(), 1);
}

#[tokio::test]
async fn a_body_that_breaks_off_is_read_on() {
    let aws = Aws::shared().await;
    let bucket = aws.bucket().await;
    let direct = S3::new(aws.sdk_config(), true).bucket(bucket.clone());
    let path = Path::from("long");
    let bytes: Vec<u8> = (0..(2 << 20)).map(|n: u32| (n % 251) as u8).collect();
    let bytes = Bytes::from(bytes);
    direct.put(&path, PutPayload::from(bytes.clone())).await.unwrap();

    let cutting = CuttingProxy::start(&aws.endpoint(), 700_000).await;
    let config = aws.sdk_config().into_builder().endpoint_url(cutting.endpoint());
    let store = S3::new(config.build(), true).bucket(bucket);
    let read = store.get(&path).await.unwrap().bytes().await.unwrap();
    assert_eq!(read, bytes);
    assert!(cutting.connections() >= 3, "{}", cutting.connections());

    // Another version of the object is not appended to the first one.
    let mut parts = store.get(&path).await.unwrap().into_stream();
    let first = parts.try_next().await.unwrap().unwrap();
    assert!(!first.is_empty());
    direct.put(&path, PutPayload::from(vec![0; bytes.len()])).await.unwrap();
    let rest = parts.try_collect::<Vec<_>>().await;
    assert!(
        matches!(rest, Err(object_store::Error::Precondition { .. })),
        "{:?}",
        rest.map(|_| ())
    );

    let once = store.without_retries().get(&path).await.unwrap().bytes().await;
    assert!(matches!(once, Err(object_store::Error::Generic { .. })), "{once:?}");
}
