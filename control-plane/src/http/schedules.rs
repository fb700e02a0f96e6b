//! `/api/v1/schedules`.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use weir_model::{Metadata, Namespace, PipelineRef, ScheduleRef, Submission};
use weir_platform::clock;

use super::caller::Caller;
use super::extract::{JsonBody, NamePath, Params, limit};
use super::pipelines::{self, MAX_DESCRIPTION, TRIES, check_name, check_query, check_text};
use super::precondition::{self, Condition};
use super::resources::{Run, Schedule, SchedulePage, SchedulePreview, ScheduleRequest, Time, etag};
use super::{Api, Problem, runs, submit};
use crate::identity::Role;
use crate::pipelines::{Cron, Overrides, RESERVED_SCHEDULE, is_name};
use crate::store::{PipelineWrite, ScheduleChange, ScheduleDefinition, ScheduleRow, Written};

/// The longest deadline, in seconds: a year.
const MAX_DEADLINE_S: u64 = 365 * 24 * 3_600;
/// Runs that a history limit can keep.
const MAX_HISTORY: u32 = 10_000;
/// Times that a preview shows.
const PREVIEW: usize = 10;

/// Which schedules to list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListParams {
    /// Only those that make runs of the pipeline of this name.
    pipeline: Option<String>,
    /// At most this many, from 1 to 1000; 50 when it is left out.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Schedules in the order of their names.
#[utoipa::path(
    get, path = "/api/v1/schedules", tag = "schedules", operation_id = "schedules_list",
    params(ListParams),
    responses((status = 200, body = SchedulePage), (status = "4XX", body = Problem), (status = "5XX", body = Problem)),
)]
pub(super) async fn list(
    State(api): State<Api>,
    caller: Caller,
    Params(params): Params<ListParams>,
) -> Result<Json<SchedulePage>, Problem> {
    let limit = limit(params.limit, 50, 1000)?;
    check_query("cursor", params.cursor.as_deref())?;
    check_query("pipeline", params.pipeline.as_deref())?;
    let (pipeline, after) = (params.pipeline.as_deref(), params.cursor.as_deref());
    let store = api.control_plane().pipelines();
    let rows = store.schedule_list(caller.namespace(), pipeline, after, limit).await?;
    let full = rows.len() == limit as usize;
    let next_cursor = rows.last().filter(|_| full).map(|row| row.name.clone());
    let items = rows.into_iter().map(Schedule::from).collect();
    Ok(Json(SchedulePage { items, next_cursor }))
}

/// Makes a schedule. It makes runs from now on, unless it is suspended.
#[utoipa::path(
    post, path = "/api/v1/schedules", tag = "schedules", operation_id = "schedules_create",
    request_body = ScheduleRequest,
    responses(
        (status = 201, body = Schedule, headers(
            ("Location" = String, description = "The schedule"),
            ("ETag" = String, description = "For `If-Match`"),
        )),
        (status = 409, body = Problem, description = "There is one of this name"),
        (status = "4XX", body = Problem), (status = "5XX", body = Problem),
    ),
)]
pub(super) async fn create(
    State(api): State<Api>,
    caller: Caller,
    body: JsonBody<ScheduleRequest>,
) -> Result<Response, Problem> {
    caller.require(Role::Operator)?;
    let request = body.value;
    let name = request
        .name
        .clone()
        .ok_or_else(|| Problem::invalid("give the schedule a `name`"))?;
    let change = wanted(&api, &caller, name.clone(), request, None).await?;
    match write(&api, PipelineWrite::ScheduleCreate(change)).await? {
        Written::Done => answer(&api, caller.namespace(), &name, StatusCode::CREATED).await,
        _ => Err(Problem::new(
            StatusCode::CONFLICT,
            "schedule_exists",
            format!("there is a schedule `{name}` already; `PUT /api/v1/schedules/{name}` changes it"),
        )),
    }
}

/// A schedule.
#[utoipa::path(
    get, path = "/api/v1/schedules/{schedule}", tag = "schedules", operation_id = "schedules_get",
    params(("schedule" = String, Path, description = "The schedule's name")),
    responses(
        (status = 200, body = Schedule, headers(("ETag" = String, description = "For `If-Match`"))),
        (status = "4XX", body = Problem), (status = "5XX", body = Problem),
    ),
)]
pub(super) async fn get(State(api): State<Api>, caller: Caller, NamePath(name): NamePath) -> Result<Response, Problem> {
    answer(&api, caller.namespace(), &name, StatusCode::OK).await
}

