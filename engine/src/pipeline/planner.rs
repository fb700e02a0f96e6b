//! Walks over a pipeline's transforms and turns them into the parts of a job.

use std::collections::HashMap;

use arrow::datatypes::{Field, Fields, Schema};
use datafusion::common::{Column, ScalarValue};
use datafusion::datasource::MemTable;
use datafusion::functions::core::expr_fn::get_field;
use datafusion::functions_aggregate::expr_fn::sum;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, lit};
use std::sync::Arc;
use weir_model::spec::{
    Diagnostics, ErrorHandling, Input, LogForTesting, Pipeline, Sql, Transform, TransformId, TransformKind,
    WasmTransform,
};
use weir_model::{RunId, Submission};

use super::combine::combine;
use super::flow::{self, Flow};
use super::join::{flatten, join};
use super::mapping::{self, RowWise};
use super::operators::{AssertSpec, LogSpec, RowsKind, RowsNode, TaggedOutput, ThresholdSpec};
use super::problems::{Place, Problem, Result, nearest_or_all};
use super::sinks::Sinks;
use super::sources::source;
use super::tables::Query;
use super::values;
use super::wasm::WasmCalls;
use crate::PlanError;
use crate::depth::check_text;
use crate::stages::StageBuilder;
use crate::wasm::{FlatMapSpec, Functions, flat_map};

/// The name of a single input of a query.
const SINGLE_INPUT: &str = "PCOLLECTION";

/// An output of a transform; `None` is the main one.
type OutputKey = (TransformId, Option<String>);

/// Builds a job from a pipeline.
pub(super) struct Planner<'a> {
    pipeline: &'a Pipeline,
    submission: &'a Submission,
    run: RunId,
    builder: &'a mut StageBuilder,
    wasm: WasmCalls<'a>,
    sinks: Sinks,
    outputs: HashMap<OutputKey, Flow>,
    problems: Vec<weir_model::spec::Diagnostic>,
}

/// What a transform makes.
enum Made {
    /// Rows of its only output.
    Rows(LogicalPlan),
    /// Rows of several outputs, each for itself.
    Outputs(Vec<(Option<String>, Flow)>),
    /// Nothing that can be read: it is a part of the job already.
    Nothing,
}

impl<'a> Planner<'a> {
    pub(super) fn new(
        pipeline: &'a Pipeline,
        submission: &'a Submission,
        run: RunId,
        functions: &'a Functions,
        builder: &'a mut StageBuilder,
    ) -> Self {
        let wasm = WasmCalls::new(functions, submission);
        wasm.require(builder);
        Self {
            pipeline,
            submission,
            run,
            builder,
            wasm,
            sinks: Sinks::default(),
            outputs: HashMap::new(),
            problems: Vec::new(),
        }
    }

    /// Plans every transform whose inputs could be planned, so that one run over the file shows all problems.
    pub(super) async fn plan(mut self) -> Result<(), PlanError> {
        for id in self.pipeline.ids() {
            let transform = self.pipeline.transform(id);
            if !transform
                .inputs
                .iter()
                .all(|input| self.outputs.contains_key(&key(input)))
            {
                continue;
            }
            match self.transform(id).await {
                Ok(()) => {}
                Err(Problem::User(diagnostic)) => self.problems.push(*diagnostic),
                Err(Problem::Other(error)) => return Err(self.located(transform, error)),
            }
        }
        if self.problems.is_empty() {
            Ok(())
        } else {
            Err(PlanError::Pipeline(Diagnostics(self.problems)))
        }
    }

    /// A query that only turned out to be wrong when it was planned belongs to a transform as well.
    fn located(&self, transform: &Transform, error: PlanError) -> PlanError {
        match error {
            PlanError::Query(message) | PlanError::QueryAt { message, .. } => {
                let diagnostic = self.pipeline.diagnostic(transform.span, Some(&transform.name), message);
                PlanError::Pipeline(Diagnostics::from(diagnostic))
            }
            PlanError::TooDeep(error) => {
                let message = error.to_string();
                let diagnostic = self.pipeline.diagnostic(transform.span, Some(&transform.name), message);
                PlanError::Pipeline(Diagnostics::from(diagnostic))
            }
            error => error,
        }
    }

