//! The command line.

mod identity;
mod pipelines;
mod quotas;
mod runs;
mod service;

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};
use weir_model::RunId;

pub(crate) use identity::{AccessArgs, AskArgs, AuditArgs, KeysCommand, NamespacesCommand, SessionsCommand};
pub(crate) use pipelines::{
    PipelineApplyArgs, PipelineRunArgs, PipelinesCommand, ScheduleApplyArgs, ScheduleRef, SchedulesCommand,
};
pub(crate) use quotas::{DefaultQuotaArgs, Limit, QuotasCommand, SetQuotaArgs};
pub(crate) use runs::{
    LogFilterArgs, LookArgs, ModulesCommand, RunsCommand, Severity, SubmitArgs, TargetArgs, WorkersCommand,
};
pub(crate) use service::{
    DatabaseArgs, DatabaseAuth, DevArgs, DoctorArgs, HistoryArgs, MigrateArgs, PriceArgs, ProvisionerKind, QueueArgs,
    ServerArgs, StorageArgs, WorkerArgs,
};

/// The command of the processes in which servers have templates rendered.
pub(crate) const RENDER_TEMPLATE: &str = "render-template";
/// The command of the processes in which servers plan.
pub(crate) const PLAN_JOB: &str = "plan-job";

/// Batch pipelines and SQL with sandboxed Wasm functions.
#[derive(Debug, Parser)]
#[command(name = "weir", version, about, propagate_version = true)]
pub(crate) struct Args {
    /// Write log lines of this level to stderr: error, warn, info, debug, trace, or a filter such as
    /// `weir_engine=debug` [default: warn; info for `server`, `worker`, `dev` and `history`]
    #[arg(long, global = true, env = "WEIR_LOG", value_name = "FILTER")]
    pub(crate) log: Option<String>,

    /// How log lines look
    #[arg(long, global = true, env = "WEIR_LOG_FORMAT", default_value = "text")]
    pub(crate) log_format: LogFormat,

    /// Read settings of the service from a TOML file, with the flags' names as keys; flags and variables go before it
    #[arg(long, global = true, env = "WEIR_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a Beam YAML pipeline in this process
    Run(RunArgs),
    /// Run SQL over files, in this process or on a server
    Sql(SqlArgs),
    /// Check a pipeline: syntax, names, columns and types
    Validate(ValidateArgs),
    /// Show what a pipeline would do: logical plan, stages, exchanges and tasks
    Explain(ExplainArgs),
    /// Build a guest crate to a Wasm component
    Build(BuildArgs),
    /// Hand a pipeline or SQL script to a server
    Submit(SubmitArgs),
    /// Look at pipelines of a server, make, change, run and delete them
    #[command(subcommand)]
    Pipelines(PipelinesCommand),
    /// Look at schedules of a server, make, change, suspend, trigger and delete them
    #[command(subcommand)]
    Schedules(SchedulesCommand),
    /// Look at runs, and cancel, pause, resume or retry them; of a server, or of this data folder
    #[command(subcommand)]
    Runs(RunsCommand),
    /// Look at the Wasm components that jobs of a server can use, and upload some
    #[command(subcommand)]
    Modules(ModulesCommand),
    /// Look at the workers of a server
    #[command(subcommand)]
    Workers(WorkersCommand),
    /// Look at, make and delete namespaces of a server
    #[command(subcommand)]
    Namespaces(NamespacesCommand),
    /// Look at, make and revoke API keys of a server
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Look at and end sessions of browsers that have logged in to a server
    #[command(subcommand)]
    Sessions(SessionsCommand),
    /// What was changed on a server, by whom, and what was refused
    Audit(AuditArgs),
    /// Who a server takes you for, and what you may do
    Whoami(AskArgs),
    /// Look at and change what namespaces of a server may use
    #[command(subcommand)]
    Quotas(QuotasCommand),
    /// Run the whole service in this process, for development
    Dev(DevArgs),
    /// Run a control plane with its HTTP API
    Server(Box<ServerArgs>),
    /// Run tasks
    Worker(WorkerArgs),
    /// Show the runs that are over, from their history in storage alone: without a database, and changing nothing
    History(HistoryArgs),
    /// Bring a database's schema up to date
    Migrate(MigrateArgs),
    /// Check everything that a server or worker needs, and say what to do
    Doctor(DoctorArgs),
    /// Render the template of standard input, for a server
    #[command(name = RENDER_TEMPLATE, hide = true)]
    RenderTemplate,
    /// Plan the job of standard input, for a server
    #[command(name = PLAN_JOB, hide = true)]
    PlanJob,
}

