//! Commits of outputs: the files of all sinks of a run become visible together, or not at all.
//!
//! Attempts *stage* files: where nobody sees them, under names that no other execution uses. The commit puts them in
//! place, hides what they replace, and then writes a manifest for each sink; when there are several sinks, no manifest
//! is written before the files of all of them are in place. Every step is safe to repeat, so that a crash between any
//! two of them is repaired by doing everything again. An abort undoes what a commit has done so far.
//!
//! How files are staged and put in place depends on where they go; one run may write to both kinds of places. In a
//! folder, files are staged beside their targets and renamed. In a bucket, they are multipart uploads to their targets
//! that attempts leave incomplete, see [`UploadWriter`], and that the commit completes. The modules `folder` and
//! `bucket` have the steps.
//!
//! Two runs that commit to one target at the same time are not kept apart: the last one wins.

mod bucket;
mod error;
mod folder;

use serde::{Deserialize, Serialize};
use weir_model::{OutputFile, OutputManifest, RunId, SinkInfo};

use crate::s3::S3;

pub use bucket::{SweptOrphans, UploadWriter, sweep_orphans};
pub use error::Error;

/// The folder beside the files of an output that is Weir's own: engines put staging folders and manifests into it.
const STAGING_ROOT: &str = "_weir";

/// A sink, and what the accepted attempts staged for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SinkOutput {
    /// The sink.
    pub sink: SinkInfo,
    /// Its files, in task order; may be empty, the output then being an empty one.
    pub files: Vec<OutputFile>,
}

impl SinkOutput {
    fn manifest(&self, run: RunId, names: Vec<String>) -> OutputManifest {
        OutputManifest {
            run,
            transform: self.sink.transform.clone(),
            files: names,
            rows: self.files.iter().map(|file| file.rows).sum(),
            bytes: self.files.iter().map(|file| file.bytes).sum(),
        }
    }
}

/// Called after every change; an error ends the commit there, as a crash would.
type AfterStep<'a> = &'a (dyn Fn() -> Result<(), Error> + Send + Sync);

const NO_CRASH: AfterStep<'static> = &|| Ok(());

/// Makes the outputs of a run visible; the manifests come back in the order of `outputs`. Doing it again is a no-op.
///
/// # Errors
/// Why not; [`Error::is_transient`] says whether to try again.
pub async fn commit(s3: &S3, run: RunId, outputs: Vec<SinkOutput>) -> Result<Vec<OutputManifest>, Error> {
    let (mut local, mut remote, mut order) = (Vec::new(), Vec::new(), Vec::new());
    for output in &outputs {
        let in_bucket = in_bucket(&output.sink.target);
        match in_bucket {
            true => remote.push(bucket::SinkCommit::new(s3, run, output)?),
            false => local.push(folder::SinkCommit::new(run, output)?),
        }
        order.push(in_bucket);
    }
    let mut local = blocking(move || folder::place(&mut local, NO_CRASH).map(|()| local)).await?;
    bucket::place(&mut remote, NO_CRASH).await?;
    local = blocking(move || folder::publish(&local, NO_CRASH).map(|()| local)).await?;
    bucket::publish(&remote, NO_CRASH).await?;
    local = blocking(move || folder::clean(&local, NO_CRASH).map(|()| local)).await?;
    bucket::clean(&remote, NO_CRASH).await?;

    let mut local = local.into_iter().map(folder::SinkCommit::into_manifest);
    let mut remote = remote.into_iter().map(bucket::SinkCommit::into_manifest);
    let manifests = order.into_iter().map(|in_bucket| match in_bucket {
        true => remote.next(),
        false => local.next(),
    });
    Ok(manifests.flatten().collect())
}

/// Deletes what was staged for the sinks, and what an unfinished commit had made of it. An earlier output that the
/// commit had begun to replace is made visible again if none of its files were replaced. Doing it again is a no-op.
///
/// # Errors
/// Why not; [`Error::is_transient`] says whether to try again.
pub async fn abort(s3: &S3, sinks: Vec<SinkInfo>) -> Result<(), Error> {
    let (remote, local): (Vec<_>, Vec<_>) = sinks.into_iter().partition(|sink| in_bucket(&sink.target));
    blocking(move || local.iter().try_for_each(folder::abort)).await?;
    for sink in &remote {
        bucket::abort(s3, sink).await?;
    }
    Ok(())
}

/// Deletes files that an attempt staged and that will not be committed; those that are gone already are fine.
///
/// # Errors
/// Why not; [`Error::is_transient`] says whether to try again.
pub async fn discard(s3: &S3, files: Vec<OutputFile>) -> Result<(), Error> {
    for file in files.iter().filter(|file| in_bucket(&file.target)) {
        bucket::discard(s3, file).await?;
    }
    blocking(move || files.iter().try_for_each(folder::discard)).await
}

/// Deletes whatever is still staged for the sinks of a run that is over, and nothing that is visible: attempts that
/// were overtaken may have staged it after the commit or the abort. Doing it again is a no-op.
///
/// # Errors
/// Why not; [`Error::is_transient`] says whether to try again.
pub async fn remove_staged(s3: &S3, sinks: Vec<SinkInfo>) -> Result<(), Error> {
    let (remote, local): (Vec<_>, Vec<_>) = sinks.into_iter().partition(|sink| in_bucket(&sink.target));
    blocking(move || local.iter().try_for_each(folder::remove_staging)).await?;
    for sink in &remote {
        bucket::remove_staging(s3, sink).await?;
    }
    Ok(())
}

/// Whether a target is an object rather than a file.
fn in_bucket(target: &str) -> bool {
    target.starts_with("s3://")
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Error> + Send + 'static) -> Result<T, Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}
