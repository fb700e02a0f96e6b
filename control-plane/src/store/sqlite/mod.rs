//! Runs in an SQLite file.

mod lists;
mod loads;
mod pipelines;
mod presence;
mod relational;
mod shared;
mod writing;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use sqlx::migrate::MigrateError;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteRow,
    SqliteSynchronous,
};
use sqlx::{ConnectOptions as _, QueryBuilder, Row as _};
use weir_model::{Digest, EventRecord, Namespace, RunId, Submission, Timestamp};
use weir_platform::clock;

use self::presence::Presence;
use self::writing::{Op, Reply, Writing};
use super::changes::{Announcer, Changes};
use super::encoding::{decode_event, delete_pieces, encode_events, to_i64, unreadable};
use super::runs::{self, RunTables as _, run_row};
use super::writer::{NewRun, Writer};
use super::{
    Acquired, Backlog, Created, Error, EventPage, ForwardedReport, Idempotency, IdentityStore, InboxReport, Lease,
    Listed, ModuleStore, NamespaceLoad, Renewal, RevisionStore, RunFilter, RunRow, RunSummary, ScalingRow, Store,
    WorkerRow,
};
use super::{events, quotas, requests, scaling, workers};
use crate::quotas::{Quota, Rate};

/// How long a call waits for another process that is writing.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections for reading.
const READERS: u32 = 2;
/// The wait between two tries of what SQLite refuses at once while another process is at it.
const BUSY_PAUSE: Duration = Duration::from_millis(20);

const RUN_COLUMNS: &str = "SELECT id, namespace, name, pipeline, pipeline_version, schedule, scheduled_at, created_by, labels, phase, \
    outcome, reason, created_at, finished_at, restart_at, expires_at, stages, stages_done, tasks, tasks_done, \
    tasks_waiting, tasks_running, tasks_sent, last_seq, dispatched_seq, cancel_requested_by, pause_requested_by, \
    cleaned, lease_owner, lease_until FROM runs";

/// What an answered write survives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// The end of the process by any means, `kill -9` included: what was written is with the operating system. A power
    /// cut or a crash of the system may take the last moments of the log away, never its middle. Runs then go on from
    /// where the log ends: some tasks run again, and a commit is done again.
    #[default]
    Process,
    /// A power cut as well: every commit waits for the disk, which takes about a millisecond on a fast one.
    Power,
}

/// Runs in an SQLite file, in WAL mode; several processes may use one file. Cheap to clone.
#[derive(Clone)]
pub struct SqliteStore {
    readers: SqlitePool,
    writer: Arc<Writer<Writing>>,
    presence: Arc<Presence>,
    announcer: Announcer,
}

impl SqliteStore {
    /// Opens the file, creating it and bringing its tables up to date as needed.
    pub async fn open(path: &Path, durability: Durability) -> Result<Self, Error> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .foreign_keys(true)
            .journal_mode(SqliteJournalMode::Wal)
            .busy_timeout(BUSY_TIMEOUT)
            .synchronous(match durability {
                Durability::Process => SqliteSynchronous::Normal,
                Durability::Power => SqliteSynchronous::Full,
            })
            .disable_statement_logging();
        let connection = connect(&options).await?;
        let database_path = path.to_owned();
        let presence = tokio::task::spawn_blocking(move || Presence::announce(&database_path)).await;
        let presence = presence
            .map_err(database("open the database"))?
            .map_err(database("open the database"))?;
        let (presence, announcer) = (Arc::new(presence), Announcer::new());
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            .acquire_timeout(BUSY_TIMEOUT)
            .connect_with(options.pragma("query_only", "ON"))
            .await
            .map_err(database("open the database"))?;
        Ok(Self {
            readers,
            writer: Arc::new(Writer::start(Writing {
                connection,
                presence: presence.clone(),
                announcer: announcer.clone(),
            })),
            presence,
            announcer,
        })
    }
}

