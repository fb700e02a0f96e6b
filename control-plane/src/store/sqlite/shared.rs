//! What the processes over one file tell each other: reports, workers, leaders.

use std::time::Duration;

use sqlx::sqlite::{SqliteConnection, SqlitePool, SqliteRow};
use sqlx::{QueryBuilder, Row as _};
use weir_model::RunId;
use weir_platform::clock;

use super::database;
use super::writing::{Result, until};
use crate::store::encoding::{to_i64, to_u64, unreadable};
use crate::store::types::{ForwardedReport, InboxReport, WorkerRow};
use crate::store::workers::tasks_of;

/// The length of the log of a run that may be deleted.
pub(super) async fn length_of_deletable(readers: &SqlitePool, run: RunId) -> Result<Option<u64>> {
    let length: Option<i64> = sqlx::query_scalar("SELECT last_seq FROM runs WHERE id = ?1 AND cleaned = 1")
        .bind(run.to_string())
        .fetch_optional(readers)
        .await
        .map_err(database("delete a run"))?;
    Ok(length.map(to_u64))
}

/// Deletes the end of the log of a run that may be deleted.
pub(super) async fn delete_events(connection: &mut SqliteConnection, run: RunId, after_seq: u64) -> Result<()> {
    sqlx::query(
        "DELETE FROM run_events WHERE run_id = ?1 AND seq > ?2 \
         AND EXISTS (SELECT 1 FROM runs WHERE id = ?1 AND cleaned = 1)",
    )
    .bind(run.to_string())
    .bind(to_i64(after_seq))
    .execute(connection)
    .await
    .map_err(database("delete the events of a run"))?;
    Ok(())
}

pub(super) async fn delete_run(connection: &mut SqliteConnection, run: RunId) -> Result<bool> {
    let deleted = sqlx::query("DELETE FROM runs WHERE id = ?1 AND cleaned = 1")
        .bind(run.to_string())
        .execute(connection)
        .await
        .map_err(database("delete a run"))?;
    Ok(deleted.rows_affected() > 0)
}

/// Gives the owners that have reports to take.
pub(super) async fn forward(connection: &mut SqliteConnection, reports: &[ForwardedReport]) -> Result<Vec<String>> {
    let action = "forward reports";
    let mut owners = Vec::new();
    for report in reports {
        let owner: Option<Option<String>> = sqlx::query_scalar(
            "INSERT INTO reports (run_id, body) SELECT id, ?2 FROM runs WHERE id = ?1 AND outcome IS NULL \
             RETURNING (SELECT lease_owner FROM runs WHERE id = ?1)",
        )
        .bind(report.run.to_string())
        .bind(&report.body)
        .fetch_optional(&mut *connection)
        .await
        .map_err(database(action))?;
        owners.extend(owner.flatten());
    }
    owners.sort();
    owners.dedup();
    Ok(owners)
}

pub(super) async fn reports_take(
    readers: &SqlitePool,
    owner: &str,
    held: &[u64],
    limit: u32,
) -> Result<Vec<InboxReport>> {
    let action = "take forwarded reports";
    let mut query = QueryBuilder::new(
        "SELECT reports.id, run_id, body FROM reports JOIN runs ON runs.id = run_id WHERE lease_owner = ",
    );
    query.push_bind(owner);
    // As JSON: the number of parameters of a statement is bounded.
    query
        .push(" AND reports.id NOT IN (SELECT value FROM json_each(")
        .push_bind(json(held));
    query.push(")) ORDER BY reports.id LIMIT ").push_bind(i64::from(limit));
    let rows = query.build().fetch_all(readers).await.map_err(database(action))?;
    let report = |row: &SqliteRow| {
        let run: String = row.try_get(1).map_err(database(action))?;
        Ok(InboxReport {
            id: to_u64(row.try_get(0).map_err(database(action))?),
            run: run.parse().map_err(|e| unreadable(&run, e))?,
            body: row.try_get(2).map_err(database(action))?,
        })
    };
    rows.iter().map(report).collect()
}

pub(super) async fn reports_done(connection: &mut SqliteConnection, ids: &[u64]) -> Result<()> {
    sqlx::query("DELETE FROM reports WHERE id IN (SELECT value FROM json_each(?1))")
        .bind(json(ids))
        .execute(connection)
        .await
        .map_err(database("delete forwarded reports"))?;
    Ok(())
}

pub(super) async fn workers_seen(connection: &mut SqliteConnection, workers: &[WorkerRow]) -> Result<()> {
    for worker in workers {
        sqlx::query(
            "INSERT INTO workers (id, seen_at, started_at, slots, running, draining, version, host, tasks) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at, \
             started_at = excluded.started_at, slots = excluded.slots, running = excluded.running, \
             draining = excluded.draining, version = excluded.version, host = excluded.host, \
             tasks = excluded.tasks WHERE excluded.seen_at > workers.seen_at",
        )
        .bind(worker.worker.to_string())
        .bind(to_i64(worker.seen_at.0))
        .bind(to_i64(worker.started_at.0))
        .bind(i64::from(worker.slots))
        .bind(i64::from(worker.running))
        .bind(worker.draining)
        .bind(&worker.version)
        .bind(&worker.host)
        .bind(tasks_of(worker))
        .execute(&mut *connection)
        .await
        .map_err(database("note workers"))?;
    }
    Ok(())
}

pub(super) async fn lead(connection: &mut SqliteConnection, name: &str, owner: &str, ttl: Duration) -> Result<bool> {
    let changed = sqlx::query(
        "INSERT INTO leaders (name, owner, until) VALUES (?1, ?2, ?3) ON CONFLICT (name) DO UPDATE \
         SET owner = excluded.owner, until = excluded.until WHERE leaders.owner = excluded.owner OR leaders.until <= ?4",
    )
    .bind(name)
    .bind(owner)
    .bind(until(ttl))
    .bind(to_i64(clock::now().0))
    .execute(connection)
    .await
    .map_err(database("become the leader"))?;
    Ok(changed.rows_affected() > 0)
}

pub(super) async fn end_lead(connection: &mut SqliteConnection, name: &str, owner: &str) -> Result<()> {
    sqlx::query("DELETE FROM leaders WHERE name = ?1 AND owner = ?2")
        .bind(name)
        .bind(owner)
        .execute(connection)
        .await
        .map_err(database("end a leadership"))?;
    Ok(())
}

fn json(ids: &[u64]) -> String {
    let ids: Vec<String> = ids.iter().map(u64::to_string).collect();
    format!("[{}]", ids.join(","))
}
