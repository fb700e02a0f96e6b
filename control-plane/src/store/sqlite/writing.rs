//! The one writer of an SQLite file in this process: SQLite has one writer at a time anyway.

use std::time::Duration;

use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection as _, QueryBuilder, Row as _};
use weir_model::{Namespace, RunId, Timestamp};
use weir_platform::clock;

use super::presence::Presence;
use super::{database, loads, pipelines, relational, shared};
use crate::quotas::Rate;
use crate::store::Error;
use crate::store::changes::{Announcer, Change};
use crate::store::encoding::{EncodedEvent, to_i64, to_u64, unreadable, word};
use crate::store::pipelines::{PipelineWrite, Written};
use crate::store::relational::Statement;
use crate::store::types::{Acquired, Created, ForwardedReport, Lease, Renewal, RunSummary, WorkerRow};
use crate::store::writer::{Backend, NewRun};

/// Rows in one insert statement; whole chunks share one prepared statement.
const INSERT_CHUNK: usize = 64;

pub(super) type Result<T> = std::result::Result<T, Error>;

/// A write.
pub(super) enum Op {
    Create {
        new: NewRun,
    },
    Append {
        lease: Lease,
        events: Vec<EncodedEvent>,
        summary: Option<RunSummary>,
        dispatched_seq: Option<u64>,
    },
    RequestCancel {
        run: RunId,
        by: String,
    },
    RequestPause {
        run: RunId,
        by: Option<String>,
    },
    Cleaned {
        lease: Lease,
        kept_bytes: u64,
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
    DeleteEvents {
        run: RunId,
        after_seq: u64,
    },
    Delete {
        run: RunId,
    },
    Forward {
        reports: Vec<ForwardedReport>,
    },
    ReportsDone {
        ids: Vec<u64>,
    },
    WorkersSeen {
        workers: Vec<WorkerRow>,
    },
    Lead {
        name: String,
        owner: String,
        ttl: Duration,
    },
    EndLead {
        name: String,
        owner: String,
    },
    TakeSubmission {
        namespace: Namespace,
        rate: Rate,
    },
    Execute {
        action: &'static str,
        statements: Vec<Statement>,
    },
    Pipelines {
        write: PipelineWrite,
    },
}

/// What a write is answered by.
pub(super) enum Reply {
    Done,
    Created(Created),
    /// Whether there was what was looked for, or what was wished for came true.
    Found(bool),
    /// How long to wait, if at all.
    Wait(Option<Duration>),
    /// The rows that each statement changed.
    Changed(Vec<u64>),
    Written(Written),
    Acquired(Acquired),
    Renewed(Vec<Option<Renewal>>),
    /// The owners that reports were left for.
    Forwarded(Vec<String>),
}

/// The connection, and the sign of life that goes into the leases.
pub(super) struct Writing {
    pub(super) connection: SqliteConnection,
    pub(super) presence: std::sync::Arc<Presence>,
    pub(super) announcer: Announcer,
}

impl Backend for Writing {
    type Op = Op;
    type Reply = Reply;
    const BATCH: usize = 64;

    async fn perform_all(&mut self, ops: &[Op]) -> Result<Vec<Result<Reply>>> {
        let mut transaction = self
            .connection
            .begin_with("BEGIN IMMEDIATE")
            .await
            .map_err(database("begin a transaction"))?;
        let mut results = Vec::with_capacity(ops.len());
        for op in ops {
            match perform(&mut transaction, &self.presence, op).await {
                Err(error) if error.is_transient() => {
                    transaction.rollback().await.map_err(database("roll back"))?;
                    return Err(error);
                }
                result => results.push(result),
            }
        }
        transaction.commit().await.map_err(database("commit"))?;
        for (op, result) in ops.iter().zip(&results) {
            self.announce(op, result);
        }
        Ok(results)
    }

