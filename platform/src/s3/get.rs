//! Reading objects.

use std::ops::Range;
use std::time::Duration;

use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::primitives::{ByteStream, DateTime};
use bytes::Bytes;
use chrono::Utc;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use object_store::path::Path;
use object_store::{GetOptions, GetRange, GetResult, GetResultPayload, ObjectMeta, Result};

use super::attributes::headers_of;
use super::{S3Store, Tries};

/// How often one body is read on after it broke off.
const RESUMES: u32 = 3;
/// The wait before a body is read on; each further one doubles it.
const FIRST_BACKOFF: Duration = Duration::from_millis(100);

/// The date of an object that S3 gives none for: answers without one are not S3's.
const NO_DATE: chrono::DateTime<Utc> = chrono::DateTime::UNIX_EPOCH;

pub(super) fn date(date: Option<&DateTime>) -> chrono::DateTime<Utc> {
    date.and_then(|date| chrono::DateTime::from_timestamp(date.secs(), date.subsec_nanos()))
        .unwrap_or(NO_DATE)
}

fn sdk_date(date: chrono::DateTime<Utc>) -> DateTime {
    DateTime::from_secs(date.timestamp())
}

/// A size or position, which are signed in the SDK.
pub(super) fn unsigned(n: Option<i64>) -> Option<u64> {
    n.and_then(|n| u64::try_from(n).ok())
}

impl S3Store {
    pub(super) async fn head(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        self.check(path)?;
        let call = self.call("HeadObject", path);
        let request = self.client().await.head_object().bucket(self.bucket());
        let answer = request
            .key(path.as_ref())
            .set_if_match(options.if_match)
            .set_if_none_match(options.if_none_match)
            .set_if_modified_since(options.if_modified_since.map(sdk_date))
            .set_if_unmodified_since(options.if_unmodified_since.map(sdk_date))
            .set_version_id(options.version)
            .send()
            .await;
        let mut answer = answer.map_err(|error| call.error(error))?;
        let size = unsigned(answer.content_length).ok_or_else(|| call.failed("the answer has no length"))?;
        Ok(GetResult {
            payload: GetResultPayload::Stream(stream::empty().boxed()),
            meta: ObjectMeta {
                location: path.clone(),
                last_modified: date(answer.last_modified.as_ref()),
                size,
                e_tag: answer.e_tag.take(),
                version: answer.version_id.take(),
            },
            range: 0..0,
            attributes: headers_of!(answer).into_attributes(),
        })
    }

    pub(super) async fn get(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        let call = self.call("GetObject", path);
        let range = options.range.clone();
        if let Some(range) = &range {
            range.is_valid().map_err(|error| call.refused(error.to_string()))?;
        }
        let mut answer = self.get_object(path, options).await?;
        let length = unsigned(answer.content_length).ok_or_else(|| call.failed("the answer has no length"))?;
        let (given, size) = match (answer.content_range.as_deref(), &range) {
            (Some(text), _) => content_range(text).ok_or_else(|| call.failed(format!("strange range `{text}`")))?,
            // Nothing can be cut from an object without bytes.
            (None, None | Some(GetRange::Suffix(_))) => (0..length, length),
            (None, Some(_)) => return Err(call.refused("the server does not know ranges")),
        };
        let meta = ObjectMeta {
            location: path.clone(),
            last_modified: date(answer.last_modified.as_ref()),
            size,
            e_tag: answer.e_tag.take(),
            version: answer.version_id.take(),
        };
        let attributes = headers_of!(answer).into_attributes();
        let body = Body {
            store: self.clone(),
            meta: meta.clone(),
            source: Some(answer.body),
            left: given.clone(),
            resumes: match self.tries {
                Tries::Many => RESUMES,
                Tries::One => 0,
            },
            backoff: FIRST_BACKOFF,
        };
        Ok(GetResult {
            payload: GetResultPayload::Stream(body.into_stream()),
            meta,
            range: given,
            attributes,
        })
    }

    async fn get_object(&self, path: &Path, options: GetOptions) -> Result<GetObjectOutput> {
        let request = self.client().await.get_object().bucket(self.bucket());
        let answer = request
            .key(path.as_ref())
            .set_range(options.range.map(|range| range.to_string()))
            .set_if_match(options.if_match)
            .set_if_none_match(options.if_none_match)
            .set_if_modified_since(options.if_modified_since.map(sdk_date))
            .set_if_unmodified_since(options.if_unmodified_since.map(sdk_date))
            .set_version_id(options.version)
            .send()
            .await;
        answer.map_err(|error| self.call("GetObject", path).error(error))
    }
}

/// `bytes 0-9/100`: the bytes that were given, and the size of the object.
fn content_range(text: &str) -> Option<(Range<u64>, u64)> {
    let (range, size) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
    Some((first..last.checked_add(1)?, size.parse().ok()?))
}

/// The bytes of an object that are still to come.
struct Body {
    store: S3Store,
    meta: ObjectMeta,
    source: Option<ByteStream>,
    left: Range<u64>,
    resumes: u32,
    backoff: Duration,
}

impl Body {
    fn into_stream(self) -> BoxStream<'static, Result<Bytes>> {
        stream::try_unfold(self, |mut body| async move {
            let bytes = body.next().await?;
            Ok(bytes.map(|bytes| (bytes, body)))
        })
        .boxed()
    }

    async fn next(&mut self) -> Result<Option<Bytes>> {
        while self.left.start < self.left.end {
            let broken = match &mut self.source {
                None => None,
                Some(source) => match source.next().await {
                    Some(Ok(bytes)) if bytes.is_empty() => continue,
                    Some(Ok(bytes)) => {
                        self.left.start += bytes.len() as u64;
                        return Ok(Some(bytes));
                    }
                    Some(Err(error)) => Some(error.to_string()),
                    None => Some("the body ended too early".to_owned()),
                },
            };
            if let Some(reason) = broken {
                self.source = None;
                let call = self.store.call("GetObject", &self.meta.location);
                // Without a tag, what is read next might be of another version.
                if self.resumes == 0 || self.meta.e_tag.is_none() {
                    return Err(call.failed(reason));
                }
                let (path, at) = (&self.meta.location, self.left.start);
                tracing::debug!(%path, at, reason, "reading on a body that broke off");
                self.resumes -= 1;
                tokio::time::sleep(self.backoff).await;
                self.backoff *= 2;
            }
            self.source = Some(self.reopen().await?);
        }
        Ok(None)
    }

    async fn reopen(&self) -> Result<ByteStream> {
        let options = GetOptions {
            range: Some(GetRange::Bounded(self.left.clone())),
            if_match: self.meta.e_tag.clone(),
            version: self.meta.version.clone(),
            ..GetOptions::default()
        };
        let answer = self.store.get_object(&self.meta.location, options).await?;
        Ok(answer.body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read() {
        assert_eq!(content_range("bytes 2-4/14"), Some((2..5, 14)));
        assert_eq!(content_range("bytes 0-0/1"), Some((0..1, 1)));
        for bad in ["", "bytes */14", "bytes 2-4/*", "2-4/14", "bytes 4/14"] {
            assert_eq!(content_range(bad), None, "{bad}");
        }
    }
}
