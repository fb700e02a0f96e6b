//! What an attempt measured.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::physical_expr::ScalarFunctionExpr;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::execution_plan::CardinalityEffect;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::metrics::MetricsSet;
use datafusion::physical_plan::union::{InterleaveExec, UnionExec};
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use weir_model::{Allowance, ModuleLoads, OperatorMetrics, RowEffect, TaskMetrics};
use weir_platform::s3::RequestCounts;

use super::{TaskLog, TaskMemory};
use crate::shuffle::reader::{BYTES_READ, OPENED, UNREAD_ROWS};
use crate::shuffle::{ShuffleMetrics, ShuffleReaderExec};
use crate::stages::Place;
use crate::wasm::{REFUSED_ROWS, WASM_TIME, WasmFlatMapExec, aggregate_reference, scalar_reference};

/// Reads off the totals of an attempt at any time.
pub(super) struct Meter {
    pub(super) started: Instant,
    /// CPU time of the thread that drives the attempt, in microseconds.
    pub(super) cpu_us: Arc<AtomicU64>,
    pub(super) plan: Arc<dyn ExecutionPlan>,
    /// Where the operators are in the plan of the stage.
    pub(super) places: Vec<Place>,
    pub(super) output: Arc<ShuffleMetrics>,
    /// Whether the rows go to a shuffle object.
    pub(super) shuffles: bool,
    pub(super) memory: Arc<TaskMemory>,
    pub(super) log: Arc<TaskLog>,
    pub(super) requests: Arc<RequestCounts>,
    pub(super) modules: ModuleLoads,
}

impl Meter {
    /// Totals so far, without log lines.
    pub(super) fn totals(&self) -> TaskMetrics {
        self.measure().0
    }

    /// Totals at the end.
    pub(super) fn finish(&self) -> TaskMetrics {
        let (mut metrics, own) = self.measure();
        metrics.logs = self.log.lines();
        add_functions(&self.plan, &own, &mut metrics);
        metrics
    }

    /// Totals so far, and where the operators of the plan are in their list of operators.
    fn measure(&self) -> (TaskMetrics, Vec<usize>) {
        let bytes_out = self.output.bytes.load(Ordering::Relaxed);
        let mut metrics = TaskMetrics {
            rows_out: self.output.rows.load(Ordering::Relaxed),
            bytes_out,
            shuffle_bytes_out: if self.shuffles { bytes_out } else { 0 },
            spilled_bytes: self.output.spilled_bytes.load(Ordering::Relaxed),
            peak_memory_bytes: self.memory.peak() as u64,
            worker_peak_memory_bytes: self.memory.pool_peak() as u64,
            allowance: Allowance {
                worker_memory_bytes: self.memory.limit() as u64,
                ..Allowance::default()
            },
            elapsed_us: self.started.elapsed().as_micros() as u64,
            cpu_us: self.cpu_us.load(Ordering::Relaxed),
            storage: self.requests.totals(),
            modules: self.modules,
            ..TaskMetrics::default()
        };
        self.log.measure(&mut metrics);
        let mut own = Vec::new();
        Listing {
            places: &self.places,
            metrics: &mut metrics,
            own: &mut own,
        }
        .add(&self.plan, 0);
        (metrics, own)
    }
}

/// Lists the operators of a plan, each before its inputs.
struct Listing<'a> {
    /// Those that are still to come.
    places: &'a [Place],
    metrics: &'a mut TaskMetrics,
    /// Where those of the plan went, which has no vanished unions.
    own: &'a mut Vec<usize>,
}

