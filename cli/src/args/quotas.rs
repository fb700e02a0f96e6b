//! What namespaces may use.

use clap::{Args as ClapArgs, Subcommand};
use weir_control_plane::quotas::Quota;
use weir_model::Namespace;

use super::{OutputFormat, TargetArgs};

#[derive(Debug, Subcommand)]
pub(crate) enum QuotasCommand {
    /// What a namespace may use, and what it uses
    Get {
        /// The namespace
        #[arg(value_name = "NAMESPACE")]
        name: Namespace,
        #[command(flatten)]
        target: TargetArgs,
        /// How to print
        #[arg(short, long, default_value = "table")]
        output: OutputFormat,
    },
    /// Change what a namespace may use; what is not named stays as it is
    Set(SetQuotaArgs),
}

#[derive(Debug, ClapArgs)]
pub(crate) struct SetQuotaArgs {
    /// The namespace
    #[arg(value_name = "NAMESPACE")]
    pub(crate) name: Namespace,

    #[command(flatten)]
    pub(crate) target: TargetArgs,

    /// Go by the quota of the service again, which all have that have none of their own
    #[arg(long, conflicts_with_all = ["weight", "min_share", "max_runs", "max_queued_runs", "max_tasks", "max_memory",
        "max_storage", "submissions_per_minute", "submission_burst"])]
    pub(crate) default: bool,

    /// Its part of the slots beside other namespaces that have tasks too
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) weight: Option<u32>,

    /// Slots that are kept free for it
    #[arg(long, value_name = "N")]
    pub(crate) min_share: Option<u32>,

    /// Runs that are under way at once, or `none` for no limit; more wait
    #[arg(long, value_name = "N", value_parser = limit)]
    pub(crate) max_runs: Option<Limit<u32>>,

    /// Runs that wait, or `none`; more are refused
    #[arg(long, value_name = "N", value_parser = limit)]
    pub(crate) max_queued_runs: Option<Limit<u32>>,

    /// Tasks that run at once, or `none`; more wait
    #[arg(long, value_name = "N", value_parser = limit)]
    pub(crate) max_tasks: Option<Limit<u32>>,

    /// Memory of the tasks that run at once, such as `16GiB`, or `none`; more tasks wait
    #[arg(long, value_name = "SIZE", value_parser = size_limit)]
    pub(crate) max_memory: Option<Limit<u64>>,

    /// Bytes of kept results, such as `100GiB`, or `none`; beyond them submissions are refused
    #[arg(long, value_name = "SIZE", value_parser = size_limit)]
    pub(crate) max_storage: Option<Limit<u64>>,

    /// Runs that may be submitted in a minute, on average, or `none`
    #[arg(long, value_name = "N", value_parser = limit)]
    pub(crate) submissions_per_minute: Option<Limit<u32>>,

    /// Runs that may be submitted at once after a time without any
    #[arg(long, value_name = "N")]
    pub(crate) submission_burst: Option<u32>,

    /// How to print
    #[arg(short, long, default_value = "table")]
    pub(crate) output: OutputFormat,
}

/// A limit, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limit<T>(pub(crate) Option<T>);

fn limit(text: &str) -> Result<Limit<u32>, String> {
    match text {
        "none" => Ok(Limit(None)),
        number => match number.parse() {
            Ok(number) => Ok(Limit(Some(number))),
            Err(_) => Err("expected a number, or `none`".to_owned()),
        },
    }
}

fn size_limit(text: &str) -> Result<Limit<u64>, String> {
    match text {
        "none" => Ok(Limit(None)),
        size => crate::format::parse_bytes(size).map(|size| Limit(Some(size))),
    }
}

/// What namespaces may use that have no quota of their own.
#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct DefaultQuotaArgs {
    /// Runs of a namespace that are under way at once, unless it has a quota of its own; more wait [default: no limit]
    #[arg(long, env = "WEIR_QUOTA_MAX_RUNS", value_name = "N")]
    pub(crate) quota_max_runs: Option<u32>,

    /// Runs of a namespace that wait; more are refused [default: no limit]
    #[arg(long, env = "WEIR_QUOTA_MAX_QUEUED_RUNS", value_name = "N")]
    pub(crate) quota_max_queued_runs: Option<u32>,

    /// Tasks of a namespace that run at once; more wait [default: no limit]
    #[arg(long, env = "WEIR_QUOTA_MAX_TASKS", value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) quota_max_tasks: Option<u32>,

    /// Kept results of a namespace, such as `100GiB`; beyond them submissions are refused [default: no limit]
    #[arg(long, env = "WEIR_QUOTA_MAX_STORAGE", value_name = "SIZE", value_parser = crate::format::parse_bytes)]
    pub(crate) quota_max_storage: Option<u64>,

    /// Runs that may be submitted to a namespace in a minute, on average [default: no limit]
    #[arg(long, env = "WEIR_QUOTA_SUBMISSIONS_PER_MINUTE", value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) quota_submissions_per_minute: Option<u32>,
}

impl DefaultQuotaArgs {
    pub(crate) fn quota(&self) -> Quota {
        Quota {
            max_runs: self.quota_max_runs,
            max_queued_runs: self.quota_max_queued_runs,
            max_tasks: self.quota_max_tasks,
            max_storage_bytes: self.quota_max_storage,
            submissions_per_minute: self.quota_submissions_per_minute,
            ..Quota::default()
        }
    }
}
