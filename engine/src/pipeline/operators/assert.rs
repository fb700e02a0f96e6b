//! `AssertEqual`.

use std::collections::HashMap;
use std::fmt::{self, Write};
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, ChildrenPropertiesMode, EmissionType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, Distribution, ExecutionPlan, InputDistributionRequirements, Partitioning,
    PlanProperties, ReplaceChildrenOptions, SendableRecordBatchStream,
};
use futures::TryStreamExt;
use serde::{Deserialize, Serialize};
use weir_model::spec::Value;
use weir_model::{Failure, FailureKind};

use crate::io::{PythonJson, python_float};
use crate::task::OperatorError;

/// Rows of each side that a message shows.
const SHOWN_ROWS: usize = 10;
/// Bytes of a row that a message shows.
const SHOWN_BYTES: usize = 300;

/// The rows that there must be.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct AssertSpec {
    transform: String,
    /// Each row as text that is the same for equal rows, and as people read it.
    expected: Vec<(String, String)>,
}

impl AssertSpec {
    /// `transform` must see exactly these rows, which have the fields `fields`.
    pub(crate) fn new<'a>(
        transform: String,
        fields: &[String],
        rows: impl IntoIterator<Item = &'a Vec<Value>>,
    ) -> Result<Self> {
        let row = |values: &Vec<Value>| {
            let given = fields.iter().zip(values).filter(|(_, value)| **value != Value::Null);
            let row = Value::Map(given.map(|(name, value)| (name.clone(), value.clone())).collect());
            let shown = serde_json::to_string(&row).map_err(|error| DataFusionError::External(Box::new(error)))?;
            Ok((canonical(&row), shown))
        };
        Ok(Self {
            transform,
            expected: rows.into_iter().map(row).collect::<Result<_>>()?,
        })
    }
}

impl fmt::Display for AssertSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AssertEqual: {}, rows={}", self.transform, self.expected.len())
    }
}

/// A value as text that is the same for values that Python takes for equal: the order of fields is nothing, null is
/// no field, `1`, `1.0` and `true` are one.
pub(crate) fn canonical(value: &Value) -> String {
    let mut out = String::new();
    write_value(&mut out, value);
    out
}

fn write_value(out: &mut String, value: &Value) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(value) => out.push(if *value { '1' } else { '0' }),
        Value::Int(value) => {
            let _ = write!(out, "{value}");
        }
        Value::Float(value) => write_float(out, *value),
        Value::String(value) => {
            let _ = write!(out, "{value:?}");
        }
        Value::List(items) => {
            out.push('[');
            for item in items {
                write_value(out, item);
                out.push(',');
            }
            out.push(']');
        }
        Value::Map(entries) => {
            let given = entries.iter().filter(|(_, value)| *value != Value::Null);
            write_fields(
                out,
                given.map(|(name, value)| {
                    let mut text = String::new();
                    write_value(&mut text, value);
                    (name.as_str(), text)
                }),
            );
        }
    }
}

fn write_float(out: &mut String, value: f64) {
    if value.fract() == 0.0 && value.abs() < 9.0e15 {
        let _ = write!(out, "{}", value as i64);
    } else {
        python_float(out, value);
    }
}

fn write_fields<'a>(out: &mut String, fields: impl Iterator<Item = (&'a str, String)>) {
    let mut fields: Vec<_> = fields.collect();
    fields.sort();
    out.push('{');
    for (name, value) in fields {
        let _ = write!(out, "{name:?}:{value},");
    }
    out.push('}');
}

/// The same text for a value of an array.
fn write_array(out: &mut String, array: &dyn Array, row: usize) -> Result<(), ArrowError> {
    if array.is_null(row) {
        out.push_str("null");
        return Ok(());
    }
    match array.data_type() {
        DataType::Boolean => out.push(if array.as_boolean().value(row) { '1' } else { '0' }),
        DataType::Struct(fields) => {
            let columns = fields
                .iter()
                .map(|field| field.name().as_str())
                .zip(array.as_struct().columns());
            return write_row(out, columns.map(|(name, column)| (name, column.as_ref())), row);
        }
        DataType::List(_) => return write_list(out, &array.as_list::<i32>().value(row)),
        DataType::LargeList(_) => return write_list(out, &array.as_list::<i64>().value(row)),
        DataType::FixedSizeList(_, _) => return write_list(out, &array.as_fixed_size_list().value(row)),
        data_type if data_type.is_numeric() => {
            let mut text = String::new();
            PythonJson::write(&mut text, array, row)?;
            match text.parse::<i64>() {
                Err(_) if !data_type.is_integer() => match text.parse() {
                    Ok(value) => write_float(out, value),
                    Err(_) => out.push_str(&text),
                },
                _ => out.push_str(&text),
            }
        }
        _ => {
            let mut text = String::new();
            crate::io::PythonText::write(&mut text, array, row)?;
            let _ = write!(out, "{text:?}");
        }
    }
    Ok(())
}

