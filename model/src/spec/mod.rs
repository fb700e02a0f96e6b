//! Beam YAML: text to a checked graph of transforms.
//!
//! [`parse`] puts the parameters in (Jinja, [`render`]), reads the YAML as PyYAML reads it (that is YAML 1.1: `header: no` is a
//! boolean), checks every transform's configuration, resolves inputs, and flattens chains and composites. What comes
//! out is a [`Pipeline`]: a list of leaf transforms in topological order, each with a typed configuration in which
//! everything that planning can still complain about (expressions, column names, paths) carries its [`Span`].
//!
//! **Invariants.** No IO and no panics, whatever the text. A pipeline that parses has no cycle, every input refers to
//! an earlier transform, and every error output that is declared is consumed. Work is bounded: the size of the text
//! before and after parameters, nesting, and the number of nodes that aliases expand to.
//!
//! **Departures from Beam.** A key that comes twice is an error, and so is an unknown one. YAML timestamps stay strings.
//! `extra_transforms` do not change the output of a chain. Sinks have no output. Templates cannot include other files,
//! and have no `datetime`.
//!
//! **Boundary.** Column names and types are unknown here: expressions are checked for shape only. The engine reports
//! what it finds later through [`Pipeline::diagnostic`], so that all errors look the same.

mod blocks;
mod config;
mod diagnostic;
mod generic;
mod pipeline;
mod reader;
mod report;
mod resolve;
mod scalar;
mod suggest;
mod template;
mod transforms;
mod value;
mod yaml;

pub use diagnostic::{Diagnostic, Diagnostics, Span, Spanned};
pub use generic::{Comparison, GenericExpression};
pub use pipeline::{Input, Pipeline, Transform, TransformId, WasmProvider};
pub use transforms::{
    AggregateFunction, Aggregation, AssertEqual, Combine, Create, ErrorHandling, Explode, Expression, Filter, Join,
    JoinCondition, JoinField, JoinFields, JoinKind, JoinStep, JoinType, Language, LogForTesting, MapToFields,
    MappedField, ReadFromCsv, ReadFromJson, ReadFromParquet, ReadFromText, Rows, Sql, TransformKind, WasmCall,
    WasmFunction, WasmTransform, WriteTarget, WriteToCsv, WriteToJson, WriteToParquet, WriteToText,
};
pub use value::Value;

use std::collections::BTreeMap;

use reader::Fields;
use report::Report;

/// Bytes of a pipeline file.
pub const MAX_FILE_BYTES: usize = 1 << 20;
/// Bytes of a pipeline after parameters are put in.
pub const MAX_RENDERED_BYTES: usize = 4 << 20;

/// Reads a pipeline. `file` is only used in messages; `params` are the values of the template's parameters.
///
/// A parameter's value is a string, except that one which is a JSON list or object can also be iterated and indexed
/// by the template.
///
/// # Errors
/// Everything that is wrong with the pipeline, as far as it could be read, in the order of the file.
pub fn parse(file: &str, text: &str, params: &BTreeMap<String, String>) -> Result<Pipeline, Diagnostics> {
    let rendered = render(file, text, params)?;
    read(file, text, &rendered)
}

/// Whether parameters make a difference to a pipeline: others need not be [rendered](render).
pub fn is_template(text: &str) -> bool {
    template::is_template(text)
}

/// Puts the parameters into a pipeline's text. The steps that this takes and the size of what comes out are bounded, the
/// memory for what the template builds and never writes is not: a process that others depend on lets another one do it.
///
/// # Errors
/// What is wrong with the template.
pub fn render(file: &str, text: &str, params: &BTreeMap<String, String>) -> Result<String, Diagnostic> {
    if text.len() > MAX_FILE_BYTES {
        let message = format!("the pipeline is larger than {MAX_FILE_BYTES} bytes");
        return Err(Diagnostic::new(file, message).with_help("keep data in files and read them"));
    }
    template::render(file, text, params, MAX_RENDERED_BYTES)
}

/// Reads a pipeline whose text gave `rendered` when the parameters were put in.
///
/// # Errors
/// As [`parse`].
pub fn read(file: &str, text: &str, rendered: &str) -> Result<Pipeline, Diagnostics> {
    let mut report = Report::new(file, diagnostic::LineMap::between(text, rendered));
    let (transforms, providers, options) = match yaml::parse(rendered, &mut report) {
        Some(root) => document(&root, &mut report),
        None => Default::default(),
    };
    let lines = report.finish()?;
    Ok(Pipeline {
        file: file.to_owned(),
        transforms,
        providers: providers.list,
        options,
        lines,
    })
}

/// Reads the document's top level.
fn document(root: &yaml::Node, report: &mut Report) -> (Vec<Transform>, config::Providers, Value) {
    let mut fields = Fields::new(root, "a pipeline file", report);
    let pipeline = fields.require("pipeline", report);
    let providers = fields
        .get("providers")
        .map_or_else(Default::default, |node| config::parse_providers(node, report));
    let options = match fields.get("options") {
        Some(node) => {
            reader::entries(node, "options", report);
            node.to_value()
        }
        None => Value::Map(Vec::new()),
    };
    // Tests of the pipeline are for Beam's own test runner.
    fields.ignore(&["tests"]);
    // A place for anchors.
    fields.ignore_prefixes(&[".", "x-"]);
    fields.finish("a pipeline file", report);
    let transforms = pipeline.map(|node| {
        let blocks = blocks::parse(node, report);
        let transforms = resolve::resolve(blocks, &providers, report);
        if transforms.is_empty() && report.is_empty() {
            report.error(node.span, "the pipeline has no transforms");
        }
        transforms
    });
    (transforms.unwrap_or_default(), providers, options)
}
