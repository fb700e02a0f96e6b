//! `/api/v1/runs/{run}/tasks`.

use std::cmp::Ordering;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Deserialize;
use weir_model::history::{AttemptPageIndex, PlacedTask};
use weir_model::{AttemptRow, AttemptState as RowState, Event, StageId, TaskId, TaskMetric, TaskRow};

use super::extract::{Params, limit};
use super::resources::{AttemptDetail, AttemptState, Task, TaskDetail, TaskOrder, TaskPage, TaskRange};
use super::source::{RunSource, Source};
use super::{Api, Problem};
use crate::history::Summary;

/// The latest attempts of a task that are told of in detail.
const MAX_ATTEMPTS: usize = 50;
/// Tasks that are looked for at once, where some were never begun with.
const MIN_STEP: u64 = 1_024;

/// Which tasks to give, and in which order.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct TaskParams {
    /// Only those of this stage.
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
            let rows = fold.table.rows();
            let tasks = TaskRow::of(rows);
            let tasks = tasks.iter().map(|task| Row {
                attempt: &rows[task.place],
                attempts: task.attempts,
                failed: task.failed,
            });
            query.answer(tasks)
        }
        Source::History(summary) => query.answer_from(&api, summary).await?,
    };
    Ok(Json(page))
}

/// A task in question.
#[derive(Clone, Copy)]
struct Row<'a> {
    attempt: &'a AttemptRow,
    attempts: u32,
    failed: u32,
}

impl Row<'_> {
    fn of_page<'a>(rows: &'a [AttemptRow], task: &PlacedTask) -> Row<'a> {
        Row {
            attempt: &rows[task.place],
            attempts: task.attempts,
            failed: task.failed,
        }
    }
}

struct Query {
    stage: Option<StageId>,
    state: Option<RowState>,
    range: Option<(TaskMetric, u64, u64)>,
    sort: Option<TaskOrder>,
    cursor: Cursor,
    limit: usize,
}

/// How far somebody has read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cursor {
    Start,
    /// Of tasks in order, all up to this one.
    Task(TaskId),
    /// Of sorted tasks, so many.
    Place(usize),
}

impl Query {
    fn new(params: TaskParams) -> Result<Self, Problem> {
        let range = match (params.metric, params.min, params.max) {
            (Some(metric), min, max) => Some((metric.into(), min.unwrap_or(0), max.unwrap_or(u64::MAX))),
            (None, None, None) => None,
            _ => return Err(Problem::invalid_query("`min` and `max` need a `metric`")),
        };
        let bad_cursor = || Problem::invalid_query("`cursor` is not one that this API gave for these parameters");
        let cursor = match (params.cursor, params.sort) {
            (None, _) => Cursor::Start,
            (Some(text), Some(_)) => Cursor::Place(text.parse().map_err(|_| bad_cursor())?),
            (Some(text), None) => Cursor::Task(task(&text).ok_or_else(bad_cursor)?),
        };
        Ok(Self {
            stage: params.stage.map(StageId),
            state: params.state.map(RowState::from),
            range,
            sort: params.sort,
            cursor,
            limit: limit(params.limit, 1000, 5000)? as usize,
        })
    }

    fn matches(&self, row: &Row<'_>) -> bool {
        let attempt = row.attempt;
        self.stage.is_none_or(|stage| attempt.stage() == stage)
            && self.state.is_none_or(|state| attempt.state == state)
            && self
                .range
                .is_none_or(|(metric, min, max)| (min..=max).contains(&metric.of(attempt)))
    }

    /// Whether a page may have one of the tasks.
    fn may_match(&self, page: &AttemptPageIndex) -> bool {
        let tasks = page.stages.iter().filter(|of| of.tasks > 0);
        tasks.clone().any(|of| self.stage.is_none_or(|stage| of.stage == stage))
            && self.range.is_none_or(|(metric, min, max)| {
                // A page of a build that did not know the metric says nothing of it.
                page.metrics.get(&metric).is_none_or(|bounds| bounds.overlaps(min, max))
            })
    }

