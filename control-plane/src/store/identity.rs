//! Who may do what, and what they did: namespaces, API keys, sessions of browsers, and the audit log.

use std::time::Duration;

use async_trait::async_trait;
use weir_model::{AuditId, Digest, KeyId, Namespace, Timestamp};

use super::Error;
use super::encoding::{from_word, to_i64, to_u32, to_u64, word};
use super::relational::{Columns, Relational, Statement, Value};
use super::revisions::{Subject, raising, raising_each};
use super::sessions::{self, SessionFilter, SessionPlace, SessionRow, session_row};
use crate::identity::Role;

type Result<T> = std::result::Result<T, Error>;
type Read<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Deleted namespaces that are listed at once.
const DELETED: i64 = 1_000;
/// Audit entries in one statement.
const AUDIT_CHUNK: usize = 100;
/// Entries of the audit log that one statement forgets.
const AUDIT_FORGOTTEN: i64 = 1_000;

/// A namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamespaceRow {
    /// What it is called in requests.
    pub name: Namespace,
    /// What people call it; may be empty.
    pub display_name: String,
    /// The places in S3 that its jobs may use; `None` for all that the service reaches.
    pub allowed_locations: Option<Vec<String>>,
    /// When it was made.
    pub created_at: Timestamp,
    /// By whom.
    pub created_by: String,
}

/// What came of the wish to make a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamespaceCreation {
    /// It is made.
    Created,
    /// There was one of this name.
    Exists,
    /// There was one a moment ago, and what is left of it is still to be deleted.
    JustDeleted,
}

/// What came of the wish to delete a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamespaceDeletion {
    /// It is gone, with its keys.
    Deleted,
    /// There was none.
    Absent,
    /// It has runs, pipelines or schedules, or is the default one.
    InUse,
}

/// An API key, without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRow {
    /// The key.
    pub id: KeyId,
    /// Where it is good; `None` is the whole service.
    pub namespace: Option<Namespace>,
    /// What may be done with it.
    pub role: Role,
    /// What it is for, for people.
    pub name: String,
    /// The first characters of the secret.
    pub prefix: String,
    /// Who made it.
    pub created_by: String,
    /// When.
    pub created_at: Timestamp,
    /// From when it is no longer good.
    pub expires_at: Option<Timestamp>,
    /// When it was used last, to a minute or so.
    pub last_used_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

impl KeyRow {
    /// Whether it is good at a time.
    pub fn is_live(&self, at: Timestamp) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|end| at < end)
    }
}

/// Which keys to list.
#[derive(Clone, Debug, Default)]
pub struct KeyFilter {
    /// Only those of this namespace; those of the whole service are none of it.
    pub namespace: Option<Namespace>,
}

/// Whether a request was let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AuditOutcome {
    /// It was; the status says what came of it.
    Allowed,
    /// It was refused for who sent it.
    Denied,
}

/// One thing that somebody did, or was not let do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRow {
    /// The entry; entries sort by time.
    pub id: AuditId,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub principal: String,
    /// Where; `None` when the request came to no namespace.
    pub namespace: Option<Namespace>,
    /// The operation, as the API's description calls it.
    pub action: String,
    /// What it was done to: the path of a resource.
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
    pub detail: Option<String>,
}

/// Which entries of the audit log to list.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    /// Only those of this namespace.
    pub namespace: Option<Namespace>,
    /// Only those of this principal.
    pub principal: Option<String>,
    /// Only those of this operation.
    pub action: Option<String>,
    /// Only those with this outcome.
    pub outcome: Option<AuditOutcome>,
    /// Only those from this time on.
    pub since: Option<Timestamp>,
}

