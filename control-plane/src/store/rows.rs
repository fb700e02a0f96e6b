//! Reading rows.

use super::relational::Columns;
use super::{Error, RunRow, runs};

/// A row of `runs`, with the columns of its lease.
pub(super) fn run_row<R: Columns>(row: &R) -> Result<RunRow, Error> {
    runs::run_row(row)
}
