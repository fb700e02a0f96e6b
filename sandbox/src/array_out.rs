//! Arrays on their way out of a guest: everything is checked before an array exists.
//!
//! The bytes were copied out of the guest's memory when the result was lifted, so the guest cannot change them
//! any more; here they only get a type.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, ArrowPrimitiveType, BinaryArray, BooleanArray, ListArray, PrimitiveArray, StringArray, StructArray,
};
use arrow::buffer::{BooleanBuffer, Buffer, MutableBuffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, FieldRef, Fields, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, TimeUnit, TimestampMicrosecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};

use crate::abi::{BatchOut, Node};

/// Makes columns of the types of `fields` out of `batch`.
///
/// Nulls in a top-level column that is declared not nullable are let through: whether they may be there depends on
/// the kind of the function.
///
/// # Errors
/// The first thing that is wrong.
pub(crate) fn columns(fields: &Fields, batch: BatchOut) -> Result<Vec<ArrayRef>, String> {
    let BatchOut { rows, nodes, buffers } = batch;
    let mut reader = Reader {
        nodes: nodes.into_iter(),
        buffers: buffers.into_iter(),
    };
    let mut columns = Vec::with_capacity(fields.len());
    for field in fields {
        columns.push(
            reader
                .array(field, rows)
                .map_err(|message| format!("column `{}`: {message}", field.name()))?,
        );
    }
    match (reader.nodes.len(), reader.buffers.len()) {
        (0, 0) => Ok(columns),
        (nodes, buffers) => Err(format!("{nodes} nodes and {buffers} buffers too many")),
    }
}

struct Reader {
    nodes: std::vec::IntoIter<Node>,
    buffers: std::vec::IntoIter<Vec<u8>>,
}

impl Reader {
    fn array(&mut self, field: &FieldRef, length: u32) -> Result<ArrayRef, String> {
        let node = self.nodes.next().ok_or("its node is missing")?;
        if node.length != length {
            return Err(format!("{} values instead of {length}", node.length));
        }
        let length = length as usize;
        let nulls = self.nulls(node)?;
        Ok(match field.data_type() {
            DataType::Boolean => {
                let values = BooleanBuffer::new(self.buffer(length.div_ceil(8), "value")?, 0, length);
                Arc::new(BooleanArray::new(values, nulls))
            }
            DataType::Int8 => self.primitive::<Int8Type>(length, nulls)?,
            DataType::Int16 => self.primitive::<Int16Type>(length, nulls)?,
            DataType::Int32 => self.primitive::<Int32Type>(length, nulls)?,
            DataType::Int64 => self.primitive::<Int64Type>(length, nulls)?,
            DataType::UInt8 => self.primitive::<UInt8Type>(length, nulls)?,
            DataType::UInt16 => self.primitive::<UInt16Type>(length, nulls)?,
            DataType::UInt32 => self.primitive::<UInt32Type>(length, nulls)?,
            DataType::UInt64 => self.primitive::<UInt64Type>(length, nulls)?,
            DataType::Float32 => {
                let array = self.typed::<Float32Type>(length, nulls)?;
                Arc::new(with_one_nan(array, f32::is_nan, f32::NAN))
            }
            DataType::Float64 => {
                let array = self.typed::<Float64Type>(length, nulls)?;
                Arc::new(with_one_nan(array, f64::is_nan, f64::NAN))
            }
            DataType::Date32 => self.primitive::<Date32Type>(length, nulls)?,
            DataType::Timestamp(TimeUnit::Microsecond, zone) => {
                let array = self.typed::<TimestampMicrosecondType>(length, nulls)?;
                Arc::new(array.with_timezone_opt(zone.clone()))
            }
            DataType::Decimal128(precision, scale) => {
                let array = self
                    .typed::<Decimal128Type>(length, nulls)?
                    .with_precision_and_scale(*precision, *scale)
                    .map_err(|error| error.to_string())?;
                array
                    .validate_decimal_precision(*precision)
                    .map_err(|error| error.to_string())?;
                Arc::new(array)
            }
            DataType::Utf8 => {
                let (offsets, values) = self.bytes(length)?;
                Arc::new(StringArray::try_new(offsets, values, nulls).map_err(|error| error.to_string())?)
            }
            DataType::Binary => {
                let (offsets, values) = self.bytes(length)?;
                Arc::new(BinaryArray::try_new(offsets, values, nulls).map_err(|error| error.to_string())?)
            }
            DataType::List(item) => {
                let offsets = self.offsets(length)?;
                let items = self
                    .array(item, offsets[length] as u32)
                    .map_err(|message| format!("items: {message}"))?;
                Arc::new(ListArray::try_new(item.clone(), offsets, items, nulls).map_err(|error| error.to_string())?)
            }
            DataType::Struct(fields) => {
                let mut columns = Vec::with_capacity(fields.len());
                for field in fields {
                    let column = self.array(field, length as u32);
                    columns.push(column.map_err(|message| format!("field `{}`: {message}", field.name()))?);
                }
                Arc::new(StructArray::try_new(fields.clone(), columns, nulls).map_err(|error| error.to_string())?)
            }
            // `schema::fields_from_guest` makes no other types.
            other => return Err(format!("type {other} is not supported")),
        })
    }

