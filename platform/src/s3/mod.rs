//! Amazon S3, and what speaks its protocol, as an [`ObjectStore`].
//!
//! On aws-sdk-s3, so that it shares credentials, endpoints, connections, limits and traces with the other AWS clients.
//! Reads and unconditional writes are tried again by the SDK; a body that breaks off is read on from where it broke
//! off, of the same version of the object. A *conditional* write is only tried again when the answer says that it was
//! not done: otherwise the second try could meet what the first one wrote, and look like somebody else's.

mod attributes;
mod delete;
mod error;
mod fence;
mod get;
mod list;
mod multipart;
mod put;
mod requests;
mod url;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::{Builder, RequestChecksumCalculation, ResponseChecksumValidation};
use aws_sdk_s3::presigning::PresigningConfig;
use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyMode, CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt as _, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use tokio::sync::OnceCell;
use weir_model::StorageRequests;

pub use fence::outside;
pub use multipart::{MIN_PART_BYTES, OpenUpload, WriteCondition};
pub use requests::RequestCounts;
pub use url::{S3Url, S3UrlError};

use crate::StorageError;
use error::Call;
use requests::CountRequests;

/// The longest time for which S3 signs a URL.
const MAX_PRESIGN: Duration = Duration::from_secs(7 * 24 * 3600);

/// A way into S3: connections and credentials for every bucket. Cheap to clone; one per process.
#[derive(Clone)]
pub struct S3 {
    shared: Arc<Shared>,
    /// What lies below it is not for the holder of this handle.
    fence: Option<Arc<S3Url>>,
    /// What the holder of this handle may use, unless that is everything.
    only: Option<Arc<[S3Url]>>,
}

struct Shared {
    config: Arc<OnceCell<SdkConfig>>,
    path_style: bool,
    /// Where requests are counted, if they are.
    counts: Option<Arc<RequestCounts>>,
    retrying: OnceCell<Client>,
    single: OnceCell<Client>,
}

impl Shared {
    fn new(config: Arc<OnceCell<SdkConfig>>, path_style: bool, counts: Option<Arc<RequestCounts>>) -> Arc<Self> {
        Arc::new(Self {
            config,
            path_style,
            counts,
            retrying: OnceCell::new(),
            single: OnceCell::new(),
        })
    }
}

/// Whether calls are tried again below the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tries {
    Many,
    One,
}

impl S3 {
    /// S3 as `config` says. With `path_style` the bucket is part of the path instead of the host's name, as many
    /// S3-compatible servers want it.
    pub fn new(config: SdkConfig, path_style: bool) -> Self {
        Self::with(OnceCell::new_with(Some(config)), path_style)
    }

    /// S3 as the environment says, which is looked at when S3 is first used (see [`crate::aws::config`]).
    pub fn from_environment(path_style: bool) -> Self {
        Self::with(OnceCell::new(), path_style)
    }

    fn with(config: OnceCell<SdkConfig>, path_style: bool) -> Self {
        Self {
            shared: Shared::new(Arc::new(config), path_style, None),
            fence: None,
            only: None,
        }
    }

    /// The same, with the same connections and credentials, whose requests are counted.
    #[must_use]
    pub fn counted(&self, counts: Arc<RequestCounts>) -> Self {
        let config = Arc::clone(&self.shared.config);
        Self {
            shared: Shared::new(config, self.shared.path_style, Some(counts)),
            ..self.clone()
        }
    }

    /// Counts requests that another process sent for this one, if requests are counted.
    pub fn count(&self, requests: StorageRequests) {
        if let Some(counts) = &self.shared.counts {
            counts.add(requests);
        }
    }

    /// A bucket, all of it. Whether it exists shows at the first call.
    pub fn bucket(&self, name: impl Into<Arc<str>>) -> S3Store {
        S3Store {
            s3: self.clone(),
            bucket: name.into(),
            tries: Tries::Many,
        }
    }

    /// The first bytes of the object at an `s3://` URL, at most `limit`.
    ///
    /// # Errors
    /// When the URL is none, or the object cannot be read.
    pub async fn read_start(&self, url: &str, limit: u64) -> Result<Bytes, StorageError> {
        let error = |source| StorageError {
            action: "read",
            key: url.to_owned(),
            source,
        };
        let place: S3Url = url
            .parse()
            .map_err(|e: S3UrlError| error(object_store::Error::NotSupported { source: e.into() }))?;
        let start = async {
            let store = self.bucket(place.bucket);
            // Nothing can be cut from an object without bytes.
            match store.head(&place.path, GetOptions::new()).await?.meta.size.min(limit) {
                0 => Ok(Bytes::new()),
                size => store.get_range(&place.path, 0..size).await,
            }
        };
        start.await.map_err(error)
    }

