//! `/api/v1/runs/{run}/export`.

use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::caller::Caller;
use super::follow::Follower;
use super::source::{RunSource, Source};
use super::{Api, Problem, profile, stages};
use crate::export::{self, Export};

/// Files that are made at once; more wait.
pub(super) const CONCURRENT_EXPORTS: usize = 2;
/// How long one waits for others.
const QUEUE: Duration = Duration::from_secs(60);

/// A run as one HTML file, to be kept and read without a server.
#[utoipa::path(
    get, path = "/api/v1/runs/{run}/export", tag = "runs", operation_id = "runs_export",
    params(("run" = String, Path, description = "The run's id")),
    responses(
        (status = 200, body = String, content_type = "text/html", headers(
            ("Content-Disposition" = String, description = "A name for the file"),
        )),
        (status = "4XX", body = Problem), (status = "5XX", body = Problem),
    ),
)]
pub(super) async fn get(
    State(api): State<Api>,
    caller: Caller,
    RunSource(source): RunSource,
) -> Result<Response, Problem> {
    // All attempts of a run are in memory while its file is made.
    let room = api.rooms().exports.wait(caller.namespace(), QUEUE).await;
    let room = room.map_err(|full| full.problem("too_many_exports", "exports"))?;
    let run = Follower::at(&api, &source).await?.present(&api).await?;
    let stages = stages::stages(&api, &source).await?;
    let findings = profile::findings_of(&api, &source).await?;
    let export = match &source {
        Source::Log(run_id) => {
            let fold = api.log_folds().of(*run_id);
            let mut fold = fold.lock().await;
            fold.catch_up(&api, *run_id).await?;
            Export::new(run, stages, findings, &fold.table)
        }
        Source::History(summary) => export::of_history(api.history(), summary, run, stages, findings).await?,
    };
    let name = format!("attachment; filename=\"weir-{}.html\"", source.run());
    let html = tokio::task::spawn_blocking(move || {
        // Taken until it is made, whoever still waits for it.
        let _room = room;
        export.to_html()
    });
    let html = html.await;
    let html = html.map_err(|_| Problem::internal())?;
    let mut response = (StatusCode::OK, html).into_response();
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/html; charset=utf-8"),
    );
    if let Ok(name) = HeaderValue::from_str(&name) {
        headers.insert(header::CONTENT_DISPOSITION, name);
    }
    Ok(response)
}
