//! `/api/v1/runs`.

use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Deserialize;
use tokio::time::Instant;
use weir_model::{RunId, RunOutcome, RunPhase};

use super::caller::Caller;
use super::extract::{JsonBody, Params, RunPath, limit};
use super::follow::Follower;
use super::layer::RequestRoom;
use super::pipelines::check_query;
use super::resources::{ListedRun, Run, RunPage, RunRequest, RunState, Time};
use super::{Api, Problem, submit};
use crate::Submitted;
use crate::identity::Role;
use crate::store::{RunFilter, Search};

/// The longest that an answer is held back, in seconds.
const MAX_WAIT_S: u64 = 60;

/// Runs that one list looks at, when not all of them are wanted.
const REACH: u32 = 20_000;

/// Labels that a list is of at most.
const MAX_LABELS: usize = 8;

/// Which runs to list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListParams {
    /// Only those of the job of this name.
    name: Option<String>,
    /// Only those that were made of the pipeline of this name.
    pipeline: Option<String>,
    /// Only those that the schedule of this name made.
    schedule: Option<String>,
    /// Only those that are here.
    state: Option<RunState>,
    /// Only those that ended so.
    result: Option<super::resources::RunResult>,
    /// Only those with this label, `key=value`. Of several with commas between them, a run has all; a comma or backslash
    /// of a label has a backslash before it.
    label: Option<String>,
    /// Only those that were submitted then or later.
    #[param(value_type = Option<String>, format = DateTime)]
    since: Option<Time>,
    /// Only those that were submitted before then.
    #[param(value_type = Option<String>, format = DateTime)]
    until: Option<Time>,
    /// Only those that are found by all of these words, up to 8 with spaces between them, in upper or lower case: each is
    /// somewhere in the run's name, in who submitted it, in a label as `key=value`, or in the name of its pipeline or
    /// schedule; or its id begins so.
    #[param(max_length = 200)]
    search: Option<String>,
    /// At most this many, from 1 to 1000; 50 when it is left out. An answer to more than one of the conditions above, to
    /// `state` or to `search` looks at a bounded number of runs: a page may have fewer, or none, although more follow.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Runs, the youngest first.
#[utoipa::path(
    get, path = "/api/v1/runs", tag = "runs", operation_id = "runs_list",
    params(ListParams),
    responses((status = 200, body = RunPage), (status = "4XX", body = Problem), (status = "5XX", body = Problem)),
)]
pub(super) async fn list(
    State(api): State<Api>,
    caller: Caller,
    Params(params): Params<ListParams>,
) -> Result<Json<RunPage>, Problem> {
    let limit = limit(params.limit, 50, 1000)?;
    check_query("pipeline", params.pipeline.as_deref())?;
    check_query("schedule", params.schedule.as_deref())?;
    let before = params.cursor.map(|cursor| cursor.parse::<RunId>()).transpose();
    let before = before.map_err(|_| Problem::invalid_cursor())?;
    let filter = RunFilter {
        namespace: Some(caller.namespace().clone()),
        name: params.name,
        pipeline: params.pipeline,
        schedule: params.schedule,
        phase: params.state.map(RunPhase::from),
        outcome: params.result.map(RunOutcome::from),
        open: false,
        since: params.since.map(|since| since.0),
        until: params.until.map(|until| until.0),
        labels: params.label.as_deref().map_or(Ok(Vec::new()), labels)?,
        search: params.search.as_deref().map_or(Ok(None), search)?,
        reach: Some(REACH),
    };
    let listed = match api.options().read_only {
        true => {
            let history = api.history();
            history
                .list(caller.namespace(), &filter, before, limit as usize)
                .await?
        }
        false => api.control_plane().run_list(&filter, before, limit).await?,
    };
    let next_cursor = listed.next.map(|run| run.to_string());
    // Queued runs are those in planning that nobody plans: the store does not tell them apart.
    let mut items: Vec<ListedRun> = listed.rows.iter().map(ListedRun::from).collect();
    items.retain(|run| params.state.is_none_or(|state| run.state == state));
    Ok(Json(RunPage { items, next_cursor }))
}

fn search(text: &str) -> Result<Option<Search>, Problem> {
    Search::parse(text).map_err(|error| Problem::invalid_query(format!("`search`: {error}")))
}

/// Reads `key=value,key=value`.
fn labels(text: &str) -> Result<Vec<(String, String)>, Problem> {
    let invalid = || {
        Problem::invalid_query(format!(
            "`label` is `key=value`, or up to {MAX_LABELS} of them with commas between them"
        ))
    };
    let mut parts = vec![String::new()];
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        let part = parts.last_mut().ok_or_else(invalid)?;
        match character {
            ',' => parts.push(String::new()),
            '\\' => part.push(characters.next().ok_or_else(invalid)?),
            // No label has one, and databases do not take it.
            '\0' => return Err(invalid()),
            other => part.push(other),
        }
    }
    if parts.len() > MAX_LABELS {
        return Err(invalid());
    }
    let pair = |part: &String| match part.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(invalid()),
    };
    parts.iter().map(pair).collect()
}

