//! A loaded component and the functions it holds.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{Field, Fields, Schema, SchemaRef};
use serde::{Deserialize, Serialize};
use wasmtime::component::{Component, ComponentExportIndex, InstancePre};
use weir_model::Digest;

use crate::instance::{Instance, State};
use crate::words::{self, presentable};
use crate::{AggregateInstance, Error, FlatMapInstance, Limits, OpenOptions, ScalarInstance};
use crate::{abi, schema};

/// Functions of one component.
const MAX_FUNCTIONS: usize = 1_000;
/// Bytes of a function's or an output's name.
const MAX_NAME: usize = 128;
/// Bytes of a function's documentation.
const MAX_DOCS: usize = 64 << 10;

/// What a function does with rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FunctionKind {
    /// One value out per row.
    Scalar,
    /// Any number of rows out per row, to any of several outputs.
    FlatMap,
    /// One value out per group of rows.
    Aggregate,
}

impl fmt::Display for FunctionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scalar => "scalar",
            Self::FlatMap => "flat-map",
            Self::Aggregate => "aggregate",
        })
    }
}

/// How far results depend on the arguments alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Volatility {
    /// Equal arguments give equal results.
    Immutable,
    /// Equal arguments give equal results within one query.
    Stable,
    /// Every call may give another result.
    Volatile,
}

/// A function that a module holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// Its name, unique in the module.
    pub name: String,
    /// Its kind.
    pub kind: FunctionKind,
    /// Its arguments. Rows in which one that is not nullable is null are left out by the guest.
    pub params: Fields,
    /// Its outputs. A scalar's column is always nullable here: it is null where an argument is that may not be.
    pub outputs: Vec<Output>,
    /// With an aggregate, the columns of a partial result.
    pub state: Fields,
    /// How far it may be cached, moved or folded.
    pub volatility: Volatility,
    /// For people, as Markdown.
    pub docs: String,
}

/// Where a function's rows go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Its name, unique in the function; the first one of a flat-map is `main`.
    pub name: String,
    /// Its columns.
    pub schema: SchemaRef,
}

impl Function {
    /// The one column that a scalar or aggregate gives.
    pub fn result(&self) -> &Field {
        self.outputs[0].schema.field(0)
    }

    fn from_guest(function: abi::Function) -> Result<Self, String> {
        let name = function.name;
        if !is_identifier(&name) {
            return Err(format!("`{}` is no name for a function", words::name(&name)));
        }
        let in_function = |message: String| format!("function `{name}`: {message}");
        if function.docs.len() > MAX_DOCS {
            let bytes = function.docs.len();
            return Err(in_function(format!(
                "documentation of {bytes} bytes; {MAX_DOCS} are allowed"
            )));
        }
        let kind = match function.kind {
            abi::Kind::Scalar => FunctionKind::Scalar,
            abi::Kind::FlatMap => FunctionKind::FlatMap,
            abi::Kind::Aggregate => FunctionKind::Aggregate,
        };
        let params = schema::fields_from_guest(&function.params).map_err(in_function)?;
        let state = schema::fields_from_guest(&function.state).map_err(in_function)?;
        let mut outputs = Vec::with_capacity(function.outputs.len());
        let mut names = BTreeSet::new();
        for output in function.outputs {
            if !is_identifier(&output.name) || !names.insert(output.name.clone()) {
                return Err(in_function(format!(
                    "`{}` is no name for an output, or used twice",
                    words::name(&output.name)
                )));
            }
            let mut fields = schema::fields_from_guest(&output.fields).map_err(in_function)?;
            if fields.is_empty() {
                // Rows without columns would cost nothing to claim and something to process.
                return Err(in_function(format!("output `{}` has no columns", output.name)));
            }
            if kind == FunctionKind::Scalar {
                fields = fields
                    .iter()
                    .map(|field| field.as_ref().clone().with_nullable(true))
                    .collect();
            }
            outputs.push(Output {
                name: output.name,
                schema: Arc::new(Schema::new(fields)),
            });
        }
        let one_column = outputs.len() == 1 && outputs[0].schema.fields().len() == 1;
        match kind {
            FunctionKind::Scalar | FunctionKind::Aggregate if !one_column => {
                return Err(in_function(format!("a {kind} function has one output of one column")));
            }
            FunctionKind::FlatMap if outputs.first().is_none_or(|output| output.name != "main") => {
                return Err(in_function("the first output of a flat-map is named `main`".to_owned()));
            }
            FunctionKind::Aggregate if state.is_empty() => {
                return Err(in_function(
                    "an aggregate needs at least one column of state".to_owned(),
                ));
            }
            _ => {}
        }
        Ok(Self {
            kind,
            params,
            outputs,
            state,
            volatility: match function.volatility {
                abi::Volatility::Immutable => Volatility::Immutable,
                abi::Volatility::Stable => Volatility::Stable,
                abi::Volatility::Volatile => Volatility::Volatile,
            },
            docs: function
                .docs
                .replace(|c: char| c.is_control() && c != '\n' && c != '\t', "\u{fffd}"),
            name,
        })
    }
}

