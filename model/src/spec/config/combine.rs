//! `Combine`.

use std::collections::HashSet;

use super::super::reader::{self, Fields};
use super::super::report::Report;
use super::super::yaml::{Data, Node};
use super::super::{AggregateFunction, Aggregation, Combine, Expression, Language, Spanned, Value, suggest};
use super::mapping;

/// The aggregations that need no language.
const BUILT_IN: [(&str, AggregateFunction); 9] = [
    ("all", AggregateFunction::All),
    ("any", AggregateFunction::Any),
    ("concat", AggregateFunction::Concat),
    ("count", AggregateFunction::Count),
    ("group", AggregateFunction::Group),
    ("max", AggregateFunction::Max),
    ("mean", AggregateFunction::Mean),
    ("min", AggregateFunction::Min),
    ("sum", AggregateFunction::Sum),
];

pub(super) fn combine(fields: &mut Fields<'_>, report: &mut Report) -> Option<Combine> {
    let language = mapping::language(fields, report);
    // An empty list, for one row over everything, is not the same as none.
    let group_by = fields
        .require("group_by", report)
        .map(|node| reader::strings(node, "group_by", report));
    let node = fields.require("combine", report);
    let group_by = group_by.unwrap_or_default();
    reader::unique(&group_by, "the field", report);
    let entries = reader::entries(node?, "combine", report);
    let language = language?;
    let grouped: HashSet<_> = group_by.iter().map(|field| field.as_str()).collect();
    for entry in entries {
        if grouped.contains(entry.key.as_str()) {
            let message = format!(
                "the field `{}` is also grouped by; give the aggregation another name",
                entry.key
            );
            report.error(entry.key.span, message);
        }
    }
    let combine = entries
        .iter()
        .filter_map(|entry| aggregation(&entry.key, &entry.value, language, report))
        .collect();
    Some(Combine {
        language,
        group_by,
        combine,
    })
}

/// `name`, or `{value: expression, fn: name}`, or `{value: expression, fn: {type: name, config: {...}}}`. Without a
/// value it is the field of the aggregation's own name, except in SQL.
fn aggregation(field: &Spanned<String>, node: &Node, language: Language, report: &mut Report) -> Option<Aggregation> {
    let (value, function) = match &node.data {
        Data::Map(_) => {
            let mut fields = Fields::new(node, field, report);
            let value = fields.get("value").map(|node| value(node, language, report));
            let function = fields.require("fn", report);
            fields.finish(&format!("the aggregation `{field}`"), report);
            (value, function?)
        }
        _ => (None, node),
    };
    let value = match value {
        Some(value) => Some(value?),
        None if language == Language::Sql => None,
        None => Some(Expression::Generic(field.clone())),
    };
    let function = function_of(function, value.is_some(), language, report)?;
    Some(Aggregation {
        field: field.clone(),
        value,
        function,
    })
}

fn value(node: &Node, language: Language, report: &mut Report) -> Option<Expression> {
    mapping::expression(node, "value", language, None, report)
}

fn function_of(
    node: &Node,
    has_value: bool,
    language: Language,
    report: &mut Report,
) -> Option<Spanned<AggregateFunction>> {
    let (name, config) = match &node.data {
        Data::Map(_) => {
            let mut fields = Fields::new(node, "`fn`", report);
            let is_call = node.get("path").is_some();
            let config = fields.get("config");
            if is_call {
                let function = mapping::wasm_function(&mut fields, language, report);
                fields.finish("`fn`", report);
                let config = config.map_or(Value::Null, Node::to_value);
                return Some(Spanned::new(
                    AggregateFunction::Wasm {
                        function: function?,
                        config,
                    },
                    node.span,
                ));
            }
            let name = fields.require_string("type", report);
            fields.finish("`fn`", report);
            (name?, config)
        }
        _ => (reader::string(node, "fn", report)?, None),
    };
    if language == Language::Sql {
        return sql_function(name, config, has_value, report);
    }
    if let Some((_, function)) = BUILT_IN.iter().find(|(known, _)| *known == name.value) {
        if let Some(config) = config.filter(|config| !matches!(&config.data, Data::Map(entries) if entries.is_empty()))
        {
            report.error(config.span, format!("`{name}` has no config"));
        }
        return Some(Spanned::new(function.clone(), name.span));
    }
    let known = BUILT_IN.iter().map(|(name, _)| *name);
    let help = match name.value.to_ascii_lowercase().as_str() {
        "avg" | "average" => "did you mean `mean`?".to_owned(),
        "list" | "array_agg" | "collect" | "tolist" => "did you mean `group`?".to_owned(),
        _ if name.contains(['.', '(', ':']) => {
            "functions of Python are not supported; say `language: sql` for SQL's, or `language: wasm` and \
             `fn: {path: FILE.wasm, name: FUNCTION}` for your own"
                .to_owned()
        }
        _ => suggest::did_you_mean(&name, known.clone())
            .unwrap_or_else(|| format!("known aggregations: {}; `language: sql` has more", suggest::list(known))),
    };
    report.error_help(name.span, format!("unknown aggregation `{name}`"), help);
    None
}

fn sql_function(
    name: Spanned<String>,
    config: Option<&Node>,
    has_value: bool,
    report: &mut Report,
) -> Option<Spanned<AggregateFunction>> {
    let mut args = Vec::new();
    if let Some(config) = config {
        if !has_value {
            report.error(config.span, "`config` needs a `value`");
        }
        for entry in reader::entries(config, "config", report) {
            match &entry.value.data {
                Data::Scalar { text, .. } => args.push(text.clone()),
                _ => report.error(entry.value.span, "an argument of a SQL function must be an expression"),
            }
        }
    }
    if name.trim().is_empty() {
        report.error(name.span, "the aggregation is empty");
        return None;
    }
    Some(name.map(|function| AggregateFunction::Sql { function, args }))
}
