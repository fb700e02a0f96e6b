//! Which Rust types are values of columns, and how they are read and written.

use std::borrow::Cow;

use crate::bindings::weir::udf::types::{Batch, DataType, Decimal as DecimalType, Field};
use crate::build::{BoolBuilder, Build, BuildFields, BytesBuilder, FixedBuilder, ListBuilder, StructBuilder};
use crate::column::{
    BLOCK, Bits, BoolColumn, BytesColumn, Cursor, FixedBlock, FixedColumn, ListColumn, Mask, Offsets, TextColumn,
};

/// A type that a function can take.
///
/// Implemented for the types that are listed at the [crate's top](crate#types), and by `#[derive(Row)]`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a type of columns",
    note = "a function takes bool, integers, floats, text, bytes, `Date`, `Timestamp`, `UtcTimestamp`, `Decimal`, \
            structs that derive `Row`, and `Option` and `Vec` of those"
)]
pub trait Read<'a>: Sized {
    /// What it is read from.
    type Column: Copy;

    /// Some rows of it, next to each other.
    type Block: Copy;

    /// Declares a column of this type.
    fn declare(name: &str, nullable: bool, fields: &mut Vec<Field>);

    /// Takes a column from a batch.
    ///
    /// # Errors
    /// When the batch has not the shape that was declared.
    fn column(cursor: &mut Cursor<'a>) -> Result<Self::Column, String>;

    /// Which rows are there; none when all are, or when the type itself can be null.
    fn validity(column: &Self::Column) -> Option<Bits<'a>>;

    /// The value of a row that is there.
    fn get(column: &Self::Column, row: usize) -> Self;

    /// A whole block of rows, from row `start` on.
    fn block(column: &Self::Column, start: usize) -> Self::Block;

    /// The value of row `i` of a block, if that row is there; else any value or a panic.
    fn of(block: Self::Block, i: usize) -> Self;
}

/// A type that a function can return.
///
/// Implemented for the types that are listed at the [crate's top](crate#types), and by `#[derive(Row)]`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a type of columns",
    note = "a function returns bool, integers, floats, text, bytes, `Date`, `Timestamp`, `UtcTimestamp`, `Decimal`, \
            structs that derive `Row`, and `Option` and `Vec` of those"
)]
pub trait Write: Sized {
    /// What it is written to. Types that differ in lifetimes only have the same.
    type Builder: Build;

    /// Declares a column of this type.
    fn declare(name: &str, nullable: bool, fields: &mut Vec<Field>);

    /// Adds this value.
    fn push(self, builder: &mut Self::Builder);

    /// Adds a block of rows: `value` has those in `present`, the others are null.
    #[inline]
    fn extend(builder: &mut Self::Builder, present: Mask, mut value: impl FnMut(usize) -> Self) {
        for i in 0..BLOCK {
            if present >> i & 1 == 1 {
                value(i).push(builder);
            } else {
                builder.push_null();
            }
        }
    }
}

/// A struct that is a row of an output; made by `#[derive(Row)]`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a row of an output",
    note = "derive it: `#[derive(Row)]` on a struct with named fields"
)]
pub trait Row: Write {
    /// Declares the fields as columns.
    fn declare_columns(fields: &mut Vec<Field>);

    /// Makes the fields the columns of a batch.
    fn into_batch(builder: Self::Builder) -> Batch;
}

/// Adds a node to a schema.
pub fn declare(name: &str, data_type: DataType, nullable: bool, children: u32, fields: &mut Vec<Field>) {
    fields.push(Field {
        name: name.to_owned(),
        data_type,
        nullable,
        children,
    });
}

/// Makes a batch of a row's builder.
pub fn row_batch<F: BuildFields>(builder: StructBuilder<F>) -> Batch {
    builder.into_batch()
}

