//! Rows that are written in the pipeline file.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::catalog::TableProvider;
use datafusion::datasource::MemTable;
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use weir_model::spec::{Create, Rows, Value};

use super::flow::{type_name, unify};
use super::problems::{Place, Result};

/// Rows that are worth a partition of their own.
const PARTITION_ROWS: usize = 1000;

/// The rows of a `Create`, as a table.
pub(super) fn create(place: Place<'_>, config: &Create, target_partitions: usize) -> Result<Arc<dyn TableProvider>> {
    let Rows { fields, rows, .. } = &config.elements;
    let mut types = vec![DataType::Null; fields.len()];
    for row in rows {
        for ((known, name), value) in types.iter_mut().zip(fields).zip(&row.value) {
            let found = value_type(value).ok_or_else(|| {
                place.at(
                    row.span,
                    format!("the items of a list in `{name}` are of several types"),
                )
            })?;
            *known = unify(known, &found).ok_or_else(|| {
                let (known, found) = (type_name(known), type_name(&found));
                place.at(
                    row.span,
                    format!("`{name}` is {found} here and {known} before; give all elements one type"),
                )
            })?;
        }
    }
    let columns = fields
        .iter()
        .zip(types)
        .map(|(name, data_type)| Field::new(name, settled(data_type), true));
    let schema = Arc::new(Schema::new(columns.collect::<Vec<_>>()));
    let values: Vec<&Vec<Value>> = rows.iter().map(|row| &row.value).collect();
    let wanted = if config.reshuffle {
        values.len() / PARTITION_ROWS
    } else {
        1
    };
    let share = values.len().div_ceil(wanted.clamp(1, target_partitions.max(1))).max(1);
    let partitions: DataFusionResult<Vec<_>> = values
        .chunks(share)
        .map(|rows| Ok(vec![batch(&schema, rows)?]))
        .collect();
    let mut partitions = partitions.map_err(place.wrong())?;
    if partitions.is_empty() {
        partitions.push(Vec::new());
    }
    Ok(Arc::new(MemTable::try_new(schema, partitions).map_err(place.wrong())?))
}

fn batch(schema: &Arc<Schema>, rows: &[&Vec<Value>]) -> DataFusionResult<RecordBatch> {
    let objects: Vec<Value> = rows
        .iter()
        .map(|row| {
            Value::Map(
                schema
                    .fields()
                    .iter()
                    .map(|field| field.name().clone())
                    .zip(row.iter().cloned())
                    .collect(),
            )
        })
        .collect();
    let builder = arrow::json::ReaderBuilder::new(Arc::clone(schema)).with_batch_size(rows.len());
    let mut decoder = builder.build_decoder()?;
    decoder.serialize(&objects)?;
    let decoded = decoder.flush()?;
    let columns: Vec<ArrayRef> = decoded.map(|batch| batch.columns().to_vec()).unwrap_or_default();
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options).map_err(DataFusionError::from)
}

/// The type of a value; none when a list in it has items without a common type.
pub(super) fn value_type(value: &Value) -> Option<DataType> {
    Some(match value {
        Value::Null => DataType::Null,
        Value::Bool(_) => DataType::Boolean,
        Value::Int(_) => DataType::Int64,
        Value::Float(_) => DataType::Float64,
        Value::String(_) => DataType::Utf8,
        Value::List(items) => {
            let item = items
                .iter()
                .try_fold(DataType::Null, |known, item| unify(&known, &value_type(item)?))?;
            DataType::List(Arc::new(Field::new_list_field(item, true)))
        }
        Value::Map(entries) => {
            let field = |(name, value): &(String, Value)| Some(Field::new(name, value_type(value)?, true));
            DataType::Struct(entries.iter().map(field).collect::<Option<_>>()?)
        }
    })
}

/// What only ever is null is taken for text.
fn settled(data_type: DataType) -> DataType {
    match data_type {
        DataType::Null => DataType::Utf8,
        DataType::List(item) => {
            DataType::List(Arc::new(Field::new_list_field(settled(item.data_type().clone()), true)))
        }
        DataType::Struct(fields) => {
            let settle = |field: &Arc<Field>| Field::new(field.name(), settled(field.data_type().clone()), true);
            DataType::Struct(fields.iter().map(settle).collect())
        }
        other => other,
    }
}
