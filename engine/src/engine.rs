//! The engine's interface.

use std::path::PathBuf;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::physical_plan::SendableRecordBatchStream;
use datafusion::prelude::SessionContext;
use futures::TryStreamExt;
use futures::stream::{self, BoxStream};
use weir_model::{
    Digest, Job, Namespace, RunId, RunSettings, ShuffleObject, SinkInfo, StageGraph, Submission, TaskMessage,
    TaskOutput, Timestamp, layout,
};
use weir_platform::Storage;
use weir_platform::templates::Templates;
use weir_sandbox::Sandbox;

use crate::io::{self, AllowedLocations, RowsError, Stores};
use crate::stages::codec::PlanCodec;
use crate::stages::{Planned, StageBuilder};
use crate::task::{self, Shared, TaskContext, TaskFailure};
use crate::wasm::{Functions, check_modules, load_modules};
use crate::{PlanError, pipeline, session, sql};

/// Plans written at once.
const CONCURRENT_WRITES: usize = 16;

/// How an engine uses its machine.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// Bytes that all tasks of the process may hold; operators spill beyond it.
    pub memory_bytes: usize,
    /// Where operators spill; one folder per process is made below it.
    pub spill_dir: PathBuf,
    /// Whether jobs may read and write files of this machine. Not on servers: the files are other people's.
    pub local_files: bool,
    /// Who renders the templates of pipelines.
    pub templates: Templates,
}

/// Plans jobs and runs tasks. Cheap to clone; one per process, so that tasks share caches and the memory pool.
#[derive(Clone)]
pub struct Engine {
    storage: Storage,
    sandbox: Arc<Sandbox>,
    runtime: Arc<RuntimeEnv>,
    shared: Arc<Shared>,
    templates: Templates,
}

/// What a job would do, for people.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// The logical plan(s), indented.
    pub logical: String,
    /// The stages: exchanges, task counts and physical operators, indented.
    pub stages: String,
    /// The graph itself.
    pub graph: StageGraph,
    /// The columns of the result, if the job has one.
    pub result: Option<SchemaRef>,
}

impl Engine {
    /// An engine over a run storage and a sandbox.
    ///
    /// # Errors
    /// [`PlanError::Platform`] when the spill folder cannot be used.
    pub fn new(options: EngineOptions, storage: Storage, sandbox: Arc<Sandbox>) -> Result<Self, PlanError> {
        std::fs::create_dir_all(&options.spill_dir).map_err(|e| PlanError::Platform(Box::new(e)))?;
        let stores = Stores::new(storage.s3().clone(), options.local_files);
        let runtime = session::runtime(options.memory_bytes, &options.spill_dir, stores)?;
        let shared = Arc::new(Shared::new(storage.clone(), Arc::clone(&runtime), Arc::clone(&sandbox)));
        Ok(Self {
            storage,
            sandbox,
            runtime,
            shared,
            templates: options.templates,
        })
    }

    /// Plans a submission: writes the stage plans to storage and gives the graph. Its requests go through `storage`, which
    /// is the engine's own, counted or not.
    ///
    /// # Errors
    /// What is wrong with the job, or with the platform.
    pub async fn plan(&self, run: RunId, submission: &Submission, storage: &Storage) -> Result<StageGraph, PlanError> {
        let planned = self.build(run, submission, storage).await?;
        stream::iter(planned.plans.into_iter().map(Ok))
            .try_for_each_concurrent(CONCURRENT_WRITES, |plan| async move {
                storage.put(&layout::plan_key(run, &plan.digest), plan.bytes).await
            })
            .await?;
        Ok(planned.graph)
    }

    /// Plans a submission without leaving anything in storage.
    ///
    /// # Errors
    /// What is wrong with the job, or with the platform.
    pub async fn explain(&self, submission: &Submission) -> Result<Explanation, PlanError> {
        let run = RunId::from_parts(Timestamp(0), 0);
        let planned = self.build(run, submission, &self.storage).await?;
        Ok(Explanation {
            logical: planned.logical,
            stages: planned.stages,
            graph: planned.graph,
            result: planned.result,
        })
    }

