//! Positions in a pipeline file, and messages about them.

use std::fmt;
use std::ops::Deref;

use serde::{Deserialize, Serialize};

/// A position in the pipeline's text after parameters were put in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span {
    /// The line, from one; zero when the position is unknown.
    pub line: u32,
    /// The column in characters, from one.
    pub column: u32,
}

/// A value and where it was written. Equality is that of the value.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Where it starts.
    pub span: Span,
}

impl<T> Spanned<T> {
    /// `value`, written at `span`.
    pub fn new(value: T, span: Span) -> Self {
        Self { value, span }
    }

    /// The same position with another value.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Spanned<U> {
        Spanned {
            value: f(self.value),
            span: self.span,
        }
    }
}

impl<T> Deref for Spanned<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: PartialEq> PartialEq for Spanned<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T: Eq> Eq for Spanned<T> {}

impl<T: fmt::Display> fmt::Display for Spanned<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

/// Something that is wrong with a pipeline, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnostic {
    /// The file, as the user named it.
    pub file: String,
    /// The line, from one; zero when the message is about the whole file.
    pub line: u32,
    /// The column in characters, from one; zero when the message is about the whole line or file.
    pub column: u32,
    /// Whether `line` counts in the text after parameters were put in, because template blocks moved the lines.
    pub rendered: bool,
    /// The transform, by its full name.
    pub transform: Option<String>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl Diagnostic {
    /// A message about a file as a whole.
    pub fn new(file: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            file: file.into(),
            line: 0,
            column: 0,
            rendered: false,
            transform: None,
            message: message.into(),
            help: None,
        }
    }

    /// The same with a hint what to do.
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file)?;
        if self.rendered {
            write!(
                f,
                " line {}, column {} after parameters are put in:",
                self.line, self.column
            )?;
        } else if self.line > 0 {
            write!(f, "{}:", self.line)?;
            if self.column > 0 {
                write!(f, "{}:", self.column)?;
            }
        }
        if let Some(transform) = &self.transform {
            write!(f, " [{transform}]")?;
        }
        write!(f, " {}", self.message)?;
        if let Some(help) = &self.help {
            write!(f, " ({help})")?;
        }
        Ok(())
    }
}

/// Everything that is wrong with a pipeline: at least one message, in the order of the file. Displayed one a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostics(pub Vec<Diagnostic>);

impl From<Diagnostic> for Diagnostics {
    fn from(diagnostic: Diagnostic) -> Self {
        Self(vec![diagnostic])
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, diagnostic) in self.0.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            diagnostic.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}

/// Where lines of the rendered text are in the file.
///
/// Exact as long as rendering keeps the number of lines. Otherwise only the lines before and after everything that
/// moved are known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct LineMap {
    /// Leading lines that are where they were.
    head: usize,
    /// The first line, from one, of those at the end that correspond again.
    tail: usize,
    /// What to add to the numbers of these.
    shift: i64,
}

impl LineMap {
    /// The map from `rendered`, which was made from `source`. The default is that of equal texts.
    pub(super) fn between(source: &str, rendered: &str) -> Self {
        let source: Vec<&str> = source.lines().collect();
        let rendered: Vec<&str> = rendered.lines().collect();
        if source.len() == rendered.len() {
            return Self::default();
        }
        let corresponds = |(source, rendered): &(&&str, &&str)| {
            source == rendered || (source.contains("{{") && !source.contains("{%") && !source.contains("{#"))
        };
        let head = source.iter().zip(&rendered).take_while(corresponds).count();
        let tail = source
            .iter()
            .rev()
            .zip(rendered.iter().rev())
            .take_while(corresponds)
            .count();
        let tail = tail.min(source.len().min(rendered.len()) - head);
        Self {
            head,
            tail: rendered.len() - tail + 1,
            shift: source.len() as i64 - rendered.len() as i64,
        }
    }

    /// Puts the position `span` of the rendered text into `diagnostic`.
    pub(super) fn locate(&self, span: Span, diagnostic: &mut Diagnostic) {
        diagnostic.column = span.column;
        diagnostic.line = span.line;
        let line = span.line as usize;
        if line >= self.tail {
            diagnostic.line = u32::try_from(i64::from(span.line) + self.shift).unwrap_or(span.line);
        } else {
            diagnostic.rendered = line > self.head;
        }
    }
}
