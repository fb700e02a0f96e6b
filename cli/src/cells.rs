//! Values of Arrow arrays as JSON that every program reads alike.

use arrow::array::{Array, ArrayRef, AsArray, MapArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, FieldRef, Fields, Float64Type, Int64Type};
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use serde_json::{Map, Value};
use weir_control_plane::http::resources::Column;

/// Fields as the API has them.
pub(crate) fn columns(fields: &Fields) -> Vec<Column> {
    let column = |field: &FieldRef| Column {
        name: field.name().clone(),
        kind: field.data_type().to_string(),
        nullable: field.is_nullable(),
    };
    fields.iter().map(column).collect()
}

/// The rows of a batch, each with its values in the order of the columns.
pub(crate) fn rows(batch: &RecordBatch) -> Result<Vec<Vec<Value>>, ArrowError> {
    let count = batch.num_columns();
    let mut rows: Vec<Vec<Value>> = (0..batch.num_rows()).map(|_| Vec::with_capacity(count)).collect();
    for array in batch.columns() {
        let column = Cells::new(array)?;
        for (at, row) in rows.iter_mut().enumerate() {
            row.push(column.value(at)?);
        }
    }
    Ok(rows)
}

/// An array whose values are wanted.
struct Cells<'a> {
    array: &'a ArrayRef,
    kind: Kind<'a>,
}

