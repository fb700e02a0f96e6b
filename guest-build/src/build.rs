use std::env;
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};

use crate::{Error, GuestCompiler, Origin, Result, TARGET, TARGET_FEATURES, artifact, check_component};

/// Bytes of cargo's messages that an error carries at most; the end is kept.
const MAX_ERROR_OUTPUT: usize = 16 << 10;

/// Variables of an outer cargo, or of a developer's shell, that would change what a guest's build makes or where.
const FOREIGN_VARIABLES: &[&str] = &[
    "CARGO_BUILD_BUILD_DIR",
    "CARGO_BUILD_RUSTC",
    "CARGO_BUILD_RUSTC_WORKSPACE_WRAPPER",
    "CARGO_BUILD_RUSTC_WRAPPER",
    "CARGO_BUILD_RUSTFLAGS",
    "CARGO_BUILD_TARGET",
    "CARGO_BUILD_TARGET_DIR",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_INCREMENTAL",
    "CARGO_MAKEFLAGS",
    "CARGO_TARGET_DIR",
    "MAKEFLAGS",
    "MFLAGS",
    "RUSTC",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTC_WRAPPER",
    "RUSTFLAGS",
];

/// How a guest is built.
#[derive(Clone, Debug, Default)]
pub struct BuildOptions {
    /// The package to build, where the folder is a workspace that makes several components.
    pub package: Option<String>,
    /// Where cargo puts what it makes; by default where the guest's own workspace says, which is its `target`.
    pub target_dir: Option<PathBuf>,
    /// Fail when the guest's `Cargo.lock` is missing or out of date.
    pub locked: bool,
    /// Cargo features to enable.
    pub features: Vec<String>,
    /// What happens to cargo's messages.
    pub output: Output,
}

impl BuildOptions {
    /// How the repository's tests build guests: by their committed `Cargo.lock`, and into one folder, so that a
    /// dependency that many guests share is compiled once. `target_tmpdir` is cargo's `CARGO_TARGET_TMPDIR`.
    pub fn for_tests(target_tmpdir: impl AsRef<Path>) -> Self {
        Self {
            target_dir: Some(target_tmpdir.as_ref().join("guests")),
            locked: true,
            ..Self::default()
        }
    }
}

/// What happens to cargo's progress and diagnostics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Output {
    /// They are kept, and end up in the error when the build fails.
    #[default]
    Captured,
    /// They go to stderr as they come, with a line on the compiler before them.
    Stderr,
}

/// A guest that was built. `Display` gives one line for people.
#[derive(Clone, Debug)]
pub struct Built {
    /// The component's file in cargo's target folder. The next build replaces it.
    pub component: PathBuf,
    /// The component.
    pub bytes: Vec<u8>,
    /// Its content address: the SHA-256 digest as 64 lower-case hexadecimal digits.
    pub digest: String,
    /// What compiled it.
    pub compiler: GuestCompiler,
    /// How long it took.
    pub elapsed: Duration,
}

impl Built {
    /// Writes the component to `path`, whole or not at all.
    ///
    /// # Errors
    /// [`Error::Io`] when the file cannot be written.
    pub fn write_to(&self, path: &Path) -> Result<()> {
        let dir = path
            .parent()
            .filter(|dir| !dir.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        let staged = tempfile::NamedTempFile::new_in(dir).map_err(Error::write(path))?;
        fs::write(staged.path(), &self.bytes).map_err(Error::write(path))?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            // Temporary files are private; a component is not.
            fs::set_permissions(staged.path(), fs::Permissions::from_mode(0o644)).map_err(Error::write(path))?;
        }
        staged.persist(path).map_err(|error| Error::write(path)(error.error))?;
        Ok(())
    }
}

impl fmt::Display for Built {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kib = self.bytes.len().div_ceil(1024);
        let seconds = self.elapsed.as_secs_f64();
        write!(
            f,
            "{} ({kib} KiB, sha256 {}, {seconds:.1} s)",
            self.component.display(),
            self.digest
        )
    }
}

/// Builds the guest crate in `dir` in release mode. The crate's own profile decides about optimisation, and its
/// `Cargo.lock` about dependencies. Running several builds at once is fine: cargo lets them take turns.
///
/// # Errors
/// [`Error::NoCompiler`] says what to install; [`Error::Cargo`] carries the compiler's messages unless they went to
/// stderr; the others say what is wrong with the crate.
pub fn build(dir: &Path, options: &BuildOptions) -> Result<Built> {
    let started = Instant::now();
    if !dir.join("Cargo.toml").is_file() {
        return Err(Error::NotACrate { dir: dir.to_owned() });
    }
    // Cargo reports absolute paths with links resolved.
    let dir = dir.canonicalize().map_err(Error::read(dir))?;
    let compiler = GuestCompiler::find(&dir)?;
    if options.output == Output::Stderr {
        eprintln!("building {} for {TARGET} with {compiler}", dir.display());
    }
    let messages = run(cargo(&dir, options, &compiler), &dir, options.output)?;
    let component = artifact::find(&messages, &dir)?;
    let bytes = fs::read(&component).map_err(Error::read(&component))?;
    check_component(&component, &bytes)?;
    Ok(Built {
        digest: Sha256::digest(&bytes)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect(),
        component,
        bytes,
        compiler,
        elapsed: started.elapsed(),
    })
}

/// Removes the variables from a cargo command by which an outer cargo or a developer's shell would change what it makes
/// or where: flags, wrappers, target, profile and target folder.
pub fn isolate(cargo: &mut Command) {
    for variable in FOREIGN_VARIABLES {
        cargo.env_remove(variable);
    }
    for (variable, _) in env::vars_os() {
        if variable.to_str().is_some_and(|name| name.starts_with("CARGO_PROFILE_")) {
            cargo.env_remove(variable);
        }
    }
}

