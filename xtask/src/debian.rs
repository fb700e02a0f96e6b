//! Debian's packages.

use std::process::{Command, Stdio};

use crate::command::{read, run};
use crate::error::{Error, Result};

/// Installs those of the packages that are missing, which only root may do.
pub(crate) fn install(packages: &[&str]) -> Result<()> {
    let missing: Vec<_> = packages.iter().filter(|package| !installed(package)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let root_user = read(Command::new("id").arg("-u"))? == "0";
    if !root_user {
        let packages = packages.join(" ");
        return Err(Error::Packages(format!(
            "install Debian's packages first, as root: apt-get install --no-install-recommends {packages}"
        )));
    }
    let apt = || {
        let mut command = Command::new("apt-get");
        // Stdout is for results.
        command
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdout(std::io::stderr());
        command
    };
    run(apt().args(["-q", "update"]))?;
    run(apt()
        .args(["-q", "install", "-y", "--no-install-recommends"])
        .args(missing))
}

fn installed(package: &str) -> bool {
    let output = Command::new("dpkg-query")
        .args(["-W", "-f=${Status}", package])
        .stderr(Stdio::null())
        .output();
    output.is_ok_and(|output| output.stdout == b"install ok installed")
}
