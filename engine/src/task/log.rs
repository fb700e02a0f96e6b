//! What user functions and logging transforms tell people.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use datafusion::execution::TaskContext;
use weir_model::{FunctionMetrics, LogLine, MetricValue, TaskMetrics};

/// Lines of one attempt at most.
const MAX_LINES: usize = 1000;
/// Bytes of one attempt's lines at most.
const MAX_BYTES: usize = 256 << 10;
/// Metrics of one attempt at most.
const MAX_METRICS: usize = 1000;
/// Functions of one attempt whose time is told apart.
const MAX_FUNCTIONS: usize = 100;

/// Collects the log lines and metrics of one attempt, as an extension of its session: operators and functions find it
/// with [`TaskLog::of`]. What exceeds its bounds is counted and dropped.
#[derive(Debug, Default)]
pub struct TaskLog {
    entries: Mutex<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    lines: Vec<LogLine>,
    bytes: usize,
    dropped: u64,
    metrics: BTreeMap<String, MetricValue>,
    wasm: Duration,
    functions: BTreeMap<String, (u64, Duration)>,
}

impl TaskLog {
    /// The log of the attempt that `context` belongs to; one that nobody reads, outside an attempt.
    pub fn of(context: &TaskContext) -> Arc<Self> {
        context.session_config().get_extension::<Self>().unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a line.
    pub fn push(&self, line: LogLine) {
        let mut entries = self.lock();
        let bytes = line.message.len() + line.source.len();
        if entries.lines.len() >= MAX_LINES || entries.bytes + bytes > MAX_BYTES {
            entries.dropped += 1;
            return;
        }
        entries.bytes += bytes;
        entries.lines.push(line);
    }

    /// Counts lines that were dropped before they came here.
    pub fn add_dropped(&self, lines: u64) {
        self.lock().dropped += lines;
    }

    /// Adds to a metric, named `function.metric`.
    pub fn record(&self, name: &str, value: &MetricValue) {
        let mut entries = self.lock();
        if let Some(total) = entries.metrics.get_mut(name) {
            total.merge(value);
        } else if entries.metrics.len() < MAX_METRICS {
            entries.metrics.insert(name.to_owned(), value.clone());
        }
    }

    /// Adds the time of a call of a Wasm function.
    pub fn add_wasm_time(&self, function: &str, time: Duration) {
        let mut entries = self.lock();
        entries.wasm += time;
        if let Some((calls, total)) = entries.functions.get_mut(function) {
            *calls += 1;
            *total += time;
        } else if entries.functions.len() < MAX_FUNCTIONS {
            entries.functions.insert(function.to_owned(), (1, time));
        }
    }

    /// Fills in what was measured, without lines.
    pub(crate) fn measure(&self, metrics: &mut TaskMetrics) {
        let entries = self.lock();
        metrics.wasm_us = entries.wasm.as_micros() as u64;
        metrics.functions = entries
            .functions
            .iter()
            .map(|(name, (calls, time))| FunctionMetrics {
                name: name.clone(),
                calls: *calls,
                wasm_us: time.as_micros() as u64,
            })
            .collect();
        metrics.functions.sort_by_key(|function| Reverse(function.wasm_us));
        metrics.user = entries.metrics.clone();
        metrics.dropped_log_lines = entries.dropped;
    }

    /// The lines so far.
    pub(crate) fn lines(&self) -> Vec<LogLine> {
        self.lock().lines.clone()
    }
}

#[cfg(test)]
mod tests {
    use weir_model::LogLevel;

    use super::*;

    fn line(message: String) -> LogLine {
        LogLine {
            level: LogLevel::Info,
            source: "f".to_owned(),
            message,
        }
    }

    #[test]
    fn it_is_bounded_in_lines_and_bytes() {
        let log = TaskLog::default();
        for number in 0..MAX_LINES + 5 {
            log.push(line(number.to_string()));
        }
        assert_eq!(log.lines().len(), MAX_LINES);
        let mut metrics = TaskMetrics::default();
        log.measure(&mut metrics);
        assert_eq!(metrics.dropped_log_lines, 5);

        let log = TaskLog::default();
        log.push(line("x".repeat(MAX_BYTES)));
        log.push(line("fits".to_owned()));
        assert_eq!(
            log.lines().iter().map(|line| line.message.as_str()).collect::<Vec<_>>(),
            ["fits"]
        );
    }

    #[test]
    fn metrics_add_up() {
        let log = TaskLog::default();
        log.record("f.words", &MetricValue::Counter { value: 2 });
        log.record("f.words", &MetricValue::Counter { value: 3 });
        let mut metrics = TaskMetrics::default();
        log.measure(&mut metrics);
        assert_eq!(metrics.user["f.words"], MetricValue::Counter { value: 5 });
    }
}
