//! Parquet.

use std::sync::{Arc, Mutex};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

use super::ParquetCodec;

/// Bytes of a row group that is being built, above which it is ended.
const ROW_GROUP_BYTES: usize = 64 << 20;

/// Turns rows into a Parquet file, piece by piece.
pub(super) struct ParquetEncoder {
    writer: ArrowWriter<Chunk>,
    chunk: Chunk,
}

/// Bytes that the writer gave and nobody took yet.
#[derive(Clone, Default)]
struct Chunk(Arc<Mutex<Vec<u8>>>);

impl Chunk {
    fn with<R>(&self, f: impl FnOnce(&mut Vec<u8>) -> R) -> R {
        f(&mut self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner()))
    }
}

impl std::io::Write for Chunk {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.with(|chunk| chunk.extend_from_slice(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl ParquetEncoder {
    pub(super) fn new(schema: SchemaRef, codec: ParquetCodec) -> Result<Self, ParquetError> {
        let compression = match codec {
            ParquetCodec::None => Compression::UNCOMPRESSED,
            ParquetCodec::Snappy => Compression::SNAPPY,
            ParquetCodec::Gzip => Compression::GZIP(Default::default()),
            ParquetCodec::Brotli => Compression::BROTLI(Default::default()),
            ParquetCodec::Lz4 => Compression::LZ4_RAW,
            ParquetCodec::Zstd => Compression::ZSTD(ZstdLevel::default()),
        };
        let properties = WriterProperties::builder().set_compression(compression).build();
        let chunk = Chunk::default();
        Ok(Self {
            writer: ArrowWriter::try_new(chunk.clone(), schema, Some(properties))?,
            chunk,
        })
    }

    /// Adds rows, and moves the bytes that are final to `out`.
    pub(super) fn rows(&mut self, out: &mut Vec<u8>, batch: &RecordBatch) -> Result<(), ParquetError> {
        self.writer.write(batch)?;
        if self.writer.in_progress_size() > ROW_GROUP_BYTES {
            self.writer.flush()?;
        }
        self.chunk.with(|chunk| out.append(chunk));
        Ok(())
    }

    /// Memory that rows hold which are not final bytes yet.
    pub(super) fn memory(&self) -> usize {
        self.writer.memory_size()
    }

    /// The end of the file.
    pub(super) fn finish(self, out: &mut Vec<u8>) -> Result<(), ParquetError> {
        self.writer.close()?;
        self.chunk.with(|chunk| out.append(chunk));
        Ok(())
    }
}
