//! Schemas: the contract's flattened trees against Arrow's fields.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::datatypes::{DECIMAL128_MAX_PRECISION, DataType, Field, FieldRef, Fields, TimeUnit};

use crate::{abi, words};

/// Nodes of one schema. Far more than any function has, few enough to be cheap.
const MAX_NODES: usize = 4_096;
/// Levels of lists and structs.
const MAX_DEPTH: usize = 16;
/// Bytes of a column's name.
const MAX_NAME: usize = 256;

/// Reads the columns that a guest declared.
///
/// # Errors
/// What is wrong with them, for the author of the guest.
pub(crate) fn fields_from_guest(nodes: &[abi::Field]) -> Result<Fields, String> {
    if nodes.len() > MAX_NODES {
        return Err(format!("a schema of {} nodes; {MAX_NODES} are allowed", nodes.len()));
    }
    let mut rest = nodes;
    let mut fields = Vec::new();
    while !rest.is_empty() {
        fields.push(field_from_guest(&mut rest, 0)?);
    }
    distinct(&fields)?;
    Ok(fields.into())
}

/// Checks that no two columns, or fields of one struct, have the same name.
fn distinct(fields: &[FieldRef]) -> Result<(), String> {
    let mut names = HashSet::with_capacity(fields.len());
    match fields.iter().find(|field| !names.insert(field.name())) {
        Some(twice) => Err(format!("two columns `{}`", twice.name())),
        None => Ok(()),
    }
}

fn field_from_guest(nodes: &mut &[abi::Field], depth: usize) -> Result<FieldRef, String> {
    let Some((node, rest)) = nodes.split_first() else {
        return Err("a schema ends before all declared children".to_owned());
    };
    *nodes = rest;
    let name = &node.name;
    if name.len() > MAX_NAME {
        return Err(format!("a column name of {} bytes; {MAX_NAME} are allowed", name.len()));
    }
    if name.is_empty() {
        return Err("a column without a name".to_owned());
    }
    if name.contains(char::is_control) {
        return Err(format!(
            "column `{}` has a control character in its name",
            words::name(name)
        ));
    }
    if depth >= MAX_DEPTH {
        return Err(format!("column `{name}` is nested deeper than {MAX_DEPTH} levels"));
    }
    let mut children = Vec::new();
    for _ in 0..node.children {
        children.push(field_from_guest(nodes, depth + 1)?);
    }
    let data_type = match (&node.data_type, children.as_slice()) {
        (abi::DataType::List, [item]) => DataType::List(item.clone()),
        (abi::DataType::List, _) => {
            return Err(format!(
                "list column `{name}` has {} children instead of one",
                children.len()
            ));
        }
        (abi::DataType::Struct, []) => return Err(format!("struct column `{name}` has no fields")),
        (abi::DataType::Struct, _) => {
            distinct(&children).map_err(|message| format!("column `{name}`: {message}"))?;
            DataType::Struct(children.into())
        }
        (_, [_, ..]) => return Err(format!("column `{name}` has children but is no list or struct")),
        (leaf, []) => leaf_from_guest(leaf).map_err(|message| format!("column `{name}`: {message}"))?,
    };
    Ok(Arc::new(Field::new(name, data_type, node.nullable)))
}

