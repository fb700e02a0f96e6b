//! `WriteTo...`.

use std::collections::HashMap;

use datafusion::prelude::SessionContext;
use weir_model::RunId;
use weir_model::spec::{TransformKind, WriteTarget, WriteToParquet};

use super::flow::Flow;
use super::problems::{Place, Result};
use super::sources::byte;
use crate::io::{Location, ParquetCodec, SinkFormat, SinkSpec, SinkTarget};

/// The sinks of a pipeline so far: who writes where.
#[derive(Default)]
pub(super) struct Sinks {
    targets: HashMap<String, String>,
}

impl Sinks {
    /// What a sink writes; none when the transform is no sink.
    pub(super) fn spec(
        &mut self,
        place: Place<'_>,
        context: &SessionContext,
        base: &str,
        run: RunId,
        input: &Flow,
    ) -> Result<Option<SinkSpec>> {
        let (target, format) = match &place.transform.kind {
            TransformKind::WriteToText(config) => {
                let count = input.names().count();
                if count != 1 {
                    let names: Vec<_> = input.names().map(|name| format!("`{name}`")).collect();
                    let message = format!(
                        "WriteToText takes rows with exactly one field, and these have {count}: {}; choose one with \
                         MapToFields",
                        names.join(", ")
                    );
                    return Err(place.here(message));
                }
                (&config.target, SinkFormat::Text)
            }
            TransformKind::WriteToCsv(config) => {
                let format = SinkFormat::Csv {
                    delimiter: byte(config.delimiter.value),
                    quote: byte(config.quote.value),
                    header: config.header,
                    null: config.null.clone(),
                };
                (&config.target, format)
            }
            TransformKind::WriteToJson(config) => (&config.target, SinkFormat::Json),
            TransformKind::WriteToParquet(config) => (
                &config.target,
                SinkFormat::Parquet {
                    codec: codec(place, config)?,
                },
            ),
            _ => return Ok(None),
        };
        self.place(place, context, base, run, target, format).map(Some)
    }

    fn place(
        &mut self,
        place: Place<'_>,
        context: &SessionContext,
        base: &str,
        run: RunId,
        target: &WriteTarget,
        format: SinkFormat,
    ) -> Result<SinkSpec> {
        let wrong = |message: String| place.at(target.path.span, message);
        let location = Location::resolve(base, &target.path).map_err(|error| wrong(error.to_string()))?;
        location.check_sink(context).map_err(|error| wrong(error.to_string()))?;
        if location.local().is_none() && !location.is_s3() {
            return Err(wrong(format!(
                "nothing can be written to `{}`; use an `s3://` URL or a path",
                target.path
            )));
        }
        let absolute = location.absolute();
        let Some(prefix) = SinkTarget::new(&absolute) else {
            return Err(wrong(format!("`{}` is no prefix for files", target.path)));
        };
        let info = prefix.info(run, &place.transform.name, &format);
        if let Some(other) = self.targets.insert(info.target.clone(), place.transform.name.clone()) {
            return Err(wrong(format!(
                "`{other}` writes to `{}` as well; choose another path",
                target.path
            )));
        }
        Ok(SinkSpec {
            info,
            suffix: target
                .file_name_suffix
                .as_ref()
                .map(|suffix| suffix.value.clone())
                .unwrap_or_default(),
            shards: target
                .num_shards
                .as_ref()
                .map(|shards| shards.value)
                .filter(|&shards| shards > 0),
            format,
        })
    }
}

fn codec(place: Place<'_>, config: &WriteToParquet) -> Result<ParquetCodec> {
    let Some(codec) = &config.codec else {
        return Ok(ParquetCodec::default());
    };
    Ok(match codec.to_ascii_lowercase().as_str() {
        "none" => ParquetCodec::None,
        "snappy" => ParquetCodec::Snappy,
        "gzip" => ParquetCodec::Gzip,
        "brotli" => ParquetCodec::Brotli,
        "lz4" => ParquetCodec::Lz4,
        "zstd" => ParquetCodec::Zstd,
        _ => {
            let message = format!("`{codec}` is no codec; use one of none, snappy, gzip, brotli, lz4 and zstd");
            return Err(place.at(codec.span, message));
        }
    })
}
