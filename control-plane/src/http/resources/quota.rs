//! What a namespace may use.

use serde::{Deserialize, Serialize};

use crate::quotas::{self, NamespaceUsage};

/// What a namespace may use, and what it uses.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Quota {
    /// The namespace.
    pub namespace: String,
    /// Whether the limits are those of every namespace that has none of its own.
    pub is_default: bool,
    /// What it may use.
    pub limits: QuotaLimits,
    /// What it uses.
    pub usage: QuotaUsage,
}

/// What a namespace may use, and its share of what is short. Where a number is left out there is no limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct QuotaLimits {
    /// While several namespaces have tasks that wait, each gets slots in proportion to its weight.
    #[serde(default = "default_weight")]
    #[schema(minimum = 1, maximum = 1000)]
    pub weight: u32,
    /// Slots of the fleet that are kept for this namespace: others do not take them, even while it does not use them.
    #[serde(default)]
    #[schema(maximum = 1_000_000)]
    pub min_share: u32,
    /// Runs that are under way at once; more wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 1_000_000)]
    pub max_runs: Option<u32>,
    /// Runs that wait; more are refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 1_000_000)]
    pub max_queued_runs: Option<u32>,
    /// Tasks that are with the workers at once; more wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 1_000_000)]
    pub max_tasks: Option<u32>,
    /// Memory of the tasks that are with the workers at once, in bytes; more tasks wait. A task counts as its slot's part
    /// of what its worker has for tasks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 9_223_372_036_854_775_807_i64)]
    pub max_memory_bytes: Option<u64>,
    /// Bytes of kept results beyond which no further run is taken in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 9_223_372_036_854_775_807_i64)]
    pub max_storage_bytes: Option<u64>,
    /// Runs that may be submitted in a minute, on average.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 1_000_000)]
    pub submissions_per_minute: Option<u32>,
    /// Runs that may be submitted at once after a time without any; counts where there is a rate.
    #[serde(default = "default_burst")]
    #[schema(minimum = 1, maximum = 1_000_000)]
    pub submission_burst: u32,
}

fn default_weight() -> u32 {
    quotas::Quota::default().weight
}

fn default_burst() -> u32 {
    quotas::Quota::default().submission_burst
}

/// What a namespace uses. Counts of tasks may be some hundred milliseconds old.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct QuotaUsage {
    /// Runs that are under way.
    pub runs: u64,
    /// Runs that wait.
    pub queued_runs: u64,
    /// Tasks that no worker has begun with.
    pub tasks_waiting: u64,
    /// Tasks that workers run.
    pub tasks_running: u64,
    /// Bytes of results and modules that are kept.
    pub storage_bytes: u64,
    /// Of these, those of modules.
    pub module_bytes: u64,
}

impl From<quotas::Quota> for QuotaLimits {
    fn from(quota: quotas::Quota) -> Self {
        let quotas::Quota {
            weight,
            min_share,
            max_runs,
            max_queued_runs,
            max_tasks,
            max_memory_bytes,
            max_storage_bytes,
            submissions_per_minute,
            submission_burst,
        } = quota;
        Self {
            weight,
            min_share,
            max_runs,
            max_queued_runs,
            max_tasks,
            max_memory_bytes,
            max_storage_bytes,
            submissions_per_minute,
            submission_burst,
        }
    }
}

impl From<QuotaLimits> for quotas::Quota {
    fn from(limits: QuotaLimits) -> Self {
        let QuotaLimits {
            weight,
            min_share,
            max_runs,
            max_queued_runs,
            max_tasks,
            max_memory_bytes,
            max_storage_bytes,
            submissions_per_minute,
            submission_burst,
        } = limits;
        Self {
            weight,
            min_share,
            max_runs,
            max_queued_runs,
            max_tasks,
            max_memory_bytes,
            max_storage_bytes,
            submissions_per_minute,
            submission_burst,
        }
    }
}

impl From<NamespaceUsage> for QuotaUsage {
    fn from(usage: NamespaceUsage) -> Self {
        Self {
            runs: usage.runs,
            queued_runs: usage.queued_runs,
            tasks_waiting: usage.tasks_waiting,
            tasks_running: usage.tasks_running,
            storage_bytes: usage.storage_bytes(),
            module_bytes: usage.module_bytes,
        }
    }
}
