//! `weir quotas`.

use std::io::{self, Write};

use reqwest::{Method, RequestBuilder};
use weir_control_plane::http::resources::{Quota, QuotaLimits};
use weir_model::Namespace;

use crate::args::{Limit, OutputFormat, QuotasCommand, SetQuotaArgs};
use crate::client::Client;
use crate::error::Error;
use crate::{format, summary, target};

pub(super) async fn execute(command: QuotasCommand) -> Result<(), Error> {
    let (quota, output) = match command {
        QuotasCommand::Get { name, target, output } => {
            let client = target::required(&target)?;
            let quota: Quota = client.json(request(&client, Method::GET, &name)?).await?;
            (quota, output)
        }
        QuotasCommand::Set(args) => (set(&args).await?, args.output),
    };
    print(&mut io::stdout().lock(), &quota, output).map_err(Error::io("print the quota"))
}

fn request(client: &Client, method: Method, namespace: &Namespace) -> Result<RequestBuilder, Error> {
    client.request(method, &format!("/api/v1/namespaces/{namespace}/quota"))
}

async fn set(args: &SetQuotaArgs) -> Result<Quota, Error> {
    let client = target::required(&args.target)?;
    if args.default {
        return client.json(request(&client, Method::DELETE, &args.name)?).await;
    }
    let known: Quota = client.json(request(&client, Method::GET, &args.name)?).await?;
    let mut limits = known.limits;
    change(&mut limits, args);
    let put = request(&client, Method::PUT, &args.name)?.json(&limits);
    client.json(put).await
}

fn change(limits: &mut QuotaLimits, args: &SetQuotaArgs) {
    fn set<T: Copy>(limit: &mut Option<T>, to: Option<Limit<T>>) {
        if let Some(Limit(to)) = to {
            *limit = to;
        }
    }
    limits.weight = args.weight.unwrap_or(limits.weight);
    limits.min_share = args.min_share.unwrap_or(limits.min_share);
    set(&mut limits.max_runs, args.max_runs);
    set(&mut limits.max_queued_runs, args.max_queued_runs);
    set(&mut limits.max_tasks, args.max_tasks);
    set(&mut limits.max_memory_bytes, args.max_memory);
    set(&mut limits.max_storage_bytes, args.max_storage);
    set(&mut limits.submissions_per_minute, args.submissions_per_minute);
    limits.submission_burst = args.submission_burst.unwrap_or(limits.submission_burst);
}

fn print(out: &mut dyn Write, quota: &Quota, output: OutputFormat) -> io::Result<()> {
    if output != OutputFormat::Table {
        return summary::print_json(out, quota, output == OutputFormat::Json);
    }
    let (limits, usage) = (&quota.limits, &quota.usage);
    let of = match quota.is_default {
        true => "that of the service",
        false => "its own",
    };
    let count = |limit: Option<u32>| limit.map_or("no limit".to_owned(), |limit| format::count(limit.into()));
    let bytes = |limit: Option<u64>| limit.map_or("no limit".to_owned(), format::bytes);
    writeln!(out, "namespace    {}", quota.namespace)?;
    writeln!(out, "quota        {of}")?;
    writeln!(out, "weight       {}", limits.weight)?;
    writeln!(out, "kept slots   {}", limits.min_share)?;
    let mut table = summary::table(["", "used", "limit"], &[1, 2]);
    table.add_row(["runs".to_owned(), format::count(usage.runs), count(limits.max_runs)]);
    table.add_row([
        "waiting runs".to_owned(),
        format::count(usage.queued_runs),
        count(limits.max_queued_runs),
    ]);
    table.add_row([
        "tasks".to_owned(),
        format::count(usage.tasks_running),
        count(limits.max_tasks),
    ]);
    table.add_row([
        "memory of tasks".to_owned(),
        String::new(),
        bytes(limits.max_memory_bytes),
    ]);
    table.add_row([
        "storage".to_owned(),
        format::bytes(usage.storage_bytes),
        bytes(limits.max_storage_bytes),
    ]);
    table.add_row([
        "submissions per minute".to_owned(),
        String::new(),
        count(limits.submissions_per_minute),
    ]);
    table.add_row([
        "  at once".to_owned(),
        String::new(),
        count(Some(limits.submission_burst)),
    ]);
    writeln!(out, "\n{}", summary::trim(&table))
}
