use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;

use crate::{RUSTC_VARIABLE, TARGET};

/// The result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a guest could not be built.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing that is installed compiles for the guests' target.
    #[error(
        "no Rust compiler for {TARGET} was found ({}). Install the target with `rustup target add {TARGET}`; or, on \
         Debian or Ubuntu without rustup's servers, run `cargo xtask guest-toolchain --from debian` in Weir's source \
         tree; or set {RUSTC_VARIABLE} to a rustc that has the target",
        tried.join("; ")
    )]
    NoCompiler {
        /// What was looked at, and what was wrong with it.
        tried: Vec<String>,
    },
    /// The compiler that [`RUSTC_VARIABLE`] names does not work or lacks the target.
    #[error("{RUSTC_VARIABLE} is `{}`, which {problem}; unset it, or set it to a rustc that has {TARGET}", rustc.display())]
    UnusableCompiler {
        /// The variable's value.
        rustc: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The folder holds no crate.
    #[error("`{}` has no Cargo.toml: give the folder of a guest crate", dir.display())]
    NotACrate {
        /// The folder.
        dir: PathBuf,
    },
    /// A program could not be started.
    #[error("cannot start `{}`; is it installed and on PATH?", program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Cargo ran and failed.
    #[error("cargo could not build `{}` ({status}){}", dir.display(), if output.is_empty() {
        String::from("; its messages are above")
    } else {
        format!(":\n{output}")
    })]
    Cargo {
        /// The crate.
        dir: PathBuf,
        /// How cargo ended.
        status: ExitStatus,
        /// The end of what it printed, empty when that went to stderr already.
        output: String,
    },
    /// Cargo succeeded without making a component.
    #[error("`{}` makes no WebAssembly file: its Cargo.toml needs `[lib] crate-type = [\"cdylib\"]`", dir.display())]
    NoArtifact {
        /// The crate.
        dir: PathBuf,
    },
    /// The workspace makes several components.
    #[error("`{}` makes several components: choose one package of {}", dir.display(), packages.join(", "))]
    SeveralArtifacts {
        /// The workspace.
        dir: PathBuf,
        /// Packages that make one.
        packages: Vec<String>,
    },
    /// The file is no component.
    #[error("`{}` is not a WebAssembly component: {problem}", path.display())]
    NotAComponent {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        problem: &'static str,
    },
    /// A file could not be read or written.
    #[error("cannot {action} `{}`", path.display())]
    Io {
        /// What was tried: `read` or `write`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Error {
    pub(crate) fn read(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io {
            action: "read",
            path,
            source,
        }
    }

    pub(crate) fn write(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io {
            action: "write",
            path,
            source,
        }
    }
}
