//! The steps of a commit.

use std::collections::{BTreeSet, HashSet};
use std::path::PathBuf;
use std::time::Duration;

use object_store::Error as StoreError;
use object_store::path::Path;
use weir_model::{OutputFile, OutputManifest, RunId, Staged, UploadedPart};

use super::{AfterStep, Error, Found, Journal, Place, Placed, SinkOutput, all, below, parse};
use crate::s3::{S3, WriteCondition};

/// Tries to complete an upload.
const TRIES: u32 = 6;
/// The wait before the second one; each further one doubles it.
const FIRST_BACKOFF: Duration = Duration::from_millis(20);

/// Puts the files of all sinks in place that are not visible yet, and hides what they replace.
pub(in crate::output) async fn place(commits: &mut [SinkCommit], after_step: AfterStep<'_>) -> Result<(), Error> {
    for commit in commits.iter_mut() {
        commit.done = commit.is_done().await?;
    }
    for commit in commits.iter().filter(|commit| !commit.done) {
        commit.put_files_in_place(after_step).await?;
    }
    Ok(())
}

/// Makes the outputs visible.
pub(in crate::output) async fn publish(commits: &[SinkCommit], after_step: AfterStep<'_>) -> Result<(), Error> {
    for commit in commits.iter().filter(|commit| !commit.done) {
        let place = &commit.place;
        place.write_json(&place.manifest, &commit.journal.manifest).await?;
        after_step()?;
    }
    Ok(())
}

/// Removes what is left of the staging. The outputs are visible and stay so: what cannot be removed is only litter.
pub(in crate::output) async fn clean(commits: &[SinkCommit], after_step: AfterStep<'_>) -> Result<(), Error> {
    for commit in commits {
        let completed = commit.journal.files.iter().map(|file| file.token.as_str());
        if let Err(error) = commit.place.remove_staging(&completed.collect()).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "left a staging folder behind");
        }
        after_step()?;
    }
    Ok(())
}

/// The commit of one sink.
pub(in crate::output) struct SinkCommit {
    place: Place,
    uploads: Vec<Upload>,
    journal: Journal,
    /// Whether the output was visible before this try.
    done: bool,
}

/// A file to put in place.
struct Upload {
    path: Path,
    id: String,
    token: String,
    parts: Vec<UploadedPart>,
    bytes: u64,
}

impl SinkCommit {
    pub(in crate::output) fn new(s3: &S3, run: RunId, output: &SinkOutput) -> Result<Self, Error> {
        let place = Place::new(s3, &output.sink)?;
        let (mut names, mut uploads) = (Vec::with_capacity(output.files.len()), Vec::new());
        let mut distinct = BTreeSet::new();
        for file in &output.files {
            let bad_target = || Error::BadTarget {
                transform: output.sink.transform.clone(),
                target: file.target.clone(),
                folder: PathBuf::from(format!("{}/{}", place.store, place.folder)),
            };
            let (name, upload) = upload(&place, file)?.ok_or_else(bad_target)?;
            if !distinct.insert(name.clone()) {
                return Err(bad_target());
            }
            names.push(name);
            uploads.push(upload);
        }
        let placed = uploads.iter().map(|upload| Placed {
            path: upload.path.to_string(),
            token: upload.token.clone(),
        });
        let journal = Journal {
            manifest: output.manifest(run, names),
            files: placed.collect(),
        };
        Ok(Self {
            place,
            uploads,
            journal,
            done: false,
        })
    }

    pub(in crate::output) fn into_manifest(self) -> OutputManifest {
        self.journal.manifest
    }

    async fn is_done(&self) -> Result<bool, Error> {
        let found = self.place.read_json::<OutputManifest>(&self.place.manifest).await?;
        Ok(found.as_ref() == Some(&self.journal.manifest))
    }

    async fn put_files_in_place(&self, after_step: AfterStep<'_>) -> Result<(), Error> {
        self.place.write_json(&self.place.journal(), &self.journal).await?;
        after_step()?;
        self.set_aside_manifest(after_step).await?;
        let complete = async |upload| {
            self.complete(upload).await?;
            after_step()
        };
        all(self.uploads.iter().map(complete).collect()).await?;
        self.delete_replaced_files(after_step).await
    }

