//! Submitting to a server, and looking at runs.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand, ValueEnum};
use weir_control_plane::store;
use weir_model::{Digest, Namespace, Timestamp};

use crate::format;

use super::{DataArgs, EmbeddedArgs, OutputFormat, ParamArgs, PriceArgs, RunRef, key_value};

/// Which service is meant.
#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct TargetArgs {
    /// The server's address, such as `https://weir.example.com`
    #[arg(long, env = "WEIR_ENDPOINT", value_name = "URL")]
    pub(crate) endpoint: Option<String>,

    /// A profile of `~/.config/weir/config.toml`, which names an endpoint
    #[arg(long, env = "WEIR_PROFILE", value_name = "NAME", conflicts_with = "endpoint")]
    pub(crate) profile: Option<String>,

    /// The server's API key
    #[arg(long, env = "WEIR_API_KEY", value_name = "KEY", hide_env_values = true)]
    pub(crate) api_key: Option<String>,

    /// The namespace that is meant [default: that of the profile, else that of the key]
    #[arg(long, env = "WEIR_NAMESPACE", value_name = "NAME")]
    pub(crate) namespace: Option<Namespace>,
}

/// Which log lines are meant.
#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct LogFilterArgs {
    /// Only lines whose source or text has this, in whatever case
    #[arg(long, value_name = "TEXT", value_parser = line_text)]
    pub(crate) search: Option<String>,

    /// Only lines of this stage
    #[arg(long, value_name = "STAGE")]
    pub(crate) stage: Option<u32>,

    /// Only lines of this task of the stage
    #[arg(long, value_name = "TASK", requires = "stage")]
    pub(crate) task: Option<u32>,

    /// Only lines that are at least so serious
    #[arg(long, value_name = "SEVERITY")]
    pub(crate) severity: Option<Severity>,
}

/// How serious a log line is.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Severity {
    Debug,
    Info,
    Warn,
    Error,
}

fn line_text(text: &str) -> Result<String, String> {
    match text.chars().count() {
        1..=200 => Ok(text.to_owned()),
        _ => Err("give between 1 and 200 characters".to_owned()),
    }
}

#[derive(Debug, ClapArgs)]
pub(crate) struct SubmitArgs {
    /// A pipeline in Beam YAML, or a `.sql` file whose last statement has rows or writes files
    pub(crate) file: PathBuf,

    #[command(flatten)]
    pub(crate) params: ParamArgs,

    #[command(flatten)]
    pub(crate) target: TargetArgs,

    /// Follow the run to its end, and say by the exit code how that was
    #[arg(short, long)]
    pub(crate) wait: bool,

    /// With --wait: give up following after so many seconds (exit code 6); the run goes on
    #[arg(long, requires = "wait", value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) timeout: Option<u64>,

    /// The run's name [default: that of the file]
    #[arg(long)]
    pub(crate) name: Option<String>,

    /// A label of the run; may be given several times
    #[arg(short, long = "label", value_name = "KEY=VALUE", value_parser = key_value)]
    pub(crate) labels: Vec<(String, String)>,

    /// A setting of the run, such as `target_partitions=16` or `retry.max_attempts=2`; may be given several times
    #[arg(short, long = "set", value_name = "KEY=VALUE", value_parser = key_value)]
    pub(crate) settings: Vec<(String, String)>,

    /// The URL that relative paths of the job start from [default: this folder]
    #[arg(long, value_name = "URL")]
    pub(crate) base: Option<String>,

    /// For SQL: a table to read, by a name; may be given several times
    #[arg(short, long = "table", value_name = "NAME=PATH", value_parser = key_value)]
    pub(crate) tables: Vec<(String, String)>,

    /// For SQL: a Wasm component whose functions the statements may call; may be given several times
    #[arg(short, long = "module", value_name = "FILE")]
    pub(crate) modules: Vec<PathBuf>,

    /// Names this submission: repeated with the same key, it makes one run [default: a new key]
    #[arg(long, value_name = "KEY")]
    pub(crate) idempotency_key: Option<String>,

    /// How to print the run
    #[arg(short, long, default_value = "table")]
    pub(crate) output: OutputFormat,
}

/// Which runs are meant, and how to print them.
#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct LookArgs {
    #[command(flatten)]
    pub(crate) target: TargetArgs,

    #[command(flatten)]
    pub(crate) data: DataArgs,

    #[command(flatten)]
    pub(crate) prices: PriceArgs,

    /// How to print
    #[arg(short, long, default_value = "table")]
    pub(crate) output: OutputFormat,
}

/// What runs are found by.
#[derive(Debug, ClapArgs)]
pub(crate) struct SearchArgs {
    /// Only those with all of these words, in upper or lower case: in their names, in who submitted them, in their labels,
    /// in the names of their pipelines and schedules, or at the beginning of their ids
    #[arg(long, value_name = "WORDS", value_parser = search)]
    pub(crate) search: Option<Search>,

    /// Only those with this label; may be given several times
    #[arg(short, long = "label", value_name = "KEY=VALUE", value_parser = key_value)]
    pub(crate) labels: Vec<(String, String)>,

    /// Only those that were submitted then or later: a time such as `2026-01-02T03:04:05Z` or `2026-01-02` (UTC), or so
    /// long ago, such as `90m`, `12h` or `7d`
    #[arg(long, value_name = "TIME", value_parser = format::parse_time)]
    pub(crate) since: Option<Timestamp>,