/// Opens the writing connection and brings the tables up to date.
///
/// SQLite waits for most locks by itself, but not for the one that turns a new file to WAL mode, nor where waiting could
/// be a deadlock: then it says "busy" at once, and the whole is tried again for as long as any other call would wait.
async fn connect(options: &SqliteConnectOptions) -> Result<SqliteConnection, Error> {
    static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("migrations/sqlite");
    let deadline = Instant::now() + BUSY_TIMEOUT;
    let mut failed_before = None;
    loop {
        let opened = async {
            let mut connection = options.connect().await?;
            // Not `run`, whose future the compiler cannot prove to be `Send`.
            MIGRATIONS.run_direct(None, &mut connection, false).await?;
            Ok(connection)
        };
        let error = match opened.await {
            Ok(connection) => return Ok(connection),
            Err(error) => error,
        };
        // A migration that fails for another reason found what another process had made a moment before, if the same
        // one does not fail again.
        let failed = match &error {
            MigrateError::ExecuteMigration(_, version) => Some(*version),
            _ => None,
        };
        let again = is_busy(&error) || (failed.is_some() && failed != failed_before);
        if !again || Instant::now() >= deadline {
            return Err(database("open the database and bring it up to date")(error));
        }
        if !is_busy(&error) {
            failed_before = failed;
        }
        tokio::time::sleep(BUSY_PAUSE).await;
    }
}

/// Whether another connection was in the way.
fn is_busy(error: &MigrateError) -> bool {
    const SQLITE_BUSY: i32 = 5;
    const SQLITE_LOCKED: i32 = 6;
    let (MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _)) = error else {
        return false;
    };
    let code = error.as_database_error().and_then(|error| error.code());
    // The low byte of an extended code is the plain one.
    let code = code.and_then(|code| code.parse::<i32>().ok()).map(|code| code & 0xff);
    matches!(code, Some(SQLITE_BUSY | SQLITE_LOCKED))
}

#[async_trait]
impl Store for SqliteStore {
    async fn run_create(
        &self,
        run: RunId,
        submission: &Submission,
        events: &[EventRecord],
        owner: &str,
        ttl: Duration,
        idempotency: Option<&Idempotency>,
    ) -> Result<Created, Error> {
        let new = NewRun::encode(run, submission, events, owner, ttl, idempotency)?;
        match self.writer.submit(Op::Create { new }).await? {
            Reply::Created(created) => Ok(created),
            _ => unreachable!("a create is answered by what came of it"),
        }
    }

    async fn run_get(&self, run: RunId) -> Result<Option<RunRow>, Error> {
        runs::get(self, run).await
    }

    async fn runs_get(&self, runs: &[RunId]) -> Result<Vec<RunRow>, Error> {
        let action = "read runs";
        let mut query = QueryBuilder::new(Self::RUNS);
        // As JSON: the number of parameters of a statement is bounded.
        let runs = serde_json::to_string(runs).map_err(database(action))?;
        query.push(" WHERE r.id IN (SELECT value FROM json_each(");
        query.push_bind(runs).push("))");
        let rows = query.build().fetch_all(&self.readers).await;
        rows.map_err(database(action))?.iter().map(|row| run_row(row)).collect()
    }

    async fn run_list(&self, filter: &RunFilter, before: Option<RunId>, limit: u32) -> Result<Listed, Error> {
        self.list(filter, before, limit).await
    }

    async fn run_events(&self, run: RunId, after_seq: u64, limit: u32) -> Result<Vec<EventRecord>, Error> {
        let rows =
            sqlx::query("SELECT seq, at, payload FROM run_events WHERE run_id = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3")
                .bind(run.to_string())
                .bind(to_i64(after_seq))
                .bind(i64::from(limit))
                .fetch_all(&self.readers)
                .await
                .map_err(database("read the events of a run"))?;
        let event = |row: &SqliteRow| {
            let failed = |e| unreadable(run, e);
            let payload = row.try_get("payload").map_err(failed)?;
            let (seq, at) = (row.try_get("seq").map_err(failed)?, row.try_get("at").map_err(failed)?);
            decode_event(run, seq, at, payload)
        };
        rows.iter().map(event).collect()
    }

    async fn run_events_page(&self, run: RunId, after_seq: u64, bytes: u64) -> Result<EventPage, Error> {
        let read = sqlx::query_as::<_, events::Encoded>(events::PAGE)
            .bind(run.to_string())
            .bind(to_i64(after_seq))
            .bind(events::MOST)
            .bind(to_i64(bytes))
            .fetch_all(&self.readers)
            .await
            .map_err(database("read the events of a run"))?;
        events::page(run, read, bytes).await
    }

    async fn run_append(
        &self,
        lease: &Lease,
        events: &[EventRecord],
        summary: Option<&RunSummary>,
        dispatched_seq: Option<u64>,
    ) -> Result<(), Error> {
        let op = Op::Append {
            lease: lease.clone(),
            events: encode_events(events)?,
            summary: summary.cloned(),
            dispatched_seq,
        };
        self.writer.submit(op).await.map(drop)
    }

