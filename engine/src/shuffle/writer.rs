//! Writes the shuffle object of one task.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions};
use arrow::compute::BatchCoalescer;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::ipc::writer::IpcWriteContext;
use bytes::Bytes;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::physical_plan::Partitioning;
use datafusion::physical_plan::metrics::Time;
use datafusion::physical_plan::repartition::BatchPartitioner;
use object_store::{ObjectStoreExt, WriteMultipart};
use tokio::task::spawn_blocking;
use weir_model::{PartitionSpan, ShuffleObject};
use weir_platform::Storage;

use super::BatchEncoder;

/// Objects up to this size are written by one put, larger ones in parts of this size.
const PART_BYTES: usize = 8 << 20;
/// Parts under way at once.
const CONCURRENT_PARTS: usize = 4;
/// Rows that wait to be encoded may take this much memory, even when the pool has more.
const MAX_UNENCODED_BYTES: usize = 64 << 20;

/// Counts of a writer, readable while it works.
#[derive(Debug, Default)]
pub struct ShuffleMetrics {
    /// Rows taken.
    pub rows: AtomicU64,
    /// Bytes encoded.
    pub bytes: AtomicU64,
    /// Bytes that went to local disk for lack of memory.
    pub spilled_bytes: AtomicU64,
}

/// Collects the output rows of one task by shuffle partition and writes them as one object.
///
/// Encoded rows are charged to the memory pool and go to a local file when it is exhausted.
pub struct ShuffleWriter {
    schema: SchemaRef,
    batch_rows: usize,
    partitioner: Option<BatchPartitioner>,
    outputs: Vec<Output>,
    /// Rows that are in coalescers, over all outputs.
    unencoded_rows: usize,
    /// Bytes that a row of the latest batch takes unencoded, about.
    row_bytes: usize,
    encoded_bytes: usize,
    scratch: IpcWriteContext,
    reservation: MemoryReservation,
    runtime: Arc<RuntimeEnv>,
    spill: Option<SpillStore>,
    metrics: Arc<ShuffleMetrics>,
}

/// One shuffle partition.
#[derive(Default)]
struct Output {
    open: Option<(BatchCoalescer, BatchEncoder)>,
    /// What was encoded since the last spill.
    encoded: Vec<u8>,
    /// Where earlier bytes lie in the spill file.
    spilled: Vec<(u64, usize)>,
    rows: u64,
}

impl ShuffleWriter {
    /// A writer of `partitions` shuffle partitions whose rows arrive by [`write_to`](Self::write_to).
    pub fn forward(schema: SchemaRef, partitions: usize, context: &TaskContext, metrics: Arc<ShuffleMetrics>) -> Self {
        let mut outputs = Vec::new();
        outputs.resize_with(partitions, Output::default);
        Self {
            schema,
            batch_rows: context.session_config().batch_size(),
            partitioner: None,
            outputs,
            unencoded_rows: 0,
            row_bytes: 0,
            encoded_bytes: 0,
            scratch: IpcWriteContext::default(),
            reservation: MemoryConsumer::new("ShuffleWriter")
                .with_can_spill(true)
                .register(context.memory_pool()),
            runtime: context.runtime_env(),
            spill: None,
            metrics,
        }
    }

    /// A writer that assigns rows to shuffle partitions by `partitioning`; they arrive by [`write`](Self::write).
    pub fn partitioned(
        schema: SchemaRef,
        partitioning: Partitioning,
        context: &TaskContext,
        metrics: Arc<ShuffleMetrics>,
    ) -> Result<Self> {
        let mut writer = Self::forward(schema, partitioning.partition_count(), context, metrics);
        writer.partitioner = match partitioning.partition_count() {
            // All rows go to one place; there is no need to hash them.
            1 => None,
            _ => Some(BatchPartitioner::try_new(partitioning, Time::new(), 0, 1)?),
        };
        Ok(writer)
    }

    /// Takes rows that the partitioning assigns.
    pub async fn write(&mut self, batch: RecordBatch) -> Result<()> {
        self.measure(&batch);
        let Some(mut partitioner) = self.partitioner.take() else {
            self.push(0, batch)?;
            return self.charge().await;
        };
        let result = partitioner.partition(batch, |partition, rows| self.push(partition, rows));
        self.partitioner = Some(partitioner);
        result?;
        self.charge().await
    }

    /// Takes rows of one shuffle partition.
    pub async fn write_to(&mut self, partition: usize, batch: RecordBatch) -> Result<()> {
        self.measure(&batch);
        self.push(partition, batch)?;
        self.charge().await
    }

    fn measure(&mut self, batch: &RecordBatch) {
        if batch.num_rows() > 0 {
            self.row_bytes = batch.get_array_memory_size() / batch.num_rows() + 1;
        }
    }