    /// Takes an earlier manifest out of the readers' sight, to where a later try of this commit finds it.
    async fn set_aside_manifest(&self, after_step: AfterStep<'_>) -> Result<(), Error> {
        let place = &self.place;
        let Some(earlier) = place.read_json::<OutputManifest>(&place.manifest).await? else {
            // What is no manifest tells nothing about files, but it would still be seen.
            return place.delete(&place.manifest).await;
        };
        let replaced = place.replaced_manifests().await?;
        if replaced.last() != Some(&earlier) {
            place.write_json(&place.replaced(replaced.len()), &earlier).await?;
            after_step()?;
        }
        place.delete(&place.manifest).await?;
        after_step()
    }

    async fn complete(&self, upload: &Upload) -> Result<(), Error> {
        let (place, path) = (&self.place, &upload.path);
        let lost = || Error::Lost {
            transform: place.transform.clone(),
            path: PathBuf::from(format!("{}/{path}", place.store)),
        };
        let mut condition = WriteCondition::IfAbsent;
        let mut backoff = FIRST_BACKOFF;
        let mut tried = 1;
        loop {
            let completing = place
                .store
                .upload_complete(path, &upload.id, &upload.parts, &condition)
                .await;
            let error = match completing {
                Ok(_) => return Ok(()),
                Err(error) => error,
            };
            let found = place.find(path).await?;
            match &found {
                Some(Found { token, meta }) if token.as_ref() == Some(&upload.token) => {
                    return if meta.size == upload.bytes { Ok(()) } else { Err(lost()) };
                }
                _ => {}
            }
            let tag = found.and_then(|found| found.meta.e_tag);
            match error {
                // It is the upload that is gone, and not the object that was to be replaced.
                StoreError::NotFound { .. } if condition == WriteCondition::IfAbsent => return Err(lost()),
                StoreError::NotFound { .. }
                | StoreError::AlreadyExists { .. }
                | StoreError::Precondition { .. }
                | StoreError::Generic { .. }
                    if tried < TRIES => {}
                error => return Err(place.error("complete the upload to", path)(error)),
            }
            // An answer may be lost, and somebody may write there, too.
            condition = tag.map_or(WriteCondition::IfAbsent, WriteCondition::IfMatch);
            tokio::time::sleep(backoff).await;
            backoff *= 2;
            tried += 1;
        }
    }

    /// Deletes the files of earlier outputs that this one does not replace.
    async fn delete_replaced_files(&self, after_step: AfterStep<'_>) -> Result<(), Error> {
        let kept: HashSet<&str> = self.journal.manifest.files.iter().map(String::as_str).collect();
        for replaced in self.place.replaced_manifests().await? {
            let gone = replaced.files.iter().filter(|name| !kept.contains(name.as_str()));
            // A manifest is an object in the user's bucket: it may say anything.
            let paths: Vec<Path> = gone.filter_map(|name| below(&self.place.folder, name)).collect();
            if !paths.is_empty() {
                self.place.delete_all(paths).await?;
                after_step()?;
            }
        }
        Ok(())
    }
}

/// The upload of a file, with its name in the folder of the output; `None` when it does not belong there.
fn upload(place: &Place, file: &OutputFile) -> Result<Option<(String, Upload)>, Error> {
    let Staged::Upload { id, token, parts, .. } = &file.staged else {
        return Ok(None);
    };
    let target = parse(&place.transform, &file.target)?;
    let Some(name) = target.path.prefix_match(&place.folder) else {
        return Ok(None);
    };
    let name = Path::from_iter(name).to_string();
    let whole = parts.iter().map(|part| part.bytes).sum::<u64>() == file.bytes;
    if name.is_empty() || target.bucket != place.store.bucket() || !whole {
        return Ok(None);
    }
    let upload = Upload {
        path: target.path,
        id: id.clone(),
        token: token.clone(),
        parts: parts.clone(),
        bytes: file.bytes,
    };
    Ok(Some((name, upload)))
}
