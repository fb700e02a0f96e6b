use std::env;
use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::path::{self, Path, PathBuf};
use std::process::{Command, Stdio};

use crate::toolchain::ToolchainFolder;
use crate::{Error, RUSTC_VARIABLE, Result, TARGET};

/// A Rust compiler that compiles for [`TARGET`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuestCompiler {
    /// The program.
    pub rustc: PathBuf,
    /// Its `rustc -V` line.
    pub version: String,
    /// How it was found.
    pub origin: Origin,
}

/// How a guest compiler was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// [`RUSTC_VARIABLE`] names it.
    Variable,
    /// It is the `rustc` on PATH.
    Path,
    /// `cargo xtask guest-toolchain` laid it out.
    Toolchain,
}

impl GuestCompiler {
    /// Finds the compiler for a crate in `dir` (a toolchain file there may change what `rustc` means): the one that
    /// [`RUSTC_VARIABLE`] names; else `rustc`, if it has the target; else the newest usable
    /// [toolchain folder](crate::toolchain).
    ///
    /// # Errors
    /// [`Error::UnusableCompiler`] when the variable is set to something that cannot compile guests, otherwise
    /// [`Error::NoCompiler`], which says what to install.
    pub fn find(dir: &Path) -> Result<Self> {
        let variable = env::var_os(RUSTC_VARIABLE).filter(|value| !value.is_empty());
        let rustc = |rustc: &Path, args: &[&str]| ask(rustc, dir, args);
        find_among(&rustc, variable.as_deref(), &ToolchainFolder::all())
    }
}

/// Runs a compiler with some arguments and gives its answer, or a problem that reads on after the compiler's name.
type Ask<'a> = &'a dyn Fn(&Path, &[&str]) -> Result<String, String>;

fn find_among(ask: Ask, variable: Option<&OsStr>, folders: &[ToolchainFolder]) -> Result<GuestCompiler> {
    if let Some(rustc) = variable.map(program) {
        return probe(ask, &rustc, Origin::Variable).map_err(|problem| Error::UnusableCompiler { rustc, problem });
    }
    let mut tried = Vec::new();
    match probe(ask, Path::new("rustc"), Origin::Path) {
        Ok(compiler) => return Ok(compiler),
        Err(problem) => tried.push(format!("`rustc` {problem}")),
    }
    for folder in folders {
        match from_folder(ask, folder) {
            Ok(compiler) => return Ok(compiler),
            Err(problem) => tried.push(format!("`{}` {problem}", folder.root().display())),
        }
    }
    Err(Error::NoCompiler { tried })
}

/// The program that a variable names: a bare name is looked up on PATH, a relative path starts at the current folder
/// (and not at the guest's).
fn program(value: &OsStr) -> PathBuf {
    let path = PathBuf::from(value);
    match path.components().count() {
        0 | 1 => path,
        _ => path::absolute(&path).unwrap_or(path),
    }
}

fn from_folder(ask: Ask, folder: &ToolchainFolder) -> Result<GuestCompiler, String> {
    let compiler = probe(ask, &folder.rustc(), Origin::Toolchain)?;
    let made_for = fs::read_to_string(folder.version_file()).map_err(|_| "is incomplete".to_owned())?;
    if made_for.trim() == compiler.version {
        Ok(compiler)
    } else {
        Err(format!(
            "was made for {}, but the system has {} now",
            made_for.trim(),
            compiler.version
        ))
    }
}

fn probe(ask: Ask, rustc: &Path, origin: Origin) -> Result<GuestCompiler, String> {
    let version = ask(rustc, &["-V"])?;
    let libdir = ask(rustc, &["--print", "target-libdir", "--target", TARGET])?;
    if has_std(Path::new(&libdir)) {
        Ok(GuestCompiler {
            rustc: rustc.to_owned(),
            version,
            origin,
        })
    } else {
        Err(format!("has no standard library for {TARGET}"))
    }
}

impl fmt::Display for GuestCompiler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rustc, version, origin } = self;
        match origin {
            Origin::Path => write!(f, "{version}"),
            Origin::Variable => write!(f, "{version} ({RUSTC_VARIABLE}={})", rustc.display()),
            Origin::Toolchain => write!(f, "{version} ({})", rustc.display()),
        }
    }
}

