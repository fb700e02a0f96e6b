//! Runs jobs to their end with nothing but the engine: stage by stage, task by task.

use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use futures::{StreamExt, TryStreamExt, stream};
use tempfile::TempDir;
use weir_engine::task::TaskProgress;
use weir_engine::{Engine, EngineOptions, PlanError, TaskContext, TaskFailure};
use weir_model::machine::coalesce;
use weir_model::{
    CoalesceSettings, Exchange, ExecutionId, InputRef, Job, Namespace, RunId, RunSettings, Stage, StageGraph, StageId,
    StageManifest, Submission, TableRef, TaskId, TaskMessage, TaskOutput, Timestamp, layout,
};
use weir_platform::{Storage, StorageOptions};
use weir_sandbox::{Sandbox, SandboxOptions};
use weir_testkit::Aws;

/// Memory that most tests run with.
pub(crate) const MEMORY_BYTES: usize = 1 << 30;

/// An engine over a folder of its own.
pub(crate) struct Driver {
    pub(crate) engine: Engine,
    pub(crate) storage: Storage,
    folder: TempDir,
}

/// Why a job did not end well.
#[derive(Debug)]
pub(crate) enum Failed {
    Plan(PlanError),
    Task(TaskId, Box<TaskFailure>),
}

/// A job that is being run.
pub(crate) struct Run {
    pub(crate) id: RunId,
    pub(crate) graph: StageGraph,
    /// Accepted outputs by stage, in task order.
    pub(crate) outputs: Vec<Vec<TaskOutput>>,
}

/// A SQL job over `tables` with one setting that matters.
pub(crate) fn sql(statement: &str, tables: &[(&str, String)], target_partitions: u32) -> Submission {
    let tables = tables
        .iter()
        .map(|(name, path)| TableRef {
            name: (*name).to_owned(),
            path: path.clone(),
        })
        .collect();
    Submission {
        namespace: Namespace::default(),
        name: "test".to_owned(),
        job: Job::Sql {
            statement: statement.to_owned(),
            setup: vec![],
            tables,
        },
        modules: Default::default(),
        base: std::env::temp_dir().to_string_lossy().into_owned(),
        metadata: Default::default(),
        settings: RunSettings {
            target_partitions,
            // Small, so that tests over little data have several tasks a stage.
            coalesce: CoalesceSettings {
                target_bytes: 64 << 10,
                min_bytes: 16 << 10,
                parallelism: 4,
            },
            ..RunSettings::default()
        },
    }
}

impl Driver {
    pub(crate) fn new(memory_bytes: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let storage = Storage::open(folder.path().join("storage").to_str().unwrap()).unwrap();
        Self::over(storage, folder, memory_bytes, true)
    }

    /// An engine as a server has it: over a bucket, and without files of its machine.
    pub(crate) async fn in_bucket() -> (Self, String) {
        let aws = Aws::shared().await;
        let bucket = aws.bucket().await;
        let options = StorageOptions {
            path_style: true,
            aws: Some(aws.sdk_config()),
        };
        let storage = Storage::open_with(&format!("s3://{bucket}/runs"), options).unwrap();
        let driver = Self::over(storage, tempfile::tempdir().unwrap(), MEMORY_BYTES, false);
        (driver, bucket)
    }

    fn over(storage: Storage, folder: TempDir, memory_bytes: usize, local_files: bool) -> Self {
        let options = EngineOptions {
            memory_bytes,
            spill_dir: folder.path().join("spill"),
            local_files,
            templates: Default::default(),
        };
        let engine = Engine::new(options, storage.clone(), sandbox()).unwrap();
        Self {
            engine,
            storage,
            folder,
        }
    }

    /// A folder for the files of a test.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Runs a job and gives its rows.
    pub(crate) async fn rows(&self, submission: &Submission) -> Result<Vec<RecordBatch>, Failed> {
        let run = self.run(submission).await?;
        let last = run.outputs.last().unwrap().iter();
        let last = last.filter_map(|output| output.shuffle.clone()).collect();
        let rows = self
            .engine
            .read_result(&Default::default(), run.id, &run.graph, last, 0)
            .await
            .map_err(Failed::Plan)?;
        Ok(rows.try_collect().await.unwrap())
    }

