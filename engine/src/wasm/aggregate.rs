//! Aggregate functions: one call per batch, whatever the number of groups.

use std::fmt;
use std::hash::{Hash, Hasher};

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, UInt32Array, new_empty_array};
use arrow::compute::filter;
use arrow::datatypes::{DataType, Field, FieldRef, UInt32Type};
use datafusion::common::{ScalarValue, internal_err, not_impl_err};
use datafusion::error::Result;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{Accumulator, AggregateUDFImpl, EmitTo, GroupsAccumulator, Signature};
use weir_sandbox::{AggregateInstance, Emit};

use super::WasmFunction;
use super::failure::{failed, refused};

/// An aggregate function.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct WasmAggregate {
    function: WasmFunction,
    signature: Signature,
}

impl Hash for WasmAggregate {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.function.hash(state);
    }
}

impl WasmAggregate {
    pub(super) fn new(function: WasmFunction) -> Self {
        let signature = Signature::user_defined(function.volatility());
        Self { function, signature }
    }

    pub(super) fn function(&self) -> &WasmFunction {
        &self.function
    }

    fn groups(&self, args: &AccumulatorArgs<'_>) -> Result<WasmGroups> {
        if args.is_distinct {
            return not_impl_err!("`{}` with DISTINCT; group by its arguments first", self.function.name());
        }
        Ok(WasmGroups::new(self.function.clone()))
    }
}

impl AggregateUDFImpl for WasmAggregate {
    fn name(&self) -> &str {
        self.function.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        self.function.coerce(given)
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.function.description().result().data_type().clone())
    }

    fn is_nullable(&self) -> bool {
        self.function.description().result().is_nullable()
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        let rename = |field: &FieldRef| {
            let name = format_state_name(args.name, field.name());
            Field::new(name, field.data_type().clone(), field.is_nullable()).into()
        };
        Ok(self.function.description().state.iter().map(rename).collect())
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(WasmAccumulator {
            groups: self.groups(&args)?,
            done: false,
        }))
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs<'_>) -> bool {
        !args.is_distinct
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(self.groups(&args)?))
    }
}

/// The accumulators of all groups.
struct WasmGroups {
    function: WasmFunction,
    /// Opened for the first rows, and thrown away when the last group is taken out: a guest's memory never shrinks.
    instance: Option<AggregateInstance>,
    /// Group of each row, as the instance takes it; kept for its allocation.
    groups: Vec<u32>,
}

impl WasmGroups {
    fn new(function: WasmFunction) -> Self {
        Self {
            function,
            instance: None,
            groups: Vec::new(),
        }
    }

    /// Calls the instance, and reports what it logged and counted.
    fn with<T>(
        &mut self,
        call: impl FnOnce(&mut AggregateInstance, &[u32]) -> Result<T, weir_sandbox::Error>,
    ) -> Result<T> {
        let instance = match &mut self.instance {
            Some(instance) => instance,
            none => none.insert(self.function.open_aggregate()?),
        };
        let busy = instance.busy();
        let result = call(instance, &self.groups);
        self.function
            .functions()
            .report(self.function.name(), instance.drain(), instance.busy() - busy);
        result.map_err(failed)
    }

    fn take_groups(&mut self, groups: impl ExactSizeIterator<Item = usize>) -> Result<()> {
        self.groups.clear();
        self.groups.reserve(groups.len());
        for group in groups {
            match u32::try_from(group) {
                Ok(group) => self.groups.push(group),
                Err(_) => return internal_err!("more than 2^32 groups"),
            }
        }
        Ok(())
    }

    /// Adds rows to the groups that [`take_groups`](Self::take_groups) was given.
    fn update(&mut self, columns: &[ArrayRef], group_count: usize) -> Result<()> {
        let rows = self.groups.len() as u64;
        let count = group_count_u32(group_count)?;
        let errors = self.with(|instance, groups| instance.update(columns, groups, count))?;
        if errors.is_empty() {
            return Ok(());
        }
        let first_row = self
            .instance
            .as_ref()
            .map_or(0, |instance| instance.rows().saturating_sub(rows));
        Err(refused(self.function.name(), first_row, &errors))
    }

    fn finished(&mut self, emit: EmitTo) {
        if matches!(emit, EmitTo::All) {
            self.instance = None;
        }
    }
}

