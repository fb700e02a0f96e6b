//! Settings of the service. Each is a flag, a variable, and a key of the configuration file.

use std::net::SocketAddr;

use clap::{Args as ClapArgs, ValueEnum};

use super::{AccessArgs, EmbeddedArgs};

/// Where runs are kept.
#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct DatabaseArgs {
    /// The run store: `postgres://user@host:port/database`, or `sqlite:FILE`
    #[arg(long, env = "WEIR_DATABASE_URL", value_name = "URL", hide_env_values = true)]
    pub(crate) database_url: Option<String>,

    /// How to log in to Postgres: by the password of the URL or of WEIR_DATABASE_PASSWORD, or by IAM
    #[arg(long, env = "WEIR_DATABASE_AUTH", default_value = "password")]
    pub(crate) database_auth: DatabaseAuth,
}

/// How to log in to Postgres.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DatabaseAuth {
    /// With a password
    Password,
    /// With a token of AWS IAM, made for each connection
    Iam,
}

/// What connects servers and workers.
#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct QueueArgs {
    /// SQS queue of task messages, from servers to workers
    #[arg(long, env = "WEIR_TASK_QUEUE", value_name = "URL")]
    pub(crate) task_queue: Option<String>,

    /// SQS queue of reports, from workers to servers
    #[arg(long, env = "WEIR_REPORT_QUEUE", value_name = "URL")]
    pub(crate) report_queue: Option<String>,

    /// SQS queue to which task messages go that were delivered too often
    #[arg(long, env = "WEIR_DEAD_LETTER_QUEUE", value_name = "URL")]
    pub(crate) dead_letter_queue: Option<String>,
}

/// Where runs keep their objects.
#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct StorageArgs {
    /// Object storage that servers and workers share: `s3://bucket/prefix`, or a folder
    #[arg(long, env = "WEIR_STORAGE", value_name = "URL")]
    pub(crate) storage: Option<String>,

    /// Name S3 buckets in the path instead of the host, as many S3-compatible servers want it
    #[arg(long, env = "WEIR_S3_PATH_STYLE", value_parser = clap::builder::BoolishValueParser::new())]
    pub(crate) s3_path_style: bool,
}

/// What a process may use of its machine.
#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct MachineArgs {
    #[command(flatten)]
    pub(crate) data: super::DataArgs,

    /// Memory for all tasks, such as `2GiB`; beyond it they spill to disk [default: half of this machine's]
    #[arg(long, env = "WEIR_MEMORY", value_name = "SIZE", value_parser = crate::format::parse_bytes)]
    pub(crate) memory: Option<u64>,
}

#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct ServerArgs {
    #[command(flatten)]
    pub(crate) database: DatabaseArgs,
    #[command(flatten)]
    pub(crate) queues: QueueArgs,
    #[command(flatten)]
    pub(crate) storage: StorageArgs,
    #[command(flatten)]
    pub(crate) machine: MachineArgs,

    #[command(flatten)]
    pub(crate) prices: PriceArgs,

    /// Address of the HTTP API; port 0 takes a free one
    #[arg(long, env = "WEIR_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    pub(crate) listen: SocketAddr,

    /// Bring the database's schema up to date before starting; otherwise an old schema is an error
    #[arg(long, env = "WEIR_MIGRATE", value_parser = clap::builder::BoolishValueParser::new())]
    pub(crate) migrate: bool,

    /// Let jobs read and write files of this machine: only where all who submit may
    #[arg(long, env = "WEIR_ALLOW_LOCAL_FILES", value_parser = clap::builder::BoolishValueParser::new())]
    pub(crate) allow_local_files: bool,

    /// How long a run stays with a server that gives no sign of life, in milliseconds
    #[arg(long, env = "WEIR_LEASE_MS", default_value_t = 5_000, value_name = "MS",
        value_parser = clap::value_parser!(u64).range(500..=600_000))]
    pub(crate) lease_ms: u64,

    /// Runs that this server drives at once; others wait
    #[arg(long, env = "WEIR_MAX_RUNS", default_value_t = 1_000, value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) max_runs: u32,

    #[command(flatten)]
    pub(crate) quota: super::DefaultQuotaArgs,

    /// Who starts and stops workers
    #[arg(long, env = "WEIR_PROVISIONER", default_value = "none")]
    pub(crate) provisioner: ProvisionerKind,

    /// Workers that are kept when there is nothing to do
    #[arg(long, env = "WEIR_WORKERS_MIN", default_value_t = 0, value_name = "N")]
    pub(crate) workers_min: u32,

    /// Workers at most
    #[arg(long, env = "WEIR_WORKERS_MAX", default_value_t = 10, value_name = "N")]
    pub(crate) workers_max: u32,

    /// How long less must be needed before workers are stopped, in milliseconds
    #[arg(long, env = "WEIR_WORKERS_IDLE_MS", default_value_t = 60_000, value_name = "MS")]
    pub(crate) workers_idle_ms: u64,

    /// Tasks that each worker of this provisioner runs at once [default: processors]
    #[arg(long, env = "WEIR_SLOTS", value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(crate) slots: Option<u32>,

    /// With the ECS provisioner: the cluster of the workers' services
    #[arg(long, env = "WEIR_ECS_CLUSTER", value_name = "NAME")]
    pub(crate) ecs_cluster: Option<String>,

    /// With the ECS provisioner: the service of the workers, or several between which they are shared: `a,b`
    #[arg(long, env = "WEIR_ECS_SERVICE", value_name = "NAMES")]
    pub(crate) ecs_service: Option<String>,

    /// How often runs that are not to be kept are forgotten, and objects that nothing reaches are deleted, in milliseconds
    #[arg(long, env = "WEIR_HOUSEKEEPING_MS", default_value_t = 3_600_000, value_name = "MS",
        value_parser = clap::value_parser!(u64).range(1_000..))]
    pub(crate) housekeeping_ms: u64,

    /// Forget runs that ended so many days ago, with their results and history [default: none]
    #[arg(long, env = "WEIR_KEEP_RUNS_DAYS", value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) keep_runs_days: Option<u32>,

    /// With --keep-runs-days: never forget the youngest runs, so many
    #[arg(
        long,
        env = "WEIR_KEEP_RUNS_LAST",
        default_value_t = 0,
        value_name = "N",
        requires = "keep_runs_days"
    )]
    pub(crate) keep_runs_last: u32,

    #[command(flatten)]
    pub(crate) access: AccessArgs,
}