    async fn client(&self, tries: Tries) -> &Client {
        let cell = match tries {
            Tries::Many => &self.shared.retrying,
            Tries::One => &self.shared.single,
        };
        cell.get_or_init(|| async {
            let config = self.shared.config.get_or_init(crate::aws::config).await;
            let mut builder = Builder::from(config)
                .force_path_style(self.shared.path_style)
                // Bodies are covered by the signature on their way up and by TLS both ways; checksums on top would have
                // to be carried through multipart uploads, and some S3-compatible servers refuse them.
                .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
                .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
            if tries == Tries::One {
                builder = builder.retry_config(RetryConfig::disabled());
            }
            if let Some(counts) = &self.shared.counts {
                builder = builder.interceptor(CountRequests(Arc::clone(counts)));
            }
            Client::from_conf(builder.build())
        })
        .await
    }
}

impl fmt::Debug for S3 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3")
            .field("path_style", &self.shared.path_style)
            .finish_non_exhaustive()
    }
}

/// One bucket. Cheap to clone.
#[derive(Clone, Debug)]
pub struct S3Store {
    s3: S3,
    bucket: Arc<str>,
    tries: Tries,
}

impl fmt::Display for S3Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}", self.bucket)
    }
}

impl S3Store {
    /// The name of the bucket.
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// The same bucket, where every call is tried once: for callers that try again themselves.
    pub fn without_retries(&self) -> Self {
        Self {
            tries: Tries::One,
            ..self.clone()
        }
    }

    /// A URL by which anybody may read an object until `ttl` is over, at most seven days.
    ///
    /// # Errors
    /// When there are no credentials to sign with.
    pub async fn presign_get(&self, path: &Path, ttl: Duration) -> Result<String> {
        self.check(path)?;
        let call = self.call("GetObject", path);
        let request = self
            .client()
            .await
            .get_object()
            .bucket(self.bucket())
            .key(path.as_ref());
        let signed = request.presigned(presigning(ttl, &call)?).await;
        Ok(signed.map_err(|error| call.error(error))?.uri().to_owned())
    }

    /// A URL by which anybody may write an object of so many bytes until `ttl` is over, at most seven days. The length is
    /// signed: nobody can write more.
    ///
    /// # Errors
    /// When there are no credentials to sign with.
    pub async fn presign_put(&self, path: &Path, bytes: u64, ttl: Duration) -> Result<String> {
        self.check(path)?;
        let call = self.call("PutObject", path);
        let request = self
            .client()
            .await
            .put_object()
            .bucket(self.bucket())
            .key(path.as_ref())
            .content_length(i64::try_from(bytes).unwrap_or(i64::MAX));
        let signed = request.presigned(presigning(ttl, &call)?).await;
        Ok(signed.map_err(|error| call.error(error))?.uri().to_owned())
    }

    async fn client(&self) -> &Client {
        self.s3.client(self.tries).await
    }

    fn call<'a>(&'a self, operation: &'static str, path: &'a Path) -> Call<'a> {
        Call {
            operation,
            bucket: &self.bucket,
            path: path.as_ref(),
        }
    }
}

fn presigning(ttl: Duration, call: &Call<'_>) -> Result<PresigningConfig> {
    PresigningConfig::expires_in(ttl.min(MAX_PRESIGN)).map_err(|error| call.refused(error.to_string()))
}

#[async_trait]
impl ObjectStore for S3Store {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.check(path)?;
        self.put(path, payload, options).await
    }

    async fn put_multipart_opts(&self, path: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.check(path)?;
        let upload = self.start_upload(path, options).await?;
        Ok(Box::new(upload))
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        self.check(path)?;
        match options.head {
            true => self.head(path, options).await,
            false => self.get(path, options).await,
        }
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let store = self.clone();
        let allowed = paths.map(move |path| path.and_then(|path| store.check(&path).map(|()| path)));
        self.delete_all(allowed.boxed())
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.list_from(prefix, None)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.list_from(prefix, Some(offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.list_folder(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.check(from)?;
        self.check(to)?;
        match options.mode {
            CopyMode::Overwrite => self.copy(from, to).await,
            CopyMode::Create => self.copy_if_absent(from, to).await,
        }
    }
}
