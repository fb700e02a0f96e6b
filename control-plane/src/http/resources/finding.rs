//! What is worth a look in a run, for the API.

use serde::{Deserialize, Serialize};
use weir_model::{RunId, findings};

/// Something worth a look.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Finding {
    /// A stable word for programs: `skewed_duration`, `spill`, `small_files`, …
    #[schema(value_type = String, example = "skewed_duration")]
    pub code: findings::FindingCode,
    /// How serious it is.
    pub severity: FindingSeverity,
    /// What it is, in one line.
    pub title: String,
    /// What was measured.
    pub detail: String,
    /// Where to look.
    pub evidence: Evidence,
    /// What to do about it.
    pub fix: String,
}

/// How serious a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FindingSeverity {
    /// Good to know.
    Info,
    /// It costs time or money.
    Warning,
    /// It is wrong, or nearly.
    Error,
}

/// What a finding was found by.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Evidence {
    /// The stage.
    pub stage: Option<u32>,
    /// The operator, by its id in the stage.
    pub operator: Option<u32>,
    /// The task, by its index in the stage.
    pub task: Option<u32>,
    /// The user function.
    pub function: Option<String>,
    /// The name of the number that was compared.
    pub metric: String,
    /// The number.
    pub value: f64,
    /// What it was compared with.
    pub threshold: f64,
    /// What both count.
    pub unit: EvidenceUnit,
    /// The page of the dashboard that shows it, as a path of this server.
    pub link: String,
}

/// What the numbers of an evidence count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EvidenceUnit {
    /// Things: tasks, files, attempts, rows.
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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FindingList {
    /// The run.
    #[schema(value_type = String)]
    pub run: RunId,
    /// Whether the run is over: until then more may be found, and what was found may pass.
    pub complete: bool,
    /// The findings.
    pub items: Vec<Finding>,
}

impl FindingList {
    /// Findings about a run, which may be over.
    pub fn new(run: RunId, complete: bool, found: Vec<findings::Finding>) -> Self {
        Self {
            run,
            complete,
            items: found.into_iter().map(|finding| Finding::new(run, finding)).collect(),
        }
    }
}

impl Finding {
    fn new(run: RunId, finding: findings::Finding) -> Self {
        let evidence = finding.evidence;
        let stage = evidence.stage.map(|stage| stage.0);
        Self {
            code: finding.code,
            severity: match finding.severity {
                findings::Severity::Info => FindingSeverity::Info,
                findings::Severity::Warning => FindingSeverity::Warning,
                findings::Severity::Error => FindingSeverity::Error,
            },
            title: finding.title,
            detail: finding.detail,
            evidence: Evidence {
                stage,
                operator: evidence.operator,
                task: evidence.task,
                function: evidence.function,
                metric: evidence.metric,
                value: evidence.value,
                threshold: evidence.threshold,
                unit: match evidence.unit {
                    findings::Unit::Count => EvidenceUnit::Count,
                    findings::Unit::Ratio => EvidenceUnit::Ratio,
                    findings::Unit::Share => EvidenceUnit::Share,
                    findings::Unit::Bytes => EvidenceUnit::Bytes,
                    findings::Unit::Milliseconds => EvidenceUnit::Milliseconds,
                },
                link: link(run, stage, evidence.task),
            },
            fix: finding.fix,
        }
    }
}

/// The page of a run where a stage, or a task of it, is selected.
fn link(run: RunId, stage: Option<u32>, task: Option<u32>) -> String {
    match (stage, task) {
        (Some(stage), Some(task)) => format!("/runs/{run}?stage={stage}&task={stage}.{task}"),
        (Some(stage), None) => format!("/runs/{run}?stage={stage}"),
        _ => format!("/runs/{run}"),
    }
}
