//! What the runs of namespaces take, and their submissions.

use std::time::Duration;

use sqlx::sqlite::{SqliteConnection, SqlitePool};
use weir_model::Namespace;
use weir_platform::clock;

use super::database;
use super::writing::Result;
use crate::quotas::Rate;
use crate::store::encoding::{to_i64, to_u64};
use crate::store::quotas::load_row;
use crate::store::relational::Columns;
use crate::store::types::NamespaceLoad;

pub(super) async fn of(readers: &SqlitePool, namespace: Option<&Namespace>) -> Result<Vec<NamespaceLoad>> {
    let action = "sum what namespaces use";
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
    .map_err(database(action))?;
    let load = |row| load_row(row).map_err(database(action));
    rows.iter().map(|row| load(row as &dyn Columns)).collect()
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
