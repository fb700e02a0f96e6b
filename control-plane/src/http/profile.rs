//! What a run counted and used, and what is worth a look in it.

use axum::Json;
use axum::extract::State;
use weir_model::findings::findings;

use super::extract::RunPath;
use super::follow::Follower;
use super::resources::{FindingList, RunMetrics};
use super::{Api, Problem};

/// What a run counted and used so far: the metrics of its user functions, and the totals of the platform.
#[utoipa::path(
    get, path = "/api/v1/runs/{run}/metrics", tag = "runs", operation_id = "runs_metrics",
    params(("run" = String, Path, description = "The run's id")),
    responses((status = 200, body = RunMetrics), (status = "4XX", body = Problem), (status = "5XX", body = Problem)),
)]
pub(super) async fn metrics(State(api): State<Api>, RunPath(run): RunPath) -> Result<Json<RunMetrics>, Problem> {
    let present = Follower::open(&api, run).await?.present(&api).await?;
    Ok(Json(present.into()))
}

/// What is worth a look in a run, with what to do about it: rules over what was measured. Of a run that is not over,
/// what is known by now.
#[utoipa::path(
    get, path = "/api/v1/runs/{run}/findings", tag = "runs", operation_id = "runs_findings",
    params(("run" = String, Path, description = "The run's id")),
    responses((status = 200, body = FindingList), (status = "4XX", body = Problem), (status = "5XX", body = Problem)),
)]
pub(super) async fn list(State(api): State<Api>, RunPath(run): RunPath) -> Result<Json<FindingList>, Problem> {
    let (profile, over) = Follower::open(&api, run).await?.profile(&api).await?;
    Ok(Json(FindingList::new(run, over, findings(&profile))))
}
