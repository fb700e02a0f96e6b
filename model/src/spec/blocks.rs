//! The structure of a pipeline as it is written: transforms inside chains and composites, not yet connected.

use std::collections::{HashMap, HashSet};

use super::config;
use super::reader::{self, Fields};
use super::report::Report;
use super::yaml::{Data, Node};
use super::{Span, Spanned, Value};

/// Transforms of a pipeline, unions that lists of inputs stand for included.
pub(super) const MAX_TRANSFORMS: usize = 10_000;
/// Inputs of a transform, each name of a list counted.
const MAX_INPUTS: usize = 1_000;
/// Characters of a name.
const MAX_NAME: usize = 200;

/// The place of a block in [`Blocks::blocks`].
pub(super) type BlockId = usize;
/// The place of a scope in [`Blocks::scopes`].
pub(super) type ScopeId = usize;

/// All transforms, leaves and nested ones alike, in the order of the file.
#[derive(Default)]
pub(super) struct Blocks<'n> {
    pub(super) blocks: Vec<Block<'n>>,
    pub(super) scopes: Vec<Scope>,
    full_names: HashSet<String>,
}

/// A transform.
pub(super) struct Block<'n> {
    pub(super) span: Span,
    pub(super) type_name: Spanned<String>,
    pub(super) name: Option<Spanned<String>>,
    /// Unique in the pipeline.
    pub(super) full_name: String,
    /// The scope in which its inputs are named.
    pub(super) scope: ScopeId,
    pub(super) inputs: Vec<InputSpec>,
    /// Whether it says that it has no inputs.
    pub(super) no_inputs: bool,
    pub(super) body: Body<'n>,
}

pub(super) enum Body<'n> {
    /// A transform that does something itself.
    Leaf { config: Option<&'n Node> },
    /// A chain or composite.
    Nested {
        scope: ScopeId,
        /// `output` as it is written.
        output: Option<&'n Node>,
        outputs: Outputs,
    },
    /// The union that a list of inputs stands for.
    ImplicitFlatten,
}

/// An input as it is written.
#[derive(Clone)]
pub(super) struct InputSpec {
    pub(super) tag: String,
    /// What it refers to; several mean their union.
    pub(super) references: Vec<Reference>,
}

#[derive(Clone)]
pub(super) struct Reference {
    pub(super) target: Target,
    pub(super) span: Span,
}

#[derive(Clone)]
pub(super) enum Target {
    /// A name, to be looked up in the scope.
    Name(String),
    /// The main output of a transform.
    Block(BlockId),
    /// An output of a transform.
    Output(BlockId, String),
}

pub(super) enum Outputs {
    /// Those of a transform inside.
    Of(Option<BlockId>),
    /// By name.
    Named(Vec<(String, Reference)>),
}

/// The transforms of a chain, a composite or the pipeline, which can name each other.
#[derive(Default)]
pub(super) struct Scope {
    pub(super) parent: Option<ScopeId>,
    /// The transform around it, whose inputs can be named inside.
    pub(super) owner: Option<BlockId>,
    pub(super) by_name: HashMap<String, Vec<BlockId>>,
    /// The transforms whose order may say what they read.
    members: Vec<BlockId>,
    is_chain: bool,
}

/// Where a transform stands.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    /// Inputs are written.
    Free,
    /// Inputs follow from the order.
    Chained,
    /// First of a chain or composite, without inputs.
    Source,
}

/// Reads the top-level `pipeline`.
pub(super) fn parse<'n>(node: &'n Node, report: &mut Report) -> Blocks<'n> {
    let mut blocks = Blocks::default();
    blocks.scopes.push(Scope::default());
    match &node.data {
        Data::List(items) => {
            for item in items {
                blocks.transform(item, 0, Place::Free, "", report);
            }
        }
        Data::Map(_) => {
            let mut fields = Fields::new(node, "`pipeline`", report);
            let kind = fields.string("type", report);
            let is_chain = match kind.as_ref().map(|kind| kind.as_str()) {
                None | Some("composite") => false,
                Some("chain") => true,
                Some(_) => {
                    report.error_help(
                        kind.map_or(node.span, |kind| kind.span),
                        "the type of a pipeline is `chain` or `composite`",
                        "put a single transform into `transforms`",
                    );
                    false
                }
            };
            common_keys(&mut fields, report);
            blocks.children(&mut fields, is_chain, 0, "", report);
            fields.finish("the pipeline", report);
        }
        Data::Scalar { .. } => {
            let message = format!(
                "`pipeline` must be a mapping or a list of transforms, not {}",
                node.kind()
            );
            report.error(node.span, message);
        }
    }
    blocks.connect_chains(report);
    blocks.name_scopes();
    blocks
}

