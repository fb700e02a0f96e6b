//! `/api/v1/pipelines`.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use weir_model::{Metadata, Namespace, PipelineRef};
use weir_platform::clock;

use super::caller::Caller;
use super::extract::{JsonBody, NamePath, Params, VersionPath, limit};
use super::precondition::{self, Condition};
use super::resources::{
    ListedPipelineVersion, Pipeline, PipelinePage, PipelineRequest, PipelineRunRequest, PipelineVersion,
    PipelineVersionPage, Run, etag,
};
use super::{Api, Problem, runs, submit};
use crate::identity::Role;
use crate::pipelines::{Overrides, Template, is_name};
use crate::store::{NewVersion, PipelineChange, PipelineRow, PipelineVersionRow, PipelineWrite, Written};

/// Bytes of a description.
pub(super) const MAX_DESCRIPTION: usize = 2_000;
/// Bytes of a note.
const MAX_NOTE: usize = 1_000;
/// Tries to change what others change at the same time.
pub(super) const TRIES: usize = 5;

/// Which part of a list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct PageParams {
    /// At most this many, from 1 to 1000; 50 when it is left out.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Pipelines in the order of their names.
#[utoipa::path(
    get, path = "/api/v1/pipelines", tag = "pipelines", operation_id = "pipelines_list",
    params(PageParams),
    responses((status = 200, body = PipelinePage), (status = "4XX", body = Problem), (status = "5XX", body = Problem)),
)]
pub(super) async fn list(
    State(api): State<Api>,
    caller: Caller,
    Params(params): Params<PageParams>,
) -> Result<Json<PipelinePage>, Problem> {
    let limit = limit(params.limit, 50, 1000)?;
    check_query("cursor", params.cursor.as_deref())?;
    let store = api.control_plane().pipelines();
    let rows = store
        .pipeline_list(caller.namespace(), params.cursor.as_deref(), limit)
        .await?;
    let full = rows.len() == limit as usize;
    let next_cursor = rows.last().filter(|_| full).map(|row| row.name.clone());
    let items = rows.into_iter().map(Into::into).collect();
    Ok(Json(PipelinePage { items, next_cursor }))
}

/// Makes a pipeline with its first version. The definition is checked as that of a run is.
#[utoipa::path(
    post, path = "/api/v1/pipelines", tag = "pipelines", operation_id = "pipelines_create",
    request_body = PipelineRequest,
    responses(
        (status = 201, body = Pipeline, headers(
            ("Location" = String, description = "The pipeline"),
            ("ETag" = String, description = "For `If-Match`"),
        )),
        (status = 409, body = Problem, description = "There is one of this name"),
        (status = "4XX", body = Problem), (status = "5XX", body = Problem),
    ),
)]
pub(super) async fn create(
    State(api): State<Api>,
    caller: Caller,
    body: JsonBody<PipelineRequest>,
) -> Result<Response, Problem> {
    caller.require(Role::Operator)?;
    let request = body.value;
    let name = request
        .name
        .clone()
        .ok_or_else(|| Problem::invalid("give the pipeline a `name`"))?;
    let wanted = wanted(&api, &caller, name, request).await?;
    let name = wanted.name.clone();
    match api
        .control_plane()
        .pipelines()
        .pipelines_write(PipelineWrite::PipelineCreate(wanted))
        .await?
    {
        Written::Done => answer(&api, caller.namespace(), &name, StatusCode::CREATED).await,
        _ => Err(exists(&name)),
    }
}

fn exists(name: &str) -> Problem {
    let detail = format!("there is a pipeline `{name}` already; `PUT /api/v1/pipelines/{name}` changes it");
    Problem::new(StatusCode::CONFLICT, "pipeline_exists", detail)
}

/// A pipeline with its latest version.
#[utoipa::path(
    get, path = "/api/v1/pipelines/{pipeline}", tag = "pipelines", operation_id = "pipelines_get",
    params(("pipeline" = String, Path, description = "The pipeline's name")),
    responses(
        (status = 200, body = Pipeline, headers(("ETag" = String, description = "For `If-Match`"))),
        (status = "4XX", body = Problem), (status = "5XX", body = Problem),
    ),
)]
pub(super) async fn get(State(api): State<Api>, caller: Caller, NamePath(name): NamePath) -> Result<Response, Problem> {
    answer(&api, caller.namespace(), &name, StatusCode::OK).await
}

