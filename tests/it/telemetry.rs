//! Traces and metrics, as a collector receives them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
pub(crate) use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;

use crate::support::Place;

/// A collector that keeps what it is sent.
#[derive(Clone, Default)]
pub(crate) struct Collector {
    spans: Arc<Mutex<Vec<Span>>>,
    metrics: Arc<Mutex<BTreeSet<String>>>,
    services: Arc<Mutex<BTreeSet<String>>>,
}

impl Collector {
    /// Starts a collector on a free port; it lives as long as the test process.
    pub(crate) fn start() -> (Self, String) {
        let collector = Self::default();
        let router = Router::new()
            .route("/v1/traces", post(take_traces))
            .route("/v1/metrics", post(take_metrics))
            .with_state(collector.clone());
        let listener = std::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async move {
                listener.set_nonblocking(true).expect("sockets can be so");
                let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
                axum::serve(listener, router).await.expect("it serves");
            });
        });
        (collector, format!("http://{address}"))
    }

    pub(crate) fn spans(&self) -> Vec<Span> {
        self.spans.lock().expect("no test panicked").clone()
    }
}

async fn take_traces(State(collector): State<Collector>, body: Bytes) {
    let request = ExportTraceServiceRequest::decode(body).expect("OTLP");
    for resource in request.resource_spans {
        for attribute in resource.resource.into_iter().flat_map(|resource| resource.attributes) {
            if let ("service.name", Some(Value::StringValue(name))) =
                (attribute.key.as_str(), attribute.value.and_then(|value| value.value))
            {
                collector.services.lock().expect("no test panicked").insert(name);
            }
        }
        let spans = resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
        collector.spans.lock().expect("no test panicked").extend(spans);
    }
}

async fn take_metrics(State(collector): State<Collector>, body: Bytes) {
    let request = ExportMetricsServiceRequest::decode(body).expect("OTLP");
    let scopes = request
        .resource_metrics
        .into_iter()
        .flat_map(|resource| resource.scope_metrics);
    let names = scopes.flat_map(|scope| scope.metrics).map(|metric| metric.name);
    collector.metrics.lock().expect("no test panicked").extend(names);
}

/// The spans of a name.
pub(crate) fn named<'a>(spans: &'a [Span], name: &str) -> Vec<&'a Span> {
    spans.iter().filter(|span| span.name == name).collect()
}

#[test]
fn a_run_is_one_trace_from_its_submission_to_its_tasks() {
    let (collector, endpoint) = Collector::start();
    let place = Place::new();
    let query = "SELECT k, count(*) AS n FROM (VALUES (1), (2), (2)) t(k) GROUP BY k";
    let started = Instant::now();
    let mut command = place.command(["sql", query]);
    command
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)
        .env("OTEL_BSP_SCHEDULE_DELAY", "600000")
        .env("OTEL_METRIC_EXPORT_INTERVAL", "600000")
        .env("OTEL_SERVICE_NAME", "weir-test");
    let output = command.output().expect("the command starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(
        started.elapsed() < Duration::from_secs(300),
        "nobody waits for the next batch"
    );

    let spans = collector.spans();
    let by_id: BTreeMap<&[u8], &Span> = spans.iter().map(|span| (&span.span_id[..], span)).collect();
    assert_eq!(by_id.len(), spans.len(), "every span is told once");
    let traces: BTreeSet<_> = spans.iter().map(|span| &span.trace_id).collect();
    assert_eq!(
        traces.len(),
        1,
        "{:?}",
        spans.iter().map(|span| &span.name).collect::<Vec<_>>()
    );

    let runs = named(&spans, "run");
    let [run] = runs[..] else { panic!("{runs:?}") };
    assert!(run.parent_span_id.is_empty(), "it is the root: {run:?}");
    for name in ["submit", "plan", "dispatch", "stage"] {
        let all = named(&spans, name);
        assert!(!all.is_empty(), "no {name}");
        assert!(all.iter().all(|span| span.parent_span_id == run.span_id), "{all:?}");
        for span in all {
            assert!(span.start_time_unix_nano <= span.end_time_unix_nano, "{span:?}");
        }
    }
    let tasks = named(&spans, "task");
    assert!(tasks.len() >= 2, "two stages: {tasks:?}");
    assert!(tasks.iter().all(|task| by_id[&task.parent_span_id[..]].name == "stage"));
    let of_stages: BTreeSet<_> = tasks.iter().map(|task| &task.parent_span_id).collect();
    assert_eq!(of_stages.len(), named(&spans, "stage").len(), "each stage has its own");

    assert_eq!(
        *collector.services.lock().expect("no test panicked"),
        BTreeSet::from(["weir-test".to_owned()])
    );
    let metrics = collector.metrics.lock().expect("no test panicked").clone();
    for name in ["weir.task.duration", "weir.tasks.accepted", "weir.runs.finished"] {
        assert!(metrics.contains(name), "{metrics:?}");
    }
}

#[test]
fn a_collector_that_is_not_there_does_no_harm() {
    let place = Place::new();
    let mut command = place.command(["sql", "SELECT 1 AS one"]);
    // Nobody listens on a port that was free a moment ago.
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let endpoint = format!("http://{}", listener.local_addr().expect("it is bound"));
    drop(listener);
    let output = command
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
        .output()
        .expect("the command starts");
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stdout).contains("one"));
}