    /// The tasks that are wanted, of those that are given in order of stage and index.
    fn answer<'a>(&self, rows: impl Iterator<Item = Row<'a>>) -> TaskPage {
        let mut rows: Vec<Row<'_>> = rows.filter(|row| self.matches(row)).collect();
        let total = rows.len();
        if let Some(order) = self.sort {
            rows.sort_by(|a, b| compare(order, a, b));
        }
        let start = match self.cursor {
            Cursor::Start => 0,
            Cursor::Place(place) => place.min(total),
            Cursor::Task(task) => rows.partition_point(|row| row.attempt.task <= task),
        };
        let end = start.saturating_add(self.limit).min(total);
        let items: Vec<Task> = rows[start..end].iter().map(resource).collect();
        self.page(items, total as u64, end == total, end)
    }

    fn page(&self, items: Vec<Task>, total: u64, complete: bool, end: usize) -> TaskPage {
        let last = items.last().map(|task| format!("{}.{}", task.stage, task.task));
        let next_cursor = match self.sort {
            Some(_) => Some(end.to_string()),
            None => last,
        };
        TaskPage {
            items,
            total,
            next_cursor: next_cursor.filter(|_| !complete),
        }
    }

    async fn answer_from(&self, api: &Api, summary: &Summary) -> Result<TaskPage, Problem> {
        if self.sort.is_none() && self.state.is_none() && self.range.is_none() {
            return self.in_order(api, summary).await;
        }
        let pages = summary.attempts.iter().enumerate();
        let pages: Vec<usize> = pages
            .filter(|(_, page)| self.may_match(page))
            .map(|(at, _)| at)
            .collect();
        let pages = api.history().attempts(summary, &pages).await?;
        let rows = pages
            .iter()
            .flat_map(|page| page.tasks.iter().map(|task| Row::of_page(&page.rows, task)));
        let mut rows: Vec<Row<'_>> = rows.filter(|row| self.matches(row)).collect();
        rows.sort_by_key(|row| row.attempt.task);
        Ok(self.answer(rows.into_iter()))
    }

    /// All tasks, or all of a stage, in order: reads the pages alone that have those which are wanted.
    async fn in_order(&self, api: &Api, summary: &Summary) -> Result<TaskPage, Problem> {
        let of_stages = summary.attempts.iter().flat_map(|page| &page.stages);
        let mut stages: Vec<StageId> = of_stages.clone().map(|of| of.stage).collect();
        stages.sort_unstable();
        stages.dedup();
        stages.retain(|stage| self.stage.is_none_or(|wanted| *stage == wanted));
        let total = of_stages
            .filter(|of| stages.contains(&of.stage))
            .map(|of| of.tasks)
            .sum();
        let mut items: Vec<Task> = Vec::new();
        for stage in stages {
            let mut from = match self.cursor {
                Cursor::Task(task) if task.stage > stage => continue,
                Cursor::Task(task) if task.stage == stage => u64::from(task.index) + 1,
                _ => 0,
            };
            // One more than is wanted, to know whether there are more.
            while items.len() <= self.limit {
                let until = from + ((self.limit + 1 - items.len()) as u64).max(MIN_STEP);
                let (some, more) = self.between(api, summary, stage, (from, until - 1)).await?;
                items.extend(some);
                if !more {
                    break;
                }
                from = until;
            }
        }
        let complete = items.len() <= self.limit;
        items.truncate(self.limit);
        Ok(self.page(items, total, complete, 0))
    }

    /// The tasks of a stage from one index to another, and whether there may be later ones.
    async fn between(
        &self,
        api: &Api,
        summary: &Summary,
        stage: StageId,
        (first, last): (u64, u64),
    ) -> Result<(Vec<Task>, bool), Problem> {
        let of = |page: &AttemptPageIndex| page.stages.iter().find(|of| of.stage == stage && of.tasks > 0).copied();
        let pages = summary.attempts.iter().enumerate();
        let pages = pages.filter_map(|(at, page)| Some((at, of(page)?)));
        let more = pages.clone().any(|(_, of)| of.indexes.max > last);
        let wanted = pages.filter(|(_, of)| of.indexes.overlaps(first, last));
        let wanted: Vec<usize> = wanted.map(|(at, _)| at).collect();
        let pages = api.history().attempts(summary, &wanted).await?;
        let mut rows: Vec<Row<'_>> = Vec::new();
        for page in &pages {
            let place = |index: u64| {
                page.tasks.partition_point(|task| {
                    let id = page.rows[task.place].task;
                    (id.stage, u64::from(id.index)) < (stage, index)
                })
            };
            let tasks = &page.tasks[place(first)..place(last + 1)];
            rows.extend(tasks.iter().map(|task| Row::of_page(&page.rows, task)));
        }
        rows.sort_by_key(|row| row.attempt.task);
        Ok((rows.iter().map(resource).collect(), more))
    }
}

fn compare(order: TaskOrder, a: &Row<'_>, b: &Row<'_>) -> Ordering {
    let by = order
        .key
        .compare((a.attempt, a.attempts, a.failed), (b.attempt, b.attempts, b.failed));
    let by = if order.descending { by.reverse() } else { by };
    by.then_with(|| a.attempt.task.cmp(&b.attempt.task))
}

fn resource(row: &Row<'_>) -> Task {
    Task::new(row.attempt, row.attempts, row.failed)
}

/// Reads `stage.index`.
fn task(text: &str) -> Option<TaskId> {
    let (stage, index) = text.split_once('.')?;
    Some(TaskId {
        stage: StageId(stage.parse().ok()?),
        index: index.parse().ok()?,
    })
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