/// Who may do what, and what they did. As with a [`Store`](super::Store), every method may be called again after an
/// error that is transient.
#[async_trait]
pub trait IdentityStore: Send + Sync + 'static {
    /// Makes a namespace.
    async fn namespace_create(&self, namespace: &NamespaceRow) -> Result<NamespaceCreation>;
    /// Changes what people call a namespace and what its jobs may use; says whether there is one.
    async fn namespace_update(&self, namespace: &NamespaceRow) -> Result<bool>;
    /// A namespace.
    async fn namespace_get(&self, name: &Namespace) -> Result<Option<NamespaceRow>>;
    /// Namespaces in order of name: at most `limit` that come after `after`.
    async fn namespace_list(&self, after: Option<&Namespace>, limit: u32) -> Result<Vec<NamespaceRow>>;
    /// Deletes a namespace that has no runs, pipelines and schedules, with its keys and its quota. Its name cannot be used
    /// again until it is forgotten.
    async fn namespace_delete(&self, name: &Namespace, at: Timestamp) -> Result<NamespaceDeletion>;
    /// Namespaces that were deleted before a time, and whose names cannot be used yet.
    async fn namespaces_deleted(&self, before: Timestamp) -> Result<Vec<Namespace>>;
    /// Lets the name of a deleted namespace be used again, unless something was still made there; says whether it can be.
    async fn namespace_forget(&self, name: &Namespace) -> Result<bool>;

    /// Keeps a key. Says whether its namespace exists.
    async fn key_create(&self, key: &KeyRow, hash: Digest) -> Result<bool>;
    /// The key whose secret has this digest.
    async fn key_find(&self, hash: Digest) -> Result<Option<KeyRow>>;
    /// A key.
    async fn key_get(&self, key: KeyId) -> Result<Option<KeyRow>>;
    /// Keys, the youngest first: at most `limit` that are older than `before`.
    async fn key_list(&self, filter: &KeyFilter, before: Option<KeyId>, limit: u32) -> Result<Vec<KeyRow>>;
    /// Ends a key for good; nothing changes when it is revoked already.
    async fn key_revoke(&self, key: KeyId, at: Timestamp) -> Result<()>;
    /// Notes that a key was used.
    async fn key_used(&self, key: KeyId, at: Timestamp) -> Result<()>;

    /// Keeps a session. Of those of one principal the oldest end when they are too many.
    async fn session_create(&self, session: &SessionRow) -> Result<()>;
    /// The session of a cookie, unless the key that it began with is no longer good at `at`.
    async fn session_find(&self, hash: Digest, at: Timestamp) -> Result<Option<SessionRow>>;
    /// Sessions, the youngest first: at most `limit` that come after a place.
    async fn session_list(
        &self,
        filter: &SessionFilter,
        after: Option<SessionPlace>,
        limit: u32,
    ) -> Result<Vec<SessionRow>>;
    /// Notes that a session was used.
    async fn session_seen(&self, hash: Digest, at: Timestamp) -> Result<()>;
    /// Ends a session.
    async fn session_delete(&self, hash: Digest) -> Result<()>;
    /// Ends all sessions of a principal; says how many.
    async fn sessions_delete(&self, principal: &str) -> Result<u64>;
    /// Forgets sessions that ended before a time, or were last used so long before it; says how many.
    async fn sessions_forget(&self, at: Timestamp, idle: Duration) -> Result<u64>;

    /// Adds to the audit log. Entries that are there already are not added twice.
    async fn audit_append(&self, entries: &[AuditRow]) -> Result<()>;
    /// Entries, the youngest first: at most `limit` that are older than `before`.
    async fn audit_list(&self, filter: &AuditFilter, before: Option<AuditId>, limit: u32) -> Result<Vec<AuditRow>>;
    /// Forgets entries from before a time; says how many.
    async fn audit_forget(&self, before: Timestamp) -> Result<u64>;
}

const NAMESPACES: &str = "SELECT name, display_name, allowed_locations, created_at, created_by FROM namespaces";
const KEYS: &str = "SELECT id, namespace, role, name, prefix, created_by, created_at, expires_at, last_used_at, \
    revoked_at FROM api_keys";

