//! `MapToFields`, `Filter` and `Explode` where single rows may fail.

use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, RecordBatchOptions, StringArray, StructArray};
use arrow::compute::{concat_batches, filter_record_batch};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{exec_err, internal_err};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::ChildrenPropertiesMode;
use datafusion::physical_plan::metrics::{BaselineMetrics, Count, ExecutionPlanMetricsSet, MetricBuilder, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning, PlanProperties,
    ReplaceChildrenOptions, SendableRecordBatchStream, apply_expression_roots,
};
use futures::{StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};
use weir_model::{Failure, FailureKind};

use super::explode::Exploding;
use super::tagged::{TaggedOutput, nullable};
use crate::task::{OperatorError, classify};
use crate::wasm::REFUSED_ROWS;

/// What is done with rows.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) enum RowOperation {
    /// Each expression is a field of the output.
    Project {
        /// The fields' names.
        names: Vec<String>,
    },
    /// The one expression says which rows stay.
    Filter,
    /// A row for each element of lists. No expressions.
    Explode {
        /// The lists.
        columns: Vec<usize>,
        /// All combinations; else the elements of the same position, and null where a list is shorter.
        cross_product: bool,
    },
}

/// What a [`MapRowsExec`] does.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct MapRowsSpec {
    /// The transform.
    pub(crate) transform: String,
    /// What is done.
    pub(crate) operation: RowOperation,
    /// Whether rows that fail are kept beside the good ones: the output is then a [`TaggedOutput`].
    pub(crate) capture: bool,
    /// Whether rows are counted, for a threshold; only with `capture`.
    pub(crate) counted: bool,
}

impl MapRowsSpec {
    /// The output's schema, given the input's and the fields that the expressions make.
    pub(crate) fn output(&self, input: &Schema, exprs: &[&Field]) -> Result<Schema> {
        let main: Fields = match &self.operation {
            RowOperation::Project { names } => {
                let renamed = names
                    .iter()
                    .zip(exprs)
                    .map(|(name, field)| (*field).clone().with_name(name));
                renamed.collect()
            }
            RowOperation::Filter => input.fields().clone(),
            RowOperation::Explode { columns, .. } => {
                let mut fields: Vec<FieldRef> = input.fields().to_vec();
                for &column in columns {
                    let field = &fields[column];
                    let (DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _)) =
                        field.data_type()
                    else {
                        return exec_err!("`{}` is {} and no list", field.name(), field.data_type());
                    };
                    fields[column] = Arc::new(Field::new(field.name(), item.data_type().clone(), true));
                }
                fields.into()
            }
        };
        Ok(if self.capture {
            TaggedOutput::schema(&main, input.fields())
        } else {
            Schema::new(main)
        })
    }

    /// For plans that people read.
    pub(crate) fn show(&self, exprs: &[String], f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.operation {
            RowOperation::Project { names } => {
                write!(f, "MapRows: ")?;
                for (index, (name, expr)) in names.iter().zip(exprs).enumerate() {
                    write!(f, "{}{expr} AS {name}", if index == 0 { "" } else { ", " })?;
                }
            }
            RowOperation::Filter => write!(f, "MapRows: filter {}", exprs.join(", "))?,
            RowOperation::Explode { columns, cross_product } => {
                write!(f, "MapRows: explode columns={columns:?}, cross_product={cross_product}")?;
            }
        }
        if self.capture {
            f.write_str(", errors captured")
        } else {
            Ok(())
        }
    }
}

/// Does something with rows, and can tell those that fail from the others.
#[derive(Debug)]
pub(crate) struct MapRowsExec {
    spec: Arc<MapRowsSpec>,
    exprs: Arc<[Arc<dyn PhysicalExpr>]>,
    input: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl MapRowsExec {
    pub(crate) fn new(
        spec: MapRowsSpec,
        exprs: Vec<Arc<dyn PhysicalExpr>>,
        input: Arc<dyn ExecutionPlan>,
    ) -> Result<Self> {
        let schema = input.schema();
        let fields = exprs
            .iter()
            .map(|expr| expr.return_field(&schema))
            .collect::<Result<Vec<_>>>()?;
        let fields: Vec<&Field> = fields.iter().map(|field| &**field).collect();
        let output = Arc::new(spec.output(&schema, &fields)?);
        let partitions = input.output_partitioning().partition_count();
        let properties = PlanProperties::new(
            EquivalenceProperties::new(output),
            Partitioning::UnknownPartitioning(partitions),
            input.pipeline_behavior(),
            input.boundedness(),
        );
        Ok(Self {
            spec: Arc::new(spec),
            exprs: exprs.into(),
            input,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        })
    }

    pub(crate) fn spec(&self) -> &MapRowsSpec {
        &self.spec
    }

    pub(crate) fn exprs(&self) -> &[Arc<dyn PhysicalExpr>] {
        &self.exprs
    }
}

impl DisplayAs for MapRowsExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exprs: Vec<_> = self.exprs.iter().map(ToString::to_string).collect();
        self.spec.show(&exprs, f)
    }
}

