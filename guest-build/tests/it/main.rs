//! Builds real crates. Needs a guest compiler, which the repository's test command provides.

use std::fs;
use std::path::Path;

use weir_guest_build::{BuildOptions, Error, build, check_component};
use weir_model::Digest;

const LIB: &str = "#[unsafe(no_mangle)]\npub extern \"C\" fn answer() -> i32 {\n    42\n}\n";

/// A guest crate without dependencies.
fn guest(manifest_extra: &str, lib: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let manifest = format!(
        "[package]\nname = \"tiny-guest\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n{manifest_extra}\n[workspace]\n"
    );
    fs::write(dir.path().join("Cargo.toml"), manifest).unwrap();
    fs::create_dir(dir.path().join("src")).unwrap();
    fs::write(dir.path().join("src/lib.rs"), lib).unwrap();
    dir
}

const CDYLIB: &str = "[lib]\ncrate-type = [\"cdylib\"]\n\n[profile.release]\npanic = \"abort\"\nstrip = true\n";

#[test]
fn a_crate_becomes_a_component_in_its_own_target_folder() {
    let dir = guest(CDYLIB, LIB);
    let built = build(dir.path(), &BuildOptions::default()).unwrap();
    check_component(&built.component, &built.bytes).unwrap();
    assert_eq!(
        built.digest,
        Digest::of(&fs::read(&built.component).unwrap()).to_string()
    );
    let own = dir.path().canonicalize().unwrap().join("target/wasm32-wasip2/release");
    assert_eq!(built.component, own.join("tiny_guest.wasm"));
    assert!(built.to_string().contains(&built.digest.to_string()), "{built}");

    let copy = dir.path().join("copy.wasm");
    built.write_to(&copy).unwrap();
    built.write_to(&copy).unwrap();
    assert_eq!(fs::read(&copy).unwrap(), built.bytes);
    let error = built.write_to(Path::new("/nonexistent/copy.wasm")).unwrap_err();
    assert!(matches!(error, Error::Io { action: "write", .. }), "{error}");
}

#[test]
fn features_and_the_target_folder_can_be_chosen() {
    let lib = "#[cfg(not(feature = \"on\"))]\ncompile_error!(\"off\");\n".to_owned() + LIB;
    let dir = guest(&format!("{CDYLIB}\n[features]\non = []\n"), &lib);
    let elsewhere = tempfile::tempdir().unwrap();
    let options = BuildOptions {
        target_dir: Some(elsewhere.path().to_owned()),
        features: vec!["on".to_owned()],
        ..BuildOptions::default()
    };
    let built = build(dir.path(), &options).unwrap();
    assert!(built.component.starts_with(elsewhere.path()), "{built}");
    assert!(!dir.path().join("target").exists());
}

#[test]
fn the_compilers_messages_are_in_the_error() {
    let dir = guest(CDYLIB, "pub fn broken() -> u8 { \"text\" }\n");
    let error = build(dir.path(), &BuildOptions::default()).unwrap_err();
    assert!(matches!(error, Error::Cargo { .. }));
    assert!(error.to_string().contains("mismatched types"), "{error}");
}

#[test]
fn a_lock_file_is_asked_for_when_locked() {
    let dir = guest(CDYLIB, LIB);
    let options = BuildOptions {
        locked: true,
        ..BuildOptions::default()
    };
    let error = build(dir.path(), &options).unwrap_err();
    assert!(error.to_string().contains("--locked"), "{error}");
}

#[test]
fn what_is_no_guest_crate_is_told_so() {
    let dir = guest("", LIB);
    let error = build(dir.path(), &BuildOptions::default()).unwrap_err();
    assert!(matches!(error, Error::NoArtifact { .. }), "{error}");

    let empty = tempfile::tempdir().unwrap();
    let error = build(empty.path(), &BuildOptions::default()).unwrap_err();
    assert!(matches!(error, Error::NotACrate { .. }), "{error}");
}
