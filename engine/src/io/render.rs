//! Values as the text that Python makes of them, which is the text that Beam writes.

use std::fmt::Write;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StructArray};
use arrow::datatypes::{DataType, Float16Type, Float32Type, Float64Type};
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};

/// `json.dumps` of a value, as `LogForTesting` uses it: ASCII only, a space behind `,` and `:`.
pub struct PythonJson;

/// `str` of a value, as `WriteToText` and `WriteToCsv` use it.
pub struct PythonText;

impl PythonJson {
    /// Appends a row as an object.
    pub fn write_row(out: &mut String, batch: &RecordBatch, row: usize) -> Result<(), ArrowError> {
        write_fields(
            out,
            batch.schema_ref().fields().iter().map(|field| field.name()),
            batch.columns(),
            row,
        )
    }

    /// Appends one value.
    pub fn write(out: &mut String, array: &dyn Array, row: usize) -> Result<(), ArrowError> {
        if array.is_null(row) {
            out.push_str("null");
            return Ok(());
        }
        match array.data_type() {
            DataType::Null => out.push_str("null"),
            DataType::Boolean => out.push_str(if array.as_boolean().value(row) { "true" } else { "false" }),
            DataType::Struct(_) => return write_struct(out, array.as_struct(), row),
            DataType::Map(_, _) => return write_map(out, array, row),
            data_type if is_list(data_type) => {
                let items = list_items(array, row)?;
                out.push('[');
                for item in 0..items.len() {
                    separate(out, item);
                    Self::write(out, &items, item)?;
                }
                out.push(']');
            }
            data_type => match float(array, row) {
                Some(value) => write_json_float(out, value),
                None if data_type.is_integer() || data_type.is_decimal() => display(out, array, row)?,
                None => {
                    let mut text = String::new();
                    PythonText::write(&mut text, array, row)?;
                    write_json_string(out, &text);
                }
            },
        }
        Ok(())
    }
}

impl PythonText {
    /// Appends one value; text as it is.
    pub fn write(out: &mut String, array: &dyn Array, row: usize) -> Result<(), ArrowError> {
        if array.is_null(row) {
            out.push_str("None");
            return Ok(());
        }
        match array.data_type() {
            DataType::Utf8 => out.push_str(array.as_string::<i32>().value(row)),
            DataType::LargeUtf8 => out.push_str(array.as_string::<i64>().value(row)),
            DataType::Utf8View => out.push_str(array.as_string_view().value(row)),
            DataType::Boolean => out.push_str(if array.as_boolean().value(row) { "True" } else { "False" }),
            DataType::Binary => write_bytes(out, array.as_binary::<i32>().value(row)),
            DataType::LargeBinary => write_bytes(out, array.as_binary::<i64>().value(row)),
            DataType::BinaryView => write_bytes(out, array.as_binary_view().value(row)),
            DataType::FixedSizeBinary(_) => write_bytes(out, array.as_fixed_size_binary().value(row)),
            DataType::Struct(fields) => {
                out.push_str("Row(");
                for (index, (field, column)) in fields.iter().zip(array.as_struct().columns()).enumerate() {
                    separate(out, index);
                    out.push_str(field.name());
                    out.push('=');
                    Self::write_repr(out, column, row)?;
                }
                out.push(')');
            }
            DataType::Map(_, _) => return write_map(out, array, row),
            data_type if is_list(data_type) => {
                let items = list_items(array, row)?;
                out.push('[');
                for item in 0..items.len() {
                    separate(out, item);
                    Self::write_repr(out, &items, item)?;
                }
                out.push(']');
            }
            _ => match float(array, row) {
                Some(value) => python_float(out, value),
                None => display(out, array, row)?,
            },
        }
        Ok(())
    }

    /// Appends one value as it looks inside of a list: text is quoted.
    fn write_repr(out: &mut String, array: &dyn Array, row: usize) -> Result<(), ArrowError> {
        if !array.data_type().is_string() || array.is_null(row) {
            return Self::write(out, array, row);
        }
        let mut text = String::new();
        Self::write(&mut text, array, row)?;
        let quote = if text.contains('\'') && !text.contains('"') {
            '"'
        } else {
            '\''
        };
        out.push(quote);
        for c in text.chars() {
            match c {
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                '\\' => out.push_str("\\\\"),
                c if c == quote => out.extend(['\\', c]),
                c => out.push(c),
            }
        }
        out.push(quote);
        Ok(())
    }
}

/// Appends a number as `repr(float)` writes it: the shortest digits that read back as the same number, and an
/// exponent only below 1e-4 and from 1e16 on.
pub fn python_float(out: &mut String, value: f64) {
    if value.is_nan() {
        out.push_str("nan");
    } else if value.is_infinite() {
        out.push_str(if value > 0.0 { "inf" } else { "-inf" });
    } else {
        let magnitude = value.abs();
        if magnitude != 0.0 && !(1e-4..1e16).contains(&magnitude) {
            let text = format!("{value:e}");
            let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
            let (sign, exponent) = exponent
                .strip_prefix('-')
                .map_or(('+', exponent), |exponent| ('-', exponent));
            let _ = write!(out, "{digits}e{sign}{exponent:0>2}");
        } else {
            let _ = write!(out, "{value:?}");
        }
    }
}

fn write_json_float(out: &mut String, value: f64) {
    if value.is_nan() {
        out.push_str("NaN");
    } else if value.is_infinite() {
        out.push_str(if value > 0.0 { "Infinity" } else { "-Infinity" });
    } else {
        python_float(out, value);
    }
}

fn write_json_string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            ' '..='~' => out.push(c),
            c => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
        }
    }
    out.push('"');
}

