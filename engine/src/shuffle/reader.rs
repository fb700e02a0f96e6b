//! Reads shuffle objects.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::buffer::Buffer;
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use datafusion::common::Statistics;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::coop::cooperative;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType, SchedulingType};
use datafusion::physical_plan::metrics::{Count, ExecutionPlanMetricsSet, MetricBuilder, MetricsSet};
use datafusion::physical_plan::statistics::StatisticsArgs;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties, ReplaceChildrenOptions,
    SendableRecordBatchStream,
};
use futures::{Stream, StreamExt, TryStreamExt, stream};
use weir_model::{StageId, StageManifest};

use super::{BatchDecoder, ShuffleInputs};

/// Bytes fetched by one read at most.
const CHUNK_BYTES: u64 = 4 << 20;
/// Reads under way at once, per stream.
const PREFETCH: usize = 3;

/// The metric of bytes read.
pub(crate) const BYTES_READ: &str = "bytes_read";
/// The metric of partitions that somebody asked for a row of.
pub(crate) const OPENED: &str = "opened_partitions";
/// The metric of rows of these that nobody asked for any more.
pub(crate) const UNREAD_ROWS: &str = "unread_rows";

/// A leaf that gives the rows of another stage.
#[derive(Debug, Clone)]
pub struct ShuffleReaderExec {
    stage: StageId,
    /// Shuffle partitions of the stage that it reads.
    shuffle_partitions: Range<u32>,
    gather: bool,
    properties: Arc<PlanProperties>,
    statistics: Option<Arc<Statistics>>,
    metrics: ExecutionPlanMetricsSet,
}

impl ShuffleReaderExec {
    /// A reader whose partition `p` is shuffle partition `p` of `stage`. `partitioning` and `equivalences` state what
    /// is known of the rows.
    pub fn new(stage: StageId, partitioning: Partitioning, equivalences: EquivalenceProperties) -> Self {
        let shuffle_partitions = 0..partitioning.partition_count() as u32;
        Self::build(stage, shuffle_partitions, false, partitioning, equivalences)
    }

    /// A reader whose only partition has the rows of all `partitions` shuffle partitions of `stage`, in no order.
    pub fn gather(stage: StageId, partitions: u32, schema: SchemaRef) -> Self {
        let equivalences = EquivalenceProperties::new(schema);
        Self::build(
            stage,
            0..partitions,
            true,
            Partitioning::UnknownPartitioning(1),
            equivalences,
        )
    }

    pub(crate) fn build(
        stage: StageId,
        shuffle_partitions: Range<u32>,
        gather: bool,
        partitioning: Partitioning,
        equivalences: EquivalenceProperties,
    ) -> Self {
        let properties = PlanProperties::new(
            equivalences,
            partitioning,
            EmissionType::Incremental,
            Boundedness::Bounded,
        )
        .with_scheduling_type(SchedulingType::Cooperative);
        Self {
            stage,
            shuffle_partitions,
            gather,
            properties: Arc::new(properties),
            statistics: None,
            metrics: ExecutionPlanMetricsSet::new(),
        }
    }

    /// The same reader with an estimate of all its rows, for the planner.
    #[must_use]
    pub fn with_statistics(mut self, statistics: Arc<Statistics>) -> Self {
        self.statistics = Some(statistics);
        self
    }

    /// The stage that it reads.
    pub fn stage(&self) -> StageId {
        self.stage
    }

    /// Whether its only partition reads all shuffle partitions.
    pub fn gathers(&self) -> bool {
        self.gather
    }

    /// The shuffle partitions that it reads.
    pub fn shuffle_partitions(&self) -> Range<u32> {
        self.shuffle_partitions.clone()
    }

