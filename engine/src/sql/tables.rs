//! Files as tables.

use std::path::Path;
use std::sync::Arc;

use datafusion::datasource::file_format::FileFormat;
use datafusion::datasource::file_format::csv::CsvFormat;
use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
use datafusion::datasource::file_format::json::JsonFormat;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl};
use datafusion::error::DataFusionError;
use datafusion::prelude::SessionContext;
use futures::StreamExt;
use glob::Pattern;
use object_store::ObjectStoreExt;
use object_store::path::Path as ObjectPath;
use url::Url;
use weir_model::TableRef;

use crate::PlanError;
use crate::io::{Location, check_local};

/// What makes a path a glob.
const GLOB: [char; 3] = ['*', '?', '['];

/// Makes the files of `table` readable by its name. Relative paths start from `base`.
///
/// What stores there are is up to the context's runtime.
pub(super) async fn register(context: &SessionContext, table: &TableRef, base: &str) -> Result<(), PlanError> {
    let unreadable = |message: String| PlanError::Query(format!("table `{}`: {message}", table.name));
    let location = located(context, &table.path, base).map_err(|e| unreadable(e.to_string()))?;
    let location = folder(context, location).await.map_err(&unreadable)?;
    let mut url = listing(&location).map_err(|e| unreadable(e.strip_backtrace()))?;
    let file = first_file(context, &url).await.map_err(&unreadable)?;
    let (format, extension) = format(&file).ok_or_else(|| {
        unreadable(format!(
            "the format of `{file}` is not known; name files .parquet, .csv, .json, .jsonl or .ndjson"
        ))
    })?;
    if extension.is_empty() && location.ends_with('/') {
        // Shards have no common end, and beside them lies what a commit keeps of them.
        let shards = format!("{location}*-?????-of-?????");
        url = listing(&shards).map_err(|e| unreadable(e.strip_backtrace()))?;
    }
    let state = context.state();
    let options = ListingOptions::new(format).with_file_extension(extension);
    let schema = options
        .infer_schema(&state, &url)
        .await
        .map_err(|e| unreadable(e.strip_backtrace()))?;
    let config = ListingTableConfig::new(url)
        .with_listing_options(options)
        .with_schema(schema);
    let listing =
        ListingTable::try_new(config)?.with_cache(context.runtime_env().cache_manager.get_file_statistic_cache());
    context.register_table(table.name.as_str(), Arc::new(listing))?;
    Ok(())
}

/// What files a location means. DataFusion knows globs in local paths only, and takes keys for URLs.
fn listing(location: &str) -> Result<ListingTableUrl, DataFusionError> {
    let Some(place) = location.strip_prefix("s3://") else {
        return ListingTableUrl::parse(location);
    };
    let external = DataFusionError::External;
    let (bucket, key) = place.split_once('/').unwrap_or((place, ""));
    let globbed = key
        .find(GLOB)
        .map(|at| key[..at].rfind('/').map_or(0, |slash| slash + 1));
    let (folder, glob) = key.split_at(globbed.unwrap_or(key.len()));
    let mut url = Url::parse(&format!("s3://{bucket}/")).map_err(|e| external(e.into()))?;
    url.set_path(&folder.replace('%', "%25"));
    let glob = globbed.map(|_| Pattern::new(glob)).transpose();
    ListingTableUrl::try_new(url, glob.map_err(|e| external(e.into()))?)
}

/// A location in a bucket, with a slash at its end if there is no object but objects below it.
async fn folder(context: &SessionContext, location: String) -> Result<String, String> {
    if !location.starts_with("s3://") || location.ends_with('/') || location.contains(GLOB) {
        return Ok(location);
    }
    let place = Location::resolve("", &location).map_err(|e| e.to_string())?;
    let store = place.open(context).map_err(|e| e.to_string())?;
    let path = ObjectPath::parse(&place.path).map_err(|e| e.to_string())?;
    match store.head(&path).await {
        Err(object_store::Error::NotFound { .. }) => Ok(location + "/"),
        // Whatever else there is to say is said when it is read.
        _ => Ok(location),
    }
}

/// Where `path` is; folders end in a slash. A local one is looked at only if jobs may use the files of this machine: an
/// answer must not tell which there are.
pub(super) fn located(context: &SessionContext, path: &str, base: &str) -> Result<String, PlanError> {
    let mut path = absolute(path, base);
    let local = path.strip_prefix("file://").unwrap_or(&path);
    if local.contains("://") {
        return Ok(path);
    }
    check_local(&context.runtime_env(), local).map_err(PlanError::from_datafusion)?;
    if !path.ends_with('/') && Path::new(local).is_dir() {
        path.push('/');
    }
    Ok(path)
}

/// `path` from `base`, unless it is absolute or a URL.
fn absolute(path: &str, base: &str) -> String {
    match path.contains("://") || Path::new(path).is_absolute() {
        true => path.to_owned(),
        false => format!(
            "{}/{}",
            base.trim_end_matches('/'),
            path.strip_prefix("./").unwrap_or(path)
        ),
    }
}