/// Keys that every transform and the pipeline may have and that do nothing here.
fn common_keys(fields: &mut Fields<'_>, report: &mut Report) {
    if let Some(windowing) = fields.get("windowing") {
        check_windowing(windowing, report);
    }
    // Hints for Beam's runners.
    fields.ignore(&["resource_hints"]);
}

/// All rows of a batch are in the global window; others would change what aggregations give.
fn check_windowing(node: &Node, report: &mut Report) {
    let kind = node.get("type").map(Node::to_value);
    if kind == Some(Value::String("global".to_owned())) {
        let mut fields = Fields::new(node, "`windowing`", report);
        fields.ignore(&["type"]);
        fields.finish("the global window", report);
        return;
    }
    report.error_help(
        node.span,
        "windows other than the global one are not supported yet",
        "leave `windowing` out",
    );
}

impl<'n> Blocks<'n> {
    /// Reads the transforms of a chain or composite into `scope`. Their full names start with `prefix`.
    fn children(&mut self, fields: &mut Fields<'n>, is_chain: bool, scope: ScopeId, prefix: &str, report: &mut Report) {
        let place = if is_chain { Place::Chained } else { Place::Free };
        let source = fields.get("source");
        let transforms = fields.get("transforms");
        let sink = fields.get("sink");
        if transforms.is_none() && (source.is_none() || sink.is_none()) {
            report.error(fields.span, "`transforms` is missing");
        }
        let mut members = Vec::new();
        if let Some(node) = source {
            members.extend(self.transform(node, scope, Place::Source, prefix, report));
        }
        for node in transforms
            .and_then(|node| reader::items(node, "transforms", report))
            .unwrap_or_default()
        {
            members.extend(self.transform(node, scope, place, prefix, report));
        }
        if let Some(node) = sink {
            members.extend(self.transform(node, scope, place, prefix, report));
        }
        if let Some(node) = fields.get("extra_transforms") {
            if is_chain {
                for node in reader::items(node, "extra_transforms", report).unwrap_or_default() {
                    self.transform(node, scope, Place::Free, prefix, report);
                }
            } else {
                report.error_help(
                    node.span,
                    "only a chain has `extra_transforms`",
                    "put them into `transforms`",
                );
            }
        }
        self.scopes[scope].members = members;
        self.scopes[scope].is_chain = is_chain;
    }

    /// Connects the transforms of chains, and of composites that are chains in all but name. Outer ones first: what
    /// they connect may be the input of an inner one.
    fn connect_chains(&mut self, report: &mut Report) {
        for scope in 0..self.scopes.len() {
            if !self.scopes[scope].is_chain && !self.chains_implicitly(scope) {
                continue;
            }
            let members = std::mem::take(&mut self.scopes[scope].members);
            self.connect(scope, &members);
            let Some(owner) = self.scopes[scope].owner else {
                continue;
            };
            let outputs = match &self.blocks[owner].body {
                // A composite's own `output` is looked up like any other name.
                Body::Nested { output: Some(_), .. } if !self.scopes[scope].is_chain => continue,
                Body::Nested {
                    output: Some(output), ..
                } => self.chain_outputs(output, members.last().copied(), report),
                _ => Outputs::Of(members.last().copied()),
            };
            if let Body::Nested { outputs: own, .. } = &mut self.blocks[owner].body {
                *own = outputs;
            }
        }
    }

    /// Whether a composite has inputs, and no transform in it says anything about its own.
    fn chains_implicitly(&self, scope: ScopeId) -> bool {
        let Scope { owner, members, .. } = &self.scopes[scope];
        let has_input = owner.is_some_and(|owner| !self.blocks[owner].inputs.is_empty());
        has_input && members.iter().all(|member| self.blocks[*member].inputs.is_empty())
    }

    /// Makes each transform read the one before it, and the first one the inputs of the chain.
    fn connect(&mut self, scope: ScopeId, members: &[BlockId]) {
        let (outer, no_inputs) = match self.scopes[scope].owner {
            Some(owner) => (self.blocks[owner].inputs.clone(), self.blocks[owner].no_inputs),
            None => (Vec::new(), false),
        };
        let mut before: Option<BlockId> = None;
        for &member in members {
            let block = &mut self.blocks[member];
            let span = block.span;
            let input = |tag: &str, target| InputSpec {
                tag: tag.to_owned(),
                references: vec![Reference { target, span }],
            };
            block.inputs = match before.replace(member) {
                Some(before) => vec![input("input", Target::Block(before))],
                None if block.no_inputs => Vec::new(),
                None => {
                    block.no_inputs = no_inputs;
                    outer
                        .iter()
                        .map(|outer| input(&outer.tag, Target::Name(outer.tag.clone())))
                        .collect()
                }
            };
        }
    }

