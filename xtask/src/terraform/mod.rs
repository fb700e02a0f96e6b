//! The checks of the Terraform modules, the image and the operator's documents.
//!
//! Everything runs on copies in a temporary folder, so that a checkout stays as it is. Where a tool or the AWS provider
//! cannot be had, this says which checks were left out, and runs the others.

mod apply;
mod cost;
mod generated;
mod provider;
mod readme;
mod suite;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::command::{on_path, root, run as run_command};
use crate::error::{Error, Result};
use crate::python;

const NO_TERRAFORM: &str = "terraform is not installed";
const NO_PROVIDER: &str = "there is no AWS provider in a local plugin folder, and none can be downloaded";

/// What the command is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Check everything.
    Check,
    /// Write the tables of the documents anew.
    Write,
    /// Apply the stack to an emulator of AWS, and plan again.
    ApplyLocal,
}

/// Runs the checks, or what else `mode` says.
pub(crate) fn run(mode: Mode) -> Result<()> {
    match mode {
        Mode::Check => check(),
        Mode::Write => generated::write(&tables()?),
        Mode::ApplyLocal => {
            let scratch = Scratch::new()?;
            if !on_path("terraform") {
                return Err(Error::Terraform(NO_TERRAFORM.to_owned()));
            }
            let provider = provider::find(&scratch)?.ok_or_else(|| Error::Terraform(NO_PROVIDER.to_owned()))?;
            apply::run(&scratch, &provider)
        }
    }
}

fn check() -> Result<()> {
    let mut failed = Vec::new();
    let mut left_out = Vec::new();
    let mut step = |name: &str, outcome: Result<()>| {
        if let Err(error) = outcome {
            eprintln!("error: {name}: {}", with_sources(&error));
            failed.push(name.to_owned());
        }
    };

    step("tables", tables().and_then(|tables| generated::check(&tables)));
    let scratch = Scratch::new()?;
    if on_path("terraform") {
        step("fmt", suite::format(&scratch));
        match provider::find(&scratch)? {
            Some(provider) => {
                eprintln!("AWS provider: {provider}");
                step("validate", suite::validate(&scratch, &provider));
                step("test", suite::test(&scratch, &provider));
            }
            None => left_out.push(format!("validate, test ({NO_PROVIDER})")),
        }
    } else {
        left_out.push(format!("fmt, validate, test ({NO_TERRAFORM})"));
    }
    match python::tools() {
        Ok(tools) => {
            step("checkov", checkov(&tools));
            step("hadolint", hadolint(&tools));
        }
        Err(error) => left_out.push(format!("checkov, hadolint ({})", with_sources(&error))),
    }

    for what in &left_out {
        eprintln!("left out: {what}");
    }
    if failed.is_empty() {
        eprintln!("terraform, image and documents: ok");
        Ok(())
    } else {
        Err(Error::Steps(failed))
    }
}

fn with_sources(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// Every document with tables that are made here.
fn tables() -> Result<Vec<generated::Document>> {
    let mut documents = readme::documents(&root().join("terraform"))?;
    documents.push(cost::document(&root().join("docs"))?);
    Ok(documents)
}

/// Policies for Terraform, the manifests and the image.
fn checkov(tools: &python::Tools) -> Result<()> {
    let scan = |what: &[&str]| {
        run_command(
            Command::new(tools.program("checkov"))
                .current_dir(root())
                .args(["--compact", "--quiet", "--skip-download"])
                .args(what)
                .env("LOG_LEVEL", "ERROR"),
        )
    };
    scan(&["--framework", "terraform", "kubernetes", "--directory", "terraform"])?;
    scan(&["--framework", "dockerfile", "--file", "images/Dockerfile"])
}

fn hadolint(tools: &python::Tools) -> Result<()> {
    run_command(
        Command::new(tools.program("hadolint"))
            .current_dir(root())
            .arg("images/Dockerfile"),
    )
}

/// A copy of what Terraform reads, in a temporary folder.
struct Scratch {
    folder: TempDir,
}

impl Scratch {
    fn new() -> Result<Self> {
        let folder = tempfile::tempdir().map_err(Error::io("create a folder in", std::env::temp_dir()))?;
        let scratch = Self { folder };
        copy(&root().join("terraform"), &scratch.terraform())?;
        copy(&root().join("docs"), &scratch.path("docs"))?;
        // A configuration of the machine's might name folders that are not there.
        let config = scratch.path("terraform.rc");
        fs::write(&config, "").map_err(Error::io("write", config))?;
        Ok(scratch)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The root module.
    fn terraform(&self) -> PathBuf {
        self.path("terraform")
    }

    /// A Terraform command in `dir`, away from the machine's configuration and credentials.
    fn command(&self, dir: &Path) -> Command {
        let mut command = Command::new("terraform");
        command
            .current_dir(dir)
            .env("TF_CLI_CONFIG_FILE", self.path("terraform.rc"))
            .env("TF_IN_AUTOMATION", "true")
            .env("CHECKPOINT_DISABLE", "true")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env_remove("TF_DATA_DIR");
        command
    }
}

/// Copies a folder without what Terraform leaves in it.
fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).map_err(Error::io("create", to))?;
    for entry in fs::read_dir(from).map_err(Error::io("read", from))? {
        let entry = entry.map_err(Error::io("read", from))?;
        let (name, source) = (entry.file_name(), entry.path());
        let is_folder = entry.file_type().map_err(Error::io("read", &source))?.is_dir();
        let text = name.to_string_lossy();
        if text.starts_with(".terraform") || text.contains(".tfstate") {
            continue;
        }
        let target = to.join(&name);
        if is_folder {
            copy(&source, &target)?;
        } else {
            fs::copy(&source, target).map_err(Error::io("copy", &source))?;
        }
    }
    Ok(())
}
