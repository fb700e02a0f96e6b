//! Namespaces.

use serde::{Deserialize, Serialize};

use super::Time;
use crate::store::NamespaceRow;

/// A tenant: its runs, pipelines, modules and keys are seen by nobody else.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Namespace {
    /// What requests call it, in `Weir-Namespace`.
    pub name: String,
    /// What people call it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub display_name: String,
    /// The places in S3 whose files its jobs may read and write, and no others; absent when they may use all that the
    /// service reaches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_locations: Option<Vec<String>>,
    /// When it was made.
    pub created_at: Time,
    /// By whom.
    pub created_by: String,
}

/// Namespaces in order of name.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct NamespacePage {
    /// The namespaces.
    pub items: Vec<Namespace>,
    /// Gives the next page; absent when this is the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// A namespace that is to be.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NamespaceRequest {
    /// 1 to 63 lower-case letters, digits and hyphens.
    #[schema(pattern = "^[a-z0-9-]{1,63}$")]
    pub name: String,
    /// What people call it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schema(max_length = 100)]
    pub display_name: String,
    /// The places in S3 (`s3://BUCKET/PREFIX`) whose files its jobs may read and write, and no others; all that the
    /// service reaches when it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_items = 100)]
    pub allowed_locations: Option<Vec<String>>,
}

/// What of a namespace can be changed. All of it is replaced.
#[derive(Clone, Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NamespaceSettings {
    /// What people call it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schema(max_length = 100)]
    pub display_name: String,
    /// The places in S3 (`s3://BUCKET/PREFIX`) whose files its jobs may read and write, and no others; all that the
    /// service reaches when it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_items = 100)]
    pub allowed_locations: Option<Vec<String>>,
}

impl From<NamespaceRow> for Namespace {
    fn from(row: NamespaceRow) -> Self {
        Self {
            name: row.name.to_string(),
            display_name: row.display_name,
            allowed_locations: row.allowed_locations,
            created_at: row.created_at.into(),
            created_by: row.created_by,
        }
    }
}
