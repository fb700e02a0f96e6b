//! `weir pipelines`.

use std::io::{self, Write};
use std::path::Path;

use reqwest::{Method, StatusCode};
use weir_control_plane::http::resources::{
    ListedPipeline, ListedPipelineVersion, Pipeline, PipelinePage, PipelineRequest, PipelineRunRequest,
    PipelineVersion, PipelineVersionPage, Run,
};
use weir_platform::clock;

use super::submit;
use crate::args::{OutputFormat, PipelineApplyArgs, PipelineRunArgs, PipelinesCommand, TargetArgs};
use crate::client::Client;
use crate::error::Error;
use crate::summary::{self, table, trim};
use crate::{submission, target};

/// Rows that a server lists at once.
const PAGE: u32 = 1_000;

pub(super) async fn execute(command: PipelinesCommand) -> Result<(), Error> {
    match command {
        PipelinesCommand::List { target, output } => {
            let pipelines = list(&target::required(&target)?).await?;
            print_pipelines(&pipelines, output)
        }
        PipelinesCommand::Get { name, target, output } => {
            let client = target::required(&target)?;
            let pipeline: Pipeline = client.json(client.request(Method::GET, &path(&name)?)?).await?;
            print_pipeline(&pipeline, output)
        }
        PipelinesCommand::Apply(args) => apply(&args).await,
        PipelinesCommand::Run(args) => run(&args).await,
        PipelinesCommand::Versions {
            name,
            number,
            target,
            output,
        } => versions(&target, &name, number, output).await,
        PipelinesCommand::Delete { name, target } => {
            let client = target::required(&target)?;
            delete(&client, &path(&name)?).await?;
            eprintln!("deleted the pipeline {name}");
            Ok(())
        }
    }
}

/// The address of a named thing.
pub(super) fn address(kind: &str, name: &str) -> Result<String, Error> {
    match weir_control_plane::pipelines::is_name(name) {
        true => Ok(format!("/api/v1/{kind}/{name}")),
        false => Err(Error::Usage(format!(
            "`{name}` is not a name: it has lower-case letters, digits, `-`, `_` and `.`, the first of them a letter or \
             a digit"
        ))),
    }
}

fn path(name: &str) -> Result<String, Error> {
    address("pipelines", name)
}

/// Deletes what is at an address.
pub(super) async fn delete(client: &Client, path: &str) -> Result<(), Error> {
    let response = client.send(client.request(Method::DELETE, path)?).await?;
    match response.status() {
        StatusCode::NO_CONTENT => Ok(()),
        _ => crate::client::read::<serde_json::Value>(response).await.map(drop),
    }
}

async fn list(client: &Client) -> Result<Vec<ListedPipeline>, Error> {
    let mut pipelines = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let request = client.request(Method::GET, "/api/v1/pipelines")?;
        let page: PipelinePage = client.json(paged(request, cursor.as_deref())).await?;
        pipelines.extend(page.items);
        cursor = page.next_cursor;
        if cursor.is_none() {
            return Ok(pipelines);
        }
    }
}

/// A page of a list.
pub(super) fn paged(request: reqwest::RequestBuilder, cursor: Option<&str>) -> reqwest::RequestBuilder {
    let request = request.query(&[("limit", PAGE)]);
    match cursor {
        Some(cursor) => request.query(&[("cursor", cursor)]),
        None => request,
    }
}

/// Makes a pipeline of a Beam YAML or SQL file, or of a whole definition in YAML or JSON.
async fn apply(args: &PipelineApplyArgs) -> Result<(), Error> {
    let client = target::required(&args.submit.target)?;
    let mut request = match definition(&args.submit.file)? {
        Some(request) => request,
        None => {
            let mut definition = submit::request(&client, &args.submit).await?;
            // Runs start where the server says, unless somebody says otherwise: this folder is none of theirs.
            definition.base.clone_from(&args.submit.base);
            PipelineRequest {
                name: definition.name.take(),
                definition,
                ..PipelineRequest::default()
            }
        }
    };
    let name = args.submit.name.clone().or_else(|| request.name.clone());
    let name = name.unwrap_or_else(|| submission::job_name(&args.submit.file));
    let path = path(&name)?;
    request.name = Some(name);
    request.description = args.description.clone().or(request.description);
    request.note = args.note.clone().or(request.note);
    let mut put = client.request(Method::PUT, &path)?.json(&request);
    if let Some(etag) = &args.if_match {
        put = put.header("if-match", format!("\"{}\"", etag.trim_matches('"')));
    }
    let pipeline: Pipeline = client.json(put).await?;
    eprintln!("pipeline {} is at version {}", pipeline.name, pipeline.version);
    print_pipeline(&pipeline, args.submit.output)
}

/// A file that is a whole [`PipelineRequest`]; nothing when it is a job.
fn definition(file: &Path) -> Result<Option<PipelineRequest>, Error> {
    let Some(value) = read_document(file)? else {
        return Ok(None);
    };
    if value.get("definition").is_none() {
        return Ok(None);
    }
    serde_json::from_value(value)
        .map(Some)
        .map_err(|error| Error::Usage(format!("{} is not a pipeline's definition: {error}", file.display())))
}

