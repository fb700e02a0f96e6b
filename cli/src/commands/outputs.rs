//! `weir runs outputs`.

use std::io::{self, Write};

use reqwest::Method;
use serde::Serialize;
use serde_json::Value;
use weir_control_plane::http::resources::{RowPage, RunOutput, RunOutputs};
use weir_model::RunId;

use crate::args::{OutputFormat, RunRef, TargetArgs};
use crate::client::Client;
use crate::error::Error;
use crate::summary::{self, table, trim};
use crate::{format, target};

/// An output with its first rows.
#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    output: RunOutput,
    #[serde(skip_serializing_if = "Option::is_none")]
    preview: Option<RowPage>,
}

pub(super) async fn execute(run: RunRef, target: &TargetArgs, preview: u32, output: OutputFormat) -> Result<(), Error> {
    let client = target::required(target)?;
    let run = match run {
        RunRef::Id(run) => run,
        RunRef::Latest => {
            let newest = client.runs(&[], 1).await?.into_iter().next();
            let none = || Error::NotFound("no runs yet; `weir submit FILE` makes one".to_owned());
            newest.map(|run| run.id).ok_or_else(none)?
        }
    };
    let path = format!("/api/v1/runs/{run}/outputs");
    let outputs: RunOutputs = client.json(client.request(Method::GET, &path)?).await?;
    let mut shown = Vec::new();
    for output in outputs.items {
        let preview = match preview {
            0 => None,
            rows => Some(first_rows(&client, run, output.id, rows).await?),
        };
        shown.push(Shown { output, preview });
    }
    print(&mut io::stdout().lock(), &shown, output).map_err(Error::io("print the outputs"))
}

async fn first_rows(client: &Client, run: RunId, output: u32, rows: u32) -> Result<RowPage, Error> {
    let path = format!("/api/v1/runs/{run}/outputs/{output}/rows");
    client
        .json(client.request(Method::GET, &path)?.query(&[("limit", rows)]))
        .await
}

fn print(out: &mut dyn Write, outputs: &[Shown], format: OutputFormat) -> io::Result<()> {
    match format {
        OutputFormat::Json => return summary::print_json(out, &outputs, true),
        OutputFormat::Jsonl => {
            return outputs
                .iter()
                .try_for_each(|output| summary::print_json(out, output, false));
        }
        OutputFormat::Table => {}
    }
    let mut list = table(
        ["output", "transform", "format", "files", "rows", "size", "location"],
        &[0, 3, 4, 5],
    );
    for Shown { output, .. } in outputs {
        list.add_row([
            output.id.to_string(),
            output.transform.clone(),
            output.format.clone(),
            format::count(output.files),
            format::count(output.rows),
            format::bytes(output.bytes),
            format!("{}*", output.location),
        ]);
    }
    writeln!(out, "{}", trim(&list))?;
    for Shown { output, preview } in outputs {
        let Some(page) = preview else { continue };
        writeln!(out, "\nfirst rows of {}*", output.location)?;
        let mut rows = comfy_table::Table::new();
        rows.load_preset(comfy_table::presets::ASCII_MARKDOWN);
        rows.set_header(page.columns.iter().map(|column| column.name.clone()));
        for row in &page.rows {
            rows.add_row(row.iter().map(text));
        }
        writeln!(out, "{}", trim(&rows))?;
    }
    Ok(())
}

/// A value as text, strings without quotes.
fn text(value: &Value) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
