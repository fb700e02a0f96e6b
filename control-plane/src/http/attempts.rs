//! `/api/v1/runs/{run}/attempts`.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use weir_model::StageId;

use super::extract::{Params, limit};
use super::resources::{Attempt, AttemptPage};
use super::source::{RunSource, Source};
use super::{Api, Problem};
use crate::history::Summary;

/// Which attempts to give.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct AttemptParams {
    /// Only those of this stage.
    #[param(format = Int64, minimum = 0, maximum = 4294967295u32)]
    stage: Option<u32>,
    /// The `next_cursor` of the page before.
    after: Option<String>,
    /// At most this many, from 1 to 5000; 1000 when it is left out.
    #[param(minimum = 1, maximum = 5000)]
    limit: Option<u32>,
}

/// The attempts of a run's tasks, in the order in which they were dispatched. The place of an attempt never changes;
/// what is said of one that is under way does.
#[utoipa::path(
    get, path = "/api/v1/runs/{run}/attempts", tag = "runs", operation_id = "runs_attempts",
    params(("run" = String, Path, description = "The run's id"), AttemptParams),
    responses((status = 200, body = AttemptPage), (status = "4XX", body = Problem), (status = "5XX", body = Problem)),
)]
pub(super) async fn list(
    State(api): State<Api>,
    RunSource(source): RunSource,
    Params(params): Params<AttemptParams>,
) -> Result<Json<AttemptPage>, Problem> {
    let limit = limit(params.limit, 1000, 5000)? as usize;
    let after = params
        .after
        .as_deref()
        .map_or(Ok(0), str::parse::<usize>)
        .map_err(|_| Problem::invalid_after())?;
    let stage = params.stage.map(StageId);
    let (items, total) = match &source {
        Source::Log(run) => {
            let fold = api.log_folds().of(*run);
            let mut fold = fold.lock().await;
            fold.catch_up(&api, *run).await?;
            let rows = fold.table.rows().iter();
            let wanted = rows.filter(|row| stage.is_none_or(|stage| row.stage() == stage));
            let items: Vec<Attempt> = wanted.clone().skip(after).take(limit).map(Attempt::from).collect();
            (items, wanted.count())
        }
        Source::History(summary) => of_history(&api, summary, stage, after, limit).await?,
    };
    let next = after.saturating_add(items.len());
    Ok(Json(AttemptPage {
        items,
        total: total as u64,
        next_cursor: next.to_string(),
        complete: next >= total,
    }))
}

/// Attempts after so many, and how many there are.
async fn of_history(
    api: &Api,
    summary: &Summary,
    stage: Option<StageId>,
    after: usize,
    limit: usize,
) -> Result<(Vec<Attempt>, usize), Problem> {
    let wanted = after..after.saturating_add(limit);
    let (mut pages, mut skip, mut total) = (Vec::new(), 0, 0);
    for (number, page) in summary.attempts.iter().enumerate() {
        let of_stages = page
            .stages
            .iter()
            .filter(|of| stage.is_none_or(|stage| of.stage == stage));
        let rows = of_stages.map(|of| of.rows as usize).sum::<usize>();
        if rows > 0 && total < wanted.end && total + rows > wanted.start {
            if pages.is_empty() {
                skip = wanted.start - total.min(wanted.start);
            }
            pages.push(number);
        }
        total += rows;
    }
    let pages = api.history().attempts(summary, &pages).await?;
    let rows = pages.iter().flat_map(|page| &page.rows);
    let rows = rows.filter(|row| stage.is_none_or(|stage| row.stage() == stage));
    Ok((rows.skip(skip).take(limit).map(Attempt::from).collect(), total))
}
