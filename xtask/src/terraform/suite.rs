//! What Terraform itself checks: format, validity, and the tests with a mocked provider.

use std::fs;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::command::root;
use crate::error::{Error, Result};
use crate::terraform::Scratch;
use crate::terraform::provider::Provider;

/// Several at once: each starts a provider of 700 MB of code, and most of a test is that start.
const MOST_AT_ONCE: usize = 4;

/// Format, of the checkout itself, so that the names of files mean something to who reads them.
pub(super) fn format(scratch: &Scratch) -> Result<()> {
    let mut command = scratch.command(root());
    output(command.args(["fmt", "-check", "-diff", "-recursive", "-no-color", "terraform"])).map(drop)
}

/// The root module and every example, each as its users would have it.
pub(super) fn validate(scratch: &Scratch, provider: &Provider) -> Result<()> {
    let examples = scratch.terraform().join("examples");
    let mut folders = entries(&examples, Path::is_dir)?;
    folders.push(scratch.terraform());
    side_by_side(&folders, |folder| {
        output(provider.init(&mut scratch.command(folder)))?;
        output(scratch.command(folder).args(["validate", "-no-color"])).map(drop)
    })?;
    eprintln!("terraform validate: the root module and {} examples", folders.len() - 1);
    Ok(())
}

/// All tests, each file in a process of its own.
pub(super) fn test(scratch: &Scratch, provider: &Provider) -> Result<()> {
    let dir = scratch.terraform();
    output(provider.init(&mut scratch.command(&dir)))?;
    let files = entries(&dir.join("tests"), |path| {
        path.to_string_lossy().ends_with(".tftest.hcl")
    })?;
    let total = AtomicUsize::new(0);
    side_by_side(&files, |file| {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let filter = format!("-filter=tests/{name}");
        let text = output(scratch.command(&dir).args(["test", "-no-color", &filter]))?;
        let passed = passed(&text).ok_or_else(|| Error::Output {
            command: format!("terraform test {filter}"),
            problem: format!("no test passed:\n{text}"),
        })?;
        eprintln!("{passed:>5} passed  terraform/tests/{name}");
        total.fetch_add(passed, Ordering::Relaxed);
        Ok(())
    })?;
    eprintln!("terraform test: {} passed in {} files", total.into_inner(), files.len());
    Ok(())
}

/// How many tests passed, if all did.
fn passed(text: &str) -> Option<usize> {
    let line = text.lines().find(|line| line.starts_with("Success!"))?;
    let mut words = line.split([' ', ',']).filter(|word| !word.is_empty()).skip(1);
    let count = words.next()?.parse().ok()?;
    (words.next() == Some("passed") && count > 0).then_some(count)
}

/// Does something with every item, a few at a time; all of them, also after one failed.
fn side_by_side(items: &[PathBuf], work: impl Fn(&Path) -> Result<()> + Sync) -> Result<()> {
    let threads = thread::available_parallelism()
        .map_or(1, NonZero::get)
        .min(MOST_AT_ONCE);
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(error) = work(item) {
                        let name = item.file_name().unwrap_or_default().to_string_lossy();
                        eprintln!("error: {name}: {error}");
                        failed.lock().expect("no holder panics").push(name.into_owned());
                    }
                }
            });
        }
    });
    let mut failed = failed.into_inner().expect("no holder panics");
    failed.sort();
    if failed.is_empty() {
        Ok(())
    } else {
        Err(Error::Steps(failed))
    }
}

fn entries(folder: &Path, wanted: impl Fn(&Path) -> bool) -> Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(Error::io("read", folder))? {
        let path = entry.map_err(Error::io("read", folder))?.path();
        if wanted(&path) {
            paths.push(path);
        }
    }
    paths.sort();
    if paths.is_empty() {
        return Err(Error::Terraform(format!("nothing to check in {}", folder.display())));
    }
    Ok(paths)
}

/// What a command prints; when it fails, that is the error.
pub(super) fn output(command: &mut Command) -> Result<String> {
    let name = std::iter::once(command.get_program())
        .chain(
            command
                .get_args()
                .filter(|arg| !arg.to_string_lossy().starts_with("-plugin-dir")),
        )
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ");
    let output = command.output().map_err(|source| Error::Start {
        command: name.clone(),
        source,
    })?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(text);
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    eprintln!("{text}{errors}");
    Err(Error::Failed {
        command: name,
        status: output.status,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_are_counted() {
        assert_eq!(passed("tests/a... pass\n\nSuccess! 12 passed, 0 failed.\n"), Some(12));
        assert_eq!(passed("Success! 0 passed, 0 failed."), None);
        assert_eq!(passed("Failure! 12 passed, 1 failed."), None);
        assert_eq!(passed(""), None);
    }

    #[test]
    fn all_are_done_and_the_failed_ones_named() {
        let items: Vec<PathBuf> = (0..20).map(|n| PathBuf::from(format!("item-{n:02}"))).collect();
        let done = AtomicUsize::new(0);
        let result = side_by_side(&items, |item| {
            done.fetch_add(1, Ordering::Relaxed);
            match item.to_string_lossy().ends_with('7') {
                true => Err(Error::Terraform("seven".to_owned())),
                false => Ok(()),
            }
        });
        assert_eq!(done.into_inner(), 20);
        assert_eq!(result.unwrap_err().to_string(), "failed: item-07, item-17");
    }
}
