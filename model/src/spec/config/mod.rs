//! Configurations of transforms, by type.

mod combine;
mod io;
mod join;
mod mapping;
mod wasm;

use super::reader::{self, Fields};
use super::report::Report;
use super::yaml::{Data, Node};
use super::{
    AssertEqual, Create, ErrorHandling, LogForTesting, Rows, Span, Spanned, Sql, TransformKind, Value, suggest,
};
use crate::LogLevel;

pub(super) use wasm::{Providers, parse_providers};

/// The types that work here.
const TYPES: &[&str] = &[
    "AssertEqual",
    "Combine",
    "Create",
    "Explode",
    "Filter",
    "Flatten",
    "Join",
    "LogForTesting",
    "MapToFields",
    "ReadFromCsv",
    "ReadFromJson",
    "ReadFromParquet",
    "ReadFromText",
    "Sql",
    "StripErrorMetadata",
    "WriteToCsv",
    "WriteToJson",
    "WriteToParquet",
    "WriteToText",
];

/// Types that Beam has and that do not work here.
const BEAM_TYPES: &[&str] = &[
    "AnomalyDetection",
    "AssignTimestamps",
    "DicomSearch",
    "Enrichment",
    "ExtractWindowingInfo",
    "MLTransform",
    "MatchAll",
    "Partition",
    "PyTransform",
    "ReadFromAvro",
    "ReadFromBigQuery",
    "ReadFromBigTable",
    "ReadFromDebezium",
    "ReadFromDelta",
    "ReadFromDeltaCDC",
    "ReadFromFirestore",
    "ReadFromIbmMQ",
    "ReadFromIceberg",
    "ReadFromIcebergCDC",
    "ReadFromJdbc",
    "ReadFromJms",
    "ReadFromKafka",
    "ReadFromKinesis",
    "ReadFromMongoDB",
    "ReadFromMySql",
    "ReadFromOracle",
    "ReadFromPostgres",
    "ReadFromPubSub",
    "ReadFromSnowflake",
    "ReadFromSpanner",
    "ReadFromSpannerCDC",
    "ReadFromSqlServer",
    "ReadFromTFRecord",
    "Reshuffle",
    "RunInference",
    "ValidateWithSchema",
    "WindowInto",
    "WriteToAvro",
    "WriteToBigQuery",
    "WriteToBigTable",
    "WriteToDatadog",
    "WriteToFirestore",
    "WriteToIbmMQ",
    "WriteToIceberg",
    "WriteToJdbc",
    "WriteToJms",
    "WriteToKafka",
    "WriteToKinesis",
    "WriteToMongoDB",
    "WriteToMySql",
    "WriteToOracle",
    "WriteToPostgres",
    "WriteToPubSub",
    "WriteToSnowflake",
    "WriteToSpanner",
    "WriteToSqlServer",
    "WriteToTFRecord",
];

/// Types whose `type` stops being a name for them once they have a `name`, because Beam replaces it by one that
/// holds the language.
pub(super) fn is_named_by_type_only_when_unnamed(type_name: &str) -> bool {
    matches!(type_name, "Combine" | "Filter" | "MapToFields")
}

/// What a configuration may depend on besides itself.
pub(super) struct Context<'c> {
    /// Where the transform is.
    pub(super) span: Span,
    /// Its type.
    pub(super) type_name: &'c Spanned<String>,
    /// The tags of its inputs.
    pub(super) tags: &'c [String],
    /// The transforms of Wasm modules.
    pub(super) providers: &'c Providers,
}

/// Reads the configuration of a transform; nothing when it cannot be used, and then `report` says why.
pub(super) fn parse(context: &Context<'_>, config: Option<&Node>, report: &mut Report) -> Option<TransformKind> {
    let type_name = context.type_name.as_str();
    if let Some(defined) = context.providers.find(type_name) {
        return wasm::transform(type_name, defined, context.span, config, report).map(TransformKind::Wasm);
    }
    if !TYPES.contains(&type_name) {
        unknown_type(context, report);
        return None;
    }
    let mut fields = match config {
        Some(node) => Fields::new(node, "`config`", report),
        None => Fields::empty(context.span),
    };
    fields.unsupported(&["output_schema"], report);
    let kind = kind(context, &mut fields, report);
    fields.finish(&format!("the config of {type_name}"), report);
    kind
}