/// Makes a schedule, or changes it. With other times it goes on from now; times that were due and have no run yet are
/// left out then.
///
/// With `If-Match` the change is made only to the schedule as the client knows it; with `If-None-Match: *` only if there is
/// none.
#[utoipa::path(
    put, path = "/api/v1/schedules/{schedule}", tag = "schedules", operation_id = "schedules_put",
    request_body = ScheduleRequest,
    params(
        ("schedule" = String, Path, description = "The schedule's name"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` of the schedule as it is known"),
        ("If-None-Match" = Option<String>, Header, description = "`*`, to make one and change none"),
    ),
    responses(
        (status = 200, body = Schedule), (status = 201, body = Schedule, description = "It is new"),
        (status = 412, body = Problem, description = "It is not as it is known, or is there already"),
        (status = "4XX", body = Problem), (status = "5XX", body = Problem),
    ),
)]
pub(super) async fn put(
    State(api): State<Api>,
    caller: Caller,
    NamePath(name): NamePath,
    headers: HeaderMap,
    body: JsonBody<ScheduleRequest>,
) -> Result<Response, Problem> {
    caller.require(Role::Operator)?;
    let condition = Condition::of(&headers)?;
    let request = body.value;
    if request.name.as_ref().is_some_and(|given| *given != name) {
        return Err(Problem::invalid("`name` is not that of the address"));
    }
    check_name(&name)?;
    for _ in 0..TRIES {
        let row = api
            .control_plane()
            .pipelines()
            .schedule_get(caller.namespace(), &name)
            .await?;
        match &row {
            Some(row) => condition.check(&etag(row.generation))?,
            None if condition.is_of_known() => return Err(Problem::schedule_not_found(&name)),
            None => {}
        }
        let change = wanted(&api, &caller, name.clone(), request.clone(), row.as_ref()).await?;
        let (write_of, done) = match &row {
            Some(row) => (PipelineWrite::ScheduleUpdate(change, row.generation), StatusCode::OK),
            None => (PipelineWrite::ScheduleCreate(change), StatusCode::CREATED),
        };
        match write(&api, write_of).await? {
            Written::Done => return answer(&api, caller.namespace(), &name, done).await,
            _ if condition.is_of_known() => return Err(precondition::failed()),
            _ => {}
        }
    }
    Err(pipelines::busy())
}

/// Deletes a schedule. Its runs stay.
#[utoipa::path(
    delete, path = "/api/v1/schedules/{schedule}", tag = "schedules", operation_id = "schedules_delete",
    params(
        ("schedule" = String, Path, description = "The schedule's name"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` of the schedule as it is known"),
    ),
    responses(
        (status = 204, description = "It is gone"),
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
    let delete = PipelineWrite::ScheduleDelete {
        namespace: caller.namespace().clone(),
        name: name.clone(),
        generation: condition.is_of_known().then_some(row.generation),
    };
    match write(&api, delete).await? {
        Written::Done => Ok(StatusCode::NO_CONTENT),
        Written::Changed => Err(precondition::failed()),
        _ => Err(Problem::schedule_not_found(&name)),
    }
}

/// Has a schedule make no more runs until it is resumed. Runs under way go on.
#[utoipa::path(
    post, path = "/api/v1/schedules/{schedule}/suspend", tag = "schedules", operation_id = "schedules_suspend",
    params(("schedule" = String, Path, description = "The schedule's name")),
    responses((status = 200, body = Schedule), (status = "4XX", body = Problem), (status = "5XX", body = Problem)),
)]
pub(super) async fn suspend(
    State(api): State<Api>,
    caller: Caller,
    NamePath(name): NamePath,
) -> Result<Response, Problem> {
    set_suspended(&api, &caller, &name, true).await
}

/// Has a schedule make runs again, from its next time on.
#[utoipa::path(
    post, path = "/api/v1/schedules/{schedule}/resume", tag = "schedules", operation_id = "schedules_resume",
    params(("schedule" = String, Path, description = "The schedule's name")),
    responses((status = 200, body = Schedule), (status = "4XX", body = Problem), (status = "5XX", body = Problem)),
)]
pub(super) async fn resume(
    State(api): State<Api>,
    caller: Caller,
    NamePath(name): NamePath,
) -> Result<Response, Problem> {
    set_suspended(&api, &caller, &name, false).await
}

