//! Requests to submissions.

use std::collections::BTreeMap;

use axum::http::{HeaderMap, StatusCode};
use serde_json::{Map, Value};
use weir_model::{Digest, Job, Metadata, RunSettings, Submission, TableRef, TraceParent, layout, spec};

use super::caller::Caller;
use super::problem::ProblemDetail;
use super::resources::{RunRequest, SqlJob};
use super::{Api, Problem};
use crate::store::Idempotency;

/// Labels of a run.
const MAX_LABELS: usize = 64;
/// Bytes of a label's key.
const MAX_LABEL_KEY: usize = 63;
/// Bytes of a label's value.
const MAX_LABEL_VALUE: usize = 255;
/// Modules of a run.
const MAX_MODULES: usize = 256;

/// The key of a request, if it has one.
pub(super) fn idempotency(headers: &HeaderMap, digest: Digest) -> Result<Option<Idempotency>, Problem> {
    let Some(key) = headers.get("idempotency-key") else {
        return Ok(None);
    };
    match key.to_str() {
        Ok(key) if (1..=255).contains(&key.len()) => Ok(Some(Idempotency {
            key: key.to_owned(),
            digest,
        })),
        _ => Err(Problem::malformed(
            "`Idempotency-Key` must have 1 to 255 characters of ASCII",
        )),
    }
}

/// The W3C `traceparent` of the request, when it has a valid one; else the run begins a trace of its own.
pub(super) fn traceparent(headers: &HeaderMap) -> Option<String> {
    let given = headers.get("traceparent")?.to_str().ok()?;
    given.parse::<TraceParent>().is_ok().then(|| given.to_owned())
}

/// A request as a submission: everything is checked that can be without its files.
pub(super) async fn submission(
    api: &Api,
    caller: &Caller,
    headers: &HeaderMap,
    request: RunRequest,
) -> Result<Submission, Problem> {
    check_labels(&request.labels)?;
    if request.modules.len() > MAX_MODULES {
        return Err(Problem::invalid(format!("a run has at most {MAX_MODULES} modules")));
    }
    let settings = settings(&api.options().default_settings, request.settings.unwrap_or_default())?;
    let (kind, job, needed) = match (request.pipeline, request.sql) {
        (Some(pipeline), None) => {
            let file = request.file.unwrap_or_else(|| "pipeline.yaml".to_owned());
            let (job, modules) = pipeline_job(pipeline, file, request.parameters).await?;
            ("pipeline", job, modules)
        }
        (None, Some(sql)) if request.parameters.is_empty() => ("sql", sql_job(sql)?, Vec::new()),
        (None, Some(_)) => return Err(Problem::invalid("`parameters` are for pipelines; SQL has none")),
        _ => return Err(Problem::invalid("give either `pipeline` or `sql`")),
    };
    check_modules(api, &needed, &request.modules).await?;
    Ok(Submission {
        namespace: caller.namespace().clone(),
        name: request.name.unwrap_or_else(|| kind.to_owned()),
        job,
        modules: request.modules,
        base: request.base.unwrap_or_else(|| api.options().base.clone()),
        settings,
        metadata: Metadata {
            labels: request.labels,
            submitted_by: Some(caller.principal().to_owned()),
            retry_of: None,
            traceparent: traceparent(headers),
        },
    })
}

fn check_labels(labels: &BTreeMap<String, String>) -> Result<(), Problem> {
    let fits =
        |(key, value): (&String, &String)| (1..=MAX_LABEL_KEY).contains(&key.len()) && value.len() <= MAX_LABEL_VALUE;
    if labels.len() <= MAX_LABELS && labels.iter().all(fits) {
        return Ok(());
    }
    Err(Problem::invalid(format!(
        "a run has at most {MAX_LABELS} labels, with keys of 1 to {MAX_LABEL_KEY} bytes and values of at most \
         {MAX_LABEL_VALUE}"
    )))
}

