//! Finding the AWS provider: in a local plugin folder when there is one, else where Terraform downloads it from.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::{Error, Result};
use crate::terraform::Scratch;

/// Names a plugin folder: `REGISTRY/hashicorp/aws/VERSION/PLATFORM/terraform-provider-aws...` lies in it.
const VARIABLE: &str = "WEIR_TERRAFORM_PLUGINS";
/// Where people and packages put such folders, themselves or up to two levels down.
const PLACES: &[&str] = &[
    "/opt",
    "/srv",
    "/usr/local/lib",
    "/usr/local/share",
    "/usr/share/terraform",
];
const LEVELS: usize = 2;

/// Where the provider comes from.
pub(super) struct Provider {
    plugins: Option<PathBuf>,
}

impl Provider {
    /// Makes an `init` use it.
    pub(super) fn init<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.args(["init", "-backend=false", "-input=false", "-no-color"]);
        if let Some(folder) = &self.plugins {
            command.arg(format!("-plugin-dir={}", folder.display()));
        }
        command
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.plugins {
            Some(folder) => write!(f, "in {}", folder.display()),
            None => f.write_str("downloaded"),
        }
    }
}

/// The first provider that an empty module can be initialised with.
pub(super) fn find(scratch: &Scratch) -> Result<Option<Provider>> {
    let probe = scratch.path("probe");
    fs::create_dir_all(&probe).map_err(Error::io("create", &probe))?;
    let versions = scratch.terraform().join("versions.tf");
    fs::copy(&versions, probe.join("versions.tf")).map_err(Error::io("copy", versions))?;
    let candidates = local_folders().into_iter().map(Some).chain([None]);
    for plugins in candidates {
        let provider = Provider { plugins };
        let mut command = scratch.command(&probe);
        let quiet = provider.init(&mut command).stdout(Stdio::null()).stderr(Stdio::null());
        let status = quiet.status().map_err(|source| Error::Start {
            command: "terraform init".to_owned(),
            source,
        })?;
        if status.success() {
            return Ok(Some(provider));
        }
    }
    Ok(None)
}

fn local_folders() -> Vec<PathBuf> {
    if let Some(named) = std::env::var_os(VARIABLE) {
        return vec![PathBuf::from(named)];
    }
    let home = std::env::home_dir().map(|home| home.join(".terraform.d"));
    let mut found = Vec::new();
    for place in PLACES.iter().map(PathBuf::from).chain(home) {
        collect(&place, LEVELS, &mut found);
    }
    found
}

fn collect(folder: &Path, levels: usize, found: &mut Vec<PathBuf>) {
    let children = folders_in(folder);
    if children.iter().any(|registry| registry.join("hashicorp/aws").is_dir()) {
        found.push(folder.to_owned());
    } else if levels > 0 {
        children.iter().for_each(|child| collect(child, levels - 1, found));
    }
}

/// The folders in a folder, in a fixed order; none where it cannot be read.
fn folders_in(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut folders: Vec<_> = entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect();
    folders.sort();
    folders
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plugin_folders_are_known_by_what_lies_in_them() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("a/plugins/registry.example/hashicorp/aws/5.100.0")).unwrap();
        fs::create_dir_all(dir.path().join("b/registry.example/hashicorp/random")).unwrap();
        fs::create_dir_all(dir.path().join("c/too/deep/plugins/registry.example/hashicorp/aws")).unwrap();
        let mut found = Vec::new();
        collect(dir.path(), LEVELS, &mut found);
        assert_eq!(found, [dir.path().join("a/plugins")]);
    }
}
