//! What the owners of runs write, many of them in one transaction.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, Row as _};
use weir_model::RunId;

use super::append::{Append, append, fits};
use super::connect::{CALL_TIMEOUT, Connector, failed, unavailable};
use super::now_ms;
use crate::store::Error;
use crate::store::encoding::{to_i64, unreadable};
use crate::store::types::{Created, Lease, Renewal};
use crate::store::writer::{Backend, NewRun};

type Result<T> = std::result::Result<T, Error>;

/// A write by the owner of runs.
pub(super) enum Op {
    Create(NewRun),
    Append(Append),
    Cleaned { lease: Lease, kept_bytes: u64 },
    Renew { leases: Vec<Lease>, ttl: Duration },
    Release(Lease),
}

/// What a write is answered by.
pub(super) enum Reply {
    Done,
    Created(Created),
    Renewed(Vec<Option<Renewal>>),
}

/// After so long without a write a connection has to show that it works: networks forget those that say nothing.
const IDLE: Duration = Duration::from_secs(30);
/// How long that may take.
const SIGN_OF_LIFE: Duration = Duration::from_secs(1);

/// A connection that is opened again when it is lost.
pub(super) struct Writing {
    connector: Arc<Connector>,
    connection: Option<PgConnection>,
    used: Instant,
}

impl Writing {
    pub(super) fn new(connector: Arc<Connector>) -> Self {
        Self {
            connector,
            connection: None,
            used: Instant::now(),
        }
    }

    async fn connection(&mut self) -> Result<PgConnection> {
        if let Some(mut connection) = self.connection.take() {
            let works = self.used.elapsed() < IDLE
                || matches!(tokio::time::timeout(SIGN_OF_LIFE, connection.ping()).await, Ok(Ok(())));
            if works {
                return Ok(connection);
            }
        }
        self.connector.connect().await
    }
}

impl Backend for Writing {
    type Op = Op;
    type Reply = Reply;
    // Their names must fit into one notification of 8,000 bytes.
    const BATCH: usize = 256;

    async fn perform_all(&mut self, ops: &[Op]) -> Result<Vec<Result<Reply>>> {
        let mut connection = self.connection().await?;
        let performed = tokio::time::timeout(CALL_TIMEOUT, perform_all(&mut connection, ops)).await;
        let result = performed.unwrap_or_else(|elapsed| Err(unavailable("write to the database", elapsed)));
        if !matches!(result, Err(Error::Unavailable { .. })) {
            self.connection = Some(connection);
            self.used = Instant::now();
        }
        result
    }

    async fn close(self) {
        if let Some(connection) = self.connection {
            // Whatever becomes of it, the database has what was answered.
            let _ = tokio::time::timeout(CALL_TIMEOUT, connection.close()).await;
        }
    }
}

