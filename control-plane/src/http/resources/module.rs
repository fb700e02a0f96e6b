//! Wasm components.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use weir_model::Digest;

/// A Wasm component that jobs can use by its digest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Module {
    /// The SHA-256 of its bytes, in hexadecimal.
    #[schema(value_type = String, pattern = "^[0-9a-f]{64}$")]
    pub digest: Digest,
    /// Its size, in bytes.
    pub bytes: u64,
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
