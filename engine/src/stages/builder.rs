//! Collects the parts of a job and cuts them into stages.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use datafusion::catalog::TableProvider;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_expr_common::physical_expr::is_volatile;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::sanity_checker::SanityCheckPlan;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties, Partitioning};
use datafusion::prelude::SessionContext;
use weir_model::{Digest, Exchange, PlanRef, Stage, StageGraph, StageId, StageInput, StageOutput};

use super::codec::PlanCodec;
use super::cut::{Stages, cut, gather, without_last_merge};
use super::explain;
use super::flow::{Flow, leaves, scan_bytes};
use super::plan::{Assignment, BUILD, StagePlan};
use super::shared::SharedTable;
use super::splits::balance;
use crate::PlanError;
use crate::depth::{check_operators, check_plan};
use crate::engine::PlanBlob;
use crate::io::SinkSpec;
use crate::shuffle::ShuffleReaderExec;
use crate::wasm::Functions;

/// Collects the parts of a job in topological order. A part is a logical plan whose rows go to one place: to several
/// readers ([`shared`](Self::shared), computed once), to files ([`sink`](Self::sink)), to the submitter
/// ([`result`](Self::result)) or nowhere ([`discard`](Self::discard)). Each part is optimised, planned physically and
/// cut into stages at its exchanges.
pub struct StageBuilder {
    context: SessionContext,
    stages: CutStages,
    logical: String,
    result: Option<SchemaRef>,
}

/// A planned job.
pub struct Planned {
    /// The stages.
    pub graph: StageGraph,
    /// Their plans.
    pub plans: Vec<PlanBlob>,
    /// Optimised logical plans, for people.
    pub logical: String,
    /// Stages with exchanges, task counts and operators, for people.
    pub stages: String,
    /// The columns of the result, if there is one.
    pub result: Option<SchemaRef>,
}

impl StageBuilder {
    /// A builder whose parts are planned in `context`, with the functions that `codec` can encode.
    pub(crate) fn new(context: SessionContext, codec: PlanCodec) -> Self {
        let options = Arc::clone(context.state().config_options());
        Self {
            context,
            stages: CutStages::new(codec, options),
            logical: String::new(),
            result: None,
        }
    }

    /// The session that logical plans are built in: functions, tables and settings.
    pub fn context(&self) -> &SessionContext {
        &self.context
    }

    /// Has the plans of parts added from now on name a Wasm component, besides those whose functions they call.
    pub fn require_module(&mut self, module: Digest) {
        self.stages.required.insert(module);
    }

    /// The functions of the job's Wasm modules.
    pub fn functions(&self) -> &Functions {
        self.stages.codec.functions()
    }

    /// A part with several readers: its rows are written to a shuffle once; scan the table that comes back.
    pub async fn shared(
        &mut self,
        transforms: &[String],
        plan: LogicalPlan,
    ) -> Result<Arc<dyn TableProvider>, PlanError> {
        let root = self.plan(transforms, "shared", plan).await?;
        let statistics = StatisticsContext::new().compute(root.as_ref(), &StatisticsArgs::new())?;
        let partitioning = root.output_partitioning().clone();
        let equivalences = root.equivalence_properties().clone();
        let stage = self.stages.add(root, None)?;
        Ok(Arc::new(SharedTable::new(
            ShuffleReaderExec::new(stage, partitioning, equivalences),
            statistics,
        )))
    }

    /// A part whose rows go to files.
    pub async fn sink(&mut self, transforms: &[String], plan: LogicalPlan, sink: SinkSpec) -> Result<(), PlanError> {
        let root = self.plan(transforms, &sink.info.transform, plan).await?;
        let root = match sink.shards {
            Some(shards) => self.with_partitions(root, shards.max(1) as usize)?,
            None => root,
        };
        let output = StageOutput::Sink(sink.info.clone());
        self.stages.push(root, Assignment::Sink(Box::new(sink)), output)?;
        Ok(())
    }

