//! `Combine`.

use arrow::datatypes::DataType;
use datafusion::functions_aggregate::expr_fn::{array_agg, avg, bool_and, bool_or, count, max, min, sum};
use datafusion::functions_nested::expr_fn::flatten;
use datafusion::logical_expr::{Expr, LogicalPlan, cast, lit};
use datafusion::prelude::{ExprFunctionExt, SessionContext};
use weir_model::spec::{AggregateFunction, Aggregation, Combine, Expression, Language, Spanned};

use super::expressions::Expressions;
use super::flow::{Flow, type_name};
use super::problems::{Place, Result};
use super::tables::Query;
use super::wasm::WasmCalls;

/// The column that says how many rows there were; it does not leave this module.
const ROWS: &str = "__weir_rows";

/// Groups and aggregates.
pub(super) async fn combine(
    place: Place<'_>,
    context: &SessionContext,
    wasm: &WasmCalls<'_>,
    config: &Combine,
    input: &Flow,
) -> Result<LogicalPlan> {
    for key in &config.group_by {
        if input.field(key).is_none() {
            return Err(place.no_field(key.span, key, input.names()));
        }
        if config
            .combine
            .iter()
            .any(|aggregation| aggregation.field.value == key.value)
        {
            let message = format!("`{key}` is a field of group_by and of combine; give one of them another name");
            return Err(place.at(key.span, message));
        }
    }
    if config.language == Language::Sql {
        return sql(place, context, config, input).await;
    }
    let expressions = Expressions::new(place, input, context, wasm);
    let groups: Vec<Expr> = config
        .group_by
        .iter()
        .filter_map(|key| input.field(key))
        .map(|(index, _)| input.column(index))
        .collect();
    let aggregates = config
        .combine
        .iter()
        .map(|aggregation| Ok(aggregate(&expressions, wasm, aggregation)?.alias(aggregation.field.value.clone())))
        .collect::<Result<Vec<_>>>()?;
    let global = groups.is_empty();
    let build = || {
        let mut functions = aggregates;
        if global {
            functions.push(count(lit(1_i64)).alias(ROWS));
        }
        let names = config
            .combine
            .iter()
            .map(|aggregation| Expr::Column(unqualified(&aggregation.field)));
        let columns: Vec<Expr> = groups.iter().cloned().chain(names).collect();
        let mut plan = input.builder().aggregate(groups, functions)?;
        if global {
            // As in Beam, nothing aggregates to nothing.
            plan = plan.filter(datafusion::prelude::col(ROWS).gt(lit(0_i64)))?;
        }
        plan.project(columns)?.build()
    };
    build().map_err(place.wrong())
}

fn unqualified(name: &str) -> datafusion::common::Column {
    datafusion::common::Column::new_unqualified(name)
}

fn aggregate(expressions: &Expressions<'_>, wasm: &WasmCalls<'_>, aggregation: &Aggregation) -> Result<Expr> {
    let place = expressions.place;
    let span = aggregation.function.span;
    if let AggregateFunction::Wasm { function, config } = &aggregation.function.value {
        return wasm.aggregate(place, expressions, aggregation.value.as_ref(), function, config);
    }
    let Some(value) = &aggregation.value else {
        return Err(place.at(span, "there is no value to aggregate; add `value`"));
    };
    let span = Expressions::span(value);
    let value = expressions.expression(value)?;
    let data_type = expressions.data_type(span, &value)?;
    let unfit = |what: &str| {
        let message = format!("{what} takes {}; this is {}", fit(what), type_name(&data_type));
        place.at(aggregation.function.span, message)
    };
    let number = || match &data_type {
        DataType::Boolean | DataType::Null => Some(cast(value.clone(), DataType::Int64)),
        data_type if data_type.is_numeric() => Some(value.clone()),
        _ => None,
    };
    Ok(match &aggregation.function.value {
        AggregateFunction::Sum => sum(number().ok_or_else(|| unfit("sum"))?),
        AggregateFunction::Mean => avg(number().ok_or_else(|| unfit("mean"))?),
        AggregateFunction::Max if ordered(&data_type) => max(value),
        AggregateFunction::Min if ordered(&data_type) => min(value),
        AggregateFunction::Max => return Err(unfit("max")),
        AggregateFunction::Min => return Err(unfit("min")),
        AggregateFunction::All => bool_and(expressions.truth(span, value)?),
        AggregateFunction::Any => bool_or(expressions.truth(span, value)?),
        // All rows count, those without a value too.
        AggregateFunction::Count => count(lit(1_i64)),
        AggregateFunction::Group => array_agg(value),
        AggregateFunction::Concat => {
            let DataType::List(_) = &data_type else {
                return Err(unfit("concat"));
            };
            let lists = array_agg(value.clone()).filter(value.is_not_null()).build();
            flatten(lists.map_err(|error| place.failed(span, &error))?)
        }
        AggregateFunction::Sql { .. } | AggregateFunction::Wasm { .. } => {
            return Err(place.at(span, "this function needs its language"));
        }
    })
}

fn ordered(data_type: &DataType) -> bool {
    !data_type.is_nested()
}

fn fit(function: &str) -> &'static str {
    match function {
        "concat" => "lists",
        "sum" | "mean" => "numbers",
        _ => "what has an order",
    }
}

/// As Beam does it: one query, in which the expressions are put as they are.
async fn sql(place: Place<'_>, context: &SessionContext, config: &Combine, input: &Flow) -> Result<LogicalPlan> {
    let keys: Vec<String> = config.group_by.iter().map(|key| quoted(key)).collect();
    let tables = [("PCOLLECTION", 0, std::sync::Arc::clone(input.schema().inner()))];
    let mut selected = keys.clone();
    for aggregation in &config.combine {
        let expression = sql_aggregate(place, aggregation)?;
        let column = format!("({expression}) AS {}", quoted(&aggregation.field));
        // One by one first, so that an error has a place.
        let alone = query(&keys, std::slice::from_ref(&column));
        let planned = Query::plan(context, &alone, &tables).await;
        planned.map_err(|error| place.failed(aggregation.function.span, &error))?;
        selected.push(column);
    }
    let planned = Query::plan(context, &query(&keys, &selected), &tables)
        .await
        .map_err(place.wrong())?;
    planned.over(std::slice::from_ref(&input.plan)).map_err(place.wrong())
}

fn query(keys: &[String], selected: &[String]) -> String {
    let group_by = if keys.is_empty() {
        String::new()
    } else {
        format!(" GROUP BY {}", keys.join(", "))
    };
    format!("SELECT {} FROM PCOLLECTION{group_by}", selected.join(", "))
}

fn sql_aggregate(place: Place<'_>, aggregation: &Aggregation) -> Result<String> {
    let AggregateFunction::Sql { function, args } = &aggregation.function.value else {
        return Err(place.at(aggregation.function.span, "this function is not of the language sql"));
    };
    Ok(match &aggregation.value {
        None if args.is_empty() => function.clone(),
        value => {
            let value = value.as_ref().and_then(text).map(|text| text.value.clone());
            let arguments: Vec<_> = value.into_iter().chain(args.iter().cloned()).collect();
            format!("{function}({})", arguments.join(", "))
        }
    })
}

fn text(expression: &Expression) -> Option<&Spanned<String>> {
    match expression {
        Expression::Generic(text) | Expression::Sql(text) => Some(text),
        Expression::Wasm(_) => None,
    }
}

/// A name for SQL.
pub(super) fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}
