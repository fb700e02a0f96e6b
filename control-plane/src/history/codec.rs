//! Compressed objects.

use std::io::{Read as _, Write as _};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Error, LinePageIndex};

/// How hard to try; higher levels take much longer for little less.
const LEVEL: i32 = 3;
/// Bytes of an object, decompressed: more than is ever written.
const MAX_BYTES: u64 = 512 << 20;
/// Bytes of a page of lines, uncompressed, after which the next one begins.
const PAGE_BYTES: u64 = 4 << 20;
/// Lines of a page.
const PAGE_LINES: u64 = 5_000;

/// Compresses bytes.
pub(super) fn compress(bytes: &[u8]) -> Vec<u8> {
    zstd::bulk::compress(bytes, LEVEL).expect("memory is written to memory")
}

/// Decompresses the object of a key.
pub(super) fn decompress(key: &str, bytes: &[u8]) -> Result<Vec<u8>, Error> {
    let unreadable = |error| Error::unreadable(key, error);
    let decoder = zstd::stream::read::Decoder::with_buffer(bytes).map_err(unreadable)?;
    let mut decompressed = Vec::new();
    let read = decoder.take(MAX_BYTES + 1).read_to_end(&mut decompressed);
    read.map_err(unreadable)?;
    if decompressed.len() as u64 > MAX_BYTES {
        return Err(Error::TooLarge {
            key: key.to_owned(),
            limit: MAX_BYTES,
        });
    }
    Ok(decompressed)
}

/// A document as a compressed object.
pub(super) fn encode(document: &impl Serialize) -> Vec<u8> {
    compress(&serde_json::to_vec(document).expect("documents are plain data"))
}

/// Reads what [`encode`] wrote.
pub(super) fn decode<T: DeserializeOwned>(key: &str, bytes: &[u8]) -> Result<T, Error> {
    let bytes = decompress(key, bytes)?;
    serde_json::from_slice(&bytes).map_err(|error| Error::unreadable(key, error))
}

/// A page of JSON lines in the making.
pub(super) struct Lines {
    encoder: zstd::stream::write::Encoder<'static, Vec<u8>>,
    index: LinePageIndex,
    line: Vec<u8>,
}

impl Lines {
    pub(super) fn new() -> Self {
        Self {
            encoder: zstd::stream::write::Encoder::new(Vec::new(), LEVEL).expect("memory is written to memory"),
            index: LinePageIndex::default(),
            line: Vec::new(),
        }
    }

    /// Adds a line that is of an event.
    pub(super) fn add(&mut self, seq: u64, line: &impl Serialize) {
        self.line.clear();
        serde_json::to_writer(&mut self.line, line).expect("lines are plain data");
        self.line.push(b'\n');
        self.encoder.write_all(&self.line).expect("memory is written to memory");
        if self.index.lines == 0 {
            self.index.first_seq = seq;
        }
        self.index.last_seq = seq;
        self.index.lines += 1;
        self.index.bytes += self.line.len() as u64;
    }

    pub(super) fn is_full(&self) -> bool {
        self.index.bytes >= PAGE_BYTES || self.index.lines >= PAGE_LINES
    }

    pub(super) fn is_empty(&self) -> bool {
        self.index.lines == 0
    }

    pub(super) fn finish(self) -> (LinePageIndex, Vec<u8>) {
        let bytes = self.encoder.finish().expect("memory is written to memory");
        (self.index, bytes)
    }
}