    async fn close(self) {
        // Lets SQLite fold the write-ahead log into the file; without it the next process does that.
        let _ = self.connection.close().await;
    }
}

impl Writing {
    fn announce(&self, op: &Op, result: &Result<Reply>) {
        let Ok(reply) = result else { return };
        match (op, reply) {
            (
                Op::Append {
                    lease,
                    summary: Some(_),
                    ..
                }
                | Op::Cleaned { lease, .. }
                | Op::Release { lease },
                _,
            ) => {
                self.announcer.tell(Change::Run(lease.run));
            }
            (Op::Acquire { run, .. }, Reply::Acquired(Acquired::Lease(_))) => self.announcer.tell(Change::Run(*run)),
            (Op::RequestCancel { run, .. }, Reply::Found(true)) => self.announcer.tell(Change::Cancel(*run)),
            (Op::RequestPause { run, .. }, Reply::Found(true)) => self.announcer.tell(Change::Pause(*run)),
            (Op::Forward { .. }, Reply::Forwarded(owners)) => {
                for owner in owners {
                    let owner = owner.as_str().into();
                    self.announcer.tell(Change::Reports { owner });
                }
            }
            _ => {}
        }
    }
}

async fn perform(connection: &mut SqliteConnection, presence: &Presence, op: &Op) -> Result<Reply> {
    match op {
        Op::Create { new } => create(connection, presence, new).await.map(Reply::Created),
        Op::Append {
            lease,
            events,
            summary,
            dispatched_seq,
        } => append(connection, lease, events, summary.as_ref(), *dispatched_seq).await,
        Op::RequestCancel { run, by } => request_cancel(connection, *run, by).await,
        Op::RequestPause { run, by } => request_pause(connection, *run, by.as_deref()).await,
        Op::Cleaned { lease, kept_bytes } => cleaned(connection, lease, *kept_bytes).await,
        Op::Acquire { run, owner, ttl } => acquire(connection, presence, *run, owner, *ttl).await,
        Op::Renew { leases, ttl } => renew(connection, leases, *ttl).await,
        Op::Release { lease } => release(connection, lease).await,
        Op::DeleteEvents { run, after_seq } => shared::delete_events(connection, *run, *after_seq)
            .await
            .map(|()| Reply::Done),
        Op::Delete { run } => shared::delete_run(connection, *run).await.map(Reply::Found),
        Op::Forward { reports } => shared::forward(connection, reports).await.map(Reply::Forwarded),
        Op::ReportsDone { ids } => shared::reports_done(connection, ids).await.map(|()| Reply::Done),
        Op::WorkersSeen { workers } => shared::workers_seen(connection, workers).await.map(|()| Reply::Done),
        Op::Lead { name, owner, ttl } => shared::lead(connection, name, owner, *ttl).await.map(Reply::Found),
        Op::EndLead { name, owner } => shared::end_lead(connection, name, owner).await.map(|()| Reply::Done),
        Op::TakeSubmission { namespace, rate } => loads::take_submission(connection, namespace, *rate)
            .await
            .map(Reply::Wait),
        Op::Execute { action, statements } => {
            let changed = relational::execute(connection, action, statements).await;
            changed.map(Reply::Changed)
        }
        Op::Pipelines { write } => pipelines::write(connection, write).await.map(Reply::Written),
    }
}

async fn create(connection: &mut SqliteConnection, presence: &Presence, new: &NewRun) -> Result<Created> {
    let action = "create a run";
    let namespace = new.namespace.as_str();
    if let Some(request) = &new.idempotency {
        let known = sqlx::query("SELECT run_id, digest FROM requests WHERE namespace = ?1 AND key = ?2")
            .bind(namespace)
            .bind(&request.key)
            .fetch_optional(&mut *connection)
            .await
            .map_err(database(action))?;
        if let Some(row) = known {
            let (run, digest): (String, String) = (
                row.try_get(0).map_err(database(action))?,
                row.try_get(1).map_err(database(action))?,
            );
            let run = run.parse().map_err(|e| unreadable(&run, e))?;
            if run != new.run {
                let same_request = digest == request.digest.to_string();
                return Ok(Created::Existing { run, same_request });
            }
        }
    }
    let inserted = sqlx::query(
        "INSERT INTO runs (id, namespace, name, phase, created_at, last_seq, lease_epoch, lease_owner, lease_until, \
         lease_token, pipeline, pipeline_version, schedule, scheduled_at, created_by, labels, words) \
         VALUES (?1, ?2, ?3, 'planning', ?4, ?5, 1, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15) \
         ON CONFLICT DO NOTHING",
    )
    .bind(new.run.to_string())
    .bind(namespace)
    .bind(&new.name)
    .bind(to_i64(new.created_at.0))
    .bind(to_i64(new.last_seq()))
    .bind(&new.owner)
    .bind(until(new.ttl))
    .bind(presence.token())
    .bind(new.pipeline_name())
    .bind(new.pipeline_version())
    .bind(new.schedule_name())
    .bind(new.scheduled_at())
    .bind(&new.created_by)
    .bind(&new.labels)
    .bind(&new.words)
    .execute(&mut *connection)
    .await
    .map_err(database(action))?;
    let lease = Lease { run: new.run, epoch: 1 };
    if inserted.rows_affected() == 0 {
        // Made by an earlier try whose answer was lost, if it is as new as it was.
        let ours =
            sqlx::query("SELECT 1 FROM runs WHERE id = ?1 AND lease_epoch = 1 AND lease_owner = ?2 AND last_seq = ?3")
                .bind(new.run.to_string())
                .bind(&new.owner)
                .bind(to_i64(new.last_seq()));
        return match ours.fetch_optional(connection).await.map_err(database(action))? {
            Some(_) => Ok(Created::Lease(lease)),
            None => Err(Error::Exists { run: new.run }),
        };
    }
    insert_events(connection, new.run, &new.events).await?;
    for label in &new.found_by {
        sqlx::query("INSERT OR IGNORE INTO run_labels (namespace, label, run_id) VALUES (?1, ?2, ?3)")
            .bind(namespace)
            .bind(label)
            .bind(new.run.to_string())
            .execute(&mut *connection)
            .await
            .map_err(database(action))?;
    }
    if let Some(request) = &new.idempotency {
        sqlx::query("INSERT INTO requests (namespace, key, digest, run_id, created_at) VALUES (?1, ?2, ?3, ?4, ?5)")
            .bind(namespace)
            .bind(&request.key)
            .bind(request.digest.to_string())
            .bind(new.run.to_string())
            .bind(to_i64(new.created_at.0))
            .execute(connection)
            .await
            .map_err(database(action))?;
    }
    Ok(Created::Lease(lease))
}

async fn append(
    connection: &mut SqliteConnection,
    lease: &Lease,
    events: &[EncodedEvent],
    summary: Option<&RunSummary>,
    dispatched_seq: Option<u64>,
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
        update_summary(&mut *connection, lease.run, summary).await?;
    }
    if let Some(dispatched_seq) = dispatched_seq {
        sqlx::query("UPDATE runs SET dispatched_seq = max(dispatched_seq, ?2) WHERE id = ?1")
            .bind(lease.run.to_string())
            .bind(to_i64(dispatched_seq))
            .execute(connection)
            .await
            .map_err(database("note what was dispatched"))?;
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
         tasks = ?8, tasks_done = ?9, tasks_waiting = ?10, tasks_running = ?11, \
         restart_at = iif(cancel_requested_by IS NULL, ?12, NULL), expires_at = ?13, tasks_sent = ?14 WHERE id = ?1",
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
    .bind(i64::from(summary.tasks_waiting))
    .bind(i64::from(summary.tasks_running))
    .bind(summary.restart_at.map(|at| to_i64(at.0)))
    .bind(summary.expires_at.map(|at| to_i64(at.0)))
    .bind(i64::from(summary.tasks_sent))
    .execute(connection)
    .await
    .map_err(database("update a run"))?;
    Ok(())
}

async fn request_cancel(connection: &mut SqliteConnection, run: RunId, by: &str) -> Result<Reply> {
    let updated = sqlx::query(
        "UPDATE runs SET cancel_requested_by = coalesce(cancel_requested_by, ?2), restart_at = NULL \
         WHERE id = ?1 AND (outcome IS NULL OR restart_at IS NOT NULL)",
    )
    .bind(run.to_string())
    .bind(by)
    .execute(connection)
    .await
    .map_err(database("request a cancellation"))?;
    Ok(Reply::Found(updated.rows_affected() > 0))
}

async fn request_pause(connection: &mut SqliteConnection, run: RunId, by: Option<&str>) -> Result<Reply> {
    let updated = sqlx::query("UPDATE runs SET pause_requested_by = ?2 WHERE id = ?1 AND outcome IS NULL")
        .bind(run.to_string())
        .bind(by)
        .execute(connection)
        .await
        .map_err(database("request a pause"))?;
    Ok(Reply::Found(updated.rows_affected() > 0))
}

async fn cleaned(connection: &mut SqliteConnection, lease: &Lease, kept_bytes: u64) -> Result<Reply> {
    let updated = sqlx::query(
        "UPDATE runs SET cleaned = 1, lease_owner = NULL, kept_bytes = ?3 WHERE id = ?1 AND lease_epoch = ?2",
    )
    .bind(lease.run.to_string())
    .bind(to_i64(lease.epoch))
    .bind(to_i64(kept_bytes))
    .execute(&mut *connection)
    .await
    .map_err(database("finish a run"))?;
    if updated.rows_affected() == 0 {
        return Err(Error::Fenced { run: lease.run });
    }
    sqlx::query("DELETE FROM reports WHERE run_id = ?1")
        .bind(lease.run.to_string())
        .execute(connection)
        .await
        .map_err(database("finish a run"))?;
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
             RETURNING cancel_requested_by, pause_requested_by",
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
                pause_requested_by: row.try_get(1).map_err(database(action))?,
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

pub(super) fn until(ttl: Duration) -> i64 {
    let ttl_ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
    to_i64(clock::now().plus_ms(ttl_ms).0)
}
