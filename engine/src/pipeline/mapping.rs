//! `MapToFields`, `Filter`, `Explode` and `StripErrorMetadata`.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::functions::core::expr_fn::get_field;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, lit};
use datafusion::prelude::SessionContext;
use weir_model::spec::{Explode, Expression, Filter, MapToFields, Span};

use super::combine::quoted;
use super::expressions::Expressions;
use super::flow::Flow;
use super::operators::{MapRowsSpec, RowOperation, RowsKind, RowsNode};
use super::problems::{Place, Problem, Result};
use super::tables::Query;
use super::wasm::WasmCalls;

/// The fields that records of errors are found in, by the conventions of different transforms.
const ERROR_FIELDS: [&str; 3] = ["failed_row", "element", "record"];

/// What a transform does to each row, not decided yet how.
pub(super) enum RowWise {
    /// New fields.
    Project(Vec<Mapped>),
    /// Which rows stay.
    Filter(Expr),
    /// Lists to rows.
    Explode {
        /// The input, with texts split into lists of characters.
        columns: Vec<Expr>,
        lists: Vec<usize>,
        cross_product: bool,
    },
}

/// A field of a projection.
pub(super) struct Mapped {
    name: String,
    expr: Expr,
    /// Where it is written.
    span: Span,
    /// The same in SQL, when it is written in SQL.
    sql: Option<String>,
}

impl RowWise {
    /// `MapToFields`.
    pub(super) fn map(
        place: Place<'_>,
        context: &SessionContext,
        wasm: &WasmCalls<'_>,
        config: &MapToFields,
        input: &Flow,
    ) -> Result<Self> {
        let mut fields: Vec<Mapped> = Vec::new();
        if config.append {
            for name in &config.drop {
                if input.field(name).is_none() {
                    return Err(place.no_field(name.span, name, input.names()));
                }
            }
            let dropped: HashSet<&str> = config.drop.iter().map(|name| name.as_str()).collect();
            for (index, name) in input.names().enumerate().filter(|(_, name)| !dropped.contains(name)) {
                let (name, expr, sql) = (name.to_owned(), input.column(index), Some(quoted(name)));
                fields.push(Mapped {
                    name,
                    expr,
                    span: Span::default(),
                    sql,
                });
            }
        }
        let expressions = Expressions::new(place, input, context, wasm);
        for field in &config.fields {
            let name = &field.name;
            if fields.iter().any(|known| known.name == name.value) {
                let message = format!("the input has a field `{name}` already; drop it, or choose another name");
                return Err(place.at(name.span, message));
            }
            let span = Expressions::span(&field.expression);
            let expr = expressions.expression(&field.expression)?;
            let expr = expressions.typed(span, expr, field.output_type.as_ref())?;
            let sql = match &field.expression {
                Expression::Sql(text) if field.output_type.is_none() => Some(text.value.clone()),
                _ => None,
            };
            fields.push(Mapped {
                name: name.value.clone(),
                expr,
                span,
                sql,
            });
        }
        Ok(Self::Project(fields))
    }

    /// `Filter`.
    pub(super) fn filter(
        place: Place<'_>,
        context: &SessionContext,
        wasm: &WasmCalls<'_>,
        config: &Filter,
        input: &Flow,
    ) -> Result<Self> {
        let expressions = Expressions::new(place, input, context, wasm);
        let keep = expressions.predicate(&config.keep)?;
        if contains(&keep, |expr| {
            matches!(expr, Expr::AggregateFunction(_) | Expr::WindowFunction(_))
        })? {
            let span = Expressions::span(&config.keep);
            return Err(place.at(
                span,
                "a condition is about one row; aggregate in a transform before this one",
            ));
        }
        Ok(Self::Filter(keep))
    }

    /// `Explode`.
    pub(super) fn explode(place: Place<'_>, config: &Explode, input: &Flow) -> Result<Self> {
        let mut columns: Vec<Expr> = input.columns();
        let mut lists = Vec::with_capacity(config.fields.len());
        for name in &config.fields {
            let Some((index, field)) = input.field(name) else {
                return Err(place.no_field(name.span, name, input.names()));
            };
            match field.data_type() {
                DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(_, _) => {}
                data_type if data_type.is_string() => {
                    let characters = datafusion::functions_nested::expr_fn::string_to_array(
                        input.column(index),
                        lit(datafusion::common::ScalarValue::Utf8(None)),
                        lit(datafusion::common::ScalarValue::Utf8(None)),
                    );
                    columns[index] = characters.alias(field.name());
                }
                data_type => {
                    let message = format!(
                        "`{name}` is {}, and only lists can be exploded",
                        super::flow::type_name(data_type)
                    );
                    return Err(place.at(name.span, message));
                }
            }
            if lists.contains(&index) {
                return Err(place.at(name.span, format!("`{name}` is named twice")));
            }
            lists.push(index);
        }
        Ok(Self::Explode {
            columns,
            lists,
            cross_product: config.cross_product,
        })
    }

