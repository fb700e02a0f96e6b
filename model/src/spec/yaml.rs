//! YAML text to a tree with positions, as PyYAML's safe loader would read it.
//!
//! Parsing is YAML 1.2's, which unlike PyYAML wants the lines of a quoted or bracketed value to be indented more than
//! the key that they belong to. Scalars are resolved by the rules of YAML 1.1, and merge keys (`<<`) work. `__line__`
//! and `__uuid__`, which Beam's loader adds to every mapping, are dropped. A key that comes twice is an error.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Tag};

use super::report::Report;
use super::scalar;
use super::{Span, Spanned, Value};

/// Levels of nesting.
const MAX_DEPTH: usize = 100;
/// Nodes, plus one per this many bytes of text, after aliases are expanded.
const MAX_WEIGHT: usize = 1_000_000;
const BYTES_PER_WEIGHT: usize = 32;

/// A part of the file.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) span: Span,
    pub(super) data: Data,
}

#[derive(Clone, Debug)]
pub(super) enum Data {
    /// `text` is what is written, without quotes.
    Scalar {
        text: String,
        value: Value,
    },
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// An entry of a mapping; keys are what is written.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: Spanned<String>,
    pub(super) value: Node,
}

impl Node {
    /// The literal that it stands for.
    pub(super) fn to_value(&self) -> Value {
        match &self.data {
            Data::Scalar { value, .. } => value.clone(),
            Data::List(items) => Value::List(items.iter().map(Self::to_value).collect()),
            Data::Map(entries) => Value::Map(
                entries
                    .iter()
                    .map(|entry| (entry.key.value.clone(), entry.value.to_value()))
                    .collect(),
            ),
        }
    }

    /// What kind of value it is, for messages.
    pub(super) fn kind(&self) -> &'static str {
        match &self.data {
            Data::Scalar { value, .. } => value.kind(),
            Data::List(_) => "a list",
            Data::Map(_) => "a mapping",
        }
    }

    pub(super) fn is_null(&self) -> bool {
        matches!(&self.data, Data::Scalar { value: Value::Null, .. })
    }

    /// The value of a key, when this is a mapping that has it.
    pub(super) fn get(&self, key: &str) -> Option<&Node> {
        match &self.data {
            Data::Map(entries) => entries
                .iter()
                .find(|entry| entry.key.value == key)
                .map(|entry| &entry.value),
            _ => None,
        }
    }
}

/// Reads the only document of `text`. Returns nothing when the text is no YAML at all; then `report` says why.
pub(super) fn parse(text: &str, report: &mut Report) -> Option<Node> {
    let mut loader = Loader {
        stack: Vec::new(),
        anchors: HashMap::new(),
        weight: 0,
        root: None,
        report,
    };
    for event in Parser::new_from_str(text) {
        let (event, span) = match event {
            Ok(event) => event,
            Err(error) => {
                loader.scan_error(&error);
                return None;
            }
        };
        if loader.event(event, position(span.start)).is_err() {
            return None;
        }
    }
    let root = loader.root.take();
    if root.is_none() {
        report.error(Span { line: 1, column: 1 }, "the file is empty");
    }
    root
}

fn position(marker: saphyr_parser::Marker) -> Span {
    Span {
        line: u32::try_from(marker.line()).unwrap_or(u32::MAX),
        column: u32::try_from(marker.col() + 1).unwrap_or(u32::MAX),
    }
}

/// Reading cannot go on; the report says why.
struct Stop;

/// A list or mapping that is still open.
struct Open {
    span: Span,
    anchor: usize,
    /// The height of the tallest child so far.
    height: usize,
    content: OpenContent,
}

enum OpenContent {
    List(Vec<Node>),
    Map {
        entries: Vec<Entry>,
        seen: HashSet<String>,
        /// What `<<` brought in, each key once.
        merged: Vec<Entry>,
        merged_keys: HashSet<String>,
        key: Option<Key>,
    },
}

enum Key {
    Name(Spanned<String>),
    Merge,
    /// Not usable; its value is dropped.
    Bad,
}

struct Anchor {
    node: Node,
    height: usize,
    weight: usize,
}

struct Loader<'r> {
    stack: Vec<Open>,
    anchors: HashMap<usize, Anchor>,
    weight: usize,
    root: Option<Node>,
    report: &'r mut Report,
}

