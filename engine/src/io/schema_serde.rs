//! Arrow schemas inside serde types, as Arrow IPC.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::ipc::convert::{IpcSchemaEncoder, fb_to_schema};
use arrow::ipc::root_as_schema;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub(crate) fn serialize<S: Serializer>(schema: &SchemaRef, serializer: S) -> Result<S::Ok, S::Error> {
    let builder = IpcSchemaEncoder::new().schema_to_fb(schema);
    builder.finished_data().to_vec().serialize(serializer)
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SchemaRef, D::Error> {
    let bytes = Vec::<u8>::deserialize(deserializer)?;
    let schema = root_as_schema(&bytes).map_err(D::Error::custom)?;
    Ok(Arc::new(fb_to_schema(schema)))
}