/// How a value becomes JSON.
enum Kind<'a> {
    Null,
    Boolean,
    /// Integers that any number of JSON can be.
    Integer(ArrayRef),
    Float(ArrayRef),
    Text(ArrayFormatter<'a>),
    List(Box<dyn Fn(usize) -> ArrayRef + 'a>),
    Struct(Vec<(&'a str, Cells<'a>)>),
    Map(&'a MapArray),
    /// The same values, each for itself.
    Plain(ArrayRef),
}

impl<'a> Cells<'a> {
    fn new(array: &'a ArrayRef) -> Result<Self, ArrowError> {
        let kind = match array.data_type() {
            DataType::Null => Kind::Null,
            DataType::Boolean => Kind::Boolean,
            DataType::Int8
            | DataType::Int16
            | DataType::Int32
            | DataType::UInt8
            | DataType::UInt16
            | DataType::UInt32 => Kind::Integer(cast(array, &DataType::Int64)?),
            DataType::Float16 | DataType::Float32 | DataType::Float64 => Kind::Float(cast(array, &DataType::Float64)?),
            DataType::List(_) => Kind::List(Box::new(|at| array.as_list::<i32>().value(at))),
            DataType::LargeList(_) => Kind::List(Box::new(|at| array.as_list::<i64>().value(at))),
            DataType::FixedSizeList(_, _) => Kind::List(Box::new(|at| array.as_fixed_size_list().value(at))),
            DataType::Struct(fields) => {
                let columns = array.as_struct().columns();
                let cells = fields.iter().zip(columns);
                Kind::Struct(
                    cells
                        .map(|(field, column)| Ok((field.name().as_str(), Cells::new(column)?)))
                        .collect::<Result<_, ArrowError>>()?,
                )
            }
            DataType::Map(_, _) => Kind::Map(array.as_map()),
            DataType::Dictionary(_, values) => Kind::Plain(cast(array, values)?),
            // 64-bit integers, decimals, text, bytes and times.
            _ => Kind::Text(ArrayFormatter::try_new(array, &FormatOptions::default())?),
        };
        Ok(Self { array, kind })
    }

    fn value(&self, at: usize) -> Result<Value, ArrowError> {
        if self.array.is_null(at) {
            return Ok(Value::Null);
        }
        Ok(match &self.kind {
            Kind::Null => Value::Null,
            Kind::Boolean => self.array.as_boolean().value(at).into(),
            Kind::Integer(numbers) => numbers.as_primitive::<Int64Type>().value(at).into(),
            Kind::Float(numbers) => {
                let mut number = numbers.as_primitive::<Float64Type>().value(at);
                if *self.array.data_type() == DataType::Float32 {
                    // The same in as few digits as name it among those of 32 bits.
                    number = (number as f32).to_string().parse().unwrap_or(number);
                }
                // Those that JSON has no numbers for are text.
                serde_json::Number::from_f64(number).map_or_else(|| number.to_string().into(), Value::Number)
            }
            Kind::Text(formatter) => formatter.value(at).try_to_string()?.into(),
            Kind::List(items) => {
                let items = items(at);
                let cells = Cells::new(&items)?;
                let items: Result<Vec<Value>, ArrowError> = (0..items.len()).map(|at| cells.value(at)).collect();
                items?.into()
            }
            Kind::Struct(fields) => {
                let mut object = Map::new();
                for (name, cells) in fields {
                    object.insert((*name).to_owned(), cells.value(at)?);
                }
                object.into()
            }
            Kind::Map(map) => entries(map, at)?,
            Kind::Plain(array) => Cells::new(array)?.value(at)?,
        })
    }
}

/// An object when the keys are text, else a list of entries.
fn entries(map: &MapArray, at: usize) -> Result<Value, ArrowError> {
    let entries = map.value(at);
    let (keys, values) = (entries.column(0), entries.column(1));
    let (key_cells, value_cells) = (Cells::new(keys)?, Cells::new(values)?);
    let is_text = matches!(
        keys.data_type(),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View
    );
    let mut object = Map::new();
    let mut list = Vec::new();
    for at in 0..entries.len() {
        let (key, value) = (key_cells.value(at)?, value_cells.value(at)?);
        match key {
            Value::String(key) if is_text => {
                object.insert(key, value);
            }
            key => list.push(Value::Array(vec![key, value])),
        }
    }
    Ok(if is_text { object.into() } else { list.into() })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        BinaryArray, BooleanArray, Date32Array, Decimal128Array, DictionaryArray, Float32Array, Int32Array, Int64Array,
        ListArray, MapBuilder, StringArray, StringBuilder, StructArray, TimestampMillisecondArray, UInt64Array,
    };
    use arrow::datatypes::{Field, Int32Type, Schema};
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(array: ArrayRef, expected: Value) {
        let field = Field::new("c", array.data_type().clone(), true);
        let batch = RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![array]).unwrap();
        let values: Vec<Value> = rows(&batch).unwrap().into_iter().map(|mut row| row.remove(0)).collect();
        assert_eq!(Value::Array(values), expected);
    }

    #[test]
    fn numbers_are_exact() {
        check(Arc::new(Int32Array::from(vec![Some(-7), None])), json!([-7, null]));
        check(
            Arc::new(Int64Array::from(vec![i64::MIN])),
            json!(["-9223372036854775808"]),
        );
        check(
            Arc::new(UInt64Array::from(vec![u64::MAX])),
            json!(["18446744073709551615"]),
        );
        let decimals = Decimal128Array::from(vec![12_345])
            .with_precision_and_scale(10, 2)
            .unwrap();
        check(Arc::new(decimals), json!(["123.45"]));
        let floats = vec![0.1, f32::NAN, f32::INFINITY, f32::NEG_INFINITY];
        check(Arc::new(Float32Array::from(floats)), json!([0.1, "NaN", "inf", "-inf"]));
    }

    #[test]
    fn other_values_are_what_programs_expect() {
        check(Arc::new(BooleanArray::from(vec![true])), json!([true]));
        check(
            Arc::new(StringArray::from(vec![Some("a\n\"b"), None])),
            json!(["a\n\"b", null]),
        );
        check(Arc::new(BinaryArray::from(vec![&b"\x00\xff"[..]])), json!(["00ff"]));
        check(Arc::new(Date32Array::from(vec![0])), json!(["1970-01-01"]));
        let moment = TimestampMillisecondArray::from(vec![1_500]);
        check(Arc::new(moment.clone()), json!(["1970-01-01T00:00:01.500"]));
        check(
            Arc::new(moment.with_timezone_utc()),
            json!(["1970-01-01T00:00:01.500Z"]),
        );
        let words: DictionaryArray<Int32Type> = vec![Some("x"), None, Some("x")].into_iter().collect();
        check(Arc::new(words), json!(["x", null, "x"]));
    }

    #[test]
    fn nested_values_are_nested() {
        let list = ListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(1), None]), None]);
        check(Arc::new(list), json!([["1", null], null]));
        let field = Arc::new(Field::new("a", DataType::Int32, true));
        let column: ArrayRef = Arc::new(Int32Array::from(vec![1]));
        check(Arc::new(StructArray::from(vec![(field, column)])), json!([{"a": 1}]));
        let mut map = MapBuilder::new(None, StringBuilder::new(), StringBuilder::new());
        map.keys().append_value("k");
        map.values().append_value("v");
        map.append(true).unwrap();
        check(Arc::new(map.finish()), json!([{"k": "v"}]));
    }
}
