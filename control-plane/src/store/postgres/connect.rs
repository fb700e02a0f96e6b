//! Connections: opened with a password of their own, limited in time, and their errors told apart.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions as _, Executor as _};

use super::options::{PasswordSource, PostgresOptions};
use crate::store::Error;

/// How long opening a connection may take, its password included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long any call may take as this side sees it, also when the other side is gone without a word.
pub(super) const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// Networks forget connections that say nothing for some minutes.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// How old a password may be when a connection of the pool is opened with it.
const PASSWORD_AGE: Duration = Duration::from_secs(300);
/// What the database itself ends: statements (within [`CALL_TIMEOUT`]), waits for locks, and transactions whose client
/// does not go on.
const SESSION: &str = "SET statement_timeout = '8s'; SET lock_timeout = '3s'; \
    SET idle_in_transaction_session_timeout = '10s'; SET TIME ZONE 'UTC'";

/// Opens connections.
pub(super) struct Connector {
    options: PgConnectOptions,
    password: Option<Arc<dyn PasswordSource>>,
}

impl Connector {
    pub(super) fn new(options: &PostgresOptions) -> Result<Self, Error> {
        let action = "understand the database's URL";
        let scheme = options.url.split_once("://").map(|(scheme, _)| scheme);
        if !matches!(scheme, Some("postgres" | "postgresql")) {
            let source = "it must start with `postgres://`".into();
            return Err(Error::Database { action, source });
        }
        let parsed: PgConnectOptions = options.url.parse().map_err(failed(action))?;
        Ok(Self {
            options: parsed.application_name("weir").disable_statement_logging(),
            password: options.password.clone(),
        })
    }

    /// What a connection is opened with now.
    async fn options(&self) -> Result<PgConnectOptions, Error> {
        let options = self.options.clone();
        let Some(source) = &self.password else {
            return Ok(options);
        };
        let password = source.password().await.map_err(|source| Error::Unavailable {
            action: "get a password for the database",
            source,
        })?;
        Ok(options.password(&password))
    }

    /// A connection whose statements are limited in time.
    pub(super) async fn connect(&self) -> Result<PgConnection, Error> {
        let mut connection = self.connect_unlimited().await?;
        within("connect to the database", connection.execute(SESSION)).await?;
        Ok(connection)
    }

    /// A connection whose statements may take as long as they do.
    pub(super) async fn connect_unlimited(&self) -> Result<PgConnection, Error> {
        let action = "connect to the database";
        let opening = async { self.options().await?.connect().await.map_err(failed(action)) };
        let opened = tokio::time::timeout(CONNECT_TIMEOUT, opening).await;
        opened.unwrap_or_else(|elapsed| Err(unavailable(action, elapsed)))
    }

    /// A pool of at most so many connections; they are opened as they are needed.
    pub(super) async fn pool(&self, connections: u32) -> Result<PgPool, Error> {
        let options = self.options().await?;
        let pool = PgPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(CONNECT_TIMEOUT)
            .idle_timeout(IDLE_TIMEOUT)
            .after_connect(|connection, _| Box::pin(async { connection.execute(SESSION).await.map(drop) }));
        Ok(pool.connect_lazy_with(options))
    }
}

/// A pool whose connections are opened with passwords that are fresh.
pub(super) struct Readers {
    connector: Arc<Connector>,
    pool: PgPool,
    renewed: Mutex<Instant>,
}

impl Readers {
    pub(super) async fn open(connector: Arc<Connector>, connections: u32) -> Result<Self, Error> {
        Ok(Self {
            pool: connector.pool(connections).await?,
            connector,
            renewed: Mutex::new(Instant::now()),
        })
    }

    pub(super) async fn pool(&self) -> Result<&PgPool, Error> {
        if self.connector.password.is_some() && self.is_old() {
            self.pool.set_connect_options(self.connector.options().await?);
            *self.renewed.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        }
        Ok(&self.pool)
    }

    fn is_old(&self) -> bool {
        self.renewed.lock().unwrap_or_else(PoisonError::into_inner).elapsed() > PASSWORD_AGE
    }
}

/// Waits for a call for as long as any call may take.
pub(super) async fn within<T>(
    action: &'static str,
    call: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, Error> {
    match tokio::time::timeout(CALL_TIMEOUT, call).await {
        Ok(result) => result.map_err(failed(action)),
        Err(elapsed) => Err(unavailable(action, elapsed)),
    }
}

pub(super) fn unavailable(action: &'static str, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::Unavailable {
        action,
        source: source.into(),
    }
}

/// Tells a database that is away from one that says no.
pub(super) fn failed(action: &'static str) -> impl FnOnce(sqlx::Error) -> Error {
    move |error| {
        let is_away = match &error {
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => true,
            sqlx::Error::Database(refusal) => refusal.code().is_some_and(|code| is_away(&code)),
            _ => false,
        };
        let source = Box::new(error);
        match is_away {
            true => Error::Unavailable { action, source },
            false => Error::Database { action, source },
        }
    }
}

/// Whether an SQLSTATE says that the server is not there for anybody just now.
fn is_away(code: &str) -> bool {
    const AWAY: [&str; 7] = [
        "57P01", // it is being shut down
        "57P02", // it crashed
        "57P03", // it is starting
        "57014", // the statement took too long
        "25P03", // the transaction was idle for too long
        "25006", // it is a standby, or was made one
        "55000", // it is not in the state for this, as during recovery
    ];
    // Connections, and resources that are used up.
    code.starts_with("08") || code.starts_with("53") || AWAY.contains(&code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_is_told_from_what_is_wrong() {
        let timed_out = failed("x")(sqlx::Error::PoolTimedOut);
        assert!(matches!(timed_out, Error::Unavailable { action: "x", .. }));
        let wrong = failed("x")(sqlx::Error::ColumnNotFound("c".into()));
        assert!(matches!(wrong, Error::Database { .. }));
        assert!(is_away("08006") && is_away("53300") && is_away("57P03"));
        assert!(!is_away("40P01"), "one of the two that wait for each other may go on");
        assert!(!is_away("42P01"), "a table is missing");
    }

    #[test]
    fn what_is_shown_of_options_is_not_secret() {
        let options = PostgresOptions::new("postgres://u:secret@h/d").with_password("hidden");
        let shown = format!("{options:?}");
        assert!(!shown.contains("secret") && !shown.contains("hidden"), "{shown}");
    }
}
