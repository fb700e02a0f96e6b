//! The state of a topic at a moment, and what differs between two.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Map, Value, json};
use weir_model::Digest;

use super::super::resources::{
    HistoryState, Run, StreamChanged, StreamEnd, StreamEndReason, StreamResource, StreamRows,
};
use super::topic::Topic;

/// The parts of a run that are replaced one by one.
const STAGES: &str = "stages";

/// The state of a topic.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Frame {
    /// Names this state: the same on every server.
    pub(super) version: String,
    pub(super) content: Content,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Content {
    /// A list, in its order.
    Rows(Vec<Row>),
    /// A run.
    Run { run: Arc<Map<String, Value>>, over: bool },
    /// Something small.
    Resource(Arc<Value>),
    /// Whatever it is, its readers ask for the part that they show.
    Announced,
    /// What is not there any more.
    Deleted,
}

/// A row of a list.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    pub(super) id: String,
    pub(super) value: Arc<Value>,
}

/// An event to send.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Event {
    pub(super) name: &'static str,
    pub(super) data: String,
    /// The version that its receiver has then.
    pub(super) reached: String,
}

impl Frame {
    /// A list.
    pub(super) fn rows(rows: Vec<Row>) -> Self {
        let mut text = Vec::new();
        for row in &rows {
            text.extend_from_slice(row.value.to_string().as_bytes());
            text.push(b'\n');
        }
        Self {
            version: short(&Digest::of(&text)),
            content: Content::Rows(rows),
        }
    }

    /// A run.
    pub(super) fn run(run: &Run) -> Self {
        Self {
            version: run.etag.clone(),
            content: Content::Run {
                // Until its history is there, what its end has cost is not.
                over: run.history == Some(HistoryState::Stored),
                run: Arc::new(match plain(run) {
                    Value::Object(run) => run,
                    _ => Map::new(),
                }),
            },
        }
    }

    /// Something small, which is told whole.
    pub(super) fn resource(resource: &impl serde::Serialize) -> Self {
        let value = plain(resource);
        Self {
            version: short(&Digest::of(value.to_string().as_bytes())),
            content: Content::Resource(Arc::new(value)),
        }
    }

    /// Something of which only the version is told.
    pub(super) fn announced(version: impl ToString) -> Self {
        Self {
            version: version.to_string(),
            content: Content::Announced,
        }
    }

    /// What was deleted.
    pub(super) fn deleted() -> Self {
        Self {
            version: "deleted".to_owned(),
            content: Content::Deleted,
        }
    }

    /// Whether nothing comes after it.
    pub(super) fn end(&self) -> Option<StreamEndReason> {
        match &self.content {
            Content::Run { over: true, .. } => Some(StreamEndReason::Finished),
            Content::Deleted => Some(StreamEndReason::Deleted),
            Content::Run { .. } | Content::Rows(_) | Content::Resource(_) | Content::Announced => None,
        }
    }

    /// The version of whoever has been told all of it, its end included.
    pub(super) fn last_version(&self) -> String {
        match self.end() {
            Some(_) => format!("{}.end", self.version),
            None => self.version.clone(),
        }
    }

    /// What to tell somebody who has the version `known`, which is the state `before` if that was told here.
    pub(super) fn since(&self, topic: &Topic, known: Option<&str>, before: Option<&Frame>) -> Vec<Event> {
        let mut events = Vec::new();
        let last_version = self.last_version();
        if known == Some(&*last_version) {
            return events;
        }
        let topic = topic.to_string();
        if known != Some(&*self.version) {
            events.extend(self.state(&topic, before.map(|before| &before.content)));
        }
        if let Some(reason) = self.end() {
            events.push(Event::new("end", &StreamEnd { topic, reason }, &last_version));
        }
        events
    }

