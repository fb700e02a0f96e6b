//! `MapToFields`, `Filter` and `Explode`, and their expressions.

use super::super::reader::{self, Fields};
use super::super::report::Report;
use super::super::yaml::{Data, Node};
use super::super::{
    Explode, Expression, Filter, Language, MapToFields, MappedField, Span, Spanned, Value, WasmCall, WasmFunction,
    suggest,
};

/// Types of a field, as JSON schema names them.
const JSON_TYPES: [&str; 8] = [
    "array", "boolean", "bytes", "integer", "null", "number", "object", "string",
];

pub(super) fn map_to_fields(fields: &mut Fields<'_>, report: &mut Report) -> Option<MapToFields> {
    let language = language(fields, report);
    let append = fields.boolean("append", report).unwrap_or(false);
    let drop = fields.strings("drop", report).unwrap_or_default();
    let error_handling = super::error_handling(fields, report);
    let node = fields.require("fields", report);
    fields.unsupported(&["dependencies"], report);
    if let (Some(first), false) = (drop.first(), append) {
        report.error_help(
            first.span,
            "`drop` needs `append: true`",
            "without it only the new fields are kept",
        );
    }
    reader::unique(&drop, "the field", report);
    let entries = reader::entries(node?, "fields", report);
    let language = language?;
    let fields: Vec<_> = entries
        .iter()
        .filter_map(|entry| {
            let mut output_type = None;
            let expression = expression(&entry.value, &entry.key, language, Some(&mut output_type), report)?;
            Some(MappedField {
                name: entry.key.clone(),
                expression,
                output_type,
            })
        })
        .collect();
    Some(MapToFields {
        language,
        fields,
        append,
        drop,
        error_handling,
    })
}

pub(super) fn filter(fields: &mut Fields<'_>, report: &mut Report) -> Option<Filter> {
    let language = language(fields, report);
    let error_handling = super::error_handling(fields, report);
    let keep = fields.require("keep", report);
    fields.unsupported(&["dependencies"], report);
    let language = language?;
    Some(Filter {
        language,
        keep: expression(keep?, "keep", language, None, report)?,
        error_handling,
    })
}

pub(super) fn explode(fields: &mut Fields<'_>, report: &mut Report) -> Option<Explode> {
    let cross_product = fields.boolean("cross_product", report);
    let error_handling = super::error_handling(fields, report);
    let node = fields.require("fields", report)?;
    let names = reader::strings(node, "fields", report);
    reader::unique(&names, "the field", report);
    if names.is_empty() {
        report.error(node.span, "`fields` names no field");
        return None;
    }
    if names.len() > 1 && cross_product.is_none() {
        report.error_help(
            node.span,
            "`cross_product` is missing",
            "with several fields, say `true` for all combinations, or `false` to pair the elements up",
        );
    }
    Some(Explode {
        fields: names,
        cross_product: cross_product.unwrap_or(true),
        error_handling,
    })
}

/// The `language` of a transform; nothing when it is none that works here.
pub(super) fn language(fields: &mut Fields<'_>, report: &mut Report) -> Option<Language> {
    let Some(node) = fields.get("language") else {
        return Some(Language::Generic);
    };
    let name = reader::string(node, "language", report)?;
    match name.as_str() {
        "generic" => Some(Language::Generic),
        "sql" | "calcite" => Some(Language::Sql),
        "wasm" => Some(Language::Wasm),
        "python" | "javascript" | "java" => {
            let message = format!("expressions in {} are not supported", name.value);
            let help = "leave `language` out for fields, literals and comparisons, say `language: sql` for \
                        expressions, or `language: wasm` to call a function of a Wasm module";
            report.error_help(name.span, message, help);
            None
        }
        _ => {
            let known = ["generic", "sql", "wasm"];
            let help = suggest::did_you_mean(&name, known)
                .unwrap_or_else(|| format!("known languages: {}", suggest::list(known)));
            report.error_help(name.span, format!("unknown language `{name}`"), help);
            None
        }
    }
}

/// An expression: a literal, text, or a mapping that says what it is. `output_type` is where its type goes, if it may
/// have one.
pub(super) fn expression(
    node: &Node,
    what: &str,
    language: Language,
    output_type: Option<&mut Option<Spanned<Value>>>,
    report: &mut Report,
) -> Option<Expression> {
    match &node.data {
        Data::Scalar { text, value } => match value {
            Value::Null => {
                report.error(node.span, format!("`{what}` has no expression"));
                None
            }
            Value::String(text) => in_language(Spanned::new(text.clone(), node.span), what, language, report),
            Value::Bool(value) => Some(literal(value.to_string(), node.span, language)),
            Value::Int(value) => Some(literal(value.to_string(), node.span, language)),
            Value::Float(value) if value.is_finite() => Some(literal(format!("{value:?}"), node.span, language)),
            _ => {
                report.error(node.span, format!("`{text}` cannot be used as a literal"));
                None
            }
        },
        Data::List(_) => {
            report.error(node.span, format!("`{what}` must be an expression, not a list"));
            None
        }
        Data::Map(_) => detailed(node, what, language, output_type, report),
    }
}

