//! Who asks, and what they may do.

use serde::{Deserialize, Serialize};
use weir_model::Namespace;

/// What somebody may do in a namespace. Each role may do what those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// May look at everything.
    Viewer,
    /// May submit runs, and stop and retry them.
    Submitter,
    /// May change pipelines, schedules and other people's runs.
    Operator,
    /// May change who may do what.
    Admin,
}

/// Who sends a request, in which namespace, and as what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The name of whoever asks, for people and for the audit log.
    pub principal: String,
    /// The namespace that the request is about. Nothing of any other is seen or reached by it.
    pub namespace: Namespace,
    /// What they may do in this namespace.
    pub role: Role,
    /// Whether they may look at and change what belongs to no namespace, or to all: namespaces, quotas, workers.
    pub whole_service: bool,
}

impl Identity {
    /// Whoever reaches a service that asks for no key.
    pub fn anonymous() -> Self {
        Self {
            principal: "anonymous".to_owned(),
            namespace: Namespace::default(),
            role: Role::Admin,
            whole_service: true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_ordered_by_what_they_may_do() {
        assert!(Role::Viewer < Role::Submitter && Role::Submitter < Role::Operator && Role::Operator < Role::Admin);
    }
}
