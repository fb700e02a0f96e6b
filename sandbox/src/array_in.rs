//! Arrays on their way into a guest.

use arrow::array::{Array, ArrayRef, AsArray, OffsetSizeTrait};
use arrow::buffer::{BooleanBuffer, Buffer, OffsetBuffer, ScalarBuffer};
use arrow::compute::cast;
use arrow::datatypes::{
    ArrowNativeType, DataType, Date32Type, Decimal128Type, Fields, Float32Type, Float64Type, Int8Type, Int16Type,
    Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};

use crate::abi::{BatchIn, Node};

/// The nodes and buffers of a batch. Kept between calls for its allocations.
#[derive(Default)]
pub(crate) struct InputBatch {
    rows: u32,
    nodes: Vec<Node>,
    buffers: Vec<Buffer>,
}

impl InputBatch {
    /// Takes the buffers of `columns`, which must have the types of `fields` up to their layout and `rows` values.
    /// Buffers are shared, except where a slice does not start at a whole byte or offsets do not start at zero.
    ///
    /// # Errors
    /// What is wrong with the columns.
    pub(crate) fn fill(&mut self, fields: &Fields, columns: &[ArrayRef], rows: usize) -> Result<(), String> {
        self.nodes.clear();
        self.buffers.clear();
        self.rows = u32::try_from(rows)
            .ok()
            .filter(|rows| *rows < i32::MAX as u32)
            .ok_or_else(|| format!("a batch of {rows} rows is too large"))?;
        if fields.len() != columns.len() {
            return Err(format!("{} columns instead of {}", columns.len(), fields.len()));
        }
        for (field, column) in fields.iter().zip(columns) {
            if column.len() != rows {
                return Err(format!(
                    "column `{}` has {} rows instead of {rows}",
                    field.name(),
                    column.len()
                ));
            }
            if column.data_type() == field.data_type() {
                self.push(column)?;
            } else if crate::schema::same_values(column.data_type(), field.data_type()) {
                let column = cast(column, field.data_type()).map_err(|error| error.to_string())?;
                self.push(&column)?;
            } else {
                return Err(format!(
                    "column `{}` has type {} instead of {}",
                    field.name(),
                    column.data_type(),
                    field.data_type()
                ));
            }
        }
        Ok(())
    }

    /// Calls `f` with the batch as it is lowered.
    pub(crate) fn with<R>(&self, f: impl FnOnce(BatchIn<'_>) -> R) -> R {
        let buffers: Vec<&[u8]> = self.buffers.iter().map(Buffer::as_slice).collect();
        f(BatchIn {
            rows: self.rows,
            nodes: &self.nodes,
            buffers: &buffers,
        })
    }

    /// Lets go of the columns.
    pub(crate) fn clear(&mut self) {
        self.nodes.clear();
        self.buffers.clear();
    }

    fn push(&mut self, array: &ArrayRef) -> Result<(), String> {
        let length =
            u32::try_from(array.len()).map_err(|_| format!("a column of {} values is too large", array.len()))?;
        let null_count = array.null_count() as u32;
        self.nodes.push(Node { length, null_count });
        self.buffers.push(match array.nulls() {
            Some(nulls) if null_count > 0 => bits(nulls.inner()),
            _ => Buffer::default(),
        });
        match array.data_type() {
            DataType::Boolean => self.buffers.push(bits(array.as_boolean().values())),
            DataType::Int8 => self.push_values(array.as_primitive::<Int8Type>().values()),
            DataType::Int16 => self.push_values(array.as_primitive::<Int16Type>().values()),
            DataType::Int32 => self.push_values(array.as_primitive::<Int32Type>().values()),
            DataType::Int64 => self.push_values(array.as_primitive::<Int64Type>().values()),
            DataType::UInt8 => self.push_values(array.as_primitive::<UInt8Type>().values()),
            DataType::UInt16 => self.push_values(array.as_primitive::<UInt16Type>().values()),
            DataType::UInt32 => self.push_values(array.as_primitive::<UInt32Type>().values()),
            DataType::UInt64 => self.push_values(array.as_primitive::<UInt64Type>().values()),
            DataType::Float32 => self.push_values(array.as_primitive::<Float32Type>().values()),
            DataType::Float64 => self.push_values(array.as_primitive::<Float64Type>().values()),
            DataType::Date32 => self.push_values(array.as_primitive::<Date32Type>().values()),
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                self.push_values(array.as_primitive::<TimestampMicrosecondType>().values());
            }
            DataType::Decimal128(..) => self.push_values(array.as_primitive::<Decimal128Type>().values()),
            DataType::Utf8 => {
                let array = array.as_string::<i32>();
                self.push_bytes(array.offsets(), array.values());
            }
            DataType::Binary => {
                let array = array.as_binary::<i32>();
                self.push_bytes(array.offsets(), array.values());
            }
            DataType::List(item) => {
                let array = array.as_list::<i32>();
                let (offsets, start, end) = from_zero(array.offsets());
                self.buffers.push(offsets);
                let items = array.values().slice(start, end - start);
                no_null(item.is_nullable(), &items, item.name())?;
                self.push(&items)?;
            }
            DataType::Struct(fields) => {
                let array = array.as_struct();
                for (field, column) in fields.iter().zip(array.columns()) {
                    if !field.is_nullable() && column.null_count() > 0 {
                        // Nulls below a null struct are no values.
                        let visible = arrow::buffer::NullBuffer::union(array.nulls(), column.nulls());
                        if visible.map_or(0, |nulls| nulls.null_count()) > array.null_count() {
                            return Err(format!(
                                "field `{}` has nulls, which the function does not take",
                                field.name()
                            ));
                        }
                    }
                    self.push(column)?;
                }
            }
            other => return Err(format!("columns of type {other} cannot be passed to functions")),
        }
        Ok(())
    }

    fn push_values<T: ArrowNativeType>(&mut self, values: &ScalarBuffer<T>) {
        self.buffers.push(values.inner().clone());
    }

    fn push_bytes(&mut self, offsets: &OffsetBuffer<i32>, values: &Buffer) {
        let (offsets, start, end) = from_zero(offsets);
        self.buffers.push(offsets);
        self.buffers.push(values.slice_with_length(start, end - start));
    }
}

fn bits(bits: &BooleanBuffer) -> Buffer {
    bits.sliced()
}

/// The offsets, moved so that the first is zero, and the range of items that they cover.
fn from_zero<O: OffsetSizeTrait>(offsets: &OffsetBuffer<O>) -> (Buffer, usize, usize) {
    let (first, last) = (offsets[0], offsets[offsets.len() - 1]);
    let buffer = if first == O::zero() {
        offsets.inner().inner().clone()
    } else {
        offsets
            .iter()
            .map(|offset| *offset - first)
            .collect::<ScalarBuffer<O>>()
            .into_inner()
    };
    (buffer, first.as_usize(), last.as_usize())
}

fn no_null(nullable: bool, array: &ArrayRef, name: &str) -> Result<(), String> {
    if nullable || array.null_count() == 0 {
        Ok(())
    } else {
        Err(format!(
            "items `{name}` of a list have nulls, which the function does not take"
        ))
    }
}
