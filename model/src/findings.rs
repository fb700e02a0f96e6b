//! What is worth a look in a run, and what to do about it: rules over its [`RunProfile`].
//!
//! The thresholds are the constants of this module; `docs/findings.md` explains them. A rule says nothing where it
//! would not be worth anybody's time: a stage of two seconds may be as skewed as it likes.

mod rules;
mod text;

use serde::{Deserialize, Serialize};

use crate::{RunProfile, StageId};

/// Stages that tell of the same thing: the worst ones are shown.
pub const MAX_STAGES_PER_RULE: usize = 5;
/// A stage is skewed when its largest task is so many times its median.
pub const SKEW_RATIO: f64 = 10.0;
/// Tasks of a stage that a median is taken of at least.
pub const SKEW_MIN_TASKS: u32 = 4;
/// Time that the slowest task takes above the median at least, in microseconds.
pub const SKEW_MIN_EXCESS_US: u64 = 5_000_000;
/// Bytes that the largest task reads at least.
pub const SKEW_MIN_BYTES: u64 = 16 << 20;
/// A stage has many small tasks when it has more tasks than this…
pub const SMALL_TASKS_MIN_TASKS: u32 = 5_000;
/// … and half of them take less than this, in microseconds.
pub const SMALL_TASKS_MAX_MEDIAN_US: u64 = 500_000;
/// The share of time in which slots may be idle.
pub const IDLE_SLOTS_MAX_SHARE: f64 = 0.5;
/// Idle time that is worth mentioning, in microseconds, summed over slots.
pub const IDLE_SLOTS_MIN_US: u64 = 300_000_000;
/// The share of a worker's memory above which it is nearly full.
pub const MEMORY_MAX_SHARE: f64 = 0.95;
/// The share of a worker's memory below which too much of it is paid for.
pub const MEMORY_MIN_SHARE: f64 = 0.7;
/// Memory over time that is worth mentioning, in GiB times seconds: one GiB for an hour.
pub const MEMORY_MIN_GIB_SECONDS: f64 = 3_600.0;
/// Files that are smaller are small.
pub const SMALL_FILE_BYTES: u64 = 3 << 20;
/// Small files of one output that are fine.
pub const SMALL_FILES_MAX: u64 = 100;
/// Bytes that one task may read.
pub const PARTITION_MAX_BYTES: u64 = 5 << 30;
/// Bytes that every task of a stage may read.
pub const BROADCAST_MAX_BYTES: u64 = 1 << 30;
/// A stage that spills so many times what it reads spills a lot.
pub const SPILL_WARNING_RATIO: f64 = 1.0;
/// The share of a run's time that one user function may take.
pub const HOT_FUNCTION_MAX_SHARE: f64 = 0.5;
/// Time in a function that is worth mentioning, in microseconds.
pub const HOT_FUNCTION_MIN_US: u64 = 10_000_000;
/// The share of a stage's rows that functions and expressions may refuse.
pub const REFUSED_ROWS_MAX_SHARE: f64 = 0.01;
/// The share of attempts that may fail before it is more than noise.
pub const RETRIES_WARNING_SHARE: f64 = 0.1;
/// The share of a run's time that waiting for workers may take.
pub const COLD_START_MAX_SHARE: f64 = 0.2;
/// A wait for workers that is worth mentioning, in milliseconds.
pub const COLD_START_MIN_MS: u64 = 10_000;

/// How serious a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Good to know.
    Info,
    /// It costs time or money.
    Warning,
    /// It is wrong, or nearly.
    Error,
}

/// What was found. The words are stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingCode {
    /// Rows were lost or doubled.
    RowsNotConserved,
    /// A task was set aside, since it ended every worker that took it.
    DeadLetters,
    /// One task takes much longer than most.
    SkewedDuration,
    /// One task reads much more than most.
    SkewedBytes,
    /// A task reads more than a task should.
    LargePartition,
    /// Every task reads something large.
    LargeBroadcast,
    /// Operators wrote to local disk what they had no memory for.
    Spill,
    /// The memory of a worker was nearly full.
    MemoryNearlyFull,
    /// Much of the workers' memory was never used.
    MemoryUnused,
    /// One user function takes most of the time.
    HotFunction,
    /// Tasks are so short that starting them costs as much.
    SmallTasks,
    /// An output has many small files.
    SmallFiles,
    /// Slots were idle most of the time.
    IdleSlots,
    /// Attempts failed and were made again.
    Retries,
    /// Functions or expressions refused many rows.
    RefusedRows,
    /// The run waited for workers to start.
    ColdStart,
}

/// Something worth a look.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// A stable word for programs.
    pub code: FindingCode,
    /// How serious it is.
    pub severity: Severity,
    /// What it is, in one line.
    pub title: String,
    /// What was measured.
    pub detail: String,
    /// Where to look.
    pub evidence: Evidence,
    /// What to do about it.
    pub fix: String,
}

/// What a finding was found by.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Evidence {
    /// The stage.
    pub stage: Option<StageId>,
    /// The operator, by its id in the stage's profile.
    pub operator: Option<u32>,
    /// The task, by its index in the stage.
    pub task: Option<u32>,
    /// The user function.
    pub function: Option<String>,
    /// The name of the number that was compared, as in the profile.
    pub metric: String,
    /// The number.
    pub value: f64,
    /// What it was compared with.
    pub threshold: f64,
    /// What both count.
    pub unit: Unit,
}

/// What a number counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Things: tasks, files, attempts, rows.
    #[default]
    Count,
    /// How many times something is something else.
    Ratio,
    /// A part of a whole, from 0 to 1.
    Share,
    /// Bytes.
    Bytes,
    /// Milliseconds.
    Milliseconds,
}

/// What is worth a look in a run, the most serious first.
pub fn findings(profile: &RunProfile) -> Vec<Finding> {
    let mut found = Vec::new();
    for rule in rules::ALL {
        rule(profile, &mut found);
    }
    found.sort_by_key(|finding| (std::cmp::Reverse(finding.severity), finding.code));
    found
}
