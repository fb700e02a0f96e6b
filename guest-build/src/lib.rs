//! Builds guest crates into WebAssembly components.
//!
//! A guest is an ordinary Rust crate with a `cdylib` library. [`build()`] compiles it for [`TARGET`] with
//! [`TARGET_FEATURES`], and hands back the component. `weir build`, the repository's tests and its examples all build
//! guests through this crate, so that they all get the same bytes from the same source and compiler.
//!
//! **Invariants.** The guest's build does not depend on the cargo that may be running around it: its variables
//! (target folder, flags, target, profile) are removed. What is returned is a component, never a core module. Which
//! compiler is used follows from one variable, [`RUSTC_VARIABLE`], or from what is installed; nothing is installed
//! from here.
//!
//! **Boundary.** Host side only, and light: it starts cargo and looks at files. It knows neither the WIT world nor how
//! components are run.

mod artifact;
mod build;
mod compiler;
mod component;
mod error;
pub mod toolchain;

pub use build::{BuildOptions, Built, Output, build, isolate};
pub use compiler::{GuestCompiler, Origin};
pub use component::check_component;
pub use error::{Error, Result};

/// The target that guests are compiled for.
pub const TARGET: &str = "wasm32-wasip2";

/// Target features that guests are compiled with; every host that runs guests has them.
pub const TARGET_FEATURES: &str = "+simd128";

/// The environment variable that chooses the guest compiler: the path of a `rustc` that can compile for [`TARGET`].
pub const RUSTC_VARIABLE: &str = "WEIR_GUEST_RUSTC";
