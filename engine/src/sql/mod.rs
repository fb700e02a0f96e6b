//! SQL jobs: statements to the parts of a job.

mod copy;
mod tables;

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::TableReference;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::DataFusionError;
use datafusion::execution::FunctionRegistry;
use datafusion::logical_expr::{DdlStatement, Explain, LogicalPlan, Statement};
use datafusion::prelude::SessionContext;
use futures::{TryStreamExt, stream};
use weir_model::{RunId, Submission, TableRef};
use weir_sandbox::FunctionKind;

use crate::PlanError;
use crate::depth::{check_plan, check_text};
use crate::stages::StageBuilder;
use crate::stages::codec::PlanCodec;
use crate::wasm::{Functions, WasmFunctionRef};

/// Tables whose files are looked at at once.
const CONCURRENT_TABLES: usize = 8;

/// The schema whose tables describe the others.
const INFORMATION_SCHEMA: &str = "information_schema";

/// Rows of a query over it, which are kept in the plan.
const MAX_DESCRIBED_ROWS: usize = 100_000;
/// Bytes of these rows in memory.
const MAX_DESCRIBED_BYTES: usize = 32 << 20;

/// Options that DataFusion's serialised scans leave out, so that a task would read something else.
const UNSUPPORTED_OPTIONS: [&str; 2] = ["format.terminator", "format.newline_delimited"];

/// Plans `statement`, with `tables` and what `setup` defines in reach, as the parts of `builder`.
///
/// # Errors
/// [`PlanError::Query`] with what is wrong with a statement or a table.
pub(crate) async fn build(
    statement: &str,
    setup: &[String],
    tables: &[TableRef],
    submission: &Submission,
    run: RunId,
    builder: &mut StageBuilder,
) -> Result<(), PlanError> {
    let context = builder.context().clone();
    register_functions(&context, builder.functions())?;
    let statements = setup.iter().map(String::as_str).chain([statement]);
    for statement in statements.clone() {
        check_text(statement)?;
    }
    let named = named_tables(&context, tables, statements)?;
    stream::iter(named.into_iter().map(Ok))
        .try_for_each_concurrent(CONCURRENT_TABLES, |table| {
            tables::register(&context, table, &submission.base)
        })
        .await?;
    for statement in setup {
        set_up(&context, statement, &submission.base).await?;
    }
    let plan = context.state().create_logical_plan(statement).await?;
    check_plan(&plan)?;
    match plan {
        LogicalPlan::Explain(explain) => {
            let functions = builder.functions().clone();
            let rows = self::explain(&context, functions, explain, submission, run).await?;
            builder.result(values(&context, rows)?).await
        }
        LogicalPlan::Copy(copy) => copy::sink(copy, submission, run, builder).await,
        LogicalPlan::Analyze(_) => Err(unsupported(
            "EXPLAIN ANALYZE",
            "run the query and look at the numbers of its stages",
        )),
        LogicalPlan::Dml(_) => Err(unsupported(
            "changing a table",
            "write a new one with COPY (SELECT ...) TO 'path'",
        )),
        LogicalPlan::Ddl(_) => Err(PlanError::Query(
            "the last statement defines something and has no rows; add a SELECT or COPY after it".to_owned(),
        )),
        LogicalPlan::Statement(statement) => Err(unsupported(statement.name(), "use SELECT or COPY")),
        plan => {
            if describes_tables(&plan)? {
                // These rows come from the planner's own catalog, which tasks do not have.
                let rows = described(&context, plan).await?;
                return builder.result(values(&context, rows)?).await;
            }
            builder.result(plan).await
        }
    }
}

/// Those of `tables` that `statements` name: the files of the others are not looked at.
fn named_tables<'a>(
    context: &SessionContext,
    tables: &'a [TableRef],
    statements: impl Iterator<Item = &'a str>,
) -> Result<Vec<&'a TableRef>, PlanError> {
    let state = context.state();
    let options = state.config_options();
    let catalog = &options.catalog;
    let place = |name: TableReference| name.resolve(&catalog.default_catalog, &catalog.default_schema);
    let mut named = HashSet::new();
    for statement in statements {
        let statement = state.sql_to_statement(statement, &options.sql_parser.dialect)?;
        named.extend(state.resolve_table_references(&statement)?.into_iter().map(place));
    }
    // Whoever asks what there is asks for all of them.
    let all = named.iter().any(|name| &*name.schema == INFORMATION_SCHEMA);
    let is_named = |table: &&TableRef| all || named.contains(&place(TableReference::from(table.name.as_str())));
    Ok(tables.iter().filter(is_named).collect())
}

/// Makes the functions of Wasm modules callable by their names.
fn register_functions(context: &SessionContext, functions: &Functions) -> Result<(), PlanError> {
    for (digest, module) in functions.modules() {
        for function in module.functions() {
            let reference = WasmFunctionRef {
                module: *digest,
                function: function.name.clone(),
                config: "{}".to_owned(),
            };
            let taken = || {
                PlanError::Query(format!(
                    "there is a function `{}` already; rename that of the module",
                    function.name
                ))
            };
            match function.kind {
                FunctionKind::Scalar => {
                    let function = functions.function(&reference)?.scalar_udf()?;
                    if context.state_ref().write().register_udf(function)?.is_some() {
                        return Err(taken());
                    }
                }
                FunctionKind::Aggregate => {
                    let function = functions.function(&reference)?.aggregate_udf()?;
                    if context.state_ref().write().register_udaf(function)?.is_some() {
                        return Err(taken());
                    }
                }
                // Gives any number of rows, for which SQL has no place.
                FunctionKind::FlatMap => {}
            }
        }
    }
    Ok(())
}