async fn set_suspended(api: &Api, caller: &Caller, name: &str, suspend: bool) -> Result<Response, Problem> {
    caller.require(Role::Operator)?;
    for _ in 0..TRIES {
        let row = row(api, caller.namespace(), name).await?;
        if row.definition.suspend == suspend {
            return answer(api, caller.namespace(), name, StatusCode::OK).await;
        }
        let definition = ScheduleDefinition {
            suspend,
            ..row.definition.clone()
        };
        let change = ScheduleChange {
            next_at: next_at(&definition, Some(&row))?,
            namespace: row.namespace,
            name: row.name,
            pipeline: row.pipeline,
            definition,
            at: clock::now(),
            by: caller.principal().to_owned(),
        };
        match write(api, PipelineWrite::ScheduleUpdate(change, row.generation)).await? {
            Written::Done => return answer(api, caller.namespace(), name, StatusCode::OK).await,
            Written::Absent => return Err(Problem::schedule_not_found(name)),
            _ => {}
        }
    }
    Err(pipelines::busy())
}

/// Makes a run as the schedule does, now, whatever its times and its concurrency policy say.
///
/// With an `Idempotency-Key` (1 to 255 characters of ASCII) the same request can be sent again until it is answered:
/// it makes one run.
#[utoipa::path(
    post, path = "/api/v1/schedules/{schedule}/trigger", tag = "schedules", operation_id = "schedules_trigger",
    params(
        ("schedule" = String, Path, description = "The schedule's name"),
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
pub(super) async fn trigger(
    State(api): State<Api>,
    caller: Caller,
    NamePath(name): NamePath,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    caller.require(Role::Submitter)?;
    let digest = weir_model::Digest::of(format!("trigger {name}").as_bytes());
    let idempotency = submit::idempotency(&headers, digest)?;
    let row = row(&api, caller.namespace(), &name).await?;
    let metadata = submit::metadata(&caller, &headers);
    let submission = submission(
        &api,
        caller.namespace(),
        &name,
        &row.pipeline,
        &row.definition,
        metadata,
    )
    .await?;
    let submitted = api
        .control_plane()
        .submit_once(submission, idempotency.as_ref())
        .await?;
    runs::created(&api, submitted).await
}

/// A cron expression to look at.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct PreviewParams {
    /// Minute, hour, day of the month, month and day of the week; or a word such as `@daily`.
    cron: String,
    /// The IANA time zone; `UTC` when it is left out.
    time_zone: Option<String>,
}

/// The next ten times of a cron expression.
#[utoipa::path(
    get, path = "/api/v1/schedules/preview", tag = "schedules", operation_id = "schedules_preview",
    params(PreviewParams),
    responses(
        (status = 200, body = SchedulePreview), (status = "4XX", body = Problem), (status = "5XX", body = Problem),
    ),
)]
pub(super) async fn preview(
    _caller: Caller,
    Params(params): Params<PreviewParams>,
) -> Result<Json<SchedulePreview>, Problem> {
    let cron = Cron::parse(&params.cron, params.time_zone.as_deref().unwrap_or("UTC"))?;
    cron.first_after(clock::now())?;
    Ok(Json(SchedulePreview {
        description: cron.describe(),
        times: cron.times_after(clock::now()).take(PREVIEW).map(Time).collect(),
    }))
}

