//! Who asks.

use serde::{Deserialize, Serialize};

use weir_model::Digest;

use super::Time;
use crate::identity::Role;
use crate::store::SessionRow;

/// Who sends the requests, and what they may do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Session {
    /// Who they are.
    pub principal: String,
    /// How they showed it.
    pub authentication: Authentication,
    /// The namespace that the request is about.
    pub namespace: String,
    /// What they may do in it.
    pub role: Role,
    /// Whether they are an admin of the whole service.
    pub whole_service: bool,
    /// The namespaces that they may use, in order of name; the first thousand.
    pub namespaces: Vec<NamespaceAccess>,
    /// Of a session that began with a login: what each request that changes something must carry as `X-CSRF-Token`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub csrf_token: Option<String>,
    /// Of a session that began with a login: when it ends, however much it is used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Time>,
}

/// What somebody may do in a namespace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct NamespaceAccess {
    /// The namespace.
    pub name: String,
    /// What people call it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub display_name: String,
    /// What they may do.
    pub role: Role,
}

/// How somebody showed who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Authentication {
    /// They need not: the service asks nobody.
    Anonymous,
    /// By an API key or a token of an identity provider.
    Bearer,
    /// By the cookie of a session that began with a login.
    Session,
}

/// A session of a browser that has logged in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ListedSession {
    /// The session. Nobody can log in with it: it is the SHA-256 of the cookie.
    pub id: String,
    /// Who logged in.
    pub principal: String,
    /// The id of the API key that they logged in with, with which the session ends; absent for a token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Whether the request was sent in this session.
    pub current: bool,
    /// When it began.
    pub created_at: Time,
    /// When it was used last, to a minute or so.
    pub last_used_at: Time,
    /// When it ends, however much it is used.
    pub expires_at: Time,
}

impl ListedSession {
    /// A session, as it is listed in the session of a cookie with the digest `current`, or in none.
    pub fn new(row: SessionRow, current: Option<Digest>) -> Self {
        Self {
            id: row.hash.to_string(),
            principal: row.principal,
            key: row.key.map(|key| key.to_string()),
            current: current == Some(row.hash),
            created_at: row.created_at.into(),
            last_used_at: row.seen_at.into(),
            expires_at: row.expires_at.into(),
        }
    }
}

/// Sessions that are good, the youngest first.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SessionPage {
    /// The sessions.
    pub items: Vec<ListedSession>,
    /// Gives the next page; absent when this is the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// Sessions that were ended.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct EndedSessions {
    /// How many there were.
    pub ended: u64,
}

/// A login: an API key or a token, one of both.
#[derive(Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SessionRequest {
    /// An API key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key: Option<String>,
    /// A token of the identity provider that the service trusts (a JWT).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
}
