//! `/api/v1/workers` and `/api/v1/scaling`.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;

use super::caller::Caller;
use super::extract::{Params, limit};
use super::resources::{Scaling, Worker, WorkerPage};
use super::{Api, Problem};

/// Workers that are looked at. Those that ended are forgotten within an hour.
pub(super) const MAX_WORKERS: u32 = 10_000;

/// Which workers to list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListParams {
    /// At most this many, from 1 to 1000; 200 when it is left out.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Workers that were heard of within the last hour, the latest first, with what they run of the namespace. For admins of
/// the whole service.
#[utoipa::path(
    get, path = "/api/v1/workers", tag = "workers", operation_id = "workers_list",
    params(ListParams),
    responses((status = 200, body = WorkerPage), (status = "4XX", body = Problem), (status = "5XX", body = Problem)),
)]
pub(super) async fn list(
    State(api): State<Api>,
    caller: Caller,
    Params(params): Params<ListParams>,
) -> Result<Json<WorkerPage>, Problem> {
    caller.require_whole_service()?;
    let limit = limit(params.limit, 200, 1000)? as usize;
    let mut rows = api.control_plane().workers(MAX_WORKERS).await?;
    let place = |seen_at: u64, worker: &str| (std::cmp::Reverse(seen_at), worker.to_owned());
    rows.sort_by_cached_key(|row| place(row.seen_at.0, &row.worker.to_string()));
    if let Some(cursor) = params.cursor {
        let parsed = cursor.split_once('.');
        let parsed = parsed.and_then(|(seen_at, worker)| Some(place(seen_at.parse().ok()?, worker)));
        let after = parsed.ok_or_else(Problem::invalid_cursor)?;
        rows.retain(|row| place(row.seen_at.0, &row.worker.to_string()) > after);
    }
    let more = rows.len() > limit;
    rows.truncate(limit);
    let last = rows.last().filter(|_| more);
    Ok(Json(WorkerPage {
        next_cursor: last.map(|row| format!("{}.{}", row.seen_at.0, row.worker)),
        items: rows.iter().map(|row| Worker::new(row, caller.namespace())).collect(),
    }))
}

/// How many workers there are, and how many there should be. For admins of the whole service.
#[utoipa::path(
    get, path = "/api/v1/scaling", tag = "workers", operation_id = "scaling_get",
    responses((status = 200, body = Scaling), (status = "4XX", body = Problem), (status = "5XX", body = Problem)),
)]
pub(super) async fn scaling(State(api): State<Api>, caller: Caller) -> Result<Json<Scaling>, Problem> {
    caller.require_whole_service()?;
    look_at_scaling(&api).await.map(Json)
}

/// How many workers there are, and how many there should be.
pub(super) async fn look_at_scaling(api: &Api) -> Result<Scaling, Problem> {
    let backlog = api.control_plane().backlog().await?;
    let workers = api.control_plane().workers(MAX_WORKERS).await?;
    let said = api.control_plane().scaling_said().await?;
    Ok(Scaling::new(backlog, &workers, said))
}