    /// The same reader, of a range of its partitions only.
    #[must_use]
    pub(crate) fn restricted(&self, range: Range<usize>) -> Self {
        let count = range.len();
        let partitioning = match self.properties.output_partitioning() {
            Partitioning::Hash(exprs, _) => Partitioning::Hash(exprs.clone(), count),
            _ => Partitioning::UnknownPartitioning(count),
        };
        let start = self.shuffle_partitions.start;
        Self::build(
            self.stage,
            start + range.start as u32..start + range.end as u32,
            self.gather,
            partitioning,
            self.properties.eq_properties.clone(),
        )
    }

    /// The shuffle partitions that one partition of the plan reads.
    fn sources(&self, partition: usize) -> Result<Range<u32>> {
        if self.gather && partition == 0 {
            return Ok(self.shuffle_partitions.clone());
        }
        let shuffle = self.shuffle_partitions.start + partition as u32;
        if self.gather || !self.shuffle_partitions.contains(&shuffle) {
            return Err(DataFusionError::Internal(format!(
                "{self:?} has no partition {partition}"
            )));
        }
        Ok(shuffle..shuffle + 1)
    }
}

impl DisplayAs for ShuffleReaderExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let partitioning = self.properties.output_partitioning();
        match self.gather {
            true => write!(f, "ShuffleReaderExec: stage={}, gather", self.stage),
            false => write!(
                f,
                "ShuffleReaderExec: stage={}, partitioning={partitioning}",
                self.stage
            ),
        }
    }
}

impl ExecutionPlan for ShuffleReaderExec {
    fn name(&self) -> &'static str {
        "ShuffleReaderExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let inputs = ShuffleInputs::of(&context)?;
        let schema = self.schema();
        let counts = Counts {
            rows: MetricBuilder::new(&self.metrics).output_rows(partition),
            bytes: MetricBuilder::new(&self.metrics).counter(BYTES_READ, partition),
            opened: MetricBuilder::new(&self.metrics).counter(OPENED, partition),
            unread: MetricBuilder::new(&self.metrics).counter(UNREAD_ROWS, partition),
        };
        let read = read(
            inputs,
            self.stage,
            self.sources(partition)?,
            Arc::clone(&schema),
            counts,
            context,
        );
        let batches = stream::once(read).try_flatten();
        Ok(Box::pin(cooperative(RecordBatchStreamAdapter::new(
            schema,
            Box::pin(batches),
        ))))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn statistics_from_inputs(&self, _: &[Arc<Statistics>], args: &StatisticsArgs) -> Result<Arc<Statistics>> {
        match (&self.statistics, args.partition()) {
            (Some(statistics), None) => Ok(Arc::clone(statistics)),
            _ => Ok(Arc::new(Statistics::new_unknown(&self.schema()))),
        }
    }
}

struct Counts {
    rows: Count,
    bytes: Count,
    opened: Count,
    unread: Count,
}

/// A read of adjacent segments of one object, or of a part of a large one.
struct Fetch {
    object: u32,
    range: Range<u64>,
}

/// The reads that give the rows of `partitions`, and the number of these rows. Segments that touch are read at once.
fn plan_fetches(manifest: &StageManifest, partitions: Range<u32>) -> (Vec<Fetch>, u64) {
    let mut segments: Vec<_> = partitions.flat_map(|partition| manifest.segments(partition)).collect();
    // With one partition this is the order of tasks already.
    segments.sort_by_key(|segment| (segment.object, segment.offset));
    let rows = segments.iter().map(|segment| segment.rows).sum();
    let mut ranges: Vec<Fetch> = Vec::new();
    for segment in segments {
        let range = segment.offset..segment.offset + segment.length;
        match ranges.last_mut() {
            Some(last) if last.object == segment.object && last.range.end == range.start => last.range.end = range.end,
            _ => ranges.push(Fetch {
                object: segment.object,
                range,
            }),
        }
    }
    let fetches = ranges.into_iter().flat_map(|Fetch { object, range }| {
        let starts = (range.start..range.end).step_by(CHUNK_BYTES as usize);
        starts.map(move |start| Fetch {
            object,
            range: start..range.end.min(start + CHUNK_BYTES),
        })
    });
    (fetches.collect(), rows)
}

