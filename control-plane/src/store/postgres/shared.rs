//! What processes tell each other: who takes over, reports, workers, leaders. Each is one statement by itself, so that
//! none holds a lock while it waits for another.

use std::time::Duration;

use sqlx::Row as _;
use sqlx::postgres::{PgPool, PgRow};
use weir_model::{RunId, Timestamp};

use super::connect::{failed, within};
use super::now_ms;
use super::writing::millis;
use crate::store::Error;
use crate::store::encoding::{delete_pieces, to_i64, to_u64, unreadable};
use crate::store::types::{Acquired, ForwardedReport, InboxReport, Lease, WorkerRow};
use crate::store::workers::tasks_of;

type Result<T> = std::result::Result<T, Error>;

pub(super) async fn acquire(pool: &PgPool, run: RunId, owner: &str, ttl: Duration) -> Result<Acquired> {
    let action = "take a run over";
    let taking = sqlx::query_scalar::<_, i64>(concat!(
        "WITH taken AS (
            UPDATE run_leases SET epoch = epoch + 1, owner = $2, until = ",
        now_ms!(),
        " + $3
            WHERE run_id = $1 AND (owner IS NULL OR until <= ",
        now_ms!(),
        ") RETURNING run_id, epoch
        ), told AS (
            SELECT pg_notify('weir', 'runs ' || run_id) FROM taken
        )
        SELECT epoch FROM taken, told"
    ))
    .bind(run.to_string())
    .bind(owner)
    .bind(millis(ttl));
    if let Some(epoch) = within(action, taking.fetch_optional(pool)).await? {
        let epoch = to_u64(epoch);
        return Ok(Acquired::Lease(Lease { run, epoch }));
    }
    let holder =
        sqlx::query("SELECT coalesce(owner, ''), until FROM run_leases WHERE run_id = $1").bind(run.to_string());
    let Some(row) = within(action, holder.fetch_optional(pool)).await? else {
        return Ok(Acquired::Nothing);
    };
    Ok(Acquired::Held {
        owner: row.try_get(0).map_err(failed(action))?,
        until: Timestamp(to_u64(row.try_get(1).map_err(failed(action))?)),
    })
}

pub(super) async fn request_cancel(pool: &PgPool, run: RunId, by: &str) -> Result<bool> {
    let asking = sqlx::query(
        "WITH asked AS (
            UPDATE runs SET cancel_requested_by = coalesce(cancel_requested_by, $2), restart_at = NULL
            WHERE id = $1 AND (outcome IS NULL OR restart_at IS NOT NULL)
            RETURNING id
        )
        SELECT pg_notify('weir', 'cancel ' || id) FROM asked",
    )
    .bind(run.to_string())
    .bind(by);
    let asked = within("request a cancellation", asking.fetch_optional(pool)).await?;
    Ok(asked.is_some())
}

pub(super) async fn request_pause(pool: &PgPool, run: RunId, by: Option<&str>) -> Result<bool> {
    let asking = sqlx::query(
        "WITH asked AS (
            UPDATE runs SET pause_requested_by = $2 WHERE id = $1 AND outcome IS NULL RETURNING id
        )
        SELECT pg_notify('weir', 'pause ' || id) FROM asked",
    )
    .bind(run.to_string())
    .bind(by);
    let asked = within("request a pause", asking.fetch_optional(pool)).await?;
    Ok(asked.is_some())
}

pub(super) async fn delete_run(pool: &PgPool, run: RunId) -> Result<bool> {
    // Each piece by itself stays far below the time that a statement may take.
    let length = sqlx::query_scalar::<_, i64>("SELECT last_seq FROM runs WHERE id = $1 AND cleaned");
    let length = within("delete a run", length.bind(run.to_string()).fetch_optional(pool)).await?;
    let Some(length) = length else { return Ok(false) };
    for after_seq in delete_pieces(to_u64(length)) {
        let deleting = sqlx::query("DELETE FROM run_events WHERE run_id = $1 AND seq > $2")
            .bind(run.to_string())
            .bind(to_i64(after_seq));
        within("delete the events of a run", deleting.execute(pool)).await?;
    }
    let deleting = sqlx::query(
        "WITH gone AS (DELETE FROM runs WHERE id = $1 AND cleaned RETURNING id),
        events AS (DELETE FROM run_events USING gone WHERE run_id = gone.id),
        reports AS (DELETE FROM reports USING gone WHERE run_id = gone.id),
        requests AS (DELETE FROM requests USING gone WHERE run_id = gone.id),
        labels AS (DELETE FROM run_labels USING gone WHERE run_id = gone.id)
        SELECT id FROM gone",
    )
    .bind(run.to_string())
    .fetch_optional(pool);
    Ok(within("delete a run", deleting).await?.is_some())
}

