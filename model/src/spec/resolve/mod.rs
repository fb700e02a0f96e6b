//! From blocks to a flat graph: references are looked up, chains and composites dissolved.

mod order;
mod references;

use std::collections::{HashMap, HashSet};

use super::blocks::{Block, BlockId, Blocks, Body, Outputs};
use super::config::{self, Context, Providers};
use super::report::Report;
use super::yaml::Node;
use super::{Input, Span, Transform, TransformId, TransformKind};

/// An output of a leaf.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Port {
    leaf: BlockId,
    output: Option<String>,
}

/// Checks configurations and inputs, and gives the leaves in topological order. What it gives is only right when
/// `report` stays empty.
pub(super) fn resolve(blocks: Blocks<'_>, providers: &Providers, report: &mut Report) -> Vec<Transform> {
    let mut resolver = Resolver {
        blocks,
        providers,
        report,
        flattens: HashMap::new(),
        consumed: HashSet::new(),
    };
    let kinds = resolver.configurations();
    // Before the inputs: it may add unions, which have inputs of their own.
    resolver.check_outputs();
    let inputs = resolver.connect();
    resolver.check_errors_consumed(&kinds);
    let Some(order) = resolver.order(&inputs) else {
        return Vec::new();
    };
    if !resolver.report.is_empty() {
        return Vec::new();
    }
    assemble(&resolver.blocks, kinds, inputs, &order)
}

struct Resolver<'a, 'n> {
    blocks: Blocks<'n>,
    providers: &'a Providers,
    report: &'a mut Report,
    /// Unions that lists of inputs stand for, by transform and input.
    flattens: HashMap<(BlockId, usize), BlockId>,
    /// Outputs that something reads.
    consumed: HashSet<Port>,
}

/// What a leaf reads.
struct Connection {
    tag: String,
    port: Port,
    span: Span,
}

