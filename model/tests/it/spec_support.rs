//! How tests of the pipeline specification are written: a file in, lines out.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use weir_model::spec::{self, Pipeline};

/// Reads `yaml` as the file `p.yaml`, and compares the graph or the messages with `expect`. Both sides may be indented.
#[track_caller]
pub(crate) fn check(yaml: &str, expect: &str) {
    check_with(yaml, &[], expect);
}

/// The same with parameters.
#[track_caller]
pub(crate) fn check_with(yaml: &str, params: &[(&str, &str)], expect: &str) {
    let shown = match parse_with(yaml, params) {
        Ok(pipeline) => show(&pipeline),
        Err(errors) => errors.to_string(),
    };
    let (shown, expect) = (shown.trim_end(), dedent(expect));
    assert_eq!(shown, expect.trim_end(), "\n--- shown:\n{shown}\n---");
}

/// A pipeline that must be right.
#[track_caller]
pub(crate) fn parse(yaml: &str) -> Pipeline {
    parse_with(yaml, &[]).unwrap_or_else(|errors| panic!("{errors}"))
}

pub(crate) fn parse_with(yaml: &str, params: &[(&str, &str)]) -> Result<Pipeline, spec::Diagnostics> {
    let params: BTreeMap<_, _> = params
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    spec::parse("p.yaml", &dedent(yaml), &params)
}

/// One line per transform: `name: Type <- tag=transform.output`. What is clear is left out: a name that is the type,
/// and the tag `input`.
fn show(pipeline: &Pipeline) -> String {
    let mut lines = String::new();
    for transform in &pipeline.transforms {
        let type_name = transform.kind.type_name();
        match transform.name == type_name {
            true => lines.push_str(type_name),
            false => {
                let _ = write!(lines, "{}: {type_name}", transform.name);
            }
        }
        for (index, input) in transform.inputs.iter().enumerate() {
            lines.push_str(if index == 0 { " <- " } else { ", " });
            if input.tag != "input" {
                let _ = write!(lines, "{}=", input.tag);
            }
            lines.push_str(&pipeline.transform(input.transform).name);
            if let Some(output) = &input.output {
                let _ = write!(lines, ".{output}");
            }
        }
        lines.push('\n');
    }
    lines
}

/// The text without an empty first line and without the indentation that all lines have.
pub(crate) fn dedent(text: &str) -> String {
    let text = text.strip_prefix('\n').unwrap_or(text);
    let lines = || text.lines().filter(|line| !line.trim().is_empty());
    let indent = lines()
        .map(|line| line.len() - line.trim_start().len())
        .min()
        .unwrap_or(0);
    text.lines()
        .map(|line| line.get(indent..).unwrap_or(""))
        .collect::<Vec<_>>()
        .join("\n")
}