/// Where runs keep their history and their objects.
#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct DataArgs {
    /// Folder of the run history, shuffle objects and caches [default: $XDG_DATA_HOME/weir or ~/.local/share/weir]
    #[arg(long, env = "WEIR_DATA_DIR", value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
}

/// How the embedded service uses this machine.
#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct EmbeddedArgs {
    #[command(flatten)]
    pub(crate) data: DataArgs,

    /// Workers in this process
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=256))]
    pub(crate) workers: u32,

    /// Tasks that each worker runs at once [default: processors / workers]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(crate) slots: Option<u32>,

    /// Partitions of a shuffle [default: tasks that can run at once]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) target_partitions: Option<u32>,

    /// Memory for all tasks, such as `2GiB`; beyond it they spill to disk [default: half of this machine's]
    #[arg(long, env = "WEIR_MEMORY", value_name = "SIZE", value_parser = crate::format::parse_bytes)]
    pub(crate) memory: Option<u64>,

    #[command(flatten)]
    pub(crate) prices: PriceArgs,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct RunArgs {
    /// The pipeline, in Beam YAML
    pub(crate) file: PathBuf,

    #[command(flatten)]
    pub(crate) params: ParamArgs,

    #[command(flatten)]
    pub(crate) embedded: EmbeddedArgs,

    /// How to print the summary
    #[arg(short, long, default_value = "table")]
    pub(crate) output: OutputFormat,

    /// First rows of each output to show
    #[arg(long, default_value_t = 10, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=1000))]
    pub(crate) preview: u32,
}

/// Values for a pipeline's template.
#[derive(Clone, Debug, Default, ClapArgs)]
pub(crate) struct ParamArgs {
    /// A parameter of the pipeline's template; may be given several times
    #[arg(short, long = "param", value_name = "KEY=VALUE", value_parser = key_value)]
    pub(crate) params: Vec<(String, String)>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct SqlArgs {
    /// Statements, separated by semicolons
    #[arg(required_unless_present = "file", conflicts_with = "file")]
    pub(crate) statements: Option<String>,

    /// Read the statements from a file (`-` for standard input)
    #[arg(short, long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,

    /// A file, glob or folder of Parquet, CSV or JSON lines to read as a table; may be given several times
    #[arg(short, long = "table", value_name = "NAME=PATH", value_parser = key_value)]
    pub(crate) tables: Vec<(String, String)>,

    /// A Wasm component whose functions the statements may call; may be given several times
    #[arg(short, long = "module", value_name = "FILE")]
    pub(crate) modules: Vec<PathBuf>,

    #[command(flatten)]
    pub(crate) embedded: EmbeddedArgs,

    #[command(flatten)]
    pub(crate) target: TargetArgs,

    /// How to print rows
    #[arg(short, long, default_value = "table")]
    pub(crate) output: RowFormat,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ValidateArgs {
    /// The pipeline, in Beam YAML
    pub(crate) file: PathBuf,

    #[command(flatten)]
    pub(crate) params: ParamArgs,

    #[command(flatten)]
    pub(crate) data: DataArgs,

    /// Check only what needs neither the input files nor the modules
    #[arg(long)]
    pub(crate) syntax: bool,

    /// How to print what was found
    #[arg(short, long, default_value = "table")]
    pub(crate) output: OutputFormat,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ExplainArgs {
    /// The pipeline, in Beam YAML
    pub(crate) file: PathBuf,

    #[command(flatten)]
    pub(crate) params: ParamArgs,

    #[command(flatten)]
    pub(crate) embedded: EmbeddedArgs,

    /// How to print the plan
    #[arg(short, long, default_value = "table")]
    pub(crate) output: OutputFormat,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct BuildArgs {
    /// The folder of the guest crate
    #[arg(default_value = ".")]
    pub(crate) dir: PathBuf,

    /// Copy the component to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

/// A run as people name it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum RunRef {
    /// The newest run.
    Latest,
    /// A run by its id.
    Id(RunId),
}

impl std::str::FromStr for RunRef {
    type Err = weir_model::InvalidId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "latest" {
            Ok(Self::Latest)
        } else {
            text.parse().map(Self::Id)
        }
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people
    Text,
    /// One JSON object a line
    Json,
}

/// How to print records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputFormat {
    /// For people
    Table,
    /// One JSON document
    Json,
    /// One JSON document a line
    Jsonl,
}

/// How to print rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum RowFormat {
    /// For people
    Table,
    /// A JSON array of objects
    Json,
    /// One JSON object a line
    Jsonl,
    /// CSV with a header
    Csv,
}

fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("expected KEY=VALUE".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Args::command().debug_assert();
    }
}
