//! `Join`.

use std::collections::HashSet;

use super::super::reader::{self, Fields};
use super::super::report::Report;
use super::super::yaml::{Data, Entry, Node};
use super::super::{Join, JoinCondition, JoinField, JoinFields, JoinKind, JoinStep, JoinType, Spanned, Value, suggest};

/// Sets of fields that must be equal, by tag.
type Equalities = Vec<Vec<(String, Spanned<String>)>>;

/// Finding the order of the joins takes their product.
const MAX_INPUTS: usize = 64;
const MAX_EQUALITIES: usize = 1_000;

const TYPES: [&str; 4] = ["inner", "left", "right", "outer"];

pub(super) fn join(tags: &[String], fields: &mut Fields<'_>, report: &mut Report) -> Option<Join> {
    if tags.len() < 2 {
        report.error_help(
            fields.span,
            "a join needs two inputs or more",
            "name them: `input: {left: SOME_TRANSFORM, right: ANOTHER_TRANSFORM}`",
        );
    }
    if tags.len() > MAX_INPUTS {
        fields.ignore(&["equalities", "fields", "type"]);
        report.error(fields.span, format!("a join takes no more than {MAX_INPUTS} inputs"));
        return None;
    }
    let join_type = fields
        .get("type")
        .map_or(Some(JoinType::Inner), |node| join_type(node, tags, report));
    let output = fields.get("fields").map(|node| output_fields(node, tags, report));
    let node = fields.require("equalities", report)?;
    let equalities = equalities(node, tags, report)?;
    let join_type = join_type?;
    if tags.len() < 2 {
        return None;
    }
    let Some(steps) = steps(tags, &join_type, &equalities) else {
        report.error(
            node.span,
            format!(
                "the equalities do not connect all of the inputs {}",
                suggest::list(tags.iter().map(String::as_str))
            ),
        );
        return None;
    };
    Some(Join {
        join_type,
        equalities,
        fields: output.unwrap_or_default(),
        steps,
    })
}

fn join_type(node: &Node, tags: &[String], report: &mut Report) -> Option<JoinType> {
    if let Data::Map(_) = &node.data {
        let mut fields = Fields::new(node, "`type`", report);
        let outer = fields.require("outer", report);
        fields.finish("`type`", report);
        let outer = outer?;
        let inputs = reader::items(outer, "outer", report)?;
        let inputs: Vec<_> = inputs
            .iter()
            .filter_map(|item| reader::string(item, "outer", report))
            .collect();
        for input in &inputs {
            known_tag(input, tags, report);
        }
        return Some(JoinType::OuterOf(inputs));
    }
    let name = reader::string(node, "type", report)?;
    match name.as_str() {
        "inner" => Some(JoinType::Inner),
        "left" => Some(JoinType::Left),
        "right" => Some(JoinType::Right),
        "outer" => Some(JoinType::Outer),
        _ => {
            let help = match name.as_str() {
                "full" => "did you mean `outer`?".to_owned(),
                _ => suggest::did_you_mean(&name, TYPES)
                    .unwrap_or_else(|| format!("known types: {}", suggest::list(TYPES))),
            };
            report.error_help(name.span, format!("unknown join type `{name}`"), help);
            None
        }
    }
}

fn known_tag(tag: &Spanned<String>, tags: &[String], report: &mut Report) -> bool {
    let known = tags.contains(&tag.value);
    // Without two inputs the tags are not what is wrong.
    if !known && tags.len() > 1 {
        let names = tags.iter().map(String::as_str);
        let help = suggest::did_you_mean(tag, names.clone())
            .unwrap_or_else(|| format!("the inputs are {}", suggest::list(names)));
        report.error_help(tag.span, format!("the join has no input `{tag}`"), help);
    }
    known
}

fn equalities(node: &Node, tags: &[String], report: &mut Report) -> Option<Equalities> {
    if let Data::Scalar {
        value: Value::String(field),
        ..
    } = &node.data
    {
        let field = Spanned::new(field.clone(), node.span);
        return Some(vec![tags.iter().map(|tag| (tag.clone(), field.clone())).collect()]);
    }
    let Data::List(items) = &node.data else {
        let message = format!(
            "`equalities` must be the name of a field, or a list of mappings, not {}",
            node.kind()
        );
        report.error(node.span, message);
        return None;
    };
    if items.len() > MAX_EQUALITIES {
        report.error(
            node.span,
            format!("a join takes no more than {MAX_EQUALITIES} equalities"),
        );
        return None;
    }
    let mut sound = true;
    let mut equalities = Vec::new();
    for item in items {
        let entries = reader::entries(item, "equalities", report);
        let mut equality = Vec::new();
        for entry in entries {
            sound &= known_tag(&entry.key, tags, report);
            match reader::string(&entry.value, &entry.key, report) {
                Some(field) => equality.push((entry.key.value.clone(), field)),
                None => sound = false,
            }
        }
        if entries.len() < 2 {
            report.error(item.span, "an equality needs a field of two inputs or more");
            sound = false;
        }
        equalities.push(equality);
    }
    if items.is_empty() {
        report.error(node.span, "`equalities` is empty");
        sound = false;
    }
    sound.then_some(equalities)
}