fn group_count_u32(count: usize) -> Result<u32> {
    u32::try_from(count).or_else(|_| internal_err!("more than 2^32 groups"))
}

fn emit(emit_to: EmitTo) -> Result<Emit> {
    Ok(match emit_to {
        EmitTo::All => Emit::All,
        EmitTo::First(groups) => Emit::First(group_count_u32(groups)?),
    })
}

/// The rows that a filter keeps; null keeps nothing.
fn kept(filter: &BooleanArray) -> BooleanArray {
    match filter.nulls() {
        Some(nulls) => BooleanArray::new(filter.values() & nulls.inner(), None),
        None => filter.clone(),
    }
}

impl GroupsAccumulator for WasmGroups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.take_groups(group_indices.iter().copied())?;
        let Some(rows) = opt_filter else {
            return self.update(values, total_num_groups);
        };
        let rows = kept(rows);
        let values = values
            .iter()
            .map(|column| filter(column, &rows))
            .collect::<Result<Vec<_>, _>>()?;
        let groups = filter(&UInt32Array::from(std::mem::take(&mut self.groups)), &rows)?;
        self.groups
            .extend_from_slice(groups.as_primitive::<UInt32Type>().values());
        self.update(&values, total_num_groups)
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.take_groups(group_indices.iter().copied())?;
        let count = group_count_u32(total_num_groups)?;
        self.with(|instance, groups| instance.merge(values, groups, count))
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let groups = emit(emit_to)?;
        let results = self.with(|instance, _| instance.evaluate(groups))?;
        self.finished(emit_to);
        Ok(results)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let groups = emit(emit_to)?;
        let states = self.with(|instance, _| instance.state(groups))?;
        self.finished(emit_to);
        Ok(states)
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let Some(rows) = values.first().map(|column| column.len()) else {
            return internal_err!("an aggregate without arguments has no rows to convert");
        };
        // Every row is a group of its own; a group whose row the filter drops stays as it was created.
        let mut groups = Self::new(self.function.clone());
        let indices: Vec<usize> = (0..rows).collect();
        groups.update_batch(values, &indices, opt_filter, rows)?;
        groups.state(EmitTo::All)
    }

    fn size(&self) -> usize {
        let instance = self.instance.as_ref().map_or(0, AggregateInstance::memory_bytes);
        instance + self.groups.capacity() * size_of::<u32>()
    }
}

/// The accumulator of one group.
#[derive(Debug)]
struct WasmAccumulator {
    groups: WasmGroups,
    /// The result was taken out of the guest.
    done: bool,
}

impl fmt::Debug for WasmGroups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WasmGroups")
            .field("function", &self.function)
            .finish_non_exhaustive()
    }
}

impl WasmAccumulator {
    /// Prepares for `rows` rows of the one group.
    fn begin(&mut self, rows: usize) -> Result<()> {
        if self.done {
            // Windows ask for the result of every row, and go on.
            return not_impl_err!("`{}` over a window", self.groups.function.name());
        }
        self.groups.take_groups(std::iter::repeat_n(0, rows))
    }

    /// Makes the group, in case no row has, and takes it out.
    fn finish(&mut self) -> Result<()> {
        if self
            .groups
            .instance
            .as_ref()
            .is_none_or(|instance| instance.group_count() == 0)
        {
            let fields = self.groups.function.description().state.clone();
            let none: Vec<ArrayRef> = fields.iter().map(|field| new_empty_array(field.data_type())).collect();
            self.begin(0)?;
            self.groups.with(|instance, groups| instance.merge(&none, groups, 1))?;
        }
        self.done = true;
        Ok(())
    }
}

impl Accumulator for WasmAccumulator {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.begin(values.first().map_or(0, |column| column.len()))?;
        self.groups.update(values, 1)
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.begin(states.first().map_or(0, |column| column.len()))?;
        self.groups.with(|instance, groups| instance.merge(states, groups, 1))
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.finish()?;
        ScalarValue::try_from_array(&self.groups.evaluate(EmitTo::All)?, 0)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.finish()?;
        let states = self.groups.state(EmitTo::All)?;
        states
            .iter()
            .map(|state| ScalarValue::try_from_array(state, 0))
            .collect()
    }

    fn size(&self) -> usize {
        self.groups.size()
    }
}