fn is_identifier(name: &str) -> bool {
    let mut bytes = name.bytes();
    name.len() <= MAX_NAME
        && bytes
            .next()
            .is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// A component that was compiled and checked. Cheap to clone.
#[derive(Clone)]
pub struct Module(Arc<Inner>);

struct Inner {
    digest: Digest,
    functions: Vec<Arc<Function>>,
    pre: InstancePre<State>,
    exports: Exports,
    stack_bytes: usize,
}

/// Where the exports are; those of kinds that the component lacks are absent.
pub(crate) struct Exports {
    describe: ComponentExportIndex,
    open: ComponentExportIndex,
    pub(crate) scalar: Option<ComponentExportIndex>,
    pub(crate) flat_map: Option<ComponentExportIndex>,
    pub(crate) aggregate: Option<AggregateExports>,
}

#[derive(Clone, Copy)]
pub(crate) struct AggregateExports {
    pub(crate) update: ComponentExportIndex,
    pub(crate) merge: ComponentExportIndex,
    pub(crate) state: ComponentExportIndex,
    pub(crate) evaluate: ComponentExportIndex,
}

impl Exports {
    fn find(component: &Component) -> Result<Self, String> {
        let index = |interface: &str, name: &str| {
            let interface = component.get_export_index(None, interface)?;
            component.get_export_index(Some(&interface), name)
        };
        let required = |interface: &str, name: &str| {
            index(interface, name).ok_or_else(|| {
                format!("it does not export `{name}` of `{interface}`; is it built with a kit of this version?")
            })
        };
        let has = |interface: &str| component.get_export_index(None, interface).is_some();
        Ok(Self {
            describe: required(abi::FUNCTIONS, "describe")?,
            open: required(abi::FUNCTIONS, "open")?,
            scalar: has(abi::SCALAR).then(|| required(abi::SCALAR, "call")).transpose()?,
            flat_map: has(abi::FLAT_MAP)
                .then(|| required(abi::FLAT_MAP, "call"))
                .transpose()?,
            aggregate: has(abi::AGGREGATE)
                .then(|| -> Result<_, String> {
                    Ok(AggregateExports {
                        update: required(abi::AGGREGATE, "update")?,
                        merge: required(abi::AGGREGATE, "merge")?,
                        state: required(abi::AGGREGATE, "state")?,
                        evaluate: required(abi::AGGREGATE, "evaluate")?,
                    })
                })
                .transpose()?,
        })
    }

    /// Checks every signature, so that later calls need not.
    fn check(&self, instance: &mut Instance) -> Result<(), String> {
        instance.check::<(), (Vec<abi::Function>,)>(&self.describe)?;
        instance.check::<OpenParams, OpenResult>(&self.open)?;
        if let Some(call) = &self.scalar {
            instance.check::<crate::scalar::Params, crate::scalar::Returned>(call)?;
        }
        if let Some(call) = &self.flat_map {
            instance.check::<crate::flat_map::Params, crate::flat_map::Returned>(call)?;
        }
        if let Some(exports) = &self.aggregate {
            crate::aggregate::check(instance, exports)?;
        }
        Ok(())
    }
}

type OpenParams = (&'static str, &'static [abi::Field], &'static str);
type OpenResult = (Result<(), String>,);

impl Module {
    /// Asks a linked component what it holds.
    pub(crate) fn new(
        digest: Digest,
        pre: InstancePre<State>,
        stack_bytes: usize,
        load_timeout_ms: u64,
    ) -> Result<Self, Error> {
        let invalid = |message: String| Error::invalid_module(message);
        let exports = Exports::find(pre.component()).map_err(invalid)?;
        let options = OpenOptions {
            limits: Limits {
                call_timeout_ms: load_timeout_ms,
                output_bytes: 4 << 20,
                ..Limits::default()
            },
            ..OpenOptions::default()
        };
        let mut instance = Instance::new(&pre, "describe", &options, stack_bytes)?;
        exports.check(&mut instance).map_err(invalid)?;
        let describe = instance.func::<(), (Vec<abi::Function>,)>(&exports.describe)?;
        let (described,) = instance.call(0, &describe, ())?;
        if described.len() > MAX_FUNCTIONS {
            return Err(invalid(format!(
                "it has {} functions; {MAX_FUNCTIONS} are allowed",
                described.len()
            )));
        }
        let mut functions: Vec<Arc<Function>> = Vec::with_capacity(described.len());
        for function in described {
            let function = Function::from_guest(function).map_err(invalid)?;
            if functions.iter().any(|known| known.name == function.name) {
                return Err(invalid(format!("it has two functions `{}`", function.name)));
            }
            let exported = match function.kind {
                FunctionKind::Scalar => exports.scalar.is_some(),
                FunctionKind::FlatMap => exports.flat_map.is_some(),
                FunctionKind::Aggregate => exports.aggregate.is_some(),
            };
            if !exported {
                return Err(invalid(format!(
                    "function `{}` is a {}, and the component does not export that interface",
                    function.name, function.kind
                )));
            }
            functions.push(Arc::new(function));
        }
        Ok(Self(Arc::new(Inner {
            digest,
            functions,
            pre,
            exports,
            stack_bytes,
        })))
    }

    /// The SHA-256 of the component's bytes.
    pub fn digest(&self) -> Digest {
        self.0.digest
    }

    /// The functions, in the order in which the module declares them.
    pub fn functions(&self) -> &[Arc<Function>] {
        &self.0.functions
    }

    /// The function of this name.
    pub fn function(&self, name: &str) -> Option<&Arc<Function>> {
        self.0.functions.iter().find(|function| function.name == name)
    }

    /// Makes an instance of the scalar function `name`.
    ///
    /// # Errors
    /// [`Error::UnknownFunction`]; [`Error::Open`] when the function refuses its configuration; [`Error::Trap`] and
    /// [`Error::Limit`] when it crashes while it starts; [`Error::OutOfInstances`].
    pub fn open_scalar(&self, name: &str, options: &OpenOptions) -> Result<ScalarInstance, Error> {
        let (function, instance) = self.open(name, FunctionKind::Scalar, options)?;
        ScalarInstance::new(function, instance, &self.0.exports)
    }

    /// Makes an instance of the flat-map function `name`.
    ///
    /// # Errors
    /// As [`open_scalar`](Self::open_scalar).
    pub fn open_flat_map(&self, name: &str, options: &OpenOptions) -> Result<FlatMapInstance, Error> {
        let (function, instance) = self.open(name, FunctionKind::FlatMap, options)?;
        FlatMapInstance::new(function, instance, &self.0.exports)
    }

    /// Makes an instance of the aggregate function `name`, without groups.
    ///
    /// # Errors
    /// As [`open_scalar`](Self::open_scalar).
    pub fn open_aggregate(&self, name: &str, options: &OpenOptions) -> Result<AggregateInstance, Error> {
        let (function, instance) = self.open(name, FunctionKind::Aggregate, options)?;
        AggregateInstance::new(function, instance, &self.0.exports)
    }

    fn open(&self, name: &str, kind: FunctionKind, options: &OpenOptions) -> Result<(Arc<Function>, Instance), Error> {
        let Some(function) = self.function(name).filter(|function| function.kind == kind) else {
            return Err(self.unknown(name, kind));
        };
        if let Err(error) = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&options.config) {
            return Err(Error::Open {
                function: name.to_owned(),
                message: format!("its configuration is not a JSON object: {error}"),
            });
        }
        let input = schema::fields_to_guest(&function.params).map_err(|message| Error::Arguments {
            function: name.to_owned(),
            message,
        })?;
        let mut instance = Instance::new(&self.0.pre, name, options, self.0.stack_bytes)?;
        let open = instance.func::<OpenParams, OpenResult>(&self.0.exports.open)?;
        let params = (name, input.as_slice(), options.config.as_str());
        let (opened,) = instance.call(0, &open, params)?;
        opened.map_err(|message| Error::Open {
            function: name.to_owned(),
            message: presentable(&message).into_owned(),
        })?;
        Ok((function.clone(), instance))
    }

    fn unknown(&self, name: &str, kind: FunctionKind) -> Error {
        let known: Vec<String> = self
            .0
            .functions
            .iter()
            .map(|function| format!("`{}` ({})", function.name, function.kind))
            .collect();
        Error::UnknownFunction {
            function: name.to_owned(),
            kind,
            known: if known.is_empty() {
                "none".to_owned()
            } else {
                known.join(", ")
            },
        }
    }
}

impl fmt::Debug for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Module")
            .field("digest", &self.0.digest)
            .field("functions", &self.0.functions)
            .finish()
    }
}
