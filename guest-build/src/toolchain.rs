//! Toolchain folders for people whose compiler comes without the guests' target: where they lie, and whether one can
//! be used. `cargo xtask guest-toolchain` makes them.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

const PREFIX: &str = "guest-toolchain-";

/// A folder laid out like a Rust sysroot with the guests' target in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolchainFolder {
    root: PathBuf,
}

impl ToolchainFolder {
    /// The folder for a compiler release such as `1.96.0`, made or not; `None` where the user has no home folder.
    pub fn for_release(release: &str) -> Option<Self> {
        Some(Self::at(&cache_dir()?, release))
    }

    pub(crate) fn at(cache: &Path, release: &str) -> Self {
        Self {
            root: cache.join(format!("{PREFIX}{release}")),
        }
    }

    /// The folders that exist, newest release first.
    pub fn all() -> Vec<Self> {
        cache_dir().map_or_else(Vec::new, |dir| Self::all_in(&dir))
    }

    pub(crate) fn all_in(dir: &Path) -> Vec<Self> {
        let mut found: Vec<_> = fs::read_dir(dir)
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| {
                let release = release_key(entry.file_name().to_str()?.strip_prefix(PREFIX)?)?;
                Some((release, Self { root: entry.path() }))
            })
            .collect();
        found.sort_by(|(a, _), (b, _)| b.cmp(a));
        found.into_iter().map(|(_, folder)| folder).collect()
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The compiler to call.
    pub fn rustc(&self) -> PathBuf {
        self.root.join("bin").join("rustc")
    }

    /// The file that holds the first line of `rustc -V` as it was when the folder was made. The folder refers to a
    /// compiler that the system's package manager may replace; its standard library would then be of another release.
    pub fn version_file(&self) -> PathBuf {
        self.root.join("version")
    }
}

/// Where toolchain folders lie: `$XDG_CACHE_HOME/weir`, or `~/.cache/weir`.
pub fn cache_dir() -> Option<PathBuf> {
    let base = match env::var_os("XDG_CACHE_HOME").map(PathBuf::from) {
        Some(base) if base.is_absolute() => base,
        _ => env::home_dir().filter(|home| home.is_absolute())?.join(".cache"),
    };
    Some(base.join("weir"))
}

/// Orders releases: 1.100.0 is newer than 1.96.0. Folders that are still being made have other names.
fn release_key(release: &str) -> Option<Vec<u64>> {
    release.split('.').map(|part| part.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_release_comes_first_and_unfinished_folders_are_not_seen() {
        let dir = tempfile::tempdir().unwrap();
        for name in [
            "guest-toolchain-1.96.0",
            "guest-toolchain-1.100.0",
            "guest-toolchain-1.97.0.partial-x",
            "other",
        ] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        let names: Vec<_> = ToolchainFolder::all_in(dir.path())
            .iter()
            .map(|folder| folder.root().file_name().unwrap().to_str().unwrap().to_owned())
            .collect();
        assert_eq!(names, ["guest-toolchain-1.100.0", "guest-toolchain-1.96.0"]);
    }

    #[test]
    fn a_missing_cache_is_empty() {
        assert!(ToolchainFolder::all_in(Path::new("/nonexistent/weir")).is_empty());
    }
}
