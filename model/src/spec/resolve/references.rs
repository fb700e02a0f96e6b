//! What a reference means: names to outputs of leaves, through chains and composites.

use super::super::blocks::{Block, BlockId, Body, InputSpec, MAX_TRANSFORMS, Outputs, Reference, ScopeId, Target};
use super::super::config;
use super::super::{Span, suggest};
use super::{Port, Resolver};

/// References that lead through other references: more would be a circle, or might as well be one.
const MAX_REFERENCE_DEPTH: u32 = 200;

impl Resolver<'_, '_> {
    pub(super) fn reference_of(&mut self, id: BlockId, reference: &Reference) -> Option<Port> {
        let scope = self.block(id).scope;
        let name = self.block(id).full_name.clone();
        self.reference(scope, reference, &name, 0)
    }

    /// What an input of a transform refers to.
    pub(super) fn input(&mut self, id: BlockId, index: usize, depth: u32) -> Option<Port> {
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
            None if self.blocks.blocks.len() < MAX_TRANSFORMS => self.add_flatten(id, index),
            None => {
                let span = input.references[0].span;
                self.report.error(
                    span,
                    format!("a pipeline takes no more than {MAX_TRANSFORMS} transforms"),
                );
                return None;
            }
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
    pub(super) fn reference(&mut self, scope: ScopeId, reference: &Reference, user: &str, depth: u32) -> Option<Port> {
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
                let lines: Vec<_> = several
                    .iter()
                    .take(10)
                    .map(|id| self.block(*id).span.line.to_string())
                    .collect();
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
        if self.report.is_full() {
            return;
        }
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
                let type_is_write = block.type_name.starts_with("WriteTo");
                let message = format!("`{}` has no output to read", block.full_name);
                self.report.within(user, |report| match type_is_write {
                    true => report.error_help(span, message, "what it writes is there only when the run has ended"),
                    false => report.error(span, message),
                });
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
    pub(super) fn makes_rows(&self, id: BlockId) -> bool {
        let type_name = self.block(id).type_name.as_str();
        self.providers.defines(type_name) || !config::is_sink(type_name)
    }
}
