//! The one writer of an SQLite file in this process.
//!
//! SQLite has one writer at a time anyway. Giving it one connection, and committing everything that is waiting in one
//! transaction, makes many small runs as cheap as one large one.

use std::time::Duration;

use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection as _, QueryBuilder, Row as _};
use tokio::sync::{mpsc, oneshot};
use weir_model::{RunId, Timestamp};
use weir_platform::clock;

use super::presence::Presence;
use super::sqlite::{EncodedEvent, database, to_i64, to_u64, word};
use super::{Acquired, Error, Lease, Renewal, RunSummary};

/// Writes that wait at most; more callers wait for room.
const QUEUE: usize = 256;
/// Writes in one transaction.
const BATCH: usize = 64;
/// Rows in one insert statement; whole chunks share one prepared statement.
const INSERT_CHUNK: usize = 64;

type Result<T> = std::result::Result<T, Error>;

pub(super) struct NewRun {
    pub(super) run: RunId,
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) created_at: Timestamp,
    pub(super) owner: String,
    pub(super) ttl: Duration,
}

/// A write. One that is refused leaves nothing behind, so that it can share a transaction with others.
pub(super) enum Op {
    Create {
        new: NewRun,
        events: Vec<EncodedEvent>,
    },
    Append {
        lease: Lease,
        events: Vec<EncodedEvent>,
        summary: Option<RunSummary>,
    },
    RequestCancel {
        run: RunId,
        by: String,
    },
    Cleaned {
        lease: Lease,
    },
    Acquire {
        run: RunId,
        owner: String,
        ttl: Duration,
    },
    Renew {
        leases: Vec<Lease>,
        ttl: Duration,
    },
    Release {
        lease: Lease,
    },
}

pub(super) enum Reply {
    Done,
    Lease(Lease),
    Found(bool),
    Acquired(Acquired),
    Renewed(Vec<Option<Renewal>>),
}

type Request = (Op, oneshot::Sender<Result<Reply>>);

pub(super) struct Writer {
    requests: mpsc::Sender<Request>,
}

impl Writer {
    pub(super) fn start(connection: SqliteConnection, presence: Presence) -> Self {
        let (requests, receiver) = mpsc::channel(QUEUE);
        let writing = Writing { connection, presence };
        tokio::spawn(writing.serve(receiver));
        Self { requests }
    }

