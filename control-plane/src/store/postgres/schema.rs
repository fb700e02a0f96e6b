//! The tables and their versions.

use std::time::Duration;

use sqlx::Executor as _;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::PgConnection;

use super::connect::{Connector, failed, unavailable, within};
use crate::store::Error;

/// In order; one that was released is never changed. A server of the version before goes on over the tables of the next.
static MIGRATIONS: Migrator = sqlx::migrate!("migrations/postgres");
/// How long bringing the tables up to date may take, waiting for another process that does so included.
const TIMEOUT: Duration = Duration::from_secs(900);

/// Which version the tables have, and which this build works with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SchemaVersion {
    /// That of the tables; zero when there are none.
    pub found: i64,
    /// That of this build.
    pub wanted: i64,
}

impl SchemaVersion {
    /// Fails unless this build works with the tables: they are as new as it is, or newer.
    pub fn check(self) -> Result<(), Error> {
        let Self { found, wanted } = self;
        match found < wanted {
            true => Err(Error::OldSchema { found, wanted }),
            false => Ok(()),
        }
    }
}

pub(super) async fn version(connection: &mut PgConnection) -> Result<SchemaVersion, Error> {
    let action = "read the version of the tables";
    let exists = sqlx::query_scalar::<_, bool>("SELECT to_regclass('_sqlx_migrations') IS NOT NULL");
    let found = match within(action, exists.fetch_one(&mut *connection)).await? {
        true => {
            let latest = sqlx::query_scalar("SELECT coalesce(max(version), 0) FROM _sqlx_migrations WHERE success");
            within(action, latest.fetch_one(connection)).await?
        }
        false => 0,
    };
    let wanted = MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or(0);
    Ok(SchemaVersion { found, wanted })
}

/// Brings the tables up to date. Several processes may do so at once: they wait for one another.
pub(super) async fn migrate(connector: &Connector) -> Result<SchemaVersion, Error> {
    let action = "bring the database up to date";
    let mut connection = connector.connect_unlimited().await?;
    let migrating = async {
        // Whatever the database is set to: another process may be at it for long.
        connection
            .execute("SET statement_timeout = 0; SET lock_timeout = 0")
            .await?;
        // Not `run`, whose future the compiler cannot prove to be `Send`.
        MIGRATIONS.run_direct(None, &mut connection, false).await
    };
    match tokio::time::timeout(TIMEOUT, migrating).await {
        Ok(Ok(())) => {}
        // The tables are newer than this build, which works with them.
        Ok(Err(MigrateError::VersionMissing(_))) => connection = connector.connect_unlimited().await?,
        Ok(Err(MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _))) => {
            return Err(failed(action)(error));
        }
        Ok(Err(error)) => {
            let source = Box::new(error);
            return Err(Error::Database { action, source });
        }
        Err(elapsed) => return Err(unavailable(action, elapsed)),
    }
    let version = version(&mut connection).await?;
    version.check()?;
    Ok(version)
}