#[async_trait]
impl<D: Relational> IdentityStore for D {
    async fn namespace_create(&self, namespace: &NamespaceRow) -> Result<NamespaceCreation> {
        let name = namespace.name.as_str();
        let inserting = Statement::new(
            "INSERT INTO namespaces (name, display_name, allowed_locations, created_at, created_by) SELECT ",
        )
        .bind(name)
        .then(", ")
        .bind(namespace.display_name.as_str())
        .then(", ")
        .bind(locations(namespace))
        .then(", ")
        .bind(to_i64(namespace.created_at.0))
        .then(", ")
        .bind(namespace.created_by.as_str())
        .then(" WHERE NOT EXISTS (SELECT 1 FROM deleted_namespaces WHERE name = ")
        .bind(name)
        .then(") ON CONFLICT DO NOTHING");
        let statements = vec![inserting, raising(None, Subject::Namespaces)];
        let changed = self.execute("make a namespace", statements).await?;
        if changed.first().is_some_and(|made| *made > 0) {
            return Ok(NamespaceCreation::Created);
        }
        Ok(match self.namespace_get(&namespace.name).await? {
            Some(_) => NamespaceCreation::Exists,
            None => NamespaceCreation::JustDeleted,
        })
    }

    async fn namespace_update(&self, namespace: &NamespaceRow) -> Result<bool> {
        let updating = Statement::new("UPDATE namespaces SET display_name = ")
            .bind(namespace.display_name.clone())
            .then(", allowed_locations = ")
            .bind(locations(namespace))
            .then(" WHERE name = ")
            .bind(namespace.name.as_str());
        let statements = vec![updating, raising(None, Subject::Namespaces)];
        let changed = self.execute("change a namespace", statements).await?;
        Ok(changed.first().is_some_and(|changed| *changed > 0))
    }

    async fn namespace_get(&self, name: &Namespace) -> Result<Option<NamespaceRow>> {
        let getting = Statement::new(NAMESPACES).then(" WHERE name = ").bind(name.as_str());
        let found = self.select("read a namespace", getting, namespace_row).await?;
        Ok(found.into_iter().next())
    }

    async fn namespace_list(&self, after: Option<&Namespace>, limit: u32) -> Result<Vec<NamespaceRow>> {
        // No name is empty.
        let after = after.map_or("", Namespace::as_str);
        let listing = Statement::new(NAMESPACES).then(" WHERE name > ").bind(after);
        let listing = listing.then(" ORDER BY name LIMIT ").bind(i64::from(limit));
        self.select("list namespaces", listing, namespace_row).await
    }

    async fn namespace_delete(&self, name: &Namespace, at: Timestamp) -> Result<NamespaceDeletion> {
        let noting = Statement::new("INSERT INTO deleted_namespaces (name, deleted_at) SELECT name, ")
            .bind(to_i64(at.0))
            .then(" FROM namespaces WHERE name <> 'default' AND name = ")
            .bind(name.as_str())
            .then(" AND NOT EXISTS (SELECT 1 FROM runs WHERE namespace = ")
            .bind(name.as_str())
            .then(") AND NOT EXISTS (SELECT 1 FROM pipelines WHERE deleted_at IS NULL AND namespace = ")
            .bind(name.as_str())
            .then(") AND NOT EXISTS (SELECT 1 FROM schedules WHERE namespace = ")
            .bind(name.as_str())
            .then(") ON CONFLICT DO NOTHING");
        let mut statements = vec![
            noting,
            if_deleted(Statement::new("DELETE FROM namespaces WHERE name = "), name),
        ];
        statements.extend(remains(name));
        // Its keys go with it.
        statements.push(raising(None, Subject::Keys));
        statements.push(raising(None, Subject::Namespaces));
        let deleted = self.execute("delete a namespace", statements).await?;
        if deleted.get(1).is_some_and(|deleted| *deleted > 0) {
            return Ok(NamespaceDeletion::Deleted);
        }
        Ok(match self.namespace_get(name).await? {
            Some(_) => NamespaceDeletion::InUse,
            None => NamespaceDeletion::Absent,
        })
    }

    async fn namespaces_deleted(&self, before: Timestamp) -> Result<Vec<Namespace>> {
        let listing = Statement::new("SELECT name FROM deleted_namespaces WHERE deleted_at < ").bind(to_i64(before.0));
        let listing = listing.then(" ORDER BY name LIMIT ").bind(DELETED);
        let name = |row: &dyn Columns| Ok(row.text("name")?.parse()?);
        self.select("list deleted namespaces", listing, name).await
    }

