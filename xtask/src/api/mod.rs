//! The HTTP API against the document that describes it, by a tester that makes requests of the document.

mod server;
mod things;

use std::process::Command;
use std::{env, fs};

use crate::command::{cargo, root, run, target_dir};
use crate::error::{Error, Result};
use crate::python;
use server::Server;

/// Answers that never end: a stream is tested by itself.
const ENDLESS: &[&str] = &["stream"];
/// What must hold of every answer: it is no server error, and it is one that the document describes.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,\
                      response_schema_conformance,negative_data_rejection";
/// Requests for each operation in each phase.
const EXAMPLES: &str = "60";
/// The same requests each time, unless `WEIR_API_SEED` says otherwise.
const SEED: &str = "1";

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
    // With the tests, whose features their dependencies have been built with already.
    run(cargo(root()).args(["build", "--locked", "--workspace", "--bin", "weir", "--test", "it"]))?;
    let folder = tempfile::tempdir().map_err(Error::io("create", "a temporary folder"))?;
    let server = Server::start(&target_dir()?.join("debug").join("weir"), folder.path())?;
    let configuration = folder.path().join("schemathesis.toml");
    let things = things::make(&server)?;
    fs::write(&configuration, things.configuration()).map_err(Error::io("write", configuration))?;
    let seed = env::var("WEIR_API_SEED").unwrap_or_else(|_| SEED.to_owned());
    let mut command = Command::new(tester);
    command
        .current_dir(folder.path())
        .env("SCHEMATHESIS_HOOKS", root().join("tests/api/hooks.py"))
        .args(["--config-file", "schemathesis.toml", "run"])
        .arg(format!("{}/api/v1/openapi.json", server.url()))
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