fn leaf_from_guest(data_type: &abi::DataType) -> Result<DataType, String> {
    Ok(match data_type {
        abi::DataType::Boolean => DataType::Boolean,
        abi::DataType::Int8 => DataType::Int8,
        abi::DataType::Int16 => DataType::Int16,
        abi::DataType::Int32 => DataType::Int32,
        abi::DataType::Int64 => DataType::Int64,
        abi::DataType::UInt8 => DataType::UInt8,
        abi::DataType::UInt16 => DataType::UInt16,
        abi::DataType::UInt32 => DataType::UInt32,
        abi::DataType::UInt64 => DataType::UInt64,
        abi::DataType::Float32 => DataType::Float32,
        abi::DataType::Float64 => DataType::Float64,
        abi::DataType::Utf8 => DataType::Utf8,
        abi::DataType::Binary => DataType::Binary,
        abi::DataType::Date32 => DataType::Date32,
        abi::DataType::Timestamp(zone) => {
            if zone
                .as_ref()
                .is_some_and(|zone| zone.is_empty() || zone.len() > MAX_NAME || zone.contains(char::is_control))
            {
                return Err(format!(
                    "a time zone must have a name of 1 to {MAX_NAME} bytes without control characters"
                ));
            }
            DataType::Timestamp(TimeUnit::Microsecond, zone.as_deref().map(Into::into))
        }
        abi::DataType::Decimal128(abi::Decimal { precision, scale }) => {
            if !(1..=DECIMAL128_MAX_PRECISION).contains(precision) || *scale < 0 || *scale as u8 > *precision {
                return Err(format!(
                    "there is no decimal type of {precision} digits with {scale} behind the point"
                ));
            }
            DataType::Decimal128(*precision, *scale)
        }
        abi::DataType::List | abi::DataType::Struct => return Err("children are missing".to_owned()),
    })
}

/// Writes columns for a guest.
///
/// # Errors
/// Names the first type that the contract does not have.
pub(crate) fn fields_to_guest<'a>(fields: impl IntoIterator<Item = &'a FieldRef>) -> Result<Vec<abi::Field>, String> {
    let mut nodes = Vec::new();
    for field in fields {
        field_to_guest(field, &mut nodes)?;
    }
    Ok(nodes)
}

fn field_to_guest(field: &FieldRef, nodes: &mut Vec<abi::Field>) -> Result<(), String> {
    let children: &[FieldRef] = match field.data_type() {
        DataType::List(item) => std::slice::from_ref(item),
        DataType::Struct(fields) => fields,
        _ => &[],
    };
    let data_type = match field.data_type() {
        DataType::Boolean => abi::DataType::Boolean,
        DataType::Int8 => abi::DataType::Int8,
        DataType::Int16 => abi::DataType::Int16,
        DataType::Int32 => abi::DataType::Int32,
        DataType::Int64 => abi::DataType::Int64,
        DataType::UInt8 => abi::DataType::UInt8,
        DataType::UInt16 => abi::DataType::UInt16,
        DataType::UInt32 => abi::DataType::UInt32,
        DataType::UInt64 => abi::DataType::UInt64,
        DataType::Float32 => abi::DataType::Float32,
        DataType::Float64 => abi::DataType::Float64,
        DataType::Utf8 => abi::DataType::Utf8,
        DataType::Binary => abi::DataType::Binary,
        DataType::Date32 => abi::DataType::Date32,
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            abi::DataType::Timestamp(zone.as_deref().map(str::to_owned))
        }
        DataType::Decimal128(precision, scale) => abi::DataType::Decimal128(abi::Decimal {
            precision: *precision,
            scale: *scale,
        }),
        DataType::List(_) => abi::DataType::List,
        DataType::Struct(_) => abi::DataType::Struct,
        other => {
            return Err(format!(
                "column `{}` has type {other}, which functions cannot take",
                field.name()
            ));
        }
    };
    nodes.push(abi::Field {
        name: field.name().clone(),
        data_type,
        nullable: field.is_nullable(),
        children: children.len() as u32,
    });
    children.iter().try_for_each(|child| field_to_guest(child, nodes))
}

/// Whether a function that declares an argument of type `declared` takes a column of type `given`: the same type, or
/// another layout of it.
pub fn takes(declared: &DataType, given: &DataType) -> bool {
    same_values(given, declared)
}