fn ask(rustc: &Path, dir: &Path, args: &[&str]) -> Result<String, String> {
    let output = Command::new(rustc)
        .args(args)
        .current_dir(dir)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("cannot be started ({error})"))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        let first = stderr
            .lines()
            .find(|line| !line.trim().is_empty())
            .unwrap_or("no message");
        return Err(format!("fails ({first})"));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn has_std(libdir: &Path) -> bool {
    fs::read_dir(libdir).into_iter().flatten().flatten().any(|entry| {
        entry
            .file_name()
            .to_str()
            .is_some_and(|name| name.starts_with("libstd-") && name.ends_with(".rlib"))
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    /// Compilers by path, each with its version and whether it has the target, on a disk of their own.
    #[derive(Default)]
    struct System {
        dir: Option<tempfile::TempDir>,
        compilers: HashMap<PathBuf, (String, bool)>,
    }

    impl System {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            fs::create_dir(dir.path().join("with-std")).unwrap();
            fs::write(dir.path().join("with-std/libstd-0123.rlib"), "").unwrap();
            Self {
                dir: Some(dir),
                ..Self::default()
            }
        }

        fn dir(&self) -> &Path {
            self.dir.as_ref().unwrap().path()
        }

        fn compiler(mut self, rustc: impl Into<PathBuf>, version: &str, has_target: bool) -> Self {
            self.compilers.insert(rustc.into(), (version.to_owned(), has_target));
            self
        }

        fn folder(self, release: &str, version: &str, made_for: Option<&str>) -> Self {
            let folder = ToolchainFolder::at(self.dir(), release);
            fs::create_dir_all(folder.root()).unwrap();
            if let Some(made_for) = made_for {
                fs::write(folder.version_file(), format!("{made_for}\n")).unwrap();
            }
            self.compiler(folder.rustc(), version, true)
        }

        fn find(&self, variable: Option<&str>) -> Result<(String, Origin), String> {
            let ask = |rustc: &Path, args: &[&str]| {
                let (version, has_target) = self.compilers.get(rustc).ok_or("cannot be started")?;
                Ok(match args {
                    ["-V"] => version.clone(),
                    _ if *has_target => self.dir().join("with-std").display().to_string(),
                    _ => self.dir().join("nowhere").display().to_string(),
                })
            };
            find_among(&ask, variable.map(OsStr::new), &ToolchainFolder::all_in(self.dir()))
                .map(|found| (found.version, found.origin))
                .map_err(|error| error.to_string())
        }
    }

    #[test]
    fn the_variable_wins_and_is_never_silently_ignored() {
        let system = System::new()
            .compiler("rustc", "rustc 1.95.0", true)
            .compiler("chosen", "rustc 1.99.0", true)
            .compiler("bare", "rustc 1.99.0", false);
        assert_eq!(
            system.find(Some("chosen")),
            Ok(("rustc 1.99.0".into(), Origin::Variable))
        );
        assert_eq!(system.find(None), Ok(("rustc 1.95.0".into(), Origin::Path)));
        let error = system.find(Some("bare")).unwrap_err();
        assert!(
            error.contains("WEIR_GUEST_RUSTC is `bare`, which has no standard library for wasm32-wasip2"),
            "{error}"
        );
        let error = system.find(Some("missing")).unwrap_err();
        assert!(
            error.contains("WEIR_GUEST_RUSTC is `missing`, which cannot be started"),
            "{error}"
        );
    }

    #[test]
    fn folders_are_used_only_while_they_fit_the_compiler_behind_them() {
        let system = System::new()
            .compiler("rustc", "rustc 1.95.0", false)
            .folder("1.98.0", "rustc 1.98.0", None)
            .folder("1.97.0", "rustc 1.98.0", Some("rustc 1.97.0"));
        let error = system.find(None).unwrap_err();
        assert!(error.contains("is incomplete"), "{error}");
        assert!(
            error.contains("was made for rustc 1.97.0, but the system has rustc 1.98.0 now"),
            "{error}"
        );
        assert!(error.contains("rustup target add wasm32-wasip2"), "{error}");

        let system = system.folder("1.96.0", "rustc 1.96.0", Some("rustc 1.96.0"));
        assert_eq!(system.find(None), Ok(("rustc 1.96.0".into(), Origin::Toolchain)));
    }

    #[test]
    fn a_compiler_that_cannot_be_started_or_fails_says_so() {
        let problem = ask(Path::new("/nonexistent/rustc"), Path::new("/"), &["-V"]).unwrap_err();
        assert!(problem.starts_with("cannot be started"), "{problem}");
        let problem = ask(Path::new("rustc"), Path::new("/"), &["--print", "no-such-thing"]).unwrap_err();
        assert!(problem.starts_with("fails (error"), "{problem}");
    }

    #[test]
    fn a_relative_path_in_the_variable_starts_at_the_current_folder() {
        assert_eq!(program(OsStr::new("rustc")), Path::new("rustc"));
        assert_eq!(
            program(OsStr::new("bin/rustc")),
            env::current_dir().unwrap().join("bin/rustc")
        );
    }
}