/// The state of one stream.
struct Reading<C> {
    stage: StageId,
    chunks: C,
    decoder: BatchDecoder,
    /// What was fetched and not yet decoded.
    bytes: Buffer,
    ended: bool,
    rows: u64,
    expected_rows: u64,
    counts: Counts,
    _reservation: MemoryReservation,
}

impl<C: Stream<Item = Result<Bytes>> + Send + Unpin> Reading<C> {
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            if let Some(batch) = self.decoder.decode(&mut self.bytes)? {
                return Ok(Some(self.count(batch)));
            }
            match self.chunks.try_next().await? {
                Some(bytes) => {
                    self.counts.bytes.add(bytes.len());
                    self.bytes = Buffer::from(bytes);
                }
                None if self.ended => return self.check_rows(),
                None => {
                    self.ended = true;
                    if let Some(batch) = self.decoder.finish()? {
                        return Ok(Some(self.count(batch)));
                    }
                }
            }
        }
    }

    fn count(&mut self, batch: RecordBatch) -> RecordBatch {
        self.rows += batch.num_rows() as u64;
        self.counts.rows.add(batch.num_rows());
        batch
    }

    fn check_rows(&self) -> Result<Option<RecordBatch>> {
        match self.rows == self.expected_rows {
            true => Ok(None),
            false => Err(DataFusionError::Execution(format!(
                "stage {} should have {} rows here, but {} were read",
                self.stage, self.expected_rows, self.rows
            ))),
        }
    }
}

/// Who stops reading early leaves rows unread; this is where they are counted.
impl<C> Drop for Reading<C> {
    fn drop(&mut self) {
        self.counts
            .unread
            .add(self.expected_rows.saturating_sub(self.rows) as usize);
    }
}

async fn read(
    inputs: Arc<ShuffleInputs>,
    stage: StageId,
    partitions: Range<u32>,
    schema: SchemaRef,
    counts: Counts,
    context: Arc<TaskContext>,
) -> Result<impl Stream<Item = Result<RecordBatch>> + Send> {
    counts.opened.add(1);
    let manifest = inputs.manifest(stage).await?;
    let (fetches, expected_rows) = plan_fetches(&manifest, partitions);
    let reservation = MemoryConsumer::new("ShuffleReader").register(context.memory_pool());
    // What is read ahead costs memory; when there is too little, one piece at a time has to do.
    let held = |count: usize| {
        fetches
            .iter()
            .take(count)
            .map(|fetch| fetch.range.end - fetch.range.start)
            .sum::<u64>()
    };
    let prefetch = match reservation.try_grow(held(PREFETCH + 1) as usize) {
        Ok(()) => PREFETCH,
        Err(_) => {
            reservation.try_grow(held(1) as usize)?;
            1
        }
    };
    let chunks = stream::iter(fetches)
        .map(move |fetch| fetch_one(Arc::clone(&inputs), stage, Arc::clone(&manifest), fetch))
        .buffered(prefetch);
    let reading = Reading {
        stage,
        chunks: Box::pin(chunks),
        decoder: BatchDecoder::new(&schema)?,
        bytes: Buffer::from_vec(Vec::<u8>::new()),
        ended: false,
        rows: 0,
        expected_rows,
        counts,
        _reservation: reservation,
    };
    Ok(stream::try_unfold(reading, |mut reading| async move {
        let batch = reading.next().await?;
        Ok(batch.map(|batch| (batch, reading)))
    }))
}

async fn fetch_one(
    inputs: Arc<ShuffleInputs>,
    stage: StageId,
    manifest: Arc<StageManifest>,
    fetch: Fetch,
) -> Result<Bytes> {
    let key = &manifest.objects()[fetch.object as usize];
    match inputs.storage().get_range(key, fetch.range).await {
        Ok(bytes) => Ok(bytes),
        Err(error) => Err(inputs.read_error(stage, error).await),
    }
}