macro_rules! fixed {
    ($($type:ty $(where { $(const $param:ident: $of:ty),* })?, $bytes:literal, $data_type:expr,
        |$from:ident| $read:expr, |$to:ident| $write:expr;)*) => {$(
        impl<'a, $($(const $param: $of),*)?> Read<'a> for $type {
            type Column = FixedColumn<'a, $bytes>;
            type Block = FixedBlock<'a, $bytes>;

            fn declare(name: &str, nullable: bool, fields: &mut Vec<Field>) {
                declare(name, $data_type, nullable, 0, fields);
            }

            fn column(cursor: &mut Cursor<'a>) -> Result<Self::Column, String> {
                FixedColumn::read(cursor)
            }

            #[inline]
            fn validity(column: &Self::Column) -> Option<Bits<'a>> {
                column.validity
            }

            #[inline]
            fn get(column: &Self::Column, row: usize) -> Self {
                let $from = column.values[row];
                $read
            }

            #[inline]
            fn block(column: &Self::Column, start: usize) -> Self::Block {
                column.block(start)
            }

            #[inline]
            fn of(block: Self::Block, i: usize) -> Self {
                let $from = block[i];
                $read
            }
        }

        impl<$($(const $param: $of),*)?> Write for $type {
            type Builder = FixedBuilder<$bytes>;

            fn declare(name: &str, nullable: bool, fields: &mut Vec<Field>) {
                declare(name, $data_type, nullable, 0, fields);
            }

            #[inline]
            fn push(self, builder: &mut Self::Builder) {
                let $to = self;
                builder.push($write);
            }

            #[inline]
            fn extend(builder: &mut Self::Builder, present: Mask, mut value: impl FnMut(usize) -> Self) {
                builder.extend(present, |i| {
                    let $to = value(i);
                    $write
                });
            }
        }
    )*};
}

fixed! {
    i8, 1, DataType::Int8, |bytes| i8::from_le_bytes(bytes), |value| value.to_le_bytes();
    i16, 2, DataType::Int16, |bytes| i16::from_le_bytes(bytes), |value| value.to_le_bytes();
    i32, 4, DataType::Int32, |bytes| i32::from_le_bytes(bytes), |value| value.to_le_bytes();
    i64, 8, DataType::Int64, |bytes| i64::from_le_bytes(bytes), |value| value.to_le_bytes();
    u8, 1, DataType::Uint8, |bytes| u8::from_le_bytes(bytes), |value| value.to_le_bytes();
    u16, 2, DataType::Uint16, |bytes| u16::from_le_bytes(bytes), |value| value.to_le_bytes();
    u32, 4, DataType::Uint32, |bytes| u32::from_le_bytes(bytes), |value| value.to_le_bytes();
    u64, 8, DataType::Uint64, |bytes| u64::from_le_bytes(bytes), |value| value.to_le_bytes();
    f32, 4, DataType::Float32, |bytes| f32::from_le_bytes(bytes), |value| value.to_le_bytes();
    f64, 8, DataType::Float64, |bytes| f64::from_le_bytes(bytes), |value| value.to_le_bytes();
    Date, 4, DataType::Date32, |bytes| Date(i32::from_le_bytes(bytes)), |value| value.0.to_le_bytes();
    Timestamp, 8, DataType::Timestamp(None),
        |bytes| Timestamp(i64::from_le_bytes(bytes)), |value| value.0.to_le_bytes();
    UtcTimestamp, 8, DataType::Timestamp(Some("+00:00".to_owned())),
        |bytes| UtcTimestamp(i64::from_le_bytes(bytes)), |value| value.0.to_le_bytes();
    Decimal<PRECISION, SCALE> where { const PRECISION: u8, const SCALE: i8 }, 16,
        DataType::Decimal128(DecimalType { precision: PRECISION, scale: SCALE }),
        |bytes| Decimal(i128::from_le_bytes(bytes)), |value| value.0.to_le_bytes();
}

/// A day: days since 1970-01-01.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Date(pub i32);

/// A local date and time, without a time zone: microseconds since 1970-01-01T00:00:00.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp(pub i64);