impl Loader<'_> {
    fn scan_error(&mut self, error: &ScanError) {
        let message = format!("this is not valid YAML: {}", error.info());
        let span = position(*error.marker());
        // PyYAML does not mind, so such files exist.
        match error.info().starts_with("invalid indentation") {
            true => self
                .report
                .error_help(span, message, "indent its lines more than the key that they belong to"),
            false => self.report.error(span, message),
        }
    }

    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), Stop> {
        match event {
            Event::DocumentStart(_) if self.root.is_some() => {
                self.report
                    .error(span, "a pipeline file holds one document, and here a second one starts");
                Err(Stop)
            }
            Event::Scalar(text, style, anchor, tag) => self.scalar(text, style, anchor, tag.as_deref(), span),
            Event::SequenceStart(anchor, tag) => {
                self.check_tag(tag.as_deref(), "seq", span);
                self.open(span, anchor, OpenContent::List(Vec::new()))
            }
            Event::MappingStart(anchor, tag) => {
                self.check_tag(tag.as_deref(), "map", span);
                self.open(
                    span,
                    anchor,
                    OpenContent::Map {
                        entries: Vec::new(),
                        seen: HashSet::new(),
                        merged: Vec::new(),
                        merged_keys: HashSet::new(),
                        key: None,
                    },
                )
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::Alias(anchor) => self.alias(anchor, span),
            _ => Ok(()),
        }
    }

    fn charge(&mut self, weight: usize, span: Span) -> Result<(), Stop> {
        self.weight += weight;
        if self.weight > MAX_WEIGHT {
            self.report
                .error(span, "the pipeline is too large once its aliases are expanded");
            return Err(Stop);
        }
        Ok(())
    }

    fn check_tag(&mut self, tag: Option<&Tag>, expected: &str, span: Span) {
        if let Some(tag) = tag
            && !(tag.is_yaml_core_schema() && tag.suffix == expected)
        {
            self.unknown_tag(tag, span);
        }
    }

    fn unknown_tag(&mut self, tag: &Tag, span: Span) {
        let handle = if tag.is_yaml_core_schema() { "!!" } else { &tag.handle };
        let message = format!("the YAML tag `{handle}{}` is not supported", tag.suffix);
        self.report.error(span, message);
    }

    fn scalar(
        &mut self,
        text: Cow<'_, str>,
        style: ScalarStyle,
        anchor: usize,
        tag: Option<&Tag>,
        span: Span,
    ) -> Result<(), Stop> {
        let weight = 1 + text.len() / BYTES_PER_WEIGHT;
        self.charge(weight, span)?;
        let is_merge = style == ScalarStyle::Plain && text == "<<" && tag.is_none();
        if is_merge && self.awaits_key() {
            self.set_key(Key::Merge);
            return Ok(());
        }
        let resolved = match tag {
            None if style == ScalarStyle::Plain => scalar::resolve(&text),
            None => Ok(Value::String(text.to_string())),
            Some(tag) if tag.is_yaml_core_schema() => match scalar::construct(&tag.suffix, &text) {
                Some(resolved) => resolved,
                None => {
                    self.unknown_tag(tag, span);
                    Ok(Value::Null)
                }
            },
            Some(tag) => {
                self.unknown_tag(tag, span);
                Ok(Value::Null)
            }
        };
        let value = resolved.unwrap_or_else(|message| {
            self.report.error(span, message);
            Value::Null
        });
        let node = Node {
            span,
            data: Data::Scalar {
                text: text.into_owned(),
                value,
            },
        };
        self.anchor(anchor, &node, 0, weight);
        self.add(node, 0);
        Ok(())
    }

    fn anchor(&mut self, id: usize, node: &Node, height: usize, weight: usize) {
        if id > 0 {
            let node = node.clone();
            self.anchors.insert(id, Anchor { node, height, weight });
        }
    }

    fn open(&mut self, span: Span, anchor: usize, content: OpenContent) -> Result<(), Stop> {
        self.charge(1, span)?;
        if self.stack.len() >= MAX_DEPTH {
            self.report
                .error(span, format!("more than {MAX_DEPTH} levels of nesting"));
            return Err(Stop);
        }
        self.stack.push(Open {
            span,
            anchor,
            height: 0,
            content,
        });
        Ok(())
    }

    fn close(&mut self) -> Result<(), Stop> {
        let Some(open) = self.stack.pop() else { return Ok(()) };
        let data = match open.content {
            OpenContent::List(items) => Data::List(items),
            OpenContent::Map { entries, merged, .. } => Data::Map(merge(merged, entries)),
        };
        let node = Node { span: open.span, data };
        let height = open.height + 1;
        if open.anchor > 0 {
            // The copy that the anchor keeps is paid for like any other.
            let weight = weigh(&node);
            self.charge(weight, open.span)?;
            self.anchor(open.anchor, &node, height, weight);
        }
        self.add(node, height);
        Ok(())
    }

    fn alias(&mut self, id: usize, span: Span) -> Result<(), Stop> {
        let Some(anchor) = self.anchors.get(&id) else {
            self.report.error(span, "this alias refers to the value that it is in");
            return Err(Stop);
        };
        let (height, weight) = (anchor.height, anchor.weight);
        self.charge(weight, span)?;
        if self.stack.len() + height > MAX_DEPTH {
            self.report
                .error(span, format!("more than {MAX_DEPTH} levels of nesting"));
            return Err(Stop);
        }
        // Charged before the copy is made, so that what is in memory stays bounded.
        if let Some(anchor) = self.anchors.get(&id) {
            let node = anchor.node.clone();
            self.add(node, height);
        }
        Ok(())
    }

    /// Whether the next node is a key.
    fn awaits_key(&self) -> bool {
        matches!(
            self.stack.last(),
            Some(Open {
                content: OpenContent::Map { key: None, .. },
                ..
            })
        )
    }

    fn set_key(&mut self, new: Key) {
        if let Some(Open {
            content: OpenContent::Map { key, .. },
            ..
        }) = self.stack.last_mut()
        {
            *key = Some(new);
        }
    }

    /// Puts a complete node where it belongs.
    fn add(&mut self, node: Node, height: usize) {
        if self.awaits_key() {
            let span = node.span;
            let key = match node.data {
                Data::Scalar { text, .. } => Key::Name(Spanned::new(text, span)),
                _ => {
                    self.report.error(span, "a key must be a name, not a list or a mapping");
                    Key::Bad
                }
            };
            self.set_key(key);
            return;
        }
        let Some(open) = self.stack.last_mut() else {
            self.root = Some(node);
            return;
        };
        open.height = open.height.max(height);
        let (entries, seen, merged, merged_keys, key) = match &mut open.content {
            OpenContent::List(items) => {
                items.push(node);
                return;
            }
            OpenContent::Map {
                entries,
                seen,
                merged,
                merged_keys,
                key,
            } => (entries, seen, merged, merged_keys, key.take()),
        };
        match key {
            Some(Key::Merge) => match merge_sources(node) {
                // Earlier sources win.
                Ok(sources) => merged.extend(
                    sources
                        .into_iter()
                        .flatten()
                        .filter(|entry| merged_keys.insert(entry.key.value.clone())),
                ),
                Err(span) => self.report.error(span, "`<<` takes a mapping or a list of mappings"),
            },
            Some(Key::Name(name)) if matches!(name.as_str(), "__line__" | "__uuid__") => {}
            Some(Key::Name(name)) => {
                if seen.insert(name.value.clone()) {
                    entries.push(Entry { key: name, value: node });
                } else {
                    self.report.error(name.span, format!("the key `{name}` comes twice"));
                }
            }
            Some(Key::Bad) | None => {}
        }
    }
}

