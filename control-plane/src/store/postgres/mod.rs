//! Runs in a Postgres database, shared by any number of processes.
//!
//! What owners write goes through a few writers, each with a connection of its own, which put what is waiting into one
//! transaction; a run has one writer, so that its writes keep their order. Everything else is one statement on one of
//! the readers' connections. Leases run by the clock of the database.

mod append;
mod connect;
mod listen;
mod lists;
mod loads;
mod options;
mod pipelines;
mod relational;
mod schema;
mod shared;
mod writing;

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::postgres::{PgRow, Postgres};
use sqlx::{QueryBuilder, Row as _};
use tokio_util::task::AbortOnDropHandle;
use weir_model::{Digest, EventRecord, Namespace, RunId, Submission, Timestamp};

use self::append::Append;
use self::connect::{Connector, Readers, within};
use self::writing::{Op, Reply, Writing};
use super::changes::{Announcer, Changes};
use super::encoding::{decode_event, encode_events, to_i64, unreadable};
use super::relational::{Relational as _, Statement};
use super::runs::{self, RunTables as _, run_row};
use super::writer::{NewRun, Writer};
use super::{
    Acquired, Backlog, Created, Error, EventPage, ForwardedReport, Idempotency, IdentityStore, InboxReport, Lease,
    Listed, ModuleStore, NamespaceLoad, Renewal, RevisionStore, RunFilter, RunRow, RunSummary, ScalingRow, Store,
    WorkerRow,
};
use super::{events, quotas, requests, scaling, workers};
use crate::quotas::{Quota, Rate};

pub use options::{PasswordSource, PostgresOptions};
pub use schema::SchemaVersion;

/// The time of day by the database's clock, in milliseconds.
macro_rules! now_ms {
    () => {
        "(extract(epoch FROM clock_timestamp()) * 1000)::bigint"
    };
}
use now_ms;

const RUN_COLUMNS: &str = PostgresStore::RUNS;

/// Runs in a Postgres database. Cheap to clone.
#[derive(Clone)]
pub struct PostgresStore {
    shared: Arc<Shared>,
}

struct Shared {
    connector: Arc<Connector>,
    readers: Readers,
    writers: Vec<Writer<Writing>>,
    announcer: Announcer,
    _listening: AbortOnDropHandle<()>,
}

impl PostgresStore {
    /// Reaches the database. Its tables are left as they are: see [`migrate`](Self::migrate) and
    /// [`schema_version`](Self::schema_version).
    pub async fn connect(options: &PostgresOptions) -> Result<Self, Error> {
        let connector = Arc::new(Connector::new(options)?);
        // A pool would try again until its time is up, and not say why it fails.
        connector.connect().await?;
        let announcer = Announcer::new();
        let writers = 0..options.writers.clamp(1, 16);
        let writers = writers
            .map(|_| Writer::start(Writing::new(connector.clone())))
            .collect();
        let listening = tokio::spawn(listen::listen(connector.clone(), announcer.clone()));
        let shared = Shared {
            readers: Readers::open(connector.clone(), options.readers.clamp(1, 100)).await?,
            connector,
            writers,
            announcer,
            _listening: AbortOnDropHandle::new(listening),
        };
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    /// Brings the tables up to date; says which version they have then. Any number of processes may do so at once.
    /// Tables that are newer than this build are left alone.
    pub async fn migrate(&self) -> Result<SchemaVersion, Error> {
        schema::migrate(&self.shared.connector).await
    }

    /// Which version the tables have, and which is wanted.
    pub async fn schema_version(&self) -> Result<SchemaVersion, Error> {
        let action = "read the version of the tables";
        let mut connection = within(action, self.shared.readers.pool().await?.acquire()).await?;
        schema::version(&mut connection).await
    }

    fn writer_of(&self, run: RunId) -> usize {
        let mut hasher = DefaultHasher::new();
        run.hash(&mut hasher);
        // Less than the number of writers, which fits.
        (hasher.finish() % self.shared.writers.len() as u64) as usize
    }

    async fn write(&self, run: RunId, op: Op) -> Result<Reply, Error> {
        self.shared.writers[self.writer_of(run)].submit(op).await
    }

    async fn rows(&self, action: &'static str, mut query: QueryBuilder<Postgres>) -> Result<Vec<RunRow>, Error> {
        let rows = query.build().fetch_all(self.shared.readers.pool().await?);
        within(action, rows).await?.iter().map(|row| run_row(row)).collect()
    }
}

#[async_trait]
impl Store for PostgresStore {
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
        match self.write(run, Op::Create(new)).await? {
            Reply::Created(created) => Ok(created),
            _ => unreachable!("a create is answered by what came of it"),
        }
    }

