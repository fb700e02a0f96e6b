//! Paths, globs and folders to files.

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use datafusion::datasource::listing::ListingTableUrl;
use datafusion::datasource::object_store::ObjectStoreUrl;
use datafusion::error::DataFusionError;
use datafusion::prelude::SessionContext;
use futures::TryStreamExt;
use glob::{MatchOptions, Pattern};
use object_store::path::Path as ObjectPath;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};

use super::{AllowedLocations, check_local};
use crate::PlanError;

/// Why a path does not lead to files.
#[derive(Debug, thiserror::Error)]
pub enum LocationError {
    /// The path is not one.
    #[error("`{path}` is not a path: {reason}")]
    Invalid {
        /// As the user wrote it.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Nothing is there.
    #[error("no file matches `{0}`")]
    NoMatch(String),
    /// There is no storage for this kind of URL.
    #[error("there is no storage for `{0}`; use an `s3://` URL or a path")]
    NoStorage(String),
    /// Files of this machine are not for jobs.
    #[error("{0}")]
    Refused(String),
    /// The storage failed.
    #[error("cannot list `{path}`")]
    Storage {
        /// As the user wrote it.
        path: String,
        /// Why.
        #[source]
        source: object_store::Error,
    },
}

/// A place in a storage: a store, and a path or glob in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// The store, such as `file:///`.
    pub store: ObjectStoreUrl,
    /// The path in the store, without a leading slash, not percent-encoded; it may be a glob.
    pub path: String,
    /// Whether it was written as a folder, with a slash at its end.
    pub folder: bool,
}

/// Files that a path stands for, in the order of their names.
#[derive(Clone, Debug)]
pub struct FileSet {
    /// Where they are.
    pub store: ObjectStoreUrl,
    /// The files; never empty.
    pub files: Vec<ObjectMeta>,
}

impl FileSet {
    /// The files as URLs, in which characters that mean something in URLs and globs are escaped.
    ///
    /// # Errors
    /// When a path cannot be part of a URL.
    pub fn urls(&self) -> Result<Vec<ListingTableUrl>, DataFusionError> {
        let store = self.store.as_str().trim_end_matches('/');
        let escaped = |path: &str| {
            let mut escaped = String::with_capacity(path.len());
            for byte in path.bytes() {
                match byte {
                    b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' | b'~' => {
                        escaped.push(char::from(byte));
                    }
                    byte => escaped.push_str(&format!("%{byte:02X}")),
                }
            }
            escaped
        };
        let files = self.files.iter().map(|file| escaped(file.location.as_ref()));
        files
            .map(|path| ListingTableUrl::parse(format!("{store}/{path}")))
            .collect()
    }
}

impl Location {
    /// Makes `path` absolute: relative to `base`, which is an absolute path or a URL.
    pub fn resolve(base: &str, path: &str) -> Result<Self, LocationError> {
        let invalid = |reason: String| LocationError::Invalid {
            path: path.to_owned(),
            reason,
        };
        if path.is_empty() {
            return Err(invalid("it is empty".to_owned()));
        }
        let joined = if path.contains("://") || path.starts_with('/') {
            path.to_owned()
        } else {
            format!("{}/{path}", base.trim_end_matches('/'))
        };
        let (store, absolute) = match joined.split_once("://") {
            None => ("file:///".to_owned(), joined.as_str()),
            Some(("file", rest)) => (
                "file:///".to_owned(),
                rest.find('/').map_or("/", |slash| &rest[slash..]),
            ),
            Some((scheme, rest)) => {
                let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
                (format!("{scheme}://{host}"), path)
            }
        };
        let store = ObjectStoreUrl::parse(store).map_err(|error| invalid(error.strip_backtrace()))?;
        Ok(Self {
            store,
            path: normalise(absolute),
            folder: joined.ends_with('/'),
        })
    }

    /// The absolute path or URL, for messages and sinks.
    pub fn absolute(&self) -> String {
        match self.local() {
            Some(path) => path.to_string_lossy().into_owned(),
            None => format!("{}{}", self.store.as_str(), self.path),
        }
    }

    /// Whether it is in S3.
    pub fn is_s3(&self) -> bool {
        self.store.as_str().starts_with("s3://")
    }

    /// The path on this machine, when it is one.
    pub fn local(&self) -> Option<PathBuf> {
        (self.store.as_str() == "file:///").then(|| Path::new("/").join(&self.path))
    }

    /// The store that it is in.
    ///
    /// # Errors
    /// When there is none, or when jobs may not use it.
    pub fn open(&self, context: &SessionContext) -> Result<Arc<dyn ObjectStore>, LocationError> {
        let runtime = context.runtime_env();
        if let Some(path) = self.local() {
            check_local(&runtime, &path.to_string_lossy())
                .map_err(|error| LocationError::Refused(PlanError::from_datafusion(error).to_string()))?;
        }
        let store = runtime.object_store(&self.store);
        store.map_err(|_| LocationError::NoStorage(self.absolute()))
    }

    /// Looks whether files whose names begin with it can be written.
    ///
    /// # Errors
    /// When there is no such store, or when the job may not use the folder.
    pub fn check_sink(&self, context: &SessionContext) -> Result<(), LocationError> {
        self.open(context)?;
        let state = context.state();
        let allowed = state.config().get_extension::<AllowedLocations>();
        match (allowed, self.store.as_str().strip_prefix("s3://")) {
            (Some(allowed), Some(bucket)) => allowed
                .check_prefix(bucket.trim_end_matches('/'), &self.path)
                .map_err(LocationError::Refused),
            _ => Ok(()),
        }
    }

    fn object_path(&self, path: &str) -> Result<ObjectPath, LocationError> {
        ObjectPath::parse(path).map_err(|error| LocationError::Invalid {
            path: self.absolute(),
            reason: error.to_string(),
        })
    }