    /// The outputs of a chain are those of its last transform. It may name the transform, or outputs of it.
    fn chain_outputs(&self, output: &Node, last: Option<BlockId>, report: &mut Report) -> Outputs {
        let Some(last) = last else { return Outputs::Of(None) };
        let mut named = composite_outputs(output, report);
        let block = &self.blocks[last];
        for (_, reference) in &mut named {
            if let Target::Name(name) = &reference.target {
                let is_last =
                    *name == block.type_name.value || block.name.as_ref().is_some_and(|own| own.value == *name);
                reference.target = match is_last {
                    true => Target::Block(last),
                    false => Target::Output(last, name.clone()),
                };
            }
        }
        Outputs::Named(named)
    }

    /// Reads a transform, and those inside it.
    fn transform(
        &mut self,
        node: &'n Node,
        scope: ScopeId,
        place: Place,
        prefix: &str,
        report: &mut Report,
    ) -> Option<BlockId> {
        let mut fields = Fields::new(node, "a transform", report);
        if self.blocks.len() >= MAX_TRANSFORMS {
            report.error(
                node.span,
                format!("a pipeline takes no more than {MAX_TRANSFORMS} transforms"),
            );
            return None;
        }
        let type_name = fields.require_string("type", report)?;
        let name = fields.string("name", report);
        for name in name.iter().chain([&type_name]) {
            if name.len() > MAX_NAME {
                report.error(name.span, format!("a name takes no more than {MAX_NAME} bytes"));
                return None;
            }
        }
        let full_name = self.full_name(prefix, &type_name, name.as_ref(), node.span);
        report.within(&full_name.clone(), |report| {
            let (inputs, no_inputs) = self.inputs(&mut fields, place, report);
            let id = self.blocks.len();
            let is_chain = type_name.value == "chain";
            let is_nested = is_chain || type_name.value == "composite";
            self.blocks.push(Block {
                span: node.span,
                type_name,
                name,
                full_name: full_name.clone(),
                scope,
                inputs,
                no_inputs,
                body: Body::Leaf { config: None },
            });
            match self.blocks[id].type_name.as_str() {
                // The type is refused as a whole.
                "WindowInto" => fields.ignore(&["resource_hints", "windowing"]),
                _ => common_keys(&mut fields, report),
            }
            self.blocks[id].body = match is_nested {
                true => self.nested(id, &mut fields, is_chain, &full_name, report),
                false => leaf(&mut fields),
            };
            if is_nested {
                fields.finish("a chain or composite", report);
            } else {
                let what = format!("the transform {}", self.blocks[id].type_name);
                fields.finish_or(&what, "what a transform takes goes under `config`", report);
            }
            Some(id)
        })
    }

    fn inputs(&self, fields: &mut Fields<'n>, place: Place, report: &mut Report) -> (Vec<InputSpec>, bool) {
        let node = fields.get_or_null("input");
        let output = fields.get("output");
        let (inputs, no_inputs) = node.map_or((Vec::new(), false), |node| inputs(node, report));
        let count: usize = inputs.iter().map(|input| input.references.len().max(1)).sum();
        if let (Some(node), true) = (node, count > MAX_INPUTS) {
            report.error(node.span, format!("a transform takes no more than {MAX_INPUTS} inputs"));
        }
        match place {
            Place::Free => (inputs, no_inputs),
            Place::Source => (inputs, no_inputs || node.is_none()),
            Place::Chained => {
                if let Some(node) = node.or(output) {
                    report.error_help(
                        node.span,
                        "a transform of a chain has no `input` or `output` of its own",
                        "it reads the one before it; use `extra_transforms`, or a composite, for anything else",
                    );
                }
                (Vec::new(), false)
            }
        }
    }

