//! File system calls that are safe to repeat, and that reach the disk.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Threads that flush files at once: disks are faster when they are asked for several.
const FLUSHERS: usize = 8;

/// Deletes a file; one that is gone already is fine.
pub(super) fn remove_file(path: &Path) -> io::Result<()> {
    ignore_missing(fs::remove_file(path))
}

/// Deletes a folder with everything in it; one that is gone already is fine.
pub(super) fn remove_folder(path: &Path) -> io::Result<()> {
    ignore_missing(fs::remove_dir_all(path))
}

fn ignore_missing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// The size of a file, `None` when there is none.
pub(super) fn size(path: &Path) -> io::Result<Option<u64>> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(Some(metadata.len())),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

/// Reads a JSON file, `None` when there is none or it holds something else.
pub(super) fn read_json<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    match fs::read(path) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

/// Writes a JSON file in a way that it is there whole or not at all: through `temporary`, on the same file system.
pub(super) fn write_json(path: &Path, temporary: &Path, value: &impl Serialize) -> io::Result<()> {
    let mut file = File::create(temporary)?;
    file.write_all(&serde_json::to_vec_pretty(value)?)?;
    file.sync_all()?;
    fs::rename(temporary, path)?;
    sync(path.parent().unwrap_or(Path::new("/")))
}

/// Flushes a file or a folder to disk.
pub(super) fn sync(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Flushes files to disk, several at once; those that are missing are left out.
pub(super) fn sync_all(paths: &[&Path]) -> Result<(), (usize, io::Error)> {
    let chunk = paths.len().div_ceil(FLUSHERS).max(1);
    std::thread::scope(|scope| {
        let flushers: Vec<_> = paths
            .chunks(chunk)
            .enumerate()
            .map(|(i, paths)| {
                scope.spawn(move || {
                    let mut flushed = paths.iter().enumerate();
                    flushed.try_for_each(|(j, path)| ignore_missing(sync(path)).map_err(|e| (i * chunk + j, e)))
                })
            })
            .collect();
        let joined = flushers.into_iter().map(|flusher| flusher.join());
        joined
            .into_iter()
            .try_for_each(|result| result.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}
