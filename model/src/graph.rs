//! A planned run: stages, and the exchanges between them.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::{Digest, StageId};

/// The stages of a run, in an order in which every stage comes after its inputs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StageGraph {
    /// The stages; a stage's id is its position.
    pub stages: Vec<Stage>,
    /// The build that made the plans; a worker of another build refuses them.
    pub build: String,
}

/// A part of the plan that runs without exchanging rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stage {
    /// Its position in the graph.
    pub id: StageId,
    /// What it does, for people: the operators or transforms in it.
    pub name: String,
    /// Names of the pipeline's transforms that have work in this stage.
    #[serde(default)]
    pub transforms: Vec<String>,
    /// The serialised plan.
    pub plan: PlanRef,
    /// Output partitions of the plan; a task runs a range of them.
    pub partitions: u32,
    /// Bytes that each partition reads from files, where known; empty when the stage reads no files.
    #[serde(default)]
    pub scan_bytes: Vec<u64>,
    /// Exchanges that it reads.
    #[serde(default)]
    pub inputs: Vec<StageInput>,
    /// Where its rows go.
    pub output: StageOutput,
}

/// A serialised plan in storage, see [`layout::plan_key`](crate::layout::plan_key).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanRef {
    /// Its content address.
    pub digest: Digest,
    /// Its size in bytes.
    pub bytes: u64,
}

/// One exchange that a stage reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageInput {
    /// The stage that writes it.
    pub stage: StageId,
    /// Which of its partitions a partition of the reader needs.
    pub exchange: Exchange,
}

/// How partitions of a reading stage map to shuffle partitions of the stage it reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Exchange {
    /// Partition `p` of the reader needs shuffle partition `p - readers.start`, for `p` in `readers`; other
    /// partitions of the reader need nothing (they belong to other branches of a union).
    Aligned {
        /// Partitions of the reader.
        readers: Range<u32>,
    },
    /// Every partition of the reader needs all partitions: a broadcast, or a merge into one partition.
    All,
}

/// Where the rows of a stage go.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum StageOutput {
    /// To other stages (how rows are assigned to partitions is part of the plan).
    Shuffle {
        /// Shuffle partitions.
        partitions: u32,
    },
    /// To the submitter: read back in task order, then partition order.
    Result,
    /// To files that the commit makes visible.
    Sink(SinkInfo),
    /// Nowhere: the stage runs for its effects (logging, assertions).
    Discard,
}

/// What the control plane must know of a sink to commit it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SinkInfo {
    /// The transform, by its name in the specification.
    pub transform: String,
    /// The output as the user wrote it, absolute: a prefix of the names of its files.
    pub target: String,
    /// Where the [`OutputManifest`](crate::OutputManifest) goes, absolute.
    pub manifest: String,
    /// The folder that holds every file this run has staged for this output, absolute; deleted by commit and abort.
    pub staging: String,
    /// The format, for people: `text`, `csv`, `json` or `parquet`.
    pub format: String,
    /// With CSV, how the files are written, for whoever reads them again.
    #[serde(default)]
    pub csv: Option<CsvDialect>,
}

/// How CSV is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CsvDialect {
    /// Between fields.
    pub delimiter: u8,
    /// Around fields that need it.
    pub quote: u8,
    /// Whether the first line has the names of the columns.
    pub header: bool,
}
