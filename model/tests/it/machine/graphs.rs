//! Stage graphs for tests, and what their tasks make.

use std::ops::Range;

use weir_model::{
    CoalesceSettings, Digest, Exchange, Job, PlanRef, RetrySettings, RunSettings, SinkInfo, Stage, StageGraph, StageId,
    StageInput, StageOutput, Submission,
};

use super::simulation::Rng;

/// A stage without inputs that writes a shuffle.
pub(super) fn stage(id: u32, partitions: u32, output: StageOutput) -> Stage {
    Stage {
        id: StageId(id),
        name: format!("stage {id}"),
        transforms: Vec::new(),
        plan: PlanRef {
            digest: Digest::of(&id.to_le_bytes()),
            bytes: 4,
        },
        partitions,
        scan_bytes: Vec::new(),
        inputs: Vec::new(),
        output,
    }
}

pub(super) fn shuffle(partitions: u32) -> StageOutput {
    StageOutput::Shuffle { partitions }
}

pub(super) fn sink(name: &str) -> StageOutput {
    StageOutput::Sink(SinkInfo {
        transform: name.to_owned(),
        target: format!("/out/{name}"),
        manifest: format!("/out/{name}.manifest"),
        staging: format!("/out/.{name}"),
        format: "json".to_owned(),
        csv: None,
    })
}

/// `reader` reads `maker`, partition by partition, from partition `start` on.
pub(super) fn aligned(maker: u32, readers: Range<u32>) -> StageInput {
    StageInput {
        stage: StageId(maker),
        exchange: Exchange::Aligned { readers },
    }
}

/// `reader` reads all of `maker`.
pub(super) fn all(maker: u32) -> StageInput {
    StageInput {
        stage: StageId(maker),
        exchange: Exchange::All,
    }
}

pub(super) fn reading(stage: Stage, inputs: impl IntoIterator<Item = StageInput>) -> Stage {
    Stage {
        inputs: inputs.into_iter().collect(),
        ..stage
    }
}

pub(super) fn graph(stages: impl IntoIterator<Item = Stage>) -> StageGraph {
    StageGraph {
        stages: stages.into_iter().collect(),
        build: "test".to_owned(),
    }
}

/// Two tasks that shuffle into two partitions, and two tasks that write them to a sink.
pub(super) fn map_reduce() -> StageGraph {
    graph([
        stage(0, 2, shuffle(2)),
        reading(stage(1, 2, sink("out")), [aligned(0, 0..2)]),
    ])
}

pub(super) fn submission() -> Submission {
    Submission {
        namespace: "tenant".parse().expect("a namespace"),
        name: "test".to_owned(),
        job: Job::Sql {
            statement: "SELECT 1".to_owned(),
            setup: Vec::new(),
            tables: Vec::new(),
        },
        modules: Default::default(),
        base: "/".to_owned(),
        metadata: Default::default(),
        settings: RunSettings {
            // One byte is enough for a task of its own.
            coalesce: CoalesceSettings {
                target_bytes: 1,
                min_bytes: 1,
                parallelism: 4,
            },
            retry: RetrySettings {
                max_attempts: 3,
                backoff_ms: 8,
                max_backoff_ms: 64,
                max_stage_attempts: 2,
            },
            attempt_timeout_ms: 1_000,
            ..RunSettings::default()
        },
    }
}

/// Bytes, and as many rows, that partition `partition` of a stage puts into partition `to` of its shuffle. Many are
/// zero.
pub(super) fn made(stage: StageId, partition: u32, to: u32) -> u64 {
    u64::from((stage.0 + 3 * partition + 5 * to) % 4)
}

/// Rows that a partition of a stage puts into a sink.
pub(super) fn written(stage: StageId, partition: u32) -> u64 {
    u64::from(stage.0 * 7 + partition * 13 + 1)
}

/// How a stage of a random graph reads its inputs.
#[derive(Clone, Copy)]
enum Reads {
    Join,
    Union,
    Broadcast,
}

/// Graphs of one to five stages: chains, joins, diamonds, unions and broadcasts of whatever comes before.
pub(super) fn random(rng: &mut Rng) -> StageGraph {
    let width = rng.between(1, 4) as u32;
    let stages = rng.between(1, 5);
    let mut graph = graph([]);
    for id in 0..stages as u32 {
        let stage = random_stage(rng, id, width, &mut graph.stages);
        graph.stages.push(stage);
    }
    graph
}

fn random_stage(rng: &mut Rng, id: u32, width: u32, before: &mut [Stage]) -> Stage {
    let reads = rng.pick(&[Reads::Join, Reads::Union, Reads::Broadcast]);
    let mut inputs: Vec<StageInput> = Vec::new();
    let makers = if id == 0 { 0 } else { rng.pick(&[0, 1, 1, 1, 2, 3]) };
    for position in 0..makers {
        let maker = rng.below(id.into()) as u32;
        before[maker as usize].output = shuffle(width);
        inputs.push(match reads {
            Reads::Join => aligned(maker, 0..width),
            Reads::Union => aligned(maker, position * width..(position + 1) * width),
            Reads::Broadcast if position > 0 => aligned(maker, 0..width),
            Reads::Broadcast => all(maker),
        });
    }
    let read = inputs.iter().filter_map(|input| match &input.exchange {
        Exchange::Aligned { readers } => Some(readers.end),
        Exchange::All => None,
    });
    let partitions = read.max().unwrap_or_else(|| rng.between(1, 6) as u32);
    let output = match rng.below(4) {
        0 | 1 => sink(&format!("sink{id}")),
        2 => StageOutput::Result,
        _ => StageOutput::Discard,
    };
    let mut stage = reading(stage(id, partitions, output), inputs);
    if rng.permille(300) && stage.inputs.iter().all(|input| input.exchange == Exchange::All) {
        stage.scan_bytes = (0..partitions).map(|_| rng.below(20)).collect();
    }
    stage
}
