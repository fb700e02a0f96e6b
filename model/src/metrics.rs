//! What an attempt measured.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Totals of one attempt.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TaskMetrics {
    /// Rows read from files and shuffle objects.
    pub rows_in: u64,
    /// Rows written to shuffle objects or output files.
    pub rows_out: u64,
    /// Bytes read from files and shuffle objects, as stored.
    pub bytes_in: u64,
    /// Bytes written to shuffle objects or output files, as stored.
    pub bytes_out: u64,
    /// Bytes spilled to local disk.
    pub spilled_bytes: u64,
    /// The most memory held at once, in bytes.
    pub peak_memory_bytes: u64,
    /// Wall time, in microseconds.
    pub elapsed_us: u64,
    /// Wall time inside Wasm calls, in microseconds.
    pub wasm_us: u64,
    /// One entry per operator of the plan, root first.
    pub operators: Vec<OperatorMetrics>,
    /// What user functions counted, by `function.metric`.
    pub user: BTreeMap<String, MetricValue>,
    /// What user functions and logging transforms wrote; bounded, see `dropped_log_lines`.
    pub logs: Vec<LogLine>,
    /// Log lines that did not fit.
    pub dropped_log_lines: u64,
}

/// Totals of one operator.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct OperatorMetrics {
    /// The operator, such as `HashJoinExec`.
    pub name: String,
    /// Its depth in the plan; the root is at zero.
    pub depth: u32,
    /// Rows that it gave out.
    pub rows: u64,
    /// Bytes of the batches that it gave out, when it counts them.
    pub bytes: u64,
    /// CPU time, in microseconds.
    pub cpu_us: u64,
    /// Bytes that it spilled.
    pub spilled_bytes: u64,
}

/// A metric of a user function. Two values of one metric merge into one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum MetricValue {
    /// A sum.
    Counter {
        /// The sum so far.
        value: i64,
    },
    /// A summary of samples.
    Distribution {
        /// Number of samples.
        count: u64,
        /// Sum of the samples.
        sum: i64,
        /// The smallest sample.
        min: i64,
        /// The largest sample.
        max: i64,
    },
    /// The latest value.
    Gauge {
        /// The value.
        value: i64,
    },
}

impl MetricValue {
    /// Adds `other` to this value; values of another kind replace it.
    pub fn merge(&mut self, other: &Self) {
        match (self, other) {
            (Self::Counter { value }, Self::Counter { value: more }) => {
                *value = value.saturating_add(*more);
            }
            (
                Self::Distribution { count, sum, min, max },
                Self::Distribution {
                    count: count2,
                    sum: sum2,
                    min: min2,
                    max: max2,
                },
            ) => {
                *count = count.saturating_add(*count2);
                *sum = sum.saturating_add(*sum2);
                *min = (*min).min(*min2);
                *max = (*max).max(*max2);
            }
            (this, other) => *this = other.clone(),
        }
    }
}

/// One line that a user function or a logging transform wrote.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogLine {
    /// How serious.
    pub level: LogLevel,
    /// The function or transform.
    pub source: String,
    /// The text.
    pub message: String,
}

/// How serious a log line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogLevel {
    /// For developers.
    Debug,
    /// Normal.
    Info,
    /// Unexpected, but handled.
    Warn,
    /// Wrong.
    Error,
}