    async fn namespace_forget(&self, name: &Namespace) -> Result<bool> {
        let forgetting = Statement::new("DELETE FROM deleted_namespaces WHERE name = ")
            .bind(name.as_str())
            .then(" AND NOT EXISTS (SELECT 1 FROM runs WHERE namespace = ")
            .bind(name.as_str())
            .then(")");
        let mut statements = Vec::from(remains(name));
        statements.push(forgetting);
        let changed = self.execute("forget a namespace", statements).await?;
        Ok(changed.last().is_some_and(|forgotten| *forgotten > 0))
    }

    async fn key_create(&self, key: &KeyRow, hash: Digest) -> Result<bool> {
        if let Some(namespace) = &key.namespace
            && self.namespace_get(namespace).await?.is_none()
        {
            return Ok(false);
        }
        let inserting = Statement::new(
            "INSERT INTO api_keys (id, namespace, role, name, prefix, hash, created_by, created_at, expires_at) VALUES ",
        )
        .bind_all([
            key.id.to_string().into(),
            key.namespace.as_ref().map(Namespace::to_string).into(),
            word(&key.role).into(),
            key.name.clone().into(),
            key.prefix.clone().into(),
            hash.to_string().into(),
            key.created_by.clone().into(),
            to_i64(key.created_at.0).into(),
            key.expires_at.map(|at| to_i64(at.0)).into(),
        ])
        .then(" ON CONFLICT (id) DO NOTHING");
        let mut statements = vec![inserting];
        if let Some(namespace) = &key.namespace {
            statements.push(raising(Some(namespace), Subject::Keys));
        }
        statements.push(raising(None, Subject::Keys));
        self.execute("keep a key", statements).await.map(|_| true)
    }

    async fn key_find(&self, hash: Digest) -> Result<Option<KeyRow>> {
        let finding = Statement::new(KEYS).then(" WHERE hash = ").bind(hash.to_string());
        let found = self.select("look a key up", finding, key_row).await?;
        Ok(found.into_iter().next())
    }

    async fn key_get(&self, key: KeyId) -> Result<Option<KeyRow>> {
        let getting = Statement::new(KEYS).then(" WHERE id = ").bind(key.to_string());
        let found = self.select("read a key", getting, key_row).await?;
        Ok(found.into_iter().next())
    }

    async fn key_list(&self, filter: &KeyFilter, before: Option<KeyId>, limit: u32) -> Result<Vec<KeyRow>> {
        let mut listing = Statement::new(KEYS).then(" WHERE 1 = 1");
        if let Some(namespace) = &filter.namespace {
            listing = listing.then(" AND namespace = ").bind(namespace.as_str());
        }
        if let Some(before) = before {
            listing = listing.then(" AND id < ").bind(before.to_string());
        }
        let listing = listing.then(" ORDER BY id DESC LIMIT ").bind(i64::from(limit));
        self.select("list keys", listing, key_row).await
    }

    async fn key_revoke(&self, key: KeyId, at: Timestamp) -> Result<()> {
        let revoking = Statement::new("UPDATE api_keys SET revoked_at = ")
            .bind(to_i64(at.0))
            .then(" WHERE revoked_at IS NULL AND id = ")
            .bind(key.to_string());
        let of_its_namespace = raising_each(Subject::Keys, |count| {
            let its = count.then("SELECT namespace FROM api_keys WHERE namespace IS NOT NULL AND id = ");
            its.bind(key.to_string())
        });
        let statements = vec![revoking, of_its_namespace, raising(None, Subject::Keys)];
        self.execute("revoke a key", statements).await.map(drop)
    }

    async fn key_used(&self, key: KeyId, at: Timestamp) -> Result<()> {
        let at = to_i64(at.0);
        let noting = Statement::new("UPDATE api_keys SET last_used_at = ").bind(at);
        let noting = noting.then(" WHERE id = ").bind(key.to_string());
        let noting = noting.then(" AND coalesce(last_used_at, 0) < ").bind(at);
        self.write("note the use of a key", noting).await.map(drop)
    }

    async fn session_create(&self, session: &SessionRow) -> Result<()> {
        self.execute("keep a session", sessions::keeping(session))
            .await
            .map(drop)
    }

