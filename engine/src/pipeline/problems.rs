//! What is wrong with a pipeline, said in the file's own terms.

use datafusion::common::{Column, SchemaError};
use datafusion::error::DataFusionError;
use weir_model::spec::{Diagnostic, Pipeline, Span, Transform};

use crate::PlanError;

/// Names that a message lists.
const LISTED: usize = 30;

/// Why a transform could not be planned.
#[derive(Debug)]
pub(super) enum Problem {
    /// The user can correct it.
    User(Box<Diagnostic>),
    /// The user cannot.
    Other(PlanError),
}

pub(super) type Result<T, E = Problem> = std::result::Result<T, E>;

impl From<Diagnostic> for Problem {
    fn from(diagnostic: Diagnostic) -> Self {
        Self::User(Box::new(diagnostic))
    }
}

impl From<PlanError> for Problem {
    fn from(error: PlanError) -> Self {
        Self::Other(error)
    }
}

/// A transform, for messages about it.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) pipeline: &'a Pipeline,
    pub(super) transform: &'a Transform,
}

impl Place<'_> {
    /// A message about a part of the transform.
    pub(super) fn at(&self, span: Span, message: impl Into<String>) -> Problem {
        let span = if span == Span::default() {
            self.transform.span
        } else {
            span
        };
        Problem::from(self.pipeline.diagnostic(span, Some(&self.transform.name), message))
    }

    /// A message about the transform.
    pub(super) fn here(&self, message: impl Into<String>) -> Problem {
        self.at(self.transform.span, message)
    }

    /// An error of DataFusion about a part of the transform.
    pub(super) fn failed(&self, span: Span, error: &DataFusionError) -> Problem {
        self.at(span, describe(error))
    }

    /// An error of DataFusion about the transform.
    pub(super) fn wrong(&self) -> impl Fn(DataFusionError) -> Problem {
        |error| self.failed(self.transform.span, &error)
    }

    /// The input has no such field.
    pub(super) fn no_field<'f>(&self, span: Span, name: &str, fields: impl Iterator<Item = &'f str>) -> Problem {
        self.at(span, no_field(name, fields))
    }
}

/// `the input has no field ...`, with the near name or all names.
pub(super) fn no_field<'a>(name: &str, fields: impl Iterator<Item = &'a str>) -> String {
    let fields: Vec<&str> = fields.collect();
    format!(
        "the input has no field `{name}`; {}",
        nearest_or_all(name, &fields, "the fields are")
    )
}

/// `did you mean ...?`, or all names after `otherwise`.
pub(super) fn nearest_or_all(name: &str, known: &[&str], otherwise: &str) -> String {
    match nearest(name, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("{otherwise} {}", list(known)),
    }
}

/// The name of `known` that `name` is most likely meant to be, if any is near enough.
fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let lower = name.to_lowercase();
    let allowed = (name.chars().count() / 3).clamp(1, 4);
    known
        .map(|known| (strsim::damerau_levenshtein(&lower, &known.to_lowercase()), known))
        // Another name altogether is near a short one.
        .filter(|(distance, _)| *distance <= allowed && *distance < name.chars().count())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

fn list(names: &[&str]) -> String {
    let shown: Vec<_> = names.iter().take(LISTED).map(|name| format!("`{name}`")).collect();
    match names.len() {
        0 => "none".to_owned(),
        n if n > LISTED => format!("{} and {} more", shown.join(", "), n - LISTED),
        _ => shown.join(", "),
    }
}

/// An error of DataFusion in words for people.
fn describe(error: &DataFusionError) -> String {
    let mut root = error;
    loop {
        root = match root {
            DataFusionError::Diagnostic(_, inner) => inner,
            DataFusionError::Context(_, inner) => inner,
            DataFusionError::Collection(errors) if !errors.is_empty() => &errors[0],
            other => {
                break match other {
                    DataFusionError::SchemaError(error, _) => match error.as_ref() {
                        SchemaError::FieldNotFound { field, valid_fields } => {
                            no_field(field.name(), valid_fields.iter().map(Column::name))
                        }
                        error => error.to_string(),
                    },
                    DataFusionError::SQL(error, _) => format!("it is not SQL: {}", parser_message(&error.to_string())),
                    DataFusionError::Plan(message) | DataFusionError::NotImplemented(message) => reworded(message),
                    error => error.strip_backtrace(),
                };
            }
        }
    }
}

fn parser_message(message: &str) -> String {
    message.trim_start_matches("sql parser error: ").to_owned()
}

fn reworded(message: &str) -> String {
    // "Invalid function 'x'.\nDid you mean 'y'?"
    let quoted = |text: &str| text.split('\'').nth(1).map(str::to_owned);
    if let Some(rest) = message.strip_prefix("Invalid function ")
        && let Some((first, second)) = rest.split_once('\n')
        && let (Some(name), Some(near)) = (quoted(first), quoted(second))
    {
        return format!("there is no function `{name}`; did you mean `{near}`?");
    }
    message.to_owned()
}