fn kind(context: &Context<'_>, fields: &mut Fields<'_>, report: &mut Report) -> Option<TransformKind> {
    Some(match context.type_name.as_str() {
        "AssertEqual" => TransformKind::AssertEqual(AssertEqual {
            elements: rows(fields, report)?,
        }),
        "Combine" => TransformKind::Combine(combine::combine(fields, report)?),
        "Create" => {
            let reshuffle = fields.boolean("reshuffle", report).unwrap_or(true);
            TransformKind::Create(Create {
                elements: rows(fields, report)?,
                reshuffle,
            })
        }
        "Explode" => TransformKind::Explode(mapping::explode(fields, report)?),
        "Filter" => TransformKind::Filter(mapping::filter(fields, report)?),
        "Flatten" => TransformKind::Flatten,
        "Join" => TransformKind::Join(join::join(context.tags, fields, report)?),
        "LogForTesting" => TransformKind::LogForTesting(log_for_testing(fields, report)?),
        "MapToFields" => TransformKind::MapToFields(mapping::map_to_fields(fields, report)?),
        "ReadFromCsv" => TransformKind::ReadFromCsv(io::read_from_csv(fields, report)?),
        "ReadFromJson" => TransformKind::ReadFromJson(io::read_from_json(fields, report)?),
        "ReadFromParquet" => TransformKind::ReadFromParquet(io::read_from_parquet(fields, report)?),
        "ReadFromText" => TransformKind::ReadFromText(io::read_from_text(fields, report)?),
        "Sql" => TransformKind::Sql(sql(fields, report)?),
        "StripErrorMetadata" => TransformKind::StripErrorMetadata,
        "WriteToCsv" => TransformKind::WriteToCsv(io::write_to_csv(fields, report)?),
        "WriteToJson" => TransformKind::WriteToJson(io::write_to_json(fields, report)?),
        "WriteToParquet" => TransformKind::WriteToParquet(io::write_to_parquet(fields, report)?),
        _ => TransformKind::WriteToText(io::write_to_text(fields, report)?),
    })
}

fn unknown_type(context: &Context<'_>, report: &mut Report) {
    if report.is_full() {
        return;
    }
    let type_name = context.type_name;
    if BEAM_TYPES.contains(&type_name.as_str()) {
        let message = format!("`{type_name}` is not supported yet");
        let help = match type_name.as_str() {
            "PyTransform" => "write the transform as a function of a Wasm module and name it in `providers`",
            "Partition" => "use one `Filter` for each output",
            "Reshuffle" => "leave it out: work is spread over tasks anyway",
            _ => return report.error(type_name.span, message),
        };
        return report.error_help(type_name.span, message, help);
    }
    if context.providers.broken {
        // It may well be a transform of a provider that could not be read.
        return;
    }
    let known = TYPES
        .iter()
        .copied()
        .chain(context.providers.names())
        .chain(["chain", "composite"]);
    let help = suggest::did_you_mean(type_name, known.clone())
        .unwrap_or_else(|| format!("known types: {}", suggest::list(known)));
    report.error_help(type_name.span, format!("unknown transform type `{type_name}`"), help);
}

/// The `error_handling` of a transform that has it.
fn error_handling(fields: &mut Fields<'_>, report: &mut Report) -> Option<ErrorHandling> {
    let node = fields.get("error_handling")?;
    let mut fields = Fields::new(node, "`error_handling`", report);
    let threshold = fields.get("threshold").and_then(|node| match node.to_value() {
        Value::Float(value) if (0.0..=1.0).contains(&value) => Some(Spanned::new(value, node.span)),
        Value::Int(value @ (0 | 1)) => Some(Spanned::new(value as f64, node.span)),
        _ => {
            report.error(node.span, "`threshold` must be a number between 0 and 1");
            None
        }
    });
    let output = fields.require_string("output", report);
    fields.unsupported(
        &[
            "exc_class",
            "main_tag",
            "partial",
            "threshold_windowing",
            "timeout",
            "use_subprocess",
        ],
        report,
    );
    fields.finish("`error_handling`", report);
    let output = output?;
    if output.is_empty() || output.contains('.') {
        report.error(
            output.span,
            "the name of an output must not be empty or have dots in it",
        );
        return None;
    }
    if matches!(output.as_str(), "good" | "out" | "output") {
        report.error(
            output.span,
            format!("`{output}` is a name of the main output; give the error output another one"),
        );
        return None;
    }
    Some(ErrorHandling { output, threshold })
}

