//! Reading rows, which have the same columns in every database.

use sqlx::{ColumnIndex, Database, Decode, Row, Type};
use weir_model::{Namespace, PipelineRef, RunPhase, ScheduleRef, Timestamp};

use super::encoding::{from_word, to_u32, to_u64, unreadable};
use super::{Error, NamespaceLoad, RunRow, RunSummary, WorkerRow};
use crate::quotas::Quota;

/// A row of `runs`, with the columns of its lease.
pub(super) fn run_row<'r, R>(row: &'r R) -> Result<RunRow, Error>
where
    R: Row,
    &'static str: ColumnIndex<R>,
    i64: Decode<'r, R::Database> + Type<R::Database>,
    bool: Decode<'r, R::Database> + Type<R::Database>,
    String: Decode<'r, R::Database> + Type<R::Database>,
{
    let id: String = row.try_get("id").map_err(|e| unreadable("", e))?;
    read_run_row(row).map_err(|source| unreadable(id, source))
}

fn read_run_row<'r, R, DB>(row: &'r R) -> Result<RunRow, Box<dyn std::error::Error + Send + Sync>>
where
    DB: Database,
    R: Row<Database = DB>,
    &'static str: ColumnIndex<R>,
    i64: Decode<'r, DB> + Type<DB>,
    bool: Decode<'r, DB> + Type<DB>,
    String: Decode<'r, DB> + Type<DB>,
{
    let number = |column: &'static str| row.try_get::<i64, _>(column).map(to_u64);
    let count = |column: &'static str| row.try_get::<i64, _>(column).map(to_u32);
    let text = |column: &'static str| row.try_get::<Option<String>, _>(column);
    let reason = text("reason")?.as_deref().map(serde_json::from_str).transpose()?;
    let time = |column: &'static str| -> sqlx::Result<Option<Timestamp>> {
        Ok(row.try_get::<Option<i64>, _>(column)?.map(|at| Timestamp(to_u64(at))))
    };
    let version = row.try_get::<Option<i64>, _>("pipeline_version")?.map(to_u32);
    let pipeline = text("pipeline")?.zip(version);
    let schedule = text("schedule")?.zip(Some(time("scheduled_at")?));
    Ok(RunRow {
        run: row.try_get::<String, _>("id")?.parse()?,
        namespace: row.try_get::<String, _>("namespace")?.parse()?,
        name: row.try_get("name")?,
        pipeline: pipeline.map(|(name, version)| PipelineRef { name, version }),
        schedule: schedule.map(|(name, at)| ScheduleRef { name, at }),
        created_by: text("created_by")?,
        labels: serde_json::from_str(&row.try_get::<String, _>("labels")?)?,
        created_at: Timestamp(number("created_at")?),
        summary: RunSummary {
            phase: from_word(text("phase")?)?.unwrap_or(RunPhase::Planning),
            outcome: from_word(text("outcome")?)?,
            reason,
            finished_at: time("finished_at")?,
            restart_at: time("restart_at")?,
            expires_at: time("expires_at")?,
            stages: count("stages")?,
            stages_done: count("stages_done")?,
            tasks: count("tasks")?,
            tasks_done: count("tasks_done")?,
            tasks_waiting: count("tasks_waiting")?,
            tasks_running: count("tasks_running")?,
            tasks_sent: count("tasks_sent")?,
        },
        last_seq: number("last_seq")?,
        dispatched_seq: number("dispatched_seq")?,
        cancel_requested_by: text("cancel_requested_by")?,
        pause_requested_by: text("pause_requested_by")?,
        cleaned: row.try_get("cleaned")?,
        owner: text("lease_owner")?,
        owned_until: Timestamp(number("lease_until")?),
    })
}

/// A row of `workers`.
pub(super) fn worker_row<'r, R>(row: &'r R) -> Result<WorkerRow, Error>
where
    R: Row,
    &'static str: ColumnIndex<R>,
    i64: Decode<'r, R::Database> + Type<R::Database>,
    bool: Decode<'r, R::Database> + Type<R::Database>,
    String: Decode<'r, R::Database> + Type<R::Database>,
{
    let read = || -> Result<WorkerRow, Box<dyn std::error::Error + Send + Sync>> {
        Ok(WorkerRow {
            worker: row.try_get::<String, _>("id")?.parse()?,
            seen_at: Timestamp(to_u64(row.try_get("seen_at")?)),
            started_at: Timestamp(to_u64(row.try_get("started_at")?)),
            slots: to_u32(row.try_get("slots")?),
            running: to_u32(row.try_get("running")?),
            draining: row.try_get("draining")?,
            version: row.try_get("version")?,
            host: row.try_get("host")?,
            // What a newer version says there is not worth losing the rest.
            tasks: row
                .try_get::<Option<String>, _>("tasks")?
                .and_then(|tasks| serde_json::from_str(&tasks).ok())
                .unwrap_or_default(),
        })
    };
    read().map_err(|source| Error::Database {
        action: "read the row of a worker",
        source,
    })
}

/// What a worker runs, as it is written.
pub(super) fn tasks_of(worker: &WorkerRow) -> Option<String> {
    serde_json::to_string(&worker.tasks).ok()
}

/// What the runs of a namespace and owner take.
pub(super) fn load_row<'r, R>(row: &'r R) -> Result<NamespaceLoad, Error>
where
    R: Row,
    &'static str: ColumnIndex<R>,
    i64: Decode<'r, R::Database> + Type<R::Database>,
    String: Decode<'r, R::Database> + Type<R::Database>,
{
    let read = || -> Result<NamespaceLoad, Box<dyn std::error::Error + Send + Sync>> {
        let number = |column: &'static str| row.try_get::<i64, _>(column).map(to_u64);
        Ok(NamespaceLoad {
            namespace: row.try_get::<String, _>("namespace")?.parse()?,
            owner: row.try_get("owner")?,
            queued: number("queued")?,
            active: number("active")?,
            working: number("working")?,
            waiting: number("waiting")?,
            running: number("running")?,
            sent: number("sent")?,
        })
    };
    read().map_err(|source| Error::Database {
        action: "read what a namespace uses",
        source,
    })
}

/// A row of `namespace_quotas`.
pub(super) fn quota_row<'r, R>(row: &'r R) -> Result<(Namespace, Quota), Error>
where
    R: Row,
    &'static str: ColumnIndex<R>,
    i64: Decode<'r, R::Database> + Type<R::Database>,
    String: Decode<'r, R::Database> + Type<R::Database>,
{
    let read = || -> Result<(Namespace, Quota), Box<dyn std::error::Error + Send + Sync>> {
        let count = |column: &'static str| row.try_get::<i64, _>(column).map(to_u32);
        let limit = |column: &'static str| row.try_get::<Option<i64>, _>(column);
        let quota = Quota {
            weight: count("weight")?,
            min_share: count("min_share")?,
            max_runs: limit("max_runs")?.map(to_u32),
            max_queued_runs: limit("max_queued_runs")?.map(to_u32),
            max_tasks: limit("max_tasks")?.map(to_u32),
            max_memory_bytes: limit("max_memory_bytes")?.map(to_u64),
            max_storage_bytes: limit("max_storage_bytes")?.map(to_u64),
            submissions_per_minute: limit("submissions_per_minute")?.map(to_u32),
            submission_burst: count("submission_burst")?,
        };
        Ok((row.try_get::<String, _>("namespace")?.parse()?, quota))
    };
    read().map_err(|source| Error::Database {
        action: "read a quota",
        source,
    })
}
