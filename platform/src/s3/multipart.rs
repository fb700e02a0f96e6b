//! Multipart uploads: objects that come in parts, and that nobody sees before they are completed.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart, MultipartUpload as ListedUpload};
use bytes::Bytes;
use chrono::Utc;
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt, TryStreamExt};
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{
    Attributes, Error, MultipartId, MultipartUpload, PutMultipartOptions, PutPayload, PutResult, Result, TagSet,
    UploadPart,
};
use weir_model::UploadedPart;

use super::S3Store;
use super::attributes::{Headers, with_headers};
use super::get::date;
use super::put::{conditionally, single_try};

/// All parts of an upload but the last must have so many bytes.
pub const MIN_PART_BYTES: u64 = 5 << 20;

/// What must hold for a write to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriteCondition {
    /// Nothing: what is there is replaced.
    None,
    /// There is no object.
    IfAbsent,
    /// The object has this tag.
    IfMatch(String),
}

impl WriteCondition {
    pub(super) fn if_none_match(&self) -> Option<String> {
        (*self == Self::IfAbsent).then(|| "*".to_owned())
    }

    pub(super) fn if_match(&self) -> Option<String> {
        match self {
            Self::IfMatch(tag) => Some(tag.clone()),
            _ => None,
        }
    }
}

/// An upload that is neither completed nor aborted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenUpload {
    /// Where the object would be.
    pub path: Path,
    /// The upload's id.
    pub id: String,
    /// When it was started.
    pub started: chrono::DateTime<Utc>,
}

impl S3Store {
    /// Starts an upload and gives its id. It costs until it is completed or aborted.
    ///
    /// # Errors
    /// When S3 refuses or does not answer.
    pub async fn upload_create(&self, path: &Path, attributes: &Attributes, tags: &TagSet) -> Result<String> {
        self.check(path)?;
        let call = self.call("CreateMultipartUpload", path);
        let headers = Headers::of(attributes).map_err(|name| call.refused(format!("there is no {name}")))?;
        let request = self.client().await.create_multipart_upload().bucket(self.bucket());
        let answer = with_headers!(request.key(path.as_ref()), headers)
            .set_tagging(Some(tags.encoded().to_owned()).filter(|tags| !tags.is_empty()))
            .send()
            .await;
        let answer = answer.map_err(|error| call.error(error))?;
        answer
            .upload_id
            .ok_or_else(|| call.failed("the answer has no upload id"))
    }

    /// Uploads a part; parts are numbered from zero and may come in any order. Doing it again replaces the part.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the upload is over; when S3 refuses or does not answer.
    pub async fn upload_part(&self, path: &Path, id: &str, index: usize, bytes: Bytes) -> Result<UploadedPart> {
        let call = self.call("UploadPart", path);
        let size = bytes.len() as u64;
        let request = self.client().await.upload_part().bucket(self.bucket());
        let answer = request
            .key(path.as_ref())
            .upload_id(id)
            .part_number(part_number(index))
            .body(bytes.into())
            .send()
            .await;
        let answer = answer.map_err(|error| call.error(error))?;
        let e_tag = answer.e_tag.ok_or_else(|| call.failed("the answer has no tag"))?;
        Ok(UploadedPart { e_tag, bytes: size })
    }

    /// Makes an object of the parts, which must be all of them, in order.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`] and [`Error::Precondition`] when the condition does not hold: the upload is open then.
    /// [`Error::NotFound`] when the upload was completed or aborted before, or when the object whose tag is the
    /// condition is gone. [`Error::NotSupported`] when a part before the last has less than [`MIN_PART_BYTES`].
    pub async fn upload_complete(
        &self,
        path: &Path,
        id: &str,
        parts: &[UploadedPart],
        condition: &WriteCondition,
    ) -> Result<PutResult> {
        let before_last = parts.len().saturating_sub(1);
        // S3 says so as well, but not every server does, and it does not say which.
        if let Some(small) = parts[..before_last].iter().position(|part| part.bytes < MIN_PART_BYTES) {
            return Err(self.call("CompleteMultipartUpload", path).refused(format!(
                "part {} has {} bytes; every part but the last must have {MIN_PART_BYTES}",
                small + 1,
                parts[small].bytes,
            )));
        }
        let tags = parts.iter().map(|part| part.e_tag.clone()).collect();
        self.complete(path, id, tags, condition).await
    }

