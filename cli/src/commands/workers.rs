//! `weir workers`.

use std::io::{self, Write};

use reqwest::Method;
use weir_control_plane::http::resources::{Scaling, Worker, WorkerPage, WorkerState};

use crate::args::{OutputFormat, WorkersCommand};
use crate::client::Client;
use crate::error::Error;
use crate::summary::{self, table, trim};
use crate::{format, target};

/// Tasks of a worker that a table shows.
const TASKS: usize = 8;
/// Workers that a server lists at once.
const PAGE: u32 = 1_000;

pub(super) async fn execute(command: WorkersCommand) -> Result<(), Error> {
    match command {
        WorkersCommand::List { target, output } => {
            let workers = list(&target::required(&target)?).await?;
            print_workers(&mut io::stdout().lock(), &workers, output).map_err(Error::io("print the workers"))
        }
        WorkersCommand::Scaling { target, output } => {
            let client = target::required(&target)?;
            let scaling: Scaling = client.json(client.request(Method::GET, "/api/v1/scaling")?).await?;
            print_scaling(&mut io::stdout().lock(), &scaling, output).map_err(Error::io("print the scaling"))
        }
    }
}

async fn list(client: &Client) -> Result<Vec<Worker>, Error> {
    let mut workers = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let mut request = client
            .request(Method::GET, "/api/v1/workers")?
            .query(&[("limit", PAGE)]);
        if let Some(cursor) = &cursor {
            request = request.query(&[("cursor", cursor)]);
        }
        let page: WorkerPage = client.json(request).await?;
        workers.extend(page.items);
        cursor = page.next_cursor;
        if cursor.is_none() {
            return Ok(workers);
        }
    }
}

fn print_workers(out: &mut dyn Write, workers: &[Worker], output: OutputFormat) -> io::Result<()> {
    match output {
        OutputFormat::Json => summary::print_json(out, &workers, true),
        OutputFormat::Jsonl => workers
            .iter()
            .try_for_each(|worker| summary::print_json(out, worker, false)),
        OutputFormat::Table => {
            let mut table = table(
                [
                    "worker", "state", "running", "slots", "started", "seen", "version", "host", "tasks",
                ],
                &[2, 3],
            );
            for worker in workers {
                table.add_row([
                    worker.id.clone(),
                    match worker.state {
                        WorkerState::Active => "active",
                        WorkerState::Draining => "draining",
                        WorkerState::Lost => "lost",
                    }
                    .to_owned(),
                    worker.running.to_string(),
                    worker.slots.to_string(),
                    format::time(worker.started_at.0),
                    format::time(worker.seen_at.0),
                    worker.version.clone(),
                    worker.host.clone(),
                    tasks(worker),
                ]);
            }
            writeln!(out, "{}", trim(&table))
        }
    }
}

/// What a worker runs: the tasks of the namespace, and how many others.
fn tasks(worker: &Worker) -> String {
    let own = worker.tasks.iter().take(TASKS);
    let mut lines: Vec<String> = own
        .map(|task| {
            let since = format::duration(worker.seen_at.0.ms_since(task.started_at.0));
            format!(
                "{} {}.{} attempt {} for {since}",
                task.run, task.stage, task.task, task.attempt
            )
        })
        .collect();
    match worker.tasks.len().saturating_sub(TASKS) {
        0 => {}
        more => lines.push(format!("{more} more")),
    }
    if worker.running_elsewhere > 0 {
        lines.push(format!("{} of other namespaces", worker.running_elsewhere));
    }
    lines.join("\n")
}

fn print_scaling(out: &mut dyn Write, scaling: &Scaling, output: OutputFormat) -> io::Result<()> {
    if output != OutputFormat::Table {
        return summary::print_json(out, scaling, output == OutputFormat::Json);
    }
    let wanted = match scaling.workers_wanted {
        Some(wanted) => wanted.to_string(),
        None => "not decided by a server".to_owned(),
    };
    writeln!(out, "runs     {}", scaling.backlog.runs)?;
    writeln!(
        out,
        "tasks    {} waiting, {} running",
        scaling.backlog.tasks_waiting, scaling.backlog.tasks_running
    )?;
    writeln!(
        out,
        "workers  {} active, {} draining",
        scaling.workers_active, scaling.workers_draining
    )?;
    writeln!(out, "slots    {} of {} busy", scaling.slots_busy, scaling.slots)?;
    writeln!(out, "wanted   {wanted}")
}
