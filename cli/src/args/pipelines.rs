//! Pipelines and schedules of a server.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand};

use super::{OutputFormat, ParamArgs, SubmitArgs, TargetArgs, key_value};

#[derive(Debug, Subcommand)]
pub(crate) enum PipelinesCommand {
    /// Pipelines, by name
    List {
        #[command(flatten)]
        target: TargetArgs,
        /// How to print
        #[arg(short, long, default_value = "table")]
        output: OutputFormat,
    },
    /// One pipeline, with its latest version
    Get {
        /// The pipeline
        name: String,
        #[command(flatten)]
        target: TargetArgs,
        /// How to print; `json` has the definition
        #[arg(short, long, default_value = "table")]
        output: OutputFormat,
    },
    /// Make a pipeline, or its next version, of a Beam YAML, SQL or JSON file
    Apply(Box<PipelineApplyArgs>),
    /// Submit a run of a pipeline; prints its id
    Run(PipelineRunArgs),
    /// Versions of a pipeline, or the definition of one
    Versions {
        /// The pipeline
        name: String,
        /// Print the definition of this version
        number: Option<u32>,
        #[command(flatten)]
        target: TargetArgs,
        /// How to print
        #[arg(short, long, default_value = "table")]
        output: OutputFormat,
    },
    /// Delete a pipeline with its versions; its runs stay
    Delete {
        /// The pipeline
        name: String,
        #[command(flatten)]
        target: TargetArgs,
    },
}

#[derive(Debug, ClapArgs)]
pub(crate) struct PipelineApplyArgs {
    #[command(flatten)]
    pub(crate) submit: SubmitArgs,

    /// What the pipeline is for
    #[arg(long)]
    pub(crate) description: Option<String>,

    /// What is new in this version
    #[arg(long)]
    pub(crate) note: Option<String>,

    /// Only when the pipeline's `etag` is still this one (exit code 5 otherwise)
    #[arg(long, value_name = "ETAG")]
    pub(crate) if_match: Option<String>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct PipelineRunArgs {
    /// The pipeline
    pub(crate) name: String,

    /// The version [default: the latest]
    #[arg(long, value_name = "N")]
    pub(crate) pipeline_version: Option<u32>,

    /// The run's name [default: that of the pipeline]
    #[arg(long)]
    pub(crate) run_name: Option<String>,

    #[command(flatten)]
    pub(crate) params: ParamArgs,

    /// A label of the run; may be given several times
    #[arg(short, long = "label", value_name = "KEY=VALUE", value_parser = key_value)]
    pub(crate) labels: Vec<(String, String)>,

    /// A setting of the run, such as `timeout_s=3600`; may be given several times
    #[arg(short, long = "set", value_name = "KEY=VALUE", value_parser = key_value)]
    pub(crate) settings: Vec<(String, String)>,

    /// Follow the run to its end, and say by the exit code how that was
    #[arg(short, long)]
    pub(crate) wait: bool,

    /// Names this submission: repeated with the same key, it makes one run [default: a new key]
    #[arg(long, value_name = "KEY")]
    pub(crate) idempotency_key: Option<String>,

    #[command(flatten)]
    pub(crate) target: TargetArgs,

    /// How to print the run
    #[arg(short, long, default_value = "table")]
    pub(crate) output: OutputFormat,
}

/// Which schedule is meant, and how to print it.
#[derive(Debug, ClapArgs)]
pub(crate) struct ScheduleRef {
    /// The schedule
    pub(crate) name: String,

    #[command(flatten)]
    pub(crate) target: TargetArgs,

    /// How to print
    #[arg(short, long, default_value = "table")]
    pub(crate) output: OutputFormat,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SchedulesCommand {
    /// Schedules, by name
    List {
        /// Only those of this pipeline
        #[arg(long)]
        pipeline: Option<String>,
        #[command(flatten)]
        target: TargetArgs,
        /// How to print
        #[arg(short, long, default_value = "table")]
        output: OutputFormat,
    },
    /// One schedule
    Get(ScheduleRef),
    /// Make or change a schedule as a JSON file says
    Apply(ScheduleApplyArgs),
    /// Have a schedule make no runs
    Suspend(ScheduleRef),
    /// Have a schedule make runs again
    Resume(ScheduleRef),
    /// Make a run as a schedule does, now; prints its id
    Trigger {
        #[command(flatten)]
        schedule: ScheduleRef,
        /// Follow the run to its end
        #[arg(short, long)]
        wait: bool,
    },
    /// Delete a schedule; its runs stay
    Delete {
        /// The schedule
        name: String,
        #[command(flatten)]
        target: TargetArgs,
    },
    /// The next ten times of a cron expression
    Preview {
        /// Such as `30 6 * * MON-FRI` or `@daily`
        cron: String,
        /// The IANA time zone
        #[arg(long, default_value = "UTC")]
        time_zone: String,
        #[command(flatten)]
        target: TargetArgs,
        /// How to print
        #[arg(short, long, default_value = "table")]
        output: OutputFormat,
    },
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ScheduleApplyArgs {
    /// A JSON file with `name`, `pipeline`, `cron`, `time_zone`, `concurrency_policy`, …
    pub(crate) file: PathBuf,

    /// The schedule's name [default: that of the file]
    #[arg(long)]
    pub(crate) name: Option<String>,

    #[command(flatten)]
    pub(crate) target: TargetArgs,

    /// How to print
    #[arg(short, long, default_value = "table")]
    pub(crate) output: OutputFormat,
}