    /// The next buffer, at least `bytes` long.
    fn buffer(&mut self, bytes: usize, what: &str) -> Result<Buffer, String> {
        let buffer = self
            .buffers
            .next()
            .ok_or_else(|| format!("its {what} buffer is missing"))?;
        if buffer.len() < bytes {
            return Err(format!(
                "its {what} buffer has {} bytes instead of {bytes}",
                buffer.len()
            ));
        }
        Ok(Buffer::from_vec(buffer))
    }

    fn nulls(&mut self, node: Node) -> Result<Option<NullBuffer>, String> {
        let length = node.length as usize;
        if node.null_count == 0 {
            self.buffer(0, "validity")?;
            return Ok(None);
        }
        let bits = self.buffer(length.div_ceil(8), "validity")?;
        let nulls = NullBuffer::new(BooleanBuffer::new(bits, 0, length));
        if nulls.null_count() != node.null_count as usize {
            return Err(format!(
                "its validity buffer has {} nulls and its node says {}",
                nulls.null_count(),
                node.null_count
            ));
        }
        Ok(Some(nulls))
    }

    fn primitive<T: ArrowPrimitiveType>(
        &mut self,
        length: usize,
        nulls: Option<NullBuffer>,
    ) -> Result<ArrayRef, String> {
        Ok(Arc::new(self.typed::<T>(length, nulls)?))
    }

    fn typed<T: ArrowPrimitiveType>(
        &mut self,
        length: usize,
        nulls: Option<NullBuffer>,
    ) -> Result<PrimitiveArray<T>, String> {
        let bytes = length.checked_mul(size_of::<T::Native>()).ok_or("it is too long")?;
        let values = aligned(self.buffer(bytes, "value")?, align_of::<T::Native>());
        PrimitiveArray::try_new(ScalarBuffer::new(values, 0, length), nulls).map_err(|error| error.to_string())
    }

    fn bytes(&mut self, length: usize) -> Result<(OffsetBuffer<i32>, Buffer), String> {
        let offsets = self.offsets(length)?;
        let values = self.buffer(offsets[length] as usize, "data")?;
        let used = offsets[length] as usize;
        Ok((
            offsets,
            if used < values.len() {
                values.slice_with_length(0, used)
            } else {
                values
            },
        ))
    }