    async fn run_request_cancel(&self, run: RunId, by: &str) -> Result<bool, Error> {
        let by = by.to_owned();
        match self.writer.submit(Op::RequestCancel { run, by }).await? {
            Reply::Found(found) => Ok(found),
            _ => unreachable!("a request is answered by whether there is such a run"),
        }
    }

    async fn run_request_pause(&self, run: RunId, by: Option<&str>) -> Result<bool, Error> {
        let by = by.map(str::to_owned);
        match self.writer.submit(Op::RequestPause { run, by }).await? {
            Reply::Found(found) => Ok(found),
            _ => unreachable!("a request is answered by whether there is such a run"),
        }
    }

    async fn runs_to_restart(&self, now: Timestamp, limit: u32) -> Result<Vec<RunRow>, Error> {
        runs::to_restart(self, now, limit).await
    }

    async fn run_set_restart(&self, run: RunId, at: Option<Timestamp>) -> Result<bool, Error> {
        runs::set_restart(self, run, at).await
    }

    async fn schedule_runs_open(
        &self,
        namespace: &Namespace,
        schedule: &str,
        limit: u32,
    ) -> Result<Vec<RunRow>, Error> {
        runs::open_of_schedule(self, namespace, schedule, limit).await
    }

    async fn runs_to_forget(&self, now: Timestamp, after: Option<RunId>, limit: u32) -> Result<Vec<RunId>, Error> {
        runs::to_forget(self, now, after, limit).await
    }

    async fn run_cleaned(&self, lease: &Lease, kept_bytes: u64) -> Result<(), Error> {
        let lease = lease.clone();
        self.writer.submit(Op::Cleaned { lease, kept_bytes }).await.map(drop)
    }

    async fn runs_unfinished(&self, after: Option<RunId>, limit: u32) -> Result<Vec<RunRow>, Error> {
        runs::unfinished(self, after, limit).await
    }

    async fn lease_acquire(&self, run: RunId, owner: &str, ttl: Duration) -> Result<Acquired, Error> {
        let owner = owner.to_owned();
        match self.writer.submit(Op::Acquire { run, owner, ttl }).await? {
            Reply::Acquired(acquired) => Ok(acquired),
            _ => unreachable!("an acquire is answered by what came of it"),
        }
    }

    async fn lease_renew(&self, leases: &[Lease], ttl: Duration) -> Result<Vec<Option<Renewal>>, Error> {
        let leases = leases.to_vec();
        match self.writer.submit(Op::Renew { leases, ttl }).await? {
            Reply::Renewed(renewed) => Ok(renewed),
            _ => unreachable!("a renewal is answered by what came of it"),
        }
    }

    async fn lease_release(&self, lease: &Lease) -> Result<(), Error> {
        let lease = lease.clone();
        self.writer.submit(Op::Release { lease }).await.map(drop)
    }

    async fn runs_expired(&self, full: &[Namespace], limit: u32) -> Result<Vec<RunRow>, Error> {
        let action = "list runs without an owner";
        let tokens = "SELECT DISTINCT lease_token FROM runs WHERE cleaned = 0 AND lease_token IS NOT NULL";
        let tokens: Vec<String> = sqlx::query_scalar(tokens)
            .fetch_all(&self.readers)
            .await
            .map_err(database(action))?;
        let mut query = QueryBuilder::new(Self::RUNS);
        query.push(
            " JOIN (SELECT id AS expired, row_number() OVER (PARTITION BY namespace ORDER BY id) AS turn FROM runs \
             WHERE cleaned = 0 AND (lease_owner IS NULL OR lease_until <= ",
        );
        query.push_bind(to_i64(clock::now().0));
        for dead in tokens.into_iter().filter(|token| self.presence.is_dead(token)) {
            query.push(" OR lease_token = ").push_bind(dead);
        }
        // As JSON: the number of parameters of a statement is bounded.
        let full = serde_json::to_string(full).map_err(database(action))?;
        query
            .push(") AND NOT (last_seq <= 1 AND cancel_requested_by IS NULL AND namespace IN (SELECT value FROM json_each(")
            .push_bind(full);
        query
            .push(")))) ON expired = r.id ORDER BY turn, r.id LIMIT ")
            .push_bind(i64::from(limit));
        let rows = query.build().fetch_all(&self.readers).await;
        rows.map_err(database(action))?.iter().map(|row| run_row(row)).collect()
    }

    async fn runs_over(&self, ended_before: Timestamp, after: Option<RunId>, limit: u32) -> Result<Vec<RunId>, Error> {
        runs::over(self, ended_before, after, limit).await
    }

