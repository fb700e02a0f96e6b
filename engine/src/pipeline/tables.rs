//! SQL over the inputs of a transform.

use std::any::Any;
use std::sync::Arc;

use arrow::datatypes::{Field, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{
    CatalogProvider, MemoryCatalogProvider, MemoryCatalogProviderList, MemorySchemaProvider, Session, TableProvider,
};
use datafusion::common::internal_err;
use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::datasource::{TableType, source_as_provider};
use datafusion::error::Result;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, SubqueryAlias};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::SessionContext;
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast;

use super::expressions::case_sensitive;
use super::flow::unique;

/// A planned query whose tables are not filled in yet.
pub(super) struct Query {
    plan: LogicalPlan,
    /// The columns of the output that the query gives no name.
    unnamed: Vec<usize>,
}

/// Stands for an input of a query.
#[derive(Debug)]
struct Slot {
    index: usize,
    schema: SchemaRef,
}

#[async_trait]
impl TableProvider for Slot {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Temporary
    }

    async fn scan(
        &self,
        _: &dyn Session,
        _: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        internal_err!("an input of a query was not filled in")
    }
}

impl Query {
    /// Plans `query` over tables: names, and the schemas of the inputs that they stand for. A table may have several
    /// names.
    pub(super) async fn plan(
        context: &SessionContext,
        query: &str,
        tables: &[(&str, usize, SchemaRef)],
    ) -> Result<Self> {
        let state = case_sensitive(context);
        let names = state.config().options().catalog.clone();
        let schema = MemorySchemaProvider::new();
        let catalog = MemoryCatalogProvider::new();
        catalog.register_schema(&names.default_schema, Arc::new(schema))?;
        let catalogs = MemoryCatalogProviderList::new();
        let state = SessionStateBuilder::new_from_existing(state)
            .with_catalog_list(Arc::new(catalogs))
            .build();
        let context = SessionContext::new_with_state(state);
        context.register_catalog(&names.default_catalog, Arc::new(catalog));
        for (name, index, schema) in tables {
            let slot = Slot {
                index: *index,
                schema: Arc::clone(schema),
            };
            context.register_table(datafusion::common::TableReference::bare(*name), Arc::new(slot))?;
        }
        let state = context.state();
        let statement = state.sql_to_statement(query, &state.config().options().sql_parser.dialect)?;
        let parsed = statement.clone();
        let plan = state.statement_to_plan(statement).await?;
        let unnamed = unnamed(&parsed, plan.schema().fields().len());
        Ok(Self { plan, unnamed })
    }

    /// The plan, which is a query only if this is one.
    pub(super) fn logical(&self) -> &LogicalPlan {
        &self.plan
    }

    /// How often it reads each of `inputs` inputs.
    pub(super) fn reads(&self, inputs: usize) -> Result<Vec<usize>> {
        let mut reads = vec![0; inputs];
        self.plan.apply_with_subqueries(|node| {
            if let Some(slot) = slot(node) {
                reads[slot] += 1;
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(reads)
    }

    /// Fills the inputs in. The columns get the names that Calcite gives them: each its own, and `EXPR$n` where the
    /// query says none.
    pub(super) fn over(self, inputs: &[LogicalPlan]) -> Result<LogicalPlan> {
        let filled = self.plan.transform_up_with_subqueries(|node| {
            let Some(index) = slot(&node) else {
                return Ok(Transformed::no(node));
            };
            let LogicalPlan::TableScan(scan) = &node else {
                return Ok(Transformed::no(node));
            };
            let columns = (0..inputs[index].schema().fields().len())
                .map(|column| Expr::Column(inputs[index].schema().qualified_field(column).into()));
            let input = LogicalPlanBuilder::from(inputs[index].clone())
                .project(columns)?
                .build()?;
            let alias = SubqueryAlias::try_new(Arc::new(input), scan.table_name.clone())?;
            Ok(Transformed::yes(LogicalPlan::SubqueryAlias(alias)))
        })?;
        let plan = filled.data;
        let schema = plan.schema();
        let name = |(index, field): (usize, &Arc<Field>)| match self.unnamed.contains(&index) {
            true => format!("EXPR${index}"),
            false => field.name().clone(),
        };
        let names = unique(schema.fields().iter().enumerate().map(name));
        let columns: Vec<Expr> = names
            .into_iter()
            .enumerate()
            .map(|(index, name)| Expr::Column(schema.qualified_field(index).into()).alias(name))
            .collect();
        LogicalPlanBuilder::from(plan).project(columns)?.build()
    }
}

/// The columns of a SELECT that are neither fields nor have an alias.
fn unnamed(statement: &Statement, columns: usize) -> Vec<usize> {
    let Statement::Statement(statement) = statement else {
        return Vec::new();
    };
    let ast::Statement::Query(query) = statement.as_ref() else {
        return Vec::new();
    };
    let mut body = query.body.as_ref();
    let select = loop {
        match body {
            ast::SetExpr::Select(select) => break select,
            ast::SetExpr::Query(query) => body = query.body.as_ref(),
            ast::SetExpr::SetOperation { left, .. } => body = left.as_ref(),
            _ => return Vec::new(),
        }
    };
    let wildcard = |item: &&ast::SelectItem| {
        matches!(
            item,
            ast::SelectItem::Wildcard(_) | ast::SelectItem::QualifiedWildcard(..)
        )
    };
    let wildcards = select.projection.iter().filter(wildcard).count();
    if wildcards > 1 {
        // How many columns each stands for is not known here.
        return Vec::new();
    }
    let expanded = (columns + wildcards).saturating_sub(select.projection.len());
    let mut index = 0;
    let mut found = Vec::new();
    for item in &select.projection {
        match item {
            item if wildcard(&item) => index += expanded,
            ast::SelectItem::UnnamedExpr(ast::Expr::Identifier(_) | ast::Expr::CompoundIdentifier(_)) => index += 1,
            ast::SelectItem::UnnamedExpr(_) => {
                found.push(index);
                index += 1;
            }
            _ => index += 1,
        }
    }
    found
}

fn slot(node: &LogicalPlan) -> Option<usize> {
    let LogicalPlan::TableScan(scan) = node else {
        return None;
    };
    let provider = source_as_provider(&scan.source).ok()?;
    let provider: &dyn Any = provider.as_ref();
    provider.downcast_ref::<Slot>().map(|slot| slot.index)
}
