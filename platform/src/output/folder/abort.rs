//! Undoing what an unfinished commit did.

use std::path::Path;

use weir_model::{OutputManifest, SinkInfo};

use super::{
    Error, JOURNAL, Journal, Move, files, output_folder, remove_output_file, remove_staging, replaced_manifests,
};

pub(in crate::output) fn abort(sink: &SinkInfo) -> Result<(), Error> {
    let error = |action, path: &Path| {
        let path = path.to_owned();
        move |source| Error::io(&sink.transform, action, &path, source)
    };
    let (manifest, journal_path) = (Path::new(&sink.manifest), Path::new(&sink.staging).join(JOURNAL));
    let journal = files::read_json::<Journal>(&journal_path).map_err(error("read", &journal_path))?;
    if let Some(journal) = journal {
        let visible = files::read_json::<OutputManifest>(manifest).map_err(error("read", manifest))?;
        if visible.is_some_and(|visible| visible.run == journal.manifest.run) {
            files::remove_file(manifest).map_err(error("delete", manifest))?;
        }
        for Move { from, to, bytes } in &journal.moves {
            let moved = files::size(from).map_err(error("look for", from))?.is_none()
                && files::size(to).map_err(error("look for", to))? == Some(*bytes);
            if moved {
                remove_output_file(sink, to, "delete")?;
            }
        }
        restore_replaced(sink)?;
        // First of all in the staging folder: without the staged files the journal would read as if all of them had
        // been moved.
        files::remove_file(&journal_path).map_err(error("delete", &journal_path))?;
    }
    remove_staging(sink)
}

/// Makes the output visible again that the commit was replacing, if it is still whole.
fn restore_replaced(sink: &SinkInfo) -> Result<(), Error> {
    let manifest = Path::new(&sink.manifest);
    let error = |action, source| Error::io(&sink.transform, action, manifest, source);
    if files::size(manifest).map_err(|e| error("look for", e))?.is_some() {
        return Ok(());
    }
    let Some(path) = replaced_manifests(sink).pop() else {
        return Ok(());
    };
    let replaced = files::read_json::<OutputManifest>(&path).map_err(|e| error("read the earlier version of", e))?;
    let folder = output_folder(sink);
    if replaced.is_some_and(|replaced| replaced.files.iter().all(|name| folder.join(name).exists())) {
        std::fs::rename(&path, manifest).map_err(|e| error("restore", e))?;
    } else {
        tracing::warn!(
            target_folder = %folder.display(),
            "an earlier output was replaced in part and cannot be made visible again"
        );
    }
    Ok(())
}