    /// Only those that were submitted before then; as for --since
    #[arg(long, value_name = "TIME", value_parser = format::parse_time)]
    pub(crate) until: Option<Timestamp>,
}

/// Words to search for, as they were given and as they are understood.
#[derive(Clone, Debug)]
pub(crate) struct Search {
    pub(crate) text: String,
    pub(crate) words: Option<store::Search>,
}

fn search(text: &str) -> Result<Search, store::InvalidSearch> {
    Ok(Search {
        words: store::Search::parse(text)?,
        text: text.to_owned(),
    })
}

#[derive(Debug, Subcommand)]
pub(crate) enum ModulesCommand {
    /// Components of the namespace, in the order of their digests
    List {
        #[command(flatten)]
        target: TargetArgs,
        /// How to print
        #[arg(short, long, default_value = "table")]
        output: OutputFormat,
    },
    /// One component: its functions with what they take and give
    Get {
        /// The SHA-256 of its bytes, in hexadecimal
        digest: Digest,
        #[command(flatten)]
        target: TargetArgs,
        /// How to print
        #[arg(short, long, default_value = "table")]
        output: OutputFormat,
    },
    /// Upload components; prints their digests
    Upload {
        /// The components
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        #[command(flatten)]
        target: TargetArgs,
    },
    /// Delete a component that nothing uses
    Delete {
        /// The SHA-256 of its bytes, in hexadecimal
        digest: Digest,
        #[command(flatten)]
        target: TargetArgs,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum WorkersCommand {
    /// Workers, those that were heard of last first, and what they run
    List {
        #[command(flatten)]
        target: TargetArgs,
        /// How to print
        #[arg(short, long, default_value = "table")]
        output: OutputFormat,
    },
    /// What there is to do, and how many workers there are and should be
    Scaling {
        #[command(flatten)]
        target: TargetArgs,
        /// How to print
        #[arg(short, long, default_value = "table")]
        output: OutputFormat,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum RunsCommand {
    /// Runs, newest first
    List {
        #[command(flatten)]
        look: LookArgs,
        /// Runs to show
        #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
        /// Only those of the job of this name
        #[arg(long)]
        name: Option<String>,
        /// Only those that were made of the pipeline of this name
        #[arg(long)]
        pipeline: Option<String>,
        /// Only those that the schedule of this name made
        #[arg(long)]
        schedule: Option<String>,
        #[command(flatten)]
        search: SearchArgs,
    },
    /// One run, with its stages
    Get {
        /// The run, or `latest`
        run: RunRef,
        #[command(flatten)]
        look: LookArgs,
    },
    /// Follow a run to its end, and say by the exit code how that was
    Watch {
        /// The run, or `latest`
        run: RunRef,
        #[command(flatten)]
        look: LookArgs,
        /// Give up after so many seconds (exit code 6); the run goes on
        #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
        timeout: Option<u64>,
    },
    /// What user functions and logging transforms wrote
    Logs {
        /// The run, or `latest`
        run: RunRef,
        #[command(flatten)]
        look: LookArgs,
        #[command(flatten)]
        filter: LogFilterArgs,
        /// Go on until the run is over
        #[arg(short, long)]
        follow: bool,
    },
    /// What is worth a look in a run, and what to do about it
    Diagnose {
        /// The run, or `latest`
        run: RunRef,
        #[command(flatten)]
        look: LookArgs,
    },
    /// Ask a run to stop
    Cancel {
        /// The run, or `latest`
        run: RunRef,
        #[command(flatten)]
        look: LookArgs,
    },
    /// Submit again what a run was that is over; prints the new run's id
    Retry {
        /// The run, or `latest`
        run: RunRef,
        #[command(flatten)]
        target: TargetArgs,
        #[command(flatten)]
        embedded: EmbeddedArgs,
        /// Follow the new run to its end
        #[arg(short, long)]
        wait: bool,
        /// How to print the run
        #[arg(short, long, default_value = "table")]
        output: OutputFormat,
    },
    /// What the sinks of a run wrote, and their first rows
    Outputs {
        /// The run, or `latest`
        run: RunRef,
        #[command(flatten)]
        target: TargetArgs,
        /// First rows of each output to show
        #[arg(long, default_value_t = 0, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=1000))]
        preview: u32,
        /// How to print
        #[arg(short, long, default_value = "table")]
        output: OutputFormat,
    },
    /// What happened in a run, in order
    Events {
        /// The run, or `latest`
        run: RunRef,
        #[command(flatten)]
        look: LookArgs,
    },
    /// Write a run to one HTML file, to be kept and read without a server
    Export {
        /// The run, or `latest`
        run: RunRef,
        /// The file, or `-` for standard output [default: weir-RUN.html]
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
        #[command(flatten)]
        target: TargetArgs,
        #[command(flatten)]
        data: DataArgs,
        #[command(flatten)]
        prices: PriceArgs,
    },
    /// Have nothing new of a run begun until it is resumed; what runs comes to its end
    Pause {
        /// The run, or `latest`
        run: RunRef,
        #[command(flatten)]
        look: LookArgs,
    },
    /// Let a run go on that is paused; without a server, also runs of this data folder whose process ended before they
    /// did
    Resume {
        /// The run, or `latest`; when left out, all of this data folder that were interrupted
        run: Option<RunRef>,
        #[command(flatten)]
        target: TargetArgs,
        #[command(flatten)]
        embedded: EmbeddedArgs,
        /// How to print the summaries
        #[arg(short, long, default_value = "table")]
        output: OutputFormat,
    },
}