    async fn complete(
        &self,
        path: &Path,
        id: &str,
        tags: Vec<String>,
        condition: &WriteCondition,
    ) -> Result<PutResult> {
        // An upload without parts cannot be completed, but an object may be empty.
        let tags = match tags.is_empty() {
            true => vec![self.upload_part(path, id, 0, Bytes::new()).await?.e_tag],
            false => tags,
        };
        let parts = tags.into_iter().enumerate().map(|(index, e_tag)| {
            let part = CompletedPart::builder().part_number(part_number(index));
            part.e_tag(e_tag).build()
        });
        let parts = CompletedMultipartUpload::builder()
            .set_parts(Some(parts.collect()))
            .build();
        let call = self.call("CompleteMultipartUpload", path);
        let request = self.client().await.complete_multipart_upload().bucket(self.bucket());
        let request = request
            .key(path.as_ref())
            .upload_id(id)
            .multipart_upload(parts)
            .set_if_none_match(condition.if_none_match())
            .set_if_match(condition.if_match());
        let answer = match condition {
            WriteCondition::None => request.send().await.map_err(|error| call.error(error)),
            _ => {
                conditionally(&call, || {
                    request.clone().customize().config_override(single_try()).send()
                })
                .await
            }
        };
        let answer = answer.map_err(|error| match error {
            Error::Precondition { path, source } if *condition == WriteCondition::IfAbsent => {
                Error::AlreadyExists { path, source }
            }
            error => error,
        });
        let mut answer = answer?;
        Ok(PutResult {
            e_tag: answer.e_tag.take(),
            version: answer.version_id.take(),
        })
    }

