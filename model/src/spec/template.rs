//! Parameters: the pipeline file as a Jinja template.
//!
//! As in Beam, comments before the first line of the pipeline are no part of the template, and an undefined parameter
//! is an error. The engine's instructions and the size of the result are bounded; strings that a template builds and
//! never writes are bounded by the instructions only.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::Arc;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Enumerator, Object, ObjectRepr, Serde, Value, ValueKind, from_args};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, State, UndefinedBehavior};

use super::{Diagnostic, suggest};

/// Instructions of the template engine.
const MAX_STEPS: u64 = 1_000_000;
/// Bytes of a template, which keeps calls within the number of arguments that the engine can count.
const MAX_TEMPLATE_BYTES: usize = 128 << 10;
/// Characters of a line, which the engine counts with 16 bits.
const MAX_LINE: usize = 65_000;
/// Levels of macro calls.
const MAX_RECURSION: usize = 50;

/// Whether there is anything to put in, or to compute.
pub(super) fn is_template(text: &str) -> bool {
    ["{{", "{%", "{#"].iter().any(|delimiter| text.contains(delimiter))
}

/// Puts the parameters in. `max_bytes` bounds the result.
pub(super) fn render(
    file: &str,
    text: &str,
    params: &BTreeMap<String, String>,
    max_bytes: usize,
) -> Result<String, Diagnostic> {
    if !is_template(text) {
        return Ok(text.to_owned());
    }
    if text.len() > MAX_TEMPLATE_BYTES || text.lines().any(|line| line.len() > MAX_LINE) {
        let message = format!(
            "a pipeline with parameters takes no more than {MAX_TEMPLATE_BYTES} bytes, and {MAX_LINE} in a line"
        );
        return Err(Diagnostic::new(file, message).with_help("keep data in files and read them"));
    }
    let source = blank_leading_comments(text);
    let environment = environment();
    let context: BTreeMap<String, Value> = params
        .iter()
        .map(|(name, value)| (name.clone(), parameter(value)))
        .collect();
    let mut output = Bounded {
        bytes: Vec::new(),
        max: max_bytes,
    };
    let template = environment
        .template_from_named_str("pipeline", &source)
        .map_err(|error| explain(file, &source, params, &[], &error))?;
    if let Err(error) = template.render_captured_to(Value::from(context), &mut output) {
        let mut names: Vec<_> = template.undeclared_variables(false).into_iter().collect();
        names.sort();
        return Err(explain(file, &source, params, &names, &error));
    }
    String::from_utf8(output.bytes).map_err(|_| Diagnostic::new(file, "the pipeline is not UTF-8 after parameters"))
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_unknown_method_callback(python_method);
    environment.set_fuel(Some(MAX_STEPS));
    environment.set_recursion_limit(MAX_RECURSION);
    environment.set_debug(true);
    if let Ok(syntax) = SyntaxConfig::builder().keep_trailing_newline(true).build() {
        environment.set_syntax(syntax);
    }
    environment
}

/// Methods of Python's strings and dictionaries that templates written for Beam use most.
fn python_method(_: &mut State, value: &Value, method: &str, args: &[Value]) -> Result<Value, Error> {
    if let Some(text) = value.as_str() {
        return match method {
            "upper" => from_args::<()>(args).map(|()| text.to_uppercase().into()),
            "lower" => from_args::<()>(args).map(|()| text.to_lowercase().into()),
            "strip" => from_args::<()>(args).map(|()| text.trim().into()),
            "startswith" => from_args::<(&str,)>(args).map(|(prefix,)| text.starts_with(prefix).into()),
            "endswith" => from_args::<(&str,)>(args).map(|(suffix,)| text.ends_with(suffix).into()),
            "replace" => from_args::<(&str, &str)>(args).map(|(from, to)| text.replace(from, to).into()),
            "split" => from_args::<(Option<&str>,)>(args).map(|(separator,)| match separator {
                Some(separator) => text.split(separator).map(Value::from).collect(),
                None => text.split_whitespace().map(Value::from).collect(),
            }),
            _ => Err(ErrorKind::UnknownMethod.into()),
        };
    }
    if value.kind() == ValueKind::Map {
        return match method {
            "keys" => from_args::<()>(args).and_then(|()| Ok(value.try_iter()?.collect())),
            "values" => from_args::<()>(args).and_then(|()| {
                value
                    .try_iter()?
                    .map(|key| value.get_item(&key))
                    .collect::<Result<Value, _>>()
            }),
            "items" => from_args::<()>(args).and_then(|()| {
                value
                    .try_iter()?
                    .map(|key| Ok(Value::from(vec![key.clone(), value.get_item(&key)?])))
                    .collect::<Result<Value, _>>()
            }),
            "get" => from_args::<(Value, Option<Value>)>(args).and_then(|(key, default)| {
                let found = value.get_item(&key)?;
                Ok(if found.is_undefined() {
                    default.unwrap_or(Value::from(()))
                } else {
                    found
                })
            }),
            _ => Err(ErrorKind::UnknownMethod.into()),
        };
    }
    Err(ErrorKind::UnknownMethod.into())
}