    async fn transform(&mut self, id: TransformId) -> Result<()> {
        let transform = self.pipeline.transform(id);
        let name = &transform.name;
        let outputs = match self.make(id).await? {
            Made::Nothing => return Ok(()),
            Made::Rows(plan) => {
                let inputs: Vec<&Flow> = transform
                    .inputs
                    .iter()
                    .filter_map(|input| self.outputs.get(&key(input)))
                    .collect();
                vec![(None, Flow::join(inputs, name, plan))]
            }
            Made::Outputs(outputs) => outputs,
        };
        for (output, flow) in outputs {
            let readers = self.readers(id, output.as_deref());
            let flow = match readers {
                0 => {
                    self.builder.discard(&flow.transforms, flow.plan).await?;
                    continue;
                }
                1 => flow,
                _ => self.share(name, flow).await?,
            };
            self.outputs.insert((id, output), flow);
        }
        Ok(())
    }

    /// How often an output is read.
    fn readers(&self, id: TransformId, output: Option<&str>) -> usize {
        self.pipeline
            .consumers(id)
            .filter(|(_, input)| input.output.as_deref() == output)
            .count()
    }

    /// Has rows computed once for several readers.
    async fn share(&mut self, name: &str, flow: Flow) -> Result<Flow> {
        let table = self.builder.shared(&flow.transforms, flow.plan).await?;
        let place = LogicalPlanBuilder::scan(
            flow::name(name),
            datafusion::datasource::provider_as_source(table),
            None,
        );
        let plan = place
            .and_then(LogicalPlanBuilder::build)
            .map_err(|error| Problem::Other(error.into()))?;
        Ok(Flow {
            plan,
            transforms: Vec::new(),
        })
    }

    async fn make(&mut self, id: TransformId) -> Result<Made> {
        let pipeline = self.pipeline;
        let transform = pipeline.transform(id);
        let place = Place { pipeline, transform };
        let context = self.builder.context().clone();
        if let Some(flow) = source(place, &context, &self.submission.base).await? {
            return Ok(Made::Outputs(vec![(None, flow)]));
        }
        let inputs: Vec<(&str, Flow)> = transform
            .inputs
            .iter()
            .filter_map(|input| Some((input.tag.as_str(), self.outputs.get(&key(input))?.clone())))
            .collect();
        let only = || match inputs.first() {
            Some((_, flow)) => Ok(flow),
            None => Err(place.here("it needs an input")),
        };
        match &transform.kind {
            TransformKind::Create(config) => {
                let partitions = context.state().config().target_partitions();
                let table = values::create(place, config, partitions)?;
                let flow = Flow::table(&transform.name, table).map_err(place.wrong())?;
                Ok(Made::Outputs(vec![(None, flow)]))
            }
            TransformKind::MapToFields(config) => {
                let input = only()?;
                let rows = RowWise::map(place, &context, &self.wasm, config, input)?;
                self.row_wise(place, id, rows, input, config.error_handling.as_ref())
                    .await
            }
            TransformKind::Filter(config) => {
                let input = only()?;
                let rows = RowWise::filter(place, &context, &self.wasm, config, input)?;
                self.row_wise(place, id, rows, input, config.error_handling.as_ref())
                    .await
            }
            TransformKind::Explode(config) => {
                let input = only()?;
                let rows = RowWise::explode(place, config, input)?;
                self.row_wise(place, id, rows, input, config.error_handling.as_ref())
                    .await
            }
            TransformKind::Flatten => {
                let flows: Vec<&Flow> = inputs.iter().map(|(_, flow)| flow).collect();
                flatten(place, &flows).map(Made::Rows)
            }
            TransformKind::Combine(config) => combine(place, &context, &self.wasm, config, only()?)
                .await
                .map(Made::Rows),
            TransformKind::Join(config) => {
                let flows: Vec<(&str, &Flow)> = inputs.iter().map(|(tag, flow)| (*tag, flow)).collect();
                join(place, config, &flows).map(Made::Rows)
            }
            TransformKind::Sql(config) => self.sql(place, config, inputs).await,
            TransformKind::LogForTesting(config) => log(place, config, only()?),
            TransformKind::AssertEqual(config) => {
                let input = only()?;
                let rows = config.elements.rows.iter().map(|row| &row.value);
                let spec = AssertSpec::new(transform.name.clone(), &config.elements.fields, rows);
                let kind = RowsKind::Assert(spec.map_err(place.wrong())?);
                let plan = RowsNode::plan(kind, input.plan.clone(), vec![]).map_err(place.wrong())?;
                let flow = input.then(&transform.name, plan);
                self.builder.discard(&flow.transforms, flow.plan).await?;
                Ok(Made::Nothing)
            }
            TransformKind::StripErrorMetadata => mapping::strip(place, only()?).map(Made::Rows),
            TransformKind::Wasm(config) => self.wasm_transform(place, id, config, &inputs).await,
            _ => {
                let input = only()?;
                let (context, base) = (self.builder.context(), &self.submission.base);
                let Some(sink) = self.sinks.spec(place, context, base, self.run, input)? else {
                    let message = format!("transforms of type {} cannot be run yet", transform.kind.type_name());
                    return Err(place.here(message));
                };
                let flow = input.then(&transform.name, input.plan.clone());
                self.builder.sink(&flow.transforms, flow.plan, sink).await?;
                Ok(Made::Nothing)
            }
        }
    }

