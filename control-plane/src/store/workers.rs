//! Workers, as they last said of themselves.

use weir_model::Timestamp;

use super::encoding::{to_i64, to_u32, to_u64};
use super::relational::{Columns, Relational, Statement};
use super::{Error, WorkerRow};

type Result<T> = std::result::Result<T, Error>;

pub(super) async fn list(store: &impl Relational, limit: u32) -> Result<Vec<WorkerRow>> {
    let list = Statement::new("SELECT * FROM workers ORDER BY seen_at DESC, id LIMIT ").bind(i64::from(limit));
    store.select("list workers", list, worker_row).await
}

pub(super) async fn forget(store: &impl Relational, before: Timestamp) -> Result<u64> {
    let forgetting = Statement::new("DELETE FROM workers WHERE seen_at < ").bind(to_i64(before.0));
    let forgotten = store.execute("forget workers", vec![forgetting]).await?;
    Ok(forgotten.into_iter().sum())
}

/// What a worker runs, as it is written.
pub(super) fn tasks_of(worker: &WorkerRow) -> Option<String> {
    serde_json::to_string(&worker.tasks).ok()
}

fn worker_row(row: &dyn Columns) -> std::result::Result<WorkerRow, Box<dyn std::error::Error + Send + Sync>> {
    let tasks = row.optional_text("tasks")?;
    Ok(WorkerRow {
        worker: row.text("id")?.parse()?,
        seen_at: Timestamp(to_u64(row.number("seen_at")?)),
        started_at: Timestamp(to_u64(row.number("started_at")?)),
        slots: to_u32(row.number("slots")?),
        running: to_u32(row.number("running")?),
        draining: row.flag("draining")?,
        version: row.text("version")?,
        host: row.text("host")?,
        // What a newer version says there is not worth losing the rest.
        tasks: tasks
            .and_then(|tasks| serde_json::from_str(&tasks).ok())
            .unwrap_or_default(),
    })
}
