//! Statements that every database understands.

use sqlx::postgres::Postgres;

use super::PostgresStore;
use super::connect::within;
use crate::store::Error;
use crate::store::relational::{Columns, Relational, Statement};
use crate::store::runs::RunTables;

impl Relational for PostgresStore {
    async fn execute(&self, action: &'static str, statements: Vec<Statement>) -> Result<Vec<u64>, Error> {
        let pool = self.shared.readers.pool().await?;
        let writing = async {
            let mut changed = Vec::with_capacity(statements.len());
            if let [statement] = statements.as_slice() {
                let done = statement.query::<Postgres>().execute(pool).await?;
                changed.push(done.rows_affected());
                return Ok(changed);
            }
            let mut transaction = pool.begin().await?;
            for statement in &statements {
                let done = statement.query::<Postgres>().execute(&mut *transaction).await?;
                changed.push(done.rows_affected());
            }
            transaction.commit().await?;
            Ok(changed)
        };
        within(action, writing).await
    }

    async fn select<T: Send>(
        &self,
        action: &'static str,
        statement: Statement,
        read: fn(&dyn Columns) -> Result<T, Box<dyn std::error::Error + Send + Sync>>,
    ) -> Result<Vec<T>, Error> {
        let reading = statement
            .query::<Postgres>()
            .fetch_all(self.shared.readers.pool().await?);
        let rows = within(action, reading).await?;
        let read = |row| read(row).map_err(|source| Error::Database { action, source });
        rows.iter().map(|row| read(row as &dyn Columns)).collect()
    }
}

impl RunTables for PostgresStore {
    const RUNS: &'static str = "SELECT r.id, r.namespace, r.name, r.pipeline, r.pipeline_version, r.schedule, \
        r.scheduled_at, r.created_by, r.labels, r.phase, r.outcome, r.reason, r.created_at, r.finished_at, \
        r.restart_at, r.expires_at, r.stages, r.stages_done, r.tasks, r.tasks_done, r.tasks_waiting, \
        r.tasks_running, r.tasks_sent, coalesce(l.last_seq, r.last_seq) AS last_seq, \
        coalesce(l.dispatched_seq, r.dispatched_seq) AS dispatched_seq, r.cancel_requested_by, \
        r.pause_requested_by, r.cleaned, l.owner AS lease_owner, coalesce(l.until, 0) AS lease_until \
        FROM runs AS r LEFT JOIN run_leases AS l ON l.run_id = r.id";
    const UNCLEANED: &'static str = "NOT r.cleaned";
    const CLEANED: &'static str = "r.cleaned";
}
