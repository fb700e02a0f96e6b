//! The bytes of files.

use std::io::{ErrorKind, Read, Seek, SeekFrom};

use bytes::{Buf, Bytes};
use datafusion::common::GetExt;
use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
use datafusion::error::{DataFusionError, Result};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{GetOptions, GetResult, GetResultPayload, ObjectStore};

use super::{FilePart, ReadError};

/// Bytes that are read from a file at once.
const FILE_PIECE_BYTES: u64 = 512 << 10;

/// How a file is compressed, by its name.
pub(super) fn compression(path: &str) -> FileCompressionType {
    let known = [
        FileCompressionType::GZIP,
        FileCompressionType::BZIP2,
        FileCompressionType::XZ,
        FileCompressionType::ZSTD,
    ];
    let named = known
        .into_iter()
        .find(|compression| path.ends_with(&compression.get_ext()));
    named.unwrap_or(FileCompressionType::UNCOMPRESSED)
}

/// The bytes of a whole file, decompressed.
pub(super) async fn whole(store: &dyn ObjectStore, path: &str) -> Result<BoxStream<'static, Result<Bytes>>> {
    let path = Path::parse(path).map_err(|error| DataFusionError::ObjectStore(Box::new(error.into())))?;
    let found = store.get_opts(&path, GetOptions::default()).await?;
    let compression = compression(path.as_ref());
    if compression == FileCompressionType::UNCOMPRESSED {
        return Ok(raw(found));
    }
    let file = path.to_string();
    let decompressed = compression.convert_stream(raw(found))?;
    Ok(decompressed.map_err(move |error| damaged(&file, error)).boxed())
}

/// Tells bytes that cannot be decompressed from those that cannot be read.
fn damaged(file: &str, error: DataFusionError) -> DataFusionError {
    match &error {
        DataFusionError::IoError(cause)
            if matches!(
                cause.kind(),
                ErrorKind::InvalidData | ErrorKind::InvalidInput | ErrorKind::UnexpectedEof
            ) =>
        {
            ReadError::content(file, format!("it cannot be decompressed: {cause}")).into()
        }
        _ => error,
    }
}

/// The bytes of an object. Files are read in larger pieces than the store would: each costs a change of threads.
fn raw(found: GetResult) -> BoxStream<'static, Result<Bytes>> {
    let range = found.range.clone();
    match found.payload {
        GetResultPayload::Stream(stream) => stream.map_err(DataFusionError::from).boxed(),
        GetResultPayload::File(file, _) => futures::stream::try_unfold((file, range), |(mut file, mut range)| async {
            let read = move || -> std::io::Result<_> {
                let wanted = FILE_PIECE_BYTES.min(range.end.saturating_sub(range.start));
                let mut piece = Vec::with_capacity(wanted as usize);
                file.seek(SeekFrom::Start(range.start))?;
                let count = file.by_ref().take(wanted).read_to_end(&mut piece)?;
                range.start += count as u64;
                Ok((count > 0).then(|| (Bytes::from(piece), (file, range))))
            };
            let read = tokio::task::spawn_blocking(read).await;
            read.map_err(|error| DataFusionError::External(Box::new(error)))?
                .map_err(DataFusionError::from)
        })
        .boxed(),
    }
}

/// The bytes of the lines that begin in a part, decompressed. Only parts of uncompressed files may begin or end within
/// the file.
pub(super) async fn lines(store: &dyn ObjectStore, part: &FilePart) -> Result<BoxStream<'static, Result<Bytes>>> {
    if part.start == 0 && part.end >= part.size {
        return whole(store, &part.path).await;
    }
    // The byte before the part tells whether a line begins at its start.
    let first = part.start.saturating_sub(1);
    let path = Path::parse(&part.path).map_err(|error| DataFusionError::ObjectStore(Box::new(error.into())))?;
    let options = GetOptions {
        range: Some((first..part.size).into()),
        ..Default::default()
    };
    let raw = raw(store.get_opts(&path, options).await?);
    let cut = LineCut {
        at: first,
        end: part.end,
        started: part.start == 0,
        done: false,
    };
    Ok(
        futures::stream::try_unfold((raw, cut), |(mut raw, mut cut)| async move {
            while !cut.done {
                match raw.try_next().await? {
                    Some(bytes) => {
                        let kept = cut.keep(bytes);
                        if !kept.is_empty() {
                            return Ok(Some((kept, (raw, cut))));
                        }
                    }
                    None => break,
                }
            }
            Ok(None)
        })
        .boxed(),
    )
}

/// Cuts a stream of bytes at the first line that begins in a range, and behind the last.
struct LineCut {
    /// Where the next bytes are in the file.
    at: u64,
    /// One past the last byte at which a line may begin.
    end: u64,
    /// Whether the first line was found.
    started: bool,
    done: bool,
}

impl LineCut {
    fn keep(&mut self, mut bytes: Bytes) -> Bytes {
        if !self.started {
            let Some(newline) = memchr::memchr(b'\n', &bytes) else {
                self.at += bytes.len() as u64;
                return Bytes::new();
            };
            bytes.advance(newline + 1);
            self.at += newline as u64 + 1;
            self.started = true;
            if self.at >= self.end {
                self.done = true;
                return Bytes::new();
            }
        }
        // The last line that begins before `end` is over at the first newline from `end - 1` on.
        let from = (self.end - 1).saturating_sub(self.at);
        if let Ok(from) = usize::try_from(from)
            && from < bytes.len()
            && let Some(newline) = memchr::memchr(b'\n', &bytes[from..])
        {
            bytes.truncate(from + newline + 1);
            self.done = true;
        }
        self.at += bytes.len() as u64;
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines of a file are read once, wherever it is split and however its bytes arrive.
    #[test]
    fn every_line_is_in_one_part() {
        let text = b"one\n\nthree\nfour is long\n\n\nseven";
        let size = text.len() as u64;
        for piece in 1..=text.len() {
            for middle in 0..=size {
                let mut read = Vec::new();
                for (start, end) in [(0, middle), (middle, size)]
                    .into_iter()
                    .filter(|(start, end)| start < end)
                {
                    let first = start.saturating_sub(1);
                    let mut cut = LineCut {
                        at: first,
                        end,
                        started: start == 0,
                        done: false,
                    };
                    for chunk in text[first as usize..].chunks(piece) {
                        if !cut.done {
                            read.extend_from_slice(&cut.keep(Bytes::copy_from_slice(chunk)));
                        }
                    }
                }
                assert_eq!(read, text, "{piece} {middle}");
            }
        }
    }
}