/// Whether a cast from `from` to `to` keeps every value: another layout of the same type.
pub(crate) fn same_values(from: &DataType, to: &DataType) -> bool {
    use DataType::{
        Binary, BinaryView, Dictionary, FixedSizeBinary, FixedSizeList, LargeBinary, LargeList, LargeUtf8, List,
        Struct, Utf8, Utf8View,
    };
    match (from, to) {
        (Dictionary(_, from), to) => same_values(from, to),
        (Utf8 | LargeUtf8 | Utf8View, Utf8) => true,
        (Binary | LargeBinary | BinaryView | FixedSizeBinary(_), Binary) => true,
        (List(from) | LargeList(from) | FixedSizeList(from, _), List(to)) => {
            same_values(from.data_type(), to.data_type())
        }
        (Struct(from), Struct(to)) => {
            from.len() == to.len()
                && from
                    .iter()
                    .zip(to)
                    .all(|(from, to)| same_values(from.data_type(), to.data_type()))
        }
        (from, to) => from == to,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn every_type() -> Fields {
        let item = |data_type| Arc::new(Field::new("item", data_type, true));
        let fields: Vec<Field> = [
            DataType::Boolean,
            DataType::Int8,
            DataType::Int16,
            DataType::Int32,
            DataType::Int64,
            DataType::UInt8,
            DataType::UInt16,
            DataType::UInt32,
            DataType::UInt64,
            DataType::Float32,
            DataType::Float64,
            DataType::Utf8,
            DataType::Binary,
            DataType::Date32,
            DataType::Timestamp(TimeUnit::Microsecond, None),
            DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            DataType::Decimal128(38, 10),
            DataType::List(item(DataType::List(item(DataType::Utf8)))),
            DataType::Struct(Fields::from(vec![
                Field::new("a", DataType::Int8, false),
                Field::new("b", DataType::List(item(DataType::Binary)), true),
            ])),
            DataType::Int8,
        ]
        .into_iter()
        .enumerate()
        .map(|(i, data_type)| Field::new(format!("c{i}"), data_type, i % 2 == 0))
        .collect();
        fields.into()
    }

    #[test]
    fn every_type_survives_the_way_there_and_back() {
        let fields = every_type();
        let nodes = fields_to_guest(&fields).unwrap();
        assert_eq!(fields_from_guest(&nodes).unwrap(), fields);
    }

    #[test]
    fn other_types_are_named() {
        let field: FieldRef = Arc::new(Field::new("x", DataType::Float16, true));
        let message = fields_to_guest([&field]).unwrap_err();
        assert_eq!(message, "column `x` has type Float16, which functions cannot take");
    }

    fn node(data_type: abi::DataType, children: u32) -> abi::Field {
        abi::Field {
            name: "x".into(),
            data_type,
            nullable: true,
            children,
        }
    }

    #[test]
    fn impossible_schemas_are_refused() {
        use abi::DataType::{Decimal128, Int8, List, Struct, Timestamp};
        let decimal = |precision, scale| Decimal128(abi::Decimal { precision, scale });
        let cases = [
            (vec![node(List, 0)], "instead of one"),
            (vec![node(List, 1)], "ends before"),
            (vec![node(List, u32::MAX)], "ends before"),
            (vec![node(Struct, 0)], "no fields"),
            (vec![node(Int8, 1), node(Int8, 0)], "no list or struct"),
            (vec![node(decimal(0, 0), 0)], "no decimal type"),
            (vec![node(decimal(39, 0), 0)], "no decimal type"),
            (vec![node(decimal(10, 11), 0)], "no decimal type"),
            (vec![node(decimal(10, -1), 0)], "no decimal type"),
            (vec![node(Timestamp(Some(String::new())), 0)], "time zone"),
            (vec![node(List, 1); 100], "nested deeper"),
            (vec![node(Int8, 0); MAX_NODES + 1], "nodes"),
        ];
        for (nodes, expected) in cases {
            let message = fields_from_guest(&nodes).unwrap_err();
            assert!(message.contains(expected), "{message} does not contain {expected}");
        }
    }

    #[test]
    fn only_layouts_may_differ() {
        let int = DataType::Int64;
        assert!(same_values(&DataType::Utf8View, &DataType::Utf8));
        assert!(same_values(
            &DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::LargeUtf8)),
            &DataType::Utf8
        ));
        assert!(!same_values(&DataType::Int32, &int));
        assert!(!same_values(&int, &DataType::Utf8));
    }
}
