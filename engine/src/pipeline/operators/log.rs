//! `LogForTesting`.

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::Result;
use datafusion::execution::TaskContext;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::execution_plan::ChildrenPropertiesMode;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, ReplaceChildrenOptions, SendableRecordBatchStream,
};
use futures::TryStreamExt;
use serde::{Deserialize, Serialize};
use weir_model::{LogLevel, LogLine};

use crate::io::PythonJson;
use crate::task::TaskLog;

/// Lines that one partition writes; further rows are only counted.
const MAX_LINES: usize = 1000;

/// How rows are logged.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct LogSpec {
    /// The transform.
    pub(crate) transform: String,
    /// How serious the lines are.
    pub(crate) level: Level,
    /// Written before each row.
    pub(crate) prefix: String,
}

/// [`LogLevel`] in a form that can be hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) enum Level {
    Debug,
    Info,
    Warn,
    Error,
}

impl From<LogLevel> for Level {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Debug => Self::Debug,
            LogLevel::Info => Self::Info,
            LogLevel::Warn => Self::Warn,
            LogLevel::Error => Self::Error,
        }
    }
}

impl From<Level> for LogLevel {
    fn from(level: Level) -> Self {
        match level {
            Level::Debug => Self::Debug,
            Level::Info => Self::Info,
            Level::Warn => Self::Warn,
            Level::Error => Self::Error,
        }
    }
}

impl fmt::Display for LogSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Log: {}", self.transform)
    }
}

/// Writes each row as JSON to the task's log, and gives it on.
#[derive(Debug)]
pub(crate) struct LogExec {
    spec: LogSpec,
    input: Arc<dyn ExecutionPlan>,
}

impl LogExec {
    pub(crate) fn new(spec: LogSpec, input: Arc<dyn ExecutionPlan>) -> Self {
        Self { spec, input }
    }

    pub(crate) fn spec(&self) -> &LogSpec {
        &self.spec
    }
}

impl DisplayAs for LogExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LogExec: {}", self.spec.transform)
    }
}

impl ExecutionPlan for LogExec {
    fn name(&self) -> &str {
        "LogExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
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
        Ok(Arc::new(Self::new(self.spec.clone(), children.swap_remove(0))))
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let log = TaskLog::of(&context);
        let spec = self.spec.clone();
        let mut left = MAX_LINES;
        let rows = self.input.execute(partition, context)?.and_then(move |batch| {
            let logged = write(&log, &spec, &batch, &mut left);
            futures::future::ready(logged.map(|()| batch))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows)))
    }
}

fn write(log: &TaskLog, spec: &LogSpec, batch: &RecordBatch, left: &mut usize) -> Result<()> {
    let lines = batch.num_rows().min(*left);
    *left -= lines;
    for row in 0..lines {
        let mut message = spec.prefix.clone();
        PythonJson::write_row(&mut message, batch, row)?;
        log.push(LogLine {
            level: spec.level.into(),
            source: spec.transform.clone(),
            message,
        });
    }
    let dropped = batch.num_rows() - lines;
    if dropped > 0 {
        log.add_dropped(dropped as u64);
    }
    Ok(())
}
