//! `weir submit`.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use serde_json::{Map, Value};
use weir_control_plane::http::resources::{Run, RunRequest, SqlJob, Table};
use weir_engine::statements::{self, StatementRole};
use weir_platform::clock;

use crate::args::{OutputFormat, SubmitArgs};
use crate::client::Client;
use crate::error::Error;
use crate::{drive, submission, summary, target};

pub(super) async fn execute(args: SubmitArgs) -> Result<(), Error> {
    let client = target::required(&args.target)?;
    let request = request(&client, &args).await?;
    let key = args.idempotency_key.clone().unwrap_or_else(clock::new_request_id);
    let run = client.submit(&request, &key).await?;
    submitted(
        &client,
        run,
        args.wait,
        args.timeout.map(Duration::from_secs),
        args.output,
    )
    .await
}

/// Prints a run that was just made; follows it to its end when that is wanted.
pub(super) async fn submitted(
    client: &Client,
    run: Run,
    wait: bool,
    patience: Option<Duration>,
    output: OutputFormat,
) -> Result<(), Error> {
    let mut out = io::stdout();
    if !wait {
        let printed = match output {
            OutputFormat::Table => writeln!(out, "{}", run.id),
            _ => summary::print_run(&mut out, &run, output),
        };
        return printed.map_err(Error::io("print the run"));
    }
    eprintln!("run {}", run.id);
    let run = drive::remote(client, run, patience).await?;
    summary::print_run(&mut out, &run, output).map_err(Error::io("print the run"))?;
    if output == OutputFormat::Table {
        match client.findings(run.id).await {
            Ok(found) => summary::mention_findings(&found),
            // The run is over and told of: this is no reason to fail.
            Err(error) => tracing::debug!(error = &error as &dyn std::error::Error, "cannot read the findings"),
        }
    }
    drive::check(&run)
}

/// The request, with its modules uploaded.
pub(super) async fn request(client: &Client, args: &SubmitArgs) -> Result<RunRequest, Error> {
    let mut request = match args.file.extension().is_some_and(|extension| extension == "sql") {
        true => sql(client, args).await?,
        false => pipeline(client, args).await?,
    };
    request.labels = args.labels.iter().cloned().collect();
    request.settings = settings(&args.settings)?;
    if let Some(name) = &args.name {
        request.name = Some(name.clone());
    }
    request.base = Some(match &args.base {
        Some(base) => base.clone(),
        None => submission::current_folder()?,
    });
    Ok(request)
}

async fn pipeline(client: &Client, args: &SubmitArgs) -> Result<RunRequest, Error> {
    if !args.tables.is_empty() || !args.modules.is_empty() {
        return Err(Error::Usage(
            "--table and --module are for SQL; a pipeline names its files itself".to_owned(),
        ));
    }
    let parameters: BTreeMap<String, String> = args.params.params.iter().cloned().collect();
    // Checked here first: the file's name is in the messages, and nothing is uploaded for a typing mistake.
    let (yaml, pipeline) = submission::read_pipeline(&args.file, &parameters)?;
    let paths = pipeline
        .module_paths()
        .into_iter()
        .map(|path| path.to_string())
        .collect();
    let folder = args.file.parent().unwrap_or(Path::new(""));
    Ok(RunRequest {
        name: Some(submission::job_name(&args.file)),
        pipeline: Some(Value::String(yaml)),
        file: Some(args.file.display().to_string()),
        parameters,
        modules: submission::upload_to(client, folder, paths).await?,
        ..Default::default()
    })
}

async fn sql(client: &Client, args: &SubmitArgs) -> Result<RunRequest, Error> {
    if !args.params.params.is_empty() {
        return Err(Error::Usage(
            "--param is for pipelines; SQL has no parameters".to_owned(),
        ));
    }
    let script = std::fs::read_to_string(&args.file).map_err(|error| {
        Error::Usage(format!(
            "cannot read the statements of {}: {error}",
            args.file.display()
        ))
    })?;
    let statements = statements::split(&script).map_err(|error| Error::Usage(error.to_string()))?;
    let queries = statements
        .iter()
        .filter(|statement| statement.role == StatementRole::Query);
    if queries.count() != 1 {
        return Err(Error::Usage(
            "a submitted script has exactly one statement that has rows or writes files".to_owned(),
        ));
    }
    let (queries, setup): (Vec<_>, Vec<_>) = statements
        .into_iter()
        .partition(|statement| statement.role == StatementRole::Query);
    let paths = args
        .modules
        .iter()
        .map(|file| file.to_string_lossy().into_owned())
        .collect();
    let tables = args.tables.iter().map(|(name, path)| Table {
        name: name.clone(),
        path: path.clone(),
    });
    Ok(RunRequest {
        name: Some(submission::job_name(&args.file)),
        sql: Some(SqlJob {
            statement: queries.into_iter().map(|statement| statement.text).collect(),
            setup: setup.into_iter().map(|statement| statement.text).collect(),
            tables: tables.collect(),
        }),
        modules: submission::upload_to(client, Path::new(""), paths).await?,
        ..Default::default()
    })
}

/// `a.b=1` as `{"a": {"b": 1}}`.
pub(super) fn settings(pairs: &[(String, String)]) -> Result<Option<Map<String, Value>>, Error> {
    let mut settings = Map::new();
    for (path, text) in pairs {
        // A word that is not JSON is a string.
        let value = serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.clone()));
        let mut names: Vec<&str> = path.split('.').collect();
        let last = names.pop().unwrap_or_default();
        let mut at = &mut settings;
        for name in names {
            let inner = at
                .entry(name.to_owned())
                .or_insert_with(|| Value::Object(Map::new()))
                .as_object_mut();
            at = inner.ok_or_else(|| Error::Usage(format!("`{path}`: `{name}` is given a value of its own")))?;
        }
        at.insert(last.to_owned(), value);
    }
    Ok((!settings.is_empty()).then_some(settings))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn settings_are_paths_into_json() {
        let pairs = |list: &[(&str, &str)]| -> Vec<(String, String)> {
            list.iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect()
        };
        let given = pairs(&[
            ("target_partitions", "16"),
            ("retry.max_attempts", "2"),
            ("retry.word", "on"),
        ]);
        let expected = json!({"target_partitions": 16, "retry": {"max_attempts": 2, "word": "on"}});
        assert_eq!(settings(&given).unwrap().map(Value::Object), Some(expected));
        assert!(settings(&pairs(&[("retry", "1"), ("retry.max_attempts", "2")])).is_err());
        assert_eq!(settings(&[]).unwrap(), None);
    }
}
