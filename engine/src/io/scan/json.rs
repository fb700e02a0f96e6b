//! The fields of JSON objects and their types.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields};
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

/// What is known of a value that was seen a number of times.
#[derive(Debug, Default)]
pub(super) struct Shape {
    kind: Kind,
    /// How often it was seen and was not null.
    seen: u64,
}

#[derive(Debug, Default)]
enum Kind {
    /// Only null so far.
    #[default]
    Unknown,
    Bool,
    Int,
    Float,
    Text,
    List(Box<Shape>),
    Object(Object),
}

#[derive(Debug, Default)]
struct Object {
    /// In order of first appearance.
    fields: Vec<(String, Shape)>,
    index: HashMap<String, usize>,
}

/// Fields that one file may have.
const MAX_FIELDS: usize = 10_000;

impl Shape {
    /// Takes one line into account.
    pub(super) fn observe(&mut self, line: &str) -> Result<(), String> {
        if !line.trim_start().starts_with('{') {
            return Err("it is not an object".to_owned());
        }
        let mut json = serde_json::Deserializer::from_str(line);
        let observed = self.deserialize(&mut json).and_then(|()| json.end());
        // To serde it always is the first line.
        observed.map_err(|error| error.to_string().replace(" at line 1 column ", " at column "))
    }

    /// The fields of all lines. As in pandas, integers that are missing somewhere become floats.
    pub(super) fn fields(&self) -> Fields {
        let Kind::Object(object) = &self.kind else {
            return Fields::empty();
        };
        let field = |(name, shape): &(String, Self)| {
            let data_type = match shape.kind {
                Kind::Int if shape.seen < self.seen => DataType::Float64,
                _ => shape.data_type(),
            };
            Field::new(name, data_type, true)
        };
        object.fields.iter().map(field).collect()
    }

    fn data_type(&self) -> DataType {
        match &self.kind {
            Kind::Unknown | Kind::Text => DataType::Utf8,
            Kind::Bool => DataType::Boolean,
            Kind::Int => DataType::Int64,
            Kind::Float => DataType::Float64,
            Kind::List(item) => DataType::List(Arc::new(Field::new_list_field(item.data_type(), true))),
            Kind::Object(object) => {
                let field = |(name, shape): &(String, Self)| Field::new(name, shape.data_type(), true);
                DataType::Struct(object.fields.iter().map(field).collect())
            }
        }
    }

    fn scalar<E: serde::de::Error>(&mut self, kind: Kind) -> Result<(), E> {
        self.seen += 1;
        self.kind = match (std::mem::take(&mut self.kind), kind) {
            (Kind::Unknown, kind) => kind,
            (Kind::Int, Kind::Float) | (Kind::Float, Kind::Int) => Kind::Float,
            (known @ (Kind::List(_) | Kind::Object(_)), other) => return Err(mixed(&known, &other)),
            (known, kind) if std::mem::discriminant(&known) == std::mem::discriminant(&kind) => known,
            _ => Kind::Text,
        };
        Ok(())
    }
}

impl Kind {
    fn name(&self) -> &'static str {
        match self {
            Self::Unknown => "null",
            Self::Bool => "a boolean",
            Self::Int | Self::Float => "a number",
            Self::Text => "a string",
            Self::List(_) => "a list",
            Self::Object(_) => "an object",
        }
    }
}

fn mixed<E: serde::de::Error>(known: &Kind, other: &Kind) -> E {
    E::custom(format!(
        "a field is {} here and {} in another line",
        other.name(),
        known.name()
    ))
}

impl<'de> DeserializeSeed<'de> for &mut Shape {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for &mut Shape {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: serde::de::Error>(self, _: bool) -> Result<(), E> {
        self.scalar(Kind::Bool)
    }

    fn visit_i64<E: serde::de::Error>(self, _: i64) -> Result<(), E> {
        self.scalar(Kind::Int)
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<(), E> {
        self.scalar(if i64::try_from(value).is_ok() {
            Kind::Int
        } else {
            Kind::Float
        })
    }

    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<(), E> {
        self.scalar(Kind::Float)
    }

    fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<(), E> {
        self.scalar(Kind::Text)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        self.seen += 1;
        if let Kind::Unknown = self.kind {
            self.kind = Kind::List(Box::default());
        }
        match &mut self.kind {
            Kind::List(item) => {
                while seq.next_element_seed(&mut **item)?.is_some() {}
                Ok(())
            }
            known => Err(mixed(known, &Kind::List(Box::default()))),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        self.seen += 1;
        if let Kind::Unknown = self.kind {
            self.kind = Kind::Object(Object::default());
        }
        let Kind::Object(object) = &mut self.kind else {
            return Err(mixed(&self.kind, &Kind::Object(Object::default())));
        };
        while let Some(key) = map.next_key::<String>()? {
            let next = object.fields.len();
            let index = *object.index.entry(key.clone()).or_insert(next);
            if index == next {
                if next >= MAX_FIELDS {
                    let message = format!("the objects have more than {MAX_FIELDS} different fields");
                    return Err(serde::de::Error::custom(message));
                }
                object.fields.push((key, Shape::default()));
            }
            map.next_value_seed(&mut object.fields[index].1)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(lines: &[&str], expect: Result<&str, &str>) {
        let mut shape = Shape::default();
        let observed = lines.iter().try_for_each(|line| shape.observe(line));
        let found = observed.map(|()| {
            let show = |field: &Arc<Field>| format!("{}: {}", field.name(), field.data_type());
            shape.fields().iter().map(show).collect::<Vec<_>>().join("; ")
        });
        assert_eq!(found.as_deref().map_err(String::as_str), expect);
    }

    #[test]
    fn fields_keep_their_order_and_find_a_common_type() {
        check(
            &[r#"{"z":1,"a":"x"}"#, r#"{"z":2,"a":null,"m":true}"#],
            Ok("z: Int64; a: Utf8; m: Boolean"),
        );
        check(&[r#"{"a":1}"#, r#"{"a":2.5}"#], Ok("a: Float64"));
        check(&[r#"{"a":1}"#, r#"{"a":null}"#], Ok("a: Float64"));
        check(&[r#"{"a":1}"#, r#"{"b":1}"#], Ok("a: Float64; b: Float64"));
        check(&[r#"{"a":1}"#, r#"{"a":"x"}"#], Ok("a: Utf8"));
        check(&[r#"{"a":null}"#], Ok("a: Utf8"));
        check(&[r#"{"a":[1,null],"b":{"c":1}}"#, r#"{"a":[],"b":{"d":[]}}"#], {
            Ok("a: List(Int64); b: Struct(\"c\": Int64, \"d\": List(Utf8))")
        });
    }

    #[test]
    fn what_has_no_common_type_is_refused() {
        let message = "a field is a list here and a number in another line at column 6";
        check(&[r#"{"a":1}"#, r#"{"a":[1]}"#], Err(message));
        check(&["[1]"], Err("it is not an object"));
        check(&["{"], Err("EOF while parsing an object at column 1"));
    }
}
