//! Providers of `type: wasm`, and the transforms that they define.

use std::collections::HashMap;

use super::super::reader::{self, Fields};
use super::super::report::Report;
use super::super::yaml::Node;
use super::super::{Span, Spanned, Value, WasmProvider, WasmTransform, suggest};

/// Types of providers that Beam has.
const BEAM_PROVIDERS: &[&str] = &[
    "beamJar",
    "expansionService",
    "javaJar",
    "mavenJar",
    "python",
    "pythonPackage",
    "remote",
    "renaming",
    "yaml",
];

/// The providers of a pipeline.
#[derive(Debug, Default)]
pub(in super::super) struct Providers {
    /// In the order of the file.
    pub(in super::super) list: Vec<WasmProvider>,
    /// Transform names, and the places of provider and transform.
    by_name: HashMap<String, (usize, usize)>,
    /// Whether some could not be read.
    pub(super) broken: bool,
}

/// A transform of a provider.
pub(super) struct Defined {
    provider: usize,
    function: Spanned<String>,
}

impl Providers {
    /// Whether a provider defines a type.
    pub(in super::super) fn defines(&self, type_name: &str) -> bool {
        self.by_name.contains_key(type_name)
    }

    pub(super) fn find(&self, type_name: &str) -> Option<Defined> {
        let (provider, transform) = *self.by_name.get(type_name)?;
        let (_, function) = self.list.get(provider)?.transforms.get(transform)?;
        Some(Defined {
            provider,
            function: function.clone(),
        })
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> + Clone {
        let transforms = self.list.iter().flat_map(|provider| &provider.transforms);
        transforms.map(|(name, _)| name.value.as_str())
    }
}

/// Reads the top-level `providers`.
pub(in super::super) fn parse_providers(node: &Node, report: &mut Report) -> Providers {
    let mut providers = Providers::default();
    let Some(items) = reader::items(node, "providers", report) else {
        providers.broken = true;
        return providers;
    };
    for item in items {
        let Some(provider) = parse_provider(item, report) else {
            providers.broken = true;
            continue;
        };
        let index = providers.list.len();
        for (place, (name, _)) in provider.transforms.iter().enumerate() {
            if matches!(name.as_str(), "chain" | "composite") {
                report.error(
                    name.span,
                    format!("`{name}` cannot be the name of a provider's transform"),
                );
            } else if providers.by_name.insert(name.value.clone(), (index, place)).is_some() {
                report.error(name.span, format!("two providers define the transform `{name}`"));
            }
        }
        providers.list.push(provider);
    }
    providers
}

fn parse_provider(node: &Node, report: &mut Report) -> Option<WasmProvider> {
    if let Some(include) = node.get("include") {
        report.error_help(
            include.span,
            "`include` of providers is not supported yet",
            "list the providers in this file",
        );
        return None;
    }
    let mut fields = Fields::new(node, "a provider", report);
    let provider_type = fields.require_string("type", report)?;
    if provider_type.value != "wasm" {
        let help = match suggest::nearest(&provider_type, ["wasm"]) {
            Some(_) => "did you mean `wasm`?",
            None => "the provider type that works here is `wasm`",
        };
        let message = match BEAM_PROVIDERS.contains(&provider_type.as_str()) {
            true => format!("providers of type `{provider_type}` are not supported"),
            false => format!("unknown provider type `{provider_type}`"),
        };
        report.error_help(provider_type.span, message, help);
        return None;
    }
    let config = fields.require("config", report);
    let transforms = fields.require("transforms", report);
    fields.finish("a provider", report);
    let mut config = Fields::new(config?, "the `config` of a provider", report);
    let path = config.require_string("path", report);
    config.finish("the config of a wasm provider", report);
    let transforms: Vec<_> = reader::entries(transforms?, "transforms", report)
        .iter()
        .filter_map(|entry| {
            let function = reader::string(&entry.value, &entry.key, report)?;
            Some((entry.key.clone(), function))
        })
        .collect();
    Some(WasmProvider {
        path: path?,
        transforms,
    })
}

/// A transform that a provider defines. Its configuration is the function's business, but for `error_handling`.
pub(super) fn transform(
    type_name: &str,
    defined: Defined,
    span: Span,
    node: Option<&Node>,
    report: &mut Report,
) -> Option<WasmTransform> {
    let mut error_handling = None;
    let mut config = Spanned::new(Value::Map(Vec::new()), span);
    if let Some(node) = node.filter(|node| !node.is_null()) {
        let mut fields = Fields::new(node, "`config`", report);
        fields.unsupported(&["output_schema"], report);
        error_handling = super::error_handling(&mut fields, report);
        config = Spanned::new(node.to_value(), node.span);
        if let Value::Map(entries) = &mut config.value {
            entries.retain(|(key, _)| key != "error_handling");
        }
    }
    Some(WasmTransform {
        type_name: type_name.to_owned(),
        provider: defined.provider,
        function: defined.function,
        config,
        error_handling,
    })
}
