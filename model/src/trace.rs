//! W3C trace context. What a run and its stages are called in traces follows from what they are, so that every process
//! that has to do with a run knows it, and a new owner goes on with the trace of the last one.

use std::fmt;
use std::str::FromStr;

use crate::{Digest, RunId, StageId, Submission};

/// A place in a trace, as the header `traceparent` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceParent {
    /// The trace; not zero.
    pub trace_id: [u8; 16],
    /// The span; not zero.
    pub span_id: [u8; 8],
    /// Whether whoever began the trace keeps it.
    pub sampled: bool,
}

/// The text is not a `traceparent`.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a W3C traceparent, such as 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")]
pub struct InvalidTraceParent(String);

impl TraceParent {
    /// The span of a run, in the trace of the request that submitted it or in one of its own.
    pub fn of_run(run: RunId, submission: Option<&Submission>) -> Self {
        let digest = Digest::of(format!("run {run}").as_bytes());
        let (trace_id, sampled) = match Self::of_request(submission) {
            Some(request) => (request.trace_id, request.sampled),
            None => (first(&digest, 8), true),
        };
        Self {
            trace_id,
            span_id: first(&digest, 0),
            sampled,
        }
    }

    /// The span of the request that submitted a run, if it had one.
    pub fn of_request(submission: Option<&Submission>) -> Option<Self> {
        submission?.metadata.traceparent.as_deref()?.parse().ok()
    }

    /// The span of one attempt of a stage of the run whose span this is.
    pub fn of_stage(self, stage: StageId, stage_attempt: u32) -> Self {
        let mut name = self.span_id.to_vec();
        name.extend_from_slice(&stage.0.to_le_bytes());
        name.extend_from_slice(&stage_attempt.to_le_bytes());
        Self {
            span_id: first(&Digest::of(&name), 0),
            ..self
        }
    }
}

/// Bytes of a digest, of which one is not zero.
fn first<const N: usize>(digest: &Digest, skip: usize) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(&digest.as_bytes()[skip..skip + N]);
    bytes[N - 1] |= 1;
    bytes
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("00-")?;
        self.trace_id.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str("-")?;
        self.span_id.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        write!(f, "-{:02x}", u8::from(self.sampled))
    }
}

impl FromStr for TraceParent {
    type Err = InvalidTraceParent;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).ok_or_else(|| InvalidTraceParent(text.to_owned()))
    }
}

fn parse(text: &str) -> Option<TraceParent> {
    let mut parts = text.split('-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    // Later versions may have more parts.
    let known = version == "00" && parts.next().is_none() || version != "00" && version != "ff";
    let [_] = hex::<1>(version)?;
    let [flags] = hex(flags)?;
    let parsed = TraceParent {
        trace_id: hex(trace)?,
        span_id: hex(span)?,
        sampled: flags & 1 == 1,
    };
    (known && parsed.trace_id != [0; 16] && parsed.span_id != [0; 8]).then_some(parsed)
}

fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if text.len() != 2 * N || !digits {
        return None;
    }
    let mut bytes = [0; N];
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * index..2 * index + 2], 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Timestamp;

    #[test]
    fn what_is_written_is_read() {
        let text = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let parsed: TraceParent = text.parse().unwrap();
        assert!(parsed.sampled);
        assert_eq!(parsed.to_string(), text);
        let later: TraceParent = format!("cc-{}-more", &text[3..]).parse().unwrap();
        assert_eq!(later, parsed);
    }

    #[test]
    fn what_is_no_traceparent_is_refused() {
        for text in [
            "",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b71692033-01",
        ] {
            text.parse::<TraceParent>().unwrap_err();
        }
    }

    #[test]
    fn spans_of_a_run_are_told_apart_and_known_to_all() {
        let run = RunId::from_parts(Timestamp(3), 4);
        let of_run = TraceParent::of_run(run, None);
        assert_eq!(of_run, TraceParent::of_run(run, None));
        let stages = [(0, 0), (0, 1), (1, 0)].map(|(stage, attempt)| of_run.of_stage(StageId(stage), attempt));
        let mut spans: Vec<_> = stages.iter().map(|stage| stage.span_id).collect();
        spans.extend([
            of_run.span_id,
            TraceParent::of_run(RunId::from_parts(Timestamp(3), 5), None).span_id,
        ]);
        spans.sort_unstable();
        spans.dedup();
        assert_eq!(spans.len(), 5);
        assert!(stages.iter().all(|stage| stage.trace_id == of_run.trace_id));
    }
}