    async fn run_get(&self, run: RunId) -> Result<Option<RunRow>, Error> {
        runs::get(self, run).await
    }

    async fn runs_get(&self, runs: &[RunId]) -> Result<Vec<RunRow>, Error> {
        let runs: Vec<String> = runs.iter().map(RunId::to_string).collect();
        let mut query = QueryBuilder::new(Self::RUNS);
        query.push(" WHERE r.id = ANY(").push_bind(runs).push(")");
        self.rows("read runs", query).await
    }

    async fn run_list(&self, filter: &RunFilter, before: Option<RunId>, limit: u32) -> Result<Listed, Error> {
        self.list(filter, before, limit).await
    }

    async fn run_events(&self, run: RunId, after_seq: u64, limit: u32) -> Result<Vec<EventRecord>, Error> {
        let reading =
            sqlx::query("SELECT seq, at, payload FROM run_events WHERE run_id = $1 AND seq > $2 ORDER BY seq LIMIT $3")
                .bind(run.to_string())
                .bind(to_i64(after_seq))
                .bind(i64::from(limit))
                .fetch_all(self.shared.readers.pool().await?);
        let rows = within("read the events of a run", reading).await?;
        let event = |row: &PgRow| {
            let failed = |e| unreadable(run, e);
            let payload = row.try_get("payload").map_err(failed)?;
            let (seq, at) = (row.try_get("seq").map_err(failed)?, row.try_get("at").map_err(failed)?);
            decode_event(run, seq, at, payload)
        };
        rows.iter().map(event).collect()
    }

    async fn run_events_page(&self, run: RunId, after_seq: u64, bytes: u64) -> Result<EventPage, Error> {
        let reading = sqlx::query_as::<_, events::Encoded>(events::PAGE)
            .bind(run.to_string())
            .bind(to_i64(after_seq))
            .bind(events::MOST)
            .bind(to_i64(bytes))
            .fetch_all(self.shared.readers.pool().await?);
        let read = within("read the events of a run", reading).await?;
        events::page(run, read, bytes).await
    }

    async fn run_append(
        &self,
        lease: &Lease,
        events: &[EventRecord],
        summary: Option<&RunSummary>,
        dispatched_seq: Option<u64>,
    ) -> Result<(), Error> {
        let reason = summary.and_then(|summary| summary.reason.as_ref());
        let reason = reason.map(serde_json::to_string).transpose();
        let append = Append {
            lease: lease.clone(),
            events: encode_events(events)?,
            summary: summary.cloned(),
            dispatched_seq,
            reason: reason.map_err(|e| unreadable(lease.run, e))?,
        };
        self.write(lease.run, Op::Append(append)).await.map(drop)
    }

    async fn run_request_cancel(&self, run: RunId, by: &str) -> Result<bool, Error> {
        shared::request_cancel(self.shared.readers.pool().await?, run, by).await
    }

    async fn run_request_pause(&self, run: RunId, by: Option<&str>) -> Result<bool, Error> {
        shared::request_pause(self.shared.readers.pool().await?, run, by).await
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
        let cleaned = Op::Cleaned {
            lease: lease.clone(),
            kept_bytes,
        };
        self.write(lease.run, cleaned).await.map(drop)
    }

    async fn runs_unfinished(&self, after: Option<RunId>, limit: u32) -> Result<Vec<RunRow>, Error> {
        runs::unfinished(self, after, limit).await
    }

    async fn runs_expired(&self, full: &[Namespace], limit: u32) -> Result<Vec<RunRow>, Error> {
        let full: Vec<String> = full.iter().map(Namespace::to_string).collect();
        let mut query = QueryBuilder::new(Self::RUNS);
        query.push(
            " JOIN (SELECT r.id, row_number() OVER (PARTITION BY r.namespace ORDER BY r.id) AS turn FROM runs AS r \
             JOIN run_leases AS l ON l.run_id = r.id",
        );
        query.push(concat!(
            " WHERE NOT r.cleaned AND (l.owner IS NULL OR l.until <= ",
            now_ms!(),
            ") AND NOT (l.last_seq <= 1 AND r.cancel_requested_by IS NULL AND r.namespace = ANY("
        ));
        query.push_bind(full).push("))) AS e ON e.id = r.id");
        query.push(" ORDER BY e.turn, r.id LIMIT ").push_bind(i64::from(limit));
        self.rows("list runs without an owner", query).await
    }

    async fn runs_over(&self, ended_before: Timestamp, after: Option<RunId>, limit: u32) -> Result<Vec<RunId>, Error> {
        runs::over(self, ended_before, after, limit).await
    }

