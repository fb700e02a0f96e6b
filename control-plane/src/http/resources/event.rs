//! What happened to a run.

use serde::{Deserialize, Serialize};
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
}
