use std::borrow::Cow;

use weir_guest::__private::{Function, Volatility};
use weir_guest::{Date, Decimal, Row, Timestamp, UtcTimestamp};

use crate::support::{Column, assert_same, batch, bytes, described, longs, texts};

/// Adds.
///
/// And wraps.
#[weir_guest::scalar]
fn add(a: i64, _b: i64) -> i64 {
    a.wrapping_add(_b)
}

#[weir_guest::scalar(name = "half", stable)]
fn checked_half(value: i64) -> Result<i64, String> {
    if value % 2 == 0 {
        Ok(value / 2)
    } else {
        Err(format!("{value} is odd"))
    }
}

#[weir_guest::scalar(volatile)]
fn first<'a>(text: Option<&'a str>, r#else: &'a str) -> Option<&'a str> {
    text.or(Some(r#else)).filter(|text| !text.is_empty())
}

#[weir_guest::scalar]
fn is_long(mut text: Cow<'_, str>) -> bool {
    text.to_mut().push('!');
    text.len() > 3
}

#[derive(Row)]
struct Inner<'a> {
    name: &'a str,
    #[row(name = "the value")]
    value: Option<f32>,
}

#[derive(Row)]
struct Outer {
    date: Date,
    local: Timestamp,
    instant: Option<UtcTimestamp>,
    price: Decimal<9, 2>,
}

#[weir_guest::scalar]
#[allow(clippy::too_many_arguments)]
fn types(
    _a: bool,
    _b: u8,
    _c: Vec<u8>,
    _d: Vec<Option<Vec<u16>>>,
    _e: Option<Inner<'_>>,
    _f: Outer,
    _g: Vec<Inner>,
    _h: &[u8],
) -> Option<Outer> {
    None
}

#[weir_guest::scalar]
fn same(inner: Inner) -> Inner {
    inner
}

mod nested {
    #[weir_guest::scalar]
    pub(crate) fn constant() -> &'static str {
        "c"
    }
}

#[test]
fn signatures_become_schemas() {
    assert_eq!(described::<add>(), "add(a: int64, b: int64) -> main(add: int64?)");
    assert_eq!(described::<checked_half>(), "half(value: int64) -> main(half: int64?)");
    assert_eq!(
        described::<first>(),
        "first(text: utf8?, else: utf8) -> main(first: utf8?)"
    );
    assert_eq!(described::<nested::constant>(), "constant() -> main(constant: utf8?)");
    assert_eq!(
        described::<types>(),
        "types(a: boolean, b: uint8, c: binary, d: list[item: list?[item: uint16]], \
         e: struct?[name: utf8, the value: float32?], \
         f: struct[date: date32, local: timestamp(), instant: timestamp(+00:00)?, price: decimal(9, 2)], \
         g: list[item: struct[name: utf8, the value: float32?]], h: binary) \
         -> main(types: struct?[date: date32, local: timestamp(), instant: timestamp(+00:00)?, price: decimal(9, 2)])"
    );
}

#[test]
fn options_and_documentation() {
    assert_eq!(add::describe().docs, "Adds.\n\nAnd wraps.");
    assert_eq!(add::describe().volatility, Volatility::Immutable);
    assert_eq!(checked_half::describe().volatility, Volatility::Stable);
    assert_eq!(first::describe().volatility, Volatility::Volatile);
    assert_eq!(<checked_half as Function>::NAME, "half");
    assert_eq!(add(1, 2), 3);
}

#[test]
fn rows_with_null_arguments_are_null() {
    let input = batch(
        3,
        [longs(&[Some(1), None, Some(3)]), longs(&[Some(10), Some(20), None])],
    );
    let result = add::open().scalar(&input).unwrap();
    let expected = Column(
        vec![(3, 2)],
        vec![vec![0b001], [11i64, 0, 0].map(i64::to_le_bytes).concat()],
    );
    let mut column = result.column;
    column.buffers[0][0] &= 0b111;
    assert_same(&column, &batch(3, [expected]));
}

#[test]
fn refused_rows_are_null_and_named() {
    let result = checked_half::open()
        .scalar(&batch(3, [longs(&[Some(4), Some(5), Some(6)])]))
        .unwrap();
    let refused: Vec<(u32, &str)> = result
        .errors
        .iter()
        .map(|error| (error.row, error.message.as_str()))
        .collect();
    assert_eq!(refused, [(1, "5 is odd")]);
    assert_eq!(result.column.nodes[0].null_count, 1);
}

#[test]
fn borrowed_text_is_read_and_written() {
    let input = batch(
        4,
        [
            texts(&[Some("a"), None, Some(""), None]),
            texts(&[Some("x"), Some("yz"), Some("x"), None]),
        ],
    );
    let mut column = first::open().scalar(&input).unwrap().column;
    column.buffers[0][0] &= 0b1111;
    let expected = Column(
        vec![(4, 2)],
        vec![vec![0b0011], bytes(&[0, 1, 3, 3, 3]), b"ayz".to_vec()],
    );
    assert_same(&column, &batch(4, [expected]));

    let column = is_long::open()
        .scalar(&batch(2, [texts(&[Some("abc"), Some("a")])]))
        .unwrap()
        .column;
    assert_same(&column, &batch(2, [Column(vec![(2, 0)], vec![vec![], vec![0b01]])]));
}

#[test]
fn structs_are_nodes_with_children() {
    let floats = Column(
        vec![(2, 1)],
        vec![vec![0b01], [1.5f32, 0.0].map(f32::to_le_bytes).concat()],
    );
    let outer = Column(vec![(2, 0)], vec![vec![]]);
    let input = batch(2, [outer, texts(&[Some("n"), Some("m")]), floats]);
    let mut column = same::open().scalar(&input).unwrap().column;
    column.buffers[4][0] &= 0b11;
    assert_same(&column, &input);
}

#[test]
fn batches_of_another_shape_are_errors() {
    let mut instance = add::open();
    for input in [
        batch(1, []),
        batch(1, [longs(&[Some(1)])]),
        batch(9, [longs(&[Some(1)]), Column(vec![(9, 0)], vec![vec![], vec![0; 8]])]),
        batch(9, [longs(&[Some(1)]), Column(vec![(9, 1)], vec![vec![0], vec![0; 72]])]),
    ] {
        assert!(instance.scalar(&input).is_err());
    }
    let other_kind = instance.flat_map(&batch(0, [])).unwrap_err();
    assert_eq!(other_kind.message, "the function is of another kind");
}

/// Functions may be called as the variables of generated code would be.
mod common_names {
    #[weir_guest::scalar]
    pub(crate) fn row(batch: i64) -> i64 {
        batch + 1
    }

    #[weir_guest::scalar]
    pub(crate) fn i(start: i64, cursor: i64) -> i64 {
        start * cursor
    }
}

#[test]
fn functions_may_have_common_names() {
    let input = batch(40, [longs(&[Some(2); 40]), longs(&[Some(3); 40])]);
    let result = common_names::i::open().scalar(&input).unwrap();
    assert_same(&result.column, &batch(40, [longs(&[Some(6); 40])]));
    let result = common_names::row::open().scalar(&input).unwrap();
    assert_same(&result.column, &batch(40, [longs(&[Some(3); 40])]));
}