    fn nested(
        &mut self,
        id: BlockId,
        fields: &mut Fields<'n>,
        is_chain: bool,
        full_name: &str,
        report: &mut Report,
    ) -> Body<'n> {
        let scope = self.scopes.len();
        self.scopes.push(Scope {
            parent: Some(self.blocks[id].scope),
            owner: Some(id),
            ..Scope::default()
        });
        self.children(fields, is_chain, scope, full_name, report);
        let output = fields.get("output");
        let named = match output {
            Some(node) if !is_chain => composite_outputs(node, report),
            _ => Vec::new(),
        };
        Body::Nested {
            scope,
            output,
            outputs: Outputs::Named(named),
        }
    }

    /// A name that no other transform has: names of what is around it, and its own name or type.
    fn full_name(
        &mut self,
        prefix: &str,
        type_name: &Spanned<String>,
        name: Option<&Spanned<String>>,
        span: Span,
    ) -> String {
        let own = match (name, type_name.as_str()) {
            (Some(name), _) => name.as_str(),
            (None, "chain") => "Chain",
            (None, "composite") => "Composite",
            (None, type_name) => type_name,
        };
        self.unique_name(
            if prefix.is_empty() {
                own.to_owned()
            } else {
                format!("{prefix}/{own}")
            },
            span,
        )
    }

    /// `name`, or with the line and if need be the column after it when that is taken, as Beam does it.
    pub(super) fn unique_name(&mut self, name: String, span: Span) -> String {
        let candidates = [
            name.clone(),
            format!("{name}@{}", span.line),
            format!("{name}@{}:{}", span.line, span.column),
        ];
        for candidate in candidates {
            if self.full_names.insert(candidate.clone()) {
                return candidate;
            }
        }
        // Only aliases come here: they make several transforms of one place.
        let mut number = self.full_names.len();
        loop {
            let candidate = format!("{name}@{}#{number}", span.line);
            if self.full_names.insert(candidate.clone()) {
                return candidate;
            }
            number += 1;
        }
    }

    /// Enters all transforms into their scopes, by name and type.
    fn name_scopes(&mut self) {
        for (id, block) in self.blocks.iter().enumerate() {
            let type_name = block.type_name.as_str();
            let mut names: Vec<&str> = block.name.iter().map(|name| name.as_str()).collect();
            match type_name {
                "chain" | "composite" => {
                    names.extend(["chain", "composite"].iter().filter(|name| **name == type_name));
                    names.extend((block.name.is_none() && type_name == "chain").then_some("Chain"));
                }
                _ if block.name.is_some() && config::is_named_by_type_only_when_unnamed(type_name) => {}
                _ => names.push(type_name),
            }
            names.dedup();
            for name in names {
                self.scopes[block.scope]
                    .by_name
                    .entry(name.to_owned())
                    .or_default()
                    .push(id);
            }
        }
    }
}

fn leaf<'n>(fields: &mut Fields<'n>) -> Body<'n> {
    let config = fields.get("config");
    // Beam accepts both of these on any transform, and does nothing with them.
    fields.ignore(&["output", "output_schema"]);
    Body::Leaf { config }
}

/// `output` of a composite: a reference, or names and references.
fn composite_outputs(node: &Node, report: &mut Report) -> Vec<(String, Reference)> {
    let reference = |node: &Node, report: &mut Report| {
        let name = reader::string(node, "output", report)?;
        Some(Reference {
            target: Target::Name(name.value),
            span: name.span,
        })
    };
    match &node.data {
        Data::Map(entries) => entries
            .iter()
            .filter_map(|entry| Some((entry.key.value.clone(), reference(&entry.value, report)?)))
            .collect(),
        _ => reference(node, report)
            .map(|reference| ("output".to_owned(), reference))
            .into_iter()
            .collect(),
    }
}

/// `input`: a reference, a list of them, or names for these. The second part is whether it says that there are none.
fn inputs(node: &Node, report: &mut Report) -> (Vec<InputSpec>, bool) {
    let inputs: Vec<InputSpec> = match &node.data {
        Data::Map(entries) => {
            if entries.is_empty() {
                return (Vec::new(), true);
            }
            let inputs = entries.iter().map(|entry| InputSpec {
                tag: entry.key.value.clone(),
                references: references(&entry.value, report),
            });
            inputs.collect()
        }
        Data::List(items) if items.is_empty() => return (Vec::new(), true),
        Data::Scalar { value: Value::Null, .. } => return (Vec::new(), true),
        Data::Scalar {
            value: Value::String(name),
            ..
        } if name.is_empty() => return (Vec::new(), true),
        _ => vec![InputSpec {
            tag: "input".to_owned(),
            references: references(node, report),
        }],
    };
    (inputs, false)
}

fn references(node: &Node, report: &mut Report) -> Vec<Reference> {
    if matches!(&node.data, Data::List(items) if items.is_empty()) {
        report.error(node.span, "this input names no transform");
    }
    let names = reader::strings(node, "input", report).into_iter();
    names
        .map(|name| Reference {
            target: Target::Name(name.value),
            span: name.span,
        })
        .collect()
}