    /// Gives an upload up; one that is over is fine.
    ///
    /// # Errors
    /// When S3 refuses or does not answer.
    pub async fn upload_abort(&self, path: &Path, id: &str) -> Result<()> {
        let request = self.client().await.abort_multipart_upload().bucket(self.bucket());
        let aborted = request.key(path.as_ref()).upload_id(id).send().await;
        match aborted.map_err(|error| self.call("AbortMultipartUpload", path).error(error)) {
            Ok(_) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The open uploads to keys that begin with `prefix`, which need not end at a segment.
    pub fn uploads(&self, prefix: &str) -> BoxStream<'static, Result<OpenUpload>> {
        let (store, prefix) = (self.clone(), prefix.to_owned());
        stream::try_unfold(Some((None, None)), move |markers| {
            let (store, prefix) = (store.clone(), prefix.clone());
            async move {
                let Some((key, id)) = markers else {
                    return Ok::<_, Error>(None);
                };
                let path = Path::from(prefix.as_str());
                let call = store.call("ListMultipartUploads", &path);
                let request = store.client().await.list_multipart_uploads().bucket(store.bucket());
                let page = request
                    .prefix(&prefix)
                    .set_key_marker(key)
                    .set_upload_id_marker(id)
                    .send()
                    .await;
                let mut page = page.map_err(|error| call.error(error))?;
                let uploads: Vec<_> = page.uploads().iter().filter_map(open_upload).map(Ok).collect();
                let next = (page.next_key_marker.take(), page.next_upload_id_marker.take());
                let more = page.is_truncated.unwrap_or_default();
                Ok(Some((stream::iter(uploads), more.then_some(next))))
            }
        })
        .try_flatten()
        .boxed()
    }

    pub(super) async fn copy_if_absent(&self, from: &Path, to: &Path) -> Result<()> {
        // A condition on the copy itself is known to few servers.
        let id = self
            .upload_create(to, &Attributes::default(), &TagSet::default())
            .await?;
        let copied = async {
            let request = self.client().await.upload_part_copy().bucket(self.bucket());
            let part = request
                .copy_source(self.copy_source(from))
                .key(to.as_ref())
                .upload_id(&id)
                .part_number(part_number(0))
                .send()
                .await;
            let call = self.call("UploadPartCopy", from);
            let part = part.map_err(|error| call.error(error))?;
            let tag = part.copy_part_result.and_then(|part| part.e_tag);
            let tag = tag.ok_or_else(|| call.failed("the answer has no tag"))?;
            self.complete(to, &id, vec![tag], &WriteCondition::IfAbsent).await
        };
        let copied = copied.await;
        if copied.is_err()
            && let Err(error) = self.upload_abort(to, &id).await
        {
            tracing::warn!(error = &error as &dyn std::error::Error, path = %to, "left an upload open");
        }
        copied.map(drop)
    }

    pub(super) async fn start_upload(&self, path: &Path, options: PutMultipartOptions) -> Result<Upload> {
        let id = self.upload_create(path, &options.attributes, &options.tags).await?;
        Ok(Upload {
            store: self.clone(),
            path: path.clone(),
            id: id.into(),
            started: 0,
            parts: Arc::default(),
        })
    }
}

/// S3 numbers parts from one; it refuses numbers that are too large.
fn part_number(index: usize) -> i32 {
    i32::try_from(index)
        .ok()
        .and_then(|n| n.checked_add(1))
        .unwrap_or(i32::MAX)
}

fn open_upload(upload: &ListedUpload) -> Option<OpenUpload> {
    Some(OpenUpload {
        // A key that is no path is none of ours.
        path: Path::parse(upload.key()?).ok()?,
        id: upload.upload_id()?.to_owned(),
        started: date(upload.initiated()),
    })
}

/// An upload through [`object_store::ObjectStore`].
#[derive(Debug)]
pub(super) struct Upload {
    store: S3Store,
    path: Path,
    id: Arc<str>,
    started: usize,
    parts: Arc<Mutex<Vec<Option<UploadedPart>>>>,
}

#[async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let (store, path, id) = (self.store.clone(), self.path.clone(), Arc::clone(&self.id));
        let (index, parts) = (self.started, Arc::clone(&self.parts));
        self.started += 1;
        async move {
            let part = store.upload_part(&path, &id, index, data.into()).await?;
            let mut parts = parts.lock().unwrap_or_else(PoisonError::into_inner);
            let length = parts.len().max(index + 1);
            parts.resize(length, None);
            parts[index] = Some(part);
            Ok(())
        }
        .boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let parts: Vec<UploadedPart> = {
            let parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
            parts.iter().flatten().cloned().collect()
        };
        if parts.len() != self.started {
            let reason = format!("{} of {} parts were uploaded", parts.len(), self.started);
            return Err(self.store.call("CompleteMultipartUpload", &self.path).refused(reason));
        }
        let none = WriteCondition::None;
        self.store.upload_complete(&self.path, &self.id, &parts, &none).await
    }

    async fn abort(&mut self) -> Result<()> {
        self.store.upload_abort(&self.path, &self.id).await
    }
}

#[async_trait]
impl MultipartStore for S3Store {
    async fn create_multipart(&self, path: &Path) -> Result<MultipartId> {
        self.upload_create(path, &Attributes::default(), &TagSet::default())
            .await
    }

    async fn put_part(&self, path: &Path, id: &MultipartId, index: usize, data: PutPayload) -> Result<PartId> {
        let part = self.upload_part(path, id, index, data.into()).await?;
        Ok(PartId { content_id: part.e_tag })
    }

    async fn complete_multipart(&self, path: &Path, id: &MultipartId, parts: Vec<PartId>) -> Result<PutResult> {
        let tags = parts.into_iter().map(|part| part.content_id).collect();
        self.complete(path, id, tags, &WriteCondition::None).await
    }

    async fn abort_multipart(&self, path: &Path, id: &MultipartId) -> Result<()> {
        self.upload_abort(path, id).await
    }
}
