//! The guest crates of the repository. They have workspaces of their own, because they are compiled for another target.

use std::fs;
use std::path::{Path, PathBuf};

use weir_guest_build::{BuildOptions, Output, build};

use crate::command::{metadata, root, target_dir};
use crate::error::{Error, Result};
use crate::toolchain;

/// The folders of all workspaces but the main one, in a fixed order.
pub(crate) fn workspaces() -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    collect(root(), &mut found)?;
    found.retain(|dir| dir != root());
    found.sort();
    Ok(found)
}

fn collect(dir: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    let manifest = dir.join("Cargo.toml");
    if manifest.is_file() {
        let text = fs::read_to_string(&manifest).map_err(Error::io("read", &manifest))?;
        if text.lines().any(|line| line.trim() == "[workspace]") {
            found.push(dir.to_owned());
        }
    }
    for entry in fs::read_dir(dir).map_err(Error::io("read", dir))? {
        let entry = entry.map_err(Error::io("read", dir))?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let skipped = name.starts_with('.') || matches!(&*name, "target" | "node_modules");
        if !skipped && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            collect(&entry.path(), found)?;
        }
    }
    Ok(())
}

/// Builds every guest of every workspace, into the folder where tests look for them.
pub(crate) fn build_all() -> Result<()> {
    toolchain::ensure(None)?;
    let options = BuildOptions {
        output: Output::Stderr,
        ..BuildOptions::for_tests(target_dir()?.join("tmp"))
    };
    for dir in workspaces()? {
        for crate_dir in component_crates(&dir)? {
            let built = build(&crate_dir, &options)?;
            eprintln!("{built}");
        }
    }
    Ok(())
}

/// The members of a workspace that become components.
fn component_crates(workspace: &Path) -> Result<Vec<PathBuf>> {
    let metadata = metadata(workspace)?;
    let packages = metadata["packages"].as_array().map(Vec::as_slice).unwrap_or_default();
    Ok(packages
        .iter()
        .filter(|package| makes_component(package))
        .filter_map(folder)
        .collect())
}

fn makes_component(package: &serde_json::Value) -> bool {
    let targets = package["targets"].as_array().into_iter().flatten();
    targets
        .flat_map(|target| target["crate_types"].as_array().into_iter().flatten())
        .any(|kind| kind == "cdylib")
}

fn folder(package: &serde_json::Value) -> Option<PathBuf> {
    Some(Path::new(package["manifest_path"].as_str()?).parent()?.to_owned())
}
