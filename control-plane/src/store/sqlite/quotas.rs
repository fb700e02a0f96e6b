//! What namespaces may use, and what they use.

use std::time::Duration;

use sqlx::Row as _;
use sqlx::sqlite::{SqliteConnection, SqlitePool, SqliteRow};
use weir_model::{Digest, Namespace, RunId};
use weir_platform::clock;

use super::database;
use super::writing::Result;
use crate::quotas::{Quota, Rate};
use crate::store::encoding::{to_i64, to_u64, unreadable};
use crate::store::rows::{load_row, quota_row};
use crate::store::types::NamespaceLoad;

pub(super) async fn loads(readers: &SqlitePool, namespace: Option<&Namespace>) -> Result<Vec<NamespaceLoad>> {
    let rows = sqlx::query(
        "WITH open AS (SELECT namespace, lease_owner AS owner, tasks_waiting, tasks_running, tasks_sent, \
         last_seq <= 1 AND (lease_owner IS NULL OR lease_until <= ?1) AS queued FROM runs \
         WHERE cleaned = 0 AND outcome IS NULL AND (?2 IS NULL OR namespace = ?2)) \
         SELECT namespace, owner, count(*) FILTER (WHERE queued) AS queued, \
         count(*) FILTER (WHERE NOT queued) AS active, \
         count(*) FILTER (WHERE tasks_waiting + tasks_running > 0) AS working, \
         coalesce(sum(tasks_waiting), 0) AS waiting, coalesce(sum(tasks_running), 0) AS running, \
         coalesce(sum(max(tasks_sent, tasks_running)), 0) AS sent \
         FROM open GROUP BY namespace, owner",
    )
    .bind(to_i64(clock::now().0))
    .bind(namespace.map(Namespace::as_str))
    .fetch_all(readers)
    .await
    .map_err(database("sum what namespaces use"))?;
    rows.iter().map(load_row).collect()
}

pub(super) async fn kept_bytes(readers: &SqlitePool, namespace: &Namespace) -> Result<u64> {
    let sum: i64 =
        sqlx::query_scalar("SELECT coalesce(sum(kept_bytes), 0) FROM runs WHERE namespace = ?1 AND kept_bytes > 0")
            .bind(namespace.as_str())
            .fetch_one(readers)
            .await
            .map_err(database("sum what results take"))?;
    Ok(to_u64(sum))
}

pub(super) async fn quotas(readers: &SqlitePool) -> Result<Vec<(Namespace, Quota)>> {
    let rows = sqlx::query("SELECT * FROM namespace_quotas ORDER BY namespace")
        .fetch_all(readers)
        .await
        .map_err(database("read the quotas"))?;
    rows.iter().map(quota_row).collect()
}

pub(super) async fn set_quota(
    connection: &mut SqliteConnection,
    namespace: &Namespace,
    quota: Option<&Quota>,
) -> Result<()> {
    let action = "change a quota";
    let Some(quota) = quota else {
        let deleted = sqlx::query("DELETE FROM namespace_quotas WHERE namespace = ?1")
            .bind(namespace.as_str())
            .execute(connection)
            .await;
        return deleted.map(drop).map_err(database(action));
    };
    sqlx::query(
        "INSERT OR REPLACE INTO namespace_quotas (namespace, weight, min_share, max_runs, max_queued_runs, max_tasks, \
         max_memory_bytes, max_storage_bytes, submissions_per_minute, submission_burst, updated_at) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
    )
    .bind(namespace.as_str())
    .bind(i64::from(quota.weight))
    .bind(i64::from(quota.min_share))
    .bind(quota.max_runs.map(i64::from))
    .bind(quota.max_queued_runs.map(i64::from))
    .bind(quota.max_tasks.map(i64::from))
    .bind(quota.max_memory_bytes.map(to_i64))
    .bind(quota.max_storage_bytes.map(to_i64))
    .bind(quota.submissions_per_minute.map(i64::from))
    .bind(i64::from(quota.submission_burst))
    .bind(to_i64(clock::now().0))
    .execute(connection)
    .await
    .map(drop)
    .map_err(database(action))
}

/// The time until there is a token, when there is none.
pub(super) async fn take_submission(
    connection: &mut SqliteConnection,
    namespace: &Namespace,
    rate: Rate,
) -> Result<Option<Duration>> {
    let action = "count a submission";
    let (interval, slack) = rate.micros();
    let now = to_i64(clock::now().0.saturating_mul(1_000));
    let full_at: Option<i64> = sqlx::query_scalar("SELECT full_at FROM submission_buckets WHERE namespace = ?1")
        .bind(namespace.as_str())
        .fetch_optional(&mut *connection)
        .await
        .map_err(database(action))?;
    let full_at = full_at.unwrap_or(now).max(now);
    let wait = full_at.saturating_sub(slack).saturating_sub(now);
    if wait > 0 {
        return Ok(Some(Duration::from_micros(to_u64(wait))));
    }
    sqlx::query("INSERT OR REPLACE INTO submission_buckets (namespace, full_at) VALUES (?1, ?2)")
        .bind(namespace.as_str())
        .bind(full_at.saturating_add(interval))
        .execute(connection)
        .await
        .map_err(database(action))?;
    Ok(None)
}

pub(super) async fn request(readers: &SqlitePool, namespace: &Namespace, key: &str) -> Result<Option<(Digest, RunId)>> {
    let action = "look for a request";
    let row = sqlx::query("SELECT digest, run_id FROM requests WHERE namespace = ?1 AND key = ?2")
        .bind(namespace.as_str())
        .bind(key)
        .fetch_optional(readers)
        .await
        .map_err(database(action))?;
    let read = |row: SqliteRow| {
        let (digest, run): (String, String) = (
            row.try_get(0).map_err(database(action))?,
            row.try_get(1).map_err(database(action))?,
        );
        Ok((
            digest.parse().map_err(|e| unreadable(&run, e))?,
            run.parse().map_err(|e| unreadable(&run, e))?,
        ))
    };
    row.map(read).transpose()
}