/// An instant: microseconds since 1970-01-01T00:00:00Z. Its column has the time zone `+00:00`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UtcTimestamp(pub i64);

/// A decimal number of `PRECISION` digits (up to 38), `SCALE` of which are behind the point, as the integer that it is
/// without the point: `Decimal::<5, 2>(12345)` is 123.45.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Decimal<const PRECISION: u8, const SCALE: i8>(pub i128);

impl<'a> Read<'a> for bool {
    type Column = BoolColumn<'a>;
    type Block = Mask;

    fn declare(name: &str, nullable: bool, fields: &mut Vec<Field>) {
        declare(name, DataType::Boolean, nullable, 0, fields);
    }

    fn column(cursor: &mut Cursor<'a>) -> Result<Self::Column, String> {
        BoolColumn::read(cursor)
    }

    #[inline]
    fn validity(column: &Self::Column) -> Option<Bits<'a>> {
        column.validity
    }

    #[inline]
    fn get(column: &Self::Column, row: usize) -> Self {
        column.values.get(row)
    }

    #[inline]
    fn block(column: &Self::Column, start: usize) -> Mask {
        column.values.block(start)
    }

    #[inline]
    fn of(block: Mask, i: usize) -> Self {
        block >> i & 1 == 1
    }
}

impl Write for bool {
    type Builder = BoolBuilder;

    fn declare(name: &str, nullable: bool, fields: &mut Vec<Field>) {
        declare(name, DataType::Boolean, nullable, 0, fields);
    }

    #[inline]
    fn push(self, builder: &mut Self::Builder) {
        builder.push(self);
    }

    #[inline]
    fn extend(builder: &mut Self::Builder, present: Mask, value: impl FnMut(usize) -> Self) {
        builder.extend(present, value);
    }
}

macro_rules! bytes {
    ($($type:ty, $column:ident, $data_type:expr, |$value:ident| $read:expr, $as_bytes:ident;)*) => {$(
        impl<'a> Read<'a> for $type {
            type Column = $column<'a>;
            type Block = ($column<'a>, usize);

            fn declare(name: &str, nullable: bool, fields: &mut Vec<Field>) {
                declare(name, $data_type, nullable, 0, fields);
            }

            fn column(cursor: &mut Cursor<'a>) -> Result<Self::Column, String> {
                $column::read(cursor)
            }

            #[inline]
            fn validity(column: &Self::Column) -> Option<Bits<'a>> {
                column.validity
            }

            #[inline]
            fn get(column: &Self::Column, row: usize) -> Self {
                let $value = column.get(row);
                $read
            }

            #[inline]
            fn block(column: &Self::Column, start: usize) -> Self::Block {
                (*column, start)
            }

            #[inline]
            fn of((column, start): Self::Block, i: usize) -> Self {
                Self::get(&column, start + i)
            }
        }

        #[allow(clippy::needless_lifetimes)]
        impl<'a> Write for $type {
            type Builder = BytesBuilder;

            fn declare(name: &str, nullable: bool, fields: &mut Vec<Field>) {
                declare(name, $data_type, nullable, 0, fields);
            }

            #[inline]
            fn push(self, builder: &mut Self::Builder) {
                builder.push(self.$as_bytes());
            }
        }
    )*};
}

bytes! {
    &'a str, TextColumn, DataType::Utf8, |value| value, as_bytes;
    String, TextColumn, DataType::Utf8, |value| value.to_owned(), as_bytes;
    Cow<'a, str>, TextColumn, DataType::Utf8, |value| Cow::Borrowed(value), as_bytes;
    &'a [u8], BytesColumn, DataType::Binary, |value| value, as_ref;
    Vec<u8>, BytesColumn, DataType::Binary, |value| value.to_vec(), as_ref;
    Cow<'a, [u8]>, BytesColumn, DataType::Binary, |value| Cow::Borrowed(value), as_ref;
}