    /// `length + 1` offsets: from zero, never falling.
    fn offsets(&mut self, length: usize) -> Result<OffsetBuffer<i32>, String> {
        let bytes = (length + 1).checked_mul(size_of::<i32>()).ok_or("it is too long")?;
        let buffer = aligned(self.buffer(bytes, "offset")?, align_of::<i32>());
        let offsets = ScalarBuffer::<i32>::new(buffer, 0, length + 1);
        if offsets[0] != 0 {
            return Err(format!("its offsets start at {} instead of zero", offsets[0]));
        }
        // All pairs are looked at, so that the loop is vectorised.
        let falls = offsets
            .windows(2)
            .fold(false, |falls, pair| falls | (pair[0] > pair[1]));
        if falls {
            return Err("its offsets fall".to_owned());
        }
        // SAFETY: there is a first offset, it is zero, and none is below the one before it.
        Ok(unsafe { OffsetBuffer::new_unchecked(offsets) })
    }
}

/// Gives all NaNs the same bits. Which sign and payload an operation gives them differs between processors, and Arrow
/// compares and hashes floats by their bits.
fn with_one_nan<T: ArrowPrimitiveType>(
    array: PrimitiveArray<T>,
    is_nan: impl Fn(T::Native) -> bool,
    nan: T::Native,
) -> PrimitiveArray<T> {
    if array.values().iter().fold(false, |any, value| any | is_nan(*value)) {
        array.unary(|value| if is_nan(value) { nan } else { value })
    } else {
        array
    }
}

