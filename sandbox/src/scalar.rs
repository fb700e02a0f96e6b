//! Calls of scalar functions.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::ArrayRef;

use crate::array_in::InputBatch;
use crate::guest_log::Drained;
use crate::instance::{Callable, Instance};
use crate::module::Exports;
use crate::words::presentable;
use crate::{Error, Function, RowError};
use crate::{abi, array_out};

pub(crate) type Params = (abi::BatchIn<'static>,);
pub(crate) type Returned = (Result<abi::Evaluated, abi::GuestError>,);

/// An opened scalar function.
pub struct ScalarInstance {
    function: Arc<Function>,
    instance: Instance,
    call: Callable<Params, Returned>,
    input: InputBatch,
}

/// What a scalar function made of a batch.
#[derive(Debug)]
pub struct Evaluated {
    /// One value per row, of the type of [`Function::result`]; null in rows that were refused.
    pub column: ArrayRef,
    /// Rows that the function refused, in ascending order.
    pub errors: Vec<RowError>,
}

impl ScalarInstance {
    pub(crate) fn new(function: Arc<Function>, mut instance: Instance, exports: &Exports) -> Result<Self, Error> {
        let export = exports
            .scalar
            .as_ref()
            .ok_or_else(|| crate::instance::missing(&function))?;
        Ok(Self {
            call: instance.func(export)?,
            function,
            instance,
            input: InputBatch::default(),
        })
    }

    /// Runs the function over a batch. A function without arguments gives one row per row of `rows`, see
    /// [`call_rows`](Self::call_rows).
    ///
    /// # Errors
    /// See [`call_rows`](Self::call_rows).
    pub fn call(&mut self, columns: &[ArrayRef]) -> Result<Evaluated, Error> {
        self.call_rows(columns, columns.first().map_or(0, |column| column.len()))
    }

    /// As [`call`](Self::call), for `rows` rows.
    ///
    /// # Errors
    /// [`Error::Arguments`] when the columns are not those of [`Function::params`]; [`Error::Guest`] when the function
    /// refuses the batch; [`Error::Trap`], [`Error::Limit`], [`Error::Cancelled`] and [`Error::InvalidResult`], after which
    /// every call gives [`Error::Poisoned`].
    pub fn call_rows(&mut self, columns: &[ArrayRef], rows: usize) -> Result<Evaluated, Error> {
        self.input
            .fill(&self.function.params, columns, rows)
            .map_err(|message| self.instance.arguments(message))?;
        let returned = self.input.with(|batch| self.instance.call(rows, &self.call, (batch,)));
        self.input.clear();
        let evaluated = match returned?.0 {
            Ok(evaluated) => evaluated,
            Err(error) => return Err(self.instance.refused(error, rows)),
        };
        self.evaluated(evaluated, rows)
            .map_err(|message| self.instance.poison(message, rows))
    }

    fn evaluated(&self, evaluated: abi::Evaluated, rows: usize) -> Result<Evaluated, String> {
        let abi::Evaluated { column, errors } = evaluated;
        if column.rows as usize != rows {
            return Err(format!("{} rows instead of {rows}", column.rows));
        }
        let errors = row_errors(errors, rows)?;
        let fields = self.function.outputs[0].schema.fields();
        let column = array_out::columns(fields, column)?.pop().ok_or("no column")?;
        Ok(Evaluated {
            column: without(column, &errors)?,
            errors,
        })
    }

    /// What the function is.
    pub fn function(&self) -> &Arc<Function> {
        &self.function
    }

    /// What it logged and counted since the last time.
    pub fn drain(&mut self) -> Drained {
        self.instance.drain()
    }

    /// Memory that it holds.
    pub fn memory_bytes(&self) -> usize {
        self.instance.memory_bytes()
    }

    /// Wall time of all calls.
    pub fn busy(&self) -> Duration {
        self.instance.busy()
    }

    /// Rows of all calls that came back.
    pub fn rows(&self) -> u64 {
        self.instance.rows()
    }

    /// Whether it failed, so that every call fails.
    pub fn is_poisoned(&self) -> bool {
        self.instance.is_poisoned()
    }
}

/// Checks the rows that a guest refused.
pub(crate) fn row_errors(errors: Vec<abi::RowError>, rows: usize) -> Result<Vec<RowError>, String> {
    if let Some(error) = errors.iter().find(|error| error.row as usize >= rows) {
        return Err(format!("it refuses row {} of {rows}", error.row));
    }
    if errors.windows(2).any(|pair| pair[0].row >= pair[1].row) {
        return Err("the rows that it refuses are not in ascending order".to_owned());
    }
    Ok(errors
        .into_iter()
        .map(|abi::RowError { row, message }| RowError {
            row,
            message: presentable(&message).into_owned(),
        })
        .collect())
}

/// Nulls the rows that were refused.
fn without(column: ArrayRef, errors: &[RowError]) -> Result<ArrayRef, String> {
    if errors.is_empty() {
        return Ok(column);
    }
    let mut refused = vec![false; column.len()];
    for error in errors {
        refused[error.row as usize] = true;
    }
    arrow::compute::nullif(&column, &refused.into()).map_err(|error| error.to_string())
}