impl<'a, T: Read<'a>> Read<'a> for Option<T> {
    type Column = T::Column;
    type Block = (T::Block, Mask);

    fn declare(name: &str, _nullable: bool, fields: &mut Vec<Field>) {
        T::declare(name, true, fields);
    }

    fn column(cursor: &mut Cursor<'a>) -> Result<Self::Column, String> {
        T::column(cursor)
    }

    #[inline]
    fn validity(_column: &Self::Column) -> Option<Bits<'a>> {
        None
    }

    #[inline]
    fn get(column: &Self::Column, row: usize) -> Self {
        match T::validity(column) {
            Some(validity) if !validity.get(row) => None,
            _ => Some(T::get(column, row)),
        }
    }

    #[inline]
    fn block(column: &Self::Column, start: usize) -> Self::Block {
        let present = T::validity(column).map_or(Mask::MAX, |validity| validity.block(start));
        (T::block(column, start), present)
    }

    #[inline]
    fn of((block, present): Self::Block, i: usize) -> Self {
        (present >> i & 1 == 1).then(|| T::of(block, i))
    }
}

impl<T: Write> Write for Option<T> {
    type Builder = T::Builder;

    fn declare(name: &str, _nullable: bool, fields: &mut Vec<Field>) {
        T::declare(name, true, fields);
    }

    #[inline]
    fn push(self, builder: &mut Self::Builder) {
        match self {
            Some(value) => value.push(builder),
            None => builder.push_null(),
        }
    }
}

/// A type that can be an item of a list: all but `u8`, since `Vec<u8>` is bytes.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an item of a list",
    note = "`Vec<u8>` is a column of bytes; use a wider integer for a list"
)]
pub trait Item {}

macro_rules! items {
    ($($type:ty),*) => { $(impl Item for $type {})* };
}

items!(
    bool,
    i8,
    i16,
    i32,
    i64,
    u16,
    u32,
    u64,
    f32,
    f64,
    Date,
    Timestamp,
    UtcTimestamp
);
items!(&str, String, Cow<'_, str>, &[u8], Vec<u8>, Cow<'_, [u8]>);
impl<const PRECISION: u8, const SCALE: i8> Item for Decimal<PRECISION, SCALE> {}
impl<T> Item for Option<T> {}
impl<T: Item> Item for Vec<T> {}

impl<'a, T: Read<'a> + Item> Read<'a> for Vec<T> {
    type Column = ListColumn<'a, T::Column>;
    type Block = (Self::Column, usize);

    fn declare(name: &str, nullable: bool, fields: &mut Vec<Field>) {
        declare(name, DataType::List, nullable, 1, fields);
        T::declare("item", false, fields);
    }

    fn column(cursor: &mut Cursor<'a>) -> Result<Self::Column, String> {
        let (length, validity) = cursor.node()?;
        Ok(ListColumn {
            validity,
            offsets: Offsets::read(cursor, length)?,
            items: T::column(cursor)?,
        })
    }

    #[inline]
    fn validity(column: &Self::Column) -> Option<Bits<'a>> {
        column.validity
    }

    fn get(column: &Self::Column, row: usize) -> Self {
        column
            .offsets
            .range(row)
            .map(|item| T::get(&column.items, item))
            .collect()
    }

    fn block(column: &Self::Column, start: usize) -> Self::Block {
        (*column, start)
    }

    fn of((column, start): Self::Block, i: usize) -> Self {
        Self::get(&column, start + i)
    }
}

impl<T: Write + Item> Write for Vec<T> {
    type Builder = ListBuilder<T::Builder>;

    fn declare(name: &str, nullable: bool, fields: &mut Vec<Field>) {
        declare(name, DataType::List, nullable, 1, fields);
        T::declare("item", false, fields);
    }

    fn push(self, builder: &mut Self::Builder) {
        builder.push(|items| {
            items.reserve(self.len());
            for item in self {
                item.push(items);
            }
        });
    }
}