    fn push(&mut self, partition: usize, batch: RecordBatch) -> Result<()> {
        let rows = batch.num_rows();
        if rows == 0 {
            return Ok(());
        }
        let output = &mut self.outputs[partition];
        let (coalescer, encoder) = match &mut output.open {
            Some(open) => open,
            open => {
                // Batches that are large already are not copied together with others.
                let coalescer = BatchCoalescer::new(Arc::clone(&self.schema), self.batch_rows)
                    .with_biggest_coalesce_batch_size(Some(self.batch_rows / 2));
                open.insert((coalescer, BatchEncoder::new(&self.schema)?))
            }
        };
        let waiting = coalescer.get_buffered_rows();
        coalescer.push_batch(batch)?;
        let encoded_before = output.encoded.len();
        while let Some(batch) = coalescer.next_completed_batch() {
            encoder.encode(&compact(batch)?, &mut self.scratch, &mut output.encoded)?;
        }
        self.unencoded_rows = self.unencoded_rows + coalescer.get_buffered_rows() - waiting;
        output.rows += rows as u64;
        let encoded = output.encoded.len() - encoded_before;
        self.encoded_bytes += encoded;
        self.metrics.rows.fetch_add(rows as u64, Ordering::Relaxed);
        self.metrics.bytes.fetch_add(encoded as u64, Ordering::Relaxed);
        Ok(())
    }

    /// Encodes the rows of `output` that still wait for a full batch.
    fn flush(output: &mut Output, scratch: &mut IpcWriteContext) -> Result<usize> {
        let Some((coalescer, encoder)) = &mut output.open else {
            return Ok(0);
        };
        let before = output.encoded.len();
        coalescer.finish_buffered_batch()?;
        while let Some(batch) = coalescer.next_completed_batch() {
            encoder.encode(&compact(batch)?, scratch, &mut output.encoded)?;
        }
        Ok(output.encoded.len() - before)
    }

    fn flush_all(&mut self) -> Result<()> {
        let mut encoded = 0;
        for output in &mut self.outputs {
            encoded += Self::flush(output, &mut self.scratch)?;
        }
        self.unencoded_rows = 0;
        self.encoded_bytes += encoded;
        self.metrics.bytes.fetch_add(encoded as u64, Ordering::Relaxed);
        Ok(())
    }

    /// Accounts for what is held, and makes room when there is none.
    async fn charge(&mut self) -> Result<()> {
        let unencoded = self.unencoded_rows.saturating_mul(self.row_bytes);
        if unencoded > MAX_UNENCODED_BYTES {
            self.flush_all()?;
        } else if self.reservation.try_resize(self.encoded_bytes + unencoded).is_ok() {
            return Ok(());
        }
        if self.reservation.try_resize(self.encoded_bytes).is_ok() && self.unencoded_rows == 0 {
            return Ok(());
        }
        self.flush_all()?;
        self.spill().await?;
        self.reservation.try_resize(self.encoded_bytes)
    }

    /// Moves everything that is encoded to the spill file.
    async fn spill(&mut self) -> Result<()> {
        let mut spill = match self.spill.take() {
            Some(spill) => spill,
            None => SpillStore::create(&self.runtime)?,
        };
        let mut chunks = Vec::new();
        for output in &mut self.outputs {
            if !output.encoded.is_empty() {
                output.spilled.push((spill.end, output.encoded.len()));
                spill.end += output.encoded.len() as u64;
                chunks.push(std::mem::take(&mut output.encoded));
            }
        }
        self.metrics
            .spilled_bytes
            .fetch_add(self.encoded_bytes as u64, Ordering::Relaxed);
        self.encoded_bytes = 0;
        let spill = blocking(move || {
            for chunk in chunks {
                spill.writer.write_all(&chunk)?;
            }
            Ok(spill)
        });
        self.spill = Some(spill.await?);
        Ok(())
    }

    /// Writes the object under `key`; nothing when there were no rows.
    pub async fn finish(mut self, storage: &Storage, key: String) -> Result<Option<ShuffleObject>> {
        self.flush_all()?;
        let mut index = Vec::new();
        let mut offset = 0;
        for (partition, output) in self.outputs.iter().enumerate() {
            if output.rows == 0 {
                continue;
            }
            let spilled: usize = output.spilled.iter().map(|(_, length)| length).sum();
            let length = (spilled + output.encoded.len()) as u64;
            index.push(PartitionSpan {
                partition: partition as u32,
                offset,
                length,
                rows: output.rows,
            });
            offset += length;
        }
        if index.is_empty() {
            return Ok(None);
        }
        if self.spill.is_none() && offset <= PART_BYTES as u64 {
            let mut object = Vec::with_capacity(offset as usize);
            for output in &mut self.outputs {
                object.extend_from_slice(&std::mem::take(&mut output.encoded));
            }
            storage.put(&key, Bytes::from(object)).await.map_err(external)?;
        } else {
            self.upload(storage, &key).await?;
        }
        Ok(Some(ShuffleObject { key, index }))
    }

