//! The operator that reads files.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use bytes::{Buf, Bytes};
use datafusion::common::Statistics;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::object_store::ObjectStoreUrl;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricBuilder, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties, SendableRecordBatchStream,
};
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::ObjectStore;
use serde::{Deserialize, Serialize};

use super::csv::CsvDecoder;
use super::lines::LineDecoder;
use super::{BATCH_BYTES, FilePart, ReadError, ScanFormat, source};
use crate::io::schema_serde;

/// What a [`ScanExec`] reads, as it travels.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ScanSpec {
    /// The store, such as `file:///`.
    pub store: String,
    /// How bytes become rows.
    pub format: ScanFormat,
    /// The columns that the files have.
    #[serde(with = "schema_serde")]
    pub file_schema: SchemaRef,
    /// A column behind those, of the files' paths.
    pub filename: Option<String>,
    /// The columns to give out, by their positions.
    pub columns: Vec<usize>,
    /// What each partition reads.
    pub partitions: Vec<Vec<FilePart>>,
}

/// Reads files. Each partition reads its own.
#[derive(Debug)]
pub struct ScanExec {
    spec: Arc<ScanSpec>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl ScanExec {
    /// An operator that reads what `spec` says.
    pub fn new(spec: ScanSpec) -> Result<Self> {
        let mut fields = spec.file_schema.fields().to_vec();
        fields.extend(
            spec.filename
                .iter()
                .map(|name| Arc::new(Field::new(name, DataType::Utf8, false))),
        );
        let schema = Arc::new(Schema::new(fields).project(&spec.columns)?);
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(spec.partitions.len()),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Ok(Self {
            spec: Arc::new(spec),
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        })
    }

    /// What it reads.
    pub fn spec(&self) -> &ScanSpec {
        &self.spec
    }

    /// Bytes of the files that a partition reads, as stored.
    pub fn scan_bytes(&self, partition: usize) -> u64 {
        let parts = self.spec.partitions.get(partition).into_iter().flatten();
        parts.map(|part| part.end - part.start).sum()
    }
}

impl DisplayAs for ScanExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let format = match self.spec.format {
            ScanFormat::Text => "text",
            ScanFormat::Csv(_) => "csv",
            ScanFormat::Json => "json",
        };
        let columns: Vec<_> = self
            .schema()
            .fields()
            .iter()
            .map(|field| field.name().clone())
            .collect();
        write!(f, "ScanExec: {format}, columns=[{}], files=[", columns.join(", "))?;
        for (index, parts) in self.spec.partitions.iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            let names = parts
                .iter()
                .map(|part| part.path.rsplit('/').next().unwrap_or_default());
            write!(f, "{separator}{{{}}}", names.collect::<Vec<_>>().join(", "))?;
        }
        f.write_str("]")
    }
}

impl ExecutionPlan for ScanExec {
    fn name(&self) -> &str {
        "ScanExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn partition_statistics(&self, partition: Option<usize>) -> Result<Arc<Statistics>> {
        let bytes: u64 = match partition {
            Some(partition) => self.scan_bytes(partition),
            None => (0..self.spec.partitions.len())
                .map(|partition| self.scan_bytes(partition))
                .sum(),
        };
        let mut statistics = Statistics::new_unknown(&self.schema());
        statistics.total_byte_size = Precision::Inexact(usize::try_from(bytes).unwrap_or(usize::MAX));
        Ok(Arc::new(statistics))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let store = ObjectStoreUrl::parse(&self.spec.store)?;
        let store = context.runtime_env().object_store(&store)?;
        let baseline = BaselineMetrics::new(&self.metrics, partition);
        let scanned = MetricBuilder::new(&self.metrics).counter("bytes_scanned", partition);
        scanned.add(usize::try_from(self.scan_bytes(partition)).unwrap_or(usize::MAX));
        let reading = Reading {
            spec: Arc::clone(&self.spec),
            schema: self.schema(),
            store,
            parts: self.spec.partitions.get(partition).cloned().unwrap_or_default().into(),
            open: None,
            batch_rows: context.session_config().batch_size(),
        };
        let batches = futures::stream::try_unfold((reading, baseline), |(mut reading, baseline)| async {
            let batch = reading.next().await?;
            Ok(batch.map(|batch| {
                baseline.record_output(batch.num_rows());
                (batch, (reading, baseline))
            }))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), batches)))
    }
}

/// A partition that is being read.
struct Reading {
    spec: Arc<ScanSpec>,
    schema: SchemaRef,
    store: Arc<dyn ObjectStore>,
    parts: VecDeque<FilePart>,
    open: Option<Open>,
    batch_rows: usize,
}

/// A file that is being read.
struct Open {
    path: String,
    stream: BoxStream<'static, Result<Bytes>>,
    pending: Bytes,
    decoder: Decoder,
}

enum Decoder {
    Text(LineDecoder),
    Csv(Box<CsvDecoder>),
    Json(Box<JsonDecoder>),
}