/// Writes that go together.
enum Step<'a> {
    Appends(Vec<(usize, &'a Append)>),
    Other(usize, &'a Op),
}

async fn perform_all(connection: &mut PgConnection, ops: &[Op]) -> Result<Vec<Result<Reply>>> {
    let steps = steps(ops);
    let mut results: Vec<Option<Result<Reply>>> = ops.iter().map(|_| None).collect();
    if let [Step::Appends(appends)] = steps.as_slice() {
        // One statement is a transaction by itself.
        perform_appends(connection, appends, &mut results).await?;
    } else {
        let mut transaction = connection.begin().await.map_err(failed("begin a transaction"))?;
        for step in &steps {
            match step {
                Step::Appends(appends) => perform_appends(&mut transaction, appends, &mut results).await?,
                Step::Other(at, op) => match perform(&mut transaction, op).await {
                    Err(error) if error.is_transient() => return Err(error),
                    result => results[*at] = Some(result),
                },
            }
        }
        transaction.commit().await.map_err(failed("commit"))?;
    }
    let missing = || Err(unavailable("write to the database", "a write was left out"));
    Ok(results
        .into_iter()
        .map(|result| result.unwrap_or_else(missing))
        .collect())
}

/// Puts appends of different runs together, as far as they do not overtake other writes.
fn steps(ops: &[Op]) -> Vec<Step<'_>> {
    let mut steps = Vec::new();
    let (mut appends, mut runs, mut bytes) = (Vec::new(), HashSet::<RunId>::new(), 0);
    for (at, op) in ops.iter().enumerate() {
        let Op::Append(append) = op else {
            if !appends.is_empty() {
                steps.push(Step::Appends(std::mem::take(&mut appends)));
                (runs, bytes) = Default::default();
            }
            steps.push(Step::Other(at, op));
            continue;
        };
        if !fits(&runs, bytes, append) {
            steps.push(Step::Appends(std::mem::take(&mut appends)));
            (runs, bytes) = Default::default();
        }
        runs.insert(append.lease.run);
        bytes += append.bytes();
        appends.push((at, append));
    }
    if !appends.is_empty() {
        steps.push(Step::Appends(appends));
    }
    steps
}

async fn perform_appends(
    connection: &mut PgConnection,
    appends: &[(usize, &Append)],
    results: &mut [Option<Result<Reply>>],
) -> Result<()> {
    let mut sorted = appends.to_vec();
    sorted.sort_by_key(|(_, append)| append.lease.run);
    let given: Vec<&Append> = sorted.iter().map(|(_, append)| *append).collect();
    let answers = append(connection, &given).await?;
    for ((at, _), answer) in sorted.iter().zip(answers) {
        results[*at] = Some(answer.map(|()| Reply::Done));
    }
    Ok(())
}

async fn perform(connection: &mut PgConnection, op: &Op) -> Result<Reply> {
    match op {
        Op::Create(new) => create(connection, new).await.map(Reply::Created),
        Op::Append(_) => unreachable!("appends are performed together"),
        Op::Cleaned { lease, kept_bytes } => cleaned(connection, lease, *kept_bytes).await.map(|()| Reply::Done),
        Op::Renew { leases, ttl } => renew(connection, leases, *ttl).await.map(Reply::Renewed),
        Op::Release(lease) => release(connection, lease).await.map(|()| Reply::Done),
    }
}

async fn create(connection: &mut PgConnection, new: &NewRun) -> Result<Created> {
    let run = new.run.to_string();
    if let Some(existing) = claim_request(connection, new).await? {
        return Ok(existing);
    }
    let inserted = sqlx::query(concat!(
        "WITH new AS (
            INSERT INTO runs (id, namespace, name, phase, created_at, pipeline, pipeline_version, schedule,
                scheduled_at, created_by, labels, words)
            VALUES ($1, $2, $3, 'planning', $4, $11, $12, $13, $14, $15, $16, $17)
            ON CONFLICT DO NOTHING RETURNING id
        ), lease AS (
            INSERT INTO run_leases (run_id, epoch, owner, until, last_seq, dispatched_seq)
            SELECT id, 1, $5, ",
        now_ms!(),
        " + $6, $7, 0 FROM new
        ), events AS (
            INSERT INTO run_events (run_id, seq, at, payload)
            SELECT id, e.* FROM new, unnest($8::bigint[], $9::bigint[], $10::text[]) AS e
        ), labels AS (
            INSERT INTO run_labels (namespace, label, run_id)
            SELECT DISTINCT $2, label, id FROM new, unnest($18::text[]) AS label
        )
        SELECT 1 FROM new"
    ))
    .bind(&run)
    .bind(&new.namespace)
    .bind(&new.name)
    .bind(to_i64(new.created_at.0))
    .bind(&new.owner)
    .bind(millis(new.ttl))
    .bind(to_i64(new.last_seq()))
    .bind(new.events.iter().map(|event| to_i64(event.seq)).collect::<Vec<_>>())
    .bind(new.events.iter().map(|event| to_i64(event.at.0)).collect::<Vec<_>>())
    .bind(
        new.events
            .iter()
            .map(|event| event.payload.as_str())
            .collect::<Vec<_>>(),
    )
    .bind(new.pipeline_name())
    .bind(new.pipeline_version())
    .bind(new.schedule_name())
    .bind(new.scheduled_at())
    .bind(&new.created_by)
    .bind(&new.labels)
    .bind(&new.words)
    .bind(&new.found_by)
    .fetch_optional(&mut *connection)
    .await
    .map_err(failed("create a run"))?;
    let lease = Lease { run: new.run, epoch: 1 };
    if inserted.is_some() {
        return Ok(Created::Lease(lease));
    }
    // Made by an earlier try whose answer was lost, if it is as new as it was.
    let ours = sqlx::query("SELECT 1 FROM run_leases WHERE run_id = $1 AND epoch = 1 AND owner = $2 AND last_seq = $3")
        .bind(&run)
        .bind(&new.owner)
        .bind(to_i64(new.last_seq()))
        .fetch_optional(connection)
        .await
        .map_err(failed("create a run"))?;
    match ours {
        Some(_) => Ok(Created::Lease(lease)),
        None => Err(Error::Exists { run: new.run }),
    }
}