impl<'n> Resolver<'_, 'n> {
    fn block(&self, id: BlockId) -> &Block<'n> {
        &self.blocks.blocks[id]
    }

    fn is_leaf(&self, id: BlockId) -> bool {
        !matches!(self.block(id).body, Body::Nested { .. })
    }

    fn config(&self, id: BlockId) -> Option<&'n Node> {
        match self.block(id).body {
            Body::Leaf { config } => config,
            _ => None,
        }
    }

    /// Reads the configurations of all leaves.
    fn configurations(&mut self) -> Vec<Option<TransformKind>> {
        let blocks = &self.blocks.blocks;
        let mut kinds = Vec::with_capacity(blocks.len());
        for block in blocks {
            let Body::Leaf { config } = block.body else {
                kinds.push(None);
                continue;
            };
            let tags: Vec<_> = block.inputs.iter().map(|input| input.tag.clone()).collect();
            let context = Context {
                span: block.span,
                type_name: &block.type_name,
                tags: &tags,
                providers: self.providers,
            };
            let kind = self
                .report
                .within(&block.full_name, |report| config::parse(&context, config, report));
            kinds.push(kind);
        }
        kinds
    }

    /// Looks up the inputs of all leaves. Unions that lists stand for are added as leaves on the way.
    fn connect(&mut self) -> Vec<Vec<Connection>> {
        let mut connections = Vec::new();
        let mut id = 0;
        while id < self.blocks.blocks.len() {
            let leaf = self.is_leaf(id);
            connections.push(if leaf { self.leaf_inputs(id) } else { Vec::new() });
            id += 1;
        }
        connections
    }

    fn leaf_inputs(&mut self, id: BlockId) -> Vec<Connection> {
        self.check_arity(id);
        let block = self.block(id);
        let is_flatten = block.type_name.value == "Flatten" && !self.providers.defines("Flatten");
        let inputs = block.inputs.clone();
        let mut tags = HashSet::new();
        let mut connections: Vec<Connection> = Vec::new();
        for (index, input) in inputs.iter().enumerate() {
            let span = input
                .references
                .first()
                .map_or(self.block(id).span, |reference| reference.span);
            if is_flatten && input.references.len() > 1 {
                for (number, reference) in input.references.iter().enumerate() {
                    let mut tag = format!("{}{number}", input.tag);
                    while !tags.insert(tag.clone()) {
                        tag.push('_');
                    }
                    if let Some(port) = self.reference_of(id, reference) {
                        let span = reference.span;
                        connections.push(Connection { tag, port, span });
                    }
                }
            } else if let Some(port) = self.input(id, index, 0) {
                let mut tag = input.tag.clone();
                while !tags.insert(tag.clone()) {
                    tag.push('_');
                }
                connections.push(Connection { tag, port, span });
            }
        }
        self.consumed
            .extend(connections.iter().map(|connection| connection.port.clone()));
        connections
    }

    /// Whether a leaf has as many inputs as its type takes.
    fn check_arity(&mut self, id: BlockId) {
        let block = &self.blocks.blocks[id];
        let Body::Leaf { .. } = block.body else { return };
        let type_name = block.type_name.as_str();
        let many = self.providers.defines(type_name) || matches!(type_name, "Sql" | "Flatten");
        let problem = match block.inputs.len() {
            0 if type_name == "Create" || type_name.starts_with("ReadFrom") => None,
            // A join says it itself.
            _ if type_name == "Join" || !(many || config::is_known(type_name)) => None,
            0 if many && type_name != "Flatten" && block.no_inputs => None,
            0 => Some((format!("`{type_name}` needs an input"), Some(self.input_help(id)))),
            _ if many => None,
            _ if type_name == "Create" || type_name.starts_with("ReadFrom") => {
                Some((format!("`{type_name}` takes no input"), None))
            }
            1 => None,
            count => Some((
                format!("`{type_name}` takes one input, not {count}"),
                Some("to read several as one, give a list: `input: [A, B]`".to_owned()),
            )),
        };
        if let Some((message, help)) = problem {
            let span = block.inputs.first().and_then(|input| input.references.first());
            let span = span.map_or(block.span, |reference| reference.span);
            let name = block.full_name.clone();
            self.report.within(&name, |report| match help {
                Some(help) => report.error_help(span, message, help),
                None => report.error(span, message),
            });
        }
    }

    fn input_help(&self, id: BlockId) -> String {
        let scope = self.block(id).scope;
        let before = (0..id).rev().map(|other| (other, self.block(other)));
        let before = before
            .filter(|(other, block)| block.scope == scope && self.makes_rows(*other))
            .map(|(_, block)| block);
        match before
            .map(|block| block.name.as_ref().unwrap_or(&block.type_name))
            .next()
        {
            Some(name) => format!("say `input: {name}`, or make it a chain: `type: chain`"),
            None => "say `input: NAME`".to_owned(),
        }
    }

    /// Looks up the outputs that composites name, even where nobody reads them: they must exist, and naming an error
    /// output is a use of it.
    fn check_outputs(&mut self) {
        for id in 0..self.blocks.blocks.len() {
            let block = self.block(id);
            let Body::Nested {
                scope,
                outputs: Outputs::Named(named),
                ..
            } = &block.body
            else {
                continue;
            };
            let (scope, user) = (*scope, block.full_name.clone());
            let references: Vec<_> = named.iter().map(|(_, reference)| reference.clone()).collect();
            for reference in references {
                if let Some(port) = self.reference(scope, &reference, &user, 0) {
                    self.consumed.insert(port);
                }
            }
        }
    }

    /// Records that go to an error output must not be lost.
    fn check_errors_consumed(&mut self, kinds: &[Option<TransformKind>]) {
        for (id, kind) in kinds.iter().enumerate() {
            let Some(errors) = kind.as_ref().and_then(TransformKind::error_handling) else {
                continue;
            };
            let port = Port {
                leaf: id,
                output: Some(errors.output.value.clone()),
            };
            if self.consumed.contains(&port) {
                continue;
            }
            let block = &self.blocks.blocks[id];
            let name = block.name.as_ref().unwrap_or(&block.type_name);
            let message = format!("nothing reads the error output `{name}.{}`", errors.output);
            let help = format!("give another transform `input: {name}.{}`", errors.output);
            self.report.within(&block.full_name, |report| {
                report.error_help(errors.output.span, message, help)
            });
        }
    }
}

fn assemble(
    blocks: &Blocks<'_>,
    mut kinds: Vec<Option<TransformKind>>,
    mut connections: Vec<Vec<Connection>>,
    order: &[BlockId],
) -> Vec<Transform> {
    let ids: HashMap<BlockId, TransformId> = order
        .iter()
        .enumerate()
        .map(|(place, leaf)| (*leaf, TransformId(place)))
        .collect();
    let mut transforms = Vec::with_capacity(order.len());
    for &leaf in order {
        let block = &blocks.blocks[leaf];
        let kind = kinds
            .get_mut(leaf)
            .and_then(Option::take)
            .unwrap_or(TransformKind::Flatten);
        let inputs = std::mem::take(&mut connections[leaf])
            .into_iter()
            .filter_map(|connection| {
                Some(Input {
                    tag: connection.tag,
                    transform: *ids.get(&connection.port.leaf)?,
                    output: connection.port.output,
                    span: connection.span,
                })
            });
        transforms.push(Transform {
            name: block.full_name.clone(),
            kind,
            inputs: inputs.collect(),
            span: block.span,
        });
    }
    transforms
}
