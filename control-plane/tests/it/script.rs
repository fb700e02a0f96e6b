//! A job that is small enough to follow by hand, and a runner that does as it is told.
//!
//! Stage 0 makes the numbers 0 to 39, ten in each of its four partitions, and shuffles them by `n % 3`. Stage 1 adds
//! up each shuffle partition and writes one line per partition. What a task does beside its work is scripted.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use weir_control_plane::Planner;
use weir_model::{
    Digest, Exchange, Failure, FailureKind, Job, LostShuffle, OutputFile, PartitionSpan, PlanRef, RunId, RunSettings,
    ShuffleObject, SinkInfo, Stage, StageGraph, StageId, StageInput, StageManifest, StageOutput, Staged, Submission,
    TaskId, TaskMessage, TaskMetrics, TaskOutput, layout,
};
use weir_platform::Storage;
use weir_worker::{TaskContext, TaskFailure, TaskRunner};

pub(crate) const MAPS: u32 = 4;
pub(crate) const REDUCES: u32 = 3;

/// The lines that the job writes.
pub(crate) fn expected_lines() -> Vec<String> {
    (0..REDUCES)
        .map(|partition| {
            let numbers = (0..MAPS * 10).filter(|n| n % REDUCES == partition);
            format!("{partition}: {}", numbers.sum::<u32>())
        })
        .collect()
}

/// What becomes of the rows.
#[derive(Clone, Debug)]
pub(crate) enum To {
    /// Files in this folder.
    Folder(std::path::PathBuf),
    /// The submitter.
    Submitter,
    /// Nobody: one stage of so many tasks that do nothing.
    Nothing { tasks: u32 },
}

fn stage(id: u32, partitions: u32, inputs: Vec<StageInput>, output: StageOutput) -> Stage {
    Stage {
        id: StageId(id),
        name: format!("stage {id}"),
        transforms: vec![format!("Transform{id}")],
        plan: PlanRef {
            digest: Digest::of(&[id as u8]),
            bytes: 1,
        },
        partitions,
        scan_bytes: Vec::new(),
        inputs,
        output,
    }
}

pub(crate) fn graph(run: RunId, to: &To) -> StageGraph {
    let output = match to {
        To::Nothing { tasks } => {
            return StageGraph {
                stages: vec![stage(0, *tasks, Vec::new(), StageOutput::Discard)],
                build: "test".into(),
            };
        }
        To::Submitter => StageOutput::Result,
        To::Folder(folder) => StageOutput::Sink(SinkInfo {
            transform: "Write".into(),
            target: folder.join("part").display().to_string(),
            manifest: folder.join("_weir/part.json").display().to_string(),
            staging: folder.join(format!("_weir/staging-{run}/part")).display().to_string(),
            format: "text".into(),
            csv: None,
        }),
    };
    let shuffle = StageOutput::Shuffle { partitions: REDUCES };
    let input = StageInput {
        stage: StageId(0),
        exchange: Exchange::Aligned { readers: 0..REDUCES },
    };
    StageGraph {
        stages: vec![
            stage(0, MAPS, Vec::new(), shuffle),
            stage(1, REDUCES, vec![input], output),
        ],
        build: "test".into(),
    }
}

/// A submission that misses a lost message after so many milliseconds. An attempt of it may run twice when the machine
/// is busy, and as often as that.
pub(crate) fn impatient(attempt_timeout_ms: u64) -> Submission {
    let mut submission = submission();
    submission.settings.attempt_timeout_ms = attempt_timeout_ms;
    submission.settings.retry.max_attempts = 100;
    submission
}

/// A submission whose tasks are one partition each.
pub(crate) fn submission() -> Submission {
    let mut settings = RunSettings::default();
    settings.retry.backoff_ms = 10;
    settings.coalesce.target_bytes = 1;
    settings.coalesce.min_bytes = 0;
    settings.coalesce.parallelism = 1_000;
    Submission {
        namespace: Default::default(),
        name: "sums".into(),
        job: Job::Sql {
            statement: "SELECT 1".into(),
            setup: Vec::new(),
            tables: Vec::new(),
        },
        modules: Default::default(),
        base: "/".into(),
        metadata: Default::default(),
        settings,
    }
}

