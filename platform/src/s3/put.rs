//! Writing and copying objects.

use std::time::Duration;

use aws_sdk_s3::config::Builder;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use bytes::Bytes;
use object_store::path::Path;
use object_store::{Error, PutMode, PutOptions, PutPayload, PutResult, Result};

use super::S3Store;
use super::attributes::{Headers, with_headers};
use super::error::{Call, was_not_applied};
use super::multipart::WriteCondition;

/// Tries of a conditional write, each after an answer that the one before was not done.
const CONDITIONAL_TRIES: u32 = 8;
/// The wait before the second try, on average; each further one doubles it.
const FIRST_BACKOFF: Duration = Duration::from_millis(20);

impl S3Store {
    pub(super) async fn put(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let call = self.call("PutObject", path);
        let condition = match options.mode {
            PutMode::Overwrite => WriteCondition::None,
            PutMode::Create => WriteCondition::IfAbsent,
            PutMode::Update(version) => WriteCondition::IfMatch(
                version
                    .e_tag
                    .ok_or_else(|| call.refused("an update needs the tag of the version that it replaces"))?,
            ),
        };
        let headers = Headers::of(&options.attributes).map_err(|name| call.refused(format!("there is no {name}")))?;
        let tags = options.tags.encoded();
        let body = Bytes::from(payload);
        let client = self.client().await;
        let request = || {
            let request = client.put_object().bucket(self.bucket()).key(path.as_ref());
            with_headers!(request, headers.clone())
                .set_tagging(Some(tags.to_owned()).filter(|tags| !tags.is_empty()))
                .set_if_none_match(condition.if_none_match())
                .set_if_match(condition.if_match())
                .body(body.clone().into())
        };
        let answer = match &condition {
            WriteCondition::None => request().send().await.map_err(|error| call.error(error)),
            _ => conditionally(&call, || request().customize().config_override(single_try()).send()).await,
        };
        let answer = answer.map_err(|error| match (&condition, error) {
            (WriteCondition::IfAbsent, Error::Precondition { path, source }) => Error::AlreadyExists { path, source },
            // S3 says so when the object that was to be replaced is gone.
            (WriteCondition::IfMatch(_), Error::NotFound { path, source }) => Error::Precondition { path, source },
            (_, error) => error,
        });
        let mut answer = answer?;
        Ok(PutResult {
            e_tag: answer.e_tag.take(),
            version: answer.version_id.take(),
        })
    }

    /// Copies up to 5 GiB, which is what one call of S3 can do.
    pub(super) async fn copy(&self, from: &Path, to: &Path) -> Result<()> {
        let request = self.client().await.copy_object().bucket(self.bucket());
        let copied = request
            .copy_source(self.copy_source(from))
            .key(to.as_ref())
            .send()
            .await;
        copied
            .map(drop)
            .map_err(|error| self.call("CopyObject", from).error(error))
    }

    /// Where a copy comes from, as a header says it.
    pub(super) fn copy_source(&self, from: &Path) -> String {
        let mut source = format!("{}/", self.bucket);
        for byte in from.as_ref().bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => source.push(byte as char),
                byte => source.push_str(&format!("%{byte:02X}")),
            }
        }
        source
    }
}

/// Overrides the SDK's own tries.
pub(super) fn single_try() -> Builder {
    Builder::new().retry_config(RetryConfig::disabled())
}

/// Makes a conditional write, again while the answer says that it was not done.
pub(super) async fn conditionally<T, E, F>(call: &Call<'_>, send: impl Fn() -> F) -> Result<T>
where
    F: Future<Output = Result<T, SdkError<E>>>,
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let mut backoff = FIRST_BACKOFF;
    for _ in 1..CONDITIONAL_TRIES {
        match send().await {
            Err(error) if was_not_applied(&error) => {
                tokio::time::sleep(jittered(backoff)).await;
                backoff *= 2;
            }
            answer => return answer.map_err(|error| call.error(error)),
        }
    }
    send().await.map_err(|error| call.error(error))
}

/// Half to one and a half times the wait, so that competitors do not meet again.
fn jittered(wait: Duration) -> Duration {
    let mut random = [0; 2];
    // Without randomness the wait is only less well spread.
    let _filled = getrandom::fill(&mut random);
    wait.mul_f64(0.5 + f64::from(u16::from_le_bytes(random)) / f64::from(u16::MAX))
}
