//! Batches by hand.

use weir_guest::__private::{Batch, DataType, Field, Function, bindings::weir::udf::types::Node};

/// A batch of columns; each is its nodes, as length and null count, and its buffers.
pub(crate) fn batch(rows: u32, columns: impl IntoIterator<Item = Column>) -> Batch {
    let (mut nodes, mut buffers) = (Vec::new(), Vec::new());
    for column in columns {
        nodes.extend(
            column
                .0
                .into_iter()
                .map(|(length, null_count)| Node { length, null_count }),
        );
        buffers.extend(column.1);
    }
    Batch { rows, nodes, buffers }
}

#[derive(Clone)]
pub(crate) struct Column(pub(crate) Vec<(u32, u32)>, pub(crate) Vec<Vec<u8>>);

/// The bitmap of values that are there, as long as the values are, and the number of those that are not.
fn validity<T>(values: &[Option<T>]) -> (Vec<u8>, u32) {
    let nulls = values.iter().filter(|value| value.is_none()).count();
    let mut bits = vec![0; if nulls > 0 { values.len().div_ceil(8) } else { 0 }];
    if nulls > 0 {
        for row in (0..values.len()).filter(|row| values[*row].is_some()) {
            bits[row / 8] |= 1 << (row % 8);
        }
    }
    (bits, nulls as u32)
}

pub(crate) fn longs(values: &[Option<i64>]) -> Column {
    let (bits, nulls) = validity(values);
    let data = values
        .iter()
        .flat_map(|value| value.unwrap_or(-1).to_le_bytes())
        .collect();
    Column(vec![(values.len() as u32, nulls)], vec![bits, data])
}

pub(crate) fn texts(values: &[Option<&str>]) -> Column {
    let (bits, nulls) = validity(values);
    let mut offsets = vec![0u32];
    let mut data = Vec::new();
    for value in values {
        data.extend_from_slice(value.unwrap_or_default().as_bytes());
        offsets.push(data.len() as u32);
    }
    Column(vec![(values.len() as u32, nulls)], vec![bits, bytes(&offsets), data])
}

pub(crate) fn bytes(offsets: &[u32]) -> Vec<u8> {
    offsets.iter().flat_map(|offset| offset.to_le_bytes()).collect()
}

/// Compares what matters of two batches: bits of a bitmap behind the last row do not.
#[track_caller]
pub(crate) fn assert_same(actual: &Batch, expected: &Batch) {
    let nodes = |batch: &Batch| {
        batch
            .nodes
            .iter()
            .map(|node| (node.length, node.null_count))
            .collect::<Vec<_>>()
    };
    assert_eq!(actual.rows, expected.rows);
    assert_eq!(nodes(actual), nodes(expected));
    assert_eq!(actual.buffers.len(), expected.buffers.len());
    for (actual, expected) in actual.buffers.iter().zip(&expected.buffers) {
        assert_eq!(actual, expected);
    }
}

/// A schema as text: names, types, `?` where nulls may be, and children in brackets.
pub(crate) fn schema(fields: &[Field]) -> String {
    fn one(fields: &mut &[Field], text: &mut String) {
        let (field, rest) = fields.split_first().expect("as many nodes as declared");
        *fields = rest;
        let data_type = match &field.data_type {
            DataType::Decimal128(decimal) => format!("decimal({}, {})", decimal.precision, decimal.scale),
            DataType::Timestamp(zone) => format!("timestamp({})", zone.as_deref().unwrap_or_default()),
            other => format!("{other:?}").replace("DataType::", "").to_lowercase(),
        };
        text.push_str(&format!(
            "{}: {data_type}{}",
            field.name,
            if field.nullable { "?" } else { "" }
        ));
        if field.children > 0 {
            text.push('[');
            for child in 0..field.children {
                text.push_str(if child > 0 { ", " } else { "" });
                one(fields, text);
            }
            text.push(']');
        }
    }
    let (mut fields, mut text) = (fields, String::new());
    while !fields.is_empty() {
        text.push_str(if text.is_empty() { "" } else { ", " });
        one(&mut fields, &mut text);
    }
    text
}

/// Parameters, outputs and state of a function, as text.
pub(crate) fn described<F: Function>() -> String {
    let description = F::describe();
    let outputs: Vec<String> = description
        .outputs
        .iter()
        .map(|output| format!("{}({})", output.name, schema(&output.fields)))
        .collect();
    let state = match schema(&description.state) {
        state if state.is_empty() => state,
        state => format!(" via ({state})"),
    };
    format!(
        "{}({}) -> {}{state}",
        description.name,
        schema(&description.params),
        outputs.join(", ")
    )
}
