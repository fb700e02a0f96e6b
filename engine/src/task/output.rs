//! Where the rows of an attempt go.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::memory_pool::MemoryConsumer;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use futures::TryStreamExt;
use weir_model::{ExecutionId, OutputFile, TaskMessage, TaskOutput, layout};
use weir_platform::Storage;
use weir_platform::s3::S3;

use crate::io::{FileWriter, SinkPlace, SinkSpec, Staging, check_local};
use crate::shuffle::{ShuffleMetrics, ShuffleWriter};
use crate::stages::Assignment;
use crate::stages::codec::PlanCodec;

/// Takes the rows of the partitions of one attempt, one partition after the other.
pub(super) enum Output {
    /// Rows find their shuffle partition by a partitioning.
    Partitioned(ShuffleWriter),
    /// Rows stay in the partition that gave them.
    Forward(ShuffleWriter),
    /// To files.
    Files(Box<Files>),
    /// Nowhere.
    Discard(Arc<ShuffleMetrics>),
}

/// Whose rows they are.
#[derive(Clone, Copy)]
pub(super) struct Attempt<'a> {
    pub(super) message: &'a TaskMessage,
    pub(super) execution: ExecutionId,
    /// Where outputs in buckets go.
    pub(super) s3: &'a S3,
}

/// The files of one attempt of a sink's task.
pub(super) struct Files {
    spec: SinkSpec,
    schema: SchemaRef,
    execution: ExecutionId,
    s3: S3,
    task: SinkPlace,
    open: Option<FileWriter>,
    done: Vec<OutputFile>,
    metrics: Arc<ShuffleMetrics>,
}

impl Output {
    /// The output of an attempt whose plan gives rows of `schema` in `partitions` partitions.
    pub(super) fn new(
        assignment: Assignment,
        schema: &SchemaRef,
        partitions: usize,
        codec: &PlanCodec,
        context: &Arc<TaskContext>,
        attempt: Attempt<'_>,
        metrics: Arc<ShuffleMetrics>,
    ) -> Result<Self> {
        Ok(match assignment {
            Assignment::Partitioned(partitioning) => {
                let partitioning = codec.decoder(context).partitioning(&partitioning, schema)?;
                Self::Partitioned(ShuffleWriter::partitioned(
                    Arc::clone(schema),
                    partitioning,
                    context,
                    metrics,
                )?)
            }
            Assignment::Forward | Assignment::Result { .. } => {
                Self::Forward(ShuffleWriter::forward(Arc::clone(schema), partitions, context, metrics))
            }
            Assignment::Sink(spec) => Self::Files(Box::new(Files {
                spec: *spec,
                schema: Arc::clone(schema),
                execution: attempt.execution,
                s3: attempt.s3.clone(),
                task: SinkPlace {
                    index: attempt.message.task.index,
                    count: attempt.message.tasks,
                },
                open: None,
                done: vec![],
                metrics,
            })),
            Assignment::Discard => Self::Discard(metrics),
        })
    }

    /// Takes all rows of a partition of the stage's plan.
    pub(super) async fn take(
        &mut self,
        partition: usize,
        mut rows: SendableRecordBatchStream,
        context: &TaskContext,
    ) -> Result<()> {
        if let Self::Files(files) = self {
            files.start(partition, context).await?;
        }
        while let Some(batch) = rows.try_next().await? {
            match self {
                Self::Partitioned(writer) => writer.write(batch).await?,
                Self::Forward(writer) => writer.write_to(partition, batch).await?,
                Self::Files(files) => files.write(&batch).await?,
                Self::Discard(metrics) => {
                    metrics.rows.fetch_add(batch.num_rows() as u64, Ordering::Relaxed);
                }
            }
        }
        Ok(())
    }

    /// Ends the output; nothing can be read before.
    pub(super) async fn finish(
        self,
        storage: &Storage,
        message: &TaskMessage,
        execution: ExecutionId,
    ) -> Result<TaskOutput> {
        let mut output = TaskOutput::default();
        match self {
            Self::Partitioned(writer) | Self::Forward(writer) => {
                let key = layout::shuffle_key(message.run, message.task, execution);
                output.shuffle = writer.finish(storage, key).await?;
            }
            Self::Files(files) => output.files = files.finish().await?,
            Self::Discard(_) => {}
        }
        Ok(output)
    }
}

impl Files {
    /// Before the rows of a partition: with a fixed number of files each partition has its own.
    async fn start(&mut self, partition: usize, context: &TaskContext) -> Result<()> {
        let place = match self.spec.shards {
            Some(count) => SinkPlace {
                index: partition as u32,
                count,
            },
            None if self.open.is_some() => return Ok(()),
            None => self.task,
        };
        self.close().await?;
        let memory = MemoryConsumer::new("FileWriter").register(context.memory_pool());
        let staging = match is_s3(&self.spec.info.staging) {
            true => Staging::Bucket(&self.s3),
            false => {
                check_local(&context.runtime_env(), &self.spec.info.target)?;
                Staging::Folder
            }
        };
        let writer = FileWriter::create(&self.spec, &self.schema, place, self.execution, staging, memory).await;
        self.open = Some(writer.map_err(external)?);
        Ok(())
    }

    async fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        if let Some(writer) = &mut self.open {
            let before = writer.bytes();
            writer.write(batch).await.map_err(external)?;
            self.metrics.rows.fetch_add(batch.num_rows() as u64, Ordering::Relaxed);
            self.metrics
                .bytes
                .fetch_add(writer.bytes().saturating_sub(before), Ordering::Relaxed);
        }
        Ok(())
    }

    async fn close(&mut self) -> Result<()> {
        if let Some(writer) = self.open.take() {
            self.done.push(writer.finish().await.map_err(external)?);
        }
        Ok(())
    }

    async fn finish(mut self) -> Result<Vec<OutputFile>> {
        self.close().await?;
        let bytes = self.done.iter().map(|file| file.bytes).sum();
        self.metrics.bytes.store(bytes, Ordering::Relaxed);
        Ok(self.done)
    }
}

fn is_s3(url: &str) -> bool {
    url.starts_with("s3://")
}

fn external(error: impl std::error::Error + Send + Sync + 'static) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// The partitions of a task in the plan of its stage, checked.
pub(super) fn partition_range(message: &TaskMessage, partitions: usize) -> Result<Range<usize>> {
    let range = message.partitions.start as usize..message.partitions.end as usize;
    if range.is_empty() || range.end > partitions {
        return Err(DataFusionError::Internal(format!(
            "task {} asks for partitions {range:?} of a plan with {partitions}",
            message.task
        )));
    }
    Ok(range)
}
