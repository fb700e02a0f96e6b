//! Spans that belong together across processes, by W3C trace context.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry::trace::{
    Span as _, SpanBuilder, SpanContext, SpanId, SpanKind, Status, TraceContextExt as _, TraceFlags, TraceId,
    TraceState, Tracer as _, TracerProvider as _,
};
use opentelemetry::{Context, KeyValue};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use weir_model::{Timestamp, TraceParent};

use super::{export, ids};

/// A span that is over.
#[derive(Clone, Debug)]
pub struct Finished {
    /// What it is called, such as `run` or `stage`.
    pub name: &'static str,
    /// Its place: its trace, and its own id.
    pub place: TraceParent,
    /// The span that it is part of, unless it is the first of its trace.
    pub parent: Option<TraceParent>,
    /// When it began.
    pub start: Timestamp,
    /// When it ended.
    pub end: Timestamp,
    /// Why what it stands for failed, if it did.
    pub error: Option<String>,
    /// What else is known.
    pub attributes: Vec<(&'static str, String)>,
}

/// Makes a `tracing` span part of a trace that another process, or an earlier owner, began. Without an exporter this
/// does nothing.
pub fn set_parent(span: &tracing::Span, parent: Option<TraceParent>) {
    if let Some(parent) = parent
        && is_exported()
    {
        // It fails for spans that nobody looks at.
        let _ = span.set_parent(remote(parent));
    }
}

/// Whether spans go anywhere.
pub fn is_exported() -> bool {
    export::providers().tracers.is_some()
}

/// Exports a span that is over, unless nothing is exported.
pub fn export_finished(span: Finished) {
    let Some(tracers) = &export::providers().tracers else {
        return;
    };
    let tracer = tracers.tracer("weir");
    let attributes = span
        .attributes
        .into_iter()
        .map(|(key, value)| KeyValue::new(key, value));
    let builder = SpanBuilder::from_name(span.name)
        .with_kind(SpanKind::Internal)
        .with_start_time(time(span.start))
        .with_attributes(attributes.collect::<Vec<_>>());
    let parent = span.parent.map_or_else(Context::new, remote);
    let (trace, id) = (
        TraceId::from_bytes(span.place.trace_id),
        SpanId::from_bytes(span.place.span_id),
    );
    let mut made = ids::with_ids(trace, id, || tracer.build_with_context(builder, &parent));
    if let Some(error) = span.error {
        made.set_status(Status::error(error));
    }
    made.end_with_timestamp(time(span.end.max(span.start)));
}

fn time(at: Timestamp) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(at.0)
}

fn remote(parent: TraceParent) -> Context {
    Context::new().with_remote_span_context(SpanContext::new(
        TraceId::from_bytes(parent.trace_id),
        SpanId::from_bytes(parent.span_id),
        TraceFlags::new(u8::from(parent.sampled)),
        true,
        TraceState::default(),
    ))
}