    /// A transform of single rows: failing ones fail the run, or go to an output of their own.
    async fn row_wise(
        &mut self,
        place: Place<'_>,
        id: TransformId,
        rows: RowWise,
        input: &Flow,
        handling: Option<&ErrorHandling>,
    ) -> Result<Made> {
        let name = &place.transform.name;
        let Some(handling) = handling else {
            let context = self.builder.context().clone();
            return rows.plan(place, &context, input).await.map(Made::Rows);
        };
        // At a threshold of one, all may fail.
        let threshold = handling
            .threshold
            .as_ref()
            .map(|threshold| threshold.value)
            .filter(|&part| part < 1.0);
        let tagged = input.then(name, rows.captured(place, input, threshold.is_some())?);
        let error_output = Some(handling.output.value.clone());
        let (good, bad) = (self.readers(id, None), self.readers(id, error_output.as_deref()));
        let several = good + bad > 1 || threshold.is_some();
        let tagged = if several {
            self.share(name, tagged).await?
        } else {
            tagged
        };
        if let Some(part) = threshold {
            let plan = check(&tagged, ThresholdSpec::new(name.clone(), part)).map_err(place.wrong())?;
            let transforms: Vec<String> = tagged.transforms.iter().cloned().chain([name.clone()]).collect();
            self.builder.discard(&transforms, plan).await?;
        }
        // What comes from a shared table may be read as often as it likes, so the outputs are put down here.
        for (output, column, readers) in [
            (None, TaggedOutput::MAIN, good),
            (error_output, TaggedOutput::ERROR, bad),
        ] {
            if readers > 0 {
                let plan = untag(&tagged, column).map_err(place.wrong())?;
                self.outputs.insert(
                    (id, output),
                    Flow {
                        plan,
                        transforms: tagged.transforms.clone(),
                    },
                );
            }
        }
        Ok(Made::Nothing)
    }

