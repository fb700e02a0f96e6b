//! Calls of flat-map functions.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};

use crate::array_in::InputBatch;
use crate::guest_log::Drained;
use crate::instance::{Callable, Instance};
use crate::module::Exports;
use crate::scalar::row_errors;
use crate::{Error, Function, RowError};
use crate::{abi, array_out};

pub(crate) type Params = (abi::BatchIn<'static>,);
pub(crate) type Returned = (Result<abi::Mapped, abi::GuestError>,);

/// An opened flat-map function.
pub struct FlatMapInstance {
    function: Arc<Function>,
    instance: Instance,
    call: Callable<Params, Returned>,
    input: InputBatch,
}

/// What a flat-map function made of a batch.
#[derive(Debug)]
pub struct Mapped {
    /// Batches, in the order in which they were emitted.
    pub emitted: Vec<Emitted>,
    /// Rows of the input that the function refused, in ascending order.
    pub errors: Vec<RowError>,
}

/// Rows for one output.
#[derive(Debug)]
pub struct Emitted {
    /// The position in [`Function::outputs`].
    pub output: usize,
    /// The rows.
    pub rows: RecordBatch,
}

impl FlatMapInstance {
    pub(crate) fn new(function: Arc<Function>, mut instance: Instance, exports: &Exports) -> Result<Self, Error> {
        let export = exports
            .flat_map
            .as_ref()
            .ok_or_else(|| crate::instance::missing(&function))?;
        Ok(Self {
            call: instance.func(export)?,
            function,
            instance,
            input: InputBatch::default(),
        })
    }

    /// Runs the function over a batch of `rows` rows.
    ///
    /// # Errors
    /// [`Error::Arguments`] when the columns are not those of [`Function::params`]; [`Error::Guest`] when the function
    /// refuses the batch; [`Error::Trap`], [`Error::Limit`], [`Error::Cancelled`] and [`Error::InvalidResult`], after which
    /// every call gives [`Error::Poisoned`].
    pub fn call(&mut self, columns: &[ArrayRef], rows: usize) -> Result<Mapped, Error> {
        self.input
            .fill(&self.function.params, columns, rows)
            .map_err(|message| self.instance.arguments(message))?;
        let returned = self.input.with(|batch| self.instance.call(rows, &self.call, (batch,)));
        self.input.clear();
        let mapped = match returned?.0 {
            Ok(mapped) => mapped,
            Err(error) => return Err(self.instance.refused(error, rows)),
        };
        self.mapped(mapped, rows)
            .map_err(|message| self.instance.poison(message, rows))
    }

    fn mapped(&self, mapped: abi::Mapped, rows: usize) -> Result<Mapped, String> {
        let errors = row_errors(mapped.errors, rows)?;
        let mut emitted = Vec::with_capacity(mapped.outputs.len());
        for abi::Emitted { output, rows } in mapped.outputs {
            let output = output as usize;
            let Some(declared) = self.function.outputs.get(output) else {
                return Err(format!("rows for output {output} of {}", self.function.outputs.len()));
            };
            let in_output = |message: String| format!("output `{}`: {message}", declared.name);
            let options = RecordBatchOptions::new().with_row_count(Some(rows.rows as usize));
            let columns = array_out::columns(declared.schema.fields(), rows).map_err(in_output)?;
            let rows = RecordBatch::try_new_with_options(declared.schema.clone(), columns, &options)
                .map_err(|error| in_output(error.to_string()))?;
            emitted.push(Emitted { output, rows });
        }
        Ok(Mapped { emitted, errors })
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
