//! Sessions of browsers, and the statements over them.

use std::time::Duration;

use weir_model::{Digest, KeyId, Timestamp};

use super::encoding::{to_i64, to_u64};
use super::relational::{Columns, Statement};
use crate::identity::Grant;

type Read<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Sessions that one principal has at most; the oldest ones end.
const MOST: i64 = 100;

/// A browser that has logged in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRow {
    /// Of the cookie.
    pub hash: Digest,
    /// Who logged in.
    pub principal: String,
    /// What they may do.
    pub grants: Vec<Grant>,
    /// The key that they logged in with; the session ends with it.
    pub key: Option<KeyId>,
    /// For one that began with the bootstrap key, what ties it to that.
    pub bootstrap: Option<Digest>,
    /// When they did.
    pub created_at: Timestamp,
    /// When it ends, however much it is used.
    pub expires_at: Timestamp,
    /// When it was used last, to a minute or so.
    pub seen_at: Timestamp,
}

/// Which sessions to list: those that are good at a time.
#[derive(Clone, Debug)]
pub struct SessionFilter {
    /// Only those of this principal.
    pub principal: Option<String>,
    /// The time.
    pub at: Timestamp,
    /// How long before it they may have been used last.
    pub idle: Duration,
}

/// The place of a session in a list: when it began, and its hash.
pub type SessionPlace = (Timestamp, Digest);

const SESSIONS: &str = "SELECT s.hash, s.principal, s.grants, s.key_id, s.bootstrap, s.created_at, s.expires_at, \
    s.seen_at FROM sessions AS s LEFT JOIN api_keys AS k ON k.id = s.key_id";

/// Keep a session, and end the oldest of its principal when they are too many.
pub(super) fn keeping(session: &SessionRow) -> Vec<Statement> {
    let principal = session.principal.as_str();
    let inserting = Statement::new(
        "INSERT INTO sessions (hash, principal, grants, key_id, bootstrap, created_at, expires_at, seen_at) VALUES ",
    )
    .bind_all([
        session.hash.to_string().into(),
        principal.into(),
        serde_json::to_string(&session.grants).unwrap_or_default().into(),
        session.key.map(|key| key.to_string()).into(),
        session.bootstrap.map(|digest| digest.to_string()).into(),
        to_i64(session.created_at.0).into(),
        to_i64(session.expires_at.0).into(),
        to_i64(session.seen_at.0).into(),
    ])
    .then(" ON CONFLICT DO NOTHING");
    let ending = Statement::new("DELETE FROM sessions WHERE principal = ")
        .bind(principal)
        .then(" AND hash NOT IN (SELECT hash FROM sessions WHERE principal = ")
        .bind(principal)
        .then(" ORDER BY created_at DESC, hash LIMIT ")
        .bind(MOST)
        .then(")");
    vec![inserting, ending]
}

pub(super) fn finding(hash: Digest, at: Timestamp) -> Statement {
    let finding = Statement::new(SESSIONS).then(" WHERE s.hash = ").bind(hash.to_string());
    of_good_keys(finding, at)
}

pub(super) fn listing(filter: &SessionFilter, after: Option<SessionPlace>, limit: u32) -> Statement {
    let mut listing = Statement::new(SESSIONS).then(" WHERE s.expires_at > ");
    listing = listing.bind(to_i64(filter.at.0)).then(" AND s.seen_at > ");
    listing = of_good_keys(listing.bind(idle_since(filter.at, filter.idle)), filter.at);
    if let Some(principal) = &filter.principal {
        listing = listing.then(" AND s.principal = ").bind(principal.as_str());
    }
    if let Some((created_at, hash)) = after {
        listing = listing.then(" AND (s.created_at, s.hash) < ");
        listing = listing.bind_all([to_i64(created_at.0).into(), hash.to_string().into()]);
    }
    let listing = listing.then(" ORDER BY s.created_at DESC, s.hash DESC LIMIT ");
    listing.bind(i64::from(limit))
}

pub(super) fn forgetting(at: Timestamp, idle: Duration) -> Statement {
    let forgetting = Statement::new("DELETE FROM sessions WHERE expires_at <= ").bind(to_i64(at.0));
    forgetting.then(" OR seen_at <= ").bind(idle_since(at, idle))
}

/// Those alone whose keys are good at a time, or that began with none.
fn of_good_keys(statement: Statement, at: Timestamp) -> Statement {
    let good = statement.then(" AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > ");
    good.bind(to_i64(at.0)).then(")")
}

fn idle_since(at: Timestamp, idle: Duration) -> i64 {
    to_i64(at.0.saturating_sub(u64::try_from(idle.as_millis()).unwrap_or(u64::MAX)))
}

pub(super) fn session_row(row: &dyn Columns) -> Read<SessionRow> {
    let at = |number: i64| Timestamp(to_u64(number));
    let bootstrap = row.optional_text("bootstrap")?;
    Ok(SessionRow {
        hash: row.text("hash")?.parse()?,
        principal: row.text("principal")?,
        grants: serde_json::from_str(&row.text("grants")?)?,
        key: row.optional_text("key_id")?.map(|key| key.parse()).transpose()?,
        bootstrap: bootstrap.map(|digest| digest.parse()).transpose()?,
        created_at: at(row.number("created_at")?),
        expires_at: at(row.number("expires_at")?),
        seen_at: at(row.number("seen_at")?),
    })
}
