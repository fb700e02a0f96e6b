//! The steps of a commit.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};

use weir_model::{OutputManifest, RunId};

use super::{
    Error, JOURNAL, Journal, Move, NEW_MANIFEST, REPLACED_PREFIX, SinkOutput, files, output_folder, remove_output_file,
    remove_staging, replaced_manifests, staged_path,
};

/// Called after every change of the file system; an error ends the commit there, as a crash would.
pub(super) type AfterStep<'a> = &'a mut dyn FnMut() -> Result<(), Error>;

pub(super) fn commit(
    run: RunId,
    outputs: &[SinkOutput],
    after_step: AfterStep<'_>,
) -> Result<Vec<OutputManifest>, Error> {
    let commits = outputs
        .iter()
        .map(|output| SinkCommit::new(run, output))
        .collect::<Result<Vec<_>, _>>()?;
    let mut pending = Vec::new();
    for commit in &commits {
        if !commit.is_done()? {
            pending.push(commit);
        }
    }
    for commit in &pending {
        commit.put_files_in_place(after_step)?;
    }
    for commit in &pending {
        commit.write_manifest(after_step)?;
    }
    for commit in &commits {
        // The output is visible and stays so: what is left behind is only litter.
        if let Err(error) = remove_staging(&commit.output.sink) {
            tracing::warn!(error = &error as &dyn std::error::Error, "left a staging folder behind");
        }
        after_step()?;
    }
    Ok(commits.into_iter().map(|commit| commit.journal.manifest).collect())
}

struct SinkCommit<'a> {
    output: &'a SinkOutput,
    folder: &'a Path,
    journal: Journal,
}

impl<'a> SinkCommit<'a> {
    fn new(run: RunId, output: &'a SinkOutput) -> Result<Self, Error> {
        let folder = output_folder(&output.sink);
        let mut names = Vec::with_capacity(output.files.len());
        let mut distinct = BTreeSet::new();
        for file in &output.files {
            let name = Path::new(&file.target)
                .strip_prefix(folder)
                .ok()
                .filter(|name| is_inside(name) && distinct.insert(*name))
                .and_then(Path::to_str);
            names.push(name.map(str::to_owned).ok_or_else(|| Error::BadTarget {
                transform: output.sink.transform.clone(),
                target: file.target.clone(),
                folder: folder.to_owned(),
            })?);
        }
        let moves = output.files.iter().map(|file| Move {
            from: staged_path(file).to_owned(),
            to: PathBuf::from(&file.target),
            bytes: file.bytes,
        });
        let manifest = OutputManifest {
            run,
            transform: output.sink.transform.clone(),
            files: names,
            rows: output.files.iter().map(|file| file.rows).sum(),
            bytes: output.files.iter().map(|file| file.bytes).sum(),
        };
        let journal = Journal {
            manifest,
            moves: moves.collect(),
        };
        Ok(Self {
            output,
            folder,
            journal,
        })
    }

    fn manifest_path(&self) -> &'a Path {
        Path::new(&self.output.sink.manifest)
    }

    fn staging(&self) -> &'a Path {
        Path::new(&self.output.sink.staging)
    }

    fn error(&self, action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
        let (transform, path) = (self.output.sink.transform.clone(), path.to_owned());
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
        fs::create_dir_all(self.folder).map_err(self.error("create the output folder", self.folder))?;
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
        let n = replaced_manifests(&self.output.sink).len();
        let aside = staging.join(format!("{REPLACED_PREFIX}{n}.json"));
        fs::rename(path, &aside).map_err(self.error("replace the manifest", path))?;
        after_step()?;
        let around = path.parent().unwrap_or(self.folder);
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
                    transform: self.output.sink.transform.clone(),
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
        for path in replaced_manifests(&self.output.sink) {
            let replaced = files::read_json::<OutputManifest>(&path).map_err(self.error("read", &path))?;
            for name in replaced.iter().flat_map(|manifest| &manifest.files) {
                // A manifest is a file in the user's folder: it may say anything.
                if kept.contains(name.as_str()) || !is_inside(Path::new(name)) {
                    continue;
                }
                remove_output_file(&self.output.sink, &self.folder.join(name), "delete the replaced file")?;
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