    /// A flat-map function: one or several outputs, and one of refused rows if it is asked for.
    async fn wasm_transform(
        &mut self,
        place: Place<'_>,
        id: TransformId,
        config: &WasmTransform,
        inputs: &[(&str, Flow)],
    ) -> Result<Made> {
        let name = &place.transform.name;
        let [(_, input)] = inputs else {
            return Err(place.here(format!("it needs exactly one input, and has {}", inputs.len())));
        };
        let (function, args) = self.wasm.transform(place, &self.pipeline.providers, config, input)?;
        let handling = config.error_handling.as_ref();
        let error_output = handling.map(|handling| handling.output.value.as_str());
        let mut wanted: Vec<Option<&str>> = Vec::new();
        for (_, reader) in self.pipeline.consumers(id) {
            let output = reader.output.as_deref();
            if (output.is_none() || output != error_output) && !wanted.contains(&output) {
                let known: Vec<&str> = function
                    .description()
                    .outputs
                    .iter()
                    .map(|known| known.name.as_str())
                    .collect();
                if let Some(output) = output.filter(|output| !known.contains(output)) {
                    let help = nearest_or_all(output, &known, "its outputs are");
                    return Err(place.at(reader.span, format!("`{name}` has no output `{output}`; {help}")));
                }
                wanted.push(output);
            }
        }
        if wanted.is_empty() && handling.is_none() {
            wanted.push(None);
        }
        let main = function
            .description()
            .outputs
            .first()
            .map(|main| main.name.clone())
            .unwrap_or_default();
        let columns: Vec<&str> = wanted.iter().map(|output| output.unwrap_or(&main)).collect();
        let mut spec = FlatMapSpec::named(function.description(), columns.iter().copied()).map_err(place.wrong())?;
        // The main output can be asked for by its name too.
        spec.outputs.sort_unstable();
        spec.outputs.dedup();
        let threshold = handling
            .and_then(|handling| handling.threshold.as_ref())
            .map(|part| part.value);
        let threshold = threshold.filter(|&part| part < 1.0);
        spec.errors = handling.is_some();
        spec.counts = threshold.is_some();
        let plain = spec.is_plain();
        let plan = flat_map(function, spec, input.plan.clone(), args).map_err(place.wrong())?;
        let made = input.then(name, plan);
        if plain && wanted.len() == 1 {
            return Ok(Made::Outputs(vec![(wanted[0].map(str::to_owned), made)]));
        }
        let several = self.pipeline.consumers(id).count() > 1 || threshold.is_some();
        let tagged = if several { self.share(name, made).await? } else { made };
        if let Some(part) = threshold {
            let plan = check(&tagged, ThresholdSpec::new(name.clone(), part)).map_err(place.wrong())?;
            let transforms: Vec<String> = tagged.transforms.iter().cloned().chain([name.clone()]).collect();
            self.builder.discard(&transforms, plan).await?;
        }
        let outputs = wanted.iter().copied().zip(columns);
        let errors = error_output.map(|output| (Some(output), TaggedOutput::ERROR));
        for (output, column) in outputs.chain(errors) {
            let plan = if plain {
                tagged.plan.clone()
            } else {
                untag(&tagged, column).map_err(place.wrong())?
            };
            let flow = Flow {
                plan,
                transforms: tagged.transforms.clone(),
            };
            self.outputs.insert((id, output.map(str::to_owned)), flow);
        }
        Ok(Made::Nothing)
    }

    async fn sql(&mut self, place: Place<'_>, config: &Sql, mut inputs: Vec<(&str, Flow)>) -> Result<Made> {
        let span = config.query.span;
        let context = self.builder.context().clone();
        let mut tables: Vec<_> = inputs
            .iter()
            .enumerate()
            .map(|(index, (tag, flow))| (*tag, index, Arc::clone(flow.schema().inner())))
            .collect();
        if let [(_, index, schema)] = tables.as_slice() {
            tables.push((SINGLE_INPUT, *index, Arc::clone(schema)));
        }
        check_text(&config.query).map_err(|error| place.at(span, error.to_string()))?;
        let query = Query::plan(&context, &config.query, &tables).await;
        let query = query.map_err(|error| place.failed(span, &error))?;
        if matches!(
            query.logical(),
            LogicalPlan::Ddl(_) | LogicalPlan::Dml(_) | LogicalPlan::Statement(_) | LogicalPlan::Copy(_)
        ) {
            return Err(place.at(span, "this is no query; write a SELECT"));
        }
        let reads = query.reads(inputs.len()).map_err(place.wrong())?;
        for (index, reads) in reads.into_iter().enumerate() {
            if reads > 1 {
                let (tag, flow) = inputs[index].clone();
                inputs[index] = (tag, self.share(tag, flow).await?);
            }
        }
        let plans: Vec<LogicalPlan> = inputs.iter().map(|(_, flow)| flow.plan.clone()).collect();
        let plan = query.over(&plans).map_err(|error| place.failed(span, &error))?;
        let flow = Flow::join(inputs.iter().map(|(_, flow)| flow), &place.transform.name, plan);
        Ok(Made::Outputs(vec![(None, flow)]))
    }
}

