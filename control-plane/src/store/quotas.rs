//! What namespaces may use, and what they use.

use weir_model::Namespace;
use weir_platform::clock;

use super::encoding::{to_i64, to_u32, to_u64};
use super::relational::{Columns, Relational, Statement};
use super::{Error, NamespaceLoad};
use crate::quotas::Quota;

type Result<T> = std::result::Result<T, Error>;
type Read<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

pub(super) async fn kept_bytes(store: &impl Relational, namespace: &Namespace) -> Result<u64> {
    let sum = Statement::new(
        "SELECT CAST(coalesce(sum(kept_bytes), 0) AS bigint) AS bytes FROM runs WHERE kept_bytes > 0 AND namespace = ",
    )
    .bind(namespace.as_str());
    let sums = store.select("sum what results take", sum, |row| row.number("bytes"));
    Ok(sums.await?.into_iter().map(to_u64).sum())
}

pub(super) async fn all(store: &impl Relational) -> Result<Vec<(Namespace, Quota)>> {
    let all = Statement::new("SELECT * FROM namespace_quotas ORDER BY namespace");
    store.select("read the quotas", all, quota_row).await
}

pub(super) async fn set(store: &impl Relational, namespace: &Namespace, quota: Option<&Quota>) -> Result<()> {
    let changing = match quota {
        None => Statement::new("DELETE FROM namespace_quotas WHERE namespace = ").bind(namespace.as_str()),
        Some(quota) => Statement::new(
            "INSERT INTO namespace_quotas (namespace, weight, min_share, max_runs, max_queued_runs, max_tasks, \
             max_memory_bytes, max_storage_bytes, submissions_per_minute, submission_burst, updated_at) VALUES ",
        )
        .bind_all([
            namespace.as_str().into(),
            i64::from(quota.weight).into(),
            i64::from(quota.min_share).into(),
            quota.max_runs.map(i64::from).into(),
            quota.max_queued_runs.map(i64::from).into(),
            quota.max_tasks.map(i64::from).into(),
            quota.max_memory_bytes.map(to_i64).into(),
            quota.max_storage_bytes.map(to_i64).into(),
            quota.submissions_per_minute.map(i64::from).into(),
            i64::from(quota.submission_burst).into(),
            to_i64(clock::now().0).into(),
        ])
        .then(
            " ON CONFLICT (namespace) DO UPDATE SET weight = excluded.weight, min_share = excluded.min_share, \
             max_runs = excluded.max_runs, max_queued_runs = excluded.max_queued_runs, \
             max_tasks = excluded.max_tasks, max_memory_bytes = excluded.max_memory_bytes, \
             max_storage_bytes = excluded.max_storage_bytes, \
             submissions_per_minute = excluded.submissions_per_minute, \
             submission_burst = excluded.submission_burst, updated_at = excluded.updated_at",
        ),
    };
    store.execute("change a quota", vec![changing]).await.map(drop)
}

/// What the runs of a namespace and owner take.
pub(super) fn load_row(row: &dyn Columns) -> Read<NamespaceLoad> {
    let number = |column| row.number(column).map(to_u64);
    Ok(NamespaceLoad {
        namespace: row.text("namespace")?.parse()?,
        owner: row.optional_text("owner")?,
        queued: number("queued")?,
        active: number("active")?,
        working: number("working")?,
        waiting: number("waiting")?,
        running: number("running")?,
        sent: number("sent")?,
    })
}

/// A row of `namespace_quotas`.
fn quota_row(row: &dyn Columns) -> Read<(Namespace, Quota)> {
    let count = |column| row.number(column).map(to_u32);
    let limit = |column| row.optional_number(column);
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
    Ok((row.text("namespace")?.parse()?, quota))
}
