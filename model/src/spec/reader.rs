//! Typed access to parts of the file. Everything reports what is wrong and goes on.

use super::report::Report;
use super::suggest;
use super::yaml::{Data, Entry, Node};
use super::{Span, Spanned, Value};

/// A mapping of which every key must be known: what is not asked for is an error in the end.
pub(super) struct Fields<'n> {
    entries: &'n [Entry],
    /// The position of the mapping, for messages about keys that it lacks.
    pub(super) span: Span,
    known: Vec<&'static str>,
    /// Whether it is no mapping at all, which was reported.
    broken: bool,
    /// Prefixes of further keys that are accepted.
    free: &'static [&'static str],
}

impl<'n> Fields<'n> {
    /// The entries of `node`. Null is an empty mapping; anything else is an error, and empty too.
    pub(super) fn new(node: &'n Node, what: &str, report: &mut Report) -> Self {
        let mut broken = false;
        let entries = match &node.data {
            Data::Map(entries) => entries.as_slice(),
            _ => {
                if !node.is_null() {
                    broken = true;
                    report.error(node.span, format!("{what} must be a mapping, not {}", node.kind()));
                }
                &[]
            }
        };
        Self {
            entries,
            span: node.span,
            known: Vec::new(),
            broken,
            free: &[],
        }
    }

    /// No entries, at `span`.
    pub(super) fn empty(span: Span) -> Self {
        Self {
            entries: &[],
            span,
            known: Vec::new(),
            broken: false,
            free: &[],
        }
    }

