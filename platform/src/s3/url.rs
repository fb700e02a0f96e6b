//! URLs such as `s3://bucket/prefix`.

use std::fmt;
use std::str::FromStr;

use object_store::path::Path;

/// A bucket and a path in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S3Url {
    /// The bucket.
    pub bucket: String,
    /// The path, which may be empty: the whole bucket.
    pub path: Path,
}

/// A URL does not name a place in S3.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{url}` is no place in S3: {reason}; write `s3://BUCKET/PREFIX`")]
pub struct S3UrlError {
    /// The URL.
    pub url: String,
    /// What is wrong with it.
    pub reason: String,
}

impl FromStr for S3Url {
    type Err = S3UrlError;

    fn from_str(url: &str) -> Result<Self, S3UrlError> {
        let error = |reason: String| S3UrlError {
            url: url.to_owned(),
            reason,
        };
        let rest = url
            .strip_prefix("s3://")
            .ok_or_else(|| error("it does not begin with `s3://`".to_owned()))?;
        let (bucket, path) = rest.split_once('/').unwrap_or((rest, ""));
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        if bucket.is_empty() || !bucket.chars().all(allowed) {
            return Err(error(format!("`{bucket}` is no name of a bucket")));
        }
        Ok(Self {
            bucket: bucket.to_owned(),
            path: Path::parse(path).map_err(|e| error(e.to_string()))?,
        })
    }
}

impl fmt::Display for S3Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_buckets_and_paths() {
        let check = |text: &str, expect: &str| assert_eq!(text.parse::<S3Url>().unwrap().to_string(), expect);
        check("s3://b/p/q", "s3://b/p/q");
        check("s3://b/p q/", "s3://b/p q");
        check("s3://my.bucket-1", "s3://my.bucket-1/");
        for bad in [
            "",
            "b/p",
            "s3:///p",
            "s3://b?x/p",
            "s3://b@c/p",
            "s3://b/p//q",
            "file:///p",
        ] {
            let error = bad.parse::<S3Url>().unwrap_err();
            assert!(error.to_string().contains("s3://BUCKET/PREFIX"), "{bad}: {error}");
        }
    }
}
