//! What happened to a run.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use weir_model::EventRecord;

use super::Time;

/// One entry of a run's log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Event {
    /// Its place in the log, from one, without gaps.
    pub seq: u64,
    /// When the control plane decided it.
    pub at: Time,
    /// What happened: `submitted`, `planned`, `task_accepted`, `finished`, …
    #[serde(rename = "type")]
    pub kind: String,
    /// The details, which differ by type.
    #[schema(value_type = Object)]
    pub data: serde_json::Map<String, serde_json::Value>,
    /// Where the whole event is, when parts of `data` were too large for a list: each of them is an object with the one
    /// key `cut`, which says what it was and how large.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub whole: Option<String>,
}

/// Bytes of an event, as JSON, that a list has whole.
const WHOLE_BYTES: usize = 64 << 10;
/// Items of an array, and bytes of a text, that stay in a larger one.
const KEPT_ITEMS: usize = 100;
const KEPT_TEXT: usize = 4 << 10;

impl Event {
    /// Whether its type or its details have a text, which is in lower case; and the bytes that were looked at.
    pub fn mentions(&self, text: &str) -> (bool, usize) {
        // Of plain data, so that writing it cannot fail.
        let details = serde_json::to_string(&self.data).unwrap_or_default();
        let found = self.kind.replace('_', " ").contains(text)
            || self.kind.contains(text)
            || details.to_lowercase().contains(text);
        (found, details.len())
    }

    /// As it is in a list: without what is very large.
    pub fn listed(record: &EventRecord) -> Self {
        let mut event = Self::from(record);
        if size(&event.data) > WHOLE_BYTES {
            event.data.values_mut().for_each(cut);
            event.whole = Some(format!("/api/v1/runs/{}/events/{}", record.run, record.seq));
        }
        event
    }
}

/// Puts a mark in the place of every large part.
fn cut(value: &mut Value) {
    let (kind, count) = match value {
        Value::Array(items) if items.len() > KEPT_ITEMS => ("array", items.len()),
        Value::String(text) if text.len() > KEPT_TEXT => ("text", text.len()),
        Value::Object(fields) if fields.len() > KEPT_ITEMS => ("object", fields.len()),
        Value::Array(items) => return items.iter_mut().for_each(cut),
        Value::Object(fields) => return fields.values_mut().for_each(cut),
        _ => return,
    };
    let unit = if kind == "text" { "length" } else { "items" };
    *value = serde_json::json!({ "cut": { "type": kind, unit: count, "bytes": size(value) } });
}

/// Bytes of something as JSON.
pub(in crate::http) fn size(value: &impl Serialize) -> usize {
    struct Count(usize);
    impl std::io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    // Counting cannot fail.
    let _ = serde_json::to_writer(&mut count, value);
    count.0
}

impl From<&EventRecord> for Event {
    fn from(record: &EventRecord) -> Self {
        // Events are maps with a tag; what else they hold is plain data, so writing them cannot fail.
        let mut data = match serde_json::to_value(&record.event) {
            Ok(serde_json::Value::Object(data)) => data,
            _ => serde_json::Map::new(),
        };
        let kind = match data.remove("type") {
            Some(serde_json::Value::String(kind)) => kind,
            _ => "unknown".to_owned(),
        };
        Self {
            seq: record.seq,
            at: record.at.into(),
            kind,
            data,
            whole: None,
        }
    }
}

/// Events of a run, in order.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct EventPage {
    /// The events.
    pub items: Vec<Event>,
    /// What to give as `after` to go on, now or when the run has gone on.
    pub next_cursor: String,
    /// Whether everything that is there up to now has been given.
    pub complete: bool,
    /// Events that were looked at for the page.
    pub searched: u64,
}

#[cfg(test)]
mod tests {
    use weir_model::{Event as ModelEvent, RunId, StageId, Timestamp};

    use super::*;

    #[test]
    fn large_parts_of_events_are_marked_and_linked() {
        let started = |tasks: u32| EventRecord {
            run: RunId::from_parts(Timestamp(1), 1),
            seq: 3,
            at: Timestamp(2),
            event: ModelEvent::StageStarted {
                stage: StageId(4),
                tasks: (0..tasks).map(|at| at..at + 1).collect(),
            },
        };
        let small = Event::listed(&started(101));
        assert_eq!((small.whole.as_ref(), &small), (None, &Event::from(&started(101))));
        let large = Event::listed(&started(10_000));
        assert!(large.whole.is_some_and(|link| link.ends_with("/events/3")));
        assert_eq!(large.data["stage"], 4);
        assert_eq!(large.data["tasks"]["cut"]["items"], 10_000);
        assert!(size(&large.data) < 200);
    }

    #[test]
    fn events_are_found_by_their_type_and_their_details() {
        let event = Event::from(&EventRecord {
            run: RunId::from_parts(Timestamp(1), 1),
            seq: 3,
            at: Timestamp(2),
            event: ModelEvent::CancelRequested {
                by: "Somebody".to_owned(),
            },
        });
        for text in ["cancel_req", "cancel req", "somebody", "\"by\""] {
            assert!(event.mentions(text).0, "{text}");
        }
        assert!(!event.mentions("somebody else").0);
    }
}
