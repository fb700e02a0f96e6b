//! Counting.
//!
//! Values are summed up where they are counted and reported when a batch is done, so counting in every row is cheap.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

/// A sum. Made by [`counter!`](crate::counter).
#[derive(Debug)]
pub struct Counter {
    name: &'static str,
    registered: AtomicBool,
    value: AtomicI64,
}

/// A summary of samples. Made by [`distribution!`](crate::distribution).
#[derive(Debug)]
pub struct Distribution {
    name: &'static str,
    registered: AtomicBool,
    count: AtomicU64,
    sum: AtomicI64,
    min: AtomicI64,
    max: AtomicI64,
}

/// The latest value. Made by [`gauge!`](crate::gauge).
#[derive(Debug)]
pub struct Gauge {
    name: &'static str,
    registered: AtomicBool,
    changed: AtomicBool,
    value: AtomicI64,
}

enum Metric {
    Counter(&'static Counter),
    Distribution(&'static Distribution),
    Gauge(&'static Gauge),
}

/// What has been counted at least once. Its length is the number of places in the program that count.
static METRICS: Mutex<Vec<Metric>> = Mutex::new(Vec::new());

fn register(registered: &AtomicBool, metric: Metric) {
    if !registered.swap(true, Relaxed) {
        METRICS.lock().unwrap_or_else(PoisonError::into_inner).push(metric);
    }
}

impl Counter {
    /// A counter that has counted nothing.
    pub const fn new(name: &'static str) -> Self {
        Self {
            name,
            registered: AtomicBool::new(false),
            value: AtomicI64::new(0),
        }
    }

    /// Adds to it.
    #[inline]
    pub fn add(&'static self, delta: i64) {
        self.value.fetch_add(delta, Relaxed);
        if !self.registered.load(Relaxed) {
            register(&self.registered, Metric::Counter(self));
        }
    }
}

impl Distribution {
    /// A distribution without samples.
    pub const fn new(name: &'static str) -> Self {
        Self {
            name,
            registered: AtomicBool::new(false),
            count: AtomicU64::new(0),
            sum: AtomicI64::new(0),
            min: AtomicI64::new(i64::MAX),
            max: AtomicI64::new(i64::MIN),
        }
    }

    /// Adds a sample.
    #[inline]
    pub fn add(&'static self, sample: i64) {
        self.count.fetch_add(1, Relaxed);
        self.sum.fetch_add(sample, Relaxed);
        self.min.fetch_min(sample, Relaxed);
        self.max.fetch_max(sample, Relaxed);
        if !self.registered.load(Relaxed) {
            register(&self.registered, Metric::Distribution(self));
        }
    }
}

impl Gauge {
    /// A gauge without a value.
    pub const fn new(name: &'static str) -> Self {
        Self {
            name,
            registered: AtomicBool::new(false),
            changed: AtomicBool::new(false),
            value: AtomicI64::new(0),
        }
    }

    /// Replaces its value.
    #[inline]
    pub fn set(&'static self, value: i64) {
        self.value.store(value, Relaxed);
        self.changed.store(true, Relaxed);
        if !self.registered.load(Relaxed) {
            register(&self.registered, Metric::Gauge(self));
        }
    }
}

/// What is to be reported.
#[derive(Debug, PartialEq, Eq)]
#[cfg_attr(not(target_arch = "wasm32"), allow(dead_code))]
enum Report {
    Counter(&'static str, i64),
    Distribution(&'static str, u64, [i64; 3]),
    Gauge(&'static str, i64),
}

/// Takes what was counted since the last time.
fn take() -> Vec<Report> {
    let metrics = METRICS.lock().unwrap_or_else(PoisonError::into_inner);
    let mut reports = Vec::new();
    for metric in &*metrics {
        match metric {
            Metric::Counter(counter) => match counter.value.swap(0, Relaxed) {
                0 => {}
                value => reports.push(Report::Counter(counter.name, value)),
            },
            Metric::Distribution(distribution) => match distribution.count.swap(0, Relaxed) {
                0 => {}
                count => {
                    let sum = distribution.sum.swap(0, Relaxed);
                    let min = distribution.min.swap(i64::MAX, Relaxed);
                    let max = distribution.max.swap(i64::MIN, Relaxed);
                    reports.push(Report::Distribution(distribution.name, count, [sum, min, max]));
                }
            },
            Metric::Gauge(gauge) => {
                if gauge.changed.swap(false, Relaxed) {
                    reports.push(Report::Gauge(gauge.name, gauge.value.load(Relaxed)));
                }
            }
        }
    }
    reports
}

/// Reports what was counted since the last time.
pub(crate) fn report() {
    for report in take() {
        #[cfg(target_arch = "wasm32")]
        {
            use crate::bindings::weir::udf::metrics;
            match report {
                Report::Counter(name, value) => metrics::counter(name, value),
                Report::Distribution(name, count, [sum, min, max]) => {
                    metrics::distribution(name, metrics::Samples { count, sum, min, max });
                }
                Report::Gauge(name, value) => metrics::gauge(name, value),
            }
        }
        #[cfg(not(target_arch = "wasm32"))]
        let _ = report;
    }
}

/// Adds to the counter of a name: `counter!("rows_without_date")`, `counter!("bytes", line.len() as i64)`.
#[macro_export]
macro_rules! counter {
    ($name:literal) => {
        $crate::counter!($name, 1)
    };
    ($name:literal, $delta:expr) => {{
        static COUNTER: $crate::metrics::Counter = $crate::metrics::Counter::new($name);
        COUNTER.add($delta)
    }};
}

/// Adds a sample to the distribution of a name: `distribution!("words_per_line", words)`.
#[macro_export]
macro_rules! distribution {
    ($name:literal, $sample:expr) => {{
        static DISTRIBUTION: $crate::metrics::Distribution = $crate::metrics::Distribution::new($name);
        DISTRIBUTION.add($sample)
    }};
}

/// Sets the gauge of a name: `gauge!("dictionary_size", dictionary.len() as i64)`.
#[macro_export]
macro_rules! gauge {
    ($name:literal, $value:expr) => {{
        static GAUGE: $crate::metrics::Gauge = $crate::metrics::Gauge::new($name);
        GAUGE.set($value)
    }};
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_summed_up_until_they_are_reported() {
        for i in 1..=3 {
            crate::counter!("c", i);
            crate::distribution!("d", i * 10);
            crate::gauge!("g", i);
        }
        let expected = [
            Report::Counter("c", 6),
            Report::Distribution("d", 3, [60, 10, 30]),
            Report::Gauge("g", 3),
        ];
        assert_eq!(take(), expected);
        assert_eq!(take(), []);
    }
}