/// What a request wants a schedule to be, checked.
async fn wanted(
    api: &Api,
    caller: &Caller,
    name: String,
    request: ScheduleRequest,
    known: Option<&ScheduleRow>,
) -> Result<ScheduleChange, Problem> {
    check_name(&name)?;
    if name == RESERVED_SCHEDULE {
        return Err(Problem::invalid(format!(
            "a schedule cannot be called `{RESERVED_SCHEDULE}`"
        )));
    }
    check_text("description", request.description.as_deref(), MAX_DESCRIPTION)?;
    submit::check_labels(&request.labels)?;
    if request
        .start_deadline_s
        .is_some_and(|deadline| !(1..=MAX_DEADLINE_S).contains(&deadline))
    {
        return Err(Problem::invalid(format!(
            "`start_deadline_s` must lie between 1 and {MAX_DEADLINE_S}"
        )));
    }
    let limits = [request.successful_run_history_limit, request.failed_run_history_limit];
    if limits.into_iter().flatten().any(|limit| limit > MAX_HISTORY) {
        return Err(Problem::invalid(format!("history limits are at most {MAX_HISTORY}")));
    }
    let pipeline = request.pipeline.clone();
    let definition = ScheduleDefinition::from(request);
    let namespace = caller.namespace();
    // Made as a run would be, to see that parameters and settings fit.
    let made = submission(api, namespace, &name, &pipeline, &definition, Metadata::default()).await;
    api.control_plane().check(&made.map_err(unprocessable)?)?;
    Ok(ScheduleChange {
        namespace: namespace.clone(),
        name,
        pipeline,
        next_at: next_at(&definition, known)?,
        definition,
        at: clock::now(),
        by: caller.principal().to_owned(),
    })
}

/// What the address names is there; what the body names is not.
fn unprocessable(problem: Problem) -> Problem {
    match problem.code.as_str() {
        "pipeline_not_found" | "pipeline_version_not_found" => problem.with_status(StatusCode::UNPROCESSABLE_ENTITY),
        _ => problem,
    }
}

/// A run that a schedule makes when somebody asks for it.
async fn submission(
    api: &Api,
    namespace: &Namespace,
    name: &str,
    pipeline: &str,
    definition: &ScheduleDefinition,
    metadata: Metadata,
) -> Result<Submission, Problem> {
    let (version, mut template) = pipelines::find(api, namespace, pipeline, definition.version).await?;
    let job = template.job_with(definition.parameters.clone())?;
    let (job, needed) = submit::check_job(api, job).await?;
    submit::check_modules(api, namespace, &needed, &template.modules).await?;
    template.job = job;
    let overrides = Overrides {
        labels: definition.labels.clone(),
        settings: definition.settings.clone(),
        ..Overrides::default()
    };
    let metadata = Metadata {
        pipeline: Some(PipelineRef {
            name: pipeline.to_owned(),
            version,
        }),
        schedule: Some(ScheduleRef {
            name: name.to_owned(),
            at: None,
        }),
        ..metadata
    };
    let made = template.submission(
        namespace.clone(),
        pipeline.to_owned(),
        &api.defaults(),
        overrides,
        metadata,
    )?;
    submit::check_labels(&made.metadata.labels)?;
    Ok(made)
}

/// The next time of a schedule. While its times stay the same, one that is due stays due.
fn next_at(
    definition: &ScheduleDefinition,
    known: Option<&ScheduleRow>,
) -> Result<Option<weir_model::Timestamp>, Problem> {
    let cron = Cron::parse(&definition.cron, &definition.time_zone)?;
    let next = cron.first_after(clock::now())?;
    let same = known.filter(|known| {
        let old = &known.definition;
        !old.suspend && old.cron == definition.cron && old.time_zone == definition.time_zone
    });
    Ok(match definition.suspend {
        true => None,
        false => same.and_then(|known| known.next_at).or(Some(next)),
    })
}

/// Writes a schedule whose pipeline is there.
async fn write(api: &Api, write: PipelineWrite) -> Result<Written, Problem> {
    match api.control_plane().pipelines().pipelines_write(write).await? {
        Written::Refused => Err(Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "pipeline_not_found",
            "the pipeline, or the version of it, is not there any more",
        )),
        written => Ok(written),
    }
}

async fn row(api: &Api, namespace: &Namespace, name: &str) -> Result<ScheduleRow, Problem> {
    if !is_name(name) {
        return Err(Problem::schedule_not_found(name));
    }
    let row = api.control_plane().pipelines().schedule_get(namespace, name).await?;
    row.ok_or_else(|| Problem::schedule_not_found(name))
}

/// A schedule with its entity tag.
async fn answer(api: &Api, namespace: &Namespace, name: &str, status: StatusCode) -> Result<Response, Problem> {
    let schedule = Schedule::from(row(api, namespace, name).await?);
    let mut response = (status, Json(&schedule)).into_response();
    pipelines::tag(&mut response, &schedule.etag);
    if status == StatusCode::CREATED {
        pipelines::locate(&mut response, &schedule.links.this);
    }
    Ok(response)
}
