//! The HTTP API against the document that describes it, by a tester that makes requests of the document.

use std::env;
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::command::{cargo, root, run, target_dir};
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
    let seed = env::var("WEIR_API_SEED").unwrap_or_else(|_| SEED.to_owned());
    let mut command = Command::new(tester);
    command
        .current_dir(folder.path())
        .env("SCHEMATHESIS_HOOKS", root().join("tests/api/hooks.py"))
        .args(["run", &format!("{}/api/v1/openapi.json", server.url)])
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

/// A server of this machine's; ends when it is dropped.
struct Server {
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
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
