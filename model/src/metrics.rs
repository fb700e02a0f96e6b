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
    /// CPU time of the thread that drives the attempt, in microseconds: what operators hand to other threads is not
    /// in it. Zero where it cannot be measured.
    #[serde(skip_serializing_if = "is_zero")]
    pub cpu_us: u64,
    /// Of `rows_in`, those from shuffle objects.
    #[serde(skip_serializing_if = "is_zero")]
    pub shuffle_rows_in: u64,
    /// Of `bytes_in`, those from shuffle objects.
    #[serde(skip_serializing_if = "is_zero")]
    pub shuffle_bytes_in: u64,
    /// Of `bytes_out`, those to shuffle objects.
    #[serde(skip_serializing_if = "is_zero")]
    pub shuffle_bytes_out: u64,
    /// Rows of opened shuffle partitions that nobody asked for any more: behind a limit, for example.
    #[serde(skip_serializing_if = "is_zero")]
    pub unread_rows: u64,
    /// Shuffle partitions that nobody asked for a row of.
    #[serde(skip_serializing_if = "is_zero")]
    pub unopened_inputs: u64,
    /// Rows that user functions refused, which went to the output for errors where there is one.
    #[serde(skip_serializing_if = "is_zero")]
    pub refused_rows: u64,
    /// What the attempt was allowed.
    #[serde(skip_serializing_if = "Allowance::is_unknown")]
    pub allowance: Allowance,
    /// The most memory that all attempts of the worker together held while this one took more, in bytes.
    #[serde(skip_serializing_if = "is_zero")]
    pub worker_peak_memory_bytes: u64,
    /// Requests to the storage: shuffle objects, plans, modules, tables and outputs.
    #[serde(skip_serializing_if = "StorageRequests::is_empty")]
    pub storage: StorageRequests,
    /// Messages that the attempt has put into the report queue, the one that carries this included.
    #[serde(skip_serializing_if = "is_zero")]
    pub reports: u64,
    /// Where its Wasm modules came from.
    #[serde(skip_serializing_if = "ModuleLoads::is_empty")]
    pub modules: ModuleLoads,
    /// What user functions took; the costliest first, bounded.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub functions: Vec<FunctionMetrics>,
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
    /// Its place in the whole plan of the stage, counted from the root with each operator before its inputs. Tasks run
    /// parts of that plan, so their lists may have gaps.
    pub id: u32,
    /// The operator, such as `HashJoinExec`.
    pub name: String,
    /// Its depth in the whole plan; the root is at zero.
    pub depth: u32,
    /// What it does to the number of its rows.
    pub effect: RowEffect,
    /// Rows that it gave out.
    pub rows: u64,
    /// Bytes of the batches that it gave out, when it counts them.
    pub bytes: u64,
    /// CPU time, in microseconds.
    pub cpu_us: u64,
    /// Wall time inside Wasm calls, in microseconds.
    #[serde(skip_serializing_if = "is_zero")]
    pub wasm_us: u64,
    /// Bytes that it spilled.
    pub spilled_bytes: u64,
    /// The most memory that it said to hold at once, in bytes, summed over its partitions; few operators say it.
    #[serde(skip_serializing_if = "is_zero")]
    pub peak_memory_bytes: u64,
    /// User functions that it calls.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub functions: Vec<String>,
}

/// What an operator does to the number of its rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RowEffect {
    /// It gives out as many as it takes: a projection, a sort. Leaves and unions belong here.
    Keeps,
    /// It drops some, as declared: a filter.
    Filters,
    /// It drops some, and may leave others unread: a limit.
    Limits,
    /// It makes others of them: a join, an aggregation, a flat map.
    #[default]
    Changes,
}

/// What one user function took.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FunctionMetrics {
    /// Its name.
    pub name: String,
    /// Calls: of a batch each, as a rule.
    pub calls: u64,
    /// Wall time inside it, in microseconds.
    pub wasm_us: u64,
}

/// What an attempt was allowed of its worker. A worker's slots share its processors and its memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Allowance {
    /// Tasks that the worker runs at once; zero when it is not known.
    pub worker_slots: u32,
    /// Thousandths of processors that the worker has.
    pub worker_millicpus: u32,
    /// Bytes that all attempts of the worker together may hold; zero for no limit.
    pub worker_memory_bytes: u64,
}

impl Allowance {
    /// Whether the attempt did not say.
    pub fn is_unknown(&self) -> bool {
        *self == Self::default()
    }
}

/// Requests to an object storage, by what they are billed as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StorageRequests {
    /// Writes: of objects, of parts of uploads, copies, and the begin and end of uploads.
    pub put: u64,
    /// Reads of objects or of ranges.
    pub get: u64,
    /// Looks at what an object is, without its bytes.
    pub head: u64,
    /// Pages of lists.
    pub list: u64,
    /// Deletions.
    pub delete: u64,
}

impl StorageRequests {
    /// Whether there were none.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// All of them.
    pub fn total(&self) -> u64 {
        let Self {
            put,
            get,
            head,
            list,
            delete,
        } = *self;
        let kinds = [put, get, head, list, delete];
        kinds.into_iter().fold(0, u64::saturating_add)
    }

    /// Those that came after `earlier` ones, which are among them.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            put: self.put.saturating_sub(earlier.put),
            get: self.get.saturating_sub(earlier.get),
            head: self.head.saturating_sub(earlier.head),
            list: self.list.saturating_sub(earlier.list),
            delete: self.delete.saturating_sub(earlier.delete),
        }
    }

    /// Adds those of `other`.
    pub fn add(&mut self, other: &Self) {
        self.put = self.put.saturating_add(other.put);
        self.get = self.get.saturating_add(other.get);
        self.head = self.head.saturating_add(other.head);
        self.list = self.list.saturating_add(other.list);
        self.delete = self.delete.saturating_add(other.delete);
    }
}

/// Where Wasm modules came from that were asked for, and how long that took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ModuleLoads {
    /// Those that were compiled: no process of the machine had them before, or none keeps them any more.
    #[serde(skip_serializing_if = "is_zero")]
    pub compiled: u64,
    /// Those that were read from the machine's cache of compiled ones.
    #[serde(skip_serializing_if = "is_zero")]
    pub cached: u64,
    /// Those that the process had in memory, or that another task of it was loading.
    #[serde(skip_serializing_if = "is_zero")]
    pub warm: u64,
    /// Wall time from the first request for them until all of them were there, in microseconds.
    #[serde(skip_serializing_if = "is_zero")]
    pub load_us: u64,
}

impl ModuleLoads {
    /// Whether there were none.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Those that were not in memory.
    pub fn cold(&self) -> u64 {
        self.compiled.saturating_add(self.cached)
    }

    /// Adds those of `other`.
    pub fn add(&mut self, other: &Self) {
        self.compiled = self.compiled.saturating_add(other.compiled);
        self.cached = self.cached.saturating_add(other.cached);
        self.warm = self.warm.saturating_add(other.warm);
        self.load_us = self.load_us.saturating_add(other.load_us);
    }
}

/// Numbers that are nearly always zero are left out of reports: there is one for every task.
fn is_zero(number: &u64) -> bool {
    *number == 0
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
