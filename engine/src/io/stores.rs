//! The stores that users' files lie in.

use std::sync::Arc;

use datafusion::error::Result;
use datafusion::execution::object_store::{DefaultObjectStoreRegistry, ObjectStoreRegistry, ObjectStoreUrl};
use datafusion::execution::runtime_env::RuntimeEnv;
use object_store::ObjectStore;
use object_store::path::Path as ObjectPath;
use url::Url;
use weir_model::{Failure, FailureKind, RunSettings};
use weir_platform::s3::{self, S3, S3Url, S3UrlError};

use crate::task::OperatorError;

/// Finds the store of a URL: every bucket of S3, and the machine's file system if jobs may use it.
#[derive(Debug)]
pub(crate) struct Stores {
    /// Those that were registered, and the file system.
    others: DefaultObjectStoreRegistry,
    s3: S3,
    local_files: bool,
}

impl Stores {
    pub(crate) fn new(s3: S3, local_files: bool) -> Self {
        Self {
            others: DefaultObjectStoreRegistry::new(),
            s3,
            local_files,
        }
    }
}

impl ObjectStoreRegistry for Stores {
    fn register_store(&self, url: &Url, store: Arc<dyn ObjectStore>) -> Option<Arc<dyn ObjectStore>> {
        self.others.register_store(url, store)
    }

    fn deregister_store(&self, url: &Url) -> Result<Arc<dyn ObjectStore>> {
        self.others.deregister_store(url)
    }

    fn get_store(&self, url: &Url) -> Result<Arc<dyn ObjectStore>> {
        match (url.scheme(), url.host_str()) {
            ("file", _) if !self.local_files => Err(refused(url.path()).into()),
            ("s3", Some(bucket)) => Ok(Arc::new(self.s3.bucket(bucket))),
            _ => self.others.get_store(url),
        }
    }
}

/// The stores of one attempt, or of the planning of a run: those of the process, with the buckets as these reach them.
#[derive(Debug)]
pub(crate) struct AttemptStores {
    process: Arc<dyn ObjectStoreRegistry>,
    s3: S3,
    /// Whether files of this machine may be used where the process may.
    local_files: bool,
}

impl AttemptStores {
    pub(crate) fn new(runtime: &RuntimeEnv, s3: S3) -> Self {
        Self {
            process: Arc::clone(&runtime.object_store_registry),
            s3,
            local_files: true,
        }
    }
}

impl ObjectStoreRegistry for AttemptStores {
    fn register_store(&self, url: &Url, store: Arc<dyn ObjectStore>) -> Option<Arc<dyn ObjectStore>> {
        self.process.register_store(url, store)
    }

    fn deregister_store(&self, url: &Url) -> Result<Arc<dyn ObjectStore>> {
        self.process.deregister_store(url)
    }

    fn get_store(&self, url: &Url) -> Result<Arc<dyn ObjectStore>> {
        match (url.scheme(), url.host_str()) {
            ("s3", Some(bucket)) => Ok(Arc::new(self.s3.bucket(bucket))),
            ("file", _) if !self.local_files => Err(refused(url.path()).into()),
            _ => self.process.get_store(url),
        }
    }
}

/// The places in S3 that a job may use.
#[derive(Clone, Debug)]
pub(crate) struct AllowedLocations(Arc<[S3Url]>);

impl AllowedLocations {
    /// Those of the settings of a run, if it may not use all.
    ///
    /// # Errors
    /// When one is no place in S3.
    pub(crate) fn of(settings: &RunSettings) -> std::result::Result<Option<Self>, S3UrlError> {
        let Some(places) = &settings.allowed_locations else {
            return Ok(None);
        };
        let places: std::result::Result<Vec<S3Url>, _> = places.iter().map(|place| place.parse()).collect();
        Ok(Some(Self(places?.into())))
    }

    /// The same runtime with these places and nothing else.
    pub(crate) fn confine(&self, runtime: &RuntimeEnv, s3: &S3) -> RuntimeEnv {
        RuntimeEnv {
            object_store_registry: Arc::new(AttemptStores {
                local_files: false,
                ..AttemptStores::new(runtime, s3.only(Arc::clone(&self.0)))
            }),
            ..runtime.clone()
        }
    }

    /// Refuses files of a bucket that begin with a path, when the folder that they are in is no such place.
    pub(crate) fn check_prefix(&self, bucket: &str, prefix: &str) -> std::result::Result<(), String> {
        let folder = prefix.rsplit_once('/').map_or("", |(folder, _)| folder);
        let is_in = |place: &S3Url| ObjectPath::parse(folder).is_ok_and(|folder| place.contains(bucket, &folder));
        match self.0.iter().any(is_in) {
            true => Ok(()),
            false => Err(s3::outside(&format!("`s3://{bucket}/{prefix}`"), &self.0)),
        }
    }
}

/// Refuses a file of this machine if jobs may not use them.
pub(crate) fn check_local(runtime: &RuntimeEnv, path: &str) -> Result<()> {
    let found = runtime.object_store(ObjectStoreUrl::local_filesystem());
    found.map(drop).map_err(|_| refused(path).into())
}

fn refused(path: &str) -> OperatorError {
    let path = match path {
        "" | "/" => String::new(),
        path => format!(", such as `{path}`"),
    };
    let message = format!(
        "jobs cannot reach the files of this server's machines{path}; put them into a bucket and use `s3://` URLs"
    );
    OperatorError(Failure::new(FailureKind::User, "local_file", message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(stores: &Stores, url: &str) -> Result<String> {
        let store = stores.get_store(&Url::parse(url).unwrap())?;
        Ok(store.to_string())
    }

    #[test]
    fn every_bucket_is_there_and_the_file_system_if_it_may_be() {
        let s3 = S3::from_environment(false);
        let all = Stores::new(s3.clone(), true);
        assert_eq!(get(&all, "s3://one/a").unwrap(), "s3://one");
        assert_eq!(get(&all, "s3://two").unwrap(), "s3://two");
        assert!(get(&all, "file:///tmp").unwrap().contains("LocalFileSystem"));
        assert!(get(&all, "gs://bucket").is_err());

        let remote = Stores::new(s3, false);
        assert_eq!(get(&remote, "s3://one/a").unwrap(), "s3://one");
        let error = get(&remote, "file:///etc/passwd").unwrap_err().to_string();
        assert!(error.contains("`/etc/passwd`") && error.contains("`s3://`"), "{error}");
    }
}