/// Who starts and stops workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProvisionerKind {
    /// Nobody: they are run by other means
    None,
    /// The server, as processes of its machine
    Process,
    /// Services of Amazon ECS
    Ecs,
}

#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct WorkerArgs {
    #[command(flatten)]
    pub(crate) queues: QueueArgs,
    #[command(flatten)]
    pub(crate) storage: StorageArgs,
    #[command(flatten)]
    pub(crate) machine: MachineArgs,

    /// Tasks that run at once [default: processors]
    #[arg(long, env = "WEIR_SLOTS", value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(crate) slots: Option<u32>,

    /// Let tasks read and write files of this machine
    #[arg(long, env = "WEIR_ALLOW_LOCAL_FILES", value_parser = clap::builder::BoolishValueParser::new())]
    pub(crate) allow_local_files: bool,

    /// Address of /healthz, /readyz and /metrics; port 0 takes a free one [default: none]
    #[arg(long, env = "WEIR_HEALTH_LISTEN", value_name = "ADDRESS")]
    pub(crate) health_listen: Option<SocketAddr>,

    /// How long a message stays hidden from other workers without a sign of life from this one, in milliseconds
    #[arg(long, env = "WEIR_VISIBILITY_MS", default_value_t = 30_000, value_name = "MS",
        value_parser = clap::value_parser!(u64).range(1_000..=3_600_000))]
    pub(crate) visibility_ms: u64,

    /// How long running tasks may go on after SIGTERM, in milliseconds
    #[arg(long, env = "WEIR_DRAIN_MS", default_value_t = 110_000, value_name = "MS")]
    pub(crate) drain_ms: u64,

    /// Protect this ECS task from scale-in while it runs tasks
    #[arg(long, env = "WEIR_ECS_TASK_PROTECTION", value_parser = clap::builder::BoolishValueParser::new())]
    pub(crate) ecs_task_protection: bool,
}

#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct DevArgs {
    #[command(flatten)]
    pub(crate) embedded: EmbeddedArgs,

    #[command(flatten)]
    pub(crate) quota: super::DefaultQuotaArgs,

    /// Address of the HTTP API; port 0 takes a free one
    #[arg(long, env = "WEIR_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    pub(crate) listen: SocketAddr,
}

/// What things cost.
#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct PriceArgs {
    /// Prices for the estimates of what runs cost, in TOML: a file, or the text itself, which has an `=`;
    /// `docs/findings.md` says which prices there are [default: those of AWS in us-east-1]
    #[arg(long, env = "WEIR_PRICES", value_name = "FILE")]
    pub(crate) prices: Option<String>,
}

#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct HistoryArgs {
    #[command(flatten)]
    pub(crate) storage: StorageArgs,
    #[command(flatten)]
    pub(crate) prices: PriceArgs,

    /// Address of the HTTP API and the dashboard; port 0 takes a free one
    #[arg(long, env = "WEIR_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    pub(crate) listen: SocketAddr,

    #[command(flatten)]
    pub(crate) access: AccessArgs,
}

#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct MigrateArgs {
    #[command(flatten)]
    pub(crate) database: DatabaseArgs,
}

#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct DoctorArgs {
    #[command(flatten)]
    pub(crate) database: DatabaseArgs,
    #[command(flatten)]
    pub(crate) queues: QueueArgs,
    #[command(flatten)]
    pub(crate) storage: StorageArgs,
    #[command(flatten)]
    pub(crate) data: super::DataArgs,

    /// Only ask this URL, such as `http://127.0.0.1:8080/readyz`: for container health checks
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,

    /// How to print the findings
    #[arg(short, long, default_value = "table")]
    pub(crate) output: super::OutputFormat,
}