    /// The part whose rows are the result of the job.
    pub async fn result(&mut self, plan: LogicalPlan) -> Result<(), PlanError> {
        self.result = Some(Arc::new(plan.schema().as_arrow().clone()));
        let physical = self.physical(&[], "result", plan).await?;
        let (physical, order) = without_last_merge(physical);
        let order = self.stages.codec.encoder().sort_exprs(order.into_iter().flatten())?;
        let root = cut(physical, &mut self.stages)?;
        self.stages
            .push(root, Assignment::Result { order }, StageOutput::Result)?;
        Ok(())
    }

    /// A part that runs for its effects.
    pub async fn discard(&mut self, transforms: &[String], plan: LogicalPlan) -> Result<(), PlanError> {
        let root = self.plan(transforms, "discard", plan).await?;
        self.stages.push(root, Assignment::Discard, StageOutput::Discard)?;
        Ok(())
    }

    /// The whole job.
    pub fn finish(self) -> Result<Planned, PlanError> {
        let graph = StageGraph {
            stages: self.stages.stages,
            build: BUILD.to_owned(),
        };
        let stages = explain::stages(&graph, &self.stages.operators);
        Ok(Planned {
            graph,
            plans: self.stages.plans,
            logical: self.logical,
            result: self.result,
            stages,
        })
    }

    /// Plans a part physically and cuts off all stages but its last.
    async fn plan(
        &mut self,
        transforms: &[String],
        title: &str,
        plan: LogicalPlan,
    ) -> Result<Arc<dyn ExecutionPlan>, PlanError> {
        let physical = self.physical(transforms, title, plan).await?;
        Ok(cut(physical, &mut self.stages)?)
    }

    /// Plans a part physically.
    async fn physical(
        &mut self,
        transforms: &[String],
        title: &str,
        plan: LogicalPlan,
    ) -> Result<Arc<dyn ExecutionPlan>, PlanError> {
        check_plan(&plan)?;
        self.stages.transforms = transforms.to_vec();
        let state = self.context.state();
        let optimized = state.optimize(&plan)?;
        let heading = if transforms.is_empty() {
            title.to_owned()
        } else {
            transforms.join(", ")
        };
        let _ = writeln!(self.logical, "{heading}");
        for line in optimized.display_indent().to_string().lines() {
            let _ = writeln!(self.logical, "  {line}");
        }
        let physical = state.query_planner().create_physical_plan(&optimized, &state).await?;
        Ok(balance(physical, &state).await?)
    }

    /// Gives `plan` that many partitions, by an exchange unless it has them.
    fn with_partitions(&mut self, plan: Arc<dyn ExecutionPlan>, count: usize) -> Result<Arc<dyn ExecutionPlan>> {
        let partitions = plan.output_partitioning().partition_count();
        if partitions == count {
            return Ok(plan);
        }
        if count == 1 {
            return gather(plan, &mut self.stages);
        }
        let equivalences = RepartitionExec::try_new(Arc::clone(&plan), Partitioning::RoundRobinBatch(count))?
            .properties()
            .equivalence_properties()
            .clone();
        let stage = self.stages.add(plan, Some(Partitioning::RoundRobinBatch(count)))?;
        Ok(Arc::new(ShuffleReaderExec::new(
            stage,
            Partitioning::UnknownPartitioning(count),
            equivalences,
        )))
    }
}

/// The stages so far.
struct CutStages {
    codec: PlanCodec,
    options: Arc<ConfigOptions>,
    required: BTreeSet<Digest>,
    /// Of the part that is being cut.
    transforms: Vec<String>,
    stages: Vec<Stage>,
    plans: Vec<PlanBlob>,
    /// The operators of each stage, for people.
    operators: Vec<Arc<dyn ExecutionPlan>>,
    /// Shuffle stages by plan: one that gives the same rows as an earlier one is not computed again.
    known: HashMap<Digest, StageId>,
}

