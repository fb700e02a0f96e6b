//! What a namespace may use.

mod known;
mod locations;

use std::time::Duration;

pub(crate) use known::{Own, Quotas};
pub(crate) use locations::Locations;
use serde::{Deserialize, Serialize};

/// What a namespace may use, and its share of what is short. Without a number there is no limit.
///
/// The limits on runs and submissions hold when a run is submitted, those on tasks and memory when tasks are sent to
/// the workers, and that on storage when a run is submitted: what is under way is never stopped. Several control planes
/// may together exceed the limits on runs by what each takes in at the same moment, and those on tasks by what each
/// sends within a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Quota {
    /// While several namespaces have tasks that wait, each gets slots in proportion to its weight.
    pub weight: u32,
    /// Slots of the fleet that are kept for this namespace: others do not take them, even while it does not use them.
    pub min_share: u32,
    /// Runs that are under way at once; more wait.
    pub max_runs: Option<u32>,
    /// Runs that wait; more are refused.
    pub max_queued_runs: Option<u32>,
    /// Tasks that are with the workers at once; more wait.
    pub max_tasks: Option<u32>,
    /// Memory of the tasks that are with the workers at once, in bytes; more wait. A task counts as its slot's part of
    /// what the workers have for tasks; at least one task is let through.
    pub max_memory_bytes: Option<u64>,
    /// Bytes of results in the storage, beyond which no further run is taken in. Results are kept until their run is
    /// forgotten.
    pub max_storage_bytes: Option<u64>,
    /// Runs that may be submitted in a minute, on average.
    pub submissions_per_minute: Option<u32>,
    /// Runs that may be submitted at once after a time without any; counts where there is a rate.
    pub submission_burst: u32,
}

impl Default for Quota {
    fn default() -> Self {
        Self {
            weight: 1,
            min_share: 0,
            max_runs: None,
            max_queued_runs: None,
            max_tasks: None,
            max_memory_bytes: None,
            max_storage_bytes: None,
            submissions_per_minute: None,
            submission_burst: 10,
        }
    }
}

/// The largest weight.
pub const MAX_WEIGHT: u32 = 1_000;
/// The largest number of slots, runs or tasks in a quota.
const MAX_COUNT: u32 = 1_000_000;

impl Quota {
    /// Says what is wrong with it, if anything is.
    pub fn check(&self) -> Result<(), String> {
        let counts = [
            ("weight", Some(self.weight), 1, MAX_WEIGHT),
            ("min_share", Some(self.min_share), 0, MAX_COUNT),
            ("max_runs", self.max_runs, 0, MAX_COUNT),
            ("max_queued_runs", self.max_queued_runs, 0, MAX_COUNT),
            ("max_tasks", self.max_tasks, 1, MAX_COUNT),
            ("submissions_per_minute", self.submissions_per_minute, 1, MAX_COUNT),
            ("submission_burst", Some(self.submission_burst), 1, MAX_COUNT),
        ];
        for (name, value, least, most) in counts {
            if value.is_some_and(|value| !(least..=most).contains(&value)) {
                return Err(format!("`{name}` must lie between {least} and {most}"));
            }
        }
        // Databases keep them as signed numbers.
        let bytes = [self.max_memory_bytes, self.max_storage_bytes];
        if bytes.into_iter().flatten().any(|bytes| i64::try_from(bytes).is_err()) {
            return Err("a number of bytes must be less than 2^63".to_owned());
        }
        Ok(())
    }

    /// How fast runs may be submitted, if that is limited.
    pub(crate) fn rate(&self) -> Option<Rate> {
        self.submissions_per_minute.map(|per_minute| Rate {
            interval: Duration::from_secs(60) / per_minute.max(1),
            burst: self.submission_burst.max(1),
        })
    }
}

/// What a namespace uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NamespaceUsage {
    /// Runs that are under way.
    pub runs: u64,
    /// Runs that wait.
    pub queued_runs: u64,
    /// Tasks that no worker has begun with.
    pub tasks_waiting: u64,
    /// Tasks that workers run.
    pub tasks_running: u64,
    /// Bytes of results in the storage.
    pub kept_bytes: u64,
    /// Bytes of Wasm components in the storage.
    pub module_bytes: u64,
}

impl NamespaceUsage {
    /// Bytes in the storage that count against the quota.
    pub fn storage_bytes(&self) -> u64 {
        self.kept_bytes.saturating_add(self.module_bytes)
    }
}

/// A token bucket: it holds `burst` tokens, and gets one every `interval`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// The time for one token.
    pub interval: Duration,
    /// Tokens of a full bucket.
    pub burst: u32,
}

impl Rate {
    /// Microseconds for one token, and those for which a bucket may be short of being full when one is taken.
    pub(crate) fn micros(&self) -> (i64, i64) {
        let interval = i64::try_from(self.interval.as_micros()).unwrap_or(i64::MAX).max(1);
        (interval, interval.saturating_mul(i64::from(self.burst.max(1) - 1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotas_without_sense_are_refused() {
        let wrong = |change: fn(&mut Quota)| {
            let mut quota = Quota::default();
            change(&mut quota);
            quota.check().unwrap_err()
        };
        Quota::default().check().unwrap();
        assert!(wrong(|quota| quota.weight = 0).contains("weight"));
        assert!(wrong(|quota| quota.weight = MAX_WEIGHT + 1).contains("weight"));
        assert!(wrong(|quota| quota.max_tasks = Some(0)).contains("max_tasks"));
        assert!(wrong(|quota| quota.submissions_per_minute = Some(0)).contains("per_minute"));
        assert!(wrong(|quota| quota.max_storage_bytes = Some(u64::MAX)).contains("bytes"));
    }
}