    pub(super) async fn submit(&self, op: Op) -> Result<Reply> {
        let gone = || database("write to the database")("its writer has ended");
        let (reply, answer) = oneshot::channel();
        self.requests.send((op, reply)).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

/// The connection, and the sign of life that goes into the leases.
struct Writing {
    connection: SqliteConnection,
    presence: Presence,
}

impl Writing {
    async fn serve(mut self, mut requests: mpsc::Receiver<Request>) {
        let mut batch = Vec::with_capacity(BATCH);
        while requests.recv_many(&mut batch, BATCH).await > 0 {
            let (ops, replies): (Vec<_>, Vec<_>) = batch.drain(..).unzip();
            match self.perform_all(&ops).await {
                Ok(results) => {
                    for (result, reply) in results.into_iter().zip(replies) {
                        // Whoever asked may be gone.
                        let _ = reply.send(result);
                    }
                }
                Err(_) => {
                    // The next try may succeed; or one of several is to blame, and a transaction of its own shows which.
                    for (op, reply) in ops.iter().zip(replies) {
                        let alone = self.perform_all(std::slice::from_ref(op)).await;
                        let result = alone.and_then(|mut results| results.pop().unwrap_or(Ok(Reply::Done)));
                        let _ = reply.send(result);
                    }
                }
            }
        }
        // Lets SQLite fold the write-ahead log into the file; without it the next process does that.
        let _ = self.connection.close().await;
    }

    /// Performs writes in one transaction. An error of the database undoes them all.
    async fn perform_all(&mut self, ops: &[Op]) -> Result<Vec<Result<Reply>>> {
        let mut transaction = self
            .connection
            .begin_with("BEGIN IMMEDIATE")
            .await
            .map_err(database("begin a transaction"))?;
        let mut results = Vec::with_capacity(ops.len());
        for op in ops {
            match perform(&mut transaction, &self.presence, op).await {
                Err(error @ Error::Database { .. }) => {
                    transaction.rollback().await.map_err(database("roll back"))?;
                    return Err(error);
                }
                result => results.push(result),
            }
        }
        transaction.commit().await.map_err(database("commit"))?;
        Ok(results)
    }
}

async fn perform(connection: &mut SqliteConnection, presence: &Presence, op: &Op) -> Result<Reply> {
    match op {
        Op::Create { new, events } => create(connection, presence, new, events).await,
        Op::Append { lease, events, summary } => append(connection, lease, events, summary.as_ref()).await,
        Op::RequestCancel { run, by } => request_cancel(connection, *run, by).await,
        Op::Cleaned { lease } => cleaned(connection, lease).await,
        Op::Acquire { run, owner, ttl } => acquire(connection, presence, *run, owner, *ttl).await,
        Op::Renew { leases, ttl } => renew(connection, leases, *ttl).await,
        Op::Release { lease } => release(connection, lease).await,
    }
}

async fn create(
    connection: &mut SqliteConnection,
    presence: &Presence,
    new: &NewRun,
    events: &[EncodedEvent],
) -> Result<Reply> {
    let inserted = sqlx::query(
        "INSERT INTO runs (id, namespace, name, phase, created_at, last_seq, lease_epoch, lease_owner, lease_until, \
         lease_token) VALUES (?1, ?2, ?3, 'planning', ?4, ?5, 1, ?6, ?7, ?8) ON CONFLICT DO NOTHING",
    )
    .bind(new.run.to_string())
    .bind(&new.namespace)
    .bind(&new.name)
    .bind(to_i64(new.created_at.0))
    .bind(to_i64(events.last().map_or(0, |event| event.seq)))
    .bind(&new.owner)
    .bind(until(new.ttl))
    .bind(presence.token())
    .execute(&mut *connection)
    .await
    .map_err(database("create a run"))?;
    if inserted.rows_affected() == 0 {
        return Err(Error::Exists { run: new.run });
    }
    insert_events(connection, new.run, events).await?;
    Ok(Reply::Lease(Lease { run: new.run, epoch: 1 }))
}

async fn append(
    connection: &mut SqliteConnection,
    lease: &Lease,
    events: &[EncodedEvent],
    summary: Option<&RunSummary>,
) -> Result<Reply> {
    let current =
        sqlx::query("SELECT last_seq FROM runs WHERE id = ?1 AND lease_epoch = ?2 AND lease_owner IS NOT NULL")
            .bind(lease.run.to_string())
            .bind(to_i64(lease.epoch))
            .fetch_optional(&mut *connection)
            .await
            .map_err(database("check a lease"))?;
    let fenced = Error::Fenced { run: lease.run };
    let Some(row) = current else { return Err(fenced) };
    let stored = to_u64(row.try_get(0).map_err(database("check a lease"))?);
    if let (Some(first), Some(last)) = (events.first(), events.last()) {
        if stored == last.seq {
            // An earlier try did it, and its answer was lost.
        } else if stored.checked_add(1) == Some(first.seq) {
            insert_events(connection, lease.run, events).await?;
            sqlx::query("UPDATE runs SET last_seq = ?2 WHERE id = ?1")
                .bind(lease.run.to_string())
                .bind(to_i64(last.seq))
                .execute(&mut *connection)
                .await
                .map_err(database("append events"))?;
        } else {
            return Err(fenced);
        }
    }
    if let Some(summary) = summary {
        update_summary(connection, lease.run, summary).await?;
    }
    Ok(Reply::Done)
}

async fn insert_events(connection: &mut SqliteConnection, run: RunId, events: &[EncodedEvent]) -> Result<()> {
    let run = run.to_string();
    for chunk in events.chunks(INSERT_CHUNK) {
        let mut query = QueryBuilder::new("INSERT INTO run_events (run_id, seq, at, payload) ");
        query.push_values(chunk, |mut row, event| {
            row.push_bind(&run)
                .push_bind(to_i64(event.seq))
                .push_bind(to_i64(event.at.0))
                .push_bind(&event.payload);
        });
        // Statements of the length that comes once are not worth a place in the cache.
        let persistent = matches!(chunk.len(), 1..=4 | INSERT_CHUNK);
        let insert = query.build().persistent(persistent);
        insert
            .execute(&mut *connection)
            .await
            .map_err(database("append events"))?;
    }
    Ok(())
}

async fn update_summary(connection: &mut SqliteConnection, run: RunId, summary: &RunSummary) -> Result<()> {
    let reason = summary.reason.as_ref().map(serde_json::to_string).transpose();
    let reason = reason.map_err(database("write the reason of a run"))?;
    sqlx::query(
        "UPDATE runs SET phase = ?2, outcome = ?3, reason = ?4, finished_at = ?5, stages = ?6, stages_done = ?7, \
         tasks = ?8, tasks_done = ?9 WHERE id = ?1",
    )
    .bind(run.to_string())
    .bind(word(&summary.phase))
    .bind(summary.outcome.as_ref().map(word))
    .bind(reason)
    .bind(summary.finished_at.map(|at| to_i64(at.0)))
    .bind(i64::from(summary.stages))
    .bind(i64::from(summary.stages_done))
    .bind(i64::from(summary.tasks))
    .bind(i64::from(summary.tasks_done))
    .execute(connection)
    .await
    .map_err(database("update a run"))?;
    Ok(())
}

async fn request_cancel(connection: &mut SqliteConnection, run: RunId, by: &str) -> Result<Reply> {
    let updated = sqlx::query(
        "UPDATE runs SET cancel_requested_by = coalesce(cancel_requested_by, ?2) WHERE id = ?1 AND outcome IS NULL",
    )
    .bind(run.to_string())
    .bind(by)
    .execute(connection)
    .await
    .map_err(database("request a cancellation"))?;
    Ok(Reply::Found(updated.rows_affected() > 0))
}

async fn cleaned(connection: &mut SqliteConnection, lease: &Lease) -> Result<Reply> {
    let updated = sqlx::query("UPDATE runs SET cleaned = 1, lease_owner = NULL WHERE id = ?1 AND lease_epoch = ?2")
        .bind(lease.run.to_string())
        .bind(to_i64(lease.epoch))
        .execute(connection)
        .await
        .map_err(database("finish a run"))?;
    if updated.rows_affected() == 0 {
        return Err(Error::Fenced { run: lease.run });
    }
    Ok(Reply::Done)
}

async fn acquire(
    connection: &mut SqliteConnection,
    presence: &Presence,
    run: RunId,
    owner: &str,
    ttl: Duration,
) -> Result<Reply> {
    let action = "take a run over";
    let row = sqlx::query(
        "SELECT lease_epoch, lease_owner, lease_until, lease_token FROM runs WHERE id = ?1 AND cleaned = 0",
    )
    .bind(run.to_string())
    .fetch_optional(&mut *connection)
    .await
    .map_err(database(action))?;
    let Some(row) = row else {
        return Ok(Reply::Acquired(Acquired::Nothing));
    };
    let held_by: Option<String> = row.try_get(1).map_err(database(action))?;
    let held_until = Timestamp(to_u64(row.try_get(2).map_err(database(action))?));
    let token: Option<String> = row.try_get(3).map_err(database(action))?;
    if let Some(held_by) = held_by
        && held_until > clock::now()
        && !token.is_some_and(|token| presence.is_dead(&token))
    {
        return Ok(Reply::Acquired(Acquired::Held {
            owner: held_by,
            until: held_until,
        }));
    }
    let epoch = to_u64(row.try_get(0).map_err(database(action))?) + 1;
    sqlx::query("UPDATE runs SET lease_epoch = ?2, lease_owner = ?3, lease_until = ?4, lease_token = ?5 WHERE id = ?1")
        .bind(run.to_string())
        .bind(to_i64(epoch))
        .bind(owner)
        .bind(until(ttl))
        .bind(presence.token())
        .execute(connection)
        .await
        .map_err(database(action))?;
    Ok(Reply::Acquired(Acquired::Lease(Lease { run, epoch })))
}

async fn renew(connection: &mut SqliteConnection, leases: &[Lease], ttl: Duration) -> Result<Reply> {
    let action = "renew a lease";
    let mut renewed = Vec::with_capacity(leases.len());
    for lease in leases {
        let row = sqlx::query(
            "UPDATE runs SET lease_until = ?3 WHERE id = ?1 AND lease_epoch = ?2 AND lease_owner IS NOT NULL \
             RETURNING cancel_requested_by",
        )
        .bind(lease.run.to_string())
        .bind(to_i64(lease.epoch))
        .bind(until(ttl))
        .fetch_optional(&mut *connection)
        .await
        .map_err(database(action))?;
        let renewal = |row: sqlx::sqlite::SqliteRow| {
            Ok(Renewal {
                cancel_requested_by: row.try_get(0).map_err(database(action))?,
            })
        };
        renewed.push(row.map(renewal).transpose()?);
    }
    Ok(Reply::Renewed(renewed))
}

async fn release(connection: &mut SqliteConnection, lease: &Lease) -> Result<Reply> {
    sqlx::query("UPDATE runs SET lease_owner = NULL, lease_until = 0 WHERE id = ?1 AND lease_epoch = ?2")
        .bind(lease.run.to_string())
        .bind(to_i64(lease.epoch))
        .execute(connection)
        .await
        .map_err(database("release a lease"))?;
    Ok(Reply::Done)
}

fn until(ttl: Duration) -> i64 {
    let ttl_ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
    to_i64(clock::now().plus_ms(ttl_ms).0)
}
