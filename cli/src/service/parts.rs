//! Store, queues and storage, by their addresses.

use std::path::Path;
use std::sync::Arc;

use weir_control_plane::http::Check;
use weir_control_plane::store::{Durability, PostgresOptions, PostgresStore, SqliteStore, Store};
use weir_platform::{Queue, SqsQueue, Storage, StorageOptions, aws};

use crate::args::{DatabaseArgs, DatabaseAuth, QueueArgs, StorageArgs};
use crate::error::{Error, chain};

/// A run store by its address.
pub(crate) enum Database {
    /// Shared by any number of servers.
    Postgres(PostgresStore),
    /// For the servers of one machine.
    Sqlite(SqliteStore),
}

impl Database {
    /// Connects. The schema of a Postgres database may be old, see [`Self::store`].
    pub(crate) async fn open(args: &DatabaseArgs) -> Result<Self, Error> {
        let url = required(args.database_url.as_deref(), "--database-url", "WEIR_DATABASE_URL")?;
        if let Some(file) = url.strip_prefix("sqlite:") {
            return SqliteStore::open(Path::new(file.trim_start_matches("//")), Durability::default())
                .await
                .map(Self::Sqlite)
                .map_err(Error::platform("open the run store"));
        }
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            // The address may hold a password, so it is not shown.
            return Err(Error::Usage(
                "--database-url must start with postgres:// or sqlite:".to_owned(),
            ));
        }
        aws::install_crypto();
        let mut options = PostgresOptions::new(url);
        match args.database_auth {
            DatabaseAuth::Iam => {
                options = options
                    .with_iam(&aws::config().await)
                    .map_err(Error::platform("connect to the database"))?;
            }
            DatabaseAuth::Password => {
                if let Ok(password) = std::env::var("WEIR_DATABASE_PASSWORD") {
                    options = options.with_password(password);
                }
            }
        }
        PostgresStore::connect(&options)
            .await
            .map(Self::Postgres)
            .map_err(Error::platform("connect to the database; `weir doctor` says more"))
    }

    /// The store, whose schema must be that of this build; `migrate` brings it up to date.
    pub(crate) async fn store(self, migrate: bool) -> Result<Arc<dyn Store>, Error> {
        match self {
            Self::Sqlite(store) => Ok(Arc::new(store)),
            Self::Postgres(store) => {
                if migrate {
                    store
                        .migrate()
                        .await
                        .map_err(Error::platform("bring the database up to date"))?;
                }
                let version = store
                    .schema_version()
                    .await
                    .map_err(Error::platform("read the version of the database"))?;
                version.check().map_err(Error::platform(
                    "use the database; run `weir migrate`, or give --migrate",
                ))?;
                Ok(Arc::new(store))
            }
        }
    }
}

/// The queues between servers and workers.
pub(crate) struct Queues {
    pub(crate) tasks: Arc<dyn Queue>,
    pub(crate) reports: Arc<dyn Queue>,
    /// Watched by servers.
    pub(crate) dead_letters: Option<Arc<dyn Queue>>,
}

impl Queues {
    pub(crate) async fn open(args: &QueueArgs) -> Result<Self, Error> {
        let tasks = required(args.task_queue.as_deref(), "--task-queue", "WEIR_TASK_QUEUE")?;
        let reports = required(args.report_queue.as_deref(), "--report-queue", "WEIR_REPORT_QUEUE")?;
        for url in [tasks, reports].into_iter().chain(args.dead_letter_queue.as_deref()) {
            if !url.starts_with("https://") && !url.starts_with("http://") {
                return Err(Error::Usage(format!(
                    "`{url}` is not the URL of an SQS queue, such as https://sqs.eu-central-1.amazonaws.com/123456789012/tasks"
                )));
            }
        }
        let config = aws::config().await;
        let open = |url: &str| Arc::new(SqsQueue::new(&config, url)) as Arc<dyn Queue>;
        Ok(Self {
            tasks: open(tasks),
            reports: open(reports),
            dead_letters: args.dead_letter_queue.as_deref().map(open),
        })
    }

    /// Whether they are there.
    pub(crate) fn checks(&self) -> Vec<Check> {
        let mut checks = vec![
            queue_check("task_queue", Arc::clone(&self.tasks)),
            queue_check("report_queue", Arc::clone(&self.reports)),
        ];
        checks.extend(
            self.dead_letters
                .clone()
                .map(|queue| queue_check("dead_letter_queue", queue)),
        );
        checks
    }
}

fn queue_check(name: &'static str, queue: Arc<dyn Queue>) -> Check {
    Check::new(name, move || {
        let queue = Arc::clone(&queue);
        async move { queue.check().await.map_err(|error| chain(&error)) }
    })
}

/// The storage that servers and workers share.
pub(crate) async fn storage(args: &StorageArgs) -> Result<Storage, Error> {
    let url = required(args.storage.as_deref(), "--storage", "WEIR_STORAGE")?;
    let options = StorageOptions {
        path_style: args.s3_path_style,
        aws: Some(aws::config().await),
    };
    Storage::open_with(url, options).map_err(Error::platform("open the storage"))
}

fn required<'a>(value: Option<&'a str>, flag: &str, variable: &str) -> Result<&'a str, Error> {
    value
        .filter(|value| !value.is_empty())
        .ok_or_else(|| Error::Usage(format!("{flag} is missing; give it, or set {variable}")))
}
