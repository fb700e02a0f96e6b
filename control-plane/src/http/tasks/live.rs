//! The tasks of a run that is not over.
//!
//! A part of them in order costs its rows, however many there are. What is filtered or sorted is put in order once for each
//! length of the run's log, for all who ask.

use std::collections::VecDeque;
use std::sync::Arc;

use weir_model::{AttemptRow, TaskId, TaskRow};

use super::super::resources::TaskPage;
use super::super::source::LogFold;
use super::query::{Cursor, Query, Row, Wanted, compare, resource};

/// Orders of a run's tasks that are kept: of the lists that its readers look at.
const KEPT: usize = 8;

/// The tasks that were asked for last, in order, as the log was then.
#[derive(Default)]
pub(in super::super) struct LiveOrders(VecDeque<Order>);

struct Order {
    wanted: Wanted,
    /// The last event of the log.
    seq: u64,
    tasks: Arc<[TaskId]>,
}

/// The tasks that are wanted, of those that a log tells of.
pub(super) fn answer(query: &Query, fold: &mut LogFold) -> TaskPage {
    match query.wanted.is_in_order() {
        true => in_order(query, fold),
        false => in_an_order(query, fold),
    }
}

fn in_order(query: &Query, LogFold { tasks, table, .. }: &LogFold) -> TaskPage {
    let stage = query.wanted.stage;
    let rows: Box<dyn Iterator<Item = &TaskRow>> = match query.cursor {
        Cursor::Start => Box::new(tasks.rows(stage)),
        Cursor::Place(place) => Box::new(tasks.rows_from(stage, place)),
        Cursor::Task(task) => Box::new(tasks.rows_after(stage, task)),
    };
    // One more than is wanted, to know whether there are more.
    let found: Vec<&TaskRow> = rows.take(query.limit + 1).collect();
    let items = found
        .iter()
        .take(query.limit)
        .map(|task| resource(&shown(task, table.rows())));
    query.page(
        items.collect(),
        tasks.count(stage) as u64,
        found.len() <= query.limit,
        0,
    )
}

fn in_an_order(query: &Query, fold: &mut LogFold) -> TaskPage {
    let order = order(query.wanted, fold);
    let start = match query.cursor {
        Cursor::Start => 0,
        Cursor::Place(place) => place,
        // Without a metric to sort by they are in the order of their numbers.
        Cursor::Task(task) => order.partition_point(|known| *known <= task),
    };
    let (start, end) = query.part(start, order.len());
    let tasks = order[start..end].iter().filter_map(|task| fold.tasks.get(*task));
    let items = tasks.map(|task| resource(&shown(task, fold.table.rows()))).collect();
    query.page(items, order.len() as u64, end == order.len(), end)
}

/// All that are wanted, in order.
fn order(wanted: Wanted, fold: &mut LogFold) -> Arc<[TaskId]> {
    let seq = fold.table.last_seq();
    let known = fold.orders.0.iter().position(|known| known.wanted == wanted);
    let known = known.and_then(|at| fold.orders.0.remove(at));
    let tasks = match known {
        Some(known) if known.seq == seq => known.tasks,
        _ => {
            let attempts = fold.table.rows();
            let rows = fold.tasks.rows(wanted.stage).map(|task| shown(task, attempts));
            let mut rows: Vec<Row<'_>> = rows.filter(|row| wanted.matches(row)).collect();
            if let Some(order) = wanted.sort {
                rows.sort_by(|a, b| compare(order, a, b));
            }
            rows.iter().map(|row| row.attempt.task).collect()
        }
    };
    fold.orders.0.push_back(Order {
        wanted,
        seq,
        tasks: Arc::clone(&tasks),
    });
    if fold.orders.0.len() > KEPT {
        fold.orders.0.pop_front();
    }
    tasks
}

fn shown<'a>(task: &TaskRow, attempts: &'a [AttemptRow]) -> Row<'a> {
    Row {
        attempt: &attempts[task.place],
        attempts: task.attempts,
        failed: task.failed,
    }
}