/// Makes a pipeline, or changes it: another definition becomes its next version, the same one makes none.
///
/// With `If-Match` the change is made only to the pipeline as the client knows it; with `If-None-Match: *` only if there is
/// none.
#[utoipa::path(
    put, path = "/api/v1/pipelines/{pipeline}", tag = "pipelines", operation_id = "pipelines_put",
    request_body = PipelineRequest,
    params(
        ("pipeline" = String, Path, description = "The pipeline's name"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` of the pipeline as it is known"),
        ("If-None-Match" = Option<String>, Header, description = "`*`, to make one and change none"),
    ),
    responses(
        (status = 200, body = Pipeline), (status = 201, body = Pipeline, description = "It is new"),
        (status = 412, body = Problem, description = "It is not as it is known, or is there already"),
        (status = "4XX", body = Problem), (status = "5XX", body = Problem),
    ),
)]
pub(super) async fn put(
    State(api): State<Api>,
    caller: Caller,
    NamePath(name): NamePath,
    headers: HeaderMap,
    body: JsonBody<PipelineRequest>,
) -> Result<Response, Problem> {
    caller.require(Role::Operator)?;
    let condition = Condition::of(&headers)?;
    let request = body.value;
    if request.name.as_ref().is_some_and(|given| *given != name) {
        return Err(Problem::invalid("`name` is not that of the address"));
    }
    let wanted = wanted(&api, &caller, name.clone(), request).await?;
    let store = api.control_plane().pipelines();
    for _ in 0..TRIES {
        let Some(row) = store.pipeline_get(caller.namespace(), &name).await? else {
            if condition.is_of_known() {
                return Err(Problem::pipeline_not_found(&name));
            }
            match store
                .pipelines_write(PipelineWrite::PipelineCreate(wanted.clone()))
                .await?
            {
                Written::Done => return answer(&api, caller.namespace(), &name, StatusCode::CREATED).await,
                _ => continue,
            }
        };
        condition.check(&etag(row.generation))?;
        let latest = version_row(&api, caller.namespace(), &name, row.version).await?;
        let mut change = wanted.clone();
        let digest = latest.as_ref().map(|latest| latest.digest);
        change.version = change.version.filter(|new| Some(new.digest) != digest);
        if change.version.is_none() && row.description == change.description && row.labels == change.labels {
            return answer(&api, caller.namespace(), &name, StatusCode::OK).await;
        }
        match store
            .pipelines_write(PipelineWrite::PipelineUpdate(change, row.generation))
            .await?
        {
            Written::Done => return answer(&api, caller.namespace(), &name, StatusCode::OK).await,
            _ if condition.is_of_known() => return Err(precondition::failed()),
            _ => {}
        }
    }
    Err(busy())
}

/// Others change it all the time.
pub(super) fn busy() -> Problem {
    let detail = "others change it at the same time; try again";
    Problem::new(StatusCode::CONFLICT, "conflict", detail).retry_after(1)
}

/// What a request wants a pipeline to be, checked.
async fn wanted(api: &Api, caller: &Caller, name: String, request: PipelineRequest) -> Result<PipelineChange, Problem> {
    check_name(&name)?;
    check_text("description", request.description.as_deref(), MAX_DESCRIPTION)?;
    check_text("note", request.note.as_deref(), MAX_NOTE)?;
    submit::check_labels(&request.labels)?;
    if request.definition.name.is_some() {
        return Err(Problem::invalid(
            "leave `definition.name` out: runs are called after the pipeline, or as their submitters say",
        ));
    }
    let template = submit::template(api, caller.namespace(), request.definition).await?;
    // Made as a run would be, to see that its settings fit.
    api.control_plane().check(&template.submission(
        caller.namespace().clone(),
        name.clone(),
        &api.defaults(),
        Overrides::default(),
        Metadata::default(),
    )?)?;
    let (template, digest) = template.encode();
    Ok(PipelineChange {
        namespace: caller.namespace().clone(),
        name,
        description: request.description,
        labels: request.labels,
        version: Some(NewVersion {
            template,
            digest,
            note: request.note,
        }),
        at: clock::now(),
        by: caller.principal().to_owned(),
    })
}

pub(super) fn check_name(name: &str) -> Result<(), Problem> {
    match is_name(name) {
        true => Ok(()),
        false => Err(Problem::invalid(
            "`name` has 1 to 63 lower-case letters, digits, `-`, `_` and `.`, the first of them a letter or a digit",
        )),
    }
}

/// Refuses what can be no name in a query.
pub(super) fn check_query(field: &str, name: Option<&str>) -> Result<(), Problem> {
    match name {
        Some(name) if !is_name(name) => Err(Problem::invalid_query(format!(
            "`{field}` is not a name that this API gave"
        ))),
        _ => Ok(()),
    }
}

pub(super) fn check_text(field: &str, text: Option<&str>, most: usize) -> Result<(), Problem> {
    match text {
        Some(text) if text.len() > most => Err(Problem::invalid(format!("`{field}` has at most {most} bytes"))),
        // Databases do not take it.
        Some(text) if text.contains('\0') => Err(Problem::invalid(format!("`{field}` has a NUL character"))),
        _ => Ok(()),
    }
}

/// Deletes a pipeline with its versions. Its runs stay. A pipeline of the same name that is made later goes on counting
/// versions where this one ended.
#[utoipa::path(
    delete, path = "/api/v1/pipelines/{pipeline}", tag = "pipelines", operation_id = "pipelines_delete",
    params(
        ("pipeline" = String, Path, description = "The pipeline's name"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` of the pipeline as it is known"),
    ),
    responses(
        (status = 204, description = "It is gone"),
        (status = 409, body = Problem, description = "A schedule makes runs of it"),
        (status = 412, body = Problem, description = "It is not as it is known"),
        (status = "4XX", body = Problem), (status = "5XX", body = Problem),
    ),
)]
pub(super) async fn delete(
    State(api): State<Api>,
    caller: Caller,
    NamePath(name): NamePath,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    caller.require(Role::Operator)?;
    let condition = Condition::of(&headers)?;
    let row = row(&api, caller.namespace(), &name).await?;
    condition.check(&etag(row.generation))?;
    let delete = PipelineWrite::PipelineDelete {
        namespace: caller.namespace().clone(),
        name: name.clone(),
        generation: condition.is_of_known().then_some(row.generation),
        at: clock::now(),
        by: caller.principal().to_owned(),
    };
    match api.control_plane().pipelines().pipelines_write(delete).await? {
        Written::Done => Ok(StatusCode::NO_CONTENT),
        Written::Changed => Err(precondition::failed()),
        Written::Refused => Err(Problem::new(
            StatusCode::CONFLICT,
            "pipeline_in_use",
            format!("schedules make runs of the pipeline `{name}`; delete them first, see `GET /api/v1/schedules`"),
        )),
        Written::Absent | Written::Exists => Err(Problem::pipeline_not_found(&name)),
    }
}

