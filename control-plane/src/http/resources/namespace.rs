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
}

impl From<NamespaceRow> for Namespace {
    fn from(row: NamespaceRow) -> Self {
        Self {
            name: row.name.to_string(),
            display_name: row.display_name,
            created_at: row.created_at.into(),
            created_by: row.created_by,
        }
    }
}