impl ExecutionPlan for MapRowsExec {
    fn name(&self) -> &str {
        "MapRowsExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        apply_expression_roots(self.exprs.iter(), f)
    }

    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(Self::new(
            (*self.spec).clone(),
            self.exprs.to_vec(),
            children.swap_remove(0),
        )?))
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let baseline = BaselineMetrics::new(&self.metrics, partition);
        let batch_rows = context.session_config().batch_size();
        let main = Schema::new(match self.spec.capture {
            true => match self.schema().field(1).data_type() {
                DataType::Struct(fields) => fields.clone(),
                other => return internal_err!("good rows are a struct, not {other}"),
            },
            false => self.schema().fields().clone(),
        });
        let mapper = Mapper {
            spec: Arc::clone(&self.spec),
            exprs: Arc::clone(&self.exprs),
            schema: self.schema(),
            main: Arc::new(main),
            batch_rows,
            refused: MetricBuilder::new(&self.metrics).counter(REFUSED_ROWS, partition),
        };
        let mapped = self
            .input
            .execute(partition, context)?
            .map(move |batch| {
                let _timer = baseline.elapsed_compute().timer();
                let batches = mapper.map(batch?)?;
                let baseline = baseline.clone();
                Ok::<_, DataFusionError>(futures::stream::iter(batches).inspect_ok(move |batch| {
                    baseline.record_output(batch.num_rows());
                }))
            })
            .try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), mapped)))
    }
}

/// What the stream of a partition needs.
struct Mapper {
    spec: Arc<MapRowsSpec>,
    exprs: Arc<[Arc<dyn PhysicalExpr>]>,
    /// Of the output.
    schema: SchemaRef,
    /// Of good rows.
    main: SchemaRef,
    batch_rows: usize,
    /// Rows that failed and were kept.
    refused: Count,
}

/// A row that failed.
struct BadRow {
    row: RecordBatch,
    failure: Failure,
}

type Batches = Box<dyn Iterator<Item = Result<RecordBatch>> + Send>;

impl Mapper {
    fn map(&self, batch: RecordBatch) -> Result<Batches> {
        if !self.spec.capture {
            return self.apply(&batch).map_err(|error| self.in_transform(error));
        }
        let (mut good, mut bad) = (Vec::new(), Vec::new());
        self.separate(&batch, &mut good, &mut bad)?;
        self.refused.add(bad.len());
        let schema = Arc::clone(&self.schema);
        let good = good.into_iter().flatten().map(move |batch| {
            let batch = batch?;
            TaggedOutput::batch(&schema, 0, batch.columns().to_vec(), batch.num_rows())
        });
        let count = |rows: usize| Arc::new(Int64Array::from(vec![rows as i64])) as ArrayRef;
        let counts = self
            .spec
            .counted
            .then(|| TaggedOutput::batch(&self.schema, 2, vec![count(batch.num_rows()), count(bad.len())], 1));
        let errors = (!bad.is_empty()).then(|| self.errors(&bad));
        Ok(Box::new(good.chain(errors).chain(counts)))
    }

    /// Finds the rows that fail, by halving batches that do.
    fn separate(&self, batch: &RecordBatch, good: &mut Vec<Batches>, bad: &mut Vec<BadRow>) -> Result<()> {
        match self.apply(batch) {
            Ok(batches) => good.push(batches),
            Err(error) => {
                let failure = classify(&error);
                if failure.kind != FailureKind::User {
                    return Err(error);
                }
                let rows = batch.num_rows();
                if rows <= 1 {
                    bad.push(BadRow {
                        row: batch.clone(),
                        failure,
                    });
                } else {
                    self.separate(&batch.slice(0, rows / 2), good, bad)?;
                    self.separate(&batch.slice(rows / 2, rows - rows / 2), good, bad)?;
                }
            }
        }
        Ok(())
    }

    fn errors(&self, bad: &[BadRow]) -> Result<RecordBatch> {
        let rows = concat_batches(bad[0].row.schema_ref(), bad.iter().map(|bad| &bad.row))?;
        let element = StructArray::try_new(nullable(rows.schema_ref().fields()), rows.columns().to_vec(), None)?;
        let message = StringArray::from_iter_values(bad.iter().map(|bad| &bad.failure.message));
        let stack = StringArray::from_iter_values(bad.iter().map(|bad| {
            let function = bad
                .failure
                .function
                .iter()
                .map(|function| format!("in function {function}\n"));
            format!("{}in transform {}\n", function.collect::<String>(), self.spec.transform)
        }));
        let columns: Vec<ArrayRef> = vec![Arc::new(element), Arc::new(message), Arc::new(stack)];
        TaggedOutput::batch(&self.schema, 1, columns, bad.len())
    }

    fn apply(&self, batch: &RecordBatch) -> Result<Batches> {
        let made = match &self.spec.operation {
            RowOperation::Project { .. } => {
                let rows = batch.num_rows();
                let columns = self.exprs.iter().map(|expr| expr.evaluate(batch)?.into_array(rows));
                self.main_batch(columns.collect::<Result<_>>()?, rows)?
            }
            RowOperation::Filter => {
                let keep = self.exprs[0].evaluate(batch)?.into_array(batch.num_rows())?;
                let kept = filter_record_batch(batch, keep.as_boolean())?;
                self.main_batch(kept.columns().to_vec(), kept.num_rows())?
            }
            RowOperation::Explode { columns, cross_product } => {
                let cursor = Exploding::new(batch, columns, *cross_product, self.batch_rows)?;
                let main = Arc::clone(&self.main);
                return Ok(Box::new(
                    cursor.map(move |columns| Ok(RecordBatch::try_new(Arc::clone(&main), columns?)?)),
                ));
            }
        };
        Ok(Box::new(std::iter::once(Ok(made))))
    }

    fn main_batch(&self, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(
            Arc::clone(&self.main),
            columns,
            &options,
        )?)
    }

    /// Names the transform in errors of the user's data.
    fn in_transform(&self, error: DataFusionError) -> DataFusionError {
        let mut failure = classify(&error);
        if failure.kind != FailureKind::User || failure.transform.is_some() {
            return error;
        }
        failure.transform = Some(self.spec.transform.clone());
        OperatorError(failure).into()
    }
}
