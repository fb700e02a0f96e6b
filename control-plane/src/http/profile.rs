//! What a run counted and used, and what is worth a look in it.

use axum::Json;
use axum::extract::State;
use weir_model::findings::findings;

use super::follow::Follower;
use super::resources::{FindingList, RunMetrics};
use super::source::{RunSource, Source};
use super::{Api, Problem};

/// What a run counted and used so far: the metrics of its user functions, and the totals of the platform.
#[utoipa::path(
    get, path = "/api/v1/runs/{run}/metrics", tag = "runs", operation_id = "runs_metrics",
    params(("run" = String, Path, description = "The run's id")),
    responses((status = 200, body = RunMetrics), (status = "4XX", body = Problem), (status = "5XX", body = Problem)),
)]
pub(super) async fn metrics(State(api): State<Api>, RunSource(source): RunSource) -> Result<Json<RunMetrics>, Problem> {
    let present = Follower::at(&api, &source).await?.present(&api).await?;
    Ok(Json(present.into()))
}

/// What is worth a look in a run, with what to do about it: rules over what was measured. Of a run that is not over,
/// what is known by now.
#[utoipa::path(
    get, path = "/api/v1/runs/{run}/findings", tag = "runs", operation_id = "runs_findings",
    params(("run" = String, Path, description = "The run's id")),
    responses((status = 200, body = FindingList), (status = "4XX", body = Problem), (status = "5XX", body = Problem)),
)]
pub(super) async fn list(State(api): State<Api>, RunSource(source): RunSource) -> Result<Json<FindingList>, Problem> {
    Ok(Json(findings_of(&api, &source).await?))
}

/// What is worth a look in a run.
pub(super) async fn findings_of(api: &Api, source: &Source) -> Result<FindingList, Problem> {
    let profile = source.profile(api).await?;
    let over = profile.phases.total_ms.is_some();
    Ok(FindingList::new(source.run(), over, findings(&profile)))
}
