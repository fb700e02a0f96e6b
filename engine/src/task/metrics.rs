//! What an attempt measured.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::metrics::MetricsSet;
use weir_model::{OperatorMetrics, TaskMetrics};

use super::{TaskLog, TaskMemory};
use crate::shuffle::ShuffleMetrics;

/// Reads off the totals of an attempt at any time.
pub(super) struct Meter {
    pub(super) started: Instant,
    pub(super) plan: Arc<dyn ExecutionPlan>,
    pub(super) output: Arc<ShuffleMetrics>,
    pub(super) memory: Arc<TaskMemory>,
    pub(super) log: Arc<TaskLog>,
}

impl Meter {
    /// Totals so far, without log lines.
    pub(super) fn totals(&self) -> TaskMetrics {
        let mut metrics = TaskMetrics {
            rows_out: self.output.rows.load(Ordering::Relaxed),
            bytes_out: self.output.bytes.load(Ordering::Relaxed),
            spilled_bytes: self.output.spilled_bytes.load(Ordering::Relaxed),
            peak_memory_bytes: self.memory.peak() as u64,
            elapsed_us: self.started.elapsed().as_micros() as u64,
            ..TaskMetrics::default()
        };
        self.log.measure(&mut metrics);
        add_operators(&self.plan, 0, &mut metrics);
        metrics
    }

    /// Totals at the end.
    pub(super) fn finish(&self) -> TaskMetrics {
        TaskMetrics {
            logs: self.log.lines(),
            ..self.totals()
        }
    }
}

fn add_operators(plan: &Arc<dyn ExecutionPlan>, depth: u32, metrics: &mut TaskMetrics) {
    let measured = plan.metrics().unwrap_or_default();
    let operator = OperatorMetrics {
        id: metrics.operators.len() as u32,
        name: plan.name().to_owned(),
        depth,
        rows: measured.output_rows().unwrap_or(0) as u64,
        bytes: sum(&measured, "output_bytes"),
        cpu_us: measured.elapsed_compute().unwrap_or(0) as u64 / 1000,
        spilled_bytes: measured.spilled_bytes().unwrap_or(0) as u64,
        ..OperatorMetrics::default()
    };
    metrics.spilled_bytes += operator.spilled_bytes;
    let children = plan.children();
    if children.is_empty() {
        metrics.rows_in += operator.rows;
        metrics.bytes_in += sum(&measured, "bytes_scanned") + sum(&measured, "bytes_read");
    }
    metrics.operators.push(operator);
    for child in children {
        add_operators(child, depth + 1, metrics);
    }
}

fn sum(metrics: &MetricsSet, name: &str) -> u64 {
    metrics.sum_by_name(name).map_or(0, |value| value.as_usize() as u64)
}
