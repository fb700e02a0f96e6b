//! Wasm functions in pipelines.

use std::collections::BTreeMap;

use datafusion::logical_expr::Expr;
use weir_model::spec::{
    Expression, Span, Spanned, Value, WasmCall, WasmFunction as Named, WasmProvider, WasmTransform,
};
use weir_model::{Digest, Submission};

use super::expressions::Expressions;
use super::flow::Flow;
use super::problems::{Place, Result, nearest_or_all};
use crate::stages::StageBuilder;
use crate::wasm::{Functions, WasmFunction, WasmFunctionRef};

/// Finds the functions of the components that a pipeline names.
pub(super) struct WasmCalls<'a> {
    functions: &'a Functions,
    modules: &'a BTreeMap<String, Digest>,
}

impl<'a> WasmCalls<'a> {
    /// Functions of the components that came with a submission.
    pub(super) fn new(functions: &'a Functions, submission: &'a Submission) -> Self {
        Self {
            functions,
            modules: &submission.modules,
        }
    }

    /// Has the stages that are built from now on bring all components along.
    pub(super) fn require(&self, builder: &mut StageBuilder) {
        for module in self.modules.values() {
            builder.require_module(*module);
        }
    }

    /// A call of a scalar function.
    pub(super) fn call(&self, place: Place<'_>, input: &Flow, call: &WasmCall) -> Result<Expr> {
        let span = call.function.name.span;
        let function = self.named(place, &call.function, "{}")?;
        let args = match &call.args {
            Some(names) => names
                .iter()
                .map(|name| field(place, input, name.span, name))
                .collect::<Result<Vec<_>>>()?,
            None => by_name(place, input, span, &function)?,
        };
        let scalar = function.scalar_udf().map_err(|error| place.failed(span, &error))?;
        Ok(scalar.call(args))
    }

    /// A call of an aggregate function: over a value, or over the fields that its parameters are called by.
    pub(super) fn aggregate(
        &self,
        place: Place<'_>,
        expressions: &Expressions<'_>,
        value: Option<&Expression>,
        function: &Named,
        config: &Value,
    ) -> Result<Expr> {
        let span = function.name.span;
        let function = self.named(place, function, &json(config))?;
        let args = match value {
            Some(value) if function.description().params.len() == 1 => vec![expressions.expression(value)?],
            _ => by_name(place, expressions.input, span, &function)?,
        };
        let aggregate = function.aggregate_udf().map_err(|error| place.failed(span, &error))?;
        Ok(aggregate.call(args))
    }

    /// The function of a provider's transform, and its arguments.
    pub(super) fn transform(
        &self,
        place: Place<'_>,
        providers: &[WasmProvider],
        config: &WasmTransform,
        input: &Flow,
    ) -> Result<(WasmFunction, Vec<Expr>)> {
        let Some(provider) = providers.get(config.provider) else {
            return Err(place.here("its provider is missing"));
        };
        let function = self.find(place, &provider.path, &config.function, &json(&config.config.value))?;
        let args = by_name(place, input, place.transform.span, &function)?;
        Ok((function, args))
    }

    fn named(&self, place: Place<'_>, function: &Named, config: &str) -> Result<WasmFunction> {
        self.find(place, &function.path, &function.name, config)
    }

    fn find(
        &self,
        place: Place<'_>,
        path: &Spanned<String>,
        name: &Spanned<String>,
        config: &str,
    ) -> Result<WasmFunction> {
        let Some(module) = self.modules.get(&path.value) else {
            let message = format!("the component `{path}` did not come with the job; is the file there?");
            return Err(place.at(path.span, message));
        };
        if let Some(loaded) = self.functions.modules().get(module)
            && loaded.function(name).is_none()
        {
            let known: Vec<&str> = loaded.functions().iter().map(|known| known.name.as_str()).collect();
            let help = nearest_or_all(name, &known, "its functions are");
            return Err(place.at(name.span, format!("`{path}` has no function `{name}`; {help}")));
        }
        let reference = WasmFunctionRef {
            module: *module,
            function: name.value.clone(),
            config: config.to_owned(),
        };
        self.functions
            .function(&reference)
            .map_err(|error| place.failed(name.span, &error))
    }
}

/// The fields of the input that the parameters are called by.
fn by_name(place: Place<'_>, input: &Flow, span: Span, function: &WasmFunction) -> Result<Vec<Expr>> {
    let params = function.description().params.iter();
    params.map(|param| field(place, input, span, param.name())).collect()
}

fn field(place: Place<'_>, input: &Flow, span: Span, name: &str) -> Result<Expr> {
    match input.field(name) {
        Some((index, _)) => Ok(input.column(index)),
        None => Err(place.no_field(span, name, input.names())),
    }
}

/// A configuration as the JSON object that functions take.
fn json(config: &Value) -> String {
    match config {
        Value::Null => "{}".to_owned(),
        config => serde_json::to_string(config).unwrap_or_else(|_| "{}".to_owned()),
    }
}