/// The allocator aligns what is large enough to hold such values, but nothing promises that.
fn aligned(buffer: Buffer, align: usize) -> Buffer {
    if buffer.as_ptr().align_offset(align) == 0 {
        return buffer;
    }
    let mut copy = MutableBuffer::with_capacity(buffer.len());
    copy.extend_from_slice(&buffer);
    copy.into()
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, AsArray};
    use arrow::datatypes::Field;

    use super::*;

    fn node(length: u32, null_count: u32) -> Node {
        Node { length, null_count }
    }

    fn offsets(values: &[i32]) -> Vec<u8> {
        values.iter().flat_map(|value| value.to_le_bytes()).collect()
    }

    fn read(data_type: DataType, rows: u32, nodes: Vec<Node>, buffers: Vec<Vec<u8>>) -> Result<ArrayRef, String> {
        let fields = Fields::from(vec![Field::new("x", data_type, true)]);
        columns(&fields, BatchOut { rows, nodes, buffers }).map(|mut columns| columns.remove(0))
    }

    #[track_caller]
    fn refused(data_type: DataType, rows: u32, nodes: Vec<Node>, buffers: Vec<Vec<u8>>, expected: &str) {
        let message = read(data_type, rows, nodes, buffers).unwrap_err();
        assert!(message.contains(expected), "`{message}` does not contain `{expected}`");
    }

    #[test]
    fn text_with_nulls() {
        let array = read(
            DataType::Utf8,
            3,
            vec![node(3, 1)],
            vec![vec![0b101], offsets(&[0, 2, 2, 3]), b"abcignored".to_vec()],
        )
        .unwrap();
        assert_eq!(
            array.as_ref(),
            &StringArray::from(vec![Some("ab"), None, Some("c")]) as &dyn Array
        );
    }

    #[test]
    fn lies_about_lengths() {
        let int = || DataType::Int64;
        refused(
            int(),
            2,
            vec![node(1, 0)],
            vec![vec![], vec![0; 16]],
            "1 values instead of 2",
        );
        refused(
            int(),
            2,
            vec![node(2, 0)],
            vec![vec![], vec![0; 15]],
            "15 bytes instead of 16",
        );
        refused(int(), 1, vec![], vec![], "node is missing");
        refused(int(), 1, vec![node(1, 0)], vec![], "validity buffer is missing");
        refused(int(), 1, vec![node(1, 0)], vec![vec![]], "value buffer is missing");
        refused(
            int(),
            1,
            vec![node(1, 0); 2],
            vec![vec![], vec![0; 8]],
            "1 nodes and 0 buffers too many",
        );
        refused(
            int(),
            u32::MAX,
            vec![node(u32::MAX, 0)],
            vec![vec![], vec![]],
            "0 bytes instead of",
        );
        refused(
            DataType::Boolean,
            9,
            vec![node(9, 0)],
            vec![vec![], vec![0]],
            "1 bytes instead of 2",
        );
    }

    #[test]
    fn lies_about_nulls() {
        let int = || DataType::Int8;
        refused(
            int(),
            3,
            vec![node(3, 2)],
            vec![vec![0b101], vec![0; 3]],
            "has 1 nulls and its node says 2",
        );
        refused(
            int(),
            9,
            vec![node(9, 1)],
            vec![vec![0xfe], vec![0; 9]],
            "validity buffer has 1 bytes",
        );
        refused(
            int(),
            1,
            vec![node(1, u32::MAX)],
            vec![vec![0xff], vec![0]],
            "has 0 nulls",
        );
    }

    #[test]
    fn lies_about_offsets() {
        let text = |values: &[i32], data: &[u8]| (vec![vec![], offsets(values), data.to_vec()], vec![node(2, 0)]);
        for (values, data, expected) in [
            (&[0, 2, 1][..], &b"ab"[..], "fall"),
            (&[1, 1, 2], b"ab", "start at 1"),
            (&[0, -1, 2], b"ab", "fall"),
            (&[0, 1, 3], b"ab", "data buffer has 2 bytes instead of 3"),
            (&[0, 1], b"ab", "offset buffer has 8 bytes instead of 12"),
            (&[0, 0, i32::MAX], b"ab", "instead of 2147483647"),
        ] {
            let (buffers, nodes) = text(values, data);
            refused(DataType::Utf8, 2, nodes.clone(), buffers.clone(), expected);
            refused(DataType::Binary, 2, nodes, buffers, expected);
        }
    }

    #[test]
    fn text_must_be_utf8_in_every_value() {
        let split = "é".as_bytes().to_vec();
        refused(
            DataType::Utf8,
            1,
            vec![node(1, 0)],
            vec![vec![], offsets(&[0, 1]), vec![0xff]],
            "UTF-8",
        );
        refused(
            DataType::Utf8,
            2,
            vec![node(2, 0)],
            vec![vec![], offsets(&[0, 1, 2]), split],
            "UTF-8",
        );
    }

    #[test]
    fn children_must_fit_their_parents() {
        let item = Arc::new(Field::new("item", DataType::Int8, false));
        let list = || DataType::List(item.clone());
        let array = read(
            list(),
            2,
            vec![node(2, 0), node(3, 0)],
            vec![vec![], offsets(&[0, 1, 3]), vec![], vec![1, 2, 3]],
        );
        assert_eq!(array.unwrap().len(), 2);
        refused(
            list(),
            2,
            vec![node(2, 0), node(2, 0)],
            vec![vec![], offsets(&[0, 1, 3]), vec![], vec![1, 2]],
            "items: 2 values instead of 3",
        );
        refused(
            list(),
            1,
            vec![node(1, 0), node(2, 1)],
            vec![vec![], offsets(&[0, 2]), vec![0b01], vec![1, 2]],
            "null",
        );
        let row = DataType::Struct(Fields::from(vec![Field::new("a", DataType::Int8, false)]));
        refused(
            row,
            2,
            vec![node(2, 0), node(2, 1)],
            vec![vec![], vec![0b01], vec![1, 2]],
            "null",
        );
    }

    #[test]
    fn nans_are_one() {
        let values = [f64::NAN, -f64::NAN, f64::from_bits(0x7ff0_0000_0000_0001), -0.0];
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let array = read(DataType::Float64, 4, vec![node(4, 0)], vec![vec![], bytes]).unwrap();
        let expected = [f64::NAN, f64::NAN, f64::NAN, -0.0];
        let bits = |values: &[f64]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(array.as_primitive::<Float64Type>().values()), bits(&expected));
    }

    #[test]
    fn decimals_stay_in_their_precision() {
        let decimal = DataType::Decimal128(2, 0);
        let value = |value: i128| vec![vec![], value.to_le_bytes().to_vec()];
        assert!(read(decimal.clone(), 1, vec![node(1, 0)], value(99)).is_ok());
        refused(decimal, 1, vec![node(1, 0)], value(100), "100");
    }
}
