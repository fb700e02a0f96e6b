//! The steps of a commit.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};

use weir_model::{OutputManifest, RunId, SinkInfo};

use super::{
    AfterStep, Error, JOURNAL, Journal, Move, NEW_MANIFEST, REPLACED_PREFIX, SinkOutput, files, output_folder,
    remove_output_file, remove_staging, replaced_manifests, staged_path,
};

/// Puts the files of all sinks in place that are not visible yet, and hides what they replace.
pub(in crate::output) fn place(commits: &mut [SinkCommit], after_step: AfterStep<'_>) -> Result<(), Error> {
    for commit in commits.iter_mut() {
        commit.done = commit.is_done()?;
    }
    let mut pending = commits.iter().filter(|commit| !commit.done);
    pending.try_for_each(|commit| commit.put_files_in_place(after_step))
}

/// Makes the outputs visible.
pub(in crate::output) fn publish(commits: &[SinkCommit], after_step: AfterStep<'_>) -> Result<(), Error> {
    let mut pending = commits.iter().filter(|commit| !commit.done);
    pending.try_for_each(|commit| commit.write_manifest(after_step))
}

/// Removes what is left of the staging. The outputs are visible and stay so: what cannot be removed is only litter.
pub(in crate::output) fn clean(commits: &[SinkCommit], after_step: AfterStep<'_>) -> Result<(), Error> {
    for commit in commits {
        if let Err(error) = remove_staging(&commit.sink) {
            tracing::warn!(error = &error as &dyn std::error::Error, "left a staging folder behind");
        }
        after_step()?;
    }
    Ok(())
}

/// The commit of one sink.
pub(in crate::output) struct SinkCommit {
    sink: SinkInfo,
    folder: PathBuf,
    journal: Journal,
    /// Whether the output was visible before this try.
    done: bool,
}

impl SinkCommit {
    pub(in crate::output) fn new(run: RunId, output: &SinkOutput) -> Result<Self, Error> {
        let folder = output_folder(&output.sink);
        let (mut names, mut moves) = (Vec::with_capacity(output.files.len()), Vec::new());
        let mut distinct = BTreeSet::new();
        for file in &output.files {
            let bad_target = || Error::BadTarget {
                transform: output.sink.transform.clone(),
                target: file.target.clone(),
                folder: folder.to_owned(),
            };
            let name = Path::new(&file.target).strip_prefix(folder).ok();
            let name = name.filter(|name| is_inside(name) && distinct.insert(*name));
            let name = name.and_then(Path::to_str).ok_or_else(bad_target)?;
            names.push(name.to_owned());
            moves.push(Move {
                from: staged_path(file).ok_or_else(bad_target)?.to_owned(),
                to: PathBuf::from(&file.target),
                bytes: file.bytes,
            });
        }
        Ok(Self {
            sink: output.sink.clone(),
            folder: folder.to_owned(),
            journal: Journal {
                manifest: output.manifest(run, names),
                moves,
            },
            done: false,
        })
    }

    pub(in crate::output) fn into_manifest(self) -> OutputManifest {
        self.journal.manifest
    }

    fn manifest_path(&self) -> &Path {
        Path::new(&self.sink.manifest)
    }

    fn staging(&self) -> &Path {
        Path::new(&self.sink.staging)
    }

    fn error(&self, action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
        let (transform, path) = (self.sink.transform.clone(), path.to_owned());
        move |source| Error::io(&transform, action, &path, source)
    }

    fn is_done(&self) -> Result<bool, Error> {
        let path = self.manifest_path();
        let found = files::read_json::<OutputManifest>(path).map_err(self.error("read the manifest", path))?;
        Ok(found.as_ref() == Some(&self.journal.manifest))
    }

    fn put_files_in_place(&self, after_step: AfterStep<'_>) -> Result<(), Error> {
        self.write_journal(after_step)?;
        self.set_aside_manifest(after_step)?;
        self.move_files(after_step)?;
        self.delete_replaced_files(after_step)?;
        let folders: BTreeSet<&Path> = self.journal.moves.iter().filter_map(|m| m.to.parent()).collect();
        for folder in folders {
            files::sync(folder).map_err(self.error("flush", folder))?;
        }
        Ok(())
    }

