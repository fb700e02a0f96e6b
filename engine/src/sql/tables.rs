//! Files as tables.

use std::path::Path;
use std::sync::Arc;

use datafusion::datasource::file_format::FileFormat;
use datafusion::datasource::file_format::csv::CsvFormat;
use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
use datafusion::datasource::file_format::json::JsonFormat;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl};
use datafusion::prelude::SessionContext;
use futures::StreamExt;
use weir_model::TableRef;

use crate::PlanError;

/// Makes the files of `table` readable by its name. Relative paths start from `base`.
///
/// Object stores are registered in the context's runtime; local files always are.
pub(super) async fn register(context: &SessionContext, table: &TableRef, base: &str) -> Result<(), PlanError> {
    let unreadable = |message: String| PlanError::Query(format!("table `{}`: {message}", table.name));
    let location = absolute(&table.path, base);
    let mut url = ListingTableUrl::parse(&location).map_err(|e| unreadable(e.strip_backtrace()))?;
    let file = first_file(context, &url).await.map_err(&unreadable)?;
    let (format, extension) = format(&file).ok_or_else(|| {
        unreadable(format!(
            "the format of `{file}` is not known; name files .parquet, .csv, .json, .jsonl or .ndjson"
        ))
    })?;
    if extension.is_empty() && location.ends_with('/') {
        // Shards have no common end, and beside them lies what a commit keeps of them.
        let shards = format!("{location}*-?????-of-?????");
        url = ListingTableUrl::parse(&shards).map_err(|e| unreadable(e.strip_backtrace()))?;
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

/// `path` from `base`, unless it is absolute or a URL; folders end in a slash.
pub(super) fn absolute(path: &str, base: &str) -> String {
    let mut path = match path.contains("://") || Path::new(path).is_absolute() {
        true => path.to_owned(),
        false => format!(
            "{}/{}",
            base.trim_end_matches('/'),
            path.strip_prefix("./").unwrap_or(path)
        ),
    };
    let local = path.strip_prefix("file://").unwrap_or(&path);
    if !path.ends_with('/') && Path::new(local).is_dir() {
        path.push('/');
    }
    path
}

/// The path of the first file of a known format, or else of the first file.
async fn first_file(context: &SessionContext, url: &ListingTableUrl) -> Result<String, String> {
    let state = context.state();
    let store = context
        .runtime_env()
        .object_store(url)
        .map_err(|e| e.strip_backtrace())?;
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
    fn paths_start_from_the_base() {
        assert_eq!(absolute("data/a.csv", "/base"), "/base/data/a.csv");
        assert_eq!(absolute("./a.csv", "/base/"), "/base/a.csv");
        assert_eq!(absolute("/data/*.csv", "/base"), "/data/*.csv");
        assert_eq!(absolute("s3://bucket/key", "/base"), "s3://bucket/key");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_str().unwrap();
        assert_eq!(absolute(path, "/base"), format!("{path}/"));
    }
}
