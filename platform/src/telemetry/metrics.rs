//! All metrics of Weir. Each has one name, here and nowhere else.
//!
//! They go to Prometheus, through [`prometheus_text`](super::prometheus_text), where dots are underscores, counters end
//! in `_total` and units are appended; and to OTLP, when that is [set up](super).

use std::sync::OnceLock;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Gauge, Histogram, MeterProvider as _};
use weir_model::ModuleLoads;

use super::export;

/// Bounds of histograms of times, in seconds: from a dispatch within a process to a long task.
const SECONDS: [f64; 16] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0, 600.0, 3_600.0,
];

/// Every instrument of the process.
pub struct Metrics {
    queue_backlog: Gauge<u64>,
    workers_wanted: Gauge<u64>,
    workers_running: Gauge<u64>,
    runs_active: Gauge<u64>,
    runs_finished: Counter<u64>,
    tasks_accepted: Counter<u64>,
    tasks_failed: Counter<u64>,
    task_duration: Histogram<f64>,
    modules_loaded: Counter<u64>,
    dispatch_latency: Histogram<f64>,
    lease_takeovers: Counter<u64>,
    outbox_lag: Gauge<u64>,
    gate_waiting: Gauge<u64>,
    dead_letters: Counter<u64>,
    store_errors: Counter<u64>,
    http_requests: Counter<u64>,
    http_duration: Histogram<f64>,
}

/// The instruments of this process.
pub fn metrics() -> &'static Metrics {
    static METRICS: OnceLock<Metrics> = OnceLock::new();
    METRICS.get_or_init(|| {
        let meter = export::providers().meters.meter("weir");
        let counter = |name, about| meter.u64_counter(name).with_description(about).build();
        let gauge = |name, about| meter.u64_gauge(name).with_description(about).build();
        let seconds = |name, about| {
            let histogram = meter.f64_histogram(name).with_description(about).with_unit("s");
            histogram.with_boundaries(SECONDS.to_vec()).build()
        };
        Metrics {
            queue_backlog: gauge("weir.queue.backlog.tasks", "Tasks that wait or run, over all runs"),
            workers_wanted: gauge("weir.workers.wanted", "Workers that the backlog asks for"),
            workers_running: gauge("weir.workers.running", "Workers that were seen lately"),
            runs_active: gauge("weir.runs.active", "Runs that this control plane drives"),
            runs_finished: counter("weir.runs.finished", "Runs that ended, by outcome"),
            tasks_accepted: counter("weir.tasks.accepted", "Tasks whose output was accepted"),
            tasks_failed: counter("weir.tasks.failed", "Attempts that failed, by whose fault it was"),
            task_duration: seconds("weir.task.duration", "Time that a worker spent on an attempt"),
            modules_loaded: counter(
                "weir.modules.loaded",
                "Wasm modules that attempts asked for, by where they came from",
            ),
            dispatch_latency: seconds("weir.dispatch.latency", "Time from the dispatch of a task to its start"),
            lease_takeovers: counter("weir.lease.takeovers", "Runs that this control plane took over"),
            outbox_lag: gauge("weir.outbox.lag", "Events of dispatches that are not known to be sent"),
            gate_waiting: gauge(
                "weir.gate.waiting.tasks",
                "Tasks that wait until the workers have room for them",
            ),
            dead_letters: counter("weir.dead_letters", "Task messages that were delivered too often"),
            store_errors: counter("weir.store.errors", "Calls of the store that failed"),
            http_requests: counter("weir.http.requests", "Requests, by route and status"),
            http_duration: seconds("weir.http.duration", "Time that requests took, by route"),
        }
    })
}

impl Metrics {
    /// Tasks that wait or run, over all runs.
    pub fn queue_backlog(&self, tasks: u64) {
        self.queue_backlog.record(tasks, &[]);
    }

    /// Workers that the backlog asks for.
    pub fn workers_wanted(&self, workers: u64) {
        self.workers_wanted.record(workers, &[]);
    }

    /// Workers that were seen lately.
    pub fn workers_running(&self, workers: u64) {
        self.workers_running.record(workers, &[]);
    }

    /// Runs that this control plane drives.
    pub fn runs_active(&self, runs: u64) {
        self.runs_active.record(runs, &[]);
    }

