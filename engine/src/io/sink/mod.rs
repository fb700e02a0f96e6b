//! Writing the files of a sink.

mod csv;
mod parquet;
mod text;
mod writer;

use serde::{Deserialize, Serialize};
use weir_model::{CsvDialect, RunId, SinkInfo};

pub use writer::{FileWriter, Staging, WriteError};

/// What to write, and where.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SinkSpec {
    /// What the control plane must know of it.
    pub info: SinkInfo,
    /// The end of the files' names, such as `.csv`; may be empty.
    pub suffix: String,
    /// How many files there must be. The plan of the sink's stage then has as many partitions, and each is a file,
    /// whichever task runs it. When absent, each task writes one file.
    pub shards: Option<u32>,
    /// How rows become bytes.
    pub format: SinkFormat,
}

/// How rows become bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum SinkFormat {
    /// The one column, one value a line.
    Text,
    /// As pandas' `to_csv` writes it.
    Csv {
        /// Between fields.
        delimiter: u8,
        /// Around fields that need it.
        quote: u8,
        /// Whether the first line has the names of the columns.
        header: bool,
        /// What null is written as.
        null: String,
    },
    /// One JSON object a line.
    Json,
    /// Parquet.
    Parquet {
        /// How pages are compressed.
        codec: ParquetCodec,
    },
}

/// How Parquet pages are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ParquetCodec {
    /// Not at all.
    None,
    /// Snappy.
    #[default]
    Snappy,
    /// Gzip.
    Gzip,
    /// Brotli.
    Brotli,
    /// LZ4, without frames.
    Lz4,
    /// Zstandard.
    Zstd,
}

/// Which of a sink's files a writer writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SinkPlace {
    /// Its number, from zero: of the task, or of the partition when [`SinkSpec::shards`] is set.
    pub index: u32,
    /// How many files there are.
    pub count: u32,
}

/// A place to write to, as a path prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinkTarget {
    folder: String,
    prefix: String,
}

impl SinkFormat {
    /// Its name in [`SinkInfo::format`].
    pub fn name(&self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Csv { .. } => "csv",
            Self::Json => "json",
            Self::Parquet { .. } => "parquet",
        }
    }
}

impl SinkTarget {
    /// Splits an absolute path or URL into its folder and the prefix of the files in it. A path that ends in a slash
    /// means files called like the folder, beside it, as in Beam.
    pub fn new(absolute: &str) -> Option<Self> {
        let (folder, prefix) = absolute.trim_end_matches('/').rsplit_once('/')?;
        (!prefix.is_empty()).then(|| Self {
            folder: folder.to_owned(),
            prefix: prefix.to_owned(),
        })
    }

    /// What the control plane must know of a sink here.
    pub fn info(&self, run: RunId, transform: &str, format: &SinkFormat) -> SinkInfo {
        let Self { folder, prefix } = self;
        SinkInfo {
            transform: transform.to_owned(),
            target: format!("{folder}/{prefix}"),
            manifest: format!("{folder}/_weir/{prefix}.json"),
            staging: format!("{folder}/_weir/staging-{run}-{prefix}"),
            format: format.name().to_owned(),
            csv: match format {
                SinkFormat::Csv {
                    delimiter,
                    quote,
                    header,
                    ..
                } => Some(CsvDialect {
                    delimiter: *delimiter,
                    quote: *quote,
                    header: *header,
                }),
                _ => None,
            },
        }
    }
}

impl SinkSpec {
    /// Where a file goes when it becomes visible: `target-SSSSS-of-NNNNNsuffix`.
    pub fn file_target(&self, place: SinkPlace) -> String {
        let SinkPlace { index, count } = place;
        format!("{}-{index:05}-of-{count:05}{}", self.info.target, self.suffix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files() {
        let target = SinkTarget::new("/out/words.csv").unwrap();
        let format = SinkFormat::Json;
        let info = target.info(RunId::from_parts(weir_model::Timestamp(0), 0), "Write", &format);
        assert_eq!(info.target, "/out/words.csv");
        assert_eq!(info.manifest, "/out/_weir/words.csv.json");
        assert!(info.staging.starts_with("/out/_weir/staging-"), "{}", info.staging);
        let spec = SinkSpec {
            info,
            suffix: ".jsonl".to_owned(),
            shards: None,
            format,
        };
        assert_eq!(
            spec.file_target(SinkPlace { index: 3, count: 12 }),
            "/out/words.csv-00003-of-00012.jsonl"
        );
        assert_eq!(SinkTarget::new("/out/dir/"), SinkTarget::new("/out/dir"));
        assert_eq!(SinkTarget::new("/"), None);
        assert_eq!(SinkTarget::new("relative"), None);
    }
}