    async fn run_delete(&self, run: RunId) -> Result<bool, Error> {
        shared::delete_run(self.shared.readers.pool().await?, run).await
    }

    async fn backlog(&self) -> Result<Backlog, Error> {
        runs::backlog(self).await
    }

    async fn namespace_loads(&self, namespace: Option<&Namespace>) -> Result<Vec<NamespaceLoad>, Error> {
        loads::of(self.shared.readers.pool().await?, namespace).await
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
        loads::take_submission(self.shared.readers.pool().await?, namespace, rate).await
    }

    async fn request_get(&self, namespace: &Namespace, key: &str) -> Result<Option<(Digest, RunId)>, Error> {
        requests::get(self, namespace, key).await
    }

    async fn requests_forget(&self, before: Timestamp) -> Result<u64, Error> {
        // An opportunity: a report may have come at the moment in which its run was cleaned up.
        let stray = Statement::new(
            "DELETE FROM reports WHERE NOT EXISTS (SELECT 1 FROM run_leases WHERE run_leases.run_id = reports.run_id)",
        );
        self.execute("drop stray reports", vec![stray]).await?;
        requests::forget(self, before).await
    }

    async fn lease_acquire(&self, run: RunId, owner: &str, ttl: Duration) -> Result<Acquired, Error> {
        shared::acquire(self.shared.readers.pool().await?, run, owner, ttl).await
    }

    fn lease_parts(&self, leases: Vec<Lease>) -> Vec<Vec<Lease>> {
        let mut parts = vec![Vec::new(); self.shared.writers.len()];
        for lease in leases {
            parts[self.writer_of(lease.run)].push(lease);
        }
        parts.retain(|part| !part.is_empty());
        parts
    }

    async fn lease_renew(&self, leases: &[Lease], ttl: Duration) -> Result<Vec<Option<Renewal>>, Error> {
        // Each by the writer of its run, so that no two transactions of this process meet.
        let mut parts: Vec<(Vec<usize>, Vec<Lease>)> = vec![Default::default(); self.shared.writers.len()];
        for (at, lease) in leases.iter().enumerate() {
            let (places, part) = &mut parts[self.writer_of(lease.run)];
            places.push(at);
            part.push(lease.clone());
        }
        let parts = self.shared.writers.iter().zip(parts);
        let parts = parts.filter(|(_, (places, _))| !places.is_empty());
        let renewing = parts.map(async |(writer, (places, leases))| {
            let reply = writer.submit(Op::Renew { leases, ttl }).await?;
            Ok::<_, Error>((places, reply))
        });
        let mut renewals = vec![None; leases.len()];
        for renewed in futures::future::join_all(renewing).await {
            let (places, Reply::Renewed(part)) = renewed? else {
                unreachable!("a renewal is answered by what came of it")
            };
            for (at, renewal) in places.into_iter().zip(part) {
                renewals[at] = renewal;
            }
        }
        Ok(renewals)
    }

    async fn lease_release(&self, lease: &Lease) -> Result<(), Error> {
        self.write(lease.run, Op::Release(lease.clone())).await.map(drop)
    }

    async fn reports_forward(&self, reports: &[ForwardedReport]) -> Result<(), Error> {
        shared::reports_forward(self.shared.readers.pool().await?, reports).await
    }

    async fn reports_take(&self, owner: &str, held: &[u64], limit: u32) -> Result<Vec<InboxReport>, Error> {
        shared::reports_take(self.shared.readers.pool().await?, owner, held, limit).await
    }

    async fn reports_done(&self, ids: &[u64]) -> Result<(), Error> {
        shared::reports_done(self.shared.readers.pool().await?, ids).await
    }

    async fn workers_seen(&self, workers: &[WorkerRow]) -> Result<(), Error> {
        shared::workers_seen(self.shared.readers.pool().await?, workers).await
    }

    async fn worker_list(&self, limit: u32) -> Result<Vec<WorkerRow>, Error> {
        workers::list(self, limit).await
    }

    async fn workers_forget(&self, before: Timestamp) -> Result<u64, Error> {
        workers::forget(self, before).await
    }

    async fn leader_acquire(&self, name: &str, owner: &str, ttl: Duration) -> Result<bool, Error> {
        shared::lead(self.shared.readers.pool().await?, name, owner, ttl).await
    }

    async fn leader_release(&self, name: &str, owner: &str) -> Result<(), Error> {
        shared::end_lead(self.shared.readers.pool().await?, name, owner).await
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
        self.shared.announcer.subscribe()
    }

    async fn check(&self) -> Result<(), Error> {
        let asking = sqlx::query("SELECT 1").execute(self.shared.readers.pool().await?);
        within("ask the database", asking).await.map(drop)
    }
}