/// Versions of a pipeline, the latest first.
#[utoipa::path(
    get, path = "/api/v1/pipelines/{pipeline}/versions", tag = "pipelines", operation_id = "pipeline_versions_list",
    params(("pipeline" = String, Path, description = "The pipeline's name"), PageParams),
    responses(
        (status = 200, body = PipelineVersionPage), (status = "4XX", body = Problem), (status = "5XX", body = Problem),
    ),
)]
pub(super) async fn versions(
    State(api): State<Api>,
    caller: Caller,
    NamePath(name): NamePath,
    Params(params): Params<PageParams>,
) -> Result<Json<PipelineVersionPage>, Problem> {
    let limit = limit(params.limit, 50, 1000)?;
    let before = params.cursor.map(|cursor| cursor.parse::<u32>()).transpose();
    let before = before.map_err(|_| Problem::invalid_cursor())?;
    row(&api, caller.namespace(), &name).await?;
    let store = api.control_plane().pipelines();
    let rows = store
        .pipeline_versions(caller.namespace(), &name, before, limit)
        .await?;
    let full = rows.len() == limit as usize;
    let next_cursor = rows
        .last()
        .filter(|row| full && row.version > 1)
        .map(|row| row.version.to_string());
    let items = rows.into_iter().map(ListedPipelineVersion::from).collect();
    Ok(Json(PipelineVersionPage { items, next_cursor }))
}

/// A version of a pipeline.
#[utoipa::path(
    get, path = "/api/v1/pipelines/{pipeline}/versions/{version}", tag = "pipelines",
    operation_id = "pipeline_versions_get",
    params(
        ("pipeline" = String, Path, description = "The pipeline's name"),
        ("version" = String, Path, description = "The version, from one, or `latest`"),
    ),
    responses(
        (status = 200, body = PipelineVersion), (status = "4XX", body = Problem), (status = "5XX", body = Problem),
    ),
)]
pub(super) async fn version(
    State(api): State<Api>,
    caller: Caller,
    VersionPath { pipeline, version }: VersionPath,
) -> Result<Json<PipelineVersion>, Problem> {
    let row = row(&api, caller.namespace(), &pipeline).await?;
    let absent = || Problem::pipeline_version_not_found(&pipeline, &version);
    let number = match version.as_str() {
        "latest" => row.version,
        number => number.parse().map_err(|_| absent())?,
    };
    let row = version_row(&api, caller.namespace(), &pipeline, number)
        .await?
        .ok_or_else(absent)?;
    let template = read_template(&row)?;
    Ok(Json(PipelineVersion::new(row, template)))
}