    /// A run ended, `outcome` being `succeeded`, `failed` or `cancelled`.
    pub fn run_finished(&self, outcome: &'static str) {
        self.runs_finished.add(1, &[KeyValue::new("outcome", outcome)]);
    }

    /// The output of a task was accepted.
    pub fn task_accepted(&self) {
        self.tasks_accepted.add(1, &[]);
    }

    /// An attempt failed, `kind` being whose fault it was.
    pub fn task_failed(&self, kind: &'static str) {
        self.tasks_failed.add(1, &[KeyValue::new("kind", kind)]);
    }

    /// A worker spent so long on an attempt.
    pub fn task_duration(&self, time: Duration) {
        self.task_duration.record(time.as_secs_f64(), &[]);
    }

    /// An attempt was given its Wasm modules, `origin` being `compiled`, `cached` or `warm`.
    pub fn modules_loaded(&self, modules: &ModuleLoads) {
        let origins = [
            ("compiled", modules.compiled),
            ("cached", modules.cached),
            ("warm", modules.warm),
        ];
        for (origin, count) in origins.into_iter().filter(|(_, count)| *count > 0) {
            self.modules_loaded.add(count, &[KeyValue::new("origin", origin)]);
        }
    }

    /// So long after its dispatch a worker began a task.
    pub fn dispatch_latency(&self, time: Duration) {
        self.dispatch_latency.record(time.as_secs_f64(), &[]);
    }

    /// A run was taken over from another owner.
    pub fn lease_takeover(&self) {
        self.lease_takeovers.add(1, &[]);
    }

    /// Events of dispatches that are not known to be sent.
    pub fn outbox_lag(&self, events: u64) {
        self.outbox_lag.record(events, &[]);
    }

    /// Tasks that wait until the workers have room for them.
    pub fn gate_waiting(&self, tasks: u64) {
        self.gate_waiting.record(tasks, &[]);
    }

    /// A task message was delivered too often.
    pub fn dead_letter(&self) {
        self.dead_letters.add(1, &[]);
    }

    /// A call of the store failed.
    pub fn store_error(&self) {
        self.store_errors.add(1, &[]);
    }

    /// A request was answered. `route` is the route's pattern, such as `/api/v1/runs/{run}`: never what a client sent,
    /// since each value is kept for ever.
    pub fn http_request(&self, route: &str, status: u16, time: Duration) {
        let route = KeyValue::new("route", route.to_owned());
        let status = KeyValue::new("status", i64::from(status));
        self.http_duration
            .record(time.as_secs_f64(), std::slice::from_ref(&route));
        self.http_requests.add(1, &[route, status]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_measured_is_shown_to_prometheus() {
        let metrics = metrics();
        metrics.queue_backlog(7);
        metrics.run_finished("succeeded");
        metrics.run_finished("succeeded");
        metrics.task_duration(Duration::from_millis(30));
        metrics.modules_loaded(&ModuleLoads {
            compiled: 2,
            warm: 5,
            ..ModuleLoads::default()
        });
        metrics.http_request("/api/v1/runs", 201, Duration::from_millis(2));
        let text = super::super::prometheus_text();
        let line = |start: &str| {
            let mut lines = text.lines().filter(|line| line.starts_with(start));
            lines
                .next()
                .unwrap_or_else(|| panic!("no {start} in:\n{text}"))
                .to_owned()
        };
        assert!(line("weir_queue_backlog_tasks").ends_with(" 7"));
        let finished = line("weir_runs_finished_total{");
        assert!(
            finished.contains("outcome=\"succeeded\"") && finished.ends_with(" 2"),
            "{finished}"
        );
        assert!(line("weir_task_duration_seconds_sum").ends_with(" 0.03"));
        let loaded = text
            .lines()
            .filter(|line| line.starts_with("weir_modules_loaded_total{"));
        let loaded: Vec<&str> = loaded.collect();
        assert_eq!(loaded.len(), 2, "{loaded:?}");
        assert!(
            loaded
                .iter()
                .any(|line| line.contains("origin=\"compiled\"") && line.ends_with(" 2"))
        );
        let requests = line("weir_http_requests_total{");
        assert!(
            requests.contains("route=\"/api/v1/runs\"") && requests.contains("status=\"201\""),
            "{requests}"
        );
    }
}
