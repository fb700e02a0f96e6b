//! Several outputs in one stream of rows.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int8Array, RecordBatch, StructArray, new_null_array};
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use datafusion::error::Result;

/// The schema of an output in which each row is one of several kinds: the column of its kind holds it, as a struct,
/// and the others are null.
pub(crate) struct TaggedOutput;

impl TaggedOutput {
    /// The column that says which kind a row is.
    pub(crate) const KIND: &str = "kind";
    /// The column of good rows; their kind is 0.
    pub(crate) const MAIN: &str = "main";
    /// The column of records of errors; their kind is 1.
    pub(crate) const ERROR: &str = "error";
    /// The column of counts of rows, `total` and `bad`, one for each batch; their kind is 2.
    pub(crate) const COUNTS: &str = "counts";

    /// The fields of a record of an error, for rows with the fields `element`.
    pub(crate) fn error_fields(element: &Fields) -> Fields {
        Fields::from(vec![
            Field::new("element", DataType::Struct(nullable(element)), true),
            Field::new("msg", DataType::Utf8, true),
            Field::new("stack", DataType::Utf8, true),
        ])
    }

    pub(super) fn schema(main: &Fields, element: &Fields) -> Schema {
        let counts = vec![
            Field::new("total", DataType::Int64, true),
            Field::new("bad", DataType::Int64, true),
        ];
        let part = |name, fields| Field::new(name, DataType::Struct(fields), true);
        Schema::new(vec![
            Field::new(Self::KIND, DataType::Int8, false),
            part(Self::MAIN, nullable(main)),
            part(Self::ERROR, Self::error_fields(element)),
            part(Self::COUNTS, counts.into()),
        ])
    }

    /// Rows of one kind. `columns` are the fields of its struct.
    pub(super) fn batch(schema: &SchemaRef, kind: i8, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
        let mut all: Vec<ArrayRef> = vec![Arc::new(Int8Array::from_value(kind, rows))];
        let mut columns = Some(columns);
        for (index, field) in schema.fields().iter().enumerate().skip(1) {
            let mine = if index - 1 == kind as usize {
                columns.take()
            } else {
                None
            };
            all.push(match (mine, field.data_type()) {
                (Some(columns), DataType::Struct(fields)) if fields.is_empty() => {
                    drop(columns);
                    Arc::new(StructArray::new_empty_fields(rows, None))
                }
                (Some(columns), DataType::Struct(fields)) => {
                    Arc::new(StructArray::try_new(fields.clone(), columns, None)?)
                }
                (_, data_type) => new_null_array(data_type, rows),
            });
        }
        Ok(RecordBatch::try_new(Arc::clone(schema), all)?)
    }
}

pub(super) fn nullable(fields: &Fields) -> Fields {
    fields
        .iter()
        .map(|field| field.as_ref().clone().with_nullable(true))
        .collect()
}