/// Where the records of a transform go that fail, whatever else its configuration holds.
pub(super) fn error_output(config: &Node) -> Option<String> {
    match &config.get("error_handling")?.get("output")?.data {
        Data::Scalar {
            value: Value::String(output),
            ..
        } => Some(output.clone()),
        _ => None,
    }
}

fn rows(fields: &mut Fields<'_>, report: &mut Report) -> Option<Rows> {
    // An empty list is written as nothing by some.
    let node = fields.require("elements", report)?;
    let items = reader::items(node, "elements", report)?;
    let mut names: Vec<String> = Vec::new();
    let mut places = std::collections::HashMap::new();
    let mut place = |name: &str| {
        *places.entry(name.to_owned()).or_insert_with(|| {
            names.push(name.to_owned());
            names.len() - 1
        })
    };
    let mut rows: Vec<Spanned<Vec<Value>>> = Vec::with_capacity(items.len());
    let mut cells = 0;
    for item in items {
        let entries = match item.to_value() {
            Value::Map(entries) => entries,
            value => vec![("element".to_owned(), value)],
        };
        let mut row = Vec::new();
        for (name, value) in entries {
            let place = place(&name);
            if row.len() <= place {
                row.resize(place + 1, Value::Null);
            }
            row[place] = value;
        }
        cells += row.len();
        rows.push(Spanned::new(row, item.span));
        if cells > MAX_CELLS {
            break;
        }
    }
    // Rows that share no fields take the product of rows and fields.
    if rows.len().saturating_mul(names.len()).max(cells) > MAX_CELLS {
        report.error(node.span, "`elements` has too many rows with different fields");
        return None;
    }
    for row in &mut rows {
        row.value.resize(names.len(), Value::Null);
    }
    Some(Rows {
        fields: names,
        rows,
        span: node.span,
    })
}

/// Values in the rows of one `elements`, missing fields included.
const MAX_CELLS: usize = 2_000_000;

fn sql(fields: &mut Fields<'_>, report: &mut Report) -> Option<Sql> {
    let query = fields.require_string("query", report);
    let dialect = fields.string("dialect", report);
    let query = query?;
    if query.trim().is_empty() {
        report.error(query.span, "`query` is empty");
        return None;
    }
    Some(Sql { query, dialect })
}

fn log_for_testing(fields: &mut Fields<'_>, report: &mut Report) -> Option<LogForTesting> {
    let level = fields.string("level", report);
    let prefix = fields
        .string("prefix", report)
        .map_or_else(String::new, |prefix| prefix.value);
    let error_handling = error_handling(fields, report);
    let level = match level {
        None => LogLevel::Info,
        Some(level) => match level.as_str() {
            "ERROR" => LogLevel::Error,
            "INFO" => LogLevel::Info,
            "DEBUG" => LogLevel::Debug,
            _ => {
                report.error(
                    level.span,
                    format!("unknown level `{level}`; it is `ERROR`, `INFO` or `DEBUG`"),
                );
                return None;
            }
        },
    };
    Some(LogForTesting {
        level,
        prefix,
        error_handling,
    })
}

/// Whether a type is built in.
pub(super) fn is_known(type_name: &str) -> bool {
    TYPES.contains(&type_name)
}

/// Whether a built-in type makes no rows.
pub(super) fn is_sink(type_name: &str) -> bool {
    type_name == "AssertEqual" || type_name.starts_with("WriteTo")
}