/// A planner that does as it is told, by the number of the call.
pub(crate) struct ScriptedPlanner {
    pub(crate) to: To,
    pub(crate) calls: Mutex<u32>,
    pub(crate) act: Box<dyn Fn(u32) -> Plan + Send + Sync>,
}

pub(crate) enum Plan {
    Graph,
    Fail(Failure),
    Panic,
    Hang,
}

#[async_trait]
impl Planner for ScriptedPlanner {
    async fn plan(&self, run: RunId, _: &Submission, _: &Storage) -> Result<StageGraph, Failure> {
        let call = {
            let mut calls = self.calls.lock().unwrap();
            *calls += 1;
            *calls
        };
        match (self.act)(call) {
            Plan::Graph => Ok(graph(run, &self.to)),
            Plan::Fail(failure) => Err(failure),
            Plan::Panic => panic!("scripted"),
            Plan::Hang => std::future::pending().await,
        }
    }
}

/// What an execution does.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    Work,
    /// Works after a while, whatever happens meanwhile.
    WorkAfter(Duration),
    /// Does nothing until it is told to stop.
    Hang,
    Fail(Failure),
    Panic,
    /// Succeeds without any rows.
    Empty,
}

type Script = dyn Fn(TaskId, u32) -> Act + Send + Sync;

/// Runs tasks as a script says for each task and the number of its execution, from one.
pub(crate) struct ScriptedRunner {
    storage: Storage,
    to: To,
    script: Mutex<Arc<Script>>,
    executions: Mutex<HashMap<TaskId, u32>>,
}

impl ScriptedRunner {
    pub(crate) fn new(storage: Storage, to: To) -> Self {
        Self {
            storage,
            to,
            script: Mutex::new(Arc::new(|_, _| Act::Work)),
            executions: Mutex::default(),
        }
    }

    pub(crate) fn script(&self, script: impl Fn(TaskId, u32) -> Act + Send + Sync + 'static) {
        *self.script.lock().unwrap() = Arc::new(script);
    }

    pub(crate) fn executions(&self, task: TaskId) -> u32 {
        self.executions.lock().unwrap().get(&task).copied().unwrap_or(0)
    }

    pub(crate) fn all_executions(&self) -> u32 {
        self.executions.lock().unwrap().values().sum()
    }

    async fn work(&self, message: &TaskMessage, context: &TaskContext) -> Result<TaskOutput, Failure> {
        match (&self.to, message.task.stage.0) {
            (To::Nothing { .. }, _) => Ok(TaskOutput::default()),
            (_, 0) => self.map(message, context).await,
            (to, _) => self.reduce(message, context, to).await,
        }
    }

    async fn map(&self, message: &TaskMessage, context: &TaskContext) -> Result<TaskOutput, Failure> {
        let mut blocks = vec![(String::new(), 0_u64); REDUCES as usize];
        for n in message.partitions.start * 10..message.partitions.end * 10 {
            let (text, rows) = &mut blocks[(n % REDUCES) as usize];
            text.push_str(&format!("{n}\n"));
            *rows += 1;
        }
        self.write_object(message, context, &blocks).await
    }

    async fn write_object(
        &self,
        message: &TaskMessage,
        context: &TaskContext,
        blocks: &[(String, u64)],
    ) -> Result<TaskOutput, Failure> {
        let key = layout::shuffle_key(message.run, message.task, context.execution);
        let (mut bytes, mut index) = (String::new(), Vec::new());
        for (partition, (text, rows)) in (0..).zip(blocks) {
            index.push(PartitionSpan {
                partition,
                offset: bytes.len() as u64,
                length: text.len() as u64,
                rows: *rows,
            });
            bytes.push_str(text);
        }
        self.storage.put(&key, Bytes::from(bytes)).await.map_err(platform)?;
        Ok(TaskOutput {
            shuffle: Some(ShuffleObject { key, index }),
            ..TaskOutput::default()
        })
    }

