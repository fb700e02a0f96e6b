//! What a flat-map gives, and how several outputs share one stream of rows.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Int8Array, Int64Array, RecordBatch, StringArray, StructArray, UInt32Array, new_null_array,
};
use arrow::compute::take_record_batch;
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use datafusion::common::{internal_err, plan_err};
use datafusion::error::Result;
use serde::{Deserialize, Serialize};
use weir_sandbox::{Function, RowError};

use crate::pipeline::operators::TaggedOutput;

/// The column that says of which kind a row is: `n` when the `n`-th of the other columns holds it.
pub const KIND: &str = TaggedOutput::KIND;

/// What is wanted of a flat-map function.
///
/// With one output, and neither errors nor counts, rows have the columns of that output. Otherwise each row is of one
/// kind: the column [`KIND`] is its number, and the column behind that has the row as a struct, where all others are
/// null. The columns are, in this order: one per output, by its name; with errors, `error`: the refused row as
/// `element`, with `msg` and `stack`, as Beam has them; with counts, `counts`: the rows of a batch that came in as `total`,
/// and those that were refused as `bad`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FlatMapSpec {
    /// The outputs whose rows are wanted, by their position in the function; others are dropped.
    pub outputs: Vec<usize>,
    /// Whether refused rows are given out; they fail the task otherwise.
    pub errors: bool,
    /// Whether rows are counted.
    pub counts: bool,
}

impl FlatMapSpec {
    /// The main output alone.
    pub fn main() -> Self {
        Self {
            outputs: vec![0],
            errors: false,
            counts: false,
        }
    }

    /// Outputs by name.
    ///
    /// # Errors
    /// When the function has no such output.
    pub fn named<'a>(function: &Function, names: impl IntoIterator<Item = &'a str>) -> Result<Self> {
        let position = |name: &str| match function.outputs.iter().position(|output| output.name == name) {
            Some(position) => Ok(position),
            None => {
                let known: Vec<&str> = function.outputs.iter().map(|output| output.name.as_str()).collect();
                plan_err!(
                    "function `{}` has no output `{name}`; it has {}",
                    function.name,
                    known.join(", ")
                )
            }
        };
        let outputs = names.into_iter().map(position).collect::<Result<_>>()?;
        Ok(Self {
            outputs,
            errors: false,
            counts: false,
        })
    }

    /// Whether rows have the columns of the one output.
    pub fn is_plain(&self) -> bool {
        self.outputs.len() == 1 && !self.errors && !self.counts
    }

    /// The schema of the rows, for rows of `input` that come in.
    pub(super) fn schema(&self, function: &Function, input: &Schema) -> Result<SchemaRef> {
        let mut outputs = Vec::with_capacity(self.outputs.len());
        for &position in &self.outputs {
            match function.outputs.get(position) {
                Some(output) => outputs.push(output),
                None => return internal_err!("function `{}` has no output {position}", function.name),
            }
        }
        if self.is_plain() {
            return Ok(Arc::clone(&outputs[0].schema));
        }
        let part = |name: &str, fields| Field::new(name, DataType::Struct(fields), true);
        let mut fields = vec![Field::new(KIND, DataType::Int8, false)];
        fields.extend(
            outputs
                .iter()
                .map(|output| part(&output.name, nullable(output.schema.fields()))),
        );
        if self.errors {
            fields.push(part(TaggedOutput::ERROR, TaggedOutput::error_fields(input.fields())));
        }
        if self.counts {
            let counts = ["total", "bad"].map(|name| Field::new(name, DataType::Int64, true));
            fields.push(part(TaggedOutput::COUNTS, counts.to_vec().into()));
        }
        if fields.len() > i8::MAX as usize {
            return plan_err!("function `{}` has too many outputs to be used at once", function.name);
        }
        for (position, field) in fields.iter().enumerate() {
            if fields[..position].iter().any(|other| other.name() == field.name()) {
                return plan_err!(
                    "output `{}` of function `{}` has a name that is taken; rename it",
                    field.name(),
                    function.name
                );
            }
        }
        Ok(Arc::new(Schema::new(fields)))
    }

    /// Rows of an output, or none when nobody wants them.
    pub(super) fn output(&self, schema: &SchemaRef, output: usize, rows: RecordBatch) -> Result<Option<RecordBatch>> {
        let Some(kind) = self.outputs.iter().position(|wanted| *wanted == output) else {
            return Ok(None);
        };
        if self.is_plain() {
            return Ok(Some(rows));
        }
        tagged(schema, kind, rows.columns().to_vec(), rows.num_rows()).map(Some)
    }

    /// Rows of `input` that were refused.
    pub(super) fn refused(&self, schema: &SchemaRef, input: &RecordBatch, errors: &[RowError]) -> Result<RecordBatch> {
        let rows: UInt32Array = errors.iter().map(|error| error.row).collect::<Vec<_>>().into();
        let element = take_record_batch(input, &rows)?;
        let fields = nullable(element.schema().fields());
        let element: ArrayRef = if fields.is_empty() {
            Arc::new(StructArray::new_empty_fields(errors.len(), None))
        } else {
            Arc::new(StructArray::try_new(fields, element.columns().to_vec(), None)?)
        };
        let messages: StringArray = errors.iter().map(|error| Some(error.message.as_str())).collect();
        let stacks = new_null_array(&DataType::Utf8, errors.len());
        tagged(
            schema,
            self.outputs.len(),
            vec![element, Arc::new(messages), stacks],
            errors.len(),
        )
    }

    /// The counts of a batch.
    pub(super) fn counted(&self, schema: &SchemaRef, total: usize, bad: usize) -> Result<RecordBatch> {
        let kind = self.outputs.len() + usize::from(self.errors);
        let column = |count: usize| Arc::new(Int64Array::from(vec![count as i64])) as ArrayRef;
        tagged(schema, kind, vec![column(total), column(bad)], 1)
    }
}

/// Rows of one kind, whose columns become the fields of its struct.
fn tagged(schema: &SchemaRef, kind: usize, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    let mut columns = Some(columns);
    let mut all: Vec<ArrayRef> = vec![Arc::new(Int8Array::from_value(kind as i8, rows))];
    for (position, field) in schema.fields().iter().skip(1).enumerate() {
        let mine = if position == kind { columns.take() } else { None };
        all.push(match (mine, field.data_type()) {
            (Some(columns), DataType::Struct(fields)) => Arc::new(StructArray::try_new(fields.clone(), columns, None)?),
            (_, data_type) => new_null_array(data_type, rows),
        });
    }
    Ok(RecordBatch::try_new(Arc::clone(schema), all)?)
}

fn nullable(fields: &Fields) -> Fields {
    fields
        .iter()
        .map(|field| field.as_ref().clone().with_nullable(true))
        .collect()
}