impl Reading {
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            let Some(open) = &mut self.open else {
                let Some(part) = self.parts.pop_front() else {
                    return Ok(None);
                };
                self.open =
                    Some(Open::new(Arc::clone(&self.spec), Arc::clone(&self.store), self.batch_rows, part).await?);
                continue;
            };
            while !open.pending.is_empty() {
                let taken = open.decoder.decode(&open.path, &open.pending, self.batch_rows)?;
                open.pending.advance(taken);
                if open.decoder.is_full(self.batch_rows)
                    && let Some(columns) = open.decoder.flush(&open.path)?
                {
                    let path = open.path.clone();
                    return self.batch(&path, columns).map(Some);
                }
            }
            if let Some(piece) = open.stream.next().await {
                open.pending = piece?;
                continue;
            }
            open.decoder.end(&open.path, self.batch_rows)?;
            let (rest, path) = (open.decoder.flush(&open.path)?, std::mem::take(&mut open.path));
            self.open = None;
            if let Some(columns) = rest {
                return self.batch(&path, columns).map(Some);
            }
        }
    }

    /// Puts the file's columns and the column of its path together.
    fn batch(&self, path: &str, columns: (Vec<ArrayRef>, usize)) -> Result<RecordBatch> {
        let (columns, rows) = columns;
        let count = self.spec.file_schema.fields().len();
        let mut from_file = columns.into_iter();
        let mut all: Vec<ArrayRef> = Vec::with_capacity(self.spec.columns.len());
        for &column in &self.spec.columns {
            if column < count {
                all.extend(from_file.next());
            } else {
                let path = format!(
                    "{}{path}",
                    if self.spec.store == "file:///" {
                        "/"
                    } else {
                        &self.spec.store
                    }
                );
                all.push(Arc::new(StringArray::from_iter_values(std::iter::repeat_n(path, rows))));
            }
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(
            Arc::clone(&self.schema),
            all,
            &options,
        )?)
    }
}

struct JsonDecoder {
    decoder: arrow::json::reader::Decoder,
    /// Bytes of the objects that are waiting.
    bytes: usize,
}

impl JsonDecoder {
    /// Takes bytes, until there is a batch. Gives the number of bytes that were taken.
    fn decode(&mut self, bytes: &[u8], rows: usize) -> Result<usize, ArrowError> {
        // Batches can only be cut between objects, so when this one is large enough it ends with the line.
        let end = match memchr::memchr(b'\n', bytes) {
            Some(newline) if self.bytes >= BATCH_BYTES => newline + 1,
            _ => bytes.len(),
        };
        let taken = self.decoder.decode(&bytes[..end])?;
        self.bytes += taken;
        debug_assert!(
            taken > 0 || self.is_full(rows),
            "bytes are taken until there is a batch"
        );
        Ok(taken)
    }

    fn is_full(&self, rows: usize) -> bool {
        let enough = self.decoder.len() >= rows || self.bytes >= BATCH_BYTES;
        enough && !self.decoder.has_partial_record()
    }
}

impl Open {
    async fn new(spec: Arc<ScanSpec>, store: Arc<dyn ObjectStore>, batch_rows: usize, part: FilePart) -> Result<Self> {
        let stream = source::lines(&*store, &part).await?;
        let path = part.path;
        let count = spec.file_schema.fields().len();
        let wanted: Vec<_> = spec.columns.iter().copied().filter(|&column| column < count).collect();
        let decoder = match &spec.format {
            ScanFormat::Text => Decoder::Text(LineDecoder::new(path.clone())),
            ScanFormat::Csv(options) => Decoder::Csv(Box::new(CsvDecoder::new(
                path.clone(),
                options,
                &spec.file_schema,
                &wanted,
            ))),
            ScanFormat::Json => {
                let schema = Arc::new(spec.file_schema.project(&wanted)?);
                let builder = arrow::json::ReaderBuilder::new(schema);
                let builder = builder.with_coerce_primitive(true).with_batch_size(batch_rows);
                Decoder::Json(Box::new(JsonDecoder {
                    decoder: builder.build_decoder()?,
                    bytes: 0,
                }))
            }
        };
        Ok(Self {
            path,
            stream,
            pending: Bytes::new(),
            decoder,
        })
    }
}

impl Decoder {
    fn decode(&mut self, path: &str, bytes: &[u8], rows: usize) -> Result<usize> {
        match self {
            Self::Text(decoder) => Ok(decoder.decode(bytes, rows)?),
            Self::Csv(decoder) => Ok(decoder.decode(bytes, rows)?),
            Self::Json(decoder) => decoder.decode(bytes, rows).map_err(|error| content(path, &error)),
        }
    }

    fn is_full(&self, rows: usize) -> bool {
        match self {
            Self::Text(decoder) => decoder.is_full(rows),
            Self::Csv(decoder) => decoder.is_full(rows),
            Self::Json(decoder) => decoder.is_full(rows),
        }
    }

    fn end(&mut self, path: &str, rows: usize) -> Result<()> {
        match self {
            Self::Text(decoder) => Ok(decoder.end()?),
            Self::Csv(decoder) => Ok(decoder.decode(&[], rows.max(decoder.rows() + 1)).map(drop)?),
            Self::Json(json) if json.decoder.has_partial_record() => {
                Err(ReadError::content(path, "the last object is not complete").into())
            }
            Self::Json(_) => Ok(()),
        }
    }

    /// The rows that are waiting, if any: their columns and number.
    fn flush(&mut self, path: &str) -> Result<Option<(Vec<ArrayRef>, usize)>> {
        match self {
            Self::Text(decoder) => {
                let rows = decoder.rows();
                Ok((rows > 0).then(|| (vec![decoder.flush()], rows)))
            }
            Self::Csv(decoder) => {
                let rows = decoder.rows();
                Ok((rows > 0).then(|| (decoder.flush(), rows)))
            }
            Self::Json(decoder) => {
                decoder.bytes = 0;
                let batch = decoder.decoder.flush().map_err(|error| content(path, &error))?;
                Ok(batch.map(|batch| (batch.columns().to_vec(), batch.num_rows())))
            }
        }
    }
}

fn content(path: &str, error: &ArrowError) -> DataFusionError {
    ReadError::content(path, error.to_string()).into()
}
