//! Getting a compiler for guests onto the machine: rustup's target, or Debian's compiler with a standard library that
//! is built here from Debian's source package.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr;

use weir_guest_build::toolchain::ToolchainFolder;
use weir_guest_build::{GuestCompiler, TARGET, isolate};

use crate::command::{cargo, on_path, read, root, run};
use crate::debian;
use crate::error::{Error, Result};

/// Debian's compiler, in the version it keeps current for its browsers, its standard library as source, and the C
/// library that the standard library links with.
const DEBIAN_PACKAGES: &[&str] = &["rustc-web", "rust-web-src", "wasi-libc"];
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_RUSTLIB: &str = "/usr/lib/rustlib";
const DEBIAN_WASI_LIBC: &str = "/usr/lib/wasm32-wasi";

/// Where a compiler comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Rustup,
    Debian,
}

impl FromStr for Source {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "rustup" => Ok(Self::Rustup),
            "debian" => Ok(Self::Debian),
            _ => Err(Error::Usage(format!(
                "`{text}` is not a source: give `rustup` or `debian`"
            ))),
        }
    }
}

/// Makes sure that there is a compiler for guests. Does nothing when there is one already.
pub(crate) fn ensure(source: Option<Source>) -> Result<()> {
    let missing = match GuestCompiler::find(root()) {
        Ok(compiler) => {
            eprintln!("guests are compiled by {compiler}");
            return Ok(());
        }
        Err(error @ weir_guest_build::Error::NoCompiler { .. }) => error,
        Err(error) => return Err(error.into()),
    };
    match source {
        Some(Source::Rustup) => add_rustup_target()?,
        Some(Source::Debian) => from_debian()?,
        None => any(missing)?,
    }
    let compiler = GuestCompiler::find(root())?;
    eprintln!("guests are compiled by {compiler}");
    Ok(())
}

fn any(missing: weir_guest_build::Error) -> Result<()> {
    if on_path("rustup") {
        match add_rustup_target() {
            Ok(()) => return Ok(()),
            Err(error) => eprintln!("{error}"),
        }
    }
    if on_path("apt-get") {
        return from_debian();
    }
    Err(missing.into())
}

fn add_rustup_target() -> Result<()> {
    // Where its servers cannot be reached, the next way should not have to wait for rustup's retries.
    run(Command::new("rustup")
        .args(["target", "add", TARGET])
        .env("RUSTUP_MAX_RETRIES", "0"))
}

fn from_debian() -> Result<()> {
    debian::install(DEBIAN_PACKAGES)?;
    let version = read(Command::new(DEBIAN_RUSTC).arg("-V"))?;
    // `rustc 1.96.0 (commit date) (note)`
    let release = version.split_whitespace().nth(1).unwrap_or_default();
    let folder = ToolchainFolder::for_release(release)
        .ok_or_else(|| Error::Toolchain("neither XDG_CACHE_HOME nor HOME says where to put it".to_owned()))?;
    lay_out(&folder, &version)
}

/// Makes the folder under another name first, so that whoever sees it sees it complete.
fn lay_out(folder: &ToolchainFolder, version: &str) -> Result<()> {
    let host = host()?;
    let cache = folder
        .root()
        .parent()
        .expect("toolchain folders lie in the cache folder");
    fs::create_dir_all(cache).map_err(Error::io("create", cache))?;
    let partial = tempfile::Builder::new()
        .prefix("partial-")
        .tempdir_in(cache)
        .map_err(Error::io("create a folder in", cache))?;
    // The final folder is for all to read; the temporary one is not.
    let open = fs::Permissions::from_mode(0o755);
    fs::set_permissions(partial.path(), open).map_err(Error::io("change", partial.path()))?;

    link_host_parts(partial.path(), &host)?;
    write_compiler(partial.path(), &folder.rustc())?;
    build_std(partial.path())?;
    let version_file = partial.path().join("version");
    fs::write(&version_file, format!("{version}\n")).map_err(Error::io("write", version_file))?;

    // One that was made for a compiler that the system has replaced since.
    if folder.root().exists() {
        fs::remove_dir_all(folder.root()).map_err(Error::io("remove", folder.root()))?;
    }
    let made = partial.keep();
    fs::rename(&made, folder.root()).map_err(Error::io("rename", made))
}

fn host() -> Result<String> {
    let command = format!("{DEBIAN_RUSTC} -vV");
    let text = read(Command::new(DEBIAN_RUSTC).arg("-vV"))?;
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or(Error::Output {
        command,
        problem: "no host".to_owned(),
    })
}