    async fn build(&self, run: RunId, submission: &Submission, storage: &Storage) -> Result<Planned, PlanError> {
        let (namespace, digests) = (&submission.namespace, || submission.modules.values().copied());
        check_modules(storage, namespace, digests()).await?;
        let modules = load_modules(&self.sandbox, storage, namespace, digests())
            .await?
            .modules;
        let context = self.planning(storage, &submission.settings)?;
        // So that what is wrong with a statement is known by its place.
        context
            .state_ref()
            .write()
            .config_mut()
            .options_mut()
            .sql_parser
            .collect_spans = true;
        let mut builder = StageBuilder::new(context, PlanCodec::new(Functions::for_planning(modules)));
        match &submission.job {
            Job::Sql {
                statement,
                setup,
                tables,
            } => {
                sql::build(statement, setup, tables, submission, run, &mut builder).await?;
            }
            Job::Pipeline { yaml, file, params } => {
                let pipeline = self.templates.parse(file, yaml, params).await?;
                let functions = builder.functions().clone();
                pipeline::build(&pipeline, submission, run, &functions, &mut builder).await?;
            }
        }
        builder.finish()
    }

    /// A session for planning, which reaches what the run may.
    fn planning(&self, storage: &Storage, settings: &RunSettings) -> Result<SessionContext, PlanError> {
        let allowed = AllowedLocations::of(settings).map_err(|error| PlanError::Platform(Box::new(error)))?;
        let runtime = session::through(&self.runtime, storage);
        let Some(allowed) = allowed else {
            return Ok(session::planning(&runtime, settings)?);
        };
        let runtime = allowed.confine(&runtime, storage.s3());
        let context = session::planning(&runtime, settings)?;
        context
            .state_ref()
            .write()
            .config_mut()
            .set_extension(Arc::new(allowed));
        Ok(context)
    }

    /// Runs one attempt of a task.
    ///
    /// # Errors
    /// Why the attempt failed, and whose fault that is.
    pub async fn run_task(&self, message: &TaskMessage, context: &TaskContext) -> Result<TaskOutput, TaskFailure> {
        task::run(&self.shared, message, context).await
    }

    /// The rows of a run's result stage after the first `skip`, in order, read from its accepted objects, given in task
    /// order.
    ///
    /// # Errors
    /// [`PlanError::Query`] when the graph has no result or it was deleted, [`PlanError::Platform`] when it cannot be
    /// read.
    pub async fn read_result(
        &self,
        namespace: &Namespace,
        run: RunId,
        graph: &StageGraph,
        objects: Vec<ShuffleObject>,
        skip: u64,
    ) -> Result<SendableRecordBatchStream, PlanError> {
        task::read_result(&self.shared, namespace, run, graph, objects, skip).await
    }

    /// The rows of a file that a sink wrote, after the first `skip`.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub async fn read_output(
        &self,
        sink: &SinkInfo,
        file: &str,
        skip: u64,
    ) -> Result<SendableRecordBatchStream, RowsError> {
        io::OutputFile::find(&self.runtime, sink, file).await?.rows(skip).await
    }

    /// The bytes of a file that a sink wrote: how many there are, and all of them.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub async fn open_output(
        &self,
        sink: &SinkInfo,
        file: &str,
    ) -> Result<(u64, BoxStream<'static, Result<Bytes, RowsError>>), RowsError> {
        io::OutputFile::find(&self.runtime, sink, file).await?.bytes().await
    }
}

/// A serialised stage plan, ready for storage.
#[derive(Clone, Debug)]
pub struct PlanBlob {
    /// Its content address.
    pub digest: Digest,
    /// Its bytes.
    pub bytes: Bytes,
}
