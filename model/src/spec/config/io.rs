//! Reading and writing files.
//!
//! The options are those of Beam's transforms, which hand most of theirs to pandas. Options that change nothing here
//! are accepted; the others are refused by name rather than ignored, because they change the rows.

use super::super::reader::{self, Fields};
use super::super::report::Report;
use super::super::yaml::{Data, Node};
use super::super::{
    ReadFromCsv, ReadFromJson, ReadFromParquet, ReadFromText, Spanned, Value, WriteTarget, WriteToCsv, WriteToJson,
    WriteToParquet, WriteToText, suggest,
};

const MAX_SHARDS: i64 = 10_000;

/// Options of pandas' `read_csv` that change how fast it is, but not the rows.
const CSV_READ_IGNORED: &[&str] = &[
    "cache_dates",
    "engine",
    "infer_datetime_format",
    "low_memory",
    "memory_map",
    "splittable",
    "verbose",
];

const CSV_READ_UNSUPPORTED: &[&str] = &[
    "compression",
    "converters",
    "date_format",
    "date_parser",
    "dayfirst",
    "decimal",
    "delim_whitespace",
    "dialect",
    "doublequote",
    "dtype",
    "dtype_backend",
    "encoding_errors",
    "false_values",
    "float_precision",
    "index_col",
    "keep_date_col",
    "keep_default_na",
    "lineterminator",
    "na_filter",
    "na_values",
    "nrows",
    "on_bad_lines",
    "parse_dates",
    "quoting",
    "skipfooter",
    "skipinitialspace",
    "skiprows",
    "storage_options",
    "thousands",
    "true_values",
];

const CSV_WRITE_UNSUPPORTED: &[&str] = &[
    "columns",
    "compression",
    "date_format",
    "decimal",
    "doublequote",
    "errors",
    "escapechar",
    "file_naming",
    "float_format",
    "index_label",
    "lineterminator",
    "mode",
    "quoting",
    "storage_options",
];

const JSON_UNSUPPORTED: &[&str] = &[
    "compression",
    "convert_axes",
    "convert_dates",
    "date_format",
    "date_unit",
    "default_handler",
    "double_precision",
    "dtype",
    "dtype_backend",
    "encoding_errors",
    "file_naming",
    "force_ascii",
    "indent",
    "keep_default_dates",
    "mode",
    "nrows",
    "precise_float",
    "storage_options",
    "typ",
];

const TEXT_UNSUPPORTED: &[&str] = &[
    "append_trailing_newlines",
    "compression_type",
    "delimiter",
    "footer",
    "header",
    "shard_name_template",
    "skip_header_lines",
    "strip_trailing_newlines",
];

pub(super) fn read_from_text(fields: &mut Fields<'_>, report: &mut Report) -> Option<ReadFromText> {
    let path = path(fields, report);
    fields.ignore(&["min_bundle_size", "validate"]);
    fields.unsupported(TEXT_UNSUPPORTED, report);
    Some(ReadFromText { path: path? })
}

pub(super) fn read_from_csv(fields: &mut Fields<'_>, report: &mut Report) -> Option<ReadFromCsv> {
    let path = path(fields, report);
    let delimiter = delimiter(fields, report);
    let comment = fields.character("comment", report);
    let quote = quote(fields, report);
    let escape = fields.character("escapechar", report);
    let names = column_list("names", fields, report);
    let header = csv_header(names.is_some(), fields, report);
    let columns = column_list("usecols", fields, report);
    let filename_column = fields.string("filename_column", report);
    only(fields, "encoding", &["utf-8", "utf8", "UTF-8"], report);
    only_true("skip_blank_lines", fields, report);
    fields.ignore(CSV_READ_IGNORED);
    fields.unsupported(CSV_READ_UNSUPPORTED, report);
    Some(ReadFromCsv {
        path: path?,
        delimiter,
        comment,
        quote,
        escape,
        header,
        names,
        columns,
        filename_column,
    })
}

/// Whether the first row is a header. Pandas counts rows: zero is the first, null says that there is none.
fn csv_header(has_names: bool, fields: &mut Fields<'_>, report: &mut Report) -> bool {
    let Some(node) = fields.get_or_null("header") else {
        return !has_names;
    };
    match &node.data {
        Data::Scalar { value, .. } => match value {
            Value::Null | Value::Bool(false) => false,
            Value::Int(0) | Value::Bool(true) => true,
            Value::String(text) if text == "infer" => !has_names,
            _ => {
                report.error(node.span, "`header` must be 0 (the first row), null (none) or infer");
                false
            }
        },
        _ => {
            report.error(node.span, "`header` over several rows is not supported");
            false
        }
    }
}

pub(super) fn read_from_json(fields: &mut Fields<'_>, report: &mut Report) -> Option<ReadFromJson> {
    let path = path(fields, report);
    let filename_column = fields.string("filename_column", report);
    json_lines(fields, report);
    fields.ignore(&["splittable"]);
    Some(ReadFromJson {
        path: path?,
        filename_column,
    })
}

pub(super) fn read_from_parquet(fields: &mut Fields<'_>, report: &mut Report) -> Option<ReadFromParquet> {
    let path = path(fields, report);
    let columns = column_list("columns", fields, report);
    only_true("as_rows", fields, report);
    fields.ignore(&["min_bundle_size", "validate"]);
    Some(ReadFromParquet { path: path?, columns })
}

pub(super) fn write_to_text(fields: &mut Fields<'_>, report: &mut Report) -> Option<WriteToText> {
    let target = target(fields, report);
    fields.unsupported(TEXT_UNSUPPORTED, report);
    Some(WriteToText { target: target? })
}

