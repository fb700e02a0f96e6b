//! One file of a sink, while it is written.

use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use datafusion::error::DataFusionError;
use datafusion::execution::memory_pool::MemoryReservation;
use tokio::fs::File;
use tokio::io::AsyncWriteExt;
use weir_model::{ExecutionId, OutputFile, Staged};
use weir_platform::output::{self, UploadWriter};
use weir_platform::s3::S3;

use super::csv::CsvEncoder;
use super::parquet::ParquetEncoder;
use super::text::{write_json, write_lines};
use super::{SinkFormat, SinkPlace, SinkSpec};

/// Encoded bytes that are collected before they go to the file.
const FLUSH_BYTES: usize = 1 << 20;

/// Why a file could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The rows cannot be written in this format.
    #[error("the rows cannot be written as {format}")]
    Rows {
        /// The format.
        format: &'static str,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The file cannot be written.
    #[error("cannot write `{path}`")]
    File {
        /// The staged file.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The object cannot be written.
    #[error("cannot write the output")]
    Object(#[source] Box<output::Error>),
    /// The task's memory is used up.
    #[error("not enough memory to write the output")]
    Memory(#[source] Box<DataFusionError>),
}

/// Writes one file, staged. Dropped before [`finish`](Self::finish) it leaves nothing.
pub struct FileWriter {
    encoder: Encoder,
    sink: Sink,
    target: String,
    buffer: Vec<u8>,
    memory: MemoryReservation,
    rows: u64,
    bytes: u64,
}

/// Where files are staged.
#[derive(Clone, Copy, Debug)]
pub enum Staging<'a> {
    /// In a folder of this machine.
    Folder,
    /// In a bucket.
    Bucket(&'a S3),
}

/// Takes the bytes of the file.
enum Sink {
    File { file: File, staged: StagedPath },
    Upload(Box<UploadWriter>),
}

enum Encoder {
    Text { line: String },
    Csv(CsvEncoder),
    Json,
    Parquet(Box<ParquetEncoder>),
}

/// Removes the file unless it is kept.
struct StagedPath {
    path: PathBuf,
    keep: bool,
}

impl Drop for StagedPath {
    fn drop(&mut self) {
        if !self.keep {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

impl FileWriter {
    /// Starts a file. `memory` is charged with what is not in the file yet.
    pub async fn create(
        sink: &SinkSpec,
        schema: &SchemaRef,
        place: SinkPlace,
        execution: ExecutionId,
        staging: Staging<'_>,
        memory: MemoryReservation,
    ) -> Result<Self, WriteError> {
        let target = sink.file_target(place);
        let name = format!("{}-{execution}", place.index);
        let opened = match staging {
            Staging::Folder => Sink::file(&sink.info.staging, &name).await?,
            Staging::Bucket(s3) => {
                let upload = UploadWriter::create(s3, &target, &sink.info.staging, &name).await;
                Sink::Upload(Box::new(upload.map_err(object_error)?))
            }
        };
        let mut buffer = Vec::new();
        let encoder = match &sink.format {
            SinkFormat::Text => Encoder::Text { line: String::new() },
            SinkFormat::Csv {
                delimiter,
                quote,
                header,
                null,
            } => {
                let encoder = CsvEncoder::new(*delimiter, *quote, null.clone());
                if *header {
                    encoder.header(&mut buffer, schema);
                }
                Encoder::Csv(encoder)
            }
            SinkFormat::Json => Encoder::Json,
            SinkFormat::Parquet { codec } => {
                let encoder = ParquetEncoder::new(schema.clone(), *codec).map_err(rows_error("parquet"))?;
                Encoder::Parquet(Box::new(encoder))
            }
        };
        Ok(Self {
            encoder,
            sink: opened,
            target,
            buffer,
            memory,
            rows: 0,
            bytes: 0,
        })
    }

    /// Adds rows.
    pub async fn write(&mut self, batch: &RecordBatch) -> Result<(), WriteError> {
        let pending = match &mut self.encoder {
            Encoder::Text { line } => {
                write_lines(&mut self.buffer, line, batch).map_err(rows_error("text"))?;
                0
            }
            Encoder::Csv(encoder) => {
                encoder.rows(&mut self.buffer, batch).map_err(rows_error("csv"))?;
                0
            }
            Encoder::Json => {
                write_json(&mut self.buffer, batch).map_err(rows_error::<ArrowError>("json"))?;
                0
            }
            Encoder::Parquet(encoder) => {
                encoder.rows(&mut self.buffer, batch).map_err(rows_error("parquet"))?;
                encoder.memory()
            }
        };
        self.rows += batch.num_rows() as u64;
        if self.buffer.len() >= FLUSH_BYTES {
            self.flush().await?;
        }
        self.memory
            .try_resize(pending + self.buffer.capacity() + self.sink.memory())
            .map_err(|error| WriteError::Memory(Box::new(error)))
    }

    /// Bytes that were written so far.
    pub fn bytes(&self) -> u64 {
        self.bytes + self.buffer.len() as u64
    }

    /// Ends the file. It is on disk, or in the bucket, when this returns.
    pub async fn finish(mut self) -> Result<OutputFile, WriteError> {
        let encoder = std::mem::replace(&mut self.encoder, Encoder::Json);
        if let Encoder::Parquet(encoder) = encoder {
            encoder.finish(&mut self.buffer).map_err(rows_error("parquet"))?;
        }
        self.flush().await?;
        Ok(OutputFile {
            target: self.target,
            staged: self.sink.finish().await?,
            rows: self.rows,
            bytes: self.bytes,
        })
    }

    async fn flush(&mut self) -> Result<(), WriteError> {
        self.sink.write(&self.buffer).await?;
        self.bytes += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}

impl Sink {
    async fn file(folder: &str, name: &str) -> Result<Self, WriteError> {
        let path = Path::new(folder).join(name);
        tokio::fs::create_dir_all(folder).await.map_err(file_error(&path))?;
        let file = File::create_new(&path).await.map_err(file_error(&path))?;
        let staged = StagedPath { path, keep: false };
        Ok(Self::File { file, staged })
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        match self {
            Self::File { file, staged } => {
                file.write_all(bytes).await.map_err(file_error(&staged.path))?;
                file.flush().await.map_err(file_error(&staged.path))
            }
            Self::Upload(upload) => upload.write(bytes).await.map_err(object_error),
        }
    }

    /// Bytes of memory that it holds.
    fn memory(&self) -> usize {
        match self {
            Self::File { .. } => 0,
            Self::Upload(upload) => upload.memory(),
        }
    }

    async fn finish(self) -> Result<Staged, WriteError> {
        match self {
            Self::File { file, mut staged } => {
                file.sync_all().await.map_err(file_error(&staged.path))?;
                staged.keep = true;
                Ok(Staged::File {
                    path: staged.path.to_string_lossy().into_owned(),
                })
            }
            Self::Upload(upload) => upload.finish().await.map(|(staged, _)| staged).map_err(object_error),
        }
    }
}

fn file_error(path: &Path) -> impl FnOnce(std::io::Error) -> WriteError {
    move |source| WriteError::File {
        path: path.display().to_string(),
        source,
    }
}

fn object_error(error: output::Error) -> WriteError {
    WriteError::Object(Box::new(error))
}

fn rows_error<E>(format: &'static str) -> impl FnOnce(E) -> WriteError
where
    E: std::error::Error + Send + Sync + 'static,
{
    move |error| WriteError::Rows {
        format,
        source: Box::new(error),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::Int64Array;
    use datafusion::execution::memory_pool::{GreedyMemoryPool, MemoryConsumer, MemoryPool};
    use weir_model::{RunId, Timestamp};

    use super::super::{ParquetCodec, SinkTarget};
    use super::*;

    fn rows(count: i64) -> RecordBatch {
        RecordBatch::try_from_iter([("n", Arc::new(Int64Array::from_iter_values(0..count)) as _)]).unwrap()
    }

    async fn writer(folder: &Path, format: SinkFormat, memory: usize) -> FileWriter {
        let target = SinkTarget::new(folder.join("out").to_str().unwrap()).unwrap();
        let info = target.info(RunId::from_parts(Timestamp(0), 0), "Write", &format);
        let sink = SinkSpec {
            info,
            suffix: String::new(),
            shards: None,
            format,
        };
        let pool: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(memory));
        let memory = MemoryConsumer::new("test").register(&pool);
        let place = SinkPlace { index: 0, count: 1 };
        let execution = ExecutionId::from_parts(Timestamp(0), 1);
        FileWriter::create(&sink, &rows(0).schema(), place, execution, Staging::Folder, memory)
            .await
            .unwrap()
    }

    #[tokio::test]
    async fn a_finished_file_is_all_there() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = writer(folder.path(), SinkFormat::Text, usize::MAX).await;
        for _ in 0..50 {
            writer.write(&rows(10_000)).await.unwrap();
        }
        let file = writer.finish().await.unwrap();
        let Staged::File { path } = &file.staged else {
            panic!("{:?} is no file", file.staged);
        };
        let text = std::fs::read_to_string(path).unwrap();
        assert_eq!((file.rows, file.bytes), (500_000, text.len() as u64));
        assert_eq!(text.lines().count(), 500_000);
        assert!(file.target.ends_with("/out-00000-of-00001"), "{}", file.target);
    }

    #[tokio::test]
    async fn an_unfinished_file_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = writer(folder.path(), SinkFormat::Json, usize::MAX).await;
        writer.write(&rows(500_000)).await.unwrap();
        let Sink::File { staged, .. } = &writer.sink else {
            panic!("it is staged in a folder");
        };
        let path = staged.path.clone();
        assert!(path.exists());
        drop(writer);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn what_is_not_in_the_file_yet_is_charged() {
        let folder = tempfile::tempdir().unwrap();
        let format = SinkFormat::Parquet {
            codec: ParquetCodec::None,
        };
        let mut writer = writer(folder.path(), format, 100 << 10).await;
        let mut written = Ok(());
        for _ in 0..100 {
            written = writer.write(&rows(10_000)).await;
            if written.is_err() {
                break;
            }
        }
        assert!(matches!(written, Err(WriteError::Memory(_))), "{written:?}");
    }
}
