//! Where traces and metrics go.
//!
//! Exporters run on a thread of their own, so that they neither wait for tasks that keep all processors busy nor hold
//! anybody up. What they keep is bounded; what does not fit is dropped.

use std::sync::{OnceLock, mpsc};
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry_otlp::{MetricExporter, SpanExporter};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::metrics::periodic_reader_with_async_runtime::PeriodicReader;
use opentelemetry_sdk::runtime::Tokio;
use opentelemetry_sdk::trace::SdkTracerProvider;
use opentelemetry_sdk::trace::span_processor_with_async_runtime::BatchSpanProcessor;
use prometheus::{Encoder as _, Registry, TextEncoder};
use tokio::runtime::Runtime;

use super::ids::Ids;

/// What exporting may take when the process ends.
const SHUTDOWN: Duration = Duration::from_secs(5);

/// The process's providers.
pub(super) struct Providers {
    pub(super) meters: SdkMeterProvider,
    /// When traces are exported.
    pub(super) tracers: Option<SdkTracerProvider>,
    registry: Registry,
    /// Why nothing is exported, although that was asked for.
    pub(super) error: Option<Error>,
    /// Runs the exporters.
    _runtime: Option<Runtime>,
}

type Error = Box<dyn std::error::Error + Send + Sync>;

/// What exporters there are.
#[derive(Default)]
struct Exporters {
    runtime: Option<Runtime>,
    spans: Option<SpanExporter>,
    metrics: Option<MetricExporter>,
}

/// The providers of this process; the environment says where they export to.
pub(super) fn providers() -> &'static Providers {
    static PROVIDERS: OnceLock<Providers> = OnceLock::new();
    PROVIDERS.get_or_init(|| {
        let (exporters, error) = match Exporters::from_environment() {
            Ok(exporters) => (exporters, None),
            Err(error) => (Exporters::default(), Some(error)),
        };
        Providers::new(exporters, error)
    })
}

/// The metrics of this process in Prometheus' text format.
pub fn prometheus_text() -> String {
    let mut text = Vec::new();
    // Writing to memory does not fail.
    let _ = TextEncoder::new().encode(&providers().registry.gather(), &mut text);
    String::from_utf8(text).unwrap_or_default()
}

impl Exporters {
    fn from_environment() -> Result<Self, Error> {
        let (traces, metrics) = (is_wanted("TRACES"), is_wanted("METRICS"));
        if !traces && !metrics {
            return Ok(Self::default());
        }
        crate::aws::install_crypto();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("weir-telemetry")
            .enable_all()
            .build()?;
        let _on = runtime.enter();
        let spans = traces
            .then(|| SpanExporter::builder().with_http().build())
            .transpose()?;
        let metrics = metrics
            .then(|| MetricExporter::builder().with_http().build())
            .transpose()?;
        drop(_on);
        Ok(Self {
            runtime: Some(runtime),
            spans,
            metrics,
        })
    }
}

impl Providers {
    fn new(exporters: Exporters, error: Option<Error>) -> Self {
        let Exporters {
            runtime,
            spans,
            metrics,
        } = exporters;
        let on = runtime.as_ref().map(Runtime::enter);
        let registry = Registry::new();
        let mut meters = SdkMeterProvider::builder().with_resource(resource());
        let prometheus = opentelemetry_prometheus::exporter().with_registry(registry.clone());
        if let Ok(reader) = prometheus.without_target_info().build() {
            meters = meters.with_reader(reader);
        }
        if let Some(exporter) = metrics {
            meters = meters.with_reader(PeriodicReader::builder(exporter, Tokio).build());
        }
        let tracers = spans.map(|exporter| {
            // Its queue holds 2,048 spans unless OTEL_BSP_MAX_QUEUE_SIZE says otherwise.
            let batches = BatchSpanProcessor::builder(exporter, Tokio).build();
            let tracers = SdkTracerProvider::builder()
                .with_resource(resource())
                .with_id_generator(Ids::default());
            tracers.with_span_processor(batches).build()
        });
        drop(on);
        Self {
            meters: meters.build(),
            tracers,
            registry,
            error,
            _runtime: runtime,
        }
    }

    /// Exports what there is, within bounds.
    pub(super) fn flush(&'static self) {
        if self._runtime.is_none() {
            return;
        }
        let (done, is_done) = mpsc::channel();
        // On a thread, for this blocks and may be called on one that must not wait for ever.
        let flushing = std::thread::Builder::new()
            .name("weir-telemetry-flush".into())
            .spawn(move || {
                let traces = self.tracers.as_ref().map(SdkTracerProvider::force_flush);
                let metrics = self.meters.force_flush();
                let _ = done.send(traces.is_none_or(|flushed| flushed.is_ok()) && metrics.is_ok());
            });
        if flushing.is_err() || is_done.recv_timeout(SHUTDOWN) != Ok(true) {
            eprintln!("some traces or metrics could not be exported to the OpenTelemetry collector");
        }
    }
}

/// Whether a signal, `TRACES` or `METRICS`, is to be exported.
fn is_wanted(signal: &str) -> bool {
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    let there = |name: &str| !variable(name).is_empty();
    let endpoint = there("OTEL_EXPORTER_OTLP_ENDPOINT") || there(&format!("OTEL_EXPORTER_OTLP_{signal}_ENDPOINT"));
    endpoint
        && !variable("OTEL_SDK_DISABLED").eq_ignore_ascii_case("true")
        && variable(&format!("OTEL_{signal}_EXPORTER")) != "none"
}

/// What the environment says of this process; its name is `weir` unless that says another.
fn resource() -> Resource {
    let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    let resource = Resource::builder().with_attribute(version).build();
    let name = resource.get(&opentelemetry::Key::from_static_str("service.name"));
    let named = name.is_some_and(|name| !name.as_str().starts_with("unknown_service"));
    match named {
        true => resource,
        false => Resource::builder()
            .with_service_name("weir")
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .build(),
    }
}