    async fn session_find(&self, hash: Digest, at: Timestamp) -> Result<Option<SessionRow>> {
        let finding = sessions::finding(hash, at);
        let found = self.select("look a session up", finding, session_row).await?;
        Ok(found.into_iter().next())
    }

    async fn session_list(
        &self,
        filter: &SessionFilter,
        after: Option<SessionPlace>,
        limit: u32,
    ) -> Result<Vec<SessionRow>> {
        let listing = sessions::listing(filter, after, limit);
        self.select("list sessions", listing, session_row).await
    }

    async fn session_seen(&self, hash: Digest, at: Timestamp) -> Result<()> {
        let at = to_i64(at.0);
        let noting = Statement::new("UPDATE sessions SET seen_at = ").bind(at);
        let noting = noting.then(" WHERE hash = ").bind(hash.to_string());
        let noting = noting.then(" AND seen_at < ").bind(at);
        self.write("note the use of a session", noting).await.map(drop)
    }

    async fn session_delete(&self, hash: Digest) -> Result<()> {
        let deleting = Statement::new("DELETE FROM sessions WHERE hash = ").bind(hash.to_string());
        self.write("end a session", deleting).await.map(drop)
    }

    async fn sessions_delete(&self, principal: &str) -> Result<u64> {
        let deleting = Statement::new("DELETE FROM sessions WHERE principal = ").bind(principal);
        self.write("end sessions", deleting).await
    }

    async fn sessions_forget(&self, at: Timestamp, idle: Duration) -> Result<u64> {
        let forgetting = sessions::forgetting(at, idle);
        self.write("forget sessions", forgetting).await
    }

    async fn audit_append(&self, entries: &[AuditRow]) -> Result<()> {
        let statements = entries.chunks(AUDIT_CHUNK).map(audit_insert).collect();
        self.execute("write the audit log", statements).await.map(drop)
    }

    async fn audit_list(&self, filter: &AuditFilter, before: Option<AuditId>, limit: u32) -> Result<Vec<AuditRow>> {
        let mut listing = Statement::new(
            "SELECT id, at, principal, namespace, action, target, outcome, status, request_id, source, detail \
             FROM audit_log WHERE 1 = 1",
        );
        if let Some(namespace) = &filter.namespace {
            listing = listing.then(" AND namespace = ").bind(namespace.as_str());
        }
        if let Some(principal) = &filter.principal {
            listing = listing.then(" AND principal = ").bind(principal.as_str());
        }
        if let Some(action) = &filter.action {
            listing = listing.then(" AND action = ").bind(action.as_str());
        }
        if let Some(outcome) = &filter.outcome {
            listing = listing.then(" AND outcome = ").bind(word(outcome));
        }
        if let Some(since) = filter.since {
            // Ids begin with the time.
            listing = listing
                .then(" AND id >= ")
                .bind(AuditId::from_parts(since, 0).to_string());
        }
        if let Some(before) = before {
            listing = listing.then(" AND id < ").bind(before.to_string());
        }
        let listing = listing.then(" ORDER BY id DESC LIMIT ").bind(i64::from(limit));
        self.select("read the audit log", listing, audit_row).await
    }

    async fn audit_forget(&self, before: Timestamp) -> Result<u64> {
        // Ids begin with the time.
        let first = AuditId::from_parts(before, 0).to_string();
        let oldest = Statement::new("DELETE FROM audit_log WHERE id IN (SELECT id FROM audit_log WHERE id < ");
        let forgetting = oldest
            .bind(first)
            .then(" ORDER BY id LIMIT ")
            .bind(AUDIT_FORGOTTEN)
            .then(")");
        let mut forgotten = 0;
        loop {
            let piece = self.write("shorten the audit log", forgetting.clone()).await?;
            forgotten += piece;
            if piece < AUDIT_FORGOTTEN.unsigned_abs() {
                return Ok(forgotten);
            }
        }
    }
}

/// A statement about a name, which does nothing unless the namespace of this name is deleted.
fn if_deleted(statement: Statement, name: &Namespace) -> Statement {
    let of_name = statement.bind(name.as_str());
    let of_name = of_name.then(" AND EXISTS (SELECT 1 FROM deleted_namespaces WHERE name = ");
    of_name.bind(name.as_str()).then(")")
}

