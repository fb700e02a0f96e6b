//! What a machine lacks is installed once, into the user's cache folder.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Written last, so that an installation that was cut short is made anew.
const COMPLETE: &str = "complete";

/// The folder of what `install` puts into an empty folder of this name, a version being part of the name. Test programs
/// that need it at the same time wait for the first one.
///
/// # Panics
///
/// When it cannot be installed.
pub(crate) fn installed(name: &str, install: impl FnOnce(&Path) -> Result<(), String>) -> PathBuf {
    try_installed(name, install).unwrap_or_else(|error| panic!("cannot install {name}: {error}"))
}

/// Makes a virtual environment with one Python package, given as `name==version`; its programs lie in `bin`.
///
/// # Panics
///
/// When it cannot be made.
pub(crate) fn python_package(requirement: &str) -> PathBuf {
    installed(&requirement.replace("==", "-"), |folder| {
        run("python3", [OsStr::new("-m"), OsStr::new("venv"), folder.as_os_str()])
            .map_err(|error| format!("{error}\nPython 3 and its venv module are needed (Debian: python3-venv)"))?;
        let arguments = [
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--no-input",
            requirement,
        ];
        run(folder.join("bin/pip"), arguments)
    })
}

fn try_installed(name: &str, install: impl FnOnce(&Path) -> Result<(), String>) -> Result<PathBuf, String> {
    let cache = cache_folder()?.join("testkit");
    let folder = cache.join(name);
    let words = |action, path: &Path| {
        let path = path.to_owned();
        move |error: io::Error| format!("cannot {action} {}: {error}", path.display())
    };
    if folder.join(COMPLETE).exists() {
        return Ok(folder);
    }
    fs::create_dir_all(&cache).map_err(words("create", &cache))?;
    let lock_path = cache.join(format!("{name}.lock"));
    let lock = File::create(&lock_path).map_err(words("create", &lock_path))?;
    // Let go of when the file is closed, or the process dies.
    lock.lock().map_err(words("lock", &lock_path))?;
    if folder.join(COMPLETE).exists() {
        return Ok(folder);
    }
    eprintln!("installing {name} into {}", folder.display());
    match fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(words("remove", &folder)(error)),
        _ => fs::create_dir(&folder).map_err(words("create", &folder))?,
    }
    install(&folder)?;
    let complete = folder.join(COMPLETE);
    File::create(&complete).map_err(words("create", &complete))?;
    Ok(folder)
}

/// The same folder that `cargo xtask` installs into.
fn cache_folder() -> Result<PathBuf, String> {
    let given = |name| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    given("XDG_CACHE_HOME")
        .or_else(|| given("HOME").map(|home| home.join(".cache")))
        .map(|cache| cache.join("weir"))
        .ok_or_else(|| "neither XDG_CACHE_HOME nor HOME says where to".to_owned())
}

/// Runs a program to its end; what it printed is the error when it fails.
pub(crate) fn run<A: AsRef<OsStr>>(
    program: impl AsRef<OsStr>,
    arguments: impl IntoIterator<Item = A>,
) -> Result<(), String> {
    run_command(Command::new(program).args(arguments))
}

/// Runs a command to its end; what it printed is the error when it fails.
pub(crate) fn run_command(command: &mut Command) -> Result<(), String> {
    let output = command
        .output()
        .map_err(|error| format!("cannot start {command:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let (stdout, stderr) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    Err(format!("{command:?} failed, {}:\n{stdout}{stderr}", output.status))
}