/// Submits a run of a pipeline.
///
/// With an `Idempotency-Key` (1 to 255 characters of ASCII) the same request can be sent again until it is answered:
/// it makes one run. The key can not be used for another request.
#[utoipa::path(
    post, path = "/api/v1/pipelines/{pipeline}/runs", tag = "pipelines", operation_id = "pipelines_run",
    request_body = PipelineRunRequest,
    params(
        ("pipeline" = String, Path, description = "The pipeline's name"),
        ("Idempotency-Key" = Option<String>, Header, description = "Names the request, so that it can be repeated"),
    ),
    responses(
        (status = 201, body = Run, headers(
            ("Location" = String, description = "The run"),
            ("Idempotent-Replayed" = Option<String>, description = "`true` when the request was answered before"),
        )),
        (status = "4XX", body = Problem), (status = "5XX", body = Problem),
    ),
)]
pub(super) async fn run(
    State(api): State<Api>,
    caller: Caller,
    NamePath(name): NamePath,
    headers: HeaderMap,
    body: JsonBody<PipelineRunRequest>,
) -> Result<Response, Problem> {
    caller.require(Role::Submitter)?;
    let request = body.value;
    let digest = weir_model::Digest::of(format!("run {name} {}", body.digest).as_bytes());
    let idempotency = submit::idempotency(&headers, digest)?;
    submit::check_labels(&request.labels)?;
    let (version, mut template) = find(&api, caller.namespace(), &name, request.version).await?;
    if !request.parameters.is_empty() {
        let job = template.job_with(request.parameters)?;
        let (job, needed) = submit::check_job(&api, job).await?;
        submit::check_modules(&api, caller.namespace(), &needed, &template.modules).await?;
        template.job = job;
    }
    let overrides = Overrides {
        labels: request.labels,
        settings: request.settings.unwrap_or_default(),
        ..Overrides::default()
    };
    let metadata = Metadata {
        pipeline: Some(PipelineRef {
            name: name.clone(),
            version,
        }),
        ..submit::metadata(&caller, &headers)
    };
    let run_name = request.name.unwrap_or(name);
    let namespace = caller.namespace().clone();
    let submission = template.submission(namespace, run_name, &api.defaults(), overrides, metadata)?;
    submit::check_labels(&submission.metadata.labels)?;
    let submitted = api
        .control_plane()
        .submit_once(submission, idempotency.as_ref())
        .await?;
    runs::created(&api, submitted).await
}

/// A version of a pipeline, the latest when none is named, and its template.
pub(super) async fn find(
    api: &Api,
    namespace: &Namespace,
    name: &str,
    version: Option<u32>,
) -> Result<(u32, Template), Problem> {
    let row = row(api, namespace, name).await?;
    let version = version.unwrap_or(row.version);
    let found = version_row(api, namespace, name, version).await?;
    let found = found.ok_or_else(|| Problem::pipeline_version_not_found(name, &version.to_string()))?;
    Ok((version, read_template(&found)?))
}

async fn row(api: &Api, namespace: &Namespace, name: &str) -> Result<PipelineRow, Problem> {
    if !is_name(name) {
        return Err(Problem::pipeline_not_found(name));
    }
    let row = api.control_plane().pipelines().pipeline_get(namespace, name).await?;
    row.ok_or_else(|| Problem::pipeline_not_found(name))
}

async fn version_row(
    api: &Api,
    namespace: &Namespace,
    name: &str,
    version: u32,
) -> Result<Option<PipelineVersionRow>, Problem> {
    let store = api.control_plane().pipelines();
    let found = store
        .pipeline_versions(namespace, name, Some(version.saturating_add(1)), 1)
        .await?;
    Ok(found.into_iter().next().filter(|row| row.version == version))
}

fn read_template(row: &PipelineVersionRow) -> Result<Template, Problem> {
    serde_json::from_str(&row.template).map_err(|error| {
        tracing::error!(
            pipeline = row.pipeline,
            version = row.version,
            error = &error as &dyn std::error::Error,
            "a version of a pipeline cannot be read; it may come from a newer version of weir"
        );
        Problem::internal()
    })
}

/// A pipeline with its latest version and its entity tag.
async fn answer(api: &Api, namespace: &Namespace, name: &str, status: StatusCode) -> Result<Response, Problem> {
    for _ in 0..TRIES {
        let row = row(api, namespace, name).await?;
        // Missing when the pipeline was deleted between the two looks.
        let Some(latest) = version_row(api, namespace, name, row.version).await? else {
            continue;
        };
        let template = read_template(&latest)?;
        let pipeline = Pipeline::new(row, &latest, template);
        let mut response = (status, Json(&pipeline)).into_response();
        tag(&mut response, &pipeline.etag);
        if status == StatusCode::CREATED {
            locate(&mut response, &pipeline.links.this);
        }
        return Ok(response);
    }
    Err(busy())
}

/// Gives an answer its entity tag.
pub(super) fn tag(response: &mut Response, etag: &str) {
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{etag}\"")) {
        response.headers_mut().insert(header::ETAG, tag);
    }
}

/// Says where something new is.
pub(super) fn locate(response: &mut Response, path: &str) {
    if let Ok(location) = HeaderValue::from_str(path) {
        response.headers_mut().insert(header::LOCATION, location);
    }
}
