//! Reading runs. The statements are the same in every database, but for a few words.

use weir_model::{Namespace, PipelineRef, RunId, RunPhase, ScheduleRef, Timestamp};

use super::encoding::{from_word, to_i64, to_u32, to_u64, unreadable};
use super::relational::{Columns, Relational, Statement};
use super::{Backlog, Error, RunRow, RunSummary};

type Result<T> = std::result::Result<T, Error>;
type Read<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// A database with runs, and what it says in its own way. A statement calls the table of runs `r`.
pub(super) trait RunTables: Relational {
    /// The beginning of a statement that reads [`run_row`]s.
    const RUNS: &'static str;
    /// Whether a run is not cleaned up, in the words of the index over such runs.
    const UNCLEANED: &'static str;
    /// Whether a run is cleaned up.
    const CLEANED: &'static str;
}

pub(super) async fn get(store: &impl RunTables, run: RunId) -> Result<Option<RunRow>> {
    let found = rows_of(store).then(" WHERE r.id = ").bind(run.to_string());
    Ok(rows(store, "read a run", found).await?.pop())
}

pub(super) async fn to_restart(store: &impl RunTables, now: Timestamp, limit: u32) -> Result<Vec<RunRow>> {
    let due = rows_of(store)
        .then(" WHERE r.restart_at <= ")
        .bind(to_i64(now.0))
        .then(" ORDER BY r.restart_at, r.id LIMIT ")
        .bind(i64::from(limit));
    rows(store, "list runs to try again", due).await
}

pub(super) async fn open_of_schedule<S: RunTables>(
    store: &S,
    namespace: &Namespace,
    schedule: &str,
    limit: u32,
) -> Result<Vec<RunRow>> {
    let open = rows_of(store)
        .then(" WHERE r.namespace = ")
        .bind(namespace.as_str())
        .then(" AND r.schedule = ")
        .bind(schedule)
        // Each side has an index of the few that it is true for.
        .then(" AND ((r.outcome IS NULL AND ")
        .then(S::UNCLEANED)
        .then(") OR r.restart_at IS NOT NULL) ORDER BY r.id DESC LIMIT ")
        .bind(i64::from(limit));
    rows(store, "list the open runs of a schedule", open).await
}

pub(super) async fn unfinished<S: RunTables>(store: &S, after: Option<RunId>, limit: u32) -> Result<Vec<RunRow>> {
    let mut unfinished = rows_of(store).then(" WHERE ").then(S::UNCLEANED);
    if let Some(after) = after {
        unfinished = unfinished.then(" AND r.id > ").bind(after.to_string());
    }
    let unfinished = unfinished.then(" ORDER BY r.id LIMIT ").bind(i64::from(limit));
    rows(store, "list unfinished runs", unfinished).await
}

pub(super) async fn over<S: RunTables>(
    store: &S,
    ended_before: Timestamp,
    after: Option<RunId>,
    limit: u32,
) -> Result<Vec<RunId>> {
    // Ids begin with the time of submission, which comes before the end.
    let over = Statement::new("SELECT r.id AS id FROM runs AS r WHERE r.id < ")
        .bind(RunId::from_parts(ended_before, 0).to_string())
        .then(" AND r.finished_at < ")
        .bind(to_i64(ended_before.0));
    ended(store, "list runs that are over", over, after, limit).await
}

pub(super) async fn to_forget<S: RunTables>(
    store: &S,
    now: Timestamp,
    after: Option<RunId>,
    limit: u32,
) -> Result<Vec<RunId>> {
    let expired = Statement::new("SELECT r.id AS id FROM runs AS r WHERE r.expires_at <= ").bind(to_i64(now.0));
    ended(store, "list runs to forget", expired, after, limit).await
}

/// Of the runs that a statement is about, those that nothing is left to do for.
async fn ended<S: RunTables>(
    store: &S,
    action: &'static str,
    statement: Statement,
    after: Option<RunId>,
    limit: u32,
) -> Result<Vec<RunId>> {
    let ended = statement
        .then(" AND r.restart_at IS NULL AND ")
        .then(S::CLEANED)
        .then(" AND r.id > ")
        .bind(after.map_or_else(String::new, |run| run.to_string()))
        .then(" ORDER BY r.id LIMIT ")
        .bind(i64::from(limit));
    ids(store, action, ended).await
}