impl Listing<'_> {
    /// Adds an operator and its inputs; gives the number of its rows. `depth` is where it is if its place is not known.
    fn add(&mut self, plan: &Arc<dyn ExecutionPlan>, depth: u32) -> u64 {
        let first = self.metrics.operators.len();
        while let Some((place, rest)) = self.places.split_first().filter(|(place, _)| place.vanished) {
            self.places = rest;
            self.metrics.operators.push(OperatorMetrics {
                id: place.id,
                depth: place.depth,
                name: "UnionExec".to_owned(),
                effect: RowEffect::Keeps,
                ..OperatorMetrics::default()
            });
        }
        let own = self.metrics.operators.len();
        self.own.push(own);
        let (id, depth) = match self.places.split_first() {
            Some((place, rest)) => {
                self.places = rest;
                (place.id, place.depth)
            }
            None => (own as u32, depth),
        };
        let measured = plan.metrics().unwrap_or_default();
        let counted = measured.output_rows().map(|rows| rows as u64);
        let operator = OperatorMetrics {
            id,
            name: plan.name().to_owned(),
            depth,
            effect: effect(plan.as_ref(), counted.is_some()),
            rows: counted.unwrap_or(0),
            bytes: sum(&measured, "output_bytes"),
            cpu_us: measured.elapsed_compute().unwrap_or(0) as u64 / 1000,
            wasm_us: sum(&measured, WASM_TIME) / 1000,
            spilled_bytes: measured.spilled_bytes().unwrap_or(0) as u64,
            peak_memory_bytes: sum(&measured, "peak_mem_used"),
            functions: vec![],
        };
        self.metrics.spilled_bytes += operator.spilled_bytes;
        self.metrics.refused_rows += sum(&measured, REFUSED_ROWS);
        let children = plan.children();
        if children.is_empty() {
            self.leaf(plan, &operator, &measured);
        }
        self.metrics.operators.push(operator);
        let mut taken = 0;
        for child in children {
            taken += self.add(child, depth + 1);
        }
        // Some operators that only pass rows on do not count them.
        let rows = counted.unwrap_or(taken);
        for operator in &mut self.metrics.operators[first..=own] {
            operator.rows = rows;
        }
        rows
    }

    fn leaf(&mut self, plan: &Arc<dyn ExecutionPlan>, operator: &OperatorMetrics, measured: &MetricsSet) {
        let metrics = &mut *self.metrics;
        let read = sum(measured, BYTES_READ);
        metrics.rows_in += operator.rows;
        metrics.bytes_in += sum(measured, "bytes_scanned") + read;
        if plan.is::<ShuffleReaderExec>() {
            metrics.shuffle_rows_in += operator.rows;
            metrics.shuffle_bytes_in += read;
            metrics.unread_rows += sum(measured, UNREAD_ROWS);
            let partitions = plan.output_partitioning().partition_count() as u64;
            metrics.unopened_inputs += partitions.saturating_sub(sum(measured, OPENED));
        }
    }
}

/// What an operator does to the number of its rows, of which it says how many they are or not.
fn effect(plan: &dyn ExecutionPlan, counted: bool) -> RowEffect {
    let inputs = plan.children().len();
    if inputs == 0 {
        return match counted {
            true => RowEffect::Keeps,
            // Rows that are made of nothing.
            false => RowEffect::Changes,
        };
    }
    if plan.is::<UnionExec>() || plan.is::<InterleaveExec>() {
        return RowEffect::Keeps;
    }
    if inputs > 1 || plan.is::<AggregateExec>() {
        return RowEffect::Changes;
    }
    match (plan.cardinality_effect(), plan.fetch()) {
        (CardinalityEffect::Equal, None) => RowEffect::Keeps,
        (CardinalityEffect::Equal | CardinalityEffect::LowerEqual, Some(_)) => RowEffect::Limits,
        (CardinalityEffect::LowerEqual, None) if plan.is::<FilterExec>() => RowEffect::Filters,
        _ => RowEffect::Changes,
    }
}

/// Says which operators call which user functions, and how long functions took that only one of them calls.
/// `own` is where the operators of the plan are in the list, which has vanished unions besides.
fn add_functions(plan: &Arc<dyn ExecutionPlan>, own: &[usize], metrics: &mut TaskMetrics) {
    if metrics.functions.is_empty() {
        return;
    }
    let mut called = Vec::new();
    let visited = plan.apply(|operator| {
        called.push(functions_of(operator)?);
        Ok(TreeNodeRecursion::Continue)
    });
    if visited.is_err() {
        return;
    }
    for (place, functions) in own.iter().zip(called) {
        metrics.operators[*place].functions = functions;
    }
    for function in &metrics.functions {
        let mut callers = metrics
            .operators
            .iter_mut()
            .filter(|operator| operator.functions.contains(&function.name));
        if let (Some(caller), None) = (callers.next(), callers.next())
            && caller.wasm_us == 0
        {
            caller.wasm_us = function.wasm_us;
        }
    }
}

/// The user functions that an operator calls.
fn functions_of(plan: &Arc<dyn ExecutionPlan>) -> datafusion::error::Result<Vec<String>> {
    let mut found = std::collections::BTreeSet::new();
    if let Some(flat_map) = plan.downcast_ref::<WasmFlatMapExec>() {
        found.insert(flat_map.function().description().name.clone());
    }
    if let Some(aggregate) = plan.downcast_ref::<AggregateExec>() {
        let references = aggregate.aggr_expr().iter().map(|expr| aggregate_reference(expr.fun()));
        found.extend(references.flatten().map(|reference| reference.function.clone()));
    }
    plan.apply_expressions(&mut |expr| {
        expr.apply(|expr| {
            if let Some(call) = expr.downcast_ref::<ScalarFunctionExpr>()
                && let Some(reference) = scalar_reference(call.fun())
            {
                found.insert(reference.function.clone());
            }
            Ok(TreeNodeRecursion::Continue)
        })
    })?;
    Ok(found.into_iter().collect())
}

fn sum(metrics: &MetricsSet, name: &str) -> u64 {
    metrics.sum_by_name(name).map_or(0, |value| value.as_usize() as u64)
}
