//! Commits over a bad line.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aws_config::retry::RetryConfig;
use axum::http::{Method, StatusCode};
use futures::TryStreamExt;
use object_store::{ObjectStore as _, ObjectStoreExt as _};
use weir_model::{OutputFile, OutputManifest, RunId, SinkInfo, Timestamp};
use weir_platform::output::{self, SinkOutput, UploadWriter};
use weir_platform::s3::S3;
use weir_testkit::{Aws, Call, Fault, Proxy};

const FILES: usize = 5;

async fn stage(s3: &S3, bucket: &str, run: RunId) -> SinkOutput {
    let sink = SinkInfo {
        transform: "Write".into(),
        target: format!("s3://{bucket}/out/part"),
        manifest: format!("s3://{bucket}/out/_weir/part.json"),
        staging: format!("s3://{bucket}/out/_weir/staging-{run}-part"),
        format: "text".into(),
        csv: None,
    };
    let mut files = Vec::new();
    for index in 0..FILES {
        let target = format!("{}-{index:05}-of-{FILES:05}", sink.target);
        let token = format!("{run}-{index}");
        let mut writer = UploadWriter::create(s3, &target, &sink.staging, &token).await.unwrap();
        writer.write(token.as_bytes()).await.unwrap();
        let (staged, bytes) = writer.finish().await.unwrap();
        files.push(OutputFile {
            target,
            staged,
            rows: 1,
            bytes,
        });
    }
    SinkOutput { sink, files }
}

/// Commits as its owner does: again as long as that may help.
async fn commit(s3: &S3, run: RunId, output: &SinkOutput) -> OutputManifest {
    for _ in 0..10 {
        match output::commit(s3, run, vec![output.clone()]).await {
            Ok(mut manifests) => return manifests.remove(0),
            Err(error) => assert!(error.is_transient(), "{error:?}"),
        }
    }
    panic!("the commit does not come to its end");
}

/// Every so many requests something happens to one, the completions of uploads included.
#[tokio::test]
async fn a_commit_comes_to_its_end_whatever_is_lost_on_the_way() {
    let aws = Aws::shared().await;
    for (every, fault) in [
        (4, Fault::LoseAnswer),
        (4, Fault::Refuse(StatusCode::INTERNAL_SERVER_ERROR)),
        (4, Fault::Refuse(StatusCode::SERVICE_UNAVAILABLE)),
        (2, Fault::Twice),
    ] {
        let bucket = aws.bucket().await;
        let direct = S3::new(aws.sdk_config(), true);
        let completions = Arc::new(AtomicU64::new(0));
        let struck = Arc::clone(&completions);
        let happens = fault.clone();
        let policy = move |call: &Call| {
            // An answer to HEAD is over with its head, which the proxy does not lose.
            if !call.number.is_multiple_of(every) || call.method == Method::HEAD {
                return Fault::None;
            }
            let completes = call.method == Method::POST && call.path.contains("uploadId=");
            struck.fetch_add(u64::from(completes), Ordering::SeqCst);
            happens.clone()
        };
        let proxy = Proxy::start(&aws.endpoint(), Arc::new(policy)).await;
        let retries = RetryConfig::standard().with_initial_backoff(Duration::from_millis(10));
        let config = aws.sdk_config().into_builder().endpoint_url(proxy.endpoint());
        let s3 = S3::new(config.retry_config(retries).build(), true);
        for run in [1, 2] {
            let run = RunId::from_parts(Timestamp(run), 0);
            let staged = stage(&direct, &bucket, run).await;
            let manifest = commit(&s3, run, &staged).await;
            assert_eq!((manifest.run, manifest.files.len()), (run, FILES), "{fault:?}");

            let store = direct.bucket(bucket.as_str());
            let objects: Vec<_> = store.list(None).try_collect().await.unwrap();
            let names: Vec<_> = objects.iter().map(|object| object.location.as_ref()).collect();
            assert_eq!(names.len(), FILES + 1, "{fault:?}: {names:?}");
            assert_eq!(names[0], "out/_weir/part.json");
            for (index, name) in names[1..].iter().enumerate() {
                let bytes = store.get(&(*name).into()).await.unwrap().bytes().await.unwrap();
                assert_eq!(bytes, format!("{run}-{index}"), "{fault:?}");
            }
            let uploads: Vec<_> = store.uploads("").try_collect().await.unwrap();
            assert_eq!(uploads, [], "{fault:?}");
        }
        assert!(completions.load(Ordering::SeqCst) > 0, "{fault:?} struck what matters");
    }
}