/// Delete what a deleted namespace leaves in the database: nothing of it is for whoever makes one of its name later.
fn remains(name: &Namespace) -> [Statement; 7] {
    [
        "DELETE FROM namespace_quotas WHERE namespace = ",
        "DELETE FROM submission_buckets WHERE namespace = ",
        // Of deleted ones the rows stay, with their last version.
        "DELETE FROM pipelines WHERE namespace = ",
        "DELETE FROM pipeline_versions WHERE namespace = ",
        "DELETE FROM schedules WHERE namespace = ",
        "DELETE FROM revisions WHERE namespace = ",
        "DELETE FROM namespace_modules WHERE namespace = ",
    ]
    .map(|deleting| if_deleted(Statement::new(deleting), name))
}

/// One statement by itself.
trait Write {
    async fn write(&self, action: &'static str, statement: Statement) -> Result<u64>;
}

impl<D: Relational> Write for D {
    async fn write(&self, action: &'static str, statement: Statement) -> Result<u64> {
        let changed = self.execute(action, vec![statement]).await?;
        Ok(changed.into_iter().sum())
    }
}

fn audit_insert(entries: &[AuditRow]) -> Statement {
    let mut inserting = Statement::new(
        "INSERT INTO audit_log (id, at, principal, namespace, action, target, outcome, status, request_id, source, \
         detail) VALUES ",
    );
    let mut separator = "";
    for entry in entries {
        let values: [Value; 11] = [
            entry.id.to_string().into(),
            to_i64(entry.at.0).into(),
            entry.principal.clone().into(),
            entry.namespace.as_ref().map(Namespace::to_string).into(),
            entry.action.clone().into(),
            entry.target.clone().into(),
            word(&entry.outcome).into(),
            i64::from(entry.status).into(),
            entry.request_id.clone().into(),
            entry.source.clone().into(),
            entry.detail.clone().into(),
        ];
        inserting = inserting.then(separator).bind_all(values);
        separator = ", ";
    }
    inserting.then(" ON CONFLICT DO NOTHING")
}

fn at(number: i64) -> Timestamp {
    Timestamp(to_u64(number))
}

fn locations(namespace: &NamespaceRow) -> Option<String> {
    let locations = namespace.allowed_locations.as_ref()?;
    Some(serde_json::Value::from(locations.clone()).to_string())
}

fn namespace_row(row: &dyn Columns) -> Read<NamespaceRow> {
    let locations = row.optional_text("allowed_locations")?;
    Ok(NamespaceRow {
        name: row.text("name")?.parse()?,
        display_name: row.text("display_name")?,
        allowed_locations: locations.map(|list| serde_json::from_str(&list)).transpose()?,
        created_at: at(row.number("created_at")?),
        created_by: row.text("created_by")?,
    })
}

fn key_row(row: &dyn Columns) -> Read<KeyRow> {
    Ok(KeyRow {
        id: row.text("id")?.parse()?,
        namespace: row.optional_text("namespace")?.map(|name| name.parse()).transpose()?,
        role: from_word(Some(row.text("role")?))?.ok_or("it has no role")?,
        name: row.text("name")?,
        prefix: row.text("prefix")?,
        created_by: row.text("created_by")?,
        created_at: at(row.number("created_at")?),
        expires_at: row.optional_number("expires_at")?.map(at),
        last_used_at: row.optional_number("last_used_at")?.map(at),
        revoked_at: row.optional_number("revoked_at")?.map(at),
    })
}

fn audit_row(row: &dyn Columns) -> Read<AuditRow> {
    Ok(AuditRow {
        id: row.text("id")?.parse()?,
        at: at(row.number("at")?),
        principal: row.text("principal")?,
        namespace: row.optional_text("namespace")?.map(|name| name.parse()).transpose()?,
        action: row.text("action")?,
        target: row.text("target")?,
        outcome: from_word(Some(row.text("outcome")?))?.ok_or("it has no outcome")?,
        status: u16::try_from(to_u32(row.number("status")?)).unwrap_or(0),
        request_id: row.text("request_id")?,
        source: row.text("source")?,
        detail: row.optional_text("detail")?,
    })
}
