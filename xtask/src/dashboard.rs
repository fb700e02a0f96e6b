//! The dashboard's checks, which need Node.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::{on_path, root, run, target_dir};
use crate::debian;
use crate::error::Result;

/// What is missing when there is no Node.
pub(crate) const NEEDS: &str = "Node 20.19 or newer is not installed";

/// Whether the dashboard can be built here.
pub(crate) fn is_possible() -> bool {
    on_path("npm") && on_path("node")
}

fn dir() -> PathBuf {
    root().join("dashboard")
}

fn npm(args: &[&str]) -> Result<()> {
    run(Command::new("npm").current_dir(dir()).args(args))
}

/// Installs what the dashboard is made with, as its lock file has it, unless that is there.
fn install() -> Result<()> {
    let modified = |path: &str| {
        std::fs::metadata(dir().join(path))
            .and_then(|file| file.modified())
            .ok()
    };
    // npm leaves this file behind when it is done.
    match (
        modified("node_modules/.package-lock.json"),
        modified("package-lock.json"),
    ) {
        (Some(installed), Some(locked)) if installed >= locked => Ok(()),
        _ => npm(&["ci", "--no-fund", "--no-audit"]),
    }
}

/// Builds the dashboard; the next build of the binary takes it in.
pub(crate) fn build() -> Result<()> {
    install()?;
    npm(&["run", "build"])
}

/// Types, lints, format, and that the client is the one of `openapi.json`.
pub(crate) fn check() -> Result<()> {
    install()?;
    npm(&["run", "check"])
}

/// Runs its tests: those of its functions, and its pages in a browser over the binary that the last build of the tests
/// made.
pub(crate) fn test() -> Result<()> {
    install()?;
    npm(&["test"])?;
    let Some(browser) = browser() else {
        eprintln!("skipped the tests in a browser: install Chromium, or name it in WEIR_CHROMIUM");
        return Ok(());
    };
    let binary = target_dir()?.join("debug").join("weir");
    run(Command::new("npm")
        .current_dir(dir())
        .args(["run", "e2e"])
        .env("WEIR_CHROMIUM", browser)
        .env("WEIR_BIN", binary))
}

/// The browser for tests; Debian's is installed when there is none.
fn browser() -> Option<PathBuf> {
    if let Some(chosen) = env::var_os("WEIR_CHROMIUM") {
        return Some(chosen.into());
    }
    let find = || {
        let path = env::var_os("PATH").unwrap_or_default();
        let names = ["chromium", "chromium-browser", "google-chrome"];
        let found = env::split_paths(&path).flat_map(|dir| names.map(|name| dir.join(name)));
        found.into_iter().find(|file: &PathBuf| Path::is_file(file))
    };
    if find().is_none()
        && on_path("apt-get")
        && let Err(error) = debian::install(&["chromium"])
    {
        eprintln!("{error}");
    }
    find()
}
