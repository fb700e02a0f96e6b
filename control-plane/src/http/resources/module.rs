//! Wasm components.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use weir_model::Digest;

use super::{Column, Time};

/// A Wasm component that jobs of the namespace can use by its digest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Module {
    /// The SHA-256 of its bytes, in hexadecimal.
    #[schema(value_type = String, pattern = "^[0-9a-f]{64}$")]
    pub digest: Digest,
    /// Its size, in bytes.
    pub bytes: u64,
    /// When it was uploaded first, if that is known.
    pub uploaded_at: Option<Time>,
    /// Who uploaded it first, if that is known.
    pub uploaded_by: Option<String>,
    /// The functions that it offers.
    pub functions: Vec<ModuleFunction>,
}

/// A function of a component.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ModuleFunction {
    /// Its name.
    pub name: String,
    /// `scalar`, `flat_map` or `aggregate`.
    pub kind: String,
    /// What it takes.
    #[serde(default)]
    pub arguments: Vec<Column>,
    /// What it gives: one output with one column, but for a `flat_map`.
    #[serde(default)]
    pub outputs: Vec<ModuleOutput>,
    /// How far results depend on the arguments alone: `immutable`, `stable` or `volatile`.
    #[serde(default)]
    pub volatility: String,
    /// What its author says of it, as Markdown; it may be empty.
    #[serde(default)]
    pub docs: String,
}

/// Where rows of a function go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ModuleOutput {
    /// Its name.
    pub name: String,
    /// Its columns.
    pub columns: Vec<Column>,
}

/// A component in a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ListedModule {
    /// The SHA-256 of its bytes, in hexadecimal.
    #[schema(value_type = String, pattern = "^[0-9a-f]{64}$")]
    pub digest: Digest,
    /// Its size, in bytes.
    pub bytes: u64,
    /// When it was uploaded.
    pub uploaded_at: Time,
    /// Who uploaded it, if that is known.
    pub uploaded_by: Option<String>,
    /// The names of its functions, if they are known without looking into it.
    pub functions: Option<Vec<String>>,
}

/// Components, in the order of their digests.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ModulePage {
    /// The components.
    pub items: Vec<ListedModule>,
    /// What to give as `cursor` for those that follow; left out when there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// A component that is to be uploaded past the server.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UploadRequest {
    /// Its length. The URL takes no other.
    pub bytes: u64,
}

/// How to upload a component past the server.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Upload {
    /// The method of the request to make, always `PUT`.
    pub method: String,
    /// Where to.
    pub url: String,
    /// Headers that the request must have.
    pub headers: BTreeMap<String, String>,
    /// How long the URL can be used, in seconds.
    pub expires_in_s: u64,
}
