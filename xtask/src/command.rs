//! Starting programs, and saying so.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::{Error, Result};

/// The folder of the main workspace.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask lies in the root of the repository")
}

/// A cargo command in `dir`.
pub(crate) fn cargo(dir: &Path) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")));
    command.current_dir(dir);
    // Whoever runs this by cargo has it, and build scripts of dependencies would run again for it, and again without.
    command.env_remove("CARGO_MANIFEST_DIR");
    command
}

/// The folder that the main workspace's build goes to.
pub(crate) fn target_dir() -> Result<PathBuf> {
    let metadata = metadata(root())?;
    metadata["target_directory"]
        .as_str()
        .map(PathBuf::from)
        .ok_or_else(|| Error::Output {
            command: "cargo metadata".to_owned(),
            problem: "no target_directory".to_owned(),
        })
}

/// What `cargo metadata` says of the workspace in `dir`, without dependencies.
pub(crate) fn metadata(dir: &Path) -> Result<serde_json::Value> {
    let mut command = cargo(dir);
    command.args(["metadata", "--no-deps", "--format-version", "1"]);
    let text = read(&mut command)?;
    serde_json::from_str(&text).map_err(|error| Error::Output {
        command: describe(&command),
        problem: error.to_string(),
    })
}

/// Runs a command with this process's streams, after printing it to stderr.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    eprintln!("$ {}", describe(command));
    let status = command.status().map_err(|source| Error::Start {
        command: describe(command),
        source,
    })?;
    if status.success() {
        Ok(())
    } else {
        Err(Error::Failed {
            command: describe(command),
            status,
        })
    }
}

/// Runs a command and returns what it prints to stdout.
pub(crate) fn read(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|source| Error::Start {
            command: describe(command),
            source,
        })?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    } else {
        Err(Error::Failed {
            command: describe(command),
            status: output.status,
        })
    }
}

/// Whether a program of this name is on PATH.
pub(crate) fn on_path(program: &str) -> bool {
    env::var_os("PATH").is_some_and(|path| env::split_paths(&path).any(|dir| dir.join(program).is_file()))
}

/// The command as one would type it.
fn describe(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let program = program.file_name().unwrap_or(command.get_program()).to_string_lossy();
    let args = command.get_args().map(|arg| arg.to_string_lossy());
    let line = std::iter::once(program).chain(args).collect::<Vec<_>>().join(" ");
    match command.get_current_dir().and_then(|dir| dir.strip_prefix(root()).ok()) {
        Some(dir) if dir != Path::new("") => format!("(cd {} && {line})", dir.display()),
        _ => line,
    }
}