pub(super) fn write_to_csv(fields: &mut Fields<'_>, report: &mut Report) -> Option<WriteToCsv> {
    let target = target(fields, report);
    let delimiter = delimiter(fields, report);
    let quote = quote(fields, report);
    let header = fields.boolean("header", report).unwrap_or(true);
    let null = fields
        .string("na_rep", report)
        .map_or_else(String::new, |null| null.value);
    if let Some(node) = fields.get("index")
        && reader::boolean(node, "index", report) == Some(true)
    {
        report.error(node.span, "rows have no index that could be written");
    }
    only(fields, "encoding", &["utf-8", "utf8", "UTF-8"], report);
    fields.ignore(&["chunksize"]);
    fields.unsupported(CSV_WRITE_UNSUPPORTED, report);
    Some(WriteToCsv {
        target: target?,
        delimiter,
        header,
        quote,
        null,
    })
}

pub(super) fn write_to_json(fields: &mut Fields<'_>, report: &mut Report) -> Option<WriteToJson> {
    let target = target(fields, report);
    json_lines(fields, report);
    if let Some(node) = fields.get("index")
        && reader::boolean(node, "index", report) == Some(true)
    {
        report.error(node.span, "rows have no index that could be written");
    }
    Some(WriteToJson { target: target? })
}

pub(super) fn write_to_parquet(fields: &mut Fields<'_>, report: &mut Report) -> Option<WriteToParquet> {
    const CODECS: [&str; 6] = ["none", "snappy", "gzip", "brotli", "lz4", "zstd"];
    let target = target(fields, report);
    let codec = fields.string("codec", report);
    if let Some(codec) = &codec
        && !CODECS.contains(&codec.as_str())
    {
        let help =
            suggest::did_you_mean(codec, CODECS).unwrap_or_else(|| format!("known codecs: {}", suggest::list(CODECS)));
        report.error_help(codec.span, format!("unknown codec `{codec}`"), help);
    }
    fields.ignore(&["mime_type", "record_batch_size", "row_group_buffer_size"]);
    fields.unsupported(
        &["schema", "shard_name_template", "use_deprecated_int96_timestamps"],
        report,
    );
    Some(WriteToParquet { target: target?, codec })
}

fn path(fields: &mut Fields<'_>, report: &mut Report) -> Option<Spanned<String>> {
    let path = fields.require_string("path", report)?;
    if path.trim().is_empty() {
        report.error(path.span, "`path` is empty");
        return None;
    }
    Some(path)
}

fn target(fields: &mut Fields<'_>, report: &mut Report) -> Option<WriteTarget> {
    let path = path(fields, report);
    let num_shards = fields.get("num_shards").and_then(|node| shards(node, report));
    let file_name_suffix = fields.string("file_name_suffix", report);
    Some(WriteTarget {
        path: path?,
        num_shards,
        file_name_suffix,
    })
}

fn shards(node: &Node, report: &mut Report) -> Option<Spanned<u32>> {
    match node.to_value() {
        // Beam's way to say "as many as suits".
        Value::Int(0) => None,
        Value::Int(count @ 1..=MAX_SHARDS) => u32::try_from(count).ok().map(|count| Spanned::new(count, node.span)),
        _ => {
            report.error(
                node.span,
                format!("`num_shards` must be an integer between 0 and {MAX_SHARDS}"),
            );
            None
        }
    }
}

/// `delimiter`, or `sep`, which is what pandas calls it.
fn delimiter(fields: &mut Fields<'_>, report: &mut Report) -> Spanned<char> {
    let delimiter = fields.character("delimiter", report);
    let sep = fields.character("sep", report);
    if let (Some(_), Some(sep)) = (delimiter, sep) {
        report.error(sep.span, "`sep` and `delimiter` are the same; give one of them");
    }
    delimiter.or(sep).unwrap_or(Spanned::new(',', fields.span))
}

fn quote(fields: &mut Fields<'_>, report: &mut Report) -> Spanned<char> {
    fields
        .character("quotechar", report)
        .unwrap_or(Spanned::new('"', fields.span))
}

fn column_list(key: &'static str, fields: &mut Fields<'_>, report: &mut Report) -> Option<Vec<Spanned<String>>> {
    let node = fields.get(key)?;
    let items = reader::items(node, key, report)?;
    let columns: Vec<_> = items
        .iter()
        .filter_map(|item| reader::string(item, key, report))
        .collect();
    reader::unique(&columns, "the field", report);
    Some(columns)
}

/// JSON is read and written one object a line.
fn json_lines(fields: &mut Fields<'_>, report: &mut Report) {
    only(fields, "orient", &["records"], report);
    only(fields, "encoding", &["utf-8", "utf8", "UTF-8"], report);
    only_true("lines", fields, report);
    fields.ignore(&["chunksize", "engine"]);
    fields.unsupported(JSON_UNSUPPORTED, report);
}

fn only(fields: &mut Fields<'_>, key: &'static str, values: &[&str], report: &mut Report) {
    if let Some(value) = fields.string(key, report)
        && !values.contains(&value.as_str())
    {
        report.error(
            value.span,
            format!("`{key}: {value}` is not supported; it is always `{}`", values[0]),
        );
    }
}

fn only_true(key: &'static str, fields: &mut Fields<'_>, report: &mut Report) {
    if let Some(node) = fields.get(key)
        && reader::boolean(node, key, report) == Some(false)
    {
        report.error(node.span, format!("`{key}: false` is not supported"));
    }
}
