//! The physical operator.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::Result;
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{ChildrenPropertiesMode, EmissionType};
use datafusion::physical_plan::metrics::{
    BaselineMetrics, Count, ExecutionPlanMetricsSet, MetricBuilder, MetricsSet, Time,
};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning, PlanProperties,
    ReplaceChildrenOptions, SendableRecordBatchStream, apply_expression_roots,
};
use futures::{StreamExt, stream};
use weir_sandbox::FlatMapInstance;

use super::FlatMapSpec;
use crate::wasm::failure::{failed, refused};
use crate::wasm::{Functions, WasmFunction};

/// The metric of rows that functions refused.
pub(crate) const REFUSED_ROWS: &str = "refused_rows";
/// The metric of time inside Wasm calls.
pub(crate) const WASM_TIME: &str = "wasm_time";

/// Runs a flat-map function over its input, partition by partition, in order.
#[derive(Debug)]
pub struct WasmFlatMapExec {
    function: WasmFunction,
    spec: FlatMapSpec,
    args: Arc<[Arc<dyn PhysicalExpr>]>,
    input: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl WasmFlatMapExec {
    /// Runs `function` with `args`, which are of its arguments' types up to their layout.
    ///
    /// # Errors
    /// When the function has not the outputs that `spec` asks for.
    pub fn new(
        function: WasmFunction,
        spec: FlatMapSpec,
        args: Vec<Arc<dyn PhysicalExpr>>,
        input: Arc<dyn ExecutionPlan>,
    ) -> Result<Self> {
        let schema = spec.schema(function.description(), &input.schema())?;
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(input.output_partitioning().partition_count()),
            EmissionType::Incremental,
            input.boundedness(),
        );
        Ok(Self {
            function,
            spec,
            args: args.into(),
            input,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        })
    }

    /// The function.
    pub fn function(&self) -> &WasmFunction {
        &self.function
    }

    /// What is wanted of it.
    pub fn spec(&self) -> &FlatMapSpec {
        &self.spec
    }

    /// Its arguments, over the columns of the input.
    pub fn args(&self) -> &[Arc<dyn PhysicalExpr>] {
        &self.args
    }
}

impl DisplayAs for WasmFlatMapExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let description = self.function.description();
        let args: Vec<_> = self.args.iter().map(ToString::to_string).collect();
        write!(f, "WasmFlatMapExec: {}({})", description.name, args.join(", "))?;
        if !self.spec.is_plain() {
            let names = self
                .spec
                .outputs
                .iter()
                .map(|output| description.outputs[*output].name.as_str());
            write!(f, ", outputs=[{}]", names.collect::<Vec<_>>().join(", "))?;
        }
        if self.spec.errors {
            f.write_str(", errors captured")
        } else {
            Ok(())
        }
    }
}

impl ExecutionPlan for WasmFlatMapExec {
    fn name(&self) -> &str {
        "WasmFlatMapExec"
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
        apply_expression_roots(self.args.iter(), f)
    }

    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let args = self.args.to_vec();
        Ok(Arc::new(Self::new(
            self.function.clone(),
            self.spec.clone(),
            args,
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
        let consumer = MemoryConsumer::new(format!("WasmFlatMapExec[{partition}]"));
        let rows = Rows {
            input: self.input.execute(partition, Arc::clone(&context))?,
            call: Call {
                instance: self.function.open_flat_map()?,
                functions: self.function.functions().clone(),
                spec: self.spec.clone(),
                args: Arc::clone(&self.args),
                schema: self.schema(),
                rows: 0,
                refused: MetricBuilder::new(&self.metrics).counter(REFUSED_ROWS, partition),
                wasm_time: MetricBuilder::new(&self.metrics).subset_time(WASM_TIME, partition),
            },
            waiting: VecDeque::new(),
            held: consumer.register(context.memory_pool()),
            batch_rows: context.session_config().batch_size(),
            baseline: BaselineMetrics::new(&self.metrics, partition),
        };
        let rows = stream::try_unfold(rows, |mut rows| async move {
            Ok(rows.next().await?.map(|batch| (batch, rows)))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows)))
    }
}

/// The rows of one partition.
struct Rows {
    input: SendableRecordBatchStream,
    call: Call,
    /// What the last call gave and nobody has taken yet.
    waiting: VecDeque<RecordBatch>,
    /// The memory of what waits.
    held: MemoryReservation,
    batch_rows: usize,
    baseline: BaselineMetrics,
}

impl Rows {
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            if let Some(batch) = self.waiting.pop_front() {
                if self.waiting.is_empty() {
                    self.held.free();
                }
                self.baseline.record_output(batch.num_rows());
                return Ok(Some(batch));
            }
            let Some(input) = self.input.next().await.transpose()? else {
                self.baseline.done();
                return Ok(None);
            };
            // A function that gives nothing for batch after batch must not keep the thread to itself.
            tokio::task::consume_budget().await;
            let _timer = self.baseline.elapsed_compute().timer();
            for batch in self.call.batch(&input)? {
                self.held.try_grow(batch.get_array_memory_size())?;
                for start in (0..batch.num_rows()).step_by(self.batch_rows) {
                    let rows = self.batch_rows.min(batch.num_rows() - start);
                    self.waiting.push_back(batch.slice(start, rows));
                }
            }
        }
    }
}

/// The calls of one partition.
struct Call {
    instance: FlatMapInstance,
    functions: Functions,
    spec: FlatMapSpec,
    args: Arc<[Arc<dyn PhysicalExpr>]>,
    schema: SchemaRef,
    /// Rows that came in before this batch.
    rows: u64,
    refused: Count,
    wasm_time: Time,
}

impl Call {
    fn batch(&mut self, input: &RecordBatch) -> Result<Vec<RecordBatch>> {
        let rows = input.num_rows();
        let args: Vec<ArrayRef> = self
            .args
            .iter()
            .map(|arg| arg.evaluate(input)?.into_array(rows))
            .collect::<Result<_>>()?;
        let busy = self.instance.busy();
        let mapped = self.instance.call(&args, rows);
        let busy = self.instance.busy() - busy;
        self.wasm_time.add_duration(busy);
        let function = Arc::clone(self.instance.function());
        self.functions.report(&function.name, self.instance.drain(), busy);
        let mapped = mapped.map_err(failed)?;
        if !self.spec.errors && !mapped.errors.is_empty() {
            return Err(refused(&function.name, self.rows, &mapped.errors));
        }
        self.rows += rows as u64;
        self.refused.add(mapped.errors.len());
        let mut batches = Vec::with_capacity(mapped.emitted.len() + 2);
        for emitted in mapped.emitted {
            batches.extend(self.spec.output(&self.schema, emitted.output, emitted.rows)?);
        }
        if !mapped.errors.is_empty() {
            batches.push(self.spec.refused(&self.schema, input, &mapped.errors)?);
        }
        if self.spec.counts && rows > 0 {
            batches.push(self.spec.counted(&self.schema, rows, mapped.errors.len())?);
        }
        Ok(batches)
    }
}
