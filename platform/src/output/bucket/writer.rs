//! Staging a file as an upload.

use bytes::Bytes;
use object_store::path::Path;
use object_store::{Attribute, Attributes, ObjectStoreExt, PutPayload, TagSet};
use tokio::task::JoinSet;
use weir_model::{Staged, UploadedPart};

use super::{Error, MARKER_SUFFIX, Marker, TOKEN, parse};
use crate::s3::{S3, S3Store};

/// Bytes of the first parts.
const FIRST_PART_BYTES: usize = 8 << 20;
/// Parts after which parts become twice as large, so that there are never very many: their tags travel in reports.
const PARTS_OF_A_SIZE: usize = 100;
/// How often they do, at most.
const MAX_DOUBLINGS: usize = 6;
/// Parts that are on their way at once.
const CONCURRENT_PARTS: usize = 2;

/// Writes one file, staged as an upload that the commit completes. Dropped before [`finish`](Self::finish) it aborts
/// the upload in the background.
pub struct UploadWriter {
    upload: Upload,
    buffer: Vec<u8>,
    started: usize,
    sending: JoinSet<object_store::Result<(usize, UploadedPart)>>,
    sending_bytes: usize,
    parts: Vec<Option<UploadedPart>>,
    bytes: u64,
}

/// What is aborted unless it is kept.
struct Upload {
    store: S3Store,
    path: Path,
    id: String,
    token: String,
    marker: Path,
    keep: bool,
}

impl Drop for Upload {
    fn drop(&mut self) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        if self.keep {
            return;
        }
        let (store, path, marker) = (self.store.clone(), self.path.clone(), self.marker.clone());
        let id = std::mem::take(&mut self.id);
        runtime.spawn(async move {
            let aborted = store.upload_abort(&path, &id).await;
            let aborted = match aborted {
                Ok(()) => store.delete(&marker).await,
                failed => failed,
            };
            if let Err(error) = aborted {
                // The end of the run deletes it, by its marker.
                tracing::debug!(error = &error as &dyn std::error::Error, %path, "left an upload open");
            }
        });
    }
}

impl UploadWriter {
    /// Starts the upload of a file to the URL `target`, with a marker in the folder `staging`, also a URL. `token` is
    /// of this execution and this file only.
    ///
    /// # Errors
    /// When a URL is none, or the storage refuses.
    pub async fn create(s3: &S3, target: &str, staging: &str, token: &str) -> Result<Self, Error> {
        let place = parse("", target)?;
        let marker = parse("", staging)?.path.join(format!("{token}{MARKER_SUFFIX}"));
        let (store, path) = (s3.bucket(place.bucket), place.path);
        let attributes = Attributes::from_iter([(Attribute::Metadata(TOKEN.into()), token.to_owned())]);
        let id = store.upload_create(&path, &attributes, &TagSet::default()).await;
        let id = id.map_err(|source| failed(&store, &path, source))?;
        let says = serde_json::json!(Marker {
            path: path.to_string(),
            id: id.clone(),
        });
        let upload = Upload {
            store,
            path,
            id,
            token: token.to_owned(),
            marker,
            keep: false,
        };
        let put = upload
            .store
            .put(&upload.marker, PutPayload::from(says.to_string()))
            .await;
        put.map_err(|source| upload.failed(source))?;
        Ok(Self {
            upload,
            buffer: Vec::new(),
            started: 0,
            sending: JoinSet::new(),
            sending_bytes: 0,
            parts: Vec::new(),
            bytes: 0,
        })
    }

    /// Where the file will be.
    pub fn url(&self) -> String {
        self.upload.url()
    }

    /// Adds bytes.
    ///
    /// # Errors
    /// When a part cannot be sent.
    pub async fn write(&mut self, mut bytes: &[u8]) -> Result<(), Error> {
        self.bytes += bytes.len() as u64;
        while !bytes.is_empty() {
            let wanted = part_bytes(self.started);
            self.buffer
                .reserve_exact(wanted.min(bytes.len() + self.buffer.len()) - self.buffer.len());
            let (now, later) = bytes.split_at(bytes.len().min(wanted - self.buffer.len()));
            self.buffer.extend_from_slice(now);
            bytes = later;
            if self.buffer.len() == wanted {
                self.send().await?;
            }
        }
        Ok(())
    }

    /// Bytes of memory that it holds.
    pub fn memory(&self) -> usize {
        self.buffer.capacity() + self.sending_bytes
    }

    /// Sends what is left. The file is whole in the storage when this returns, but for its completion. Gives its size,
    /// too.
    ///
    /// # Errors
    /// When a part cannot be sent.
    pub async fn finish(mut self) -> Result<(Staged, u64), Error> {
        // An upload has at least one part, even if that is empty.
        if !self.buffer.is_empty() || self.started == 0 {
            self.send().await?;
        }
        while !self.sending.is_empty() {
            self.sent().await?;
        }
        self.upload.keep = true;
        let upload = &self.upload;
        let staged = Staged::Upload {
            id: upload.id.clone(),
            token: upload.token.clone(),
            marker: format!("{}/{}", upload.store, upload.marker),
            parts: std::mem::take(&mut self.parts).into_iter().flatten().collect(),
        };
        Ok((staged, self.bytes))
    }

    async fn send(&mut self) -> Result<(), Error> {
        while self.sending.len() >= CONCURRENT_PARTS {
            self.sent().await?;
        }
        let bytes = Bytes::from(std::mem::take(&mut self.buffer));
        let (store, path) = (self.upload.store.clone(), self.upload.path.clone());
        let (id, index) = (self.upload.id.clone(), self.started);
        self.started += 1;
        self.sending_bytes += bytes.len();
        self.parts.push(None);
        self.sending
            .spawn(async move { Ok((index, store.upload_part(&path, &id, index, bytes).await?)) });
        Ok(())
    }

    /// Waits for one part.
    async fn sent(&mut self) -> Result<(), Error> {
        let (index, part) = match self.sending.join_next().await {
            None => return Ok(()),
            Some(Ok(sent)) => sent.map_err(|source| self.upload.failed(source))?,
            Some(Err(error)) => return Err(self.upload.failed(error.into())),
        };
        self.sending_bytes -= part.bytes as usize;
        self.parts[index] = Some(part);
        Ok(())
    }
}

impl Upload {
    fn url(&self) -> String {
        format!("{}/{}", self.store, self.path)
    }

    fn failed(&self, source: object_store::Error) -> Error {
        failed(&self.store, &self.path, source)
    }
}

fn failed(store: &S3Store, path: &Path, source: object_store::Error) -> Error {
    Error::storage("", "write", format!("{store}/{path}"), source)
}

fn part_bytes(index: usize) -> usize {
    FIRST_PART_BYTES << (index / PARTS_OF_A_SIZE).min(MAX_DOUBLINGS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::s3::MIN_PART_BYTES;

    #[test]
    fn parts_fit_the_limits_of_s3() {
        assert!(part_bytes(0) as u64 >= MIN_PART_BYTES);
        assert!(part_bytes(usize::MAX) as u64 <= 5 << 30, "S3's largest part");
        let parts = 10_000;
        let whole: u64 = (0..parts).map(|index| part_bytes(index) as u64).sum();
        assert!(whole >= 4 << 40, "{whole}");
    }
}
