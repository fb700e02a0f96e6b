//! `/api/v1/runs/{run}/stages`.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;

use super::follow::Follower;
use super::resources::{StageList, StageProfile};
use super::source::{RunSource, Source};
use super::{Api, Problem};

/// The stages of a run once they are planned, with quantiles over their tasks, and what their operators did.
#[utoipa::path(
    get, path = "/api/v1/runs/{run}/stages", tag = "runs", operation_id = "runs_stages",
    params(("run" = String, Path, description = "The run's id")),
    responses((status = 200, body = StageList), (status = "4XX", body = Problem), (status = "5XX", body = Problem)),
)]
pub(super) async fn list(State(api): State<Api>, RunSource(source): RunSource) -> Result<Json<StageList>, Problem> {
    Ok(Json(StageList {
        items: stages(&api, &source).await?,
    }))
}

/// A stage of a run.
#[utoipa::path(
    get, path = "/api/v1/runs/{run}/stages/{stage}", tag = "runs", operation_id = "runs_stage",
    params(
        ("run" = String, Path, description = "The run's id"),
        ("stage" = u32, Path, description = "The stage"),
    ),
    responses((status = 200, body = StageProfile), (status = "4XX", body = Problem), (status = "5XX", body = Problem)),
)]
pub(super) async fn get(
    State(api): State<Api>,
    RunSource(source): RunSource,
    Path((run, stage)): Path<(String, String)>,
) -> Result<Json<StageProfile>, Problem> {
    let all = stages(&api, &source).await?;
    let found = stage.parse::<u32>().ok();
    let found = all.into_iter().find(|profile| Some(profile.stage.id) == found);
    found.map(Json).ok_or_else(|| {
        let detail = format!("run `{run}` has no stage {stage}; `GET /api/v1/runs/{run}/stages` lists them");
        Problem::new(StatusCode::NOT_FOUND, "stage_not_found", detail)
    })
}

/// The stages of a run.
pub(super) async fn stages(api: &Api, source: &Source) -> Result<Vec<StageProfile>, Problem> {
    let profile = source.profile(api).await?;
    let run = Follower::at(api, source).await?.present(api).await?;
    let mut profiles = profile.stages;
    // A run may have been planned between the two looks.
    profiles.resize_with(run.stages.len(), Default::default);
    let both = run.stages.into_iter().zip(profiles);
    Ok(both.map(|(stage, profile)| StageProfile::new(stage, profile)).collect())
}
