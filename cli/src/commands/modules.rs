//! `weir modules`.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use reqwest::Method;
use weir_control_plane::http::resources::{Column, ListedModule, Module, ModulePage};
use weir_model::Digest;

use crate::args::{ModulesCommand, OutputFormat};
use crate::client::{self, Client};
use crate::error::Error;
use crate::summary::{self, table, trim};
use crate::{format, submission, target};

/// Modules that a server lists at once.
const PAGE: u32 = 500;

pub(super) async fn execute(command: ModulesCommand) -> Result<(), Error> {
    match command {
        ModulesCommand::List { target, output } => {
            let modules = list(&target::required(&target)?).await?;
            print_list(&mut io::stdout().lock(), &modules, output).map_err(Error::io("print the modules"))
        }
        ModulesCommand::Get { digest, target, output } => {
            let client = target::required(&target)?;
            let module: Module = client.json(client.request(Method::GET, &path(&digest))?).await?;
            print_module(&mut io::stdout().lock(), &module, output).map_err(Error::io("print the module"))
        }
        ModulesCommand::Upload { files, target } => upload(&target::required(&target)?, &files).await,
        ModulesCommand::Delete { digest, target } => {
            let client = target::required(&target)?;
            let answer = client.send(client.request(Method::DELETE, &path(&digest))?).await?;
            match answer.status().is_success() {
                true => Ok(()),
                false => client::read(answer).await,
            }
        }
    }
}

fn path(digest: &Digest) -> String {
    format!("/api/v1/modules/{digest}")
}

async fn list(client: &Client) -> Result<Vec<ListedModule>, Error> {
    let mut modules = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let mut request = client
            .request(Method::GET, "/api/v1/modules")?
            .query(&[("limit", PAGE)]);
        if let Some(cursor) = &cursor {
            request = request.query(&[("cursor", cursor)]);
        }
        let page: ModulePage = client.json(request).await?;
        modules.extend(page.items);
        cursor = page.next_cursor;
        if cursor.is_none() {
            return Ok(modules);
        }
    }
}

async fn upload(client: &Client, files: &[PathBuf]) -> Result<(), Error> {
    for file in files {
        let bytes = submission::read_module(Path::new(file)).await?;
        let digest = Digest::of(&bytes);
        client.upload(digest, bytes).await?;
        writeln!(io::stdout(), "{digest}  {}", file.display()).map_err(Error::io("print the digest"))?;
    }
    Ok(())
}

fn print_list(out: &mut dyn Write, modules: &[ListedModule], output: OutputFormat) -> io::Result<()> {
    match output {
        OutputFormat::Json => summary::print_json(out, &modules, true),
        OutputFormat::Jsonl => modules
            .iter()
            .try_for_each(|module| summary::print_json(out, module, false)),
        OutputFormat::Table => {
            let mut table = table(["digest", "size", "uploaded", "by", "functions"], &[1]);
            for module in modules {
                table.add_row([
                    module.digest.to_string(),
                    format::bytes(module.bytes),
                    format::time(module.uploaded_at.0),
                    module.uploaded_by.clone().unwrap_or_else(|| "-".to_owned()),
                    module
                        .functions
                        .as_ref()
                        .map_or_else(|| "-".to_owned(), |functions| functions.join(", ")),
                ]);
            }
            writeln!(out, "{}", trim(&table))
        }
    }
}

fn print_module(out: &mut dyn Write, module: &Module, output: OutputFormat) -> io::Result<()> {
    if output != OutputFormat::Table {
        return summary::print_json(out, module, output == OutputFormat::Json);
    }
    writeln!(out, "digest    {}", module.digest)?;
    writeln!(out, "size      {}", format::bytes(module.bytes))?;
    if let Some(at) = module.uploaded_at {
        let by = module.uploaded_by.as_deref().unwrap_or("-");
        writeln!(out, "uploaded  {} by {by}", format::time(at.0))?;
    }
    let mut table = table(["function", "kind", "takes", "gives"], &[]);
    for function in &module.functions {
        let gives: Vec<String> = function
            .outputs
            .iter()
            .map(|given| match function.kind.as_str() {
                "flat_map" => format!("{}({})", given.name, columns(&given.columns)),
                _ => given.columns.iter().map(|column| column.kind.as_str()).collect(),
            })
            .collect();
        table.add_row([
            function.name.clone(),
            function.kind.clone(),
            columns(&function.arguments),
            gives.join(", "),
        ]);
    }
    writeln!(out, "\n{}", trim(&table))
}

/// `name type, name type?`, where a question mark says that it may be null.
fn columns(columns: &[Column]) -> String {
    let text = |column: &Column| {
        let null = if column.nullable { "?" } else { "" };
        format!("{} {}{null}", column.name, column.kind)
    };
    columns.iter().map(text).collect::<Vec<_>>().join(", ")
}