/// The host's standard library, for build scripts and macros, is Debian's; the linkers for WebAssembly come with
/// rustup's toolchains and not with Debian's.
fn link_host_parts(root: &Path, host: &str) -> Result<()> {
    let sysroot = PathBuf::from(read(Command::new("rustc").args(["--print", "sysroot"]))?);
    let linkers = sysroot.join("lib/rustlib").join(host).join("bin");
    if !linkers.join("wasm-component-ld").exists() {
        return Err(Error::Toolchain(format!(
            "`{}` has no wasm-component-ld: install Rust by rustup, whose toolchains have it",
            linkers.display()
        )));
    }
    let rustlib = root.join("lib/rustlib");
    let host_dir = rustlib.join(host);
    fs::create_dir_all(&host_dir).map_err(Error::io("create", &host_dir))?;
    let debian = Path::new(DEBIAN_RUSTLIB);
    for (target, link) in [
        (debian.join(host).join("lib"), host_dir.join("lib")),
        (linkers, host_dir.join("bin")),
        (debian.join("src"), rustlib.join("src")),
    ] {
        symlink(target, &link).map_err(Error::io("link", link))?;
    }
    Ok(())
}

/// A `rustc` that is Debian's, with the finished folder as its sysroot.
fn write_compiler(root: &Path, final_rustc: &Path) -> Result<()> {
    let sysroot = final_rustc.ancestors().nth(2).expect("the compiler lies in bin");
    let rustc = root.join("bin/rustc");
    let bin = root.join("bin");
    fs::create_dir_all(&bin).map_err(Error::io("create", &bin))?;
    let quoted = sysroot.display().to_string().replace('\'', r"'\''");
    let script = format!("#!/bin/sh\nexec {DEBIAN_RUSTC} --sysroot '{quoted}' \"$@\"\n");
    fs::write(&rustc, script).map_err(Error::io("write", &rustc))?;
    let executable = fs::Permissions::from_mode(0o755);
    fs::set_permissions(&rustc, executable).map_err(Error::io("change", rustc))
}

/// Compiles the standard library by building an empty crate, and collects what that leaves.
fn build_std(root: &Path) -> Result<()> {
    let libdir = root.join("lib/rustlib").join(TARGET).join("lib");
    let startup = libdir.join("self-contained");
    fs::create_dir_all(&startup).map_err(Error::io("create", &startup))?;
    for name in ["crt1-command.o", "crt1-reactor.o", "libc.a"] {
        let from = Path::new(DEBIAN_WASI_LIBC).join(name);
        fs::copy(&from, startup.join(name)).map_err(Error::io("copy", from))?;
    }

    let stub = tempfile::tempdir().map_err(Error::io("create a folder in", std::env::temp_dir()))?;
    let write = |name: &str, text: &str| {
        let path = stub.path().join(name);
        fs::write(&path, text).map_err(Error::io("write", path))
    };
    fs::create_dir(stub.path().join("src")).map_err(Error::io("create a folder in", stub.path()))?;
    write("src/lib.rs", "")?;
    write(
        "Cargo.toml",
        "[package]\nname = \"stub\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n[profile.release]\npanic = \"abort\"\n",
    )?;
    let mut command = cargo(stub.path());
    isolate(&mut command);
    run(command
        .args([
            "build",
            "--quiet",
            "--release",
            "--target",
            TARGET,
            "-Zbuild-std=std,panic_abort,proc_macro",
        ])
        .arg("--target-dir")
        .arg(stub.path().join("target"))
        .env("RUSTC", DEBIAN_RUSTC)
        // Building the standard library needs what only nightly compilers, and those told so, accept.
        .env("RUSTC_BOOTSTRAP", "1")
        .env("RUSTFLAGS", "-Cembed-bitcode=yes -Zforce-unstable-if-unmarked"))?;

    let made = stub.path().join("target").join(TARGET).join("release/deps");
    for entry in fs::read_dir(&made).map_err(Error::io("read", &made))? {
        let path = entry.map_err(Error::io("read", &made))?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            continue;
        };
        if name.ends_with(".rlib") && !name.starts_with("libstub-") {
            fs::copy(&path, libdir.join(name)).map_err(Error::io("copy", &path))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_compilers_sysroot_is_the_finished_folder() {
        let dir = tempfile::tempdir().unwrap();
        write_compiler(dir.path(), Path::new("/cache/it's/guest-toolchain-1.96.0/bin/rustc")).unwrap();
        let script = fs::read_to_string(dir.path().join("bin/rustc")).unwrap();
        assert!(
            script.contains(r"--sysroot '/cache/it'\''s/guest-toolchain-1.96.0'"),
            "{script}"
        );
    }

    #[test]
    fn sources_have_names() {
        assert_eq!("debian".parse::<Source>().unwrap(), Source::Debian);
        assert_eq!("rustup".parse::<Source>().unwrap(), Source::Rustup);
        assert!("brew".parse::<Source>().is_err());
    }
}