/// Submits a run.
///
/// With an `Idempotency-Key` (1 to 255 characters of ASCII) the same request can be sent again until it is answered:
/// it makes one run. The key can not be used for another request.
#[utoipa::path(
    post, path = "/api/v1/runs", tag = "runs", operation_id = "runs_submit",
    request_body = RunRequest,
    params(("Idempotency-Key" = Option<String>, Header, description = "Names the request, so that it can be repeated")),
    responses(
        (status = 201, body = Run, headers(
            ("Location" = String, description = "The run"),
            ("Idempotent-Replayed" = Option<String>, description = "`true` when the request was answered before"),
        )),
        (status = "4XX", body = Problem), (status = "5XX", body = Problem),
    ),
)]
pub(super) async fn submit(
    State(api): State<Api>,
    caller: Caller,
    headers: HeaderMap,
    body: JsonBody<RunRequest>,
) -> Result<Response, Problem> {
    caller.require(Role::Submitter)?;
    let idempotency = submit::idempotency(&headers, body.digest)?;
    let submission = submit::submission(&api, &caller, &headers, body.value).await?;
    let submitted = api
        .control_plane()
        .submit_once(submission, idempotency.as_ref())
        .await?;
    created(&api, submitted).await
}

pub(super) async fn created(api: &Api, submitted: Submitted) -> Result<Response, Problem> {
    let run = Follower::open(api, submitted.run).await?.present(api).await?;
    let mut response = (StatusCode::CREATED, tagged(&run)).into_response();
    let headers = response.headers_mut();
    if let Ok(location) = HeaderValue::from_str(&run.links.this) {
        headers.insert(header::LOCATION, location);
    }
    if submitted.replayed {
        headers.insert("idempotent-replayed", HeaderValue::from_static("true"));
    }
    Ok(response)
}

/// A run with its entity tag.
fn tagged(run: &Run) -> Response {
    let mut response = Json(run).into_response();
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{}\"", run.etag)) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

/// How to get a run.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct GetParams {
    /// Seconds to hold the answer back, at most 60, such as `30` or `30s`: until the run differs from `If-None-Match`
    /// when that is given, otherwise until it is over.
    #[param(pattern = "^[0-9]+s?$")]
    wait: Option<String>,
}

fn wait(text: &str) -> Result<Duration, Problem> {
    let seconds = text.strip_suffix('s').unwrap_or(text).parse::<u64>();
    match seconds {
        Ok(seconds) if seconds <= MAX_WAIT_S => Ok(Duration::from_secs(seconds)),
        _ => Err(Problem::invalid_query(format!(
            "`wait` is a number of seconds up to {MAX_WAIT_S}, such as `30s`"
        ))),
    }
}

/// A run.
#[utoipa::path(
    get, path = "/api/v1/runs/{run}", tag = "runs", operation_id = "runs_get",
    params(
        ("run" = String, Path, description = "The run's id"),
        GetParams,
        ("If-None-Match" = Option<String>, Header, description = "The `ETag` of the run as it is known"),
    ),
    responses(
        (status = 200, body = Run, headers(("ETag" = String, description = "Changes whenever the run does"))),
        (status = 304, description = "The run is as it is known"),
        (status = "4XX", body = Problem), (status = "5XX", body = Problem),
    ),
)]
pub(super) async fn get(
    State(api): State<Api>,
    caller: Caller,
    Extension(room): Extension<RequestRoom>,
    RunPath(run): RunPath,
    Params(params): Params<GetParams>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let patience = params.wait.as_deref().map_or(Ok(Duration::ZERO), wait)?;
    let deadline = Instant::now() + patience;
    let known = headers.get(header::IF_NONE_MATCH).and_then(|tags| tags.to_str().ok());
    let mut follower = Follower::open(&api, run).await?;
    let mut waiting = None;
    loop {
        let present = follower.present(&api).await?;
        let same = known.is_some_and(|known| matches_tag(known, &present.etag));
        let waits = match known {
            Some(_) => same,
            None => true,
        };
        let over = present.state == RunState::Finished;
        if over || !waits || Instant::now() >= deadline || api.is_closing() {
            return Ok(match same {
                true => {
                    let mut response = tagged(&present);
                    *response.status_mut() = StatusCode::NOT_MODIFIED;
                    *response.body_mut() = axum::body::Body::empty();
                    response.headers_mut().remove(header::CONTENT_TYPE);
                    response.headers_mut().remove(header::CONTENT_LENGTH);
                    response
                }
                false => tagged(&present),
            });
        }
        if waiting.is_none() {
            let place = api.rooms().long_polls.enter(caller.namespace());
            waiting = Some(place.map_err(|full| full.problem("too_many_long_polls", "long polls"))?);
            room.leave();
        }
        follower.changed(&api, deadline).await;
    }
}

