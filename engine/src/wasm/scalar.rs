//! Scalar functions in expressions.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Mutex, PoisonError};

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use datafusion::common::{ScalarValue, plan_err};
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};
use weir_sandbox::ScalarInstance;

use super::WasmFunction;
use super::failure::{failed, refused};

/// Instances that are kept between calls; at most as many exist as threads call at once.
const IDLE: usize = 32;

/// A scalar function.
pub(super) struct WasmScalar {
    function: WasmFunction,
    signature: Signature,
    /// Instances between two calls. A call takes one out, so that threads do not wait for each other.
    idle: Mutex<Vec<ScalarInstance>>,
}

impl WasmScalar {
    pub(super) fn new(function: WasmFunction) -> Self {
        let signature = match function.description().params.len() {
            0 => Signature::nullary(function.volatility()),
            _ => Signature::user_defined(function.volatility()),
        };
        Self {
            function,
            signature,
            idle: Mutex::default(),
        }
    }

    pub(super) fn function(&self) -> &WasmFunction {
        &self.function
    }

    fn call(&self, columns: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
        if !self.function.functions().are_callable() {
            return plan_err!("{} cannot be called while a job is planned", self.function);
        }
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = idle().pop();
        let mut instance = match taken {
            Some(instance) => instance,
            None => self.function.open_scalar()?,
        };
        let busy = instance.busy();
        let evaluated = instance.call_rows(columns, rows);
        self.function
            .functions()
            .report(self.function.name(), instance.drain(), instance.busy() - busy);
        let first_row = instance.rows().saturating_sub(rows as u64);
        if !instance.is_poisoned() {
            let mut idle = idle();
            if idle.len() < IDLE {
                idle.push(instance);
            }
        }
        let evaluated = evaluated.map_err(failed)?;
        if evaluated.errors.is_empty() {
            Ok(evaluated.column)
        } else {
            Err(refused(self.function.name(), first_row, &evaluated.errors))
        }
    }
}

impl ScalarUDFImpl for WasmScalar {
    fn name(&self) -> &str {
        self.function.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        self.function.coerce(given)
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.function.description().result().data_type().clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constant = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        // Equal arguments give equal results within a query, so one row is enough.
        let once = constant && self.signature.volatility != Volatility::Volatile;
        let rows = if once { 1 } else { args.number_rows };
        let columns: Vec<ArrayRef> = args
            .args
            .into_iter()
            .map(|arg| arg.into_array(rows))
            .collect::<Result<_>>()?;
        let column = self.call(&columns, rows)?;
        if once {
            Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&column, 0)?))
        } else {
            Ok(column.into())
        }
    }
}

impl fmt::Debug for WasmScalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WasmScalar").field(&self.function).finish()
    }
}

impl PartialEq for WasmScalar {
    fn eq(&self, other: &Self) -> bool {
        self.function == other.function
    }
}

impl Eq for WasmScalar {}

impl Hash for WasmScalar {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.function.hash(state);
    }
}
