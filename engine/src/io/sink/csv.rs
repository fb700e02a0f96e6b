//! CSV as pandas writes it: fields are quoted only when they must be, floats always have a point, booleans are
//! `True` and `False`.

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use arrow::error::ArrowError;

use crate::io::render::PythonText;

/// Turns rows into lines.
pub(super) struct CsvEncoder {
    delimiter: u8,
    quote: u8,
    null: String,
    field: String,
}

impl CsvEncoder {
    pub(super) fn new(delimiter: u8, quote: u8, null: String) -> Self {
        Self {
            delimiter,
            quote,
            null,
            field: String::new(),
        }
    }

    /// Appends the header.
    pub(super) fn header(&self, out: &mut Vec<u8>, schema: &Schema) {
        let mut line = Line::new(self, out);
        for field in schema.fields() {
            line.field(field.name());
        }
        line.end();
    }

    /// Appends the rows of a batch.
    pub(super) fn rows(&mut self, out: &mut Vec<u8>, batch: &RecordBatch) -> Result<(), ArrowError> {
        let mut field = std::mem::take(&mut self.field);
        for row in 0..batch.num_rows() {
            let mut line = Line::new(self, out);
            for column in batch.columns() {
                if column.is_null(row) {
                    line.field(&self.null);
                } else {
                    field.clear();
                    PythonText::write(&mut field, column, row)?;
                    line.field(&field);
                }
            }
            line.end();
        }
        self.field = field;
        Ok(())
    }
}

/// A line that is being written.
struct Line<'a> {
    encoder: &'a CsvEncoder,
    out: &'a mut Vec<u8>,
    start: usize,
    fields: usize,
}

impl<'a> Line<'a> {
    fn new(encoder: &'a CsvEncoder, out: &'a mut Vec<u8>) -> Self {
        Self {
            start: out.len(),
            encoder,
            out,
            fields: 0,
        }
    }

    fn field(&mut self, text: &str) {
        let CsvEncoder { delimiter, quote, .. } = *self.encoder;
        if self.fields > 0 {
            self.out.push(delimiter);
        }
        self.fields += 1;
        if !text
            .bytes()
            .any(|byte| byte == delimiter || byte == quote || byte == b'\n' || byte == b'\r')
        {
            self.out.extend_from_slice(text.as_bytes());
            return;
        }
        self.out.push(quote);
        for byte in text.bytes() {
            if byte == quote {
                self.out.push(quote);
            }
            self.out.push(byte);
        }
        self.out.push(quote);
    }

    fn end(self) {
        // An empty line would be no row at all.
        if self.fields == 1 && self.out.len() == self.start {
            self.out.extend([self.encoder.quote; 2]);
        }
        self.out.push(b'\n');
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, BooleanArray, Float64Array, Int64Array, StringArray};

    use super::*;

    fn check(columns: &[(&str, ArrayRef)], null: &str, expect: &str) {
        let batch = RecordBatch::try_from_iter_with_nullable(
            columns.iter().map(|(name, column)| (*name, column.clone(), true)),
        )
        .unwrap();
        let mut encoder = CsvEncoder::new(b',', b'"', null.to_owned());
        let mut out = Vec::new();
        encoder.header(&mut out, &batch.schema());
        encoder.rows(&mut out, &batch).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), expect);
    }

    #[test]
    fn as_pandas_writes_it() {
        check(
            &[
                ("a", Arc::new(Int64Array::from(vec![1, 2, 3]))),
                ("b", Arc::new(StringArray::from(vec![Some("x,y"), Some("q\""), None]))),
                ("c", Arc::new(Float64Array::from(vec![Some(1.5), None, Some(2.0)]))),
                ("d,e", Arc::new(BooleanArray::from(vec![true, false, true]))),
            ],
            "",
            "a,b,c,\"d,e\"\n1,\"x,y\",1.5,True\n2,\"q\"\"\",,False\n3,,2.0,True\n",
        );
        check(
            &[(
                "a",
                Arc::new(StringArray::from(vec![Some(""), None, Some("two\nlines")])),
            )],
            "",
            "a\n\"\"\n\"\"\n\"two\nlines\"\n",
        );
        check(
            &[("a", Arc::new(StringArray::from(vec![None::<&str>])))],
            "NA",
            "a\nNA\n",
        );
    }
}