/// The cargo command line.
fn cargo(dir: &Path, options: &BuildOptions, compiler: &GuestCompiler) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .current_dir(dir)
        .args([
            "build",
            "--release",
            "--target",
            TARGET,
            "--message-format=json-render-diagnostics",
        ])
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    if options.locked {
        command.arg("--locked");
    }
    if let Some(package) = &options.package {
        command.args(["--package", package]);
    }
    if !options.features.is_empty() {
        command.arg("--features").arg(options.features.join(","));
    }
    if let Some(target_dir) = &options.target_dir {
        let target_dir = std::path::absolute(target_dir).unwrap_or_else(|_| target_dir.clone());
        command.arg("--target-dir").arg(target_dir);
    }
    isolate(&mut command);
    if compiler.origin != Origin::Path {
        command.env("RUSTC", &compiler.rustc);
    }
    // On the command line, flags are added to those of the guest's own cargo configuration.
    let flags = serde_json::json!(flags(dir, env::var_os("CARGO_HOME"), env::home_dir()));
    command
        .arg("--config")
        .arg(format!("target.{TARGET}.rustflags={flags}"));
    command
}

/// Flags of the guest compiler. Panic messages name source files: paths of this machine are taken out of them, so that
/// a component gives nothing away and is the same wherever it is built.
fn flags(dir: &Path, cargo_home: Option<OsString>, home: Option<PathBuf>) -> Vec<String> {
    let cargo_home = cargo_home.map(PathBuf::from).or_else(|| Some(home?.join(".cargo")));
    // Path dependencies lie beside the guest, in the same repository.
    let source = dir.ancestors().find(|dir| dir.join(".git").exists()).unwrap_or(dir);
    let mut flags = vec![format!("-Ctarget-feature={TARGET_FEATURES}")];
    let remap = |from: &Path, to: &str| format!("--remap-path-prefix={}={to}", from.display());
    flags.extend(cargo_home.map(|cargo_home| remap(&cargo_home, "/cargo")));
    flags.push(remap(source, "/source"));
    // The compiler's own messages keep them.
    flags.push("--remap-path-scope=macro,debuginfo,coverage,object".to_owned());
    flags
}

/// Runs cargo and returns its messages.
fn run(mut command: Command, dir: &Path, output: Output) -> Result<String> {
    command.stderr(match output {
        Output::Captured => Stdio::piped(),
        Output::Stderr => Stdio::inherit(),
    });
    let program = PathBuf::from(command.get_program());
    let start = |source| Error::Start { program, source };
    let output = match output {
        Output::Captured => command.output().map_err(start)?,
        Output::Stderr => command
            .spawn()
            .and_then(std::process::Child::wait_with_output)
            .map_err(start)?,
    };
    if !output.status.success() {
        return Err(Error::Cargo {
            dir: dir.to_owned(),
            status: output.status,
            output: tail(&String::from_utf8_lossy(&output.stderr), MAX_ERROR_OUTPUT)
                .trim_end()
                .to_owned(),
        });
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The end of `text`, at most `max` bytes of it.
fn tail(text: &str, max: usize) -> &str {
    &text[text.ceil_char_boundary(text.len().saturating_sub(max))..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guests_build_sees_nothing_of_an_outer_cargo() {
        let compiler = GuestCompiler {
            rustc: "/toolchain/bin/rustc".into(),
            version: "rustc 1.96.0".into(),
            origin: Origin::Toolchain,
        };
        let command = cargo(Path::new("/guest"), &BuildOptions::default(), &compiler);
        let set = |name: &str| {
            let found = command.get_envs().find(|(variable, _)| *variable == name);
            found.map(|(_, value)| value.map(|value| value.to_str().unwrap().to_owned()))
        };
        for variable in [
            "CARGO_TARGET_DIR",
            "RUSTFLAGS",
            "CARGO_ENCODED_RUSTFLAGS",
            "CARGO_BUILD_TARGET",
        ] {
            assert_eq!(set(variable), Some(None), "{variable} is not removed");
        }
        assert_eq!(set("RUSTC"), Some(Some("/toolchain/bin/rustc".into())));
        let config = command
            .get_args()
            .filter_map(|arg| arg.to_str())
            .find(|arg| arg.starts_with("target."))
            .expect("flags are passed");
        let start = "target.wasm32-wasip2.rustflags=[\"-Ctarget-feature=+simd128\",";
        assert!(config.starts_with(start), "{config}");
    }

    #[test]
    fn paths_of_this_machine_are_left_out() {
        let repository = tempfile::tempdir().unwrap();
        let root = repository.path();
        fs::create_dir_all(root.join(".git")).unwrap();
        let guest = root.join("examples/guest");
        let remapped = |cargo_home: Option<&str>| {
            let flags = flags(&guest, cargo_home.map(OsString::from), Some("/home/me".into()));
            flags[1..3].to_vec()
        };
        let source = format!("--remap-path-prefix={}=/source", root.display());
        assert_eq!(remapped(None), ["--remap-path-prefix=/home/me/.cargo=/cargo", &source]);
        assert_eq!(
            remapped(Some("/opt/cargo")),
            ["--remap-path-prefix=/opt/cargo=/cargo", &source]
        );
    }

    #[test]
    fn long_messages_keep_their_end() {
        assert_eq!(tail("short", 16), "short");
        assert_eq!(tail("0123456789", 4), "6789");
        assert_eq!(tail("aé", 1), "");
    }
}
