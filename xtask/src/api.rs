//! The HTTP API against the document that describes it, by a tester that makes requests of the document.

use std::env;
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::command::{cargo, read, root, run, target_dir};
use crate::error::{Error, Result};
use crate::python;

/// Answers that never end: a stream is tested by itself.
const ENDLESS: &[&str] = &["stream"];
/// What must hold of every answer: it is no server error, and it is one that the document describes.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,\
                      response_schema_conformance,negative_data_rejection";
/// Requests for each operation in each phase.
const EXAMPLES: &str = "60";
/// The same requests each time, unless `WEIR_API_SEED` says otherwise.
const SEED: &str = "1";
/// How long the server may take to start.
const START: Duration = Duration::from_secs(60);

/// Starts a server of its own and tests it.
pub(crate) fn check() -> Result<()> {
    let tester = match python::api_tester() {
        Ok(tools) => tools.program("schemathesis"),
        Err(error) if env::var_os("CI").is_some() => return Err(error),
        Err(error) => {
            eprintln!("skipped: {error}");
            return Ok(());
        }
    };
    run(cargo(root()).args(["build", "--locked", "--workspace", "--bin", "weir"]))?;
    let folder = tempfile::tempdir().map_err(Error::io("create", "a temporary folder"))?;
    let server = Server::start(&target_dir()?.join("debug").join("weir"), folder.path())?;
    let known = server.populate()?;
    configure(folder.path(), &known)?;
    let seed = env::var("WEIR_API_SEED").unwrap_or_else(|_| SEED.to_owned());
    let mut command = Command::new(tester);
    command
        .current_dir(folder.path())
        .env("SCHEMATHESIS_HOOKS", root().join("tests/api/hooks.py"))
        .args(["--config-file", "schemathesis.toml", "run"])
        .arg(format!("{}/api/v1/openapi.json", server.url))
        .args(["--checks", CHECKS, "--max-examples", EXAMPLES, "--seed", &seed])
        .args(["--request-timeout", "30", "--workers", "2", "--no-color"]);
    for operation in ENDLESS {
        command.args(["--exclude-operation-id", operation]);
    }
    let tested = run(&mut command);
    if tested.is_err() {
        let log = fs::read_to_string(folder.path().join("log")).unwrap_or_default();
        let errors = log.lines().filter(|line| line.contains("ERROR")).take(20);
        errors.for_each(|line| eprintln!("server: {line}"));
    }
    tested
}

/// Tells the tester of things that exist, by the names of the parameters that are them: most requests are about those.
fn configure(folder: &Path, known: &[(&str, String)]) -> Result<()> {
    let mut text = String::new();
    for (parameter, value) in known {
        text.push_str(&format!("[dictionaries.{parameter}]\nvalues = [{value:?}]\n\n"));
    }
    text.push_str("[parameters]\n");
    for (parameter, _) in known {
        text.push_str(&format!(
            "\"path.{parameter}\" = {{ dictionary = \"{parameter}\", probability = 0.8 }}\n"
        ));
    }
    let file = folder.join("schemathesis.toml");
    fs::write(&file, text).map_err(Error::io("write", file))
}

/// A server of this machine's; ends when it is dropped.
struct Server {
    binary: PathBuf,
    folder: PathBuf,
    process: Child,
    url: String,
}

impl Server {
    fn start(binary: &Path, folder: &Path) -> Result<Self> {
        let log = folder.join("log");
        let mut log_file = File::create(&log).map_err(Error::io("create", &log))?;
        let process = Command::new(binary)
            .current_dir(folder)
            .args(["dev", "--listen", "127.0.0.1:0", "--data-dir", "data"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|source| Error::Start {
                command: "weir dev".to_owned(),
                source,
            })?;
        let mut server = Self {
            binary: binary.to_owned(),
            folder: folder.to_owned(),
            process,
            url: String::new(),
        };
        let (found, address) = mpsc::channel();
        if let Some(stderr) = server.process.stderr.take() {
            thread::spawn(move || {
                for line in BufReader::new(stderr).lines().map_while(io::Result::ok) {
                    if let Some(url) = line.strip_prefix("listening on ") {
                        // Nobody waits for a second one.
                        let _ = found.send(url.to_owned());
                    }
                    // What cannot be kept is not worth the end of the test.
                    let _ = io::Write::write_all(&mut log_file, format!("{line}\n").as_bytes());
                }
            });
        }
        server.url = address.recv_timeout(START).map_err(|_| Error::Output {
            command: "weir dev".to_owned(),
            problem: "it does not say where it listens".to_owned(),
        })?;
        Ok(server)
    }

    /// Makes one of everything, as people do; says the values of the parameters that name them.
    fn populate(&self) -> Result<Vec<(&'static str, String)>> {
        let pipeline = root().join("tests/api/pipeline.yaml");
        let pipeline = pipeline.to_string_lossy();
        let run = self.client(&["submit", &pipeline, "--wait", "-o", "json"])?;
        Ok(vec![("run", text(&run, "id")?)])
    }

    /// What a command of the client prints, as JSON.
    fn client(&self, args: &[&str]) -> Result<Value> {
        let mut command = Command::new(&self.binary);
        command
            .current_dir(&self.folder)
            .env("WEIR_ENDPOINT", &self.url)
            .args(args);
        let printed = read(&mut command)?;
        serde_json::from_str(&printed).map_err(|error| Error::Output {
            command: format!("weir {}", args.join(" ")),
            problem: error.to_string(),
        })
    }
}

/// A field of what a command printed.
fn text(printed: &Value, field: &str) -> Result<String> {
    let found = printed[field].as_str().map(str::to_owned);
    found.ok_or_else(|| Error::Output {
        command: "weir".to_owned(),
        problem: format!("no `{field}` in {printed}"),
    })
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
