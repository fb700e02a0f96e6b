//! S3, against a server that speaks its protocol.

mod cutting;
mod output;
mod storage;
mod store;

use weir_platform::s3::{S3, S3Store};
use weir_testkit::Aws;

/// A new bucket.
async fn store() -> S3Store {
    let aws = Aws::shared().await;
    S3::new(aws.sdk_config(), true).bucket(aws.bucket().await)
}
