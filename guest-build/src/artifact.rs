use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::{Error, Result};

/// The parts of a line of `cargo build --message-format=json` that name what was built.
#[derive(Deserialize)]
#[serde(tag = "reason", rename_all = "kebab-case")]
enum Message {
    CompilerArtifact {
        manifest_path: PathBuf,
        target: Target,
        filenames: Vec<PathBuf>,
    },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

/// Finds the file that building the crate in `dir` made, in cargo's messages. A workspace member's own file is
/// preferred to those of its dependencies, which may be `cdylib`s too.
pub(crate) fn find(messages: &str, dir: &Path) -> Result<PathBuf> {
    let manifest = dir.join("Cargo.toml");
    let mut found: Vec<(PathBuf, String, PathBuf)> = messages
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .filter_map(|message| match message {
            Message::CompilerArtifact {
                manifest_path,
                target,
                filenames,
            } if target.kind.iter().any(|kind| kind == "cdylib" || kind == "bin") => {
                let wasm = filenames
                    .into_iter()
                    .find(|file| file.extension().is_some_and(|ext| ext == "wasm"))?;
                Some((manifest_path, target.name, wasm))
            }
            _ => None,
        })
        .collect();
    if found.iter().any(|(of, ..)| *of == manifest) {
        found.retain(|(of, ..)| *of == manifest);
    }
    match found.len() {
        0 => Err(Error::NoArtifact { dir: dir.to_owned() }),
        1 => Ok(found.remove(0).2),
        _ => Err(Error::SeveralArtifacts {
            dir: dir.to_owned(),
            packages: found.into_iter().map(|(_, name, _)| name).collect(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn artifact(manifest: &str, name: &str, kind: &str, file: &str) -> String {
        serde_json::json!({
            "reason": "compiler-artifact",
            "package_id": "ignored",
            "manifest_path": manifest,
            "target": { "name": name, "kind": [kind], "crate_types": [kind], "src_path": "/src/lib.rs" },
            "filenames": [file],
            "fresh": false,
        })
        .to_string()
    }

    fn check(messages: &[String], expected: Result<&str, &str>) {
        let messages = format!(
            "{}\n{{\"reason\":\"build-finished\",\"success\":true}}\nnot json\n",
            messages.join("\n")
        );
        let found = find(&messages, Path::new("/guest")).map_err(|error| error.to_string());
        match (found, expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, Path::new(expected)),
            (Err(found), Err(expected)) => assert!(found.contains(expected), "{found}"),
            (found, expected) => panic!("expected {expected:?}, got {found:?}"),
        }
    }

    #[test]
    fn the_crates_own_component_is_found_among_other_artifacts() {
        let own = artifact("/guest/Cargo.toml", "guest", "cdylib", "/t/guest.wasm");
        let dependency = artifact("/dep/Cargo.toml", "dep", "cdylib", "/t/dep.wasm");
        let library = artifact("/lib/Cargo.toml", "lib", "rlib", "/t/liblib.rlib");
        let script = artifact(
            "/lib/Cargo.toml",
            "build-script-build",
            "custom-build",
            "/t/build-script-build",
        );
        check(
            &[library.clone(), script.clone(), own.clone(), dependency.clone()],
            Ok("/t/guest.wasm"),
        );
        check(std::slice::from_ref(&dependency), Ok("/t/dep.wasm"));
        check(&[library, script], Err("crate-type = [\"cdylib\"]"));
        let other = artifact("/other/Cargo.toml", "other", "cdylib", "/t/other.wasm");
        check(&[dependency, other], Err("choose one package of dep, other"));
    }
}