/// The path of the first file of a known format, or else of the first file.
async fn first_file(context: &SessionContext, url: &ListingTableUrl) -> Result<String, String> {
    let state = context.state();
    let store = context.runtime_env().object_store(url);
    let store = store.map_err(|e| PlanError::from_datafusion(e).to_string())?;
    let files = url
        .list_all_files(&state, store.as_ref(), "")
        .await
        .map_err(|e| e.strip_backtrace())?;
    let mut files = files;
    let mut unknown = None;
    while let Some(file) = files.next().await {
        let path = file.map_err(|e| e.strip_backtrace())?.location.to_string();
        if format(&path).is_some() {
            return Ok(path);
        }
        unknown.get_or_insert(path);
    }
    unknown.ok_or_else(|| format!("no files at `{}`", url.as_str()))
}

/// The name without the `-00001-of-00004` that outputs end in.
fn without_shard(name: &str) -> &str {
    let number = |text: &str| text.len() == 5 && text.bytes().all(|byte| byte.is_ascii_digit());
    match name.rsplit_once("-of-").map(|(start, of)| (start.rsplit_once('-'), of)) {
        Some((Some((stem, shard)), of)) if number(shard) && number(of) => stem,
        _ => name,
    }
}

/// The format that a file's name says, and the end of the names of such files: nothing for shards such as
/// `a.csv-00001-of-00004`.
fn format(path: &str) -> Option<(Arc<dyn FileFormat>, String)> {
    let file = path.rsplit('/').next()?;
    let stem = without_shard(file);
    let name = stem.to_ascii_lowercase();
    let compressions = [
        (".gz", FileCompressionType::GZIP),
        (".bz2", FileCompressionType::BZIP2),
        (".xz", FileCompressionType::XZ),
        (".zst", FileCompressionType::ZSTD),
    ];
    let found = compressions.into_iter().find(|(end, _)| name.ends_with(end));
    let (end, compression) = found.unwrap_or(("", FileCompressionType::UNCOMPRESSED));
    let (_, extension) = name.strip_suffix(end)?.rsplit_once('.')?;
    let format: Arc<dyn FileFormat> = match extension {
        "parquet" if end.is_empty() => Arc::new(ParquetFormat::default()),
        "csv" => Arc::new(
            CsvFormat::default()
                .with_has_header(true)
                .with_file_compression_type(compression),
        ),
        "tsv" => {
            let tabs = CsvFormat::default().with_has_header(true).with_delimiter(b'\t');
            Arc::new(tabs.with_file_compression_type(compression))
        }
        "json" | "jsonl" | "ndjson" => Arc::new(JsonFormat::default().with_file_compression_type(compression)),
        _ => return None,
    };
    if stem.len() < file.len() {
        return Some((format, String::new()));
    }
    // As the file has it: listing compares with case.
    let extension = &path[path.len() - extension.len() - end.len() - 1..];
    Some((format, extension.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_by_name() {
        let extension = |path| format(path).map(|(format, extension)| (format.get_ext(), extension));
        assert_eq!(
            extension("a/b.parquet"),
            Some(("parquet".to_owned(), ".parquet".to_owned()))
        );
        assert_eq!(extension("a/b.CSV.gz"), Some(("csv".to_owned(), ".CSV.gz".to_owned())));
        assert_eq!(extension("b.jsonl"), Some(("json".to_owned(), ".jsonl".to_owned())));
        assert_eq!(extension("b.parquet.gz"), None);
        let shard = Some(("parquet".to_owned(), String::new()));
        assert_eq!(extension("out/b.parquet-00001-of-00012"), shard);
        assert_eq!(extension("out/b-00001-of-00012"), None);
        assert_eq!(extension("a.csv/b"), None);
    }

    #[test]
    fn buckets_have_globs_as_folders_do() {
        let check = |location: &str, prefix: &str, inside: &str, outside: &str| {
            let url = listing(location).unwrap();
            assert_eq!(url.prefix().as_ref(), prefix, "{location}");
            let contains = |path| url.contains(&ObjectPath::parse(path).unwrap(), true);
            assert!(contains(inside) && !contains(outside), "{location}");
        };
        check("s3://bucket/a/b-*.csv", "a", "a/b-1.csv", "a/c-1.csv");
        check("s3://bucket/b?.csv", "", "b1.csv", "a/b1.csv");
        check("s3://bucket/100% of#it/", "100% of#it", "100% of#it/x", "100/x");
        check("s3://bucket/a.csv", "a.csv", "a.csv", "b.csv");
    }

    #[test]
    fn paths_start_from_the_base() {
        assert_eq!(absolute("data/a.csv", "/base"), "/base/data/a.csv");
        assert_eq!(absolute("./a.csv", "/base/"), "/base/a.csv");
        assert_eq!(absolute("/data/*.csv", "/base"), "/data/*.csv");
        assert_eq!(absolute("s3://bucket/key", "/base"), "s3://bucket/key");
    }
}
