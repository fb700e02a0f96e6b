//! What namespaces may use, and what they use.

use std::time::Duration;

use sqlx::Row as _;
use sqlx::postgres::{PgPool, PgRow};
use weir_model::{Digest, Namespace, RunId};
use weir_platform::clock;

use super::connect::{failed, within};
use super::now_ms;
use crate::quotas::{Quota, Rate};
use crate::store::Error;
use crate::store::encoding::{to_i64, to_u64, unreadable};
use crate::store::rows::{load_row, quota_row};
use crate::store::types::NamespaceLoad;

type Result<T> = std::result::Result<T, Error>;

/// The time of day by the database's clock, in microseconds.
macro_rules! now_us {
    () => {
        "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
    };
}

pub(super) async fn loads(pool: &PgPool, namespace: Option<&Namespace>) -> Result<Vec<NamespaceLoad>> {
    let summing = sqlx::query(concat!(
        "WITH open AS (
            SELECT r.namespace, l.owner, r.tasks_waiting, r.tasks_running, r.tasks_sent,
                l.last_seq <= 1 AND (l.owner IS NULL OR l.until <= ",
        now_ms!(),
        ") AS queued
            FROM runs AS r JOIN run_leases AS l ON l.run_id = r.id
            WHERE NOT r.cleaned AND r.outcome IS NULL AND ($1::text IS NULL OR r.namespace = $1)
        )
        SELECT namespace, owner, count(*) FILTER (WHERE queued) AS queued, count(*) FILTER (WHERE NOT queued) AS active,
            count(*) FILTER (WHERE tasks_waiting + tasks_running > 0) AS working,
            coalesce(sum(tasks_waiting), 0)::bigint AS waiting, coalesce(sum(tasks_running), 0)::bigint AS running,
            coalesce(sum(greatest(tasks_sent, tasks_running)), 0)::bigint AS sent
        FROM open GROUP BY namespace, owner"
    ))
    .bind(namespace.map(Namespace::as_str));
    let rows = within("sum what namespaces use", summing.fetch_all(pool)).await?;
    rows.iter().map(load_row).collect()
}

pub(super) async fn kept_bytes(pool: &PgPool, namespace: &Namespace) -> Result<u64> {
    let summing = sqlx::query_scalar::<_, i64>(
        "SELECT coalesce(sum(kept_bytes), 0)::bigint FROM runs WHERE namespace = $1 AND kept_bytes > 0",
    )
    .bind(namespace.as_str());
    within("sum what results take", summing.fetch_one(pool))
        .await
        .map(to_u64)
}

pub(super) async fn quotas(pool: &PgPool) -> Result<Vec<(Namespace, Quota)>> {
    let listing = sqlx::query("SELECT * FROM namespace_quotas ORDER BY namespace");
    let rows = within("read the quotas", listing.fetch_all(pool)).await?;
    rows.iter().map(quota_row).collect()
}

pub(super) async fn set_quota(pool: &PgPool, namespace: &Namespace, quota: Option<&Quota>) -> Result<()> {
    let action = "change a quota";
    let Some(quota) = quota else {
        let deleting = sqlx::query("DELETE FROM namespace_quotas WHERE namespace = $1").bind(namespace.as_str());
        return within(action, deleting.execute(pool)).await.map(drop);
    };
    let setting = sqlx::query(
        "INSERT INTO namespace_quotas (namespace, weight, min_share, max_runs, max_queued_runs, max_tasks,
            max_memory_bytes, max_storage_bytes, submissions_per_minute, submission_burst, updated_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
        ON CONFLICT (namespace) DO UPDATE SET weight = excluded.weight, min_share = excluded.min_share,
            max_runs = excluded.max_runs, max_queued_runs = excluded.max_queued_runs,
            max_tasks = excluded.max_tasks, max_memory_bytes = excluded.max_memory_bytes,
            max_storage_bytes = excluded.max_storage_bytes,
            submissions_per_minute = excluded.submissions_per_minute,
            submission_burst = excluded.submission_burst, updated_at = excluded.updated_at",
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
    .bind(to_i64(clock::now().0));
    within(action, setting.execute(pool)).await.map(drop)
}

pub(super) async fn take_submission(pool: &PgPool, namespace: &Namespace, rate: Rate) -> Result<Option<Duration>> {
    let action = "count a submission";
    let (interval, slack) = rate.micros();
    let taking = sqlx::query(concat!(
        "INSERT INTO submission_buckets AS known (namespace, full_at) VALUES ($1, ",
        now_us!(),
        " + $2)
        ON CONFLICT (namespace) DO UPDATE SET full_at = greatest(known.full_at, ",
        now_us!(),
        ") + $2 WHERE known.full_at <= ",
        now_us!(),
        " + $3"
    ))
    .bind(namespace.as_str())
    .bind(interval)
    .bind(slack);
    if within(action, taking.execute(pool)).await?.rows_affected() > 0 {
        return Ok(None);
    }
    let waiting = sqlx::query_scalar::<_, i64>(concat!(
        "SELECT full_at - $2 - ",
        now_us!(),
        " FROM submission_buckets WHERE namespace = $1"
    ))
    .bind(namespace.as_str())
    .bind(slack);
    let wait = within(action, waiting.fetch_optional(pool)).await?;
    Ok(Some(Duration::from_micros(to_u64(wait.unwrap_or(0)))))
}

pub(super) async fn request(pool: &PgPool, namespace: &Namespace, key: &str) -> Result<Option<(Digest, RunId)>> {
    let action = "look for a request";
    let looking = sqlx::query("SELECT digest, run_id FROM requests WHERE namespace = $1 AND key = $2")
        .bind(namespace.as_str())
        .bind(key);
    let row = within(action, looking.fetch_optional(pool)).await?;
    let read = |row: PgRow| {
        let (digest, run): (String, String) = (
            row.try_get(0).map_err(failed(action))?,
            row.try_get(1).map_err(failed(action))?,
        );
        Ok((
            digest.parse().map_err(|e| unreadable(&run, e))?,
            run.parse().map_err(|e| unreadable(&run, e))?,
        ))
    };
    row.map(read).transpose()
}