fn output_fields(node: &Node, tags: &[String], report: &mut Report) -> Vec<(Spanned<String>, JoinFields)> {
    let mut names = HashSet::new();
    let mut output = Vec::new();
    for entry in reader::entries(node, "fields", report) {
        known_tag(&entry.key, tags, report);
        let Some(fields) = fields_of_input(entry, report) else {
            continue;
        };
        if let JoinFields::Some(fields) = &fields {
            for field in fields {
                if !names.insert(field.name.value.clone()) {
                    report.error(field.name.span, format!("the output has two fields `{}`", field.name));
                }
            }
        }
        output.push((entry.key.clone(), fields));
    }
    output
}

/// A list of fields, a mapping of new names to fields, or `'*'`.
fn fields_of_input(entry: &Entry, report: &mut Report) -> Option<JoinFields> {
    match &entry.value.data {
        Data::List(items) => {
            let names = items.iter().filter_map(|item| reader::string(item, &entry.key, report));
            let fields = names.map(|name| JoinField {
                name: name.clone(),
                field: name,
            });
            Some(JoinFields::Some(fields.collect()))
        }
        Data::Map(entries) => {
            let fields = entries.iter().filter_map(|entry| {
                let field = reader::string(&entry.value, &entry.key, report)?;
                Some(JoinField {
                    name: entry.key.clone(),
                    field,
                })
            });
            Some(JoinFields::Some(fields.collect()))
        }
        Data::Scalar {
            value: Value::String(all),
            ..
        } if all == "*" => Some(JoinFields::All),
        Data::Scalar { .. } => {
            let message = format!(
                "`{}` must be a list of fields, a mapping of new names to fields, or '*'",
                entry.key
            );
            report.error(entry.value.span, message);
            None
        }
    }
}

/// The joins of two that a join of many comes to: the inputs in their order, each with the conditions that connect it
/// to those before it. Nothing when some input is not connected.
///
/// An input that is connected only to later ones waits for the first of these. The kind of each join is Beam's: by
/// the input and the one before it in the order of the inputs.
fn steps(tags: &[String], join_type: &JoinType, equalities: &Equalities) -> Option<Vec<JoinStep>> {
    let mut joined: Vec<&str> = vec![tags.first()?];
    let mut waiting: Vec<usize> = (1..tags.len()).collect();
    let mut steps = Vec::new();
    while !waiting.is_empty() {
        let (position, step) = waiting.iter().enumerate().find_map(|(position, &input)| {
            let on = conditions(&tags[input], &joined, equalities);
            let step = JoinStep {
                input: tags[input].clone(),
                kind: kind(join_type, &tags[input - 1], &tags[input]),
                on,
            };
            (!step.on.is_empty()).then_some((position, step))
        })?;
        joined.push(&tags[waiting.remove(position)]);
        steps.push(step);
    }
    Some(steps)
}

/// What connects an input to those that are joined already: each of its fields with one other field of its equality,
/// which is enough because those are equal to each other.
fn conditions(tag: &str, joined: &[&str], equalities: &Equalities) -> Vec<JoinCondition> {
    let mut on = Vec::new();
    for equality in equalities {
        let Some(right) = equality.iter().find(|(name, _)| name == tag) else {
            continue;
        };
        let Some(left) = equality.iter().find(|(name, _)| joined.contains(&name.as_str())) else {
            continue;
        };
        on.push(JoinCondition {
            left: left.clone(),
            right: right.clone(),
        });
    }
    on
}

fn kind(join_type: &JoinType, before: &str, input: &str) -> JoinKind {
    let is_outer = |tag: &str| match join_type {
        JoinType::Outer => true,
        JoinType::OuterOf(inputs) => inputs.iter().any(|input| input.value == tag),
        _ => false,
    };
    match (is_outer(before), is_outer(input)) {
        (true, true) => JoinKind::Full,
        (true, false) => JoinKind::Left,
        (false, true) => JoinKind::Right,
        (false, false) => match join_type {
            JoinType::Left => JoinKind::Left,
            JoinType::Right => JoinKind::Right,
            _ => JoinKind::Inner,
        },
    }
}
