//! Failures of functions, as attempts report them.

use std::error::Error as _;

use datafusion::error::DataFusionError;
use weir_model::{Failure, FailureKind};
use weir_sandbox::{Error, RowError};

use crate::task::OperatorError;

/// The error of a call, with its function and rows.
pub(super) fn failed(error: Error) -> DataFusionError {
    let kind = match &error {
        Error::Cancelled { .. } => FailureKind::Cancelled,
        error if error.is_user() => FailureKind::User,
        _ => FailureKind::Platform,
    };
    let mut message = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        message.push_str(": ");
        message.push_str(&cause.to_string());
        source = cause.source();
    }
    let mut failure = Failure::new(kind, error.code(), message);
    failure.function = error.function().map(str::to_owned);
    failure.rows = error.rows().map(|rows| (rows.start, rows.end));
    OperatorError(failure).into()
}

/// The error of rows that nobody handles. `first_row` is the number of the batch's first row.
pub(super) fn refused(function: &str, first_row: u64, errors: &[RowError]) -> DataFusionError {
    let (row, message) = errors
        .first()
        .map_or((0, ""), |error| (error.row, error.message.as_str()));
    let more = match errors.len() {
        0 | 1 => String::new(),
        many => format!(" (and {} more rows of this batch)", many - 1),
    };
    let row = first_row + u64::from(row);
    let message = format!("function `{function}` refused row {row}: {message}{more}");
    let mut failure = Failure::new(FailureKind::User, "wasm_row_refused", message);
    failure.function = Some(function.to_owned());
    failure.rows = Some((row, row + 1));
    OperatorError(failure).into()
}
