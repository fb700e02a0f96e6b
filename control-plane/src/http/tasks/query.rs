//! Which tasks are asked for, and how they are found: any of them at once, however many come before.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::sync::Arc;

use weir_model::history::{AttemptPage, AttemptPageIndex, PlacedTask};
use weir_model::{AttemptRow, AttemptState, RunId, StageId, TaskId, TaskMetric};

use super::super::extract::{limit, offset};
use super::super::resources::{Task, TaskOrder, TaskPage};
use super::super::{Api, Problem};
use super::TaskParams;
use crate::cache::Cache;
use crate::history::{self, Summary};

/// Tasks that are looked for at once, where some were never begun with.
const MIN_STEP: u64 = 1_024;
/// Places of tasks in orders that are kept: 8 bytes each.
const PLACES: usize = 4 << 20;

/// A task in question.
#[derive(Clone, Copy)]
pub(super) struct Row<'a> {
    pub(super) attempt: &'a AttemptRow,
    pub(super) attempts: u32,
    pub(super) failed: u32,
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

/// Which part of which tasks.
pub(super) struct Query {
    pub(super) wanted: Wanted,
    pub(super) cursor: Cursor,
    pub(super) limit: usize,
}

/// Which tasks, in which order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Wanted {
    pub(super) stage: Option<StageId>,
    state: Option<AttemptState>,
    range: Option<(TaskMetric, u64, u64)>,
    pub(super) sort: Option<TaskOrder>,
}

/// The tasks that are wanted of a run, in order.
type Order = Arc<[Place]>;

/// Where a task is in a history: the page, and its place among the page's tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    page: u32,
    task: u32,
}

/// The orders of tasks of finished runs that were asked for last, so that the next page of one costs its rows alone.
pub(in super::super) struct Orders(Cache<(RunId, Wanted), Order>);

impl Default for Orders {
    fn default() -> Self {
        Self(Cache::new(PLACES))
    }
}

/// How far somebody has read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cursor {
    Start,
    /// Of tasks in order, all up to this one.
    Task(TaskId),
    /// So many of those that are wanted.
    Place(usize),
}

impl Query {
    pub(super) fn new(params: TaskParams) -> Result<Self, Problem> {
        let range = match (params.metric, params.min, params.max) {
            (Some(metric), min, max) => Some((metric.into(), min.unwrap_or(0), max.unwrap_or(u64::MAX))),
            (None, None, None) => None,
            _ => return Err(Problem::invalid_query("`min` and `max` need a `metric`")),
        };
        let bad_cursor = || Problem::invalid_query("`cursor` is not one that this API gave for these parameters");
        let cursor = match (params.cursor, offset(params.offset)?, params.sort) {
            (None, None, _) => Cursor::Start,
            (Some(_), Some(_), _) => return Err(Problem::invalid_query("`offset` and `cursor` exclude each other")),
            (None, Some(offset), _) => Cursor::Place(usize::try_from(offset).unwrap_or(usize::MAX)),
            (Some(text), None, Some(_)) => Cursor::Place(text.parse().map_err(|_| bad_cursor())?),
            (Some(text), None, None) => Cursor::Task(task(&text).ok_or_else(bad_cursor)?),
        };
        let wanted = Wanted {
            stage: params.stage.map(StageId),
            state: params.state.map(AttemptState::from),
            range,
            sort: params.sort,
        };
        Ok(Self {
            wanted,
            cursor,
            limit: limit(params.limit, 1000, 5000)? as usize,
        })
    }

    /// From which place to which one, of so many.
    pub(super) fn part(&self, start: usize, total: usize) -> (usize, usize) {
        let start = start.min(total);
        (start, start.saturating_add(self.limit).min(total))
    }

    pub(super) fn page(&self, items: Vec<Task>, total: u64, complete: bool, end: usize) -> TaskPage {
        let last = items.last().map(|task| format!("{}.{}", task.stage, task.task));
        let next_cursor = match self.wanted.sort {
            Some(_) => Some(end.to_string()),
            None => last,
        };
        TaskPage {
            items,
            total,
            next_cursor: next_cursor.filter(|_| !complete),
        }
    }

    /// The tasks that are wanted of a run that is over.
    pub(super) async fn answer_from(&self, api: &Api, summary: &Summary) -> Result<TaskPage, Problem> {
        if self.wanted.is_in_order() {
            return self.in_order(api, summary).await;
        }
        let order = self.wanted.order(api, summary).await?;
        let start = match self.cursor {
            Cursor::Start => 0,
            Cursor::Place(place) => place,
            Cursor::Task(task) => self.after(api, summary, &order, task).await?,
        };
        let (start, end) = self.part(start, order.len());
        let part = Part::read(api, summary, &order[start..end]).await?;
        let items = part.rows().map(|row| resource(&row)).collect();
        Ok(self.page(items, order.len() as u64, end == order.len(), end))
    }

    /// How many of the tasks in order come up to a task.
    async fn after(&self, api: &Api, summary: &Summary, order: &Order, task: TaskId) -> Result<usize, Problem> {
        let part = Part::read(api, summary, order).await?;
        Ok(part.rows().take_while(|row| row.attempt.task <= task).count())
    }

