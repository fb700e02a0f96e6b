//! Reads a run's result.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::buffer::Buffer;
use arrow::datatypes::SchemaRef;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::memory_pool::MemoryConsumer;
use datafusion::physical_expr::LexOrdering;
use datafusion::physical_plan::SendableRecordBatchStream;
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet};
use datafusion::physical_plan::sorts::streaming_merge::StreamingMergeBuilder;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use weir_model::{Namespace, RunId, ShuffleObject, StageGraph, StageOutput, layout};
use weir_platform::Storage;

use super::Shared;
use super::failure::with_sources;
use crate::PlanError;
use crate::shuffle::BatchDecoder;
use crate::stages::StagePlan;

/// Bytes read at once; a result is shown as it comes, so a few rows must not wait for many.
const CHUNK_BYTES: u64 = 1 << 20;

/// The rows of a run's result stage after the first `skip`, from the accepted outputs in task order.
pub(crate) async fn read_result(
    shared: &Shared,
    namespace: &Namespace,
    run: RunId,
    graph: &StageGraph,
    objects: Vec<ShuffleObject>,
    mut skip: u64,
) -> Result<SendableRecordBatchStream, PlanError> {
    let stage = graph.stages.iter().find(|stage| stage.output == StageOutput::Result);
    let stage =
        stage.ok_or_else(|| PlanError::Query("the run has no result; its rows went to its outputs".to_owned()))?;
    let bytes = match shared.plan(&shared.storage, run, stage.plan.digest).await {
        Ok(bytes) => bytes,
        Err(failure) => {
            let key = layout::plan_key(run, &stage.plan.digest);
            return Err(match shared.storage.exists(&key).await {
                Ok(false) => PlanError::Query("the result was deleted; run the statement again".to_owned()),
                _ => PlanError::Platform(failure.message.into()),
            });
        }
    };
    let plan = StagePlan::from_bytes(&bytes).map_err(|e| PlanError::Platform(with_sources(&e).into()))?;
    let (schema, order) = shared.result(namespace, &plan).await?;
    let storage = shared.storage.clone();
    let mut ranges: Vec<_> = objects
        .into_iter()
        .flat_map(|object| {
            let key = object.key;
            // Spans are in partition order; each was encoded on its own.
            object
                .index
                .into_iter()
                .map(move |span| (key.clone(), span.offset..span.offset + span.length, span.rows))
        })
        .collect();
    let order = order.filter(|_| ranges.len() > 1);
    if order.is_none() {
        // Their rows follow one another, so whole ones that come before the first wanted row are not read.
        ranges.retain(|(_, _, rows)| {
            let skipped = *rows <= skip;
            if skipped {
                skip -= rows;
            }
            !skipped
        });
    }
    let read_schema = Arc::clone(&schema);
    let spans = ranges
        .into_iter()
        .map(move |(key, range, _)| read_span(storage.clone(), &read_schema, key, range));
    let rows: SendableRecordBatchStream = match order {
        Some(order) => merge(shared, schema, spans, &order)?,
        None => Box::pin(RecordBatchStreamAdapter::new(schema, stream::iter(spans).flatten())),
    };
    Ok(without_first(rows, skip))
}

/// The rows after the first `skip`.
fn without_first(rows: SendableRecordBatchStream, mut skip: u64) -> SendableRecordBatchStream {
    if skip == 0 {
        return rows;
    }
    let schema = rows.schema();
    let rest = rows.try_filter_map(move |batch| {
        let skipped = skip.min(batch.num_rows() as u64);
        skip -= skipped;
        let left = batch.num_rows() - skipped as usize;
        std::future::ready(Ok((left > 0).then(|| batch.slice(skipped as usize, left))))
    });
    Box::pin(RecordBatchStreamAdapter::new(schema, rest))
}

/// Merges sorted partitions, which are few: see where stages are cut.
fn merge(
    shared: &Shared,
    schema: SchemaRef,
    spans: impl Iterator<Item = BoxStream<'static, Result<RecordBatch>>>,
    order: &LexOrdering,
) -> Result<SendableRecordBatchStream, PlanError> {
    let spans = spans.map(|span| Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&schema), span)) as _);
    let reservation = MemoryConsumer::new("ResultMerge").register(&shared.runtime.memory_pool);
    let merged = StreamingMergeBuilder::new()
        .with_streams(spans.collect())
        .with_expressions(order)
        .with_metrics(BaselineMetrics::new(&ExecutionPlanMetricsSet::new(), 0))
        .with_batch_size(shared.batch_size())
        .with_reservation(reservation)
        .with_schema(schema)
        .build();
    Ok(merged?)
}

/// Decodes one span, read in pieces.
struct SpanReader {
    decoder: BatchDecoder,
    storage: Storage,
    key: String,
    /// What is still to be read.
    left: Range<u64>,
    /// What was read and not yet decoded.
    bytes: Buffer,
    ended: bool,
}

impl SpanReader {
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            if let Some(batch) = self.decoder.decode(&mut self.bytes)? {
                return Ok(Some(batch));
            }
            if self.left.is_empty() {
                return match std::mem::replace(&mut self.ended, true) {
                    true => Ok(None),
                    false => Ok(self.decoder.finish()?),
                };
            }
            let range = self.left.start..(self.left.start + CHUNK_BYTES).min(self.left.end);
            self.left.start = range.end;
            let chunk = self.storage.get_range(&self.key, range).await;
            self.bytes = Buffer::from(chunk.map_err(|e| DataFusionError::External(Box::new(e)))?);
        }
    }
}

fn read_span(
    storage: Storage,
    schema: &SchemaRef,
    key: String,
    range: Range<u64>,
) -> BoxStream<'static, Result<RecordBatch>> {
    let decoder = match BatchDecoder::new(schema) {
        Ok(decoder) => decoder,
        Err(error) => return stream::once(async { Err(error.into()) }).boxed(),
    };
    let reader = SpanReader {
        decoder,
        storage,
        key,
        left: range,
        bytes: Buffer::from_vec(Vec::<u8>::new()),
        ended: false,
    };
    stream::try_unfold(reader, |mut reader| async move {
        let batch = reader.next().await?;
        Ok(batch.map(|batch| (batch, reader)))
    })
    .boxed()
}