    fn state(&self, topic: &str, before: Option<&Content>) -> Option<Event> {
        let event = |name, data: Value| Event::new(name, &data, &self.version);
        match (&self.content, before) {
            (Content::Rows(now), before) => {
                let before = match before {
                    Some(Content::Rows(before)) => Some(&before[..]),
                    _ => None,
                };
                Some(Event::new("rows", &rows(topic, now, before), &self.version))
            }
            (Content::Run { run, .. }, before) => {
                let patch = match before {
                    Some(Content::Run { run: before, .. }) => patch(before, run),
                    _ => None,
                };
                Some(match patch {
                    Some(patch) => event("run_patch", json!({"topic": topic, "patch": patch})),
                    None => event("run", json!({"topic": topic, "run": **run})),
                })
            }
            (Content::Resource(resource), _) => {
                let (topic, resource) = (topic.to_owned(), Value::clone(resource));
                Some(Event::new(
                    "resource",
                    &StreamResource { topic, resource },
                    &self.version,
                ))
            }
            (Content::Announced, _) => {
                let topic = topic.to_owned();
                Some(Event::new("changed", &StreamChanged { topic }, &self.version))
            }
            (Content::Deleted, _) => None,
        }
    }
}

impl Row {
    pub(super) fn new(id: String, resource: &impl serde::Serialize) -> Self {
        let value = Arc::new(plain(resource));
        Self { id, value }
    }
}

/// A resource as JSON: it is plain data, so that writing it cannot fail.
fn plain(resource: &impl serde::Serialize) -> Value {
    serde_json::to_value(resource).unwrap_or(Value::Null)
}

impl Event {
    fn new(name: &'static str, data: &impl serde::Serialize, reached: &str) -> Self {
        Self {
            name,
            // JSON without line ends; of plain data, so that writing it cannot fail.
            data: serde_json::to_string(data).unwrap_or_default(),
            reached: reached.to_owned(),
        }
    }
}

fn rows(topic: &str, now: &[Row], before: Option<&[Row]>) -> StreamRows {
    let mut known: HashMap<&str, &Value> = before
        .unwrap_or_default()
        .iter()
        .map(|row| (row.id.as_str(), &*row.value))
        .collect();
    let changed = now
        .iter()
        .filter(|row| known.remove(row.id.as_str()) != Some(&*row.value));
    let items = changed.map(|row| Value::clone(&row.value)).collect();
    let mut removed: Vec<String> = known.into_keys().map(str::to_owned).collect();
    removed.sort_unstable();
    StreamRows {
        topic: topic.to_owned(),
        complete: before.is_none(),
        items,
        removed,
    }
}

/// A merge patch from one state of a run to the next, with the stages that differ; `None` when the stages are others.
fn patch(before: &Map<String, Value>, now: &Map<String, Value>) -> Option<Map<String, Value>> {
    let mut patch = Map::new();
    for (key, value) in now {
        let known = before.get(key);
        if known == Some(value) {
            continue;
        }
        let change = match (key.as_str(), known, value) {
            (STAGES, Some(Value::Array(before)), Value::Array(now)) => stages(before, now)?,
            (_, Some(Value::Object(before)), Value::Object(now)) => Value::Object(merge(before, now)),
            _ => value.clone(),
        };
        patch.insert(key.clone(), change);
    }
    for key in before.keys().filter(|key| !now.contains_key(*key)) {
        patch.insert(key.clone(), Value::Null);
    }
    Some(patch)
}

/// The stages that are new or differ; `None` when some are gone.
fn stages(before: &[Value], now: &[Value]) -> Option<Value> {
    let same = |(before, now): (&Value, &Value)| before.get("id").is_some() && before.get("id") == now.get("id");
    if now.len() < before.len() || !before.iter().zip(now).all(same) {
        return None;
    }
    let differ = now
        .iter()
        .enumerate()
        .filter(|(at, stage)| before.get(*at) != Some(stage));
    Some(differ.map(|(_, stage)| stage.clone()).collect())
}

/// A merge patch from one object to another.
fn merge(before: &Map<String, Value>, now: &Map<String, Value>) -> Map<String, Value> {
    let mut patch = Map::new();
    for (key, value) in now {
        match (before.get(key), value) {
            (Some(known), value) if known == value => {}
            (Some(Value::Object(before)), Value::Object(now)) => {
                patch.insert(key.clone(), Value::Object(merge(before, now)));
            }
            _ => {
                patch.insert(key.clone(), value.clone());
            }
        }
    }
    for key in before.keys().filter(|key| !now.contains_key(*key)) {
        patch.insert(key.clone(), Value::Null);
    }
    patch
}

