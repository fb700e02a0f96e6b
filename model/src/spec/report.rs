//! Collects what is wrong with a pipeline while it is read.

use super::diagnostic::LineMap;
use super::{Diagnostic, Diagnostics, Span};

/// More messages than this help nobody.
const MAX_DIAGNOSTICS: usize = 100;

/// The messages so far, and the context that the next one gets.
pub(super) struct Report {
    file: String,
    lines: LineMap,
    found: Vec<(Span, Diagnostic)>,
    transform: Option<String>,
}

impl Report {
    pub(super) fn new(file: &str, lines: LineMap) -> Self {
        Self {
            file: file.to_owned(),
            lines,
            found: Vec::new(),
            transform: None,
        }
    }

    /// Adds a message.
    pub(super) fn error(&mut self, span: Span, message: impl Into<String>) {
        self.add(span, message.into(), None);
    }

    /// Adds a message that says what to do.
    pub(super) fn error_help(&mut self, span: Span, message: impl Into<String>, help: impl Into<String>) {
        self.add(span, message.into(), Some(help.into()));
    }

    fn add(&mut self, span: Span, message: String, help: Option<String>) {
        if self.is_full() {
            return;
        }
        let mut diagnostic = Diagnostic::new(self.file.clone(), message);
        self.lines.locate(span, &mut diagnostic);
        diagnostic.transform = self.transform.clone();
        diagnostic.help = help;
        // What is wrong with an output is found by everybody who reads it.
        if self
            .found
            .iter()
            .any(|(at, found)| *at == span && found.message == diagnostic.message)
        {
            return;
        }
        self.found.push((span, diagnostic));
    }

    /// Runs `work` with messages naming `transform`.
    pub(super) fn within<T>(&mut self, transform: &str, work: impl FnOnce(&mut Self) -> T) -> T {
        let outer = self.transform.replace(transform.to_owned());
        let result = work(self);
        self.transform = outer;
        result
    }

    /// Whether no more messages are taken, so that none need be made.
    pub(super) fn is_full(&self) -> bool {
        self.found.len() >= MAX_DIAGNOSTICS
    }

    /// Whether nothing is wrong so far.
    pub(super) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// The context back, or all messages in the order of the file.
    pub(super) fn finish(mut self) -> Result<LineMap, Diagnostics> {
        if self.found.is_empty() {
            return Ok(self.lines);
        }
        self.found.sort_by_key(|(span, _)| *span);
        Err(Diagnostics(
            self.found.into_iter().map(|(_, diagnostic)| diagnostic).collect(),
        ))
    }
}