    async fn upload(&mut self, storage: &Storage, key: &str) -> Result<()> {
        let path = object_store::path::Path::parse(key).map_err(external)?;
        let mut source = match self.spill.take() {
            Some(spill) => Some(spill.into_reader().await?),
            None => None,
        };
        let upload = storage.object_store().put_multipart(&path).await.map_err(external)?;
        let mut upload = WriteMultipart::new_with_chunk_size(upload, PART_BYTES);
        let written = self.send_parts(&mut upload, &mut source).await;
        match written {
            Ok(()) => upload.finish().await.map(drop).map_err(external),
            Err(e) => {
                // The first error is the one to tell about; what the abort leaves, garbage collection finds.
                let _ = upload.abort().await;
                Err(e)
            }
        }
    }

    async fn send_parts(&mut self, upload: &mut WriteMultipart, source: &mut Option<SpillReader>) -> Result<()> {
        for output in &mut self.outputs {
            for (start, length) in std::mem::take(&mut output.spilled) {
                let mut reader = source
                    .take()
                    .ok_or_else(|| DataFusionError::Internal("the spill file is gone".to_owned()))?;
                let mut left = length;
                let mut at = start;
                while left > 0 {
                    let piece = left.min(PART_BYTES);
                    let (returned, bytes) = reader.read(at, piece).await?;
                    reader = returned;
                    at += piece as u64;
                    left -= piece;
                    upload.wait_for_capacity(CONCURRENT_PARTS).await.map_err(external)?;
                    upload.put(bytes);
                }
                *source = Some(reader);
            }
            if !output.encoded.is_empty() {
                upload.wait_for_capacity(CONCURRENT_PARTS).await.map_err(external)?;
                upload.put(Bytes::from(std::mem::take(&mut output.encoded)));
            }
        }
        Ok(())
    }
}

/// Bytes that did not fit in memory. The file goes away with this value.
struct SpillStore {
    path: PathBuf,
    file: Arc<dyn datafusion::execution::spill_file::SpillFile>,
    writer: Box<dyn datafusion::execution::spill_file::SpillWriter>,
    end: u64,
}

impl SpillStore {
    fn create(runtime: &RuntimeEnv) -> Result<Self> {
        let file = runtime.disk_manager.create_tmp_file("writing a shuffle object")?;
        let path = file
            .path()
            .ok_or_else(|| DataFusionError::Internal("spill files are not local".to_owned()))?
            .to_owned();
        let writer = file.open_writer()?;
        Ok(Self {
            path,
            file,
            writer,
            end: 0,
        })
    }

    async fn into_reader(mut self) -> Result<SpillReader> {
        blocking(move || {
            self.writer.finish().map_err(std::io::Error::other)?;
            let handle = File::open(&self.path)?;
            Ok(SpillReader {
                _file: self.file,
                handle,
            })
        })
        .await
    }
}

struct SpillReader {
    /// Keeps the file.
    _file: Arc<dyn datafusion::execution::spill_file::SpillFile>,
    handle: File,
}

impl SpillReader {
    async fn read(mut self, start: u64, length: usize) -> Result<(Self, Bytes)> {
        blocking(move || {
            let mut bytes = vec![0; length];
            self.handle.seek(SeekFrom::Start(start))?;
            self.handle.read_exact(&mut bytes)?;
            Ok((self, Bytes::from(bytes)))
        })
        .await
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> std::io::Result<T> + Send + 'static) -> Result<T> {
    spawn_blocking(work)
        .await
        .map_err(external)?
        .map_err(DataFusionError::IoError)
}

fn external(error: impl std::error::Error + Send + Sync + 'static) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// Drops what view columns refer to but do not show: the IPC format writes whole data buffers, and the rows that a
/// filter left may refer to buffers that are many times as large.
fn compact(batch: RecordBatch) -> Result<RecordBatch> {
    let wasteful = |column: &ArrayRef| match column.data_type() {
        DataType::Utf8View => {
            let views = column.as_string_view();
            wastes(views.data_buffers(), views.total_buffer_bytes_used())
        }
        DataType::BinaryView => {
            let views = column.as_binary_view();
            wastes(views.data_buffers(), views.total_buffer_bytes_used())
        }
        _ => false,
    };
    if !batch.columns().iter().any(wasteful) {
        return Ok(batch);
    }
    let columns = batch
        .columns()
        .iter()
        .map(|column| match column.data_type() {
            DataType::Utf8View if wasteful(column) => Arc::new(column.as_string_view().gc()) as ArrayRef,
            DataType::BinaryView if wasteful(column) => Arc::new(column.as_binary_view().gc()) as ArrayRef,
            _ => Arc::clone(column),
        })
        .collect();
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(batch.schema(), columns, &options)?)
}

fn wastes(buffers: &[arrow::buffer::Buffer], used: usize) -> bool {
    let held: usize = buffers.iter().map(arrow::buffer::Buffer::len).sum();
    held > 4096 && held > used.saturating_mul(2)
}