fn short(digest: &Digest) -> String {
    digest.as_bytes()[..12]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        match value {
            Value::Object(map) => map,
            other => panic!("{other} is no object"),
        }
    }

    fn list(rows: &[(&str, u32)]) -> Frame {
        let row = |(id, n): &(&str, u32)| Row {
            id: (*id).to_owned(),
            value: Arc::new(json!({"id": id, "n": n})),
        };
        Frame::rows(rows.iter().map(row).collect())
    }

    fn data(events: &[Event]) -> Value {
        assert_eq!(events.len(), 1, "{events:?}");
        serde_json::from_str(&events[0].data).unwrap()
    }

    #[test]
    fn lists_tell_what_differs() {
        let topic = Topic::Workers(Default::default());
        let one = list(&[("a", 1), ("b", 1)]);
        let other = list(&[("c", 1), ("b", 2)]);
        assert_eq!(one.since(&topic, Some(&one.version), Some(&one)), []);
        assert_eq!(
            data(&one.since(&topic, Some("other"), None)),
            json!({"topic": "workers", "complete": true, "items": [{"id": "a", "n": 1}, {"id": "b", "n": 1}]})
        );
        assert_eq!(
            data(&other.since(&topic, Some(&one.version), Some(&one))),
            json!({"topic": "workers", "complete": false, "removed": ["a"],
                "items": [{"id": "c", "n": 1}, {"id": "b", "n": 2}]})
        );
        assert_ne!(one.version, list(&[("b", 1), ("a", 1)]).version, "the order counts");
    }

    #[test]
    fn patches_have_what_differs() {
        let before = object(
            json!({"state": "running", "result": null, "metrics": {"a": 1, "b": 2}, "name": "n",
            "stages": [{"id": 0, "done": 1}, {"id": 1, "done": 0}]}),
        );
        let now = object(
            json!({"state": "running", "result": "succeeded", "metrics": {"a": 2, "c": 3}, "name": "n",
            "stages": [{"id": 0, "done": 1}, {"id": 1, "done": 1}, {"id": 2, "done": 0}]}),
        );
        assert_eq!(
            Value::Object(patch(&before, &now).unwrap()),
            json!({"result": "succeeded", "metrics": {"a": 2, "b": null, "c": 3},
                "stages": [{"id": 1, "done": 1}, {"id": 2, "done": 0}]})
        );
        assert_eq!(
            patch(&now, &before),
            None,
            "stages that are gone cannot be told by a patch"
        );
    }

    #[test]
    fn what_is_small_is_told_whole_and_what_is_large_is_announced() {
        let scaling = Frame::resource(&json!({"slots": 3}));
        let known = Frame::resource(&json!({"slots": 3}));
        assert_eq!(scaling.since(&Topic::Scaling, Some(&known.version), None), []);
        let other = Frame::resource(&json!({"slots": 4}));
        assert_eq!(
            data(&other.since(&Topic::Scaling, Some(&scaling.version), Some(&scaling))),
            json!({"topic": "scaling", "resource": {"slots": 4}})
        );
        let topic = Topic::Audit(None);
        let events = Frame::announced(7).since(&topic, Some("6"), None);
        assert_eq!((events[0].name, &*events[0].reached), ("changed", "7"));
        assert_eq!(data(&events), json!({"topic": "audit:service"}));
        assert_eq!(Frame::announced(7).since(&topic, Some("7"), None), []);
    }

    #[test]
    fn an_end_is_told_once() {
        let topic = Topic::Workers(Default::default());
        let over = Frame {
            version: "v".to_owned(),
            content: Content::Run {
                run: Arc::default(),
                over: true,
            },
        };
        let told = |known: Option<&str>| -> Vec<(&str, String)> {
            let events = over.since(&topic, known, None);
            events.into_iter().map(|event| (event.name, event.reached)).collect()
        };
        assert_eq!(told(None), [("run", "v".to_owned()), ("end", "v.end".to_owned())]);
        assert_eq!(
            told(Some("v")),
            [("end", "v.end".to_owned())],
            "the connection was lost between the two"
        );
        assert_eq!(told(Some("v.end")), []);
    }
}