pub(super) async fn reports_forward(pool: &PgPool, reports: &[ForwardedReport]) -> Result<()> {
    if reports.is_empty() {
        return Ok(());
    }
    let forwarding = sqlx::query(
        "WITH given AS (
            SELECT * FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS g (run_id, body, n)
        ), kept AS (
            INSERT INTO reports (run_id, body)
            SELECT g.run_id, g.body FROM given AS g
            JOIN run_leases AS l ON l.run_id = g.run_id
            JOIN runs AS r ON r.id = g.run_id AND r.outcome IS NULL
            ORDER BY g.n
            RETURNING run_id
        )
        SELECT pg_notify('weir', 'reports ' || owner) FROM (
            SELECT DISTINCT l.owner FROM kept JOIN run_leases AS l ON l.run_id = kept.run_id WHERE l.owner IS NOT NULL
        ) AS owners",
    )
    .bind(reports.iter().map(|report| report.run.to_string()).collect::<Vec<_>>())
    .bind(reports.iter().map(|report| report.body.as_str()).collect::<Vec<_>>());
    within("forward reports", forwarding.fetch_all(pool)).await.map(drop)
}

pub(super) async fn reports_take(pool: &PgPool, owner: &str, held: &[u64], limit: u32) -> Result<Vec<InboxReport>> {
    let action = "take forwarded reports";
    let taking = sqlx::query(
        "SELECT p.id, p.run_id, p.body FROM run_leases AS l JOIN reports AS p ON p.run_id = l.run_id
        WHERE l.owner = $1 AND p.id <> ALL ($2) ORDER BY p.id LIMIT $3",
    )
    .bind(owner)
    .bind(ids(held))
    .bind(i64::from(limit));
    let rows = within(action, taking.fetch_all(pool)).await?;
    let report = |row: &PgRow| {
        let run: String = row.try_get(1).map_err(failed(action))?;
        Ok(InboxReport {
            id: to_u64(row.try_get(0).map_err(failed(action))?),
            run: run.parse().map_err(|e| unreadable(&run, e))?,
            body: row.try_get(2).map_err(failed(action))?,
        })
    };
    rows.iter().map(report).collect()
}

pub(super) async fn reports_done(pool: &PgPool, done: &[u64]) -> Result<()> {
    if done.is_empty() {
        return Ok(());
    }
    let deleting = sqlx::query("DELETE FROM reports WHERE id = ANY ($1)").bind(ids(done));
    within("delete forwarded reports", deleting.execute(pool))
        .await
        .map(drop)
}

pub(super) async fn workers_seen(pool: &PgPool, workers: &[WorkerRow]) -> Result<()> {
    if workers.is_empty() {
        return Ok(());
    }
    let number = |of: fn(&WorkerRow) -> u64| workers.iter().map(|worker| to_i64(of(worker))).collect::<Vec<_>>();
    // In one order, so that two that note the same workers do not wait for each other.
    let noting = sqlx::query(
        "INSERT INTO workers AS known (id, seen_at, started_at, slots, running, draining, version, host, tasks)
        SELECT DISTINCT ON (id) * FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[],
            $6::boolean[], $7::text[], $8::text[], $9::text[])
            AS s (id, seen_at, started_at, slots, running, draining, version, host, tasks)
        ORDER BY id, seen_at DESC
        ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at, started_at = excluded.started_at,
            slots = excluded.slots, running = excluded.running, draining = excluded.draining,
            version = excluded.version, host = excluded.host, tasks = excluded.tasks
        WHERE excluded.seen_at > known.seen_at",
    )
    .bind(
        workers
            .iter()
            .map(|worker| worker.worker.to_string())
            .collect::<Vec<_>>(),
    )
    .bind(number(|worker| worker.seen_at.0))
    .bind(number(|worker| worker.started_at.0))
    .bind(number(|worker| worker.slots.into()))
    .bind(number(|worker| worker.running.into()))
    .bind(workers.iter().map(|worker| worker.draining).collect::<Vec<_>>())
    .bind(workers.iter().map(|worker| worker.version.as_str()).collect::<Vec<_>>())
    .bind(workers.iter().map(|worker| worker.host.as_str()).collect::<Vec<_>>())
    .bind(workers.iter().map(tasks_of).collect::<Vec<_>>());
    within("note workers", noting.execute(pool)).await.map(drop)
}

pub(super) async fn lead(pool: &PgPool, name: &str, owner: &str, ttl: Duration) -> Result<bool> {
    let leading = sqlx::query(concat!(
        "INSERT INTO leaders AS known (name, owner, until) VALUES ($1, $2, ",
        now_ms!(),
        " + $3)
        ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, until = excluded.until
        WHERE known.owner = excluded.owner OR known.until <= ",
        now_ms!()
    ))
    .bind(name)
    .bind(owner)
    .bind(millis(ttl));
    let changed = within("become the leader", leading.execute(pool)).await?;
    Ok(changed.rows_affected() > 0)
}

pub(super) async fn end_lead(pool: &PgPool, name: &str, owner: &str) -> Result<()> {
    let ending = sqlx::query("DELETE FROM leaders WHERE name = $1 AND owner = $2")
        .bind(name)
        .bind(owner);
    within("end a leadership", ending.execute(pool)).await.map(drop)
}

fn ids(ids: &[u64]) -> Vec<i64> {
    ids.iter().map(|id| to_i64(*id)).collect()
}
