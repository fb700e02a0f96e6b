//! Statements that every database understands.

use sqlx::sqlite::{Sqlite, SqliteConnection};

use super::writing::{Op, Reply};
use super::{SqliteStore, database};
use crate::store::Error;
use crate::store::relational::{Columns, Relational, Statement};
use crate::store::runs::RunTables;

impl Relational for SqliteStore {
    async fn execute(&self, action: &'static str, statements: Vec<Statement>) -> Result<Vec<u64>, Error> {
        match self.writer.submit(Op::Execute { action, statements }).await? {
            Reply::Changed(changed) => Ok(changed),
            _ => unreachable!("statements are answered by what they changed"),
        }
    }

    async fn select<T: Send>(
        &self,
        action: &'static str,
        statement: Statement,
        read: fn(&dyn Columns) -> Result<T, Box<dyn std::error::Error + Send + Sync>>,
    ) -> Result<Vec<T>, Error> {
        let reading = statement.query::<Sqlite>().fetch_all(&self.readers);
        let rows = reading.await.map_err(database(action))?;
        let read = |row| read(row).map_err(|source| Error::Database { action, source });
        rows.iter().map(|row| read(row as &dyn Columns)).collect()
    }
}

impl RunTables for SqliteStore {
    const RUNS: &'static str = "SELECT r.id, r.namespace, r.name, r.pipeline, r.pipeline_version, r.schedule, \
        r.scheduled_at, r.created_by, r.labels, r.phase, r.outcome, r.reason, r.created_at, r.finished_at, \
        r.restart_at, r.expires_at, r.stages, r.stages_done, r.tasks, r.tasks_done, r.tasks_waiting, \
        r.tasks_running, r.tasks_sent, r.last_seq, r.dispatched_seq, r.cancel_requested_by, r.pause_requested_by, \
        r.cleaned, r.lease_owner, r.lease_until FROM runs AS r";
    const UNCLEANED: &'static str = "r.cleaned = 0";
    const CLEANED: &'static str = "r.cleaned = 1";
}

pub(super) async fn execute(
    connection: &mut SqliteConnection,
    action: &'static str,
    statements: &[Statement],
) -> Result<Vec<u64>, Error> {
    let mut changed = Vec::with_capacity(statements.len());
    for statement in statements {
        let writing = statement.query::<Sqlite>().execute(&mut *connection);
        changed.push(writing.await.map_err(database(action))?.rows_affected());
    }
    Ok(changed)
}
