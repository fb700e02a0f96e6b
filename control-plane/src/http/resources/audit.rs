//! The audit log.

use serde::{Deserialize, Serialize};

use super::Time;
use crate::store::{AuditOutcome, AuditRow};

/// One thing that somebody did, or was not let do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AuditEntry {
    /// The entry; entries sort by time.
    pub id: String,
    /// When.
    pub at: Time,
    /// Who.
    pub principal: String,
    /// Where; absent when the request came to no namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The operation, as this document calls it.
    pub action: String,
    /// What it was done to: a path below `/api/v1`.
    pub target: String,
    /// Whether they were let.
    pub outcome: AuditOutcome,
    /// The status of the answer.
    pub status: u16,
    /// The request, as the server's log names it.
    pub request_id: String,
    /// The address that it came from.
    pub source: String,
    /// More, such as the code of the problem.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// Entries, the youngest first.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AuditPage {
    /// The entries.
    pub items: Vec<AuditEntry>,
    /// Gives the next page; absent when this is the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

impl From<AuditRow> for AuditEntry {
    fn from(row: AuditRow) -> Self {
        Self {
            id: row.id.to_string(),
            at: row.at.into(),
            principal: row.principal,
            namespace: row.namespace.map(String::from),
            action: row.action,
            target: row.target,
            outcome: row.outcome,
            status: row.status,
            request_id: row.request_id,
            source: row.source,
            detail: row.detail,
        }
    }
}
