//! `Join`, and the union of `Flatten`.

use arrow::datatypes::DataType;
use datafusion::common::{JoinType, ScalarValue, TableReference};
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, cast, lit};
use weir_model::spec::{Join, JoinFields, JoinKind, Spanned};

use super::flow::{Flow, type_name, unify, unique};
use super::problems::{Place, Result};

/// Rows of several inputs side by side.
pub(super) fn join(place: Place<'_>, config: &Join, inputs: &[(&str, &Flow)]) -> Result<LogicalPlan> {
    let aliased = |flow: &Flow, tag: &str| {
        flow.builder()
            .project(flow.columns())?
            .alias(TableReference::bare(tag.to_owned()))?
            .build()
    };
    let find = |tag: &str| inputs.iter().find(|(known, _)| *known == tag).map(|(_, flow)| *flow);
    let column = |(tag, field): &(String, Spanned<String>)| {
        let flow = find(tag).ok_or_else(|| place.at(field.span, format!("there is no input `{tag}`")))?;
        match flow.field(field) {
            Some((_, found)) => Ok((qualified(tag, field), found.data_type().clone())),
            None => Err(place.no_field(field.span, field, flow.names())),
        }
    };
    let Some((first_tag, first)) = inputs.first() else {
        return Err(place.here("there is nothing to join"));
    };
    let mut plan = LogicalPlanBuilder::from(aliased(first, first_tag).map_err(place.wrong())?);
    for step in &config.steps {
        let mut conditions = Vec::with_capacity(step.on.len());
        for condition in &step.on {
            let ((left, left_type), (right, right_type)) = (column(&condition.left)?, column(&condition.right)?);
            let Some(common) = unify(&left_type, &right_type) else {
                let message = format!(
                    "`{}.{}` is {} and `{}.{}` is {}; they cannot be equal",
                    condition.left.0,
                    condition.left.1,
                    type_name(&left_type),
                    condition.right.0,
                    condition.right.1,
                    type_name(&right_type)
                );
                return Err(place.at(condition.right.1.span, message));
            };
            conditions.push(as_type(left, &left_type, &common).eq(as_type(right, &right_type, &common)));
        }
        let flow = find(&step.input).ok_or_else(|| place.here(format!("there is no input `{}`", step.input)))?;
        let kind = match step.kind {
            JoinKind::Inner => JoinType::Inner,
            JoinKind::Left => JoinType::Left,
            JoinKind::Right => JoinType::Right,
            JoinKind::Full => JoinType::Full,
        };
        let right = aliased(flow, &step.input).map_err(place.wrong())?;
        plan = plan.join_on(right, kind, conditions).map_err(place.wrong())?;
    }
    let columns = output(place, config, inputs)?;
    plan.project(columns)
        .and_then(|plan| plan.build())
        .map_err(place.wrong())
}

/// The fields of the output.
fn output(place: Place<'_>, config: &Join, inputs: &[(&str, &Flow)]) -> Result<Vec<Expr>> {
    let mut chosen: Vec<(String, Expr)> = Vec::new();
    let all = |tag: &str, flow: &Flow| {
        let field = |name: &str| (name.to_owned(), qualified(tag, name));
        flow.names().map(field).collect::<Vec<_>>()
    };
    for (tag, fields) in &config.fields {
        let Some((_, flow)) = inputs.iter().find(|(known, _)| **known == tag.value) else {
            return Err(place.at(tag.span, format!("there is no input `{tag}`")));
        };
        match fields {
            JoinFields::All => chosen.extend(all(tag, flow)),
            JoinFields::Some(fields) => {
                for field in fields {
                    if flow.field(&field.field).is_none() {
                        return Err(place.no_field(field.field.span, &field.field, flow.names()));
                    }
                    chosen.push((field.name.value.clone(), qualified(tag, &field.field)));
                }
            }
        }
    }
    for (tag, flow) in inputs {
        if !config.fields.iter().any(|(named, _)| named.value == *tag) {
            chosen.extend(all(tag, flow));
        }
    }
    let names = unique(chosen.iter().map(|(name, _)| name.clone()));
    Ok(chosen
        .into_iter()
        .zip(names)
        .map(|((_, expr), name)| expr.alias(name))
        .collect())
}

fn qualified(tag: &str, name: &str) -> Expr {
    Expr::Column(datafusion::common::Column::new(
        Some(TableReference::bare(tag.to_owned())),
        name,
    ))
}

fn as_type(expr: Expr, from: &DataType, to: &DataType) -> Expr {
    if from == to { expr } else { cast(expr, to.clone()) }
}

/// All rows of all inputs. The fields are those of all inputs, in order of first appearance.
pub(super) fn flatten(place: Place<'_>, inputs: &[&Flow]) -> Result<LogicalPlan> {
    let mut fields: Vec<(String, DataType)> = Vec::new();
    for input in inputs {
        for field in input.schema().fields() {
            match fields.iter_mut().find(|(name, _)| name == field.name()) {
                None => fields.push((field.name().clone(), field.data_type().clone())),
                Some((name, known)) => {
                    *known = unify(known, field.data_type()).ok_or_else(|| {
                        let (known, found) = (type_name(known), type_name(field.data_type()));
                        let message = format!(
                            "`{name}` is {known} in one input and {found} in another; give it one type before they are \
                             put together"
                        );
                        place.here(message)
                    })?;
                }
            }
        }
    }
    let one = |input: &Flow| {
        let column = |(name, data_type): &(String, DataType)| {
            let expr = match input.field(name) {
                Some((index, field)) => as_type(input.column(index), field.data_type(), data_type),
                None => lit(ScalarValue::try_from(data_type)?),
            };
            Ok(expr.alias(name.clone()))
        };
        let columns = fields.iter().map(column).collect::<DataFusionResult<Vec<_>>>()?;
        input.builder().project(columns)?.build()
    };
    let union = || {
        let mut plans = inputs.iter().map(|input| one(input));
        let first = plans.next().transpose()?;
        let Some(first) = first else {
            return LogicalPlanBuilder::empty(false).build();
        };
        plans
            .try_fold(LogicalPlanBuilder::from(first), |all, plan| all.union(plan?))?
            .build()
    };
    union().map_err(place.wrong())
}
