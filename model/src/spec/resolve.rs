//! From blocks to a flat graph: references are looked up, chains and composites dissolved.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};

use super::blocks::{Block, BlockId, Blocks, Body, InputSpec, Outputs, Reference, ScopeId, Target};
use super::config::{self, Context, Providers};
use super::report::Report;
use super::yaml::Node;
use super::{Input, Span, Transform, TransformId, TransformKind, suggest};

/// References that lead through other references: more would be a circle, or might as well be one.
const MAX_REFERENCE_DEPTH: u32 = 200;

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
        let mut connections: Vec<Connection> = Vec::new();
        for (index, input) in inputs.iter().enumerate() {
            let span = input
                .references
                .first()
                .map_or(self.block(id).span, |reference| reference.span);
            if is_flatten && input.references.len() > 1 {
                for (number, reference) in input.references.iter().enumerate() {
                    let mut tag = format!("{}{number}", input.tag);
                    while connections.iter().any(|other| other.tag == tag) {
                        tag.push('_');
                    }
                    if let Some(port) = self.reference_of(id, reference) {
                        let span = reference.span;
                        connections.push(Connection { tag, port, span });
                    }
                }
            } else if let Some(port) = self.input(id, index, 0) {
                let tag = input.tag.clone();
                connections.push(Connection { tag, port, span });
            }
        }
        self.consumed
            .extend(connections.iter().map(|connection| connection.port.clone()));
        connections
    }

    fn reference_of(&mut self, id: BlockId, reference: &Reference) -> Option<Port> {
        let scope = self.block(id).scope;
        let name = self.block(id).full_name.clone();
        self.reference(scope, reference, &name, 0)
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

    /// What an input of a transform refers to.
    fn input(&mut self, id: BlockId, index: usize, depth: u32) -> Option<Port> {
        let block = self.block(id);
        let (scope, name) = (block.scope, block.full_name.clone());
        let input = block.inputs.get(index)?;
        if let [reference] = input.references.as_slice() {
            let reference = reference.clone();
            return self.reference(scope, &reference, &name, depth);
        }
        if input.references.is_empty() {
            return None;
        }
        let leaf = match self.flattens.get(&(id, index)) {
            Some(leaf) => *leaf,
            None => self.add_flatten(id, index),
        };
        Some(Port { leaf, output: None })
    }

    /// Adds the union that a list of inputs stands for.
    fn add_flatten(&mut self, id: BlockId, index: usize) -> BlockId {
        let block = self.block(id);
        let input = &block.inputs[index];
        let inputs = input
            .references
            .iter()
            .enumerate()
            .map(|(number, reference)| InputSpec {
                tag: format!("input{number}"),
                references: vec![reference.clone()],
            });
        let flatten = Block {
            span: input.references.first().map_or(block.span, |reference| reference.span),
            type_name: block.type_name.clone().map(|_| "Flatten".to_owned()),
            name: None,
            full_name: format!("{}-Flatten[{}]", block.full_name, input.tag),
            scope: block.scope,
            inputs: inputs.collect(),
            no_inputs: false,
            body: Body::ImplicitFlatten,
        };
        let leaf = self.blocks.blocks.len();
        let full_name = self.blocks.unique_name(flatten.full_name.clone(), flatten.span);
        self.blocks.blocks.push(Block { full_name, ..flatten });
        self.flattens.insert((id, index), leaf);
        leaf
    }

    /// Looks up a reference in a scope. `user` is who refers.
    fn reference(&mut self, scope: ScopeId, reference: &Reference, user: &str, depth: u32) -> Option<Port> {
        let span = reference.span;
        if depth > MAX_REFERENCE_DEPTH {
            self.report
                .within(user, |report| report.error(span, "this input leads back to itself"));
            return None;
        }
        let name = match &reference.target {
            Target::Block(id) => return self.main_output(*id, span, user, depth + 1),
            Target::Output(id, output) => return self.named_output(*id, output, span, user, depth + 1),
            Target::Name(name) => name,
        };
        if let Some(found) = self.scope_input(scope, name, depth + 1) {
            return found;
        }
        if let Some(id) = self.lookup(scope, name, span, user)? {
            return self.main_output(id, span, user, depth + 1);
        }
        if let Some((transform, output)) = name.rsplit_once('.')
            && let Some(id) = self.lookup(scope, transform, span, user)?
        {
            return self.named_output(id, output, span, user, depth + 1);
        }
        self.unknown_name(scope, name, span, user);
        None
    }

    /// The transform of a name in a scope. The outer option is whether to go on: a name of several transforms is an
    /// error that was reported.
    fn lookup(&mut self, scope: ScopeId, name: &str, span: Span, user: &str) -> Option<Option<BlockId>> {
        let found = self.blocks.scopes[scope]
            .by_name
            .get(name)
            .map_or(&[][..], Vec::as_slice);
        match found {
            [] => Some(None),
            [id] => Some(Some(*id)),
            several => {
                let lines: Vec<_> = several.iter().map(|id| self.block(*id).span.line.to_string()).collect();
                let message = format!("`{name}` could be any of {} transforms", several.len());
                let help = format!("give them names of their own; they are at lines {}", lines.join(", "));
                self.report
                    .within(user, |report| report.error_help(span, message, help));
                None
            }
        }
    }

    /// An input of the composites around a scope. The outer option is whether there is one of this name.
    fn scope_input(&mut self, scope: ScopeId, name: &str, depth: u32) -> Option<Option<Port>> {
        let mut scope = scope;
        loop {
            let owner = self.blocks.scopes[scope].owner?;
            if self.block(owner).inputs.is_empty() {
                // Without inputs of its own, those around it can be seen inside.
                scope = self.blocks.scopes[scope].parent?;
                continue;
            }
            let index = self.block(owner).inputs.iter().position(|input| input.tag == name)?;
            return Some(self.input(owner, index, depth));
        }
    }

    fn unknown_name(&mut self, scope: ScopeId, name: &str, span: Span, user: &str) {
        let mut known: Vec<&str> = self.blocks.scopes[scope].by_name.keys().map(String::as_str).collect();
        let owner = self.blocks.scopes[scope].owner;
        known.extend(
            owner
                .iter()
                .flat_map(|owner| &self.block(*owner).inputs)
                .map(|input| input.tag.as_str()),
        );
        known.sort_unstable();
        known.dedup();
        let transform = name.rsplit_once('.').map_or(name, |(transform, _)| transform);
        let help = suggest::did_you_mean(transform, known.iter().copied())
            .unwrap_or_else(|| format!("known names here: {}", suggest::list(known)));
        self.report.within(user, |report| {
            report.error_help(span, format!("there is no transform `{transform}`"), help);
        });
    }

    /// The main output of a transform.
    fn main_output(&mut self, id: BlockId, span: Span, user: &str, depth: u32) -> Option<Port> {
        let block = &self.blocks.blocks[id];
        let Body::Nested { scope, outputs, .. } = &block.body else {
            if !self.makes_rows(id) {
                let message = format!("`{}` has no output to read", block.full_name);
                self.report.within(user, |report| report.error(span, message));
                return None;
            }
            return Some(Port { leaf: id, output: None });
        };
        let scope = *scope;
        let inner = match outputs {
            Outputs::Of(Some(inner)) => Reference {
                target: Target::Block(*inner),
                span,
            },
            Outputs::Named(named) if named.len() == 1 => named[0].1.clone(),
            Outputs::Named(named) if named.len() > 1 => {
                let names = suggest::list(named.iter().map(|(name, _)| name.as_str()));
                let message = format!("`{}` has several outputs", block.full_name);
                let help = format!("say which one, as `NAME.OUTPUT`; they are {names}");
                self.report
                    .within(user, |report| report.error_help(span, message, help));
                return None;
            }
            _ => {
                let message = format!("`{}` has no output to read", block.full_name);
                self.report
                    .within(user, |report| report.error_help(span, message, "give it an `output`"));
                return None;
            }
        };
        self.reference(scope, &inner, user, depth)
    }

    /// An output of a transform, by name.
    fn named_output(&mut self, id: BlockId, output: &str, span: Span, user: &str, depth: u32) -> Option<Port> {
        let block = &self.blocks.blocks[id];
        let Body::Nested { scope, outputs, .. } = &block.body else {
            return self.leaf_output(id, output, span, user);
        };
        let scope = *scope;
        let inner = match outputs {
            Outputs::Of(Some(inner)) => Some(Reference {
                target: Target::Output(*inner, output.to_owned()),
                span,
            }),
            Outputs::Named(named) => named
                .iter()
                .find(|(name, _)| name == output)
                .map(|(_, inner)| inner.clone()),
            Outputs::Of(None) => None,
        };
        if let Some(inner) = inner {
            return self.reference(scope, &inner, user, depth);
        }
        let names = match outputs {
            Outputs::Named(named) => named.iter().map(|(name, _)| name.clone()).collect(),
            Outputs::Of(_) => Vec::new(),
        };
        self.no_such_output(id, output, &names, span, user);
        None
    }

    fn leaf_output(&mut self, id: BlockId, output: &str, span: Span, user: &str) -> Option<Port> {
        let errors = self.config(id).and_then(config::error_output);
        let type_name = self.block(id).type_name.as_str();
        let named = |output: &str| {
            Some(Port {
                leaf: id,
                output: Some(output.to_owned()),
            })
        };
        if errors.as_deref() == Some(output) {
            return named(output);
        }
        if errors.is_some() && output == "good" {
            return Some(Port { leaf: id, output: None });
        }
        // Only the module knows the outputs of its functions.
        if self.providers.defines(type_name) {
            return named(output);
        }
        if !config::is_known(type_name) {
            return named(output);
        }
        if self.makes_rows(id) && matches!(output, "out" | "output") {
            return Some(Port { leaf: id, output: None });
        }
        let names: Vec<_> = errors.into_iter().collect();
        self.no_such_output(id, output, &names, span, user);
        None
    }

    fn no_such_output(&mut self, id: BlockId, output: &str, names: &[String], span: Span, user: &str) {
        let message = format!("`{}` has no output `{output}`", self.block(id).full_name);
        let help = match suggest::did_you_mean(output, names.iter().map(String::as_str)) {
            Some(near) => near,
            None if names.is_empty() => "it has only its main output, which goes by its name alone".to_owned(),
            None => format!(
                "besides its main output it has {}",
                suggest::list(names.iter().map(String::as_str))
            ),
        };
        self.report
            .within(user, |report| report.error_help(span, message, help));
    }

    /// Whether other transforms can read a leaf.
    fn makes_rows(&self, id: BlockId) -> bool {
        let type_name = self.block(id).type_name.as_str();
        self.providers.defines(type_name) || !config::is_sink(type_name)
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

    /// The leaves, each after those that it reads, otherwise in the order of the file.
    fn order(&mut self, connections: &[Vec<Connection>]) -> Option<Vec<BlockId>> {
        // A union comes just before the transform that reads it.
        let mut keys: Vec<(usize, usize)> = (0..connections.len()).map(|id| (id, usize::MAX)).collect();
        for ((reader, index), leaf) in &self.flattens {
            keys[*leaf] = (*reader, *index);
        }
        let leaves: Vec<_> = (0..connections.len()).filter(|id| self.is_leaf(*id)).collect();
        let mut waits: Vec<usize> = connections.iter().map(Vec::len).collect();
        let mut readers: Vec<Vec<BlockId>> = vec![Vec::new(); connections.len()];
        for &leaf in &leaves {
            for connection in &connections[leaf] {
                readers[connection.port.leaf].push(leaf);
            }
        }
        let mut ready: BinaryHeap<_> = leaves
            .iter()
            .filter(|leaf| waits[**leaf] == 0)
            .map(|leaf| Reverse((keys[*leaf], *leaf)))
            .collect();
        let mut order = Vec::with_capacity(leaves.len());
        while let Some(Reverse((_, leaf))) = ready.pop() {
            order.push(leaf);
            for &reader in &readers[leaf] {
                waits[reader] -= 1;
                if waits[reader] == 0 {
                    ready.push(Reverse((keys[reader], reader)));
                }
            }
        }
        if order.len() == leaves.len() {
            return Some(order);
        }
        self.report_cycle(connections, &waits, &leaves);
        None
    }

    /// Reports one circle among the leaves that wait for each other.
    fn report_cycle(&mut self, connections: &[Vec<Connection>], waits: &[usize], leaves: &[BlockId]) {
        let Some(mut at) = leaves.iter().copied().find(|leaf| waits[*leaf] > 0) else {
            return;
        };
        let mut path = vec![at];
        let mut places = HashMap::from([(at, 0)]);
        let start = loop {
            let next = connections[at]
                .iter()
                .map(|connection| connection.port.leaf)
                .find(|leaf| waits[*leaf] > 0);
            let Some(next) = next else { return };
            if let Some(start) = places.get(&next) {
                break *start;
            }
            places.insert(next, path.len());
            path.push(next);
            at = next;
        };
        const SHOWN: usize = 20;
        let circle = &path[start..];
        let first = circle.iter().copied().min().unwrap_or(at);
        let rotation = circle.iter().position(|leaf| *leaf == first).unwrap_or(0);
        let circle = circle
            .iter()
            .cycle()
            .skip(rotation)
            .take(circle.len().min(SHOWN))
            .chain([&first]);
        let names: Vec<_> = circle
            .map(|leaf| format!("`{}`", self.block(*leaf).full_name))
            .collect();
        let block = &self.blocks.blocks[first];
        let message = format!("the inputs go round in a circle: {}", names.join(" reads "));
        self.report
            .within(&block.full_name, |report| report.error(block.span, message));
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