fn write_bytes(out: &mut String, bytes: &[u8]) {
    let quote = if bytes.contains(&b'\'') && !bytes.contains(&b'"') {
        b'"'
    } else {
        b'\''
    };
    out.push('b');
    out.push(char::from(quote));
    for &byte in bytes {
        match byte {
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            b'\\' => out.push_str("\\\\"),
            byte if byte == quote => out.extend(['\\', char::from(byte)]),
            b' '..=b'~' => out.push(char::from(byte)),
            byte => {
                let _ = write!(out, "\\x{byte:02x}");
            }
        }
    }
    out.push(char::from(quote));
}

fn write_struct(out: &mut String, array: &StructArray, row: usize) -> Result<(), ArrowError> {
    write_fields(
        out,
        array.fields().iter().map(|field| field.name()),
        array.columns(),
        row,
    )
}

fn write_map(out: &mut String, array: &dyn Array, row: usize) -> Result<(), ArrowError> {
    let entries = array.as_map().value(row);
    out.push('{');
    for entry in 0..entries.len() {
        separate(out, entry);
        let mut key = String::new();
        PythonText::write(&mut key, entries.column(0), entry)?;
        write_json_string(out, &key);
        out.push_str(": ");
        PythonJson::write(out, entries.column(1), entry)?;
    }
    out.push('}');
    Ok(())
}

fn write_fields<'a>(
    out: &mut String,
    names: impl Iterator<Item = &'a String>,
    columns: &[ArrayRef],
    row: usize,
) -> Result<(), ArrowError> {
    out.push('{');
    for (index, (name, column)) in names.zip(columns).enumerate() {
        separate(out, index);
        write_json_string(out, name);
        out.push_str(": ");
        PythonJson::write(out, column, row)?;
    }
    out.push('}');
    Ok(())
}

fn separate(out: &mut String, index: usize) {
    if index > 0 {
        out.push_str(", ");
    }
}

fn is_list(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(_, _)
    )
}

fn list_items(array: &dyn Array, row: usize) -> Result<ArrayRef, ArrowError> {
    match array.data_type() {
        DataType::List(_) => Ok(array.as_list::<i32>().value(row)),
        DataType::LargeList(_) => Ok(array.as_list::<i64>().value(row)),
        DataType::FixedSizeList(_, _) => Ok(array.as_fixed_size_list().value(row)),
        other => Err(ArrowError::InvalidArgumentError(format!("{other} is not a list"))),
    }
}

fn float(array: &dyn Array, row: usize) -> Option<f64> {
    match array.data_type() {
        DataType::Float64 => Some(array.as_primitive::<Float64Type>().value(row)),
        DataType::Float32 => Some(f64::from(array.as_primitive::<Float32Type>().value(row))),
        DataType::Float16 => Some(array.as_primitive::<Float16Type>().value(row).to_f64()),
        _ => None,
    }
}

fn display(out: &mut String, array: &dyn Array, row: usize) -> Result<(), ArrowError> {
    let options = FormatOptions::default();
    let formatter = ArrayFormatter::try_new(array, &options)?;
    write!(out, "{}", formatter.value(row)).map_err(|error| ArrowError::ExternalError(Box::new(error)))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{BinaryArray, Date32Array, Float64Array, Int64Array, ListArray, StringArray};
    use arrow::datatypes::{Field, Int64Type};

    use super::*;

    fn check(array: impl Array + 'static, json: &[&str], text: &[&str]) {
        for row in 0..array.len() {
            let (mut as_json, mut as_text) = (String::new(), String::new());
            PythonJson::write(&mut as_json, &array, row).unwrap();
            PythonText::write(&mut as_text, &array, row).unwrap();
            assert_eq!((as_json.as_str(), as_text.as_str()), (json[row], text[row]));
        }
    }

    #[test]
    fn floats_as_python_writes_them() {
        let values = [
            1.0,
            0.1,
            1e20,
            1e16,
            1e15,
            1e-4,
            1e-5,
            -1.5e-7,
            123456789012345680.0,
            -0.0,
            1e100,
        ];
        let expect = [
            "1.0",
            "0.1",
            "1e+20",
            "1e+16",
            "1000000000000000.0",
            "0.0001",
            "1e-05",
            "-1.5e-07",
            "1.2345678901234568e+17",
            "-0.0",
            "1e+100",
        ];
        check(Float64Array::from(values.to_vec()), &expect, &expect);
        check(
            Float64Array::from(vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY]),
            &["NaN", "Infinity", "-Infinity"],
            &["nan", "inf", "-inf"],
        );
    }

    #[test]
    fn text_bytes_and_nulls() {
        check(
            StringArray::from(vec![Some("é\"/\n😀"), None]),
            &[r#""\u00e9\"/\n\ud83d\ude00""#, "null"],
            &["é\"/\n😀", "None"],
        );
        check(
            BinaryArray::from(vec![&b"a'\x00"[..]]),
            &[r#""b\"a'\\x00\"""#],
            &[r#"b"a'\x00""#],
        );
        check(Date32Array::from(vec![0]), &["\"1970-01-01\""], &["1970-01-01"]);
    }

    #[test]
    fn nested_values() {
        let list = ListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(1), None]), None]);
        check(list, &["[1, null]", "null"], &["[1, None]", "None"]);
        let row = StructArray::from(vec![
            (
                Arc::new(Field::new("a", DataType::Int64, true)),
                Arc::new(Int64Array::from(vec![1])) as ArrayRef,
            ),
            (
                Arc::new(Field::new("b", DataType::Utf8, true)),
                Arc::new(StringArray::from(vec!["it's"])) as ArrayRef,
            ),
        ]);
        check(row, &[r#"{"a": 1, "b": "it's"}"#], &[r#"Row(a=1, b="it's")"#]);
    }
}
