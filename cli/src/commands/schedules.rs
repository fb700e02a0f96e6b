//! `weir schedules`.

use std::io;

use reqwest::Method;
use weir_control_plane::http::resources::{
    Run, Schedule, SchedulePage, SchedulePreview, ScheduleRequest, ScheduleState,
};
use weir_control_plane::pipelines::RESERVED_SCHEDULE;
use weir_platform::clock;

use super::pipelines::{address, delete, paged, print_lines, print_table, read_document};
use super::submit;
use crate::args::{OutputFormat, ScheduleApplyArgs, ScheduleRef, SchedulesCommand};
use crate::client::Client;
use crate::error::Error;
use crate::{summary, target};

pub(super) async fn execute(command: SchedulesCommand) -> Result<(), Error> {
    match command {
        SchedulesCommand::List {
            pipeline,
            target,
            output,
        } => {
            let schedules = list(&target::required(&target)?, pipeline.as_deref()).await?;
            print_schedules(&schedules, output)
        }
        SchedulesCommand::Get(args) => ask(&args, Method::GET, "").await,
        SchedulesCommand::Suspend(args) => ask(&args, Method::POST, "/suspend").await,
        SchedulesCommand::Resume(args) => ask(&args, Method::POST, "/resume").await,
        SchedulesCommand::Apply(args) => apply(&args).await,
        SchedulesCommand::Trigger { schedule, wait } => {
            let client = target::required(&schedule.target)?;
            let post = client
                .request(Method::POST, &format!("{}/trigger", path(&schedule.name)?))?
                .header("idempotency-key", clock::new_request_id());
            let run: Run = client.json(post).await?;
            submit::submitted(&client, run, wait, None, schedule.output).await
        }
        SchedulesCommand::Delete { name, target } => {
            delete(&target::required(&target)?, &path(&name)?).await?;
            eprintln!("deleted the schedule {name}");
            Ok(())
        }
        SchedulesCommand::Preview {
            cron,
            time_zone,
            target,
            output,
        } => {
            let client = target::required(&target)?;
            let request = client
                .request(Method::GET, "/api/v1/schedules/preview")?
                .query(&[("cron", &cron), ("time_zone", &time_zone)]);
            print_preview(&client.json(request).await?, output)
        }
    }
}

fn path(name: &str) -> Result<String, Error> {
    match name == RESERVED_SCHEDULE {
        true => Err(Error::Usage(format!("a schedule cannot be called `{name}`"))),
        false => address("schedules", name),
    }
}

async fn list(client: &Client, pipeline: Option<&str>) -> Result<Vec<Schedule>, Error> {
    let mut schedules = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let mut request = client.request(Method::GET, "/api/v1/schedules")?;
        if let Some(pipeline) = pipeline {
            request = request.query(&[("pipeline", pipeline)]);
        }
        let page: SchedulePage = client.json(paged(request, cursor.as_deref())).await?;
        schedules.extend(page.items);
        cursor = page.next_cursor;
        if cursor.is_none() {
            return Ok(schedules);
        }
    }
}

/// Something that is answered by the schedule.
async fn ask(args: &ScheduleRef, method: Method, action: &str) -> Result<(), Error> {
    let client = target::required(&args.target)?;
    let path = format!("{}{action}", path(&args.name)?);
    let schedule: Schedule = client.json(client.request(method, &path)?).await?;
    print_schedule(&schedule, args.output)
}

async fn apply(args: &ScheduleApplyArgs) -> Result<(), Error> {
    let client = target::required(&args.target)?;
    let document = read_document(&args.file)?;
    let document = document.ok_or_else(|| {
        Error::Usage(format!(
            "{} is not a schedule: give a `.json` file with `name`, `pipeline`, `cron`, …",
            args.file.display()
        ))
    })?;
    let mut request: ScheduleRequest = serde_json::from_value(document)
        .map_err(|error| Error::Usage(format!("{} is not a schedule: {error}", args.file.display())))?;
    let name = args.name.clone().or_else(|| request.name.clone());
    let name = name.ok_or_else(|| Error::Usage("the schedule has no `name`; give --name".to_owned()))?;
    let path = path(&name)?;
    request.name = Some(name);
    let schedule: Schedule = client.json(client.request(Method::PUT, &path)?.json(&request)).await?;
    print_schedule(&schedule, args.output)
}

fn state(schedule: &Schedule) -> &'static str {
    match schedule.state {
        ScheduleState::Scheduled => "scheduled",
        ScheduleState::Failing => "failing",
        ScheduleState::Suspended => "suspended",
        ScheduleState::Completed => "completed",
    }
}

fn text(value: Option<impl ToString>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

fn print_schedules(schedules: &[Schedule], output: OutputFormat) -> Result<(), Error> {
    let mut out = io::stdout().lock();
    let printed = match output {
        OutputFormat::Json => summary::print_json(&mut out, &schedules, true),
        OutputFormat::Jsonl => schedules
            .iter()
            .try_for_each(|schedule| summary::print_json(&mut out, schedule, false)),
        OutputFormat::Table => {
            let rows = schedules.iter().map(|schedule| {
                [
                    schedule.name.clone(),
                    schedule.pipeline.clone(),
                    schedule.cron.clone(),
                    schedule.time_zone.clone(),
                    state(schedule).to_owned(),
                    text(schedule.next_at),
                    text(schedule.last_run),
                ]
            });
            let head = ["schedule", "pipeline", "cron", "time zone", "state", "next", "last run"];
            print_table(&mut out, head, rows)
        }
    };
    printed.map_err(Error::io("print the schedules"))
}

fn print_schedule(schedule: &Schedule, output: OutputFormat) -> Result<(), Error> {
    let mut out = io::stdout().lock();
    let printed = match output {
        OutputFormat::Json => summary::print_json(&mut out, schedule, true),
        OutputFormat::Jsonl => summary::print_json(&mut out, schedule, false),
        OutputFormat::Table => {
            let reason = schedule.reason.as_ref();
            let lines = [
                ("schedule", schedule.name.clone()),
                ("pipeline", schedule.pipeline.clone()),
                ("version", text(schedule.version)),
                ("cron", schedule.cron.clone()),
                ("time zone", schedule.time_zone.clone()),
                ("state", state(schedule).to_owned()),
                (
                    "reason",
                    reason.map(|reason| reason.message.clone()).unwrap_or_default(),
                ),
                ("next", text(schedule.next_at)),
                ("last", text(schedule.last_at)),
                ("last run", text(schedule.last_run)),
                ("etag", schedule.etag.clone()),
            ];
            print_lines(&mut out, &lines)
        }
    };
    printed.map_err(Error::io("print the schedule"))
}

fn print_preview(preview: &SchedulePreview, output: OutputFormat) -> Result<(), Error> {
    let mut out = io::stdout().lock();
    let printed = match output {
        OutputFormat::Json => summary::print_json(&mut out, preview, true),
        OutputFormat::Jsonl => summary::print_json(&mut out, preview, false),
        OutputFormat::Table => {
            let times = preview.times.iter().map(|time| [time.to_string()]);
            print_table(&mut out, [preview.description.as_str()], times)
        }
    };
    printed.map_err(Error::io("print the times"))
}
