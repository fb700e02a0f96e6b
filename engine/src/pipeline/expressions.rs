//! Expressions of the pipeline file over the fields of an input.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use datafusion::common::ScalarValue;
use datafusion::execution::SessionState;
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, Operator, cast, lit};
use datafusion::prelude::{SessionContext, not};
use weir_model::spec::{Comparison, Expression, GenericExpression, Span, Spanned, Value};

use super::flow::{Flow, type_name, unify};
use super::functions::not_null;
use super::problems::{Place, Result};
use super::wasm::WasmCalls;
use crate::depth::check_text;

/// Turns expressions about an input into DataFusion's.
pub(super) struct Expressions<'a> {
    pub(super) place: Place<'a>,
    pub(super) input: &'a Flow,
    state: SessionState,
    wasm: &'a WasmCalls<'a>,
}

/// A session that takes names as they are written: fields in Beam are told apart by case.
pub(super) fn case_sensitive(context: &SessionContext) -> SessionState {
    let mut state = context.state();
    state.config_mut().options_mut().sql_parser.enable_ident_normalization = false;
    state
}

impl<'a> Expressions<'a> {
    pub(super) fn new(place: Place<'a>, input: &'a Flow, context: &SessionContext, wasm: &'a WasmCalls<'a>) -> Self {
        Self {
            place,
            input,
            state: case_sensitive(context),
            wasm,
        }
    }

    /// An expression in any language.
    pub(super) fn expression(&self, expression: &Expression) -> Result<Expr> {
        match expression {
            Expression::Generic(text) => self.generic(text),
            Expression::Sql(text) => self.sql(text),
            Expression::Wasm(call) => self.wasm.call(self.place, self.input, call),
        }
    }

    /// Where an expression is written.
    pub(super) fn span(expression: &Expression) -> Span {
        match expression {
            Expression::Generic(text) | Expression::Sql(text) => text.span,
            Expression::Wasm(call) => call.function.name.span,
        }
    }

    /// An expression that says which rows to keep.
    pub(super) fn predicate(&self, expression: &Expression) -> Result<Expr> {
        let span = Self::span(expression);
        let expr = self.expression(expression)?;
        let data_type = self.data_type(span, &expr)?;
        match expression {
            Expression::Generic(_) => self.truth(span, expr),
            _ if matches!(data_type, DataType::Boolean | DataType::Null) => Ok(expr),
            _ => {
                let message = format!(
                    "this is {} and no condition; compare it with something",
                    type_name(&data_type)
                );
                Err(self.place.at(span, message))
            }
        }
    }

    /// Whether a value is true in Python's sense; null is not.
    pub(super) fn truth(&self, span: Span, expr: Expr) -> Result<Expr> {
        let data_type = self.data_type(span, &expr)?;
        let truth = match &data_type {
            DataType::Null => lit(false),
            DataType::Boolean => expr,
            data_type if data_type.is_numeric() => expr.not_eq(lit(0_i64)),
            data_type if data_type.is_string() => expr.not_eq(lit("")),
            DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(_, _) => {
                datafusion::functions_nested::expr_fn::cardinality(expr).gt(lit(0_u64))
            }
            // Anything else is true when it is there.
            _ => expr.is_not_null(),
        };
        Ok(datafusion::functions::core::expr_fn::coalesce(vec![truth, lit(false)]))
    }

    /// An expression with the type that the file says it must have, if it does.
    pub(super) fn typed(&self, span: Span, expr: Expr, output_type: Option<&Spanned<Value>>) -> Result<Expr> {
        let Some(wanted) = output_type else { return Ok(expr) };
        let data_type = json_type(&wanted.value).ok_or_else(|| {
            self.place
                .at(wanted.span, "this type is not supported; leave output_type out")
        })?;
        let found = self.data_type(span, &expr)?;
        if found == data_type || (found.is_string() && data_type == DataType::Utf8) {
            return Ok(expr);
        }
        if !arrow::compute::can_cast_types(&found, &data_type) {
            let message = format!("{} cannot be turned into {}", type_name(&found), type_name(&data_type));
            return Err(self.place.at(wanted.span, message));
        }
        Ok(cast(expr, data_type))
    }

    /// The type of an expression.
    pub(super) fn data_type(&self, span: Span, expr: &Expr) -> Result<DataType> {
        expr.get_type(self.input.schema())
            .map_err(|error| self.place.failed(span, &error))
    }

    fn sql(&self, text: &Spanned<String>) -> Result<Expr> {
        check_text(text).map_err(|error| self.place.at(text.span, error.to_string()))?;
        self.state
            .create_logical_expr(text, self.input.schema())
            .map_err(|error| self.place.failed(text.span, &error))
    }