fn write_list(out: &mut String, items: &dyn Array) -> Result<(), ArrowError> {
    out.push('[');
    for item in 0..items.len() {
        write_array(out, items, item)?;
        out.push(',');
    }
    out.push(']');
    Ok(())
}

fn write_row<'a>(
    out: &mut String,
    columns: impl Iterator<Item = (&'a str, &'a dyn Array)>,
    row: usize,
) -> Result<(), ArrowError> {
    let given = columns.filter(|(_, column)| !column.is_null(row));
    let fields: Result<Vec<_>, ArrowError> = given
        .map(|(name, column)| {
            let mut text = String::new();
            write_array(&mut text, column, row)?;
            Ok((name, text))
        })
        .collect();
    write_fields(out, fields?.into_iter());
    Ok(())
}

/// Compares rows with what they must be. Gives no rows.
#[derive(Debug)]
pub(crate) struct AssertExec {
    spec: AssertSpec,
    input: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
}

impl AssertExec {
    pub(crate) fn new(spec: AssertSpec, input: Arc<dyn ExecutionPlan>) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(input.schema()),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Final,
            Boundedness::Bounded,
        );
        Self {
            spec,
            input,
            properties: Arc::new(properties),
        }
    }

    pub(crate) fn spec(&self) -> &AssertSpec {
        &self.spec
    }
}

impl DisplayAs for AssertExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "AssertExec: {}, rows={}",
            self.spec.transform,
            self.spec.expected.len()
        )
    }
}

impl ExecutionPlan for AssertExec {
    fn name(&self) -> &str {
        "AssertExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        InputDistributionRequirements::new(vec![Distribution::SinglePartition])
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(Self::new(self.spec.clone(), children.swap_remove(0))))
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let mut rows = self.input.execute(partition, context)?;
        let mut comparison = Comparison::new(&self.spec);
        let compared = async move {
            while let Some(batch) = rows.try_next().await? {
                comparison.take(&batch)?;
            }
            comparison.finish()
        };
        // The stream has no item but the error, if there is one.
        let none = futures::stream::once(compared).try_filter_map(|()| async { Ok(None) });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), none)))
    }
}

/// What was found so far. Its size is that of the expected rows, however many there are.
struct Comparison {
    transform: String,
    /// How many rows are still to come, and how they look.
    missing: HashMap<String, (u64, String)>,
    unexpected: Vec<String>,
    unexpected_count: u64,
}

impl Comparison {
    fn new(spec: &AssertSpec) -> Self {
        let mut missing: HashMap<String, (u64, String)> = HashMap::new();
        for (key, shown) in &spec.expected {
            missing.entry(key.clone()).or_insert_with(|| (0, shown.clone())).0 += 1;
        }
        Self {
            transform: spec.transform.clone(),
            missing,
            unexpected: Vec::new(),
            unexpected_count: 0,
        }
    }

    fn take(&mut self, batch: &RecordBatch) -> Result<()> {
        let schema = batch.schema();
        let mut key = String::new();
        for row in 0..batch.num_rows() {
            key.clear();
            let columns = schema.fields().iter().zip(batch.columns());
            write_row(
                &mut key,
                columns.map(|(field, column)| (field.name().as_str(), column.as_ref())),
                row,
            )?;
            match self.missing.get_mut(&key) {
                Some((count, _)) if *count > 0 => *count -= 1,
                _ => {
                    self.unexpected_count += 1;
                    if self.unexpected.len() < SHOWN_ROWS {
                        let mut shown = String::new();
                        PythonJson::write_row(&mut shown, batch, row)?;
                        self.unexpected.push(shown);
                    }
                }
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<()> {
        let mut missing: Vec<_> = self.missing.into_values().filter(|(count, _)| *count > 0).collect();
        let missing_count: u64 = missing.iter().map(|(count, _)| count).sum();
        if missing_count == 0 && self.unexpected_count == 0 {
            return Ok(());
        }
        missing.sort_by(|a, b| a.1.cmp(&b.1));
        let missing: Vec<_> = missing
            .into_iter()
            .flat_map(|(count, shown)| (0..count).map(move |_| shown.clone()))
            .take(SHOWN_ROWS)
            .collect();
        let mut message = "the rows are not those that are expected".to_owned();
        for (what, count, rows) in [
            ("missing", missing_count, missing),
            ("unexpected", self.unexpected_count, self.unexpected),
        ] {
            if count > 0 {
                let _ = write!(message, "\n{count} {what}:");
                for row in &rows {
                    let _ = write!(message, "\n  {}", shorten(row));
                }
                if count > rows.len() as u64 {
                    let _ = write!(message, "\n  and {} more", count - rows.len() as u64);
                }
            }
        }
        let mut failure = Failure::new(FailureKind::User, "assertion_failed", message);
        failure.transform = Some(self.transform);
        Err(OperatorError(failure).into())
    }
}

fn shorten(text: &str) -> String {
    if text.len() <= SHOWN_BYTES {
        return text.to_owned();
    }
    let end = (0..=SHOWN_BYTES)
        .rev()
        .find(|&end| text.is_char_boundary(end))
        .unwrap_or(0);
    format!("{}…", &text[..end])
}
