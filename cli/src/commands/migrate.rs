//! `weir migrate`.

use crate::args::MigrateArgs;
use crate::error::Error;
use crate::service::parts::Database;

pub(super) async fn execute(args: MigrateArgs) -> Result<(), Error> {
    match Database::open(&args.database).await? {
        Database::Sqlite(_) => eprintln!("SQLite databases are brought up to date when they are opened; this one is"),
        Database::Postgres(store) => {
            let before = store.schema_version().await;
            let before = before.map_err(Error::platform("read the version of the database"))?;
            let after = store.migrate().await;
            let after = after.map_err(Error::platform("bring the database up to date"))?;
            match after.found > before.found {
                true => eprintln!("brought the database from version {} to {}", before.found, after.found),
                false => eprintln!("the database is up to date, at version {}", after.found),
            }
        }
    }
    Ok(())
}