/// Notes a request by its key; gives the run that another request with this key made. It goes first: whoever is second
/// waits here for the transaction of the first.
async fn claim_request(connection: &mut PgConnection, new: &NewRun) -> Result<Option<Created>> {
    let Some(request) = &new.idempotency else {
        return Ok(None);
    };
    let action = "note a request";
    let (run, digest) = (new.run.to_string(), request.digest.to_string());
    // The key of a run that is there already goes to nobody: such a create is refused.
    let claimed = sqlx::query(
        "INSERT INTO requests (namespace, key, digest, run_id, created_at)
        SELECT $1, $2, $3, $4, $5 WHERE NOT EXISTS (SELECT 1 FROM runs WHERE id = $4) ON CONFLICT DO NOTHING",
    )
    .bind(&new.namespace)
    .bind(&request.key)
    .bind(&digest)
    .bind(&run)
    .bind(to_i64(new.created_at.0))
    .execute(&mut *connection)
    .await
    .map_err(failed(action))?;
    if claimed.rows_affected() > 0 {
        return Ok(None);
    }
    let known = sqlx::query("SELECT run_id, digest FROM requests WHERE namespace = $1 AND key = $2 AND run_id <> $3")
        .bind(&new.namespace)
        .bind(&request.key)
        .bind(&run)
        .fetch_optional(connection)
        .await
        .map_err(failed(action))?;
    let Some(row) = known else { return Ok(None) };
    let (run, known): (String, String) = (
        row.try_get(0).map_err(failed(action))?,
        row.try_get(1).map_err(failed(action))?,
    );
    Ok(Some(Created::Existing {
        run: run.parse().map_err(|e| unreadable(&run, e))?,
        same_request: known == digest,
    }))
}

async fn cleaned(connection: &mut PgConnection, lease: &Lease, kept_bytes: u64) -> Result<()> {
    let action = "finish a run";
    let (run, epoch) = (lease.run.to_string(), to_i64(lease.epoch));
    let cleaned = sqlx::query(
        "WITH gone AS (
            DELETE FROM run_leases WHERE run_id = $1 AND epoch = $2 RETURNING run_id, last_seq, dispatched_seq
        ), reports AS (
            DELETE FROM reports USING gone WHERE reports.run_id = gone.run_id
        ), done AS (
            UPDATE runs SET cleaned = true, last_seq = gone.last_seq, dispatched_seq = gone.dispatched_seq,
                lease_epoch = $2, kept_bytes = $3
            FROM gone WHERE id = gone.run_id RETURNING id
        )
        SELECT pg_notify('weir', 'runs ' || id) FROM done",
    )
    .bind(&run)
    .bind(epoch)
    .bind(to_i64(kept_bytes))
    .fetch_optional(&mut *connection)
    .await
    .map_err(failed(action))?;
    if cleaned.is_some() {
        return Ok(());
    }
    let before = sqlx::query("SELECT 1 FROM runs WHERE id = $1 AND cleaned AND lease_epoch = $2")
        .bind(&run)
        .bind(epoch)
        .fetch_optional(connection)
        .await
        .map_err(failed(action))?;
    before.map(drop).ok_or(Error::Fenced { run: lease.run })
}

async fn renew(connection: &mut PgConnection, leases: &[Lease], ttl: Duration) -> Result<Vec<Option<Renewal>>> {
    let action = "renew leases";
    let rows = sqlx::query(concat!(
        "WITH wanted AS (
            SELECT * FROM unnest($1::text[], $2::bigint[]) WITH ORDINALITY AS w (run_id, epoch, n)
        ), renewed AS (
            UPDATE run_leases AS l SET until = ",
        now_ms!(),
        " + $3
            FROM wanted AS w WHERE l.run_id = w.run_id AND l.epoch = w.epoch AND l.owner IS NOT NULL
            RETURNING w.n, l.run_id
        )
        SELECT renewed.n, runs.cancel_requested_by, runs.pause_requested_by FROM renewed JOIN runs ON runs.id = renewed.run_id"
    ))
    .bind(leases.iter().map(|lease| lease.run.to_string()).collect::<Vec<_>>())
    .bind(leases.iter().map(|lease| to_i64(lease.epoch)).collect::<Vec<_>>())
    .bind(millis(ttl))
    .fetch_all(connection)
    .await
    .map_err(failed(action))?;
    let mut renewals = vec![None; leases.len()];
    for row in rows {
        let n: i64 = row.try_get(0).map_err(failed(action))?;
        let renewal_of_row = Renewal {
            cancel_requested_by: row.try_get(1).map_err(failed(action))?,
            pause_requested_by: row.try_get(2).map_err(failed(action))?,
        };
        if let Some(renewal) = usize::try_from(n - 1).ok().and_then(|n| renewals.get_mut(n)) {
            *renewal = Some(renewal_of_row);
        }
    }
    Ok(renewals)
}

async fn release(connection: &mut PgConnection, lease: &Lease) -> Result<()> {
    sqlx::query(
        "WITH released AS (
            UPDATE run_leases SET owner = NULL, until = 0 WHERE run_id = $1 AND epoch = $2 RETURNING run_id
        )
        SELECT pg_notify('weir', 'runs ' || run_id) FROM released",
    )
    .bind(lease.run.to_string())
    .bind(to_i64(lease.epoch))
    .execute(connection)
    .await
    .map_err(failed("release a lease"))?;
    Ok(())
}

pub(super) fn millis(ttl: Duration) -> i64 {
    to_i64(u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX)).min(i64::from(u32::MAX) * 1_000)
}
