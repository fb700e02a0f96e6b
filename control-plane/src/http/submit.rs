//! Requests to submissions.

use std::collections::BTreeMap;

use axum::http::{HeaderMap, StatusCode};
use serde_json::Value;
use weir_model::{Digest, Job, Metadata, Namespace, Submission, TableRef, TraceParent, layout};

use super::caller::Caller;
use super::problem::ProblemDetail;
use super::resources::{RunRequest, SqlJob};
use super::{Api, Problem};
use crate::pipelines::{Overrides, Template};
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

/// What is known of whoever submits.
pub(super) fn metadata(caller: &Caller, headers: &HeaderMap) -> Metadata {
    Metadata {
        created_by: Some(caller.principal().to_owned()),
        traceparent: traceparent(headers),
        ..Metadata::default()
    }
}

/// A request as a submission: everything is checked that can be without its files.
pub(super) async fn submission(
    api: &Api,
    caller: &Caller,
    headers: &HeaderMap,
    mut request: RunRequest,
) -> Result<Submission, Problem> {
    let kind = if request.sql.is_some() { "sql" } else { "pipeline" };
    let name = request.name.take().unwrap_or_else(|| kind.to_owned());
    let template = template(api, caller.namespace(), request).await?;
    let metadata = metadata(caller, headers);
    let namespace = caller.namespace().clone();
    Ok(template.submission(namespace, name, &api.defaults(), Overrides::default(), metadata)?)
}

/// A request without its name as a template: everything is checked that can be without its files.
pub(super) async fn template(api: &Api, namespace: &Namespace, request: RunRequest) -> Result<Template, Problem> {
    check_labels(&request.labels)?;
    if request.modules.len() > MAX_MODULES {
        return Err(Problem::invalid(format!("a run has at most {MAX_MODULES} modules")));
    }
    let job = match (request.pipeline, request.sql) {
        (Some(pipeline), None) => pipeline_job(pipeline, request.file, request.parameters)?,
        (None, Some(sql)) if request.parameters.is_empty() => sql_job(sql)?,
        (None, Some(_)) => return Err(Problem::invalid("`parameters` are for pipelines; SQL has none")),
        _ => return Err(Problem::invalid("give either `pipeline` or `sql`")),
    };
    let (job, needed) = check_job(api, job).await?;
    check_modules(api, namespace, &needed, &request.modules).await?;
    Ok(Template {
        job,
        modules: request.modules,
        base: request.base,
        settings: request.settings.unwrap_or_default(),
        labels: request.labels,
    })
}

pub(super) fn check_labels(labels: &BTreeMap<String, String>) -> Result<(), Problem> {
    let fits =
        |(key, value): (&String, &String)| (1..=MAX_LABEL_KEY).contains(&key.len()) && value.len() <= MAX_LABEL_VALUE;
    if labels.len() <= MAX_LABELS && labels.iter().all(fits) {
        return Ok(());
    }
    Err(Problem::invalid(format!(
        "there are at most {MAX_LABELS} labels, with keys of 1 to {MAX_LABEL_KEY} bytes and values of at most \
         {MAX_LABEL_VALUE}"
    )))
}

fn pipeline_job(pipeline: Value, file: Option<String>, params: BTreeMap<String, String>) -> Result<Job, Problem> {
    let yaml = match pipeline {
        Value::String(yaml) => yaml,
        // Every JSON document is a YAML document.
        object @ Value::Object(_) => serde_json::to_string_pretty(&object).unwrap_or_default(),
        _ => return Err(Problem::invalid("`pipeline` is YAML as a string, or a JSON object")),
    };
    let file = file.unwrap_or_else(|| "pipeline.yaml".to_owned());
    Ok(Job::Pipeline { yaml, file, params })
}

/// Gives a valid job back, with the paths of the modules that it needs.
pub(super) async fn check_job(api: &Api, job: Job) -> Result<(Job, Vec<String>), Problem> {
    let Job::Pipeline { yaml, file, params } = &job else {
        return Ok((job, Vec::new()));
    };
    let pipeline = api.templates().parse(file, yaml, params).await?;
    let modules = pipeline.module_paths();
    let modules = modules.into_iter().map(|path| path.to_string()).collect();
    Ok((job, modules))
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

/// Every module that the job names has a digest, and every digest is one of the namespace.
pub(super) async fn check_modules(
    api: &Api,
    namespace: &Namespace,
    needed: &[String],
    given: &BTreeMap<String, Digest>,
) -> Result<(), Problem> {
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
        if !api.storage().exists(&layout::module_key(namespace, digest)).await? {
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
    use super::*;

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
