//! What there is on the server, so that requests are about something, and how the tester is told of it.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::server::Server;
use crate::command::root;
use crate::error::{Error, Result};

/// Things of each kind that the tester may delete: some requests find them, and later ones find that they are gone.
const DOOMED: usize = 4;
/// The word count's component.
const COMPONENT: &str = "examples/wordcount/tokenizer.wasm";
/// Runs until it is cancelled.
const ENDLESS: &str = "SELECT count(*) AS n FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b \
                       WHERE sin(a.value * b.value) > 2";

/// Words that the tester uses, and where.
#[derive(Default)]
pub(super) struct Things {
    /// Each with its values.
    dictionaries: Vec<(String, Vec<Value>)>,
    /// Parameters of all operations, such as `path.run`, with their dictionaries.
    everywhere: Vec<(String, String)>,
    /// Those of one operation.
    of_operations: Vec<(&'static str, String, String)>,
}

impl Things {
    /// Values of a parameter, or of a field of a body, wherever it is.
    fn everywhere(&mut self, parameter: &str, values: impl IntoIterator<Item = impl Into<Value>>) {
        let dictionary = self.dictionary(values);
        self.everywhere.push((parameter.to_owned(), dictionary));
    }

    /// The same in some operations only, instead of the values that it has elsewhere.
    fn only_in(
        &mut self,
        operations: &[&'static str],
        parameter: &str,
        values: impl IntoIterator<Item = impl Into<Value>>,
    ) {
        let dictionary = self.dictionary(values);
        for operation in operations {
            self.of_operations
                .push((operation, parameter.to_owned(), dictionary.clone()));
        }
    }

    fn dictionary(&mut self, values: impl IntoIterator<Item = impl Into<Value>>) -> String {
        let name = format!("words_{}", self.dictionaries.len());
        let values = values.into_iter().map(Into::into).collect();
        self.dictionaries.push((name.clone(), values));
        name
    }

    /// The tester's configuration: most requests are about what is there, and some about what it makes up.
    pub(super) fn configuration(&self) -> String {
        let binding = |parameter: &str, dictionary: &str| {
            format!(
                "{} = {{ dictionary = {dictionary:?}, probability = 0.8 }}",
                json!(parameter)
            )
        };
        let mut text = String::new();
        // Writing to a string cannot fail.
        for (name, values) in &self.dictionaries {
            let _ = writeln!(text, "[dictionaries.{name}]\nvalues = {}\n", json!(values));
        }
        text.push_str("[parameters]\n");
        for (parameter, dictionary) in &self.everywhere {
            let _ = writeln!(text, "{}", binding(parameter, dictionary));
        }
        let mut operations: Vec<&str> = self.of_operations.iter().map(|(operation, ..)| *operation).collect();
        operations.sort_unstable();
        operations.dedup();
        for wanted in operations {
            let _ = writeln!(
                text,
                "\n[[operations]]\ninclude-operation-id = {wanted:?}\n[operations.parameters]"
            );
            let of_operation = self.of_operations.iter().filter(|(operation, ..)| *operation == wanted);
            for (_, parameter, dictionary) in of_operation {
                let _ = writeln!(text, "{}", binding(parameter, dictionary));
            }
        }
        text
    }
}

/// Makes some of everything, as people do.
pub(super) fn make(server: &Server) -> Result<Things> {
    let mut things = Things::default();
    things.everywhere("header.Weir-Namespace", ["default"]);
    make_modules(server, &mut things)?;
    make_pipelines(server, &mut things)?;
    make_runs(server, &mut things)?;
    make_namespaces(server, &mut things)?;
    make_keys(server, &mut things)?;
    // What is in what was made above.
    for (parameter, values) in [
        ("path.stage", json!([0, 1])),
        ("query.stage", json!([0, 1])),
        ("path.task", json!([0])),
        ("path.file", json!([0])),
        ("path.seq", json!([1, 2, 5])),
        ("path.version", json!(["1", "2", "latest"])),
        ("query.wait", json!(["0", "1", "1s"])),
        ("query.sort", json!(["elapsed_us", "-rows_out"])),
        ("query.cron", json!(["@daily", "30 6 * * MON-FRI"])),
        ("body.cron", json!(["@yearly", "0 0 1 1 *"])),
        ("query.time_zone", json!(["UTC", "Europe/Berlin"])),
        ("body.time_zone", json!(["UTC", "Europe/Berlin"])),
        ("body.script", json!(["SELECT 1 AS one", "SELECT one"])),
        ("body.sql.statement", json!(["SELECT 1 AS one"])),
        ("body.definition.sql.statement", json!(["SELECT 1 AS one"])),
    ] {
        things.everywhere(parameter, values.as_array().cloned().unwrap_or_default());
    }
    Ok(things)
}

fn make_modules(server: &Server, things: &mut Things) -> Result<()> {
    let path = root().join(COMPONENT);
    let bytes = std::fs::read(&path).map_err(Error::io("read", path))?;
    let upload = |name: String, bytes: &[u8]| -> Result<String> {
        server.write(&name, bytes)?;
        let printed = server.client(&["modules", "upload", &name])?;
        let digest = printed.split_whitespace().next();
        digest
            .map(str::to_owned)
            .ok_or_else(|| missing("digest", &json!(printed)))
    };
    let kept = upload("kept.wasm".to_owned(), &bytes)?;
    // Another component each time, by a section that means nothing.
    let other = |n: usize| [&bytes[..], &[0, 3, 1, b'n', n as u8]].concat();
    let doomed: Result<Vec<_>> = (0..DOOMED).map(|n| upload(format!("{n}.wasm"), &other(n))).collect();
    things.everywhere("path.digest", [kept]);
    things.only_in(&["modules_delete"], "path.digest", doomed?);
    Ok(())
}

fn make_pipelines(server: &Server, things: &mut Things) -> Result<()> {
    let file = root().join("tests/api/pipeline.yaml");
    let pipeline = std::fs::read_to_string(&file).map_err(Error::io("read", file))?;
    server.write("pipeline.yaml", &pipeline)?;
    server.write("query.sql", "SELECT 1 AS one")?;
    let apply = |file: &str, name: &str, more: &[&str]| {
        let args = ["pipelines", "apply", file, "--name", name];
        server.json(&[&args, more].concat())
    };
    apply("pipeline.yaml", "kept", &[])?;
    apply("query.sql", "kept", &["--module", "kept.wasm"])?;
    let schedule = |name: &str| {
        let schedule = json!({"name": name, "pipeline": "kept", "cron": "@yearly"});
        server.write("schedule.json", schedule.to_string())?;
        server.json(&["schedules", "apply", "schedule.json"])
    };
    schedule("kept")?;
    let doomed: Vec<String> = (0..DOOMED).map(|n| format!("doomed-{n}")).collect();
    for name in &doomed {
        apply("query.sql", name, &[])?;
        schedule(name)?;
    }
    let doomed = || doomed.iter().map(String::as_str);
    for parameter in ["path.pipeline", "query.pipeline", "path.schedule", "query.schedule"] {
        things.everywhere(parameter, ["kept"]);
    }
    things.only_in(&["pipelines_delete"], "path.pipeline", doomed());
    things.only_in(&["schedules_delete"], "path.schedule", doomed());
    things.only_in(&["schedules_create", "schedules_put"], "body.pipeline", ["kept"]);
    things.only_in(
        &["pipelines_create", "pipelines_put"],
        "body.definition.pipeline",
        [pipeline.as_str()],
    );
    things.only_in(&["runs_submit"], "body.pipeline", [pipeline.as_str()]);
    Ok(())
}

fn make_runs(server: &Server, things: &mut Things) -> Result<()> {
    let done = server.json(&["pipelines", "run", "kept", "--pipeline-version", "1", "--wait"])?;
    let done = text(&done, "id")?;
    let rows = server.json(&["pipelines", "run", "kept", "--wait"])?;
    let outputs = server.json(&["runs", "outputs", &done])?;
    let outputs = outputs.as_array().ok_or_else(|| missing("list", &outputs))?;
    let output = outputs.first().map(|output| output["id"].clone());
    things.everywhere(
        "path.output",
        [output.ok_or_else(|| missing("output", &json!(outputs)))?],
    );
    things.everywhere("path.run", [done, text(&rows, "id")?]);
    server.write("endless.sql", ENDLESS)?;
    let endless = || text(&server.json(&["submit", "endless.sql"])?, "id");
    things.only_in(&["runs_cancel"], "path.run", [endless()?]);
    // The run before has been cancelled by the time at which these are tried.
    things.only_in(&["runs_pause", "runs_resume"], "path.run", [endless()?]);
    Ok(())
}

fn make_namespaces(server: &Server, things: &mut Things) -> Result<()> {
    let names: Vec<String> = (0..=DOOMED).map(|n| format!("tenant-{n}")).collect();
    for name in &names {
        server.json(&["namespaces", "create", name])?;
    }
    let (kept, doomed) = names.split_at(1);
    server.json(&["quotas", "set", &kept[0], "--max-runs", "3"])?;
    things.everywhere("path.namespace", kept.iter().map(String::as_str));
    things.only_in(
        &["namespaces_delete"],
        "path.namespace",
        doomed.iter().map(String::as_str),
    );
    Ok(())
}

fn make_keys(server: &Server, things: &mut Things) -> Result<()> {
    let make = |n| {
        let created = server.json(&["keys", "create", &format!("key {n}"), "--role", "viewer"])?;
        text(&created["key"], "id")
    };
    things.everywhere("path.key", [make(DOOMED)?]);
    let doomed: Result<Vec<_>> = (0..DOOMED).map(make).collect();
    things.only_in(&["keys_revoke"], "path.key", doomed?);
    Ok(())
}

/// A field of what a command printed.
fn text(printed: &Value, field: &str) -> Result<String> {
    let found = printed[field].as_str().map(str::to_owned);
    found.ok_or_else(|| missing(field, printed))
}

fn missing(what: &str, printed: &Value) -> Error {
    Error::Output {
        command: "weir".to_owned(),
        problem: format!("no `{what}` in {printed}"),
    }
}
