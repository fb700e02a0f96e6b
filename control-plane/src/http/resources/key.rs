//! API keys.

use serde::{Deserialize, Serialize};
use weir_model::Timestamp;

use super::Time;
use crate::identity::Role;
use crate::store::KeyRow;

/// An API key, without its secret.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Key {
    /// The key; not the secret.
    pub id: String,
    /// What it is for.
    pub name: String,
    /// Where it is good; absent for one of the whole service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// What may be done with it.
    pub role: Role,
    /// The first characters of the secret.
    pub prefix: String,
    /// Whether it is good.
    pub state: KeyState,
    /// When it was made.
    pub created_at: Time,
    /// By whom.
    pub created_by: String,
    /// From when it is no longer good; absent when it always is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Time>,
    /// When it was used last, to a minute or so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<Time>,
    /// When it was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<Time>,
}

/// Whether a key is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeyState {
    /// It is.
    Active,
    /// Its time is over.
    Expired,
    /// Somebody ended it.
    Revoked,
}

/// A key that was just made. The secret is shown here and never again.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CreatedKey {
    /// The key.
    pub key: Key,
    /// What to send as `Authorization: Bearer SECRET`.
    pub secret: String,
}

/// Keys, the youngest first.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct KeyPage {
    /// The keys.
    pub items: Vec<Key>,
    /// Gives the next page; absent when this is the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// A key that is to be.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyRequest {
    /// What it is for.
    #[schema(min_length = 1, max_length = 100)]
    pub name: String,
    /// What may be done with it.
    pub role: Role,
    /// Whether it is good in every namespace, and for what belongs to none; only admins of the whole service can make
    /// such keys. Otherwise it is one of the namespace that the request is about.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub whole_service: bool,
    /// From when it is no longer good; without it, it is until it is revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Time>,
}

impl Key {
    /// A key as it is at a time.
    pub fn at(row: KeyRow, now: Timestamp) -> Self {
        let state = match row.revoked_at {
            Some(_) => KeyState::Revoked,
            None if row.is_live(now) => KeyState::Active,
            None => KeyState::Expired,
        };
        Self {
            id: row.id.to_string(),
            name: row.name,
            namespace: row.namespace.map(String::from),
            role: row.role,
            prefix: row.prefix,
            state,
            created_at: row.created_at.into(),
            created_by: row.created_by,
            expires_at: row.expires_at.map(Time::from),
            last_used_at: row.last_used_at.map(Time::from),
            revoked_at: row.revoked_at.map(Time::from),
        }
    }
}