fn key(input: &Input) -> OutputKey {
    (input.transform, input.output.clone())
}

/// `LogForTesting`. Its error output, if it is asked for, has no rows: every row can be logged.
fn log(place: Place<'_>, config: &LogForTesting, input: &Flow) -> Result<Made> {
    let name = &place.transform.name;
    let spec = LogSpec {
        transform: name.clone(),
        level: config.level.into(),
        prefix: config.prefix.clone(),
    };
    let plan = RowsNode::plan(RowsKind::Log(spec), input.plan.clone(), vec![]).map_err(place.wrong())?;
    let Some(handling) = &config.error_handling else {
        return Ok(Made::Rows(plan));
    };
    let fields: Fields = input
        .schema()
        .fields()
        .iter()
        .cloned()
        .collect::<Vec<Arc<Field>>>()
        .into();
    let schema = Arc::new(Schema::new(TaggedOutput::error_fields(&fields)));
    let none = MemTable::try_new(schema, vec![vec![]]).map_err(place.wrong())?;
    let none = Flow::table(name, Arc::new(none)).map_err(place.wrong())?;
    Ok(Made::Outputs(vec![
        (None, input.then(name, plan)),
        (Some(handling.output.value.clone()), none),
    ]))
}

/// The rows of a tagged output that a column holds.
fn untag(tagged: &Flow, column: &str) -> datafusion::error::Result<LogicalPlan> {
    let Some((index, field)) = tagged.field(column) else {
        return datafusion::common::internal_err!("a tagged output has no column {column}");
    };
    let arrow::datatypes::DataType::Struct(fields) = field.data_type() else {
        return datafusion::common::internal_err!("the column {column} of a tagged output is no struct");
    };
    let row = tagged.column(index);
    let columns = fields
        .iter()
        .map(|field| get_field(row.clone(), field.name().clone()).alias(field.name()));
    let columns: Vec<Expr> = columns.collect();
    of_kind(tagged, index)?.project(columns)?.build()
}

/// The kinds are numbers of the columns behind the column of kinds.
fn of_kind(tagged: &Flow, column: usize) -> datafusion::error::Result<LogicalPlanBuilder> {
    let Some((kinds, _)) = tagged.field(TaggedOutput::KIND) else {
        return datafusion::common::internal_err!("a tagged output has no kinds");
    };
    let kind = column.checked_sub(1).and_then(|kind| i8::try_from(kind).ok());
    tagged
        .builder()
        .filter(tagged.column(kinds).eq(lit(ScalarValue::Int8(kind))))
}

/// Adds up the counts of a tagged output and compares them.
fn check(tagged: &Flow, spec: ThresholdSpec) -> datafusion::error::Result<LogicalPlan> {
    let Some((index, _)) = tagged.field(TaggedOutput::COUNTS) else {
        return datafusion::common::internal_err!("a tagged output has no counts");
    };
    let counts = tagged.column(index);
    let total = |name: &str| sum(get_field(counts.clone(), name.to_owned())).alias(name);
    let sums = of_kind(tagged, index)?.aggregate(Vec::<Expr>::new(), vec![total("total"), total("bad")])?;
    let columns = ["total", "bad"].map(|name| Expr::Column(Column::new_unqualified(name)));
    RowsNode::plan(RowsKind::Threshold(spec), sums.project(columns)?.build()?, vec![])
}