    fn write_journal(&self, after_step: AfterStep<'_>) -> Result<(), Error> {
        let staging = self.staging();
        fs::create_dir_all(&self.folder).map_err(self.error("create the output folder", &self.folder))?;
        after_step()?;
        fs::create_dir_all(staging).map_err(self.error("create the staging folder", staging))?;
        after_step()?;
        let (path, temporary) = (staging.join(JOURNAL), staging.join("commit.tmp"));
        files::write_json(&path, &temporary, &self.journal).map_err(self.error("write", &path))?;
        after_step()
    }

    /// Moves an earlier manifest out of the readers' sight, to where a later try of this commit finds it.
    fn set_aside_manifest(&self, after_step: AfterStep<'_>) -> Result<(), Error> {
        let (path, staging) = (self.manifest_path(), self.staging());
        if files::size(path).map_err(self.error("look for", path))?.is_none() {
            return Ok(());
        }
        let n = replaced_manifests(&self.sink).len();
        let aside = staging.join(format!("{REPLACED_PREFIX}{n}.json"));
        fs::rename(path, &aside).map_err(self.error("replace the manifest", path))?;
        after_step()?;
        let around = path.parent().unwrap_or(&self.folder);
        for folder in [staging, around] {
            files::sync(folder).map_err(self.error("flush", folder))?;
        }
        Ok(())
    }

    fn move_files(&self, after_step: AfterStep<'_>) -> Result<(), Error> {
        let moves = &self.journal.moves;
        let staged: Vec<&Path> = moves.iter().map(|m| m.from.as_path()).collect();
        files::sync_all(&staged).map_err(|(i, e)| self.error("flush", staged[i])(e))?;
        for Move { from, to, bytes } in moves {
            let action = "look for";
            let here = match files::size(from).map_err(self.error(action, from))? {
                Some(size) => size == *bytes,
                None => {
                    if files::size(to).map_err(self.error(action, to))? == Some(*bytes) {
                        continue;
                    }
                    false
                }
            };
            if !here {
                return Err(Error::Lost {
                    transform: self.sink.transform.clone(),
                    path: from.clone(),
                });
            }
            if let Some(folder) = to.parent() {
                fs::create_dir_all(folder).map_err(self.error("create the folder", folder))?;
                after_step()?;
            }
            fs::rename(from, to).map_err(self.error("write the file", to))?;
            after_step()?;
        }
        Ok(())
    }

    /// Deletes the files of earlier outputs that this one does not replace.
    fn delete_replaced_files(&self, after_step: AfterStep<'_>) -> Result<(), Error> {
        let kept: BTreeSet<&str> = self.journal.manifest.files.iter().map(String::as_str).collect();
        for path in replaced_manifests(&self.sink) {
            let replaced = files::read_json::<OutputManifest>(&path).map_err(self.error("read", &path))?;
            for name in replaced.iter().flat_map(|manifest| &manifest.files) {
                // A manifest is a file in the user's folder: it may say anything.
                if kept.contains(name.as_str()) || !is_inside(Path::new(name)) {
                    continue;
                }
                remove_output_file(&self.sink, &self.folder.join(name), "delete the replaced file")?;
                after_step()?;
            }
        }
        Ok(())
    }

    fn write_manifest(&self, after_step: AfterStep<'_>) -> Result<(), Error> {
        let (path, temporary) = (self.manifest_path(), self.staging().join(NEW_MANIFEST));
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(self.error("create the folder", folder))?;
            after_step()?;
        }
        let manifest = &self.journal.manifest;
        files::write_json(path, &temporary, manifest).map_err(self.error("write the manifest", path))?;
        after_step()
    }
}

/// Whether a relative path stays inside of its folder and names something in it.
fn is_inside(path: &Path) -> bool {
    let mut components = path.components().peekable();
    components.peek().is_some() && components.all(|component| matches!(component, Component::Normal(_)))
}