    /// The plan where a row that fails fails the run.
    pub(super) async fn plan(self, place: Place<'_>, context: &SessionContext, input: &Flow) -> Result<LogicalPlan> {
        match self {
            Self::Project(fields) => project(place, context, fields, input).await,
            Self::Filter(keep) => input
                .builder()
                .filter(keep)
                .and_then(LogicalPlanBuilder::build)
                .map_err(place.wrong()),
            Self::Explode { .. } => self.node(place, input, false, false),
        }
    }

    /// The plan whose output is tagged, so that rows that fail can be told from the others.
    pub(super) fn captured(self, place: Place<'_>, input: &Flow, counted: bool) -> Result<LogicalPlan> {
        self.node(place, input, true, counted)
    }

    fn node(self, place: Place<'_>, input: &Flow, capture: bool, counted: bool) -> Result<LogicalPlan> {
        let mut plan = input.plan.clone();
        let (operation, exprs) = match self {
            Self::Project(fields) => {
                let whole = |expr: &Expr| {
                    contains(expr, |expr| {
                        matches!(
                            expr,
                            Expr::AggregateFunction(_)
                                | Expr::WindowFunction(_)
                                | Expr::ScalarSubquery(_)
                                | Expr::InSubquery(_)
                                | Expr::Exists(_)
                        )
                    })
                };
                for field in &fields {
                    if whole(&field.expr)? {
                        let message = "error_handling is about single rows, and this expression is about several";
                        return Err(place.at(field.span, message));
                    }
                }
                let (names, exprs) = fields.into_iter().map(|field| (field.name, field.expr)).unzip();
                (RowOperation::Project { names }, exprs)
            }
            Self::Filter(keep) => (RowOperation::Filter, vec![keep]),
            Self::Explode {
                columns,
                lists,
                cross_product,
            } => {
                if columns.iter().any(|column| !matches!(column, Expr::Column(_))) {
                    let split = input.builder().project(columns).and_then(LogicalPlanBuilder::build);
                    plan = split.map_err(place.wrong())?;
                }
                (
                    RowOperation::Explode {
                        columns: lists,
                        cross_product,
                    },
                    Vec::new(),
                )
            }
        };
        let spec = MapRowsSpec {
            transform: place.transform.name.clone(),
            operation,
            capture,
            counted,
        };
        RowsNode::plan(RowsKind::Map(spec), plan, exprs).map_err(place.wrong())
    }
}

async fn project(place: Place<'_>, context: &SessionContext, fields: Vec<Mapped>, input: &Flow) -> Result<LogicalPlan> {
    let mut over_rows = None;
    for field in &fields {
        if contains(&field.expr, |expr| {
            matches!(expr, Expr::AggregateFunction(_) | Expr::WindowFunction(_))
        })? {
            over_rows = Some(field.span);
        }
    }
    let Some(span) = over_rows else {
        let named = fields.into_iter().map(|field| field.expr.alias(field.name));
        return input
            .builder()
            .project(named)
            .and_then(LogicalPlanBuilder::build)
            .map_err(place.wrong());
    };
    // In Beam expressions in SQL are the columns of a SELECT, so they may look at several rows.
    let column = |field: &Mapped| Some(format!("({}) AS {}", field.sql.as_ref()?, quoted(&field.name)));
    let Some(columns) = fields.iter().map(column).collect::<Option<Vec<_>>>() else {
        let message = "an expression over several rows cannot stand beside an output_type; cast in SQL instead";
        return Err(place.at(span, message));
    };
    let query = format!("SELECT {} FROM PCOLLECTION", columns.join(", "));
    let tables = [("PCOLLECTION", 0, Arc::clone(input.schema().inner()))];
    let planned = Query::plan(context, &query, &tables)
        .await
        .map_err(|error| place.failed(span, &error))?;
    planned.over(std::slice::from_ref(&input.plan)).map_err(place.wrong())
}

fn contains(expr: &Expr, wanted: impl Fn(&Expr) -> bool) -> Result<bool> {
    let mut found = false;
    let walked = expr.apply(|expr| {
        found |= wanted(expr);
        Ok(TreeNodeRecursion::Continue)
    });
    walked.map_err(|error| Problem::Other(error.into()))?;
    Ok(found)
}

/// `StripErrorMetadata`.
pub(super) fn strip(place: Place<'_>, input: &Flow) -> Result<LogicalPlan> {
    let Some((index, field)) = ERROR_FIELDS.iter().find_map(|name| input.field(name)) else {
        return Err(place.here(format!(
            "the input is no error output: it has none of the fields {}; name one, such as `input: Transform.errors`",
            ERROR_FIELDS.map(|name| format!("`{name}`")).join(", ")
        )));
    };
    let record = input.column(index);
    let columns: Vec<Expr> = match field.data_type() {
        DataType::Struct(fields) => fields
            .iter()
            .map(|field| get_field(record.clone(), field.name().clone()).alias(field.name()))
            .collect(),
        _ => vec![record.alias("element")],
    };
    input
        .builder()
        .project(columns)
        .and_then(LogicalPlanBuilder::build)
        .map_err(place.wrong())
}
