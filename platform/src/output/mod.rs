//! Commits of output folders: the files of all sinks of a run become visible together, or not at all.
//!
//! Attempts write files into the staging folder of their sink, which lies on the same file system as the target. The
//! commit then goes through these steps, each of which is safe to repeat, so that a crash between any two of them is
//! repaired by doing everything again:
//!
//! 1. A journal of the moves is written into the staging folder; an abort follows it backwards.
//! 2. The manifest of an earlier output of the same target is moved into the staging folder: readers no longer see it.
//! 3. The staged files are flushed to disk and renamed to their targets. A staged file that is missing while its target
//!    is there with the right size was moved before the crash.
//! 4. Files that the earlier manifest names and that were not replaced are deleted.
//! 5. The folders are flushed to disk; then the new manifest is written by a rename. When there are several sinks, no
//!    manifest is written before the files of all of them are in place.
//! 6. The staging folder is removed. From step 5 on the output is visible, so that a failure here is only logged.
//!
//! Two runs that commit to one target at the same time are not kept apart: the last one wins.

mod abort;
mod commit;
mod error;
mod files;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use weir_model::{OutputFile, OutputManifest, RunId, SinkInfo, Staged};

pub use error::Error;

/// A sink, and what the accepted attempts staged for it.
#[derive(Clone, Debug, PartialEq)]
pub struct SinkOutput {
    /// The sink.
    pub sink: SinkInfo,
    /// Its files, in task order; may be empty, the output then being an empty one.
    pub files: Vec<OutputFile>,
}

/// Makes the outputs of a run visible; the manifests come back in the order of `outputs`. Doing it again is a no-op.
pub async fn commit(run: RunId, outputs: Vec<SinkOutput>) -> Result<Vec<OutputManifest>, Error> {
    blocking(move || commit::commit(run, &outputs, &mut || Ok(()))).await
}

/// Deletes what was staged for the sinks, and what an unfinished commit had made of it. An earlier output that the
/// commit had begun to replace is made visible again if none of its files were replaced. Doing it again is a no-op.
pub async fn abort(sinks: Vec<SinkInfo>) -> Result<(), Error> {
    blocking(move || sinks.iter().try_for_each(abort::abort)).await
}

/// Deletes files that an attempt staged and that will not be committed; those that are gone already are fine.
pub async fn discard(files: Vec<OutputFile>) -> Result<(), Error> {
    blocking(move || {
        files.iter().try_for_each(|file| {
            let path = staged_path(file);
            files::remove_file(path).map_err(|e| Error::io("", "delete the staged file", path, e))
        })
    })
    .await
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Error> + Send + 'static) -> Result<T, Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
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
/// The folder beside the files of an output that is Weir's own: engines put staging folders and manifests into it.
const STAGING_ROOT: &str = "_weir";

/// The folder that the names in a manifest are relative to.
fn output_folder(sink: &SinkInfo) -> &Path {
    match sink.target.strip_suffix('/') {
        Some(folder) => Path::new(folder),
        None => Path::new(&sink.target).parent().unwrap_or(Path::new("/")),
    }
}

fn staged_path(file: &OutputFile) -> &Path {
    match &file.staged {
        Staged::File { path } => Path::new(path),
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
fn remove_staging(sink: &SinkInfo) -> Result<(), Error> {
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