    async fn reduce(&self, message: &TaskMessage, context: &TaskContext, to: &To) -> Result<TaskOutput, Failure> {
        let input = message.inputs[0];
        let key = layout::manifest_key(message.run, input.stage, input.stage_attempt);
        let manifest = StageManifest::from_bytes(&self.storage.get(&key).await.map_err(platform)?).map_err(platform)?;
        let mut lines = Vec::new();
        for partition in message.partitions.clone() {
            let mut sum = 0;
            for segment in manifest.segments(partition) {
                let object = &manifest.objects()[segment.object as usize];
                let range = segment.offset..segment.offset + segment.length;
                let bytes = self.storage.get_range(object, range).await.map_err(|_| Failure {
                    lost: Some(LostShuffle {
                        stage: input.stage,
                        stage_attempt: input.stage_attempt,
                        objects: vec![object.clone()],
                    }),
                    ..Failure::new(FailureKind::ShuffleLost, "shuffle_lost", "gone")
                })?;
                let text = String::from_utf8(bytes.to_vec()).map_err(platform)?;
                sum += text.lines().map(|line| line.parse::<u32>().unwrap()).sum::<u32>();
            }
            lines.push(format!("{partition}: {sum}\n"));
        }
        match to {
            To::Folder(folder) => stage_file(message, context, folder, &lines).await,
            _ => {
                let block = (lines.concat(), lines.len() as u64);
                self.write_object(message, context, &[block]).await
            }
        }
    }
}

async fn stage_file(
    message: &TaskMessage,
    context: &TaskContext,
    folder: &Path,
    lines: &[String],
) -> Result<TaskOutput, Failure> {
    let staging = folder.join(format!("_weir/staging-{}/part", message.run));
    let path = staging.join(format!("{}-{}", message.task.index, context.execution));
    tokio::fs::create_dir_all(&staging).await.map_err(platform)?;
    tokio::fs::write(&path, lines.concat()).await.map_err(platform)?;
    let file = OutputFile {
        target: folder
            .join(format!("part-{}", message.task.index))
            .display()
            .to_string(),
        staged: Staged::File {
            path: path.display().to_string(),
        },
        rows: lines.len() as u64,
        bytes: lines.concat().len() as u64,
    };
    Ok(TaskOutput {
        files: vec![file],
        ..TaskOutput::default()
    })
}

#[async_trait]
impl TaskRunner for ScriptedRunner {
    async fn run(&self, message: &TaskMessage, context: &TaskContext) -> Result<TaskOutput, TaskFailure> {
        let nth = {
            let mut executions = self.executions.lock().unwrap();
            let nth = executions.entry(message.task).or_default();
            *nth += 1;
            *nth
        };
        let script = self.script.lock().unwrap().clone();
        let result = match script(message.task, nth) {
            Act::Work => self.work(message, context).await,
            Act::WorkAfter(wait) => {
                tokio::time::sleep(wait).await;
                self.work(message, context).await
            }
            Act::Hang => {
                context.cancel.cancelled().await;
                Err(Failure::new(FailureKind::Cancelled, "cancelled", "told to stop"))
            }
            Act::Fail(failure) => Err(failure),
            Act::Panic => panic!("scripted"),
            Act::Empty => Ok(TaskOutput::default()),
        };
        result.map_err(|failure| TaskFailure {
            failure,
            metrics: TaskMetrics::default(),
        })
    }
}

pub(crate) fn platform(error: impl std::fmt::Display) -> Failure {
    Failure::new(FailureKind::Platform, "test", error.to_string())
}

pub(crate) fn task(stage: u32, index: u32) -> TaskId {
    TaskId {
        stage: StageId(stage),
        index,
    }
}
