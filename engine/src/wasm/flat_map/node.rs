//! The logical node, and its planner.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

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
use weir_sandbox::FunctionKind;

use super::{FlatMapSpec, WasmFlatMapExec};
use crate::wasm::WasmFunction;

/// A flat-map over the rows of one input.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct FlatMapNode {
    function: WasmFunction,
    spec: FlatMapSpec,
    input: LogicalPlan,
    args: Vec<Expr>,
    schema: DFSchemaRef,
}

/// A plan that runs a flat-map function over the rows of `input`, with `args` as its arguments. What its rows look like
/// is said at [`FlatMapSpec`].
///
/// # Errors
/// When the function is of another kind, or the arguments or outputs do not fit it.
pub fn flat_map(function: WasmFunction, spec: FlatMapSpec, input: LogicalPlan, args: Vec<Expr>) -> Result<LogicalPlan> {
    function.expect(FunctionKind::FlatMap)?;
    let given = args
        .iter()
        .map(|arg| arg.get_type(input.schema()))
        .collect::<Result<Vec<_>>>()?;
    let coerced = function.coerce(&given)?;
    let args = args
        .into_iter()
        .zip(&coerced)
        .map(|(arg, data_type)| arg.cast_to(data_type, input.schema()))
        .collect::<Result<Vec<_>>>()?;
    let schema = spec.schema(function.description(), input.schema().as_arrow())?;
    let schema = Arc::new(DFSchema::try_from(schema)?);
    Ok(LogicalPlan::Extension(Extension {
        node: Arc::new(FlatMapNode {
            function,
            spec,
            input,
            args,
            schema,
        }),
    }))
}

/// Nodes are equal or cannot be compared.
impl PartialOrd for FlatMapNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (self == other).then_some(Ordering::Equal)
    }
}

impl UserDefinedLogicalNodeCore for FlatMapNode {
    fn name(&self) -> &str {
        "WasmFlatMap"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        self.args.clone()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let args: Vec<_> = self.args.iter().map(ToString::to_string).collect();
        write!(
            f,
            "WasmFlatMap: {}({})",
            self.function.reference().function,
            args.join(", ")
        )
    }

    fn with_exprs_and_inputs(&self, args: Vec<Expr>, mut inputs: Vec<LogicalPlan>) -> Result<Self> {
        let (Some(input), true) = (inputs.pop(), inputs.is_empty()) else {
            return internal_err!("a flat-map has one input");
        };
        // Optimizers may drop columns of the input that nobody needs, but none that are part of refused rows.
        Ok(Self {
            input,
            args,
            ..self.clone()
        })
    }

    fn necessary_children_exprs(&self, _: &[usize]) -> Option<Vec<Vec<usize>>> {
        if self.spec.errors {
            return None;
        }
        let schema = self.input.schema();
        let columns = self.args.iter().flat_map(Expr::column_refs);
        let used: Option<BTreeSet<usize>> = columns.map(|column| schema.maybe_index_of_column(column)).collect();
        Some(vec![used?.into_iter().collect()])
    }
}

/// Plans flat-maps; to be registered with the query planner of a session.
pub struct FlatMapPlanner;

#[async_trait]
impl ExtensionPlanner for FlatMapPlanner {
    async fn plan_extension(
        &self,
        planner: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _: &[&LogicalPlan],
        physical_inputs: &[Arc<dyn ExecutionPlan>],
        session: &dyn Session,
        context: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let Some(node) = node.as_any().downcast_ref::<FlatMapNode>() else {
            return Ok(None);
        };
        let [input] = physical_inputs else {
            return internal_err!("a flat-map has one input");
        };
        let schema = node.input.schema();
        let args = node
            .args
            .iter()
            .map(|arg| planner.create_physical_expr(arg, schema, session, context));
        let args = args.collect::<Result<Vec<_>>>()?;
        let exec = WasmFlatMapExec::new(node.function.clone(), node.spec.clone(), args, Arc::clone(input))?;
        Ok(Some(Arc::new(exec)))
    }
}
