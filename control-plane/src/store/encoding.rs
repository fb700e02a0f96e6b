//! How runs and events are written, the same in every database.

use serde::de::DeserializeOwned;
use weir_model::{EventRecord, RunId, Timestamp};

use super::Error;

/// An event as it is written.
pub(super) struct EncodedEvent {
    pub(super) seq: u64,
    pub(super) at: Timestamp,
    pub(super) payload: String,
}

pub(super) fn encode_events(events: &[EventRecord]) -> Result<Vec<EncodedEvent>, Error> {
    let encode = |record: &EventRecord| {
        let payload = serde_json::to_string(&record.event).map_err(|e| unreadable(record.run, e))?;
        Ok(EncodedEvent {
            seq: record.seq,
            at: record.at,
            payload,
        })
    };
    events.iter().map(encode).collect()
}

pub(super) fn decode_event(run: RunId, seq: i64, at: i64, payload: &str) -> Result<EventRecord, Error> {
    Ok(EventRecord {
        run,
        seq: to_u64(seq),
        at: Timestamp(to_u64(at)),
        event: serde_json::from_str(payload).map_err(|e| unreadable(run, e))?,
    })
}

/// Events that are deleted by one statement: of tasks in a wide shuffle, each takes a megabyte.
const DELETED_AT_ONCE: u64 = 500;

/// The pieces that a long log is deleted in, but for the first one, which goes with its run: the places that each of
/// them begins after, the last piece first.
pub(super) fn delete_pieces(length: u64) -> impl Iterator<Item = u64> {
    let pieces = length.saturating_sub(1) / DELETED_AT_ONCE;
    (1..=pieces).rev().map(|piece| piece * DELETED_AT_ONCE)
}

/// An enumeration as it is written: by serde's name of it.
pub(super) fn word(value: &impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        other => unreachable!("states are words, not {other:?}"),
    }
}

pub(super) fn from_word<T: DeserializeOwned>(word: Option<String>) -> serde_json::Result<Option<T>> {
    word.map(|word| serde_json::from_value(serde_json::Value::String(word)))
        .transpose()
}

/// A number of the model as databases have it: no time, count or epoch comes near the limit.
pub(super) fn to_i64(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

pub(super) fn to_u64(n: i64) -> u64 {
    u64::try_from(n).unwrap_or(0)
}

pub(super) fn to_u32(n: i64) -> u32 {
    u32::try_from(n.max(0)).unwrap_or(u32::MAX)
}

pub(super) fn unreadable(run: impl ToString, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::Unreadable {
        run: run.to_string(),
        source: source.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_deleted_from_its_end_and_its_beginning_is_left() {
        let pieces = |length| delete_pieces(length).collect::<Vec<_>>();
        assert_eq!(pieces(0), [0; 0]);
        assert_eq!(pieces(DELETED_AT_ONCE), [0; 0]);
        assert_eq!(pieces(DELETED_AT_ONCE + 1), [DELETED_AT_ONCE]);
        assert_eq!(pieces(2 * DELETED_AT_ONCE + 1), [2 * DELETED_AT_ONCE, DELETED_AT_ONCE]);
    }
}
