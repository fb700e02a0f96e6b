//! The logical node of all operators here, and its planner.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{Field, FieldRef};
use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::{DFSchema, DFSchemaRef, internal_err};
use datafusion::error::Result;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{
    Expr, ExprSchemable, Extension, LogicalPlan, UserDefinedLogicalNode, UserDefinedLogicalNodeCore,
};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_planner::{ExtensionPlanner, PhysicalPlanner};

use super::{AssertExec, AssertSpec, LogExec, LogSpec, MapRowsExec, MapRowsSpec, ThresholdExec, ThresholdSpec};

/// What a [`RowsNode`] does with the rows of its input.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum RowsKind {
    /// Logs them and gives them on.
    Log(LogSpec),
    /// Compares them with what they must be; gives none on.
    Assert(AssertSpec),
    /// Fails when a sum of failures is too large; gives the sums on.
    Threshold(ThresholdSpec),
    /// Maps, filters or explodes them, one by one where they fail.
    Map(MapRowsSpec),
}

/// An operator over the rows of one input.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct RowsNode {
    kind: RowsKind,
    input: LogicalPlan,
    exprs: Vec<Expr>,
    schema: DFSchemaRef,
}

impl RowsNode {
    /// A plan that does `kind` with `input`. Only [`RowsKind::Map`] takes expressions.
    pub(crate) fn plan(kind: RowsKind, input: LogicalPlan, exprs: Vec<Expr>) -> Result<LogicalPlan> {
        let schema = match &kind {
            RowsKind::Log(_) | RowsKind::Assert(_) | RowsKind::Threshold(_) => Arc::clone(input.schema()),
            RowsKind::Map(spec) => {
                let fields = exprs
                    .iter()
                    .map(|expr| expr.to_field(input.schema()).map(|(_, field)| field))
                    .collect::<Result<Vec<FieldRef>>>()?;
                let fields: Vec<&Field> = fields.iter().map(|field| &**field).collect();
                Arc::new(DFSchema::try_from(spec.output(input.schema().as_arrow(), &fields)?)?)
            }
        };
        Ok(LogicalPlan::Extension(Extension {
            node: Arc::new(Self {
                kind,
                input,
                exprs,
                schema,
            }),
        }))
    }
}

/// Nodes are equal or cannot be compared.
impl PartialOrd for RowsNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (self == other).then_some(Ordering::Equal)
    }
}

impl UserDefinedLogicalNodeCore for RowsNode {
    fn name(&self) -> &str {
        match &self.kind {
            RowsKind::Log(_) => "Log",
            RowsKind::Assert(_) => "AssertEqual",
            RowsKind::Threshold(_) => "Threshold",
            RowsKind::Map(_) => "MapRows",
        }
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        self.exprs.clone()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            RowsKind::Log(spec) => write!(f, "{spec}"),
            RowsKind::Assert(spec) => write!(f, "{spec}"),
            RowsKind::Threshold(spec) => write!(f, "{spec}"),
            RowsKind::Map(spec) => {
                let exprs: Vec<_> = self.exprs.iter().map(ToString::to_string).collect();
                spec.show(&exprs, f)
            }
        }
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, mut inputs: Vec<LogicalPlan>) -> Result<Self> {
        match (inputs.pop(), inputs.is_empty()) {
            (Some(input), true) => {
                let schema = match &self.kind {
                    RowsKind::Map(_) => Arc::clone(&self.schema),
                    _ => Arc::clone(input.schema()),
                };
                Ok(Self {
                    kind: self.kind.clone(),
                    input,
                    exprs,
                    schema,
                })
            }
            _ => internal_err!("an operator of a pipeline has one input"),
        }
    }
}

/// Plans [`RowsNode`]s.
pub(crate) struct RowsPlanner;

#[async_trait]
impl ExtensionPlanner for RowsPlanner {
    async fn plan_extension(
        &self,
        planner: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _: &[&LogicalPlan],
        physical_inputs: &[Arc<dyn ExecutionPlan>],
        session: &dyn Session,
        context: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let Some(node) = node.as_any().downcast_ref::<RowsNode>() else {
            return Ok(None);
        };
        let [input] = physical_inputs else {
            return internal_err!("an operator of a pipeline has one input");
        };
        let input = Arc::clone(input);
        Ok(Some(match &node.kind {
            RowsKind::Log(spec) => Arc::new(LogExec::new(spec.clone(), input)),
            RowsKind::Assert(spec) => Arc::new(AssertExec::new(spec.clone(), input)),
            RowsKind::Threshold(spec) => Arc::new(ThresholdExec::new(spec.clone(), input)),
            RowsKind::Map(spec) => {
                let schema = node.input.schema();
                let exprs = node
                    .exprs
                    .iter()
                    .map(|expr| planner.create_physical_expr(expr, schema, session, context));
                Arc::new(MapRowsExec::new(spec.clone(), exprs.collect::<Result<_>>()?, input)?)
            }
        }))
    }
}
