//! Rows as CSV, those with values inside of values included.

use std::io::Write;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringBuilder};
use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use arrow::error::ArrowError;
use arrow::json::writer::{EncoderOptions, make_encoder};

/// Writes batches of one schema as CSV with a header. A list, struct or map is written as JSON, as CSV has none of them.
pub(crate) struct CsvWriter<W: Write>(arrow::csv::Writer<W>);

impl<W: Write> CsvWriter<W> {
    pub(crate) fn new(out: W) -> Self {
        Self(arrow::csv::WriterBuilder::new().with_header(true).build(out))
    }

    pub(crate) fn write(&mut self, batch: &RecordBatch) -> Result<(), ArrowError> {
        let schema = batch.schema_ref();
        if !schema.fields().iter().any(|field| field.data_type().is_nested()) {
            return self.0.write(batch);
        }
        let columns = schema.fields().iter().zip(batch.columns());
        let flat: Vec<(FieldRef, ArrayRef)> = columns
            .map(|(field, column)| match field.data_type().is_nested() {
                true => as_json(field, column),
                false => Ok((field.clone(), column.clone())),
            })
            .collect::<Result<_, _>>()?;
        let (fields, columns): (Vec<_>, Vec<_>) = flat.into_iter().unzip();
        self.0
            .write(&RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
    }

    pub(crate) fn into_inner(self) -> W {
        self.0.into_inner()
    }
}

/// A column of the same values as JSON text.
fn as_json(field: &FieldRef, column: &ArrayRef) -> Result<(FieldRef, ArrayRef), ArrowError> {
    let options = EncoderOptions::default().with_explicit_nulls(true);
    let mut encoder = make_encoder(field, column, &options)?;
    let (mut texts, mut text) = (StringBuilder::new(), Vec::new());
    for row in 0..column.len() {
        if encoder.is_null(row) {
            texts.append_null();
            continue;
        }
        text.clear();
        encoder.encode(row, &mut text);
        let text = std::str::from_utf8(&text).map_err(|error| ArrowError::JsonError(error.to_string()))?;
        texts.append_value(text);
    }
    let field = Field::new(field.name(), DataType::Utf8, true);
    Ok((Arc::new(field), Arc::new(texts.finish())))
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int64Array, ListArray, StructArray};
    use arrow::datatypes::Int64Type;

    use super::*;

    fn written(columns: Vec<(&str, ArrayRef)>) -> String {
        let batch =
            RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true)));
        let mut writer = CsvWriter::new(Vec::new());
        writer.write(&batch.unwrap()).unwrap();
        String::from_utf8(writer.into_inner()).unwrap()
    }

    #[test]
    fn values_inside_of_values_are_json() {
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![Some(9_007_199_254_740_993), None, Some(3)]));
        let list = vec![Some(vec![Some(1), None]), None, Some(vec![])];
        let list: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(list));
        let field = Arc::new(Field::new("a", DataType::Int64, true));
        let pair: ArrayRef = Arc::new(StructArray::from(vec![(field, numbers.clone())]));
        assert_eq!(
            written(vec![("n", numbers), ("l", list), ("s", pair)]),
            "n,l,s\n9007199254740993,\"[1,null]\",\"{\"\"a\"\":9007199254740993}\"\n\
             ,,\"{\"\"a\"\":null}\"\n3,[],\"{\"\"a\"\":3}\"\n"
        );
    }
}