    /// The value of a key. Null counts as absent.
    pub(super) fn get(&mut self, key: &'static str) -> Option<&'n Node> {
        self.get_or_null(key).filter(|node| !node.is_null())
    }

    /// The value of a key, null too.
    pub(super) fn get_or_null(&mut self, key: &'static str) -> Option<&'n Node> {
        if !self.known.contains(&key) {
            self.known.push(key);
        }
        self.entries
            .iter()
            .find(|entry| entry.key.value == key)
            .map(|entry| &entry.value)
    }

    /// The value of a key that must be there.
    pub(super) fn require(&mut self, key: &'static str, report: &mut Report) -> Option<&'n Node> {
        let node = self.get(key);
        if node.is_none() {
            self.missing(key, report);
        }
        node
    }

    fn missing(&self, key: &str, report: &mut Report) {
        // A misspelt key says it better itself.
        let unknown = self.entries.iter().map(|entry| entry.key.value.as_str());
        let unknown = unknown.filter(|name| !self.known.contains(name));
        if !self.broken && suggest::nearest(key, unknown).is_none() {
            report.error(self.span, format!("`{key}` is missing"));
        }
    }

    /// A string that must be there.
    pub(super) fn require_string(&mut self, key: &'static str, report: &mut Report) -> Option<Spanned<String>> {
        self.require(key, report).and_then(|node| string(node, key, report))
    }

    /// A string.
    pub(super) fn string(&mut self, key: &'static str, report: &mut Report) -> Option<Spanned<String>> {
        self.get(key).and_then(|node| string(node, key, report))
    }

    /// A boolean.
    pub(super) fn boolean(&mut self, key: &'static str, report: &mut Report) -> Option<bool> {
        self.get(key).and_then(|node| boolean(node, key, report))
    }

    /// A single ASCII character.
    pub(super) fn character(&mut self, key: &'static str, report: &mut Report) -> Option<Spanned<char>> {
        self.get(key).and_then(|node| character(node, key, report))
    }

    /// A string, or a list of strings.
    pub(super) fn strings(&mut self, key: &'static str, report: &mut Report) -> Option<Vec<Spanned<String>>> {
        self.get(key).map(|node| strings(node, key, report))
    }

    /// Keys that are accepted and change nothing here.
    pub(super) fn ignore(&mut self, keys: &[&'static str]) {
        self.known.extend(keys);
    }

    /// Prefixes of keys that are the user's own.
    pub(super) fn ignore_prefixes(&mut self, prefixes: &'static [&'static str]) {
        self.free = prefixes;
    }

    /// Keys that Beam has and that do not work here: an error when they are there.
    pub(super) fn unsupported(&mut self, keys: &[&'static str], report: &mut Report) {
        for entry in self.entries {
            if let Some(key) = keys.iter().find(|key| **key == entry.key.value) {
                report.error(entry.key.span, format!("`{key}` is not supported yet"));
            }
        }
        // They are no suggestions for typos, but no unknown keys either.
        self.entries_known(keys);
    }

    fn entries_known(&mut self, keys: &[&'static str]) {
        for key in keys {
            if self.entries.iter().any(|entry| entry.key.value == *key) {
                self.known.push(key);
            }
        }
    }

    /// Reports the keys that nobody asked for.
    pub(super) fn finish(self, what: &str, report: &mut Report) {
        let known = format!("known keys: {}", suggest::list(self.known.iter().copied()));
        self.finish_or(what, &known, report);
    }

    /// The same, with something to say about a key that is near to none.
    pub(super) fn finish_or(self, what: &str, otherwise: &str, report: &mut Report) {
        for entry in self.entries {
            if report.is_full() {
                return;
            }
            let key = &entry.key;
            if self.known.contains(&key.value.as_str()) || self.free.iter().any(|prefix| key.starts_with(prefix)) {
                continue;
            }
            let help = suggest::did_you_mean(key, self.known.iter().copied()).unwrap_or_else(|| otherwise.to_owned());
            report.error_help(key.span, format!("unknown key `{key}` in {what}"), help);
        }
    }
}

/// The entries of a mapping with keys of the user's own.
pub(super) fn entries<'n>(node: &'n Node, what: &str, report: &mut Report) -> &'n [Entry] {
    match &node.data {
        Data::Map(entries) => entries,
        _ => {
            report.error(node.span, format!("`{what}` must be a mapping, not {}", node.kind()));
            &[]
        }
    }
}

/// The items of a list.
pub(super) fn items<'n>(node: &'n Node, what: &str, report: &mut Report) -> Option<&'n [Node]> {
    match &node.data {
        Data::List(items) => Some(items),
        _ => {
            report.error(node.span, format!("`{what}` must be a list, not {}", node.kind()));
            None
        }
    }
}

/// A string.
pub(super) fn string(node: &Node, what: &str, report: &mut Report) -> Option<Spanned<String>> {
    match &node.data {
        Data::Scalar {
            value: Value::String(value),
            ..
        } => Some(Spanned::new(value.clone(), node.span)),
        Data::Scalar { .. } => {
            let message = format!("`{what}` must be a string, not {}", node.kind());
            report.error_help(node.span, message, "put quotes around it");
            None
        }
        _ => {
            report.error(node.span, format!("`{what}` must be a string, not {}", node.kind()));
            None
        }
    }
}

/// A boolean.
pub(super) fn boolean(node: &Node, what: &str, report: &mut Report) -> Option<bool> {
    match &node.data {
        Data::Scalar {
            value: Value::Bool(value),
            ..
        } => Some(*value),
        _ => {
            report.error(
                node.span,
                format!("`{what}` must be true or false, not {}", node.kind()),
            );
            None
        }
    }
}

/// A single ASCII character.
pub(super) fn character(node: &Node, what: &str, report: &mut Report) -> Option<Spanned<char>> {
    let text = string(node, what, report)?;
    let mut chars = text.chars();
    match (chars.next(), chars.next()) {
        (Some(c), None) if c.is_ascii() => Some(Spanned::new(c, node.span)),
        _ => {
            let help = if text.value == "\\t" {
                "write \"\\t\", in double quotes"
            } else {
                "longer ones are not supported"
            };
            report.error_help(node.span, format!("`{what}` must be one ASCII character"), help);
            None
        }
    }
}

/// A string, or a list of strings.
pub(super) fn strings(node: &Node, what: &str, report: &mut Report) -> Vec<Spanned<String>> {
    match &node.data {
        Data::List(items) => items.iter().filter_map(|item| string(item, what, report)).collect(),
        _ => string(node, what, report).into_iter().collect(),
    }
}

/// Reports names that come twice.
pub(super) fn unique(names: &[Spanned<String>], what: &str, report: &mut Report) {
    let mut seen = std::collections::HashSet::new();
    for name in names {
        if !seen.insert(name.as_str()) {
            report.error(name.span, format!("{what} `{name}` comes twice"));
        }
    }
}
