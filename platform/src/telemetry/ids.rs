//! Span ids that are known beforehand.
//!
//! The spans of a run and of its stages are made when they end, by whoever drives the run then; their children were
//! made before, by others. So their ids follow from what they are of, instead of being random.

use std::cell::Cell;

use opentelemetry::trace::{SpanId, TraceId};
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator};

thread_local! {
    static NEXT: Cell<Option<(TraceId, SpanId)>> = const { Cell::new(None) };
}

/// Makes a span, within `make`, that has the given id; the one of the trace counts when the span has no parent.
pub(super) fn with_ids<T>(trace: TraceId, span: SpanId, make: impl FnOnce() -> T) -> T {
    NEXT.set(Some((trace, span)));
    let made = make();
    NEXT.set(None);
    made
}

/// Random ids, unless one is given.
#[derive(Debug, Default)]
pub(super) struct Ids(RandomIdGenerator);

impl IdGenerator for Ids {
    fn new_trace_id(&self) -> TraceId {
        NEXT.get().map_or_else(|| self.0.new_trace_id(), |(trace, _)| trace)
    }

    fn new_span_id(&self) -> SpanId {
        NEXT.get().map_or_else(|| self.0.new_span_id(), |(_, span)| span)
    }
}