fn merge_sources(node: Node) -> Result<Vec<Vec<Entry>>, Span> {
    match node.data {
        Data::Map(entries) => Ok(vec![entries]),
        Data::List(items) => items
            .into_iter()
            .map(|item| match item.data {
                Data::Map(entries) => Ok(entries),
                _ => Err(item.span),
            })
            .collect(),
        Data::Scalar { .. } => Err(node.span),
    }
}

/// `base` with the entries of `over` put over it.
fn merge(base: Vec<Entry>, over: Vec<Entry>) -> Vec<Entry> {
    if base.is_empty() {
        return over;
    }
    let mut entries = base;
    let mut places: HashMap<String, usize> = entries
        .iter()
        .enumerate()
        .map(|(place, entry)| (entry.key.value.clone(), place))
        .collect();
    for entry in over {
        match places.get(&entry.key.value) {
            Some(place) => entries[*place] = entry,
            None => {
                places.insert(entry.key.value.clone(), entries.len());
                entries.push(entry);
            }
        }
    }
    entries
}

fn weigh(node: &Node) -> usize {
    match &node.data {
        Data::Scalar { text, .. } => 1 + text.len() / BYTES_PER_WEIGHT,
        Data::List(items) => 1 + items.iter().map(weigh).sum::<usize>(),
        Data::Map(entries) => 1 + entries.iter().map(|entry| 1 + weigh(&entry.value)).sum::<usize>(),
    }
}
