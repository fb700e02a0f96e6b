//! Changing a database behind the service's back.

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, SqliteConnection};

/// Lets something have happened that no test can wait for: an hour has passed, a time has come. Says how many rows of
/// the database at `url` the statement changed.
pub(crate) async fn execute(url: &str, statement: &str) -> u64 {
    let statement = AssertSqlSafe(statement.to_owned());
    if url.starts_with("sqlite:") {
        let mut connection = SqliteConnection::connect(url).await.expect("the database is there");
        let done = connection.execute(statement).await.expect("the statement is in order");
        return done.rows_affected();
    }
    let mut connection = PgConnection::connect(url).await.expect("the database is there");
    let done = connection.execute(statement).await.expect("the statement is in order");
    done.rows_affected()
}
