//! What a submitter can tune about a run.

use serde::{Deserialize, Serialize};

/// Settings of one run, fixed when it is submitted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RunSettings {
    /// Partitions of a shuffle, and the most tasks of a stage that reads one.
    pub target_partitions: u32,
    /// How small partitions are put together into one task.
    pub coalesce: CoalesceSettings,
    /// How often and how fast failed attempts are tried again.
    pub retry: RetrySettings,
    /// How long an attempt that was started may go without a sign of life before it has failed and another is
    /// dispatched, in milliseconds. A message that nobody took is sent again when the whole run is silent for as
    /// long, then ever less often: it may only wait in a long queue, so that is not a failure.
    pub attempt_timeout_ms: u64,
    /// When a second attempt of a slow task is made.
    pub speculation: SpeculationSettings,
    /// After how many seconds from its submission, those aside in which it was paused, the run fails with the code
    /// `timeout`, if it does. A commit that has begun is not cut short.
    pub timeout_s: Option<u64>,
    /// Whether the run is tried again when it is over, as a new run, and for how long it is kept.
    pub restart_policy: RestartPolicy,
    /// The places in S3 (`s3://BUCKET/PREFIX`) whose files the run may read and write, and no others; everything that
    /// the service reaches without it. Not the submitter's to choose: it is what the namespace has at submission.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed_locations: Option<Vec<String>>,
}

impl Default for RunSettings {
    fn default() -> Self {
        Self {
            target_partitions: 4,
            coalesce: CoalesceSettings::default(),
            retry: RetrySettings::default(),
            attempt_timeout_ms: 60_000,
            speculation: SpeculationSettings::default(),
            timeout_s: None,
            restart_policy: RestartPolicy::default(),
            allowed_locations: None,
        }
    }
}

/// What becomes of a run that is over, in the words of Spark's operator for Kubernetes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RestartPolicy {
    /// After which ends it is tried again.
    #[serde(rename = "type")]
    pub kind: RestartType,
    /// Runs that had been planned and failed, in a row, after which there is another.
    pub on_failure_retries: u32,
    /// Seconds from the end of a run that had been planned to the next one.
    pub on_failure_retry_interval_s: u64,
    /// Runs that could not be planned, in a row, after which there is another.
    pub on_submission_failure_retries: u32,
    /// Seconds from the end of a run that could not be planned to the next one.
    pub on_submission_failure_retry_interval_s: u64,
    /// Seconds for which a run is kept that is over; without it, as the service's housekeeping says.
    pub time_to_live_s: Option<u64>,
}

impl Default for RestartPolicy {
    fn default() -> Self {
        Self {
            kind: RestartType::Never,
            on_failure_retries: 3,
            on_failure_retry_interval_s: 5,
            on_submission_failure_retries: 3,
            on_submission_failure_retry_interval_s: 5,
            time_to_live_s: None,
        }
    }
}

/// After which ends a run is tried again. Never after it was cancelled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RestartType {
    /// None.
    #[default]
    Never,
    /// When it has failed, as often as the policy says.
    OnFailure,
    /// The same, and whenever it has succeeded.
    Always,
}

/// How the partitions of a stage's inputs are grouped into tasks, by their exact sizes.
///
/// As Spark's adaptive execution does it: a task gets about
/// `clamp(total_bytes / parallelism, min_bytes, target_bytes)`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CoalesceSettings {
    /// Bytes above which no further partition is added to a task.
    pub target_bytes: u64,
    /// Bytes below which a task is not worth its overhead.
    pub min_bytes: u64,
    /// Tasks that can run at once.
    pub parallelism: u32,
}

impl Default for CoalesceSettings {
    fn default() -> Self {
        Self {
            target_bytes: 64 << 20,
            min_bytes: 256 << 10,
            parallelism: 4,
        }
    }
}

/// Retries of attempts that failed through the platform's fault.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetrySettings {
    /// Attempts of one task before the run fails.
    pub max_attempts: u32,
    /// The first wait, in milliseconds; each further one doubles it.
    pub backoff_ms: u64,
    /// The longest wait, in milliseconds.
    pub max_backoff_ms: u64,
    /// Times that a stage may be reopened because its shuffle objects were lost.
    pub max_stage_attempts: u32,
}

impl Default for RetrySettings {
    fn default() -> Self {
        Self {
            max_attempts: 4,
            backoff_ms: 200,
            max_backoff_ms: 10_000,
            max_stage_attempts: 4,
        }
    }
}

/// Copies of attempts that take much longer than the others of their stage, as Spark's speculation makes them.
///
/// Whichever of the two succeeds first is accepted. At most one copy of a task is under way, and at most a tenth of a
/// stage's tasks (or one) have a copy at any time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SpeculationSettings {
    /// Whether copies are made at all.
    pub enabled: bool,
    /// An attempt is slow when it takes so many times the median of the stage's accepted attempts.
    pub multiplier: f64,
    /// The share of a stage's tasks, from 0 to 1, that must be accepted before any is copied.
    pub quantile: f64,
    /// No attempt is copied that has run for less, in milliseconds.
    pub min_ms: u64,
}

impl Default for SpeculationSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            multiplier: 3.0,
            quantile: 0.9,
            min_ms: 1_000,
        }
    }
}
