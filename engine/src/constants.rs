//! What planning does not compute.
//!
//! The planner replaces expressions of constants by their values, in the process that plans for everybody. A few
//! functions make much of little (`repeat('x', 1000000000)`): here they refuse to when there is no row that needs it,
//! which leaves the call in the plan, for the tasks of the run.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{ExprSchema, ScalarValue, exec_err};
use datafusion::config::ConfigOptions;
use datafusion::error::Result;
use datafusion::execution::FunctionRegistry;
use datafusion::logical_expr::interval_arithmetic::Interval;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::sort_properties::{ExprProperties, SortProperties};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};

/// Bytes that a call with constant arguments may make of them while a statement is planned.
const MAX_BYTES: u128 = 16 << 10;

/// Functions whose results can be far larger than their arguments, with how large they can be.
const LARGE: [(&str, Estimate); 11] = [
    ("array_repeat", Estimate::Copies),
    ("array_resize", Estimate::Copies),
    ("array_to_string", Estimate::Product),
    ("concat_ws", Estimate::Product),
    ("generate_series", Estimate::Series),
    ("lpad", Estimate::Copies),
    ("range", Estimate::Series),
    ("regexp_replace", Estimate::Product),
    ("repeat", Estimate::Copies),
    ("replace", Estimate::Product),
    ("rpad", Estimate::Copies),
];

/// Bytes of a result, by those of the arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Estimate {
    /// As often as the largest number says.
    Copies,
    /// Each byte of one may be replaced by all of another.
    Product,
    /// A number for each step from one argument to another.
    Series,
}

/// Makes the functions of a session that plans refuse to compute much.
pub(crate) fn leave_to_tasks(functions: &mut dyn FunctionRegistry) -> Result<()> {
    for (name, estimate) in LARGE {
        let inner = functions.udf(name)?;
        functions.register_udf(Arc::new(ScalarUDF::from(Guarded { inner, estimate })))?;
    }
    Ok(())
}

impl Estimate {
    fn bytes(self, arguments: &[ScalarValue]) -> u128 {
        let size: u128 = arguments.iter().map(content).sum();
        let numbers = || arguments.iter().filter_map(integer);
        match self {
            Self::Copies => size * numbers().map(|number| number.max(1).unsigned_abs()).max().unwrap_or(1),
            Self::Product => size * size,
            // Of times, whose steps are no numbers, nothing is known.
            Self::Series if arguments.iter().any(|argument| !argument.data_type().is_integer()) => u128::MAX,
            Self::Series => {
                let (least, most) = (numbers().min().unwrap_or(0), numbers().max().unwrap_or(0));
                size * most.abs_diff(least.min(0)).max(1)
            }
        }
    }
}

/// Bytes of a value, as it would be in a column.
fn content(value: &ScalarValue) -> u128 {
    // A number of a few bytes is part of the value itself.
    (value.size() + size_of::<u64>()).saturating_sub(size_of::<ScalarValue>()) as u128
}

fn integer(value: &ScalarValue) -> Option<i128> {
    match value.cast_to(&DataType::Int64) {
        Ok(ScalarValue::Int64(number)) if value.data_type().is_integer() => Some(i128::from(number.unwrap_or(0))),
        _ => None,
    }
}

/// A function that is not asked to make much of constants.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Guarded {
    inner: Arc<ScalarUDF>,
    estimate: Estimate,
}

impl ScalarUDFImpl for Guarded {
    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constants: Option<Vec<ScalarValue>> = args
            .args
            .iter()
            .map(|argument| match argument {
                ColumnarValue::Scalar(value) => Some(value.clone()),
                ColumnarValue::Array(values) if values.len() == 1 => ScalarValue::try_from_array(values, 0).ok(),
                ColumnarValue::Array(_) => None,
            })
            .collect();
        match constants {
            Some(constants) if self.estimate.bytes(&constants) > MAX_BYTES => exec_err!(
                "`{}` may make more than {MAX_BYTES} bytes of its arguments, which planning does not wait for; read \
                 them from a table",
                self.name()
            ),
            _ => self.inner.invoke_with_args(args),
        }
    }

    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        self.inner.schema_name(args)
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        self.inner.return_field_from_args(args)
    }

    fn is_nullable(&self, args: &[Expr], schema: &dyn ExprSchema) -> bool {
        #[expect(deprecated, reason = "callers may still ask")]
        self.inner.inner().is_nullable(args, schema)
    }

    fn is_strict(&self) -> bool {
        self.inner.is_strict()
    }

    fn with_updated_config(&self, config: &ConfigOptions) -> Option<ScalarUDF> {
        let inner = Arc::new(self.inner.inner().with_updated_config(config)?);
        Some(ScalarUDF::from(Self {
            inner,
            estimate: self.estimate,
        }))
    }

    fn simplify(&self, args: Vec<Expr>, info: &SimplifyContext) -> Result<ExprSimplifyResult> {
        self.inner.simplify(args, info)
    }

    fn short_circuits(&self) -> bool {
        self.inner.short_circuits()
    }

    fn evaluate_bounds(&self, input: &[&Interval]) -> Result<Interval> {
        self.inner.evaluate_bounds(input)
    }

    fn output_ordering(&self, inputs: &[ExprProperties]) -> Result<SortProperties> {
        self.inner.output_ordering(inputs)
    }

    fn preserves_lex_ordering(&self, inputs: &[ExprProperties]) -> Result<bool> {
        self.inner.preserves_lex_ordering(inputs)
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(types)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }
}