pub(super) async fn set_restart(store: &impl RunTables, run: RunId, at: Option<Timestamp>) -> Result<bool> {
    let noting = Statement::new("UPDATE runs SET restart_at = ")
        .bind(at.map(|at| to_i64(at.0)))
        .then(" WHERE restart_at IS NOT NULL AND id = ")
        .bind(run.to_string());
    let noted = store.execute("note when a run is tried again", vec![noting]).await?;
    Ok(noted.into_iter().sum::<u64>() > 0)
}

pub(super) async fn backlog<S: RunTables>(store: &S) -> Result<Backlog> {
    let sum = Statement::new(
        "SELECT count(*) AS runs, CAST(coalesce(sum(r.tasks_waiting), 0) AS bigint) AS waiting, \
         CAST(coalesce(sum(r.tasks_running), 0) AS bigint) AS running FROM runs AS r WHERE r.outcome IS NULL AND ",
    )
    .then(S::UNCLEANED);
    let sums = store.select("sum the backlog", sum, |row| {
        Ok(Backlog {
            runs: to_u64(row.number("runs")?),
            waiting: to_u64(row.number("waiting")?),
            running: to_u64(row.number("running")?),
        })
    });
    Ok(sums.await?.pop().unwrap_or_default())
}

fn rows_of<S: RunTables>(_: &S) -> Statement {
    Statement::new(S::RUNS)
}

async fn rows(store: &impl RunTables, action: &'static str, statement: Statement) -> Result<Vec<RunRow>> {
    let rows = store.select(action, statement, |row| Ok(run_row(row))).await?;
    rows.into_iter().collect()
}

async fn ids(store: &impl RunTables, action: &'static str, statement: Statement) -> Result<Vec<RunId>> {
    let ids = store.select(action, statement, |row| row.text("id")).await?;
    let ids = ids.iter().map(|id| id.parse().map_err(|e| unreadable(id, e)));
    ids.collect()
}

/// A row of `runs`, with the columns of its lease.
pub(super) fn run_row(row: &dyn Columns) -> Result<RunRow> {
    let id = row.text("id").map_err(|e| unreadable("", e))?;
    read_run_row(row).map_err(|source| unreadable(id, source))
}

fn read_run_row(row: &dyn Columns) -> Read<RunRow> {
    let count = |column| row.number(column).map(to_u32);
    let time = |column| Read::Ok(row.optional_number(column)?.map(|at| Timestamp(to_u64(at))));
    let reason = row.optional_text("reason")?;
    let version = row.optional_number("pipeline_version")?.map(to_u32);
    let pipeline = row.optional_text("pipeline")?.zip(version);
    let schedule = row.optional_text("schedule")?.zip(Some(time("scheduled_at")?));
    Ok(RunRow {
        run: row.text("id")?.parse()?,
        namespace: row.text("namespace")?.parse()?,
        name: row.text("name")?,
        pipeline: pipeline.map(|(name, version)| PipelineRef { name, version }),
        schedule: schedule.map(|(name, at)| ScheduleRef { name, at }),
        created_by: row.optional_text("created_by")?,
        labels: serde_json::from_str(&row.text("labels")?)?,
        created_at: Timestamp(to_u64(row.number("created_at")?)),
        summary: RunSummary {
            phase: from_word(row.optional_text("phase")?)?.unwrap_or(RunPhase::Planning),
            outcome: from_word(row.optional_text("outcome")?)?,
            reason: reason.as_deref().map(serde_json::from_str).transpose()?,
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
        last_seq: to_u64(row.number("last_seq")?),
        dispatched_seq: to_u64(row.number("dispatched_seq")?),
        cancel_requested_by: row.optional_text("cancel_requested_by")?,
        pause_requested_by: row.optional_text("pause_requested_by")?,
        cleaned: row.flag("cleaned")?,
        owner: row.optional_text("lease_owner")?,
        owned_until: Timestamp(to_u64(row.number("lease_until")?)),
    })
}
