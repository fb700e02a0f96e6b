//! The rows of a stage as a table.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Statistics;
use datafusion::datasource::TableType;
use datafusion::error::Result;
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::expressions::Column;
use datafusion::physical_plan::projection::{ProjectionExec, ProjectionExpr};

use crate::shuffle::ShuffleReaderExec;

/// What several parts of a job read and one stage computes.
#[derive(Debug)]
pub(crate) struct SharedTable {
    reader: Arc<ShuffleReaderExec>,
    statistics: Arc<Statistics>,
}

impl SharedTable {
    pub(crate) fn new(reader: ShuffleReaderExec, statistics: Arc<Statistics>) -> Self {
        Self {
            reader: Arc::new(reader.with_statistics(Arc::clone(&statistics))),
            statistics,
        }
    }
}

#[async_trait]
impl TableProvider for SharedTable {
    fn schema(&self) -> SchemaRef {
        self.reader.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Temporary
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let reader = Arc::clone(&self.reader) as Arc<dyn ExecutionPlan>;
        let Some(columns) = projection else {
            return Ok(reader);
        };
        let schema = self.reader.schema();
        let columns = columns.iter().map(|&index| {
            let name = schema.field(index).name();
            ProjectionExpr::new(Arc::new(Column::new(name, index)), name.clone())
        });
        Ok(Arc::new(ProjectionExec::try_new(columns.collect::<Vec<_>>(), reader)?))
    }

    fn statistics(&self) -> Option<Statistics> {
        Some(self.statistics.as_ref().clone())
    }
}