fn literal(text: String, span: Span, language: Language) -> Expression {
    let text = Spanned::new(text, span);
    match language {
        Language::Sql => Expression::Sql(text),
        Language::Generic | Language::Wasm => Expression::Generic(text),
    }
}

fn in_language(text: Spanned<String>, what: &str, language: Language, report: &mut Report) -> Option<Expression> {
    if text.trim().is_empty() {
        report.error(text.span, format!("`{what}` has no expression"));
        return None;
    }
    Some(match language {
        Language::Sql => Expression::Sql(text),
        Language::Generic | Language::Wasm => Expression::Generic(text),
    })
}

/// `{expression: ...}` or `{path: ..., name: ...}`, both with an optional `output_type`.
fn detailed(
    node: &Node,
    what: &str,
    language: Language,
    output_type: Option<&mut Option<Spanned<Value>>>,
    report: &mut Report,
) -> Option<Expression> {
    let mut fields = Fields::new(node, what, report);
    if let Some(output_type) = output_type {
        *output_type = fields.get("output_type").and_then(|node| json_type(node, report));
    }
    let expression = fields.get("expression");
    let callable = fields.get("callable");
    let is_call = node.get("path").is_some() || node.get("name").is_some();
    if let Some(callable) = callable {
        report.error_help(
            callable.span,
            "`callable` is not supported",
            "name a function of a Wasm module with `path` and `name`, and say `language: wasm`",
        );
        return None;
    }
    if let Some(expression) = expression {
        if is_call {
            report.error(
                node.span,
                format!("`{what}` has both an expression and a function; give one of them"),
            );
            return None;
        }
        fields.finish(&format!("`{what}`"), report);
        return match &expression.data {
            Data::Map(_) | Data::List(_) => {
                report.error(
                    expression.span,
                    format!("`expression` must be text, not {}", expression.kind()),
                );
                None
            }
            Data::Scalar { .. } => self::expression(expression, what, language, None, report),
        };
    }
    if !is_call {
        fields.ignore(&["path", "name", "args"]);
        report.error_help(
            node.span,
            format!("`{what}` has no expression"),
            "give `expression`, or `path` and `name` of a Wasm function",
        );
        fields.finish(&format!("`{what}`"), report);
        return None;
    }
    let function = wasm_function(&mut fields, language, report);
    let args = fields.strings("args", report);
    fields.finish(&format!("`{what}`"), report);
    Some(Expression::Wasm(WasmCall {
        function: function?,
        args,
    }))
}

/// `path` and `name` of a function of a Wasm module.
pub(super) fn wasm_function(fields: &mut Fields<'_>, language: Language, report: &mut Report) -> Option<WasmFunction> {
    let path = fields.require_string("path", report);
    let name = fields.require_string("name", report);
    let path = path?;
    if language != Language::Wasm {
        report.error_help(
            path.span,
            "functions of files need `language: wasm`",
            "say it beside `fields` or `keep`",
        );
        return None;
    }
    if let Some(suffix @ ("py" | "js" | "java")) = path.rsplit_once('.').map(|(_, suffix)| suffix) {
        let message = format!("`.{suffix}` files cannot be called, only Wasm components");
        report.error(path.span, message);
        return None;
    }
    Some(WasmFunction { path, name: name? })
}

/// A JSON schema type, in its long form.
fn json_type(node: &Node, report: &mut Report) -> Option<Spanned<Value>> {
    let value = match node.to_value() {
        Value::String(name) => Value::Map(vec![("type".to_owned(), Value::String(name))]),
        value => value,
    };
    match value.get("type") {
        Some(Value::String(name)) if JSON_TYPES.contains(&name.as_str()) => Some(Spanned::new(value, node.span)),
        Some(Value::String(name)) => {
            let help = suggest::did_you_mean(name, JSON_TYPES)
                .unwrap_or_else(|| format!("known types: {}", suggest::list(JSON_TYPES)));
            report.error_help(node.span, format!("unknown type `{name}`"), help);
            None
        }
        _ => {
            report.error(
                node.span,
                "`output_type` must be the name of a type, or a mapping with `type`",
            );
            None
        }
    }
}
