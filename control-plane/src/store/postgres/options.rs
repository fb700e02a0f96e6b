//! How to reach a Postgres database.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

/// Makes a password for each connection, as for databases that want short-lived tokens.
#[async_trait]
pub trait PasswordSource: Send + Sync + 'static {
    /// A password that is good for a connection that is opened in the next minutes. Asked for often: what is slow to
    /// make is to be kept.
    async fn password(&self) -> Result<String, Box<dyn std::error::Error + Send + Sync>>;
}

/// How to reach a Postgres database.
#[derive(Clone)]
pub struct PostgresOptions {
    /// `postgres://user[:password]@host[:port]/database[?sslmode=...]`.
    pub url: String,
    /// Makes the passwords, if that of the URL is not the one.
    pub password: Option<Arc<dyn PasswordSource>>,
    /// Connections for reading and for rare writes, at most; opened as they are needed. One to 100.
    pub readers: u32,
    /// Connections that write the logs of runs, at least one and at most 16. Each commits by itself; more than two
    /// help when commits wait long for the disk.
    pub writers: u32,
}

impl PostgresOptions {
    /// The defaults, for a database.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            password: None,
            readers: 8,
            writers: 2,
        }
    }

    /// With one password that lasts.
    pub fn with_password(mut self, password: impl Into<String>) -> Self {
        self.password = Some(Arc::new(Lasting(password.into())));
        self
    }
}

/// Does not show what is secret.
impl fmt::Debug for PostgresOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresOptions")
            .field("readers", &self.readers)
            .field("writers", &self.writers)
            .finish_non_exhaustive()
    }
}

struct Lasting(String);

#[async_trait]
impl PasswordSource for Lasting {
    async fn password(&self) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
        Ok(self.0.clone())
    }
}
