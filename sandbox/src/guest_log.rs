//! What a guest wrote to its log and counted, until the caller drains it.

use std::collections::{BTreeMap, BTreeSet};

use weir_model::{LogLevel, LogLine, MetricValue};

use crate::words::{self, MAX_MESSAGE, presentable};

/// Bytes of a metric's name.
const MAX_METRIC_NAME: usize = 128;
/// Bytes of standard error that are kept as the last words of a guest that crashes.
const MAX_LAST_WORDS: usize = 2 << 10;

/// What an instance logged and counted since it was last drained.
#[derive(Debug, Default)]
pub struct Drained {
    /// By name, without the function's.
    pub metrics: BTreeMap<String, MetricValue>,
    /// In order; the source is the function.
    pub logs: Vec<LogLine>,
    /// Lines that went over [`Limits::log_bytes`](crate::Limits::log_bytes).
    pub dropped_log_lines: u64,
}

/// Collects log lines and metrics of one instance.
pub(crate) struct GuestLog {
    function: String,
    log_bytes_left: usize,
    metrics_left: usize,
    drained: Drained,
    /// Names that have been counted since the instance was opened, so that draining does not reset the limit.
    known: BTreeSet<String>,
    /// Standard output and standard error, up to the end of the line.
    partial: [Vec<u8>; 2],
    last_words: Vec<u8>,
}

/// Where a guest wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    Out,
    Err,
}

impl GuestLog {
    pub(crate) fn new(function: &str, log_bytes: usize, metrics: usize) -> Self {
        Self {
            function: function.to_owned(),
            log_bytes_left: log_bytes,
            metrics_left: metrics,
            drained: Drained::default(),
            known: BTreeSet::new(),
            partial: [Vec::new(), Vec::new()],
            last_words: Vec::new(),
        }
    }

    pub(crate) fn log(&mut self, level: LogLevel, message: &str) {
        let message = presentable(message);
        // An empty line costs something, too.
        let cost = message.len() + 16;
        if cost > self.log_bytes_left {
            self.drained.dropped_log_lines += 1;
            return;
        }
        self.log_bytes_left -= cost;
        self.drained.logs.push(LogLine {
            level,
            source: self.function.clone(),
            message: message.into_owned(),
        });
    }

    /// Takes what was written to a standard stream; whole lines become log lines.
    pub(crate) fn write(&mut self, stream: Stream, bytes: &[u8]) {
        if stream == Stream::Err {
            self.last_words.extend_from_slice(bytes);
            let excess = self.last_words.len().saturating_sub(MAX_LAST_WORDS);
            self.last_words.drain(..excess);
        }
        let (level, index) = match stream {
            Stream::Out => (LogLevel::Info, 0),
            Stream::Err => (LogLevel::Warn, 1),
        };
        let mut partial = std::mem::take(&mut self.partial[index]);
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let room = MAX_MESSAGE.saturating_sub(partial.len());
            partial.extend_from_slice(&part[..part.len().min(room)]);
            if part.ends_with(b"\n") {
                self.log(level, String::from_utf8_lossy(&partial).trim_end());
                partial.clear();
            }
        }
        self.partial[index] = partial;
    }

    /// What a guest that crashed wrote to standard error last.
    pub(crate) fn last_words(&self) -> String {
        presentable(String::from_utf8_lossy(&self.last_words).trim()).into_owned()
    }

    /// Forgets what was written before a call.
    pub(crate) fn start_call(&mut self) {
        self.last_words.clear();
    }

    pub(crate) fn metric(&mut self, name: &str, value: MetricValue) {
        if let Some(metric) = self.drained.metrics.get_mut(name) {
            if std::mem::discriminant(metric) == std::mem::discriminant(&value) {
                metric.merge(&value);
            } else {
                self.log(
                    LogLevel::Warn,
                    &format!("metric `{name}` is of several kinds; the first one counts"),
                );
            }
            return;
        }
        if !self.known.contains(name) {
            if name.is_empty() || name.len() > MAX_METRIC_NAME || name.contains(char::is_control) {
                let name = words::name(name);
                let message = format!(
                    "a metric's name must have 1 to {MAX_METRIC_NAME} bytes and no control characters; `{name}` was dropped"
                );
                self.log(LogLevel::Warn, &message);
                return;
            }
            if self.metrics_left == 0 {
                self.log(LogLevel::Warn, &format!("too many metrics; `{name}` was dropped"));
                return;
            }
            self.metrics_left -= 1;
            self.known.insert(name.to_owned());
        }
        self.drained.metrics.insert(name.to_owned(), value);
    }

    pub(crate) fn drain(&mut self) -> Drained {
        for (stream, newline) in [(Stream::Out, b"\n"), (Stream::Err, b"\n")] {
            if !self.partial[stream as usize].is_empty() {
                self.write(stream, newline);
            }
        }
        std::mem::take(&mut self.drained)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(log: &mut GuestLog) -> Vec<String> {
        log.drain().logs.into_iter().map(|line| line.message).collect()
    }

    #[test]
    fn streams_become_lines() {
        let mut log = GuestLog::new("f", 1_000, 10);
        log.write(Stream::Out, b"one\ntw");
        log.write(Stream::Err, b"oops\n");
        log.write(Stream::Out, b"o\nthr\xffee");
        assert_eq!(lines(&mut log), ["one", "oops", "two", "thr\u{fffd}ee"]);
        assert_eq!(log.last_words(), "oops");
    }

    #[test]
    fn a_flood_is_cut_off_and_counted() {
        let mut log = GuestLog::new("f", 100, 10);
        for _ in 0..1_000 {
            log.log(LogLevel::Info, "0123456789");
        }
        log.write(Stream::Err, &[b'x'; 100_000]);
        let drained = log.drain();
        assert_eq!(drained.logs.len(), 3);
        assert_eq!(drained.dropped_log_lines, 998);
        assert!(log.last_words().len() <= MAX_LAST_WORDS);
        log.log(LogLevel::Info, "0123456789");
        assert_eq!(
            log.drain().dropped_log_lines,
            1,
            "draining must not give the bytes back"
        );
    }

    #[test]
    fn long_messages_are_cut_at_a_character() {
        let mut log = GuestLog::new("f", 100_000, 10);
        log.log(LogLevel::Info, &"é".repeat(MAX_MESSAGE));
        assert_eq!(lines(&mut log), ["é".repeat(MAX_MESSAGE / 2) + "…"]);
    }

    #[test]
    fn metrics_are_bounded_and_keep_their_kind() {
        let mut log = GuestLog::new("f", 10_000, 2);
        log.metric("a", MetricValue::Counter { value: 1 });
        log.metric("a", MetricValue::Counter { value: 2 });
        log.metric("a", MetricValue::Gauge { value: 9 });
        log.metric("b", MetricValue::Gauge { value: 1 });
        log.metric("c", MetricValue::Gauge { value: 1 });
        log.metric("", MetricValue::Gauge { value: 1 });
        let drained = log.drain();
        assert_eq!(drained.metrics["a"], MetricValue::Counter { value: 3 });
        assert_eq!(drained.metrics.len(), 2);
        assert_eq!(drained.logs.len(), 3);
        log.metric("a", MetricValue::Counter { value: 1 });
        log.metric("d", MetricValue::Counter { value: 1 });
        assert_eq!(log.drain().metrics.len(), 1, "draining must not give the names back");
    }
}
