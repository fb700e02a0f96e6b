//! `/api/v1/runs/{run}/tasks`.

mod live;
mod query;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Deserialize;
use weir_model::history::AttemptPageIndex;
use weir_model::{AttemptRow, Event, StageId, TaskId, TaskRow};

use self::query::Query;
use super::extract::Params;
use super::resources::{AttemptDetail, AttemptState, Task, TaskDetail, TaskOrder, TaskPage, TaskRange};
use super::source::{RunSource, Source};
use super::{Api, Problem};

pub(super) use self::live::LiveOrders;
pub(super) use self::query::Orders;

/// The latest attempts of a task that are told of in detail.
const MAX_ATTEMPTS: usize = 50;

/// Which tasks to give, and in which order.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct TaskParams {
    /// Only those of this stage.
    #[param(format = Int64, minimum = 0, maximum = 4294967295u32)]
    stage: Option<u32>,
    /// Only those that are here.
    state: Option<AttemptState>,
    /// The metric that `min` and `max` are about.
    metric: Option<TaskRange>,
    /// Only those whose `metric` is at least this.
    min: Option<u64>,
    /// Only those whose `metric` is at most this.
    max: Option<u64>,
    /// What to sort by, ascending, or with a `-` before it descending: `-elapsed_us`. Without it they come in order of
    /// stage and index.
    #[param(value_type = Option<String>, pattern = "^-?[a-z_]+$")]
    sort: Option<TaskOrder>,
    /// The `next_cursor` of the page before, asked for with the same parameters.
    cursor: Option<String>,
    /// So many of the tasks are passed over: the place to begin at, wherever that is, instead of a `cursor`.
    offset: Option<u64>,
    /// At most this many, from 1 to 5000; 1000 when it is left out.
    #[param(minimum = 1, maximum = 5000)]
    limit: Option<u32>,
}

/// The tasks of a run that were begun with, one row each: of the attempt that is under way, else of the one whose output
/// was accepted, else of the latest.
#[utoipa::path(
    get, path = "/api/v1/runs/{run}/tasks", tag = "runs", operation_id = "runs_tasks",
    params(("run" = String, Path, description = "The run's id"), TaskParams),
    responses((status = 200, body = TaskPage), (status = "4XX", body = Problem), (status = "5XX", body = Problem)),
)]
pub(super) async fn list(
    State(api): State<Api>,
    RunSource(source): RunSource,
    Params(params): Params<TaskParams>,
) -> Result<Json<TaskPage>, Problem> {
    let query = Query::new(params)?;
    let page = match &source {
        Source::Log(run) => {
            let fold = api.log_folds().of(*run);
            let mut fold = fold.lock().await;
            fold.catch_up(&api, *run).await?;
            live::answer(&query, &mut fold)
        }
        Source::History(summary) => query.answer_from(&api, summary).await?,
    };
    Ok(Json(page))
}

/// A task with its attempts: how they failed, what their operators did, and what their functions counted.
#[utoipa::path(
    get, path = "/api/v1/runs/{run}/tasks/{stage}/{task}", tag = "runs", operation_id = "runs_task",
    params(
        ("run" = String, Path, description = "The run's id"),
        ("stage" = u32, Path, description = "The stage"),
        ("task" = u32, Path, description = "The task's number in its stage"),
    ),
    responses((status = 200, body = TaskDetail), (status = "4XX", body = Problem), (status = "5XX", body = Problem)),
)]
pub(super) async fn get(
    State(api): State<Api>,
    RunSource(source): RunSource,
    Path((run, stage, task)): Path<(String, String, String)>,
) -> Result<Json<TaskDetail>, Problem> {
    let absent = || {
        let detail =
            format!("run `{run}` has begun with no task {stage}.{task}; `GET /api/v1/runs/{run}/tasks` lists them");
        Problem::new(StatusCode::NOT_FOUND, "task_not_found", detail)
    };
    let (Ok(of_stage), Ok(index)) = (stage.parse(), task.parse()) else {
        return Err(absent());
    };
    let id = TaskId {
        stage: StageId(of_stage),
        index,
    };
    let attempts: Vec<AttemptRow> = match &source {
        Source::Log(run) => {
            let fold = api.log_folds().of(*run);
            let mut fold = fold.lock().await;
            fold.catch_up(&api, *run).await?;
            let rows = fold.table.rows().iter();
            rows.filter(|row| row.task == id).cloned().collect()
        }
        Source::History(summary) => {
            let wanted = |page: &AttemptPageIndex| {
                let index = u64::from(id.index);
                let mut of_stages = page.stages.iter();
                of_stages.any(|of| of.stage == id.stage && of.indexes.overlaps(index, index))
            };
            let pages = summary.attempts.iter().enumerate();
            let pages: Vec<usize> = pages.filter(|(_, page)| wanted(page)).map(|(at, _)| at).collect();
            let pages = api.history().attempts(summary, &pages).await?;
            let rows = pages.iter().flat_map(|page| &page.rows);
            rows.filter(|row| row.task == id).cloned().collect()
        }
    };
    let shown = TaskRow::of(&attempts).first().copied().ok_or_else(absent)?;
    let mut details = Vec::new();
    for attempt in attempts.iter().rev().take(MAX_ATTEMPTS) {
        details.push(detail(&api, &source, attempt).await?);
    }
    details.reverse();
    Ok(Json(TaskDetail {
        task: Task::new(&attempts[shown.place], shown.attempts, shown.failed),
        attempts: details,
    }))
}

/// An attempt with what the event says that tells how it went.
async fn detail(api: &Api, source: &Source, attempt: &AttemptRow) -> Result<AttemptDetail, Problem> {
    let told = match attempt.outcome_seq {
        Some(seq) => source.events(api, seq.saturating_sub(1), 1).await?.into_iter().next(),
        None => None,
    };
    Ok(match told.map(|record| record.event) {
        Some(Event::TaskAccepted { output, .. }) => AttemptDetail::new(attempt, None, Some(&output.metrics)),
        Some(Event::AttemptFailed { failure, metrics, .. }) => {
            AttemptDetail::new(attempt, Some(&failure), Some(&metrics))
        }
        _ => AttemptDetail::new(attempt, None, None),
    })
}