    async fn run_delete(&self, run: RunId) -> Result<bool, Error> {
        let Some(length) = shared::length_of_deletable(&self.readers, run).await? else {
            return Ok(false);
        };
        // In transactions of their own, so that no other write waits for long.
        for after_seq in delete_pieces(length) {
            self.writer.submit(Op::DeleteEvents { run, after_seq }).await?;
        }
        match self.writer.submit(Op::Delete { run }).await? {
            Reply::Found(found) => Ok(found),
            _ => unreachable!("a deletion is answered by whether there was such a run"),
        }
    }

    async fn backlog(&self) -> Result<Backlog, Error> {
        runs::backlog(self).await
    }

    async fn namespace_loads(&self, namespace: Option<&Namespace>) -> Result<Vec<NamespaceLoad>, Error> {
        loads::of(&self.readers, namespace).await
    }

    async fn kept_bytes(&self, namespace: &Namespace) -> Result<u64, Error> {
        quotas::kept_bytes(self, namespace).await
    }

    async fn quotas(&self) -> Result<Vec<(Namespace, Quota)>, Error> {
        quotas::all(self).await
    }

    async fn quota_set(&self, namespace: &Namespace, quota: Option<&Quota>) -> Result<(), Error> {
        quotas::set(self, namespace, quota).await
    }

    async fn submission_take(&self, namespace: &Namespace, rate: Rate) -> Result<Option<Duration>, Error> {
        let namespace = namespace.clone();
        match self.writer.submit(Op::TakeSubmission { namespace, rate }).await? {
            Reply::Wait(wait) => Ok(wait),
            _ => unreachable!("it is answered by how long to wait"),
        }
    }

    async fn request_get(&self, namespace: &Namespace, key: &str) -> Result<Option<(Digest, RunId)>, Error> {
        requests::get(self, namespace, key).await
    }

    async fn requests_forget(&self, before: Timestamp) -> Result<u64, Error> {
        requests::forget(self, before).await
    }

    async fn reports_forward(&self, reports: &[ForwardedReport]) -> Result<(), Error> {
        let reports = reports.to_vec();
        self.writer.submit(Op::Forward { reports }).await.map(drop)
    }

    async fn reports_take(&self, owner: &str, held: &[u64], limit: u32) -> Result<Vec<InboxReport>, Error> {
        shared::reports_take(&self.readers, owner, held, limit).await
    }

    async fn reports_done(&self, ids: &[u64]) -> Result<(), Error> {
        let ids = ids.to_vec();
        self.writer.submit(Op::ReportsDone { ids }).await.map(drop)
    }

    async fn workers_seen(&self, workers: &[WorkerRow]) -> Result<(), Error> {
        let workers = workers.to_vec();
        self.writer.submit(Op::WorkersSeen { workers }).await.map(drop)
    }

    async fn worker_list(&self, limit: u32) -> Result<Vec<WorkerRow>, Error> {
        workers::list(self, limit).await
    }

    async fn workers_forget(&self, before: Timestamp) -> Result<u64, Error> {
        workers::forget(self, before).await
    }

    async fn leader_acquire(&self, name: &str, owner: &str, ttl: Duration) -> Result<bool, Error> {
        let (name, owner) = (name.to_owned(), owner.to_owned());
        match self.writer.submit(Op::Lead { name, owner, ttl }).await? {
            Reply::Found(leads) => Ok(leads),
            _ => unreachable!("a candidate is told whether it leads"),
        }
    }

    async fn leader_release(&self, name: &str, owner: &str) -> Result<(), Error> {
        let (name, owner) = (name.to_owned(), owner.to_owned());
        self.writer.submit(Op::EndLead { name, owner }).await.map(drop)
    }

    async fn scaling_set(&self, said: &ScalingRow) -> Result<(), Error> {
        scaling::set(self, said).await
    }

    async fn scaling_get(&self) -> Result<Option<ScalingRow>, Error> {
        scaling::get(self).await
    }

    fn identities(&self) -> &dyn IdentityStore {
        self
    }

    fn revisions(&self) -> &dyn RevisionStore {
        self
    }

    fn modules(&self) -> &dyn ModuleStore {
        self
    }

    fn changes(&self) -> Changes {
        self.announcer.subscribe()
    }

    async fn check(&self) -> Result<(), Error> {
        let asked = sqlx::query("SELECT 1").execute(&self.readers).await;
        asked.map(drop).map_err(database("ask the database"))
    }
}

fn database<E>(action: &'static str) -> impl FnOnce(E) -> Error
where
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    move |source| Error::Database {
        action,
        source: source.into(),
    }
}
