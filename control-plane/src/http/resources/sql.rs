//! Looking at SQL before it is run.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use weir_model::Digest;

use super::{Column, Table};

/// A script to look at.
#[derive(Clone, Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SqlCheckRequest {
    /// Statements, separated by semicolons.
    #[schema(max_length = 262144)]
    pub script: String,
    /// Files that are readable as tables.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tables: Vec<Table>,
    /// SHA-256 digests of Wasm components whose functions the statements may call, by any name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = BTreeMap<String, String>)]
    pub modules: BTreeMap<String, Digest>,
    /// The URL that relative paths start from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<String>,
}

/// What a script means.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SqlCheck {
    /// Whether it can be run.
    pub valid: bool,
    /// What is wrong, if it cannot.
    pub errors: Vec<SqlError>,
    /// Its statements, as far as they can be told apart.
    pub statements: Vec<SqlStatement>,
    /// The columns of the last statement; none when it writes files.
    pub columns: Vec<Column>,
    /// The stages of the last statement.
    pub stages: Vec<SqlStage>,
    /// The logical plan of the last statement, indented.
    pub logical_plan: Option<String>,
    /// The stages with their operators, indented.
    pub physical_plan: Option<String>,
}

/// Something that is wrong with a script.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SqlError {
    /// What is wrong, and what to do about it.
    pub message: String,
    /// The line of the script, from one, if it is known.
    pub line: Option<u64>,
    /// The column of the line, in characters, from one, if it is known.
    pub column: Option<u64>,
}

/// A statement of a script.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SqlStatement {
    /// Its text.
    pub text: String,
    /// What it is for.
    pub role: SqlRole,
    /// The line of the script where it begins, from one.
    pub line: u64,
    /// The column of the line, in characters, from one.
    pub column: u64,
}

/// What a statement is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SqlRole {
    /// It defines something for those after it, and has no rows.
    Setup,
    /// It has rows, or writes files.
    Query,
}

/// A stage that a statement would run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SqlStage {
    /// Its number.
    pub id: u32,
    /// What it does.
    pub name: String,
    /// Its partitions: it has at most as many tasks.
    pub partitions: u32,
    /// The stages whose rows it reads.
    pub inputs: Vec<u32>,
    /// Bytes that it reads from files, as far as they are known.
    pub scan_bytes: u64,
}