/// The server's defaults, with what the request says over them.
fn settings(defaults: &RunSettings, asked: Map<String, Value>) -> Result<RunSettings, Problem> {
    let mut merged = serde_json::to_value(defaults).unwrap_or_default();
    merge(&mut merged, Value::Object(asked));
    serde_json::from_value(merged).map_err(|error| Problem::invalid(format!("`settings` do not fit: {error}")))
}

fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}

/// The job, and the paths of the modules that it needs.
async fn pipeline_job(
    pipeline: Value,
    file: String,
    params: BTreeMap<String, String>,
) -> Result<(Job, Vec<String>), Problem> {
    let yaml = match pipeline {
        Value::String(yaml) => yaml,
        // Every JSON document is a YAML document.
        object @ Value::Object(_) => serde_json::to_string_pretty(&object).unwrap_or_default(),
        _ => return Err(Problem::invalid("`pipeline` is YAML as a string, or a JSON object")),
    };
    // A template may compute for a moment.
    let checked = tokio::task::spawn_blocking(move || {
        let pipeline = spec::parse(&file, &yaml, &params)?;
        let modules = pipeline
            .module_paths()
            .into_iter()
            .map(|path| path.to_string())
            .collect();
        Ok::<_, spec::Diagnostics>((Job::Pipeline { yaml, file, params }, modules))
    });
    match checked.await {
        Ok(checked) => Ok(checked?),
        Err(_) => Err(Problem::internal()),
    }
}

fn sql_job(sql: SqlJob) -> Result<Job, Problem> {
    if sql.statement.trim().is_empty() {
        return Err(Problem::invalid("`sql.statement` is empty"));
    }
    Ok(Job::Sql {
        statement: sql.statement,
        setup: sql.setup,
        tables: sql
            .tables
            .into_iter()
            .map(|table| TableRef {
                name: table.name,
                path: table.path,
            })
            .collect(),
    })
}

/// Every module that the job names has a digest, and every digest is in storage.
async fn check_modules(api: &Api, needed: &[String], given: &BTreeMap<String, Digest>) -> Result<(), Problem> {
    let mut errors = Vec::new();
    for path in needed.iter().filter(|path| !given.contains_key(*path)) {
        errors.push(ProblemDetail {
            field: Some(format!("modules.{path}")),
            message: format!("the pipeline uses `{path}`, and its digest is not given"),
            help: Some("`weir submit` uploads the modules of a pipeline and gives their digests".to_owned()),
            ..Default::default()
        });
    }
    for (path, digest) in given {
        if !api.storage().exists(&layout::module_key(digest)).await? {
            errors.push(ProblemDetail {
                field: Some(format!("modules.{path}")),
                message: format!("there is no module {digest}"),
                help: Some(format!("upload it first: `PUT /api/v1/modules/{digest}`")),
                ..Default::default()
            });
        }
    }
    match errors.is_empty() {
        true => Ok(()),
        false => Err(Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "module_missing",
            "modules that the job uses are missing; `errors` says which",
        )
        .with_errors(errors)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn settings_go_over_the_defaults_of_the_server() {
        let defaults = RunSettings {
            target_partitions: 16,
            ..Default::default()
        };
        let Value::Object(asked) = json!({"retry": {"max_attempts": 9}}) else {
            unreachable!()
        };
        let merged = settings(&defaults, asked).unwrap();
        assert_eq!(merged.target_partitions, 16);
        assert_eq!(merged.retry.max_attempts, 9);
        assert_eq!(merged.retry.backoff_ms, defaults.retry.backoff_ms);
        let Value::Object(unknown) = json!({"retries": 1}) else {
            unreachable!()
        };
        assert!(settings(&defaults, unknown).unwrap_err().detail.contains("retries"));
    }

    #[test]
    fn traceparents_are_kept_when_they_are_valid() {
        let of = |value: &str| {
            let headers = [("traceparent".parse().unwrap(), value.parse().unwrap())];
            traceparent(&headers.into_iter().collect())
        };
        let valid = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(of(valid).as_deref(), Some(valid));
        for other in ["", "00-0-0-0", &valid.to_uppercase(), &valid.replace("00-", "ff-")] {
            assert_eq!(of(other), None);
        }
        assert_eq!(traceparent(&HeaderMap::new()), None);
    }
}