    /// All tasks, or all of a stage, in order: reads the pages alone that have those which are wanted.
    async fn in_order(&self, api: &Api, summary: &Summary) -> Result<TaskPage, Problem> {
        let of_stages = summary.attempts.iter().flat_map(|page| &page.stages);
        let mut stages: Vec<StageId> = of_stages.clone().map(|of| of.stage).collect();
        stages.sort_unstable();
        stages.dedup();
        stages.retain(|stage| self.wanted.stage.is_none_or(|wanted| *stage == wanted));
        let total = of_stages
            .filter(|of| stages.contains(&of.stage))
            .map(|of| of.tasks)
            .sum();
        let mut items: Vec<Task> = Vec::new();
        let mut passed = match self.cursor {
            Cursor::Place(place) => place as u64,
            _ => 0,
        };
        for stage in stages {
            let of_stage = Indexes::of(summary, stage);
            if passed >= of_stage.tasks && passed > 0 {
                passed -= of_stage.tasks;
                continue;
            }
            let mut from = match self.cursor {
                Cursor::Task(task) if task.stage > stage => continue,
                Cursor::Task(task) if task.stage == stage => u64::from(task.index) + 1,
                _ => self.index_at(api, summary, stage, passed).await?,
            };
            passed = 0;
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

    /// The index of a stage's task that so many come before.
    async fn index_at(&self, api: &Api, summary: &Summary, stage: StageId, passed: u64) -> Result<u64, Problem> {
        // Where every task was begun with, its index is its place.
        if passed == 0 || Indexes::of(summary, stage).is_dense() {
            return Ok(passed);
        }
        let wanted = Wanted {
            stage: Some(stage),
            ..Wanted::default()
        };
        let order = wanted.order(api, summary).await?;
        let Some(place) = order.get(passed as usize) else {
            return Ok(u64::MAX);
        };
        let part = Part::read(api, summary, std::slice::from_ref(place)).await?;
        let found = part.rows().next();
        Ok(found.map_or(u64::MAX, |row| row.attempt.task.index.into()))
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

/// How the tasks of a stage are numbered.
#[derive(Clone, Copy)]
struct Indexes {
    tasks: u64,
    /// One past the greatest.
    end: u64,
}

impl Indexes {
    fn of(summary: &Summary, stage: StageId) -> Self {
        let pages = summary.attempts.iter().flat_map(|page| &page.stages);
        let of_stage = pages.filter(|of| of.stage == stage);
        of_stage.fold(Self { tasks: 0, end: 0 }, |sum, of| Self {
            tasks: sum.tasks + of.tasks,
            end: sum.end.max(of.indexes.max.saturating_add(1)),
        })
    }

    /// Whether every task up to the last was begun with.
    fn is_dense(self) -> bool {
        self.tasks == self.end
    }
}

impl Wanted {
    /// Whether they are all tasks, or all of a stage, as they are numbered.
    pub(super) fn is_in_order(&self) -> bool {
        self.sort.is_none() && self.state.is_none() && self.range.is_none()
    }

    pub(super) fn matches(&self, row: &Row<'_>) -> bool {
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

    /// All of them, in order.
    async fn order(self, api: &Api, summary: &Summary) -> Result<Order, Problem> {
        let key = (summary.run(), self);
        if let Some(order) = api.orders().0.get(&key) {
            return Ok(order);
        }
        let pages = summary.attempts.iter().enumerate();
        let numbers: Vec<usize> = pages
            .filter(|(_, page)| self.may_match(page))
            .map(|(number, _)| number)
            .collect();
        let pages = api.history().attempts(summary, &numbers).await?;
        let sorted = tokio::task::spawn_blocking(move || self.sorted(&numbers, &pages)).await;
        let order = sorted.map_err(|_| Problem::internal())?;
        api.orders().0.put(key, Arc::clone(&order), order.len().max(1));
        Ok(order)
    }

    fn sorted(&self, numbers: &[usize], pages: &[Arc<AttemptPage>]) -> Order {
        let mut rows: Vec<(Row<'_>, Place)> = Vec::new();
        for (number, page) in numbers.iter().zip(pages) {
            for (place, task) in page.tasks.iter().enumerate() {
                let row = Row::of_page(&page.rows, task);
                if self.matches(&row) {
                    // Neither comes near the limit.
                    let place = Place {
                        page: *number as u32,
                        task: place as u32,
                    };
                    rows.push((row, place));
                }
            }
        }
        match self.sort {
            Some(order) => rows.sort_by(|(a, _), (b, _)| compare(order, a, b)),
            None => rows.sort_by_key(|(row, _)| row.attempt.task),
        }
        rows.into_iter().map(|(_, place)| place).collect()
    }
}

/// Some tasks of an order, with the pages that they are in.
struct Part<'a> {
    places: &'a [Place],
    numbers: Vec<usize>,
    pages: Vec<Arc<AttemptPage>>,
}

impl<'a> Part<'a> {
    async fn read(api: &Api, summary: &Summary, places: &'a [Place]) -> Result<Self, history::Error> {
        let numbers: BTreeSet<usize> = places.iter().map(|place| place.page as usize).collect();
        let numbers: Vec<usize> = numbers.into_iter().collect();
        Ok(Self {
            pages: api.history().attempts(summary, &numbers).await?,
            places,
            numbers,
        })
    }

    fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.places.iter().filter_map(|place| {
            let page = self.numbers.binary_search(&(place.page as usize)).ok()?;
            let page = self.pages.get(page)?;
            let task = page.tasks.get(place.task as usize)?;
            Some(Row::of_page(&page.rows, task))
        })
    }
}

pub(super) fn compare(order: TaskOrder, a: &Row<'_>, b: &Row<'_>) -> Ordering {
    let by = order
        .key
        .compare((a.attempt, a.attempts, a.failed), (b.attempt, b.attempts, b.failed));
    let by = if order.descending { by.reverse() } else { by };
    by.then_with(|| a.attempt.task.cmp(&b.attempt.task))
}

pub(super) fn resource(row: &Row<'_>) -> Task {
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
