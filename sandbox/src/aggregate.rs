//! Calls of aggregate functions.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::ArrayRef;
use arrow::datatypes::Fields;

use crate::array_in::InputBatch;
use crate::guest_log::Drained;
use crate::instance::{Callable, Instance};
use crate::module::{AggregateExports, Exports};
use crate::scalar::row_errors;
use crate::{Error, Function, RowError};
use crate::{abi, array_out};

type RowsIn = (abi::BatchIn<'static>, &'static [u32], u32);
type Updated = (Result<Vec<abi::RowError>, abi::GuestError>,);
type Merged = (Result<(), abi::GuestError>,);
type Taken = (Result<abi::BatchOut, abi::GuestError>,);

/// Checks the signatures of the exports.
pub(crate) fn check(instance: &mut Instance, exports: &AggregateExports) -> Result<(), String> {
    instance.check::<RowsIn, Updated>(&exports.update)?;
    instance.check::<RowsIn, Merged>(&exports.merge)?;
    instance.check::<(Option<u32>,), Taken>(&exports.state)?;
    instance.check::<(Option<u32>,), Taken>(&exports.evaluate)
}

/// An opened aggregate function and the accumulators of its groups. Groups are numbered from zero.
pub struct AggregateInstance {
    function: Arc<Function>,
    instance: Instance,
    update: Callable<RowsIn, Updated>,
    merge: Callable<RowsIn, Merged>,
    state: Callable<(Option<u32>,), Taken>,
    evaluate: Callable<(Option<u32>,), Taken>,
    groups: u32,
    input: InputBatch,
}

/// Which groups to take out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Emit {
    /// All of them.
    All,
    /// The first ones; the others are numbered from zero again.
    First(u32),
}

impl AggregateInstance {
    pub(crate) fn new(function: Arc<Function>, mut instance: Instance, exports: &Exports) -> Result<Self, Error> {
        let exports = exports
            .aggregate
            .as_ref()
            .ok_or_else(|| crate::instance::missing(&function))?;
        Ok(Self {
            update: instance.func(&exports.update)?,
            merge: instance.func(&exports.merge)?,
            state: instance.func(&exports.state)?,
            evaluate: instance.func(&exports.evaluate)?,
            function,
            instance,
            groups: 0,
            input: InputBatch::default(),
        })
    }

    /// Adds row `i` of `columns` to group `groups[i]`; from now on there are `group_count` groups. Returns the rows that
    /// the function refused.
    ///
    /// # Errors
    /// [`Error::Arguments`] when the columns are not those of [`Function::params`] or a group is out of range;
    /// [`Error::Guest`] when the function refuses the batch; [`Error::Trap`], [`Error::Limit`], [`Error::Cancelled`] and
    /// [`Error::InvalidResult`], after which every call gives [`Error::Poisoned`].
    pub fn update(&mut self, columns: &[ArrayRef], groups: &[u32], group_count: u32) -> Result<Vec<RowError>, Error> {
        let function = self.function.clone();
        self.fill(&function.params, columns, groups, group_count)?;
        let returned = self.input.with(|batch| {
            self.instance
                .call(groups.len(), &self.update, (batch, groups, group_count))
        });
        self.input.clear();
        let errors = returned?
            .0
            .map_err(|error| self.instance.refused(error, groups.len()))?;
        self.groups = group_count;
        row_errors(errors, groups.len()).map_err(|message| self.instance.poison(message, groups.len()))
    }

    /// As [`update`](Self::update), with rows of [`Function::state`].
    ///
    /// # Errors
    /// As [`update`](Self::update).
    pub fn merge(&mut self, states: &[ArrayRef], groups: &[u32], group_count: u32) -> Result<(), Error> {
        let function = self.function.clone();
        self.fill(&function.state, states, groups, group_count)?;
        let returned = self.input.with(|batch| {
            self.instance
                .call(groups.len(), &self.merge, (batch, groups, group_count))
        });
        self.input.clear();
        returned?
            .0
            .map_err(|error| self.instance.refused(error, groups.len()))?;
        self.groups = group_count;
        Ok(())
    }

    /// Takes partial results out: one row per group, in the columns of [`Function::state`].
    ///
    /// # Errors
    /// As [`update`](Self::update).
    pub fn state(&mut self, emit: Emit) -> Result<Vec<ArrayRef>, Error> {
        let (count, first) = self.emitted(emit)?;
        let (returned,) = self.instance.call(0, &self.state, (first,))?;
        let fields = self.function.state.clone();
        self.taken(returned, count, &fields)
    }

    /// Takes final results out: one row per group, of the type of [`Function::result`].
    ///
    /// # Errors
    /// As [`update`](Self::update).
    pub fn evaluate(&mut self, emit: Emit) -> Result<ArrayRef, Error> {
        let (count, first) = self.emitted(emit)?;
        let (returned,) = self.instance.call(0, &self.evaluate, (first,))?;
        let fields = self.function.outputs[0].schema.fields().clone();
        let mut columns = self.taken(returned, count, &fields)?;
        columns
            .pop()
            .ok_or_else(|| self.instance.poison("no column".to_owned(), 0))
    }

    /// Groups that there are.
    pub fn group_count(&self) -> u32 {
        self.groups
    }

    /// What the function is.
    pub fn function(&self) -> &Arc<Function> {
        &self.function
    }

    /// What it logged and counted since the last time.
    pub fn drain(&mut self) -> Drained {
        self.instance.drain()
    }

    /// Memory that it holds. It never shrinks while the instance lives.
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

    fn fill(&mut self, fields: &Fields, columns: &[ArrayRef], groups: &[u32], group_count: u32) -> Result<(), Error> {
        let checked = if group_count < self.groups {
            Err(format!("{group_count} groups after {}", self.groups))
        } else if let Some(group) = groups.iter().find(|group| **group >= group_count) {
            Err(format!("group {group} of {group_count}"))
        } else {
            self.input.fill(fields, columns, groups.len())
        };
        checked.map_err(|message| self.instance.arguments(message))
    }

    /// How many groups `emit` takes out, and how the guest is told.
    fn emitted(&self, emit: Emit) -> Result<(u32, Option<u32>), Error> {
        match emit {
            Emit::All => Ok((self.groups, None)),
            Emit::First(first) if first <= self.groups => Ok((first, Some(first))),
            Emit::First(first) => Err(self
                .instance
                .arguments(format!("{first} groups asked for, and there are {}", self.groups))),
        }
    }

    fn taken(
        &mut self,
        returned: Result<abi::BatchOut, abi::GuestError>,
        count: u32,
        fields: &Fields,
    ) -> Result<Vec<ArrayRef>, Error> {
        let batch = returned.map_err(|error| self.instance.refused(error, 0))?;
        let columns = if batch.rows == count {
            array_out::columns(fields, batch).and_then(|columns| no_unexpected_null(fields, columns))
        } else {
            Err(format!("{} groups instead of {count}", batch.rows))
        };
        let columns = columns.map_err(|message| self.instance.poison(message, 0))?;
        self.groups -= count;
        Ok(columns)
    }
}

fn no_unexpected_null(fields: &Fields, columns: Vec<ArrayRef>) -> Result<Vec<ArrayRef>, String> {
    for (field, column) in fields.iter().zip(&columns) {
        if !field.is_nullable() && column.null_count() > 0 {
            return Err(format!(
                "column `{}` has nulls and is declared to have none",
                field.name()
            ));
        }
    }
    Ok(columns)
}