    /// The files behind it: the file itself, what the glob matches (`*` stays within a folder, `**` does not), or
    /// everything in the folder and below. In folders, names that begin with `_` or `.` are passed over.
    pub async fn files(&self, context: &SessionContext) -> Result<FileSet, LocationError> {
        let store = self.open(context)?;
        let mut files = if self.path.contains(['*', '?', '[']) {
            self.glob(&store).await?
        } else {
            self.file_or_folder(&store).await?
        };
        if files.is_empty() {
            return Err(LocationError::NoMatch(self.absolute()));
        }
        files.sort_by(|a, b| a.location.cmp(&b.location));
        Ok(FileSet {
            store: self.store.clone(),
            files,
        })
    }

    async fn file_or_folder(&self, store: &Arc<dyn ObjectStore>) -> Result<Vec<ObjectMeta>, LocationError> {
        let path = self.object_path(&self.path)?;
        if !self.folder {
            match store.head(&path).await {
                Ok(file) => return Ok(vec![file]),
                Err(object_store::Error::NotFound { .. }) => {}
                // A folder of a file system is found, but is no file.
                Err(_) if self.local().is_some_and(|path| path.is_dir()) => {}
                Err(source) => {
                    return Err(LocationError::Storage {
                        path: self.absolute(),
                        source,
                    });
                }
            }
        }
        let hidden = |file: &ObjectMeta| {
            let below = file.location.as_ref().strip_prefix(path.as_ref()).unwrap_or_default();
            below.split('/').any(|part| part.starts_with(['_', '.']))
        };
        let files = self.list(store, &path).await?;
        Ok(files.into_iter().filter(|file| !hidden(file)).collect())
    }

    async fn glob(&self, store: &Arc<dyn ObjectStore>) -> Result<Vec<ObjectMeta>, LocationError> {
        let pattern = Pattern::new(&self.path).map_err(|error| LocationError::Invalid {
            path: self.absolute(),
            reason: error.to_string(),
        })?;
        let options = MatchOptions {
            case_sensitive: true,
            require_literal_separator: true,
            require_literal_leading_dot: false,
        };
        let folder: Vec<&str> = self
            .path
            .split('/')
            .take_while(|part| !part.contains(['*', '?', '[']))
            .collect();
        let files = self.list(store, &self.object_path(&folder.join("/"))?).await?;
        let matches = |file: &ObjectMeta| pattern.matches_with(file.location.as_ref(), options);
        Ok(files.into_iter().filter(matches).collect())
    }

    async fn list(&self, store: &Arc<dyn ObjectStore>, prefix: &ObjectPath) -> Result<Vec<ObjectMeta>, LocationError> {
        let listed: Result<Vec<_>, _> = store.list(Some(prefix)).try_collect().await;
        listed.map_err(|source| LocationError::Storage {
            path: self.absolute(),
            source,
        })
    }
}

/// Without `.`, `..`, doubled slashes, and slashes at the ends.
fn normalise(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for component in Path::new(path).components() {
        match component {
            Component::Normal(part) => parts.extend(part.to_str()),
            Component::ParentDir => {
                parts.pop();
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_absolute() {
        let check = |base, path, expect: &str| assert_eq!(Location::resolve(base, path).unwrap().absolute(), expect);
        check("/jobs/a", "in.csv", "/jobs/a/in.csv");
        check("/jobs/a/", "./x/../in.csv", "/jobs/a/in.csv");
        check("/jobs/a", "../b/*.csv", "/jobs/b/*.csv");
        check("/jobs/a", "/in.csv", "/in.csv");
        check("/jobs/a", "file:///in/it.csv", "/in/it.csv");
        check("s3://bucket/jobs", "in.csv", "s3://bucket/jobs/in.csv");
        check("/jobs", "s3://other/in.csv", "s3://other/in.csv");
    }

    async fn found(folder: &Path, path: &str) -> Result<Vec<String>, LocationError> {
        let set = Location::resolve(folder.to_str().unwrap(), path)?
            .files(&SessionContext::new())
            .await?;
        let prefix = folder.to_str().unwrap().trim_start_matches('/').to_owned() + "/";
        let name = |file: &ObjectMeta| file.location.as_ref().strip_prefix(&prefix).unwrap().to_owned();
        Ok(set.files.iter().map(name).collect())
    }

    #[tokio::test]
    async fn files_globs_and_folders() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        for name in [
            "a.csv",
            "b.csv",
            "c d.txt",
            "sub/e.csv",
            "sub/_weir/f.csv",
            "sub/.g.csv",
        ] {
            std::fs::create_dir_all(folder.join(name).parent().unwrap()).unwrap();
            std::fs::write(folder.join(name), "x").unwrap();
        }
        assert_eq!(found(&folder, "a.csv").await.unwrap(), ["a.csv"]);
        assert_eq!(found(&folder, "c d.txt").await.unwrap(), ["c d.txt"]);
        assert_eq!(found(&folder, "*.csv").await.unwrap(), ["a.csv", "b.csv"]);
        assert_eq!(found(&folder, "**/e.csv").await.unwrap(), ["sub/e.csv"]);
        assert_eq!(found(&folder, "s?b/[a-f].csv").await.unwrap(), ["sub/e.csv"]);
        assert_eq!(found(&folder, "sub").await.unwrap(), ["sub/e.csv"]);
        assert_eq!(found(&folder, "sub/").await.unwrap(), ["sub/e.csv"]);
        for missing in ["d.csv", "*.json", "none/", "none/*.csv"] {
            let error = found(&folder, missing).await.unwrap_err();
            assert!(matches!(error, LocationError::NoMatch(_)), "{missing}: {error:?}");
        }
    }
}
