//! What DataFusion's messages leave out of plans.

use std::fmt;
use std::sync::Arc;

use datafusion::catalog::memory::DataSourceExec;
use datafusion::common::internal_err;
use datafusion::common::parsers::CompressionTypeVariant;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
use datafusion::datasource::physical_plan::{FileScanConfig, FileScanConfigBuilder};
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::memory::LazyMemoryExec;
use datafusion::physical_plan::projection::{ProjectionExec, ProjectionExpr};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, ReplaceChildrenOptions};

/// A scan with how its files are compressed: DataFusion's messages leave that out. It stands above the scan while a
/// plan is encoded, and never runs.
#[derive(Debug)]
pub(super) struct CompressedScan {
    scan: Arc<dyn ExecutionPlan>,
    compression: CompressionTypeVariant,
}

/// The same plan, in a form whose messages say all of it.
pub(super) fn prepare(plan: &Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    Arc::clone(plan)
        .transform_up(|node| {
            if let Some(files) = files(node.as_ref())
                && files.file_compression_type.is_compressed()
            {
                let compression = *files.file_compression_type.get_variant();
                return Ok(Transformed::yes(Arc::new(CompressedScan {
                    scan: node,
                    compression,
                }) as _));
            }
            if let Some(series) = node.downcast_ref::<LazyMemoryExec>()
                && series.schema().fields().is_empty()
            {
                return Ok(Transformed::yes(without_projection(series)?));
            }
            Ok(Transformed::no(node))
        })
        .data()
}

/// A generator's rows without columns, from all of its columns: its message has no projection.
fn without_projection(series: &LazyMemoryExec) -> Result<Arc<dyn ExecutionPlan>> {
    let generators = series.generators();
    let first = match generators.first() {
        Some(generator) => generator.read().reset_state().write().generate_next_batch()?,
        None => None,
    };
    let Some(first) = first else {
        return Ok(Arc::new(EmptyExec::new(series.schema())));
    };
    let whole = LazyMemoryExec::try_new(first.schema(), generators.clone())?;
    Ok(Arc::new(ProjectionExec::try_new(
        Vec::<ProjectionExpr>::new(),
        Arc::new(whole),
    )?))
}

impl CompressedScan {
    pub(super) fn compression(&self) -> CompressionTypeVariant {
        self.compression
    }

    /// The scan that was marked, from what was decoded of it.
    pub(super) fn restore(
        scan: &Arc<dyn ExecutionPlan>,
        compression: CompressionTypeVariant,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let Some(files) = files(scan.as_ref()) else {
            return internal_err!("{} reads no files that could be compressed", scan.name());
        };
        let files = FileScanConfigBuilder::from(files.clone())
            .with_file_compression_type(FileCompressionType::from(compression))
            .build();
        Ok(DataSourceExec::from_data_source(files))
    }
}

fn files(plan: &dyn ExecutionPlan) -> Option<&FileScanConfig> {
    plan.downcast_ref::<DataSourceExec>()?.data_source().downcast_ref()
}

impl DisplayAs for CompressedScan {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CompressedScan: {}", self.compression)
    }
}

impl ExecutionPlan for CompressedScan {
    fn name(&self) -> &'static str {
        "CompressedScan"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.scan.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.scan]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match children.pop() {
            Some(scan) => Ok(Arc::new(Self {
                scan,
                compression: self.compression,
            })),
            None => internal_err!("a compressed scan has one input"),
        }
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        use datafusion::physical_plan::execution_plan::ChildrenPropertiesMode::Recompute;
        self.replace_children(children, ReplaceChildrenOptions::new(Recompute))
    }

    fn execute(&self, _: usize, _: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        internal_err!("a compressed scan is restored before it runs")
    }
}
