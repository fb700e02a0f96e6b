//! Who asks, and what they may do.

mod authenticator;
mod key;
mod oidc;

use serde::{Deserialize, Serialize};
use weir_model::{KeyId, Namespace};

pub(crate) use authenticator::SessionTimes;
pub use authenticator::{Authenticator, Credential, Refusal};
pub use key::Secret;
pub use oidc::{ClaimGrant, OidcError, OidcOptions};

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

impl Role {
    /// The role as the API spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Submitter => "submitter",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Viewer, Self::Submitter, Self::Operator, Self::Admin]
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or_else(|| format!("`{text}` is not a role: expected viewer, submitter, operator or admin"))
    }
}

/// A role in one namespace, or in all of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Where; `None` is the whole service.
    pub namespace: Option<Namespace>,
    /// What may be done there.
    pub role: Role,
}

/// Somebody who has shown who they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// Their name, for people and for the audit log.
    pub name: String,
    /// What they may do, and where.
    pub grants: Vec<Grant>,
    /// The API key that they have, if it is one that they came with.
    pub key: Option<KeyId>,
    /// Whether they came with the bootstrap key.
    pub bootstrap: bool,
}

impl Principal {
    /// Whoever reaches a service that asks for no key.
    pub fn anonymous() -> Self {
        Self::whole_service("anonymous")
    }

    /// An admin of everything.
    fn whole_service(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            grants: vec![Grant {
                namespace: None,
                role: Role::Admin,
            }],
            key: None,
            bootstrap: false,
        }
    }

    /// Whoever has the bootstrap key.
    pub(crate) fn of_bootstrap_key() -> Self {
        Self {
            bootstrap: true,
            ..Self::whole_service("bootstrap key")
        }
    }

    /// The role that counts in a namespace: the highest of those that are granted there.
    pub fn role_in(&self, namespace: &Namespace) -> Option<Role> {
        let counts = |grant: &&Grant| grant.namespace.as_ref().is_none_or(|granted| granted == namespace);
        self.grants.iter().filter(counts).map(|grant| grant.role).max()
    }

    /// The role beyond any one namespace.
    pub fn service_role(&self) -> Option<Role> {
        let whole = self.grants.iter().filter(|grant| grant.namespace.is_none());
        whole.map(|grant| grant.role).max()
    }

    /// The namespace that a request is about which names none: the default one where that is allowed, else the first
    /// that is.
    pub fn home(&self) -> Option<Namespace> {
        let default = Namespace::default();
        match self.role_in(&default) {
            Some(_) => Some(default),
            None => self.grants.iter().find_map(|grant| grant.namespace.clone()),
        }
    }

    /// Who they are in a namespace; `None` when they have nothing to do there.
    pub fn identity_in(&self, namespace: Namespace) -> Option<Identity> {
        Some(Identity {
            principal: self.name.clone(),
            role: self.role_in(&namespace)?,
            whole_service: self.service_role() == Some(Role::Admin),
            namespace,
        })
    }
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
    /// Whether they are an admin of the whole service, and may look at and change what belongs to no namespace, or to
    /// all: namespaces, quotas, workers.
    pub whole_service: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_ordered_by_what_they_may_do() {
        assert!(Role::Viewer < Role::Submitter && Role::Submitter < Role::Operator && Role::Operator < Role::Admin);
        for role in [Role::Viewer, Role::Submitter, Role::Operator, Role::Admin] {
            assert_eq!(role.to_string().parse(), Ok(role));
            assert_eq!(serde_json::to_value(role).unwrap(), role.as_str());
        }
        assert!("root".parse::<Role>().is_err());
    }

    #[test]
    fn the_highest_grant_of_a_namespace_counts_there_and_nowhere_else() {
        let namespace = |name: &str| name.parse::<Namespace>().unwrap();
        let grant = |name: Option<&str>, role| Grant {
            namespace: name.map(namespace),
            role,
        };
        let mut principal = Principal {
            name: "ann".to_owned(),
            grants: vec![
                grant(Some("a"), Role::Viewer),
                grant(Some("a"), Role::Operator),
                grant(Some("b"), Role::Viewer),
            ],
            key: None,
            bootstrap: false,
        };
        assert_eq!(principal.role_in(&namespace("a")), Some(Role::Operator));
        assert_eq!(principal.role_in(&namespace("b")), Some(Role::Viewer));
        assert_eq!(principal.identity_in(namespace("c")), None);
        assert_eq!(
            (principal.home(), principal.service_role()),
            (Some(namespace("a")), None)
        );
        principal.grants.push(grant(None, Role::Viewer));
        let elsewhere = principal.identity_in(namespace("c")).unwrap();
        assert_eq!((elsewhere.role, elsewhere.whole_service), (Role::Viewer, false));
        let at_home = principal.identity_in(namespace("a")).unwrap();
        assert!(!at_home.whole_service, "a grant in one namespace counts in no other");
        assert_eq!(principal.role_in(&namespace("a")), Some(Role::Operator));
        assert_eq!(principal.home(), Some(Namespace::default()));
    }
}
