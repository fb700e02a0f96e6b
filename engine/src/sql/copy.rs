//! `COPY (...) TO 'path'`.

use std::collections::HashMap;

use datafusion::logical_expr::LogicalPlan;
use datafusion::logical_expr::dml::CopyTo;
use weir_model::{RunId, Submission};

use super::{tables, unsupported};
use crate::PlanError;
use crate::io::{Location, LocationError, ParquetCodec, SinkFormat, SinkSpec, SinkTarget};
use crate::stages::StageBuilder;

/// How messages and metrics call the output of a `COPY`.
const TRANSFORM: &str = "COPY";

/// Adds the rows of `copy` as files. A target `dir/name.csv` gives files `dir/name-SSSSS-of-NNNNN.csv`.
pub(super) async fn sink(
    copy: CopyTo,
    submission: &Submission,
    run: RunId,
    builder: &mut StageBuilder,
) -> Result<(), PlanError> {
    if !copy.partition_by.is_empty() {
        return Err(unsupported(
            "COPY ... PARTITIONED BY",
            "write each partition with a COPY of its own",
        ));
    }
    let absolute = tables::located(builder.context(), &copy.output_url, &submission.base)?;
    let wrong = |error: LocationError| PlanError::Query(error.to_string());
    let location = Location::resolve(&submission.base, &absolute).map_err(wrong)?;
    location.check_sink(builder.context()).map_err(wrong)?;
    if location.local().is_none() && !location.is_s3() {
        return Err(PlanError::Query(format!(
            "nothing can be written to `{absolute}`; use an `s3://` URL or a path"
        )));
    }
    let absolute = absolute.strip_prefix("file://").unwrap_or(&absolute);
    let format = format(&copy.file_type.get_ext(), &copy.options)?;
    let suffix = match format.name() {
        "text" => ".txt",
        "csv" => ".csv",
        "json" => ".json",
        _ => ".parquet",
    };
    let prefix = absolute.strip_suffix(suffix).unwrap_or(absolute);
    let target = SinkTarget::new(prefix).ok_or_else(|| PlanError::Query(format!("`{absolute}` is not a file name")))?;
    let spec = SinkSpec {
        info: target.info(run, TRANSFORM, &format),
        suffix: suffix.to_owned(),
        shards: None,
        format,
    };
    builder
        .sink(&[TRANSFORM.to_owned()], LogicalPlan::clone(&copy.input), spec)
        .await
}

fn format(extension: &str, options: &HashMap<String, String>) -> Result<SinkFormat, PlanError> {
    let extension = extension.trim_start_matches('.');
    let mut options: HashMap<_, _> = options
        .iter()
        .map(|(key, value)| (key.strip_prefix("format.").unwrap_or(key), value.as_str()))
        .collect();
    let format = match extension {
        "csv" => SinkFormat::Csv {
            delimiter: byte(options.remove("delimiter"), b',')?,
            quote: byte(options.remove("quote"), b'"')?,
            header: match options.remove("has_header").map(str::parse).transpose() {
                Ok(header) => header.unwrap_or(true),
                Err(_) => return Err(PlanError::Query("the option has_header is true or false".to_owned())),
            },
            null: options.remove("null_value").unwrap_or_default().to_owned(),
        },
        "json" => SinkFormat::Json,
        "parquet" => SinkFormat::Parquet {
            codec: codec(options.remove("compression"))?,
        },
        other => {
            return Err(unsupported(
                &format!("writing {other} files"),
                "use STORED AS PARQUET, CSV or JSON",
            ));
        }
    };
    match options.keys().next() {
        Some(unknown) => Err(PlanError::Query(format!(
            "COPY to {extension} has no option `{unknown}`"
        ))),
        None => Ok(format),
    }
}

fn byte(value: Option<&str>, default: u8) -> Result<u8, PlanError> {
    match value.map(str::as_bytes) {
        None => Ok(default),
        Some([byte]) => Ok(*byte),
        Some(_) => Err(PlanError::Query("delimiter and quote are single characters".to_owned())),
    }
}

fn codec(name: Option<&str>) -> Result<ParquetCodec, PlanError> {
    match name.map(str::to_ascii_lowercase).as_deref() {
        None => Ok(ParquetCodec::default()),
        Some("uncompressed" | "none") => Ok(ParquetCodec::None),
        Some("snappy") => Ok(ParquetCodec::Snappy),
        Some("gzip") => Ok(ParquetCodec::Gzip),
        Some("brotli") => Ok(ParquetCodec::Brotli),
        Some("lz4" | "lz4_raw") => Ok(ParquetCodec::Lz4),
        Some("zstd") => Ok(ParquetCodec::Zstd),
        Some(other) => Err(PlanError::Query(format!(
            "Parquet has no compression `{other}`; use none, snappy, gzip, brotli, lz4 or zstd"
        ))),
    }
}