impl Stages for CutStages {
    fn add(&mut self, plan: Arc<dyn ExecutionPlan>, partitioning: Option<Partitioning>) -> Result<StageId> {
        let (assignment, partitions) = match partitioning {
            Some(partitioning) => {
                let encoded = self.codec.encoder().partitioning(&partitioning)?;
                (Assignment::Partitioned(encoded), partitioning.partition_count())
            }
            None => (Assignment::Forward, plan.output_partitioning().partition_count()),
        };
        self.push(
            plan,
            assignment,
            StageOutput::Shuffle {
                partitions: partitions as u32,
            },
        )
    }
}

impl CutStages {
    fn new(codec: PlanCodec, options: Arc<ConfigOptions>) -> Self {
        Self {
            codec,
            options,
            required: BTreeSet::new(),
            transforms: vec![],
            stages: vec![],
            plans: vec![],
            operators: vec![],
            known: HashMap::new(),
        }
    }

    fn push(&mut self, plan: Arc<dyn ExecutionPlan>, assignment: Assignment, output: StageOutput) -> Result<StageId> {
        check_operators(&plan).map_err(|error| DataFusionError::External(Box::new(error)))?;
        // Cutting must leave every operator with the distribution and order that it was planned with.
        let plan = SanityCheckPlan::new().optimize(plan, &self.options)?;
        let operators = self.codec.encode(&plan)?;
        // Expressions of the assignment were encoded before.
        let modules: BTreeSet<_> = self
            .codec
            .take_modules()
            .into_iter()
            .chain(self.required.iter().copied())
            .collect();
        let modules = modules.into_iter().collect();
        let bytes = StagePlan {
            build: BUILD.to_owned(),
            operators,
            assignment,
            modules,
        }
        .to_bytes();
        let digest = Digest::of(&bytes);
        let shuffles = matches!(output, StageOutput::Shuffle { .. });
        if shuffles && let Some(same) = self.known.get(&digest) {
            return Ok(*same);
        }
        let id = StageId(self.stages.len() as u32);
        if shuffles && repeatable(&plan)? {
            self.known.insert(digest, id);
        }
        let partitions = plan.output_partitioning().partition_count();
        self.stages.push(Stage {
            id,
            name: explain::name(&plan),
            transforms: self.transforms.clone(),
            plan: PlanRef {
                digest,
                bytes: bytes.len() as u64,
            },
            partitions: partitions as u32,
            scan_bytes: scan_bytes(&plan, partitions),
            inputs: inputs(&plan),
            output,
        });
        self.plans.push(PlanBlob {
            digest,
            bytes: Bytes::from(bytes),
        });
        self.operators.push(plan);
        Ok(id)
    }
}

/// Whether computing `plan` twice gives the same rows.
fn repeatable(plan: &Arc<dyn ExecutionPlan>) -> Result<bool> {
    let mut volatile = false;
    plan.apply(|node| {
        node.apply_expressions(&mut |expr| {
            volatile |= is_volatile(expr);
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(!volatile)
}

/// The exchanges that a stage reads.
fn inputs(plan: &Arc<dyn ExecutionPlan>) -> Vec<StageInput> {
    let mut inputs = Vec::new();
    for leaf in leaves(plan) {
        let Some(reader) = leaf.plan.downcast_ref::<ShuffleReaderExec>() else {
            continue;
        };
        let exchange = match leaf.flow {
            Flow::Aligned(readers) if !reader.gathers() => Exchange::Aligned {
                readers: readers.start as u32..readers.end as u32,
            },
            _ => Exchange::All,
        };
        let input = StageInput {
            stage: reader.stage(),
            exchange,
        };
        if !inputs.contains(&input) {
            inputs.push(input);
        }
    }
    inputs
}

impl From<DataFusionError> for PlanError {
    fn from(error: DataFusionError) -> Self {
        Self::from_datafusion(error)
    }
}