    /// Runs a job to its end.
    pub(crate) async fn run(&self, submission: &Submission) -> Result<Run, Failed> {
        let mut run = self.plan(submission).await?;
        for stage in 0..run.graph.stages.len() {
            self.run_stage(&mut run, stage, &submission.settings).await?;
        }
        Ok(run)
    }

    pub(crate) async fn plan(&self, submission: &Submission) -> Result<Run, Failed> {
        let id = RunId::from_parts(Timestamp(1), u128::from(number()));
        let graph = self
            .engine
            .plan(id, submission, &self.storage)
            .await
            .map_err(Failed::Plan)?;
        Ok(Run {
            id,
            graph,
            outputs: vec![],
        })
    }

    /// Runs the tasks of the next stage, some at a time, and writes its manifest.
    pub(crate) async fn run_stage(&self, run: &mut Run, stage: usize, settings: &RunSettings) -> Result<(), Failed> {
        let outputs: Vec<_> = stream::iter(messages(run, stage, settings))
            .map(|message| async move {
                let result = self.engine.run_task(&message, &context(message.task)).await;
                result.map_err(|failure| Failed::Task(message.task, Box::new(failure)))
            })
            .buffered(4)
            .try_collect()
            .await?;
        let manifest = StageManifest::new(outputs.iter().filter_map(|output| output.shuffle.as_ref()));
        let key = layout::manifest_key(run.id, StageId(stage as u32), 0);
        self.storage.put(&key, manifest.to_bytes().into()).await.unwrap();
        run.outputs.push(outputs);
        Ok(())
    }
}

/// The messages of a stage's tasks, grouped by what they read as the control plane does it.
pub(crate) fn messages(run: &Run, stage: usize, settings: &RunSettings) -> Vec<TaskMessage> {
    let stage = &run.graph.stages[stage];
    let tasks = coalesce(&sizes(run, stage), stage.inputs.is_empty(), &settings.coalesce);
    let count = tasks.len() as u32;
    let mut inputs: Vec<_> = stage
        .inputs
        .iter()
        .map(|input| InputRef {
            stage: input.stage,
            stage_attempt: 0,
        })
        .collect();
    inputs.dedup();
    let message = |(index, partitions)| TaskMessage {
        namespace: Namespace::default(),
        run: run.id,
        task: TaskId {
            stage: stage.id,
            index: index as u32,
        },
        stage_attempt: 0,
        attempt: 0,
        tasks: count,
        partitions,
        plan: stage.plan.digest,
        inputs: inputs.clone(),
        pauses: 0,
        time_limit_ms: None,
        traceparent: None,
    };
    tasks.into_iter().enumerate().map(message).collect()
}

fn sizes(run: &Run, stage: &Stage) -> Vec<Option<u64>> {
    let mut sizes = vec![0; stage.partitions as usize];
    for (size, bytes) in sizes.iter_mut().zip(&stage.scan_bytes) {
        *size += bytes;
    }
    for input in &stage.inputs {
        let Exchange::Aligned { readers } = &input.exchange else {
            continue;
        };
        for output in &run.outputs[input.stage.0 as usize] {
            for span in output.shuffle.iter().flat_map(|shuffle| &shuffle.index) {
                sizes[(readers.start + span.partition) as usize] += span.length;
            }
        }
    }
    sizes.into_iter().map(Some).collect()
}

/// A number that was not given out before: nothing is ever written twice under one id.
fn number() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NUMBERS: AtomicU64 = AtomicU64::new(0);
    NUMBERS.fetch_add(1, Ordering::Relaxed)
}

/// What a worker would give an attempt; each call is another execution.
pub(crate) fn context(task: TaskId) -> TaskContext {
    let number = (u128::from(number()) << 32) | u128::from(task.index);
    TaskContext {
        execution: ExecutionId::from_parts(Timestamp(1), number),
        cancel: Default::default(),
        progress: Arc::new(TaskProgress::default()),
    }
}

fn sandbox() -> Arc<Sandbox> {
    Arc::new(Sandbox::new(SandboxOptions::default()).unwrap())
}