/// Beam drops these lines; blank ones keep the numbers of the lines that follow.
fn blank_leading_comments(text: &str) -> String {
    let mut leading = true;
    let mut source = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let content = line.trim_start();
        leading &= content.is_empty() || content.starts_with('#');
        source.push_str(match leading {
            true if line.ends_with('\n') => "\n",
            true => "",
            false => line,
        });
    }
    source
}

/// The value of a parameter in the template.
fn parameter(text: &str) -> Value {
    if !text.trim_start().starts_with(['[', '{']) {
        return Value::from(text);
    }
    match serde_json::from_str::<serde_json::Value>(text) {
        Ok(json) => Value::from_object(JsonParameter {
            text: text.to_owned(),
            value: Value::from(Serde(json)),
        }),
        Err(_) => Value::from(text),
    }
}

/// A list or object that writes itself just as it was given.
#[derive(Debug)]
struct JsonParameter {
    text: String,
    value: Value,
}

impl Object for JsonParameter {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        match self.value.kind() {
            ValueKind::Seq => ObjectRepr::Seq,
            _ => ObjectRepr::Map,
        }
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.value.get_item(key).ok().filter(|value| !value.is_undefined())
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        match self.value.kind() {
            ValueKind::Seq => Enumerator::Seq(self.value.len().unwrap_or(0)),
            _ => Enumerator::Values(self.value.try_iter().map(Iterator::collect).unwrap_or_default()),
        }
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Output that fails when it becomes too long.
struct Bounded {
    bytes: Vec<u8>,
    max: usize,
}

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > self.max {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Says an error of the template engine in our words. `names` are the variables that the template does not set.
fn explain(file: &str, source: &str, params: &BTreeMap<String, String>, names: &[String], error: &Error) -> Diagnostic {
    let at = error.range().filter(|range| source.get(range.clone()).is_some());
    let mut diagnostic = match error.kind() {
        ErrorKind::UndefinedError => undefined(file, source, params, names, error),
        ErrorKind::TemplateNotFound | ErrorKind::BadInclude => Diagnostic::new(
            file,
            "templates that include, import or extend other files are not supported",
        )
        .with_help("put the text into this file"),
        ErrorKind::OutOfFuel => Diagnostic::new(file, "the template takes too many steps")
            .with_help("a pipeline's template should only put parameters in"),
        ErrorKind::WriteFailure => Diagnostic::new(file, "the pipeline is too large after parameters are put in"),
        kind => {
            let detail = error.detail().map_or_else(|| kind.to_string(), str::to_owned);
            Diagnostic::new(file, format!("the template cannot be read: {detail}"))
        }
    };
    if let Some(line) = error.line().and_then(|line| u32::try_from(line).ok()) {
        diagnostic.line = line;
        let start = at
            .map(|range| range.start)
            .filter(|start| source[..*start].lines().count() <= line as usize);
        if let Some(start) = start {
            let line_start = source[..start].rfind('\n').map_or(0, |newline| newline + 1);
            diagnostic.column = u32::try_from(source[line_start..start].chars().count() + 1).unwrap_or(0);
        }
    }
    diagnostic
}

fn undefined(
    file: &str,
    source: &str,
    params: &BTreeMap<String, String>,
    names: &[String],
    error: &Error,
) -> Diagnostic {
    let undefined: Vec<_> = names.iter().filter(|name| !params.contains_key(*name)).collect();
    let place = error.range().and_then(|range| source.get(range));
    let line = error.line().and_then(|line| source.lines().nth(line.saturating_sub(1)));
    let mentions = |text: Option<&str>, name: &str| {
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        text.is_some_and(|text| text.split(|c| !is_word(c)).any(|word| word == name))
    };
    let name = undefined
        .iter()
        .find(|name| mentions(place, name))
        .or_else(|| undefined.iter().find(|name| mentions(line, name)));
    let Some(name) = name else {
        let expression = place.map_or_else(String::new, |place| format!(": `{}`", place.trim()));
        return Diagnostic::new(
            file,
            format!("the template uses a value that is not defined{expression}"),
        );
    };
    let known = params.keys().map(String::as_str);
    let diagnostic = Diagnostic::new(file, format!("the parameter `{name}` has no value"));
    if *name == "datetime" {
        return diagnostic.with_help("Beam's `datetime` is not available: give the time as a parameter of your own");
    }
    match suggest::did_you_mean(name, known) {
        Some(near) => diagnostic.with_help(near),
        None => diagnostic.with_help(format!("give it one with `--param {name}=VALUE`")),
    }
}
