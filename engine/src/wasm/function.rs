//! One function, and what names it in plans.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::arrow::compute::can_cast_types;
use datafusion::common::plan_err;
use datafusion::error::Result;
use datafusion::logical_expr::{AggregateUDF, ScalarUDF, Volatility};
use serde::{Deserialize, Serialize};
use weir_model::Digest;
use weir_sandbox::{AggregateInstance, FlatMapInstance, Function, FunctionKind, Module, ScalarInstance};

use super::aggregate::WasmAggregate;
use super::failure::failed;
use super::functions::Functions;
use super::scalar::WasmScalar;

/// What names a function in serialised plans.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct WasmFunctionRef {
    /// The component's content address.
    pub module: Digest,
    /// The function's name in it.
    pub function: String,
    /// What the function gets as its configuration: a JSON object.
    pub config: String,
}

/// A function of a session. Functions are equal when they are named alike. Cheap to clone.
#[derive(Clone)]
pub struct WasmFunction(Arc<Inner>);

struct Inner {
    reference: WasmFunctionRef,
    function: Arc<Function>,
    module: Module,
    functions: Functions,
}

impl WasmFunction {
    pub(super) fn new(
        reference: WasmFunctionRef,
        function: Arc<Function>,
        module: Module,
        functions: Functions,
    ) -> Self {
        Self(Arc::new(Inner {
            reference,
            function,
            module,
            functions,
        }))
    }

    /// What names it.
    pub fn reference(&self) -> &WasmFunctionRef {
        &self.0.reference
    }

    /// What it takes and gives.
    pub fn description(&self) -> &Arc<Function> {
        &self.0.function
    }

    /// As a function of expressions.
    ///
    /// # Errors
    /// When it is of another kind.
    pub fn scalar_udf(&self) -> Result<Arc<ScalarUDF>> {
        self.expect(FunctionKind::Scalar)?;
        Ok(Arc::new(ScalarUDF::new_from_impl(WasmScalar::new(self.clone()))))
    }

    /// As a function of groups.
    ///
    /// # Errors
    /// When it is of another kind, or takes no argument.
    pub fn aggregate_udf(&self) -> Result<Arc<AggregateUDF>> {
        self.expect(FunctionKind::Aggregate)?;
        if self.0.function.params.is_empty() {
            // DataFusion passes rows as columns: without a column, their number is lost.
            return plan_err!(
                "the aggregate function `{}` takes no argument; it needs at least one",
                self.name()
            );
        }
        Ok(Arc::new(AggregateUDF::new_from_impl(WasmAggregate::new(self.clone()))))
    }

    pub(super) fn expect(&self, kind: FunctionKind) -> Result<()> {
        let function = &self.0.function;
        if function.kind == kind {
            return Ok(());
        }
        plan_err!(
            "`{}` is a {} function and cannot be used as a {kind} function",
            function.name,
            function.kind
        )
    }

    pub(super) fn name(&self) -> &str {
        &self.0.function.name
    }

    pub(super) fn functions(&self) -> &Functions {
        &self.0.functions
    }

    pub(super) fn volatility(&self) -> Volatility {
        match self.0.function.volatility {
            weir_sandbox::Volatility::Immutable => Volatility::Immutable,
            weir_sandbox::Volatility::Stable => Volatility::Stable,
            weir_sandbox::Volatility::Volatile => Volatility::Volatile,
        }
    }

    pub(super) fn open_scalar(&self) -> Result<ScalarInstance> {
        let options = self.0.functions.open_options(&self.0.reference, true);
        self.0.module.open_scalar(self.name(), &options).map_err(failed)
    }

    pub(super) fn open_flat_map(&self) -> Result<FlatMapInstance> {
        let options = self.0.functions.open_options(&self.0.reference, true);
        self.0.module.open_flat_map(self.name(), &options).map_err(failed)
    }

    /// The memory of an aggregate is charged by the operator that asks for its size.
    pub(super) fn open_aggregate(&self) -> Result<AggregateInstance> {
        let options = self.0.functions.open_options(&self.0.reference, false);
        self.0.module.open_aggregate(self.name(), &options).map_err(failed)
    }

    /// The types that arguments of the types `given` are cast to before a call: their own where only the layout differs.
    ///
    /// # Errors
    /// When there are more or less arguments, or one loses values when it is cast.
    pub(super) fn coerce(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        let params = &self.0.function.params;
        if params.len() != given.len() {
            return plan_err!("{self} takes {} arguments, and {} are given", params.len(), given.len());
        }
        let coerce = |(param, given): (&arrow::datatypes::FieldRef, &DataType)| {
            let declared = param.data_type();
            if weir_sandbox::takes(declared, given) {
                return Ok(given.clone());
            }
            if given.is_null() || (keeps_values(given, declared) && can_cast_types(given, declared)) {
                return Ok(declared.clone());
            }
            plan_err!(
                "{self} takes `{}` as {declared}, and {given} is given; cast it",
                param.name()
            )
        };
        params.iter().zip(given).map(coerce).collect()
    }
}

/// Whether every value of `from` is a value of `to`, or as close to one as SQL asks for.
fn keeps_values(from: &DataType, to: &DataType) -> bool {
    use DataType::{Date32, Date64, Decimal128, Float16, Float32, Float64, Timestamp};
    let bits = |data_type: &DataType| data_type.primitive_width().unwrap_or(0) * 8;
    match (from, to) {
        (from, to) if from.is_signed_integer() && to.is_signed_integer() => bits(from) <= bits(to),
        (from, to) if from.is_unsigned_integer() && to.is_unsigned_integer() => bits(from) <= bits(to),
        (from, to) if from.is_unsigned_integer() && to.is_signed_integer() => bits(from) < bits(to),
        (from, Float64) => from.is_integer() || matches!(from, Float16 | Float32 | Decimal128(..)),
        (Float16, Float32) => true,
        (from, Decimal128(..)) => from.is_integer() || matches!(from, Decimal128(..)),
        (Timestamp(_, from), Timestamp(_, to)) => from.is_some() == to.is_some(),
        (Date32, Timestamp(_, None)) | (Date64, Date32) => true,
        _ => false,
    }
}

/// The signature, as people write it.
impl fmt::Display for WasmFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let params = self.0.function.params.iter();
        let params: Vec<String> = params
            .map(|param| format!("{}: {}", param.name(), param.data_type()))
            .collect();
        write!(f, "function `{}({})`", self.name(), params.join(", "))
    }
}

impl fmt::Debug for WasmFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.reference.fmt(f)
    }
}

impl PartialEq for WasmFunction {
    fn eq(&self, other: &Self) -> bool {
        self.0.reference == other.0.reference
    }
}

impl Eq for WasmFunction {}

impl Hash for WasmFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.reference.hash(state);
    }
}

/// What names a function of expressions, if it is one of ours.
pub fn scalar_reference(function: &ScalarUDF) -> Option<&WasmFunctionRef> {
    function
        .inner()
        .downcast_ref::<WasmScalar>()
        .map(|scalar| scalar.function().reference())
}

/// What names a function of groups, if it is one of ours.
pub fn aggregate_reference(function: &AggregateUDF) -> Option<&WasmFunctionRef> {
    function
        .inner()
        .downcast_ref::<WasmAggregate>()
        .map(|aggregate| aggregate.function().reference())
}
