//! Statements that every database understands.

use sqlx::postgres::Postgres;

use super::PostgresStore;
use super::connect::within;
use crate::store::Error;
use crate::store::relational::{Columns, Relational, Statement};

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