    fn generic(&self, text: &Spanned<String>) -> Result<Expr> {
        let fields: Vec<&str> = self.input.names().collect();
        let parsed = GenericExpression::parse(text, &fields).map_err(|message| self.place.at(text.span, message))?;
        match &parsed {
            GenericExpression::Compare {
                left,
                comparison,
                right,
            } => self.compare(text.span, self.atom(left)?, *comparison, self.atom(right)?),
            atom => self.atom(atom),
        }
    }

    fn atom(&self, atom: &GenericExpression) -> Result<Expr> {
        match atom {
            GenericExpression::Field(name) => match self.input.field(name) {
                Some((index, _)) => Ok(self.input.column(index)),
                None => Err(self.place.no_field(Span::default(), name, self.input.names())),
            },
            GenericExpression::Literal(value) => Ok(literal(value)),
            GenericExpression::Compare { .. } => Err(self.place.here("a comparison cannot be compared")),
        }
    }

    /// Compares as Python does: null equals only null, values of different kinds are never equal, and what has no
    /// order is an error.
    fn compare(&self, span: Span, left: Expr, comparison: Comparison, right: Expr) -> Result<Expr> {
        let (left_type, right_type) = (self.data_type(span, &left)?, self.data_type(span, &right)?);
        let comparable = unify(&as_number(&left_type), &as_number(&right_type)).is_some();
        let [left, right] = [(left, &left_type), (right, &right_type)].map(|(expr, data_type)| match data_type {
            DataType::Boolean if left_type != right_type => cast(expr, DataType::Int64),
            _ => expr,
        });
        let operator = match comparison {
            Comparison::Equal | Comparison::NotEqual => {
                let equal = match comparable {
                    true => binary(left, Operator::IsNotDistinctFrom, right),
                    false => left.is_null().and(right.is_null()),
                };
                return Ok(if comparison == Comparison::Equal {
                    equal
                } else {
                    not(equal)
                });
            }
            Comparison::Less => Operator::Lt,
            Comparison::LessOrEqual => Operator::LtEq,
            Comparison::Greater => Operator::Gt,
            Comparison::GreaterOrEqual => Operator::GtEq,
        };
        if !comparable {
            let message = format!("{} and {} have no order", type_name(&left_type), type_name(&right_type));
            if self.place.transform.error_handling().is_none() {
                return Err(self.place.at(span, message));
            }
            // Then every row is an error, as the file asks for.
            let never = lit(ScalarValue::Boolean(None));
            return Ok(not_null(never, message, &self.place.transform.name));
        }
        let [left, right] = [left, right].map(|side| match side.nullable(self.input.schema()) {
            Ok(false) => side,
            _ => {
                let name = side.to_string();
                let name = name.rsplit('.').next().unwrap_or_default();
                let message = format!("`{name}` is null, which has no order; handle nulls before the comparison");
                not_null(side, message, &self.place.transform.name)
            }
        });
        Ok(binary(left, operator, right))
    }
}

/// Python's booleans are numbers.
fn as_number(data_type: &DataType) -> DataType {
    if *data_type == DataType::Boolean {
        DataType::Int64
    } else {
        data_type.clone()
    }
}

fn binary(left: Expr, operator: Operator, right: Expr) -> Expr {
    Expr::BinaryExpr(BinaryExpr::new(Box::new(left), operator, Box::new(right)))
}

fn literal(value: &Value) -> Expr {
    match value {
        Value::Bool(value) => lit(*value),
        Value::Int(value) => lit(*value),
        Value::Float(value) => lit(*value),
        Value::String(value) => lit(value.clone()),
        Value::Null | Value::List(_) | Value::Map(_) => lit(ScalarValue::Null),
    }
}

/// A JSON schema type as a type of Arrow.
fn json_type(schema: &Value) -> Option<DataType> {
    let Some(Value::String(name)) = schema.get("type") else {
        return None;
    };
    Some(match name.as_str() {
        "string" => DataType::Utf8,
        "integer" => DataType::Int64,
        "number" => DataType::Float64,
        "boolean" => DataType::Boolean,
        "bytes" => DataType::Binary,
        "array" => DataType::List(Arc::new(Field::new_list_field(json_type(schema.get("items")?)?, true))),
        "object" => {
            let Some(Value::Map(properties)) = schema.get("properties") else {
                return None;
            };
            let field = |(name, schema): &(String, Value)| Some(Field::new(name, json_type(schema)?, true));
            DataType::Struct(properties.iter().map(field).collect::<Option<_>>()?)
        }
        _ => return None,
    })
}
