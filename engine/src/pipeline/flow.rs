//! Rows on their way through a pipeline.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use datafusion::catalog::TableProvider;
use datafusion::common::{Column, DFSchema};
use datafusion::datasource::provider_as_source;
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};

/// The rows of one output, and the transforms that make them.
#[derive(Clone, Debug)]
pub(super) struct Flow {
    /// What makes them.
    pub(super) plan: LogicalPlan,
    /// The names of the transforms that the plan does, in order.
    pub(super) transforms: Vec<String>,
}

impl Flow {
    /// The rows of a table, read by `transform`.
    pub(super) fn table(transform: &str, table: Arc<dyn TableProvider>) -> Result<Self> {
        let plan = LogicalPlanBuilder::scan(name(transform), provider_as_source(table), None)?.build()?;
        Ok(Self {
            plan,
            transforms: vec![transform.to_owned()],
        })
    }

    /// The same rows after more was done with them.
    pub(super) fn then(&self, transform: &str, plan: LogicalPlan) -> Self {
        Self::join([self], transform, plan)
    }

    /// What comes of several inputs.
    pub(super) fn join<'a>(inputs: impl IntoIterator<Item = &'a Self>, transform: &str, plan: LogicalPlan) -> Self {
        let mut transforms: Vec<String> = Vec::new();
        for name in inputs.into_iter().flat_map(|input| &input.transforms) {
            if !transforms.contains(name) {
                transforms.push(name.clone());
            }
        }
        transforms.push(transform.to_owned());
        Self { plan, transforms }
    }

    /// The rows' fields.
    pub(super) fn schema(&self) -> &DFSchema {
        self.plan.schema()
    }

    /// The names of the fields.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> + Clone {
        self.schema().fields().iter().map(|field| field.name().as_str())
    }

    /// A field and its position.
    pub(super) fn field(&self, name: &str) -> Option<(usize, &Field)> {
        let fields = self.schema().fields().iter().enumerate();
        fields
            .map(|(index, field)| (index, field.as_ref()))
            .find(|(_, field)| field.name() == name)
    }

    /// The field at a position, as an expression.
    pub(super) fn column(&self, index: usize) -> Expr {
        Expr::Column(Column::from(self.schema().qualified_field(index)))
    }

    /// All fields, as expressions that keep their names.
    pub(super) fn columns(&self) -> Vec<Expr> {
        (0..self.schema().fields().len())
            .map(|index| self.column(index))
            .collect()
    }

    /// The plan, to be built on.
    pub(super) fn builder(&self) -> LogicalPlanBuilder {
        LogicalPlanBuilder::from(self.plan.clone())
    }
}

/// A transform's name as that of a table. Names of transforms may hold anything, so it is one part, never a path.
pub(super) fn name(transform: &str) -> datafusion::common::TableReference {
    datafusion::common::TableReference::bare(transform.to_owned())
}

/// The type that values of both types can be turned into without a loss that anybody would mind: numbers to a wider
/// one, texts to text, lists and structs by their parts.
pub(super) fn unify(a: &DataType, b: &DataType) -> Option<DataType> {
    if a == b {
        return Some(a.clone());
    }
    match (a, b) {
        (DataType::Null, other) | (other, DataType::Null) => Some(other.clone()),
        (a, b) if a.is_string() && b.is_string() => Some(DataType::Utf8View),
        (a, b) if is_bytes(a) && is_bytes(b) => Some(DataType::BinaryView),
        (a, b) if a.is_numeric() && b.is_numeric() => Some(match (a, b) {
            (a, b) if a.is_integer() && b.is_integer() => DataType::Int64,
            (a, b) if a.is_decimal() && b.is_decimal() => {
                datafusion::logical_expr::type_coercion::binary::decimal_coercion(a, b)?
            }
            _ => DataType::Float64,
        }),
        (DataType::List(a), DataType::List(b)) => {
            let item = unify(a.data_type(), b.data_type())?;
            Some(DataType::List(Arc::new(Field::new_list_field(item, true))))
        }
        (DataType::Struct(a), DataType::Struct(b)) => {
            let mut fields: Vec<Field> = a
                .iter()
                .map(|field| field.as_ref().clone().with_nullable(true))
                .collect();
            for field in b {
                match fields.iter_mut().find(|known| known.name() == field.name()) {
                    Some(known) => known.set_data_type(unify(known.data_type(), field.data_type())?),
                    None => fields.push(field.as_ref().clone().with_nullable(true)),
                }
            }
            Some(DataType::Struct(fields.into()))
        }
        (DataType::Timestamp(_, a), DataType::Timestamp(_, b)) if a == b => {
            Some(DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, a.clone()))
        }
        _ => None,
    }
}

fn is_bytes(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView
    )
}

/// Names of which each is there once: one that is taken already gets a number, as in Calcite: `id`, `id0`, `id1`.
pub(super) fn unique(names: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut taken: HashSet<String> = HashSet::new();
    let free = |name: String| {
        let numbered = (0..).map(|number| format!("{name}{number}"));
        let free = std::iter::once(name.clone())
            .chain(numbered)
            .find(|name| !taken.contains(name));
        let free = free.unwrap_or(name);
        taken.insert(free.clone());
        free
    };
    names.into_iter().map(free).collect()
}

/// A type in words for people.
pub(super) fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Null => "null".to_owned(),
        DataType::Boolean => "boolean".to_owned(),
        data_type if data_type.is_integer() => "integer".to_owned(),
        data_type if data_type.is_numeric() => "number".to_owned(),
        data_type if data_type.is_string() => "string".to_owned(),
        data_type if is_bytes(data_type) => "bytes".to_owned(),
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            format!("list of {}", type_name(item.data_type()))
        }
        DataType::Struct(_) => "object".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_unique() {
        let names = ["id", "id0", "id", "x", "id"].map(str::to_owned);
        assert_eq!(unique(names), ["id", "id0", "id1", "x", "id2"]);
    }

    #[test]
    fn types_that_unify() {
        use DataType::{Boolean, Float64, Int32, Int64, Null, Utf8, Utf8View};
        let list = |item| DataType::List(Arc::new(Field::new_list_field(item, true)));
        let check = |a, b, expect: Option<DataType>| {
            assert_eq!(unify(&a, &b), expect);
            assert_eq!(unify(&b, &a), expect);
        };
        check(Int32, Int64, Some(Int64));
        check(Int64, Float64, Some(Float64));
        check(Utf8, Utf8View, Some(Utf8View));
        check(Null, Boolean, Some(Boolean));
        check(Int64, Utf8, None);
        check(Int64, Boolean, None);
        check(list(Int64), list(Null), Some(list(Int64)));
        check(list(Int64), Int64, None);
    }
}