/// A JSON file; nothing when it is none.
pub(super) fn read_document(file: &Path) -> Result<Option<serde_json::Value>, Error> {
    if file.extension().is_none_or(|extension| extension != "json") {
        return Ok(None);
    }
    let text = std::fs::read_to_string(file)
        .map_err(|error| Error::Usage(format!("cannot read {}: {error}", file.display())))?;
    serde_json::from_str(&text)
        .map(Some)
        .map_err(|error| Error::Usage(format!("{} is not JSON: {error}", file.display())))
}

async fn run(args: &PipelineRunArgs) -> Result<(), Error> {
    let client = target::required(&args.target)?;
    let request = PipelineRunRequest {
        version: args.pipeline_version,
        name: args.run_name.clone(),
        parameters: args.params.params.iter().cloned().collect(),
        labels: args.labels.iter().cloned().collect(),
        settings: submit::settings(&args.settings)?,
    };
    let key = args.idempotency_key.clone().unwrap_or_else(clock::new_request_id);
    let post = client
        .request(Method::POST, &format!("{}/runs", path(&args.name)?))?
        .header("idempotency-key", key)
        .json(&request);
    let run: Run = client.json(post).await?;
    submit::submitted(&client, run, args.wait, None, args.output).await
}

async fn versions(args: &TargetArgs, name: &str, version: Option<u32>, output: OutputFormat) -> Result<(), Error> {
    let client = target::required(args)?;
    let path = format!("{}/versions", path(name)?);
    if let Some(version) = version {
        let version: PipelineVersion = client
            .json(client.request(Method::GET, &format!("{path}/{version}"))?)
            .await?;
        let pretty = output != OutputFormat::Jsonl;
        return summary::print_json(&mut io::stdout().lock(), &version, pretty).map_err(Error::io("print the version"));
    }
    let mut versions: Vec<ListedPipelineVersion> = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let request = client.request(Method::GET, &path)?;
        let page: PipelineVersionPage = client.json(paged(request, cursor.as_deref())).await?;
        versions.extend(page.items);
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    print_versions(&versions, output)
}

fn print_pipelines(pipelines: &[ListedPipeline], output: OutputFormat) -> Result<(), Error> {
    let mut out = io::stdout().lock();
    let printed = match output {
        OutputFormat::Json => summary::print_json(&mut out, &pipelines, true),
        OutputFormat::Jsonl => pipelines
            .iter()
            .try_for_each(|pipeline| summary::print_json(&mut out, pipeline, false)),
        OutputFormat::Table => {
            let rows = pipelines.iter().map(|pipeline| {
                [
                    pipeline.name.clone(),
                    pipeline.version.to_string(),
                    pipeline.updated_at.to_string(),
                    pipeline.updated_by.clone(),
                    pipeline.description.clone().unwrap_or_default(),
                ]
            });
            print_table(&mut out, ["pipeline", "version", "updated", "by", "description"], rows)
        }
    };
    printed.map_err(Error::io("print the pipelines"))
}

/// Prints a table with a head.
pub(super) fn print_table<const N: usize>(
    out: &mut dyn Write,
    head: [&str; N],
    rows: impl Iterator<Item = [String; N]>,
) -> io::Result<()> {
    let mut table = table(head, &[]);
    for row in rows {
        table.add_row(row);
    }
    writeln!(out, "{}", trim(&table))
}

fn print_versions(versions: &[ListedPipelineVersion], output: OutputFormat) -> Result<(), Error> {
    let mut out = io::stdout().lock();
    let printed = match output {
        OutputFormat::Json => summary::print_json(&mut out, &versions, true),
        OutputFormat::Jsonl => versions
            .iter()
            .try_for_each(|version| summary::print_json(&mut out, version, false)),
        OutputFormat::Table => {
            let rows = versions.iter().map(|version| {
                [
                    version.version.to_string(),
                    version.created_at.to_string(),
                    version.created_by.clone(),
                    version.note.clone().unwrap_or_default(),
                ]
            });
            print_table(&mut out, ["version", "made", "by", "note"], rows)
        }
    };
    printed.map_err(Error::io("print the versions"))
}

fn print_pipeline(pipeline: &Pipeline, output: OutputFormat) -> Result<(), Error> {
    let mut out = io::stdout().lock();
    let printed = match output {
        OutputFormat::Json => summary::print_json(&mut out, pipeline, true),
        OutputFormat::Jsonl => summary::print_json(&mut out, pipeline, false),
        OutputFormat::Table => {
            let lines = [
                ("pipeline", pipeline.name.clone()),
                ("version", pipeline.version.to_string()),
                ("description", pipeline.description.clone().unwrap_or_default()),
                ("made", format!("{} by {}", pipeline.created_at, pipeline.created_by)),
                ("updated", format!("{} by {}", pipeline.updated_at, pipeline.updated_by)),
                ("etag", pipeline.etag.clone()),
            ];
            print_lines(&mut out, &lines)
        }
    };
    printed.map_err(Error::io("print the pipeline"))
}

/// Prints names with their values; those without a value are left out.
pub(super) fn print_lines(out: &mut dyn Write, lines: &[(&str, String)]) -> io::Result<()> {
    let width = lines.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    for (name, value) in lines.iter().filter(|(_, value)| !value.is_empty()) {
        writeln!(out, "{name:width$}  {value}")?;
    }
    Ok(())
}
