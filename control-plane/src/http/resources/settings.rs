//! How the settings of runs look in the API's document: those of [`weir_model::RunSettings`], of which a request gives
//! those that it cares for.

/// Tuning of a run. What a request leaves out is as the pipeline, the schedule or the server has it.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "only its description is used")]
pub(super) struct RunSettings {
    /// Partitions of a shuffle, and the most tasks of a stage that reads one: from 1 to 100000.
    #[schema(required = false)]
    target_partitions: u32,
    /// How small partitions are put together into one task.
    #[schema(required = false)]
    coalesce: CoalesceSettings,
    /// How often and how fast failed attempts are tried again.
    #[schema(required = false)]
    retry: RetrySettings,
    /// How long an attempt may go without a sign of life before another is made, in milliseconds.
    #[schema(required = false)]
    attempt_timeout_ms: u64,
    /// When a second attempt of a slow task is made.
    #[schema(required = false)]
    speculation: SpeculationSettings,
    /// After how many seconds from its submission, those aside in which it was paused, the run fails with the code
    /// `timeout`, if it does: from 1 to 31536000.
    #[schema(required = false)]
    timeout_s: Option<u64>,
    /// Whether the run is tried again when it is over, as a new run, and for how long it is kept.
    #[schema(required = false)]
    restart_policy: RestartPolicy,
    /// The places in S3 whose files the run may use, when those are not all. They are the namespace's: no request says them.
    #[schema(required = false)]
    allowed_locations: Option<Vec<String>>,
}

/// How the partitions of a stage's inputs are grouped into tasks, by their exact sizes: a task gets about
/// `clamp(total_bytes / parallelism, min_bytes, target_bytes)`.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "only its description is used")]
pub(super) struct CoalesceSettings {
    /// Bytes above which no further partition is added to a task.
    #[schema(required = false)]
    target_bytes: u64,
    /// Bytes below which a task is not worth its overhead.
    #[schema(required = false)]
    min_bytes: u64,
    /// Tasks that can run at once.
    #[schema(required = false)]
    parallelism: u32,
}

/// Retries of attempts that failed through the platform's fault.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "only its description is used")]
pub(super) struct RetrySettings {
    /// Attempts of one task before the run fails.
    #[schema(required = false)]
    max_attempts: u32,
    /// The first wait, in milliseconds; each further one doubles it.
    #[schema(required = false)]
    backoff_ms: u64,
    /// The longest wait, in milliseconds.
    #[schema(required = false)]
    max_backoff_ms: u64,
    /// Times that a stage may be reopened because its shuffle objects were lost.
    #[schema(required = false)]
    max_stage_attempts: u32,
}

/// Copies of attempts that take much longer than the others of their stage: the first of the two to succeed is accepted.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "only its description is used")]
pub(super) struct SpeculationSettings {
    /// Whether copies are made at all.
    #[schema(required = false)]
    enabled: bool,
    /// An attempt is slow when it takes so many times the median of the stage's accepted attempts.
    #[schema(required = false)]
    multiplier: f64,
    /// The share of a stage's tasks, from 0 to 1, that must be accepted before any is copied.
    #[schema(required = false)]
    quantile: f64,
    /// No attempt is copied that has run for less, in milliseconds.
    #[schema(required = false)]
    min_ms: u64,
}

/// What becomes of a run that is over, in the words of Spark's operator for Kubernetes.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "only its description is used")]
pub(super) struct RestartPolicy {
    /// After which ends it is tried again.
    #[schema(required = false, rename = "type")]
    kind: RestartType,
    /// Runs that had been planned and failed, in a row, after which there is another.
    #[schema(required = false)]
    on_failure_retries: u32,
    /// Seconds from the end of a run that had been planned to the next one.
    #[schema(required = false)]
    on_failure_retry_interval_s: u64,
    /// Runs that could not be planned, in a row, after which there is another.
    #[schema(required = false)]
    on_submission_failure_retries: u32,
    /// Seconds from the end of a run that could not be planned to the next one.
    #[schema(required = false)]
    on_submission_failure_retry_interval_s: u64,
    /// Seconds for which a run is kept that is over; without it, as the service's housekeeping says.
    #[schema(required = false)]
    time_to_live_s: Option<u64>,
}

/// After which ends a run is tried again. Never after it was cancelled.
#[derive(utoipa::ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "only its description is used")]
pub(super) enum RestartType {
    /// None.
    Never,
    /// When it has failed, as often as the policy says.
    OnFailure,
    /// The same, and whenever it has succeeded.
    Always,
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use weir_model::RunSettings;

    /// The names of an object's fields, with those of the objects in it.
    fn fields(of: &Value) -> Vec<String> {
        let object = of.as_object().into_iter().flatten();
        let mut names: Vec<_> = object
            .flat_map(|(name, value)| {
                let inner = fields(value).into_iter().map(move |inner| format!("{name}.{inner}"));
                std::iter::once(name.clone()).chain(inner).collect::<Vec<_>>()
            })
            .collect();
        names.sort();
        names
    }

    /// The same of what a schema of the document describes.
    fn described(document: &Value, schema: &str) -> Vec<String> {
        let properties = document["components"]["schemas"][schema]["properties"].as_object();
        let mut names: Vec<_> = properties
            .into_iter()
            .flatten()
            .flat_map(|(name, property)| {
                let reference = property["$ref"].as_str().or(property["allOf"][0]["$ref"].as_str());
                let inner = reference.and_then(|path| path.strip_prefix("#/components/schemas/"));
                let inner = inner.map_or_else(Vec::new, |inner| described(document, inner));
                let inner = inner.into_iter().map(move |inner| format!("{name}.{inner}"));
                std::iter::once(name.clone()).chain(inner).collect::<Vec<_>>()
            })
            .collect();
        names.sort();
        names
    }

    #[test]
    fn every_setting_is_described() {
        let settings = RunSettings {
            allowed_locations: Some(Vec::new()),
            ..RunSettings::default()
        };
        let settings = serde_json::to_value(settings).unwrap();
        let document: Value = serde_json::from_str(&crate::http::openapi()).unwrap();
        assert_eq!(described(&document, "RunSettings"), fields(&settings));
        for kind in document["components"]["schemas"]["RestartType"]["enum"]
            .as_array()
            .unwrap()
        {
            serde_json::from_value::<weir_model::RestartType>(kind.clone()).unwrap();
        }
    }
}
