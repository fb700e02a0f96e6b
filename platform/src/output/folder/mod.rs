//! Commits of folders of a file system.
//!
//! Attempts write files into the staging folder of their sink, which lies on the same file system as the target. The
//! commit then goes through these steps:
//!
//! 1. A journal of the moves is written into the staging folder; an abort follows it backwards.
//! 2. The manifest of an earlier output of the same target is moved into the staging folder: readers no longer see it.
//! 3. The staged files are flushed to disk and renamed to their targets. A staged file that is missing while its target
//!    is there with the right size was moved before the crash.
//! 4. Files that the earlier manifest names and that were not replaced are deleted.
//! 5. The folders are flushed to disk; then the new manifest is written by a rename.
//! 6. The staging folder is removed. From step 5 on the output is visible, so that a failure here is only logged.

mod abort;
mod commit;
mod files;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use weir_model::{OutputFile, OutputManifest, SinkInfo, Staged};

use super::{AfterStep, Error, STAGING_ROOT, SinkOutput};

pub(super) use abort::abort;
pub(super) use commit::{SinkCommit, clean, place, publish};

/// Deletes a staged file; one that is gone already is fine.
pub(super) fn discard(file: &OutputFile) -> Result<(), Error> {
    match staged_path(file) {
        Some(path) => files::remove_file(path).map_err(|e| Error::io("", "delete the staged file", path, e)),
        None => Ok(()),
    }
}

/// What a commit is about to do, for an abort to undo. Lies in the staging folder.
#[derive(Serialize, Deserialize)]
struct Journal {
    manifest: OutputManifest,
    moves: Vec<Move>,
}

#[derive(Serialize, Deserialize)]
struct Move {
    from: PathBuf,
    to: PathBuf,
    bytes: u64,
}

const JOURNAL: &str = "commit.json";
const NEW_MANIFEST: &str = "manifest.json";
const REPLACED_PREFIX: &str = "replaced-";

/// The folder that the names in a manifest are relative to.
fn output_folder(sink: &SinkInfo) -> &Path {
    match sink.target.strip_suffix('/') {
        Some(folder) => Path::new(folder),
        None => Path::new(&sink.target).parent().unwrap_or(Path::new("/")),
    }
}

/// Where a file is staged; `None` for what is not staged as a file.
fn staged_path(file: &OutputFile) -> Option<&Path> {
    match &file.staged {
        Staged::File { path } => Some(Path::new(path)),
        Staged::Upload { .. } => None,
    }
}

/// Manifests that earlier tries of this commit have moved into the staging folder, oldest first.
fn replaced_manifests(sink: &SinkInfo) -> Vec<PathBuf> {
    let path = |n: usize| Path::new(&sink.staging).join(format!("{REPLACED_PREFIX}{n}.json"));
    (0..).map(path).take_while(|path| path.exists()).collect()
}

/// Deletes a file of an output, and the folders between it and the output's folder that are empty then.
fn remove_output_file(sink: &SinkInfo, file: &Path, action: &'static str) -> Result<(), Error> {
    files::remove_file(file).map_err(|e| Error::io(&sink.transform, action, file, e))?;
    let folder = output_folder(sink);
    let around = file.ancestors().skip(1);
    for parent in around.take_while(|parent| *parent != folder && parent.starts_with(folder)) {
        // A folder that is in use is no error.
        if std::fs::remove_dir(parent).is_err() {
            break;
        }
    }
    Ok(())
}

/// Removes the staging folder, and the folders of Weir's own around it that are empty now.
pub(super) fn remove_staging(sink: &SinkInfo) -> Result<(), Error> {
    let staging = Path::new(&sink.staging);
    files::remove_folder(staging).map_err(|e| Error::io(&sink.transform, "remove the staging folder", staging, e))?;
    let own_root = output_folder(sink).join(STAGING_ROOT);
    for folder in staging
        .ancestors()
        .skip(1)
        .take_while(|folder| folder.starts_with(&own_root))
    {
        // Other sinks and other runs may be using it.
        if std::fs::remove_dir(folder).is_err_and(|error| error.kind() != std::io::ErrorKind::NotFound) {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
