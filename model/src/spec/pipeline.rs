//! The graph that parsing ends in.

use std::collections::HashSet;

use super::{Diagnostic, ErrorHandling, Span, Spanned, TransformKind, Value};

/// A checked pipeline: leaf transforms, each after the ones that it reads.
#[derive(Clone, Debug, PartialEq)]
pub struct Pipeline {
    /// The file's name, for messages.
    pub file: String,
    /// The transforms; a transform's id is its position. Chains and composites are dissolved; a list of inputs has
    /// become a [`TransformKind::Flatten`] of its own, as Beam does it.
    pub transforms: Vec<Transform>,
    /// Wasm modules that define transforms.
    pub providers: Vec<WasmProvider>,
    /// The top-level `options`, as they are; empty when there are none.
    pub options: Value,
    pub(super) lines: super::diagnostic::LineMap,
}

/// The position of a transform in [`Pipeline::transforms`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TransformId(pub usize);

/// A leaf of the pipeline.
#[derive(Clone, Debug, PartialEq)]
pub struct Transform {
    /// Its full name, unique in the pipeline: names of the composites around it and its own, such as `Outer/Inner`.
    pub name: String,
    /// What it does.
    pub kind: TransformKind,
    /// What it reads, in the order of the file.
    pub inputs: Vec<Input>,
    /// Where it is written.
    pub span: Span,
}

impl Transform {
    /// Where it sends records that it cannot process, when it does not fail on them.
    pub fn error_handling(&self) -> Option<&ErrorHandling> {
        self.kind.error_handling()
    }
}

/// One input of a transform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// The name that the transform knows it by; `input` when the file gives none.
    pub tag: String,
    /// The transform that makes it.
    pub transform: TransformId,
    /// Which of its outputs; `None` is the main one. Otherwise it is the output of its error handling, or an output of
    /// a Wasm transform, which only the module can tell to exist.
    pub output: Option<String>,
    /// Where the reference is written.
    pub span: Span,
}

/// A provider of `type: wasm`: a module whose functions are transforms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WasmProvider {
    /// The component's file, relative to the pipeline's folder.
    pub path: Spanned<String>,
    /// Transform names, and the function that each stands for.
    pub transforms: Vec<(Spanned<String>, Spanned<String>)>,
}

impl Pipeline {
    /// A transform.
    pub fn transform(&self, id: TransformId) -> &Transform {
        &self.transforms[id.0]
    }

    /// The ids of all transforms, each after the ones that it reads.
    pub fn ids(&self) -> impl Iterator<Item = TransformId> + use<> {
        (0..self.transforms.len()).map(TransformId)
    }

    /// Who reads a transform, with the input that does; a transform that reads it twice comes twice.
    pub fn consumers(&self, id: TransformId) -> impl Iterator<Item = (TransformId, &Input)> {
        self.transforms.iter().enumerate().flat_map(move |(reader, transform)| {
            transform
                .inputs
                .iter()
                .filter(move |input| input.transform == id)
                .map(move |input| (TransformId(reader), input))
        })
    }

    /// Every Wasm file that the pipeline needs, once, in the order of the file: of providers and of `language: wasm`.
    pub fn module_paths(&self) -> Vec<&Spanned<String>> {
        let mut seen = HashSet::new();
        let providers = self.providers.iter().map(|provider| &provider.path);
        let functions = self
            .transforms
            .iter()
            .flat_map(|transform| transform.kind.wasm_functions());
        let paths = providers.chain(functions.map(|function| &function.path));
        paths.filter(|path| seen.insert(path.as_str())).collect()
    }

    /// A message about a part of the pipeline, in the file's own positions.
    pub fn diagnostic(&self, span: Span, transform: Option<&str>, message: impl Into<String>) -> Diagnostic {
        let mut diagnostic = Diagnostic::new(self.file.clone(), message);
        self.lines.locate(span, &mut diagnostic);
        diagnostic.transform = transform.map(str::to_owned);
        diagnostic
    }
}
