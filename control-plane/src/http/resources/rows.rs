//! What runs wrote: outputs, their files and rows, and results.

use serde::{Deserialize, Serialize};

use super::Time;

/// A column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type, as Arrow calls it: `Int64`, `Utf8`, `Decimal128(10, 2)`, …
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether it may be null.
    pub nullable: bool,
}

/// What a sink of a run wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RunOutput {
    /// Its number in the run.
    pub id: u32,
    /// The transform that wrote it.
    pub transform: String,
    /// The beginning of the paths or URLs of its files.
    pub location: String,
    /// `text`, `csv`, `json` or `parquet`.
    pub format: String,
    /// Files.
    pub files: u64,
    /// Rows in all files.
    pub rows: u64,
    /// Bytes in all files.
    pub bytes: u64,
}

/// What the sinks of a run wrote; none before the run has succeeded.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RunOutputs {
    /// The outputs.
    pub items: Vec<RunOutput>,
}

/// Where to read a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct OutputLink {
    /// The name of the file.
    pub file: String,
    /// Where it is: the URL of the storage, which needs no key, or a path of this server, which does.
    pub url: String,
    /// Until when the URL of a storage can be used; a path of this server has no such time.
    pub expires_at: Option<Time>,
}

/// Where to read the files of an output, in their order.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct OutputLinkPage {
    /// The links.
    pub items: Vec<OutputLink>,
    /// What to give as `cursor` for those that follow; left out when there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// Rows, with their columns.
///
/// A value is as JSON has it: null, a boolean, a string, a number, a list, or an object for a struct. These are strings,
/// since many programs read numbers of JSON as floating-point ones: integers of 64 bits, decimals, and floats that are
/// not finite (`NaN`, `inf`, `-inf`). Dates, times, timestamps and durations are ISO 8601 strings, and bytes are
/// hexadecimal. A map is an object when its keys are strings, else a list of its entries.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RowPage {
    /// The columns.
    pub columns: Vec<Column>,
    /// Rows, each with a value for every column in their order.
    #[schema(value_type = Vec<Vec<serde_json::Value>>)]
    pub rows: Vec<Vec<serde_json::Value>>,
    /// What to give as `cursor` for the rows that follow; left out when there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}