fn unsupported(what: &str, instead: &str) -> PlanError {
    PlanError::Query(format!("{what} is not supported; {instead}"))
}

/// Runs a statement that defines something.
async fn set_up(context: &SessionContext, statement: &str, base: &str) -> Result<(), PlanError> {
    let plan = context.state().create_logical_plan(statement).await?;
    check_plan(&plan)?;
    let plan = match plan {
        LogicalPlan::Ddl(DdlStatement::CreateExternalTable(mut table)) => {
            if let Some(option) = table
                .options
                .keys()
                .find(|option| UNSUPPORTED_OPTIONS.contains(&option.as_str()))
            {
                return Err(unsupported(
                    &format!("the table option {option}"),
                    "leave it out, or convert the files",
                ));
            }
            for location in &mut table.locations {
                *location = tables::located(context, location, base)?;
            }
            LogicalPlan::Ddl(DdlStatement::CreateExternalTable(table))
        }
        LogicalPlan::Ddl(DdlStatement::CreateMemoryTable(table)) => {
            return Err(PlanError::Query(format!(
                "CREATE TABLE `{}` would hold its rows in the planner; use CREATE VIEW, or COPY its rows to a file",
                table.name
            )));
        }
        LogicalPlan::Ddl(
            DdlStatement::CreateView(_)
            | DdlStatement::CreateCatalogSchema(_)
            | DdlStatement::CreateCatalog(_)
            | DdlStatement::DropTable(_)
            | DdlStatement::DropView(_)
            | DdlStatement::DropCatalogSchema(_),
        ) => plan,
        LogicalPlan::Statement(Statement::SetVariable(_) | Statement::ResetVariable(_)) => {
            return Err(unsupported(
                "SET",
                "settings are given with the run, for example --target-partitions",
            ));
        }
        _ => {
            return Err(PlanError::Query(format!(
                "only the last statement may have rows; `{statement}` comes before others"
            )));
        }
    };
    context.execute_logical_plan(plan).await?;
    Ok(())
}

/// Whether `plan` reads only the tables that describe the others.
fn describes_tables(plan: &LogicalPlan) -> Result<bool, PlanError> {
    if matches!(plan, LogicalPlan::DescribeTable(_)) {
        return Ok(true);
    }
    let (mut described, mut other) = (false, false);
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            match scan.table_name.schema() {
                Some(INFORMATION_SCHEMA) => described = true,
                _ => other = true,
            }
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    if described && other {
        return Err(unsupported(
            "joining the information schema with other tables",
            "query it on its own",
        ));
    }
    Ok(described)
}

/// The rows of a query over the tables that describe the others.
async fn described(context: &SessionContext, plan: LogicalPlan) -> Result<Vec<RecordBatch>, PlanError> {
    let out_of_memory = |error: DataFusionError| match error.find_root() {
        DataFusionError::ResourcesExhausted(message) => PlanError::Query(format!(
            "a query over the information schema is answered while it is planned, and this one takes too much memory for \
             that: {message}"
        )),
        _ => error.into(),
    };
    let rows = context.execute_logical_plan(plan).await?.execute_stream().await;
    let mut rows = rows.map_err(out_of_memory)?;
    let (mut batches, mut bytes) = (Vec::new(), 0);
    while let Some(batch) = rows.try_next().await.map_err(out_of_memory)? {
        bytes += batch.get_array_memory_size();
        batches.push(batch);
        if batches.iter().map(RecordBatch::num_rows).sum::<usize>() > MAX_DESCRIBED_ROWS || bytes > MAX_DESCRIBED_BYTES
        {
            return Err(PlanError::Query(format!(
                "a query over the information schema gives at most {MAX_DESCRIBED_ROWS} rows and {} MiB; ask for less, or \
                 aggregate",
                MAX_DESCRIBED_BYTES >> 20
            )));
        }
        // Another one may have something to do on this thread, such as ending this.
        tokio::task::yield_now().await;
    }
    Ok(batches)
}

/// Rows that are known already, as a plan.
fn values(context: &SessionContext, rows: Vec<RecordBatch>) -> Result<LogicalPlan, PlanError> {
    Ok(context.read_batches(rows)?.into_unoptimized_plan())
}

/// The rows of an `EXPLAIN`.
async fn explain(
    context: &SessionContext,
    functions: Functions,
    explain: Explain,
    submission: &Submission,
    run: RunId,
) -> Result<Vec<RecordBatch>, PlanError> {
    // A builder of its own: nothing of the explained query runs.
    let mut builder = StageBuilder::new(context.clone(), PlanCodec::new(functions));
    match Arc::unwrap_or_clone(explain.plan) {
        LogicalPlan::Copy(copy) => copy::sink(copy, submission, run, &mut builder).await?,
        plan => builder.result(plan).await?,
    }
    let planned = builder.finish()?;
    let schema = Schema::new(vec![
        Field::new("plan_type", DataType::Utf8, false),
        Field::new("plan", DataType::Utf8, false),
    ]);
    let rows = RecordBatch::try_new(
        Arc::new(schema),
        vec![
            Arc::new(StringArray::from(vec!["logical_plan", "stages"])),
            Arc::new(StringArray::from(vec![
                planned.logical.trim_end(),
                planned.stages.trim_end(),
            ])),
        ],
    );
    Ok(vec![rows.map_err(DataFusionError::from)?])
}
