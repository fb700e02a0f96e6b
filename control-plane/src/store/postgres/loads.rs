//! What the runs of namespaces take, and their submissions, by the clock of the database.

use std::time::Duration;

use sqlx::postgres::PgPool;
use weir_model::Namespace;

use super::connect::within;
use super::now_ms;
use crate::quotas::Rate;
use crate::store::Error;
use crate::store::encoding::to_u64;
use crate::store::quotas::load_row;
use crate::store::relational::Columns;
use crate::store::types::NamespaceLoad;

type Result<T> = std::result::Result<T, Error>;

/// The time of day by the database's clock, in microseconds.
macro_rules! now_us {
    () => {
        "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
    };
}

pub(super) async fn of(pool: &PgPool, namespace: Option<&Namespace>) -> Result<Vec<NamespaceLoad>> {
    let action = "sum what namespaces use";
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
    let rows = within(action, summing.fetch_all(pool)).await?;
    let load = |row| load_row(row).map_err(|source| Error::Database { action, source });
    rows.iter().map(|row| load(row as &dyn Columns)).collect()
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
