//! Functions that expressions of pipelines need and SQL does not have.

use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::utils::take_function_args;
use datafusion::common::{ScalarValue, internal_err};
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility, lit,
};
use weir_model::{Failure, FailureKind};

use crate::task::OperatorError;

/// The function of a name, if it is one of these.
pub(crate) fn function(name: &str) -> Option<Arc<ScalarUDF>> {
    (name == NOT_NULL.name()).then(|| Arc::clone(&NOT_NULL))
}

static NOT_NULL: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| Arc::new(ScalarUDF::new_from_impl(NotNull::new())));

/// `value`, which fails with `message` where it is null, in `transform`.
pub(super) fn not_null(value: Expr, message: String, transform: &str) -> Expr {
    NOT_NULL.call(vec![value, lit(message), lit(transform)])
}

/// Gives its first argument, and fails with its second, in the transform of its third, where that is null.
#[derive(Debug, PartialEq, Eq, Hash)]
struct NotNull {
    signature: Signature,
}

impl NotNull {
    fn new() -> Self {
        Self {
            signature: Signature::any(3, Volatility::Immutable),
        }
    }
}

impl ScalarUDFImpl for NotNull {
    fn name(&self) -> &str {
        "weir_not_null"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        internal_err!("the type follows from the argument")
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let [value, _, _] = take_function_args(self.name(), args.arg_fields)?;
        Ok(Arc::new(Field::new(self.name(), value.data_type().clone(), false)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [value, message, transform] = take_function_args(self.name(), args.args)?;
        let null = match &value {
            ColumnarValue::Array(array) => array.logical_null_count() > 0,
            ColumnarValue::Scalar(scalar) => scalar.is_null(),
        };
        if !null {
            return Ok(value);
        }
        let text = |value| match value {
            ColumnarValue::Scalar(ScalarValue::Utf8(text) | ScalarValue::Utf8View(text)) => text,
            _ => None,
        };
        let message = text(message).unwrap_or_else(|| "a value is null".to_owned());
        let mut failure = Failure::new(FailureKind::User, "null_value", message);
        failure.transform = text(transform);
        Err(OperatorError(failure).into())
    }
}
