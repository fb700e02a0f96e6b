//! Statements that every database understands.

use sqlx::sqlite::{Sqlite, SqliteConnection};

use super::writing::{Op, Reply};
use super::{SqliteStore, database};
use crate::store::Error;
use crate::store::relational::{Columns, Relational, Statement};

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