/// Whether a list of entity tags, weak ones included, has this one.
fn matches_tag(list: &str, tag: &str) -> bool {
    list.split(',').any(|known| {
        let known = known.trim();
        let known = known.strip_prefix("W/").unwrap_or(known);
        known == "*" || known.trim_matches('"') == tag
    })
}

/// Asks a run to stop, and not to be tried again: also one that is over and waits for that. A run whose outputs are being
/// committed goes on.
#[utoipa::path(
    post, path = "/api/v1/runs/{run}/cancel", tag = "runs", operation_id = "runs_cancel",
    params(("run" = String, Path, description = "The run's id")),
    responses(
        (status = 202, body = Run),
        (status = 409, body = Problem, description = "The run is over, and is not to be tried again"),
        (status = "4XX", body = Problem), (status = "5XX", body = Problem),
    ),
)]
pub(super) async fn cancel(State(api): State<Api>, caller: Caller, RunPath(run): RunPath) -> Result<Response, Problem> {
    caller.require(Role::Submitter)?;
    api.control_plane().cancel(run, caller.principal()).await?;
    let present = Follower::open(&api, run).await?.present(&api).await?;
    Ok((StatusCode::ACCEPTED, tagged(&present)).into_response())
}

/// Has nothing new of a run begun until it is resumed. What runs comes to its end; a run whose outputs are being
/// committed goes on.
#[utoipa::path(
    post, path = "/api/v1/runs/{run}/pause", tag = "runs", operation_id = "runs_pause",
    params(("run" = String, Path, description = "The run's id")),
    responses(
        (status = 202, body = Run), (status = 409, body = Problem, description = "The run is over"),
        (status = "4XX", body = Problem), (status = "5XX", body = Problem),
    ),
)]
pub(super) async fn pause(State(api): State<Api>, caller: Caller, RunPath(run): RunPath) -> Result<Response, Problem> {
    set_paused(&api, &caller, run, true).await
}

/// Lets a run go on that is paused.
#[utoipa::path(
    post, path = "/api/v1/runs/{run}/resume", tag = "runs", operation_id = "runs_resume",
    params(("run" = String, Path, description = "The run's id")),
    responses(
        (status = 202, body = Run), (status = 409, body = Problem, description = "The run is over"),
        (status = "4XX", body = Problem), (status = "5XX", body = Problem),
    ),
)]
pub(super) async fn resume(State(api): State<Api>, caller: Caller, RunPath(run): RunPath) -> Result<Response, Problem> {
    set_paused(&api, &caller, run, false).await
}

async fn set_paused(api: &Api, caller: &Caller, run: RunId, paused: bool) -> Result<Response, Problem> {
    caller.require(Role::Submitter)?;
    api.control_plane().set_paused(run, paused, caller.principal()).await?;
    let present = Follower::open(api, run).await?.present(api).await?;
    Ok((StatusCode::ACCEPTED, tagged(&present)).into_response())
}

/// Submits what a run that is over ran, as a new run.
#[utoipa::path(
    post, path = "/api/v1/runs/{run}/retry", tag = "runs", operation_id = "runs_retry",
    params(
        ("run" = String, Path, description = "The run's id"),
        ("Idempotency-Key" = Option<String>, Header, description = "Names the request, so that it can be repeated"),
    ),
    responses(
        (status = 201, body = Run), (status = 409, body = Problem, description = "The run is not over"),
        (status = "4XX", body = Problem), (status = "5XX", body = Problem),
    ),
)]
pub(super) async fn retry(
    State(api): State<Api>,
    caller: Caller,
    RunPath(run): RunPath,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    caller.require(Role::Submitter)?;
    let request = weir_model::Digest::of(format!("retry {run}").as_bytes());
    let idempotency = submit::idempotency(&headers, request)?;
    let submitted = api
        .control_plane()
        .retry(run, Some(caller.principal().to_owned()), idempotency.as_ref())
        .await?;
    created(&api, submitted).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_bounded_seconds() {
        assert_eq!(wait("30s").unwrap(), Duration::from_secs(30));
        assert_eq!(wait("0").unwrap(), Duration::ZERO);
        for text in ["", "s", "61", "-1", "1m", "1.5"] {
            assert!(wait(text).is_err(), "{text}");
        }
    }

    #[test]
    fn labels_are_pairs() {
        let of = |text: &str| labels(text).map_err(|problem| problem.detail.clone()).unwrap();
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(of("team=core"), [pair("team", "core")]);
        assert_eq!(of(r"a=1\,2,b=x=\\"), [pair("a", "1,2"), pair("b", r"x=\")]);
        assert_eq!(of("team="), [pair("team", "")]);
        for text in ["", "team", "=core", "a=1,", "a=\\", "a=\0", &"a=1,".repeat(9)] {
            assert!(labels(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn tags_are_found_in_lists() {
        for list in ["\"a\"", "W/\"a\"", "\"b\", \"a\"", "*"] {
            assert!(matches_tag(list, "a"), "{list}");
        }
        assert!(!matches_tag("\"ab\"", "a"));
    }
}
