-- Who may do what, and what they did.

CREATE TABLE namespaces (
    name         TEXT PRIMARY KEY NOT NULL,
    display_name TEXT NOT NULL,
    created_at   INTEGER NOT NULL,
    created_by   TEXT NOT NULL
) WITHOUT ROWID;

-- It always exists. Those of runs that are there already become known.
INSERT INTO namespaces (name, display_name, created_at, created_by)
SELECT name, '', CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER), 'weir'
FROM (SELECT 'default' AS name UNION SELECT namespace FROM runs);

-- Secrets are not here: `hash` is the SHA-256 of one.
CREATE TABLE api_keys (
    id           TEXT PRIMARY KEY NOT NULL, -- sorts by time of creation
    namespace    TEXT REFERENCES namespaces (name) ON DELETE CASCADE, -- null for the whole service
    role         TEXT NOT NULL,
    name         TEXT NOT NULL,
    prefix       TEXT NOT NULL,             -- the first characters of the secret, for people
    hash         TEXT NOT NULL UNIQUE,
    created_by   TEXT NOT NULL,
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER,
    last_used_at INTEGER,                   -- to a minute or so
    revoked_at   INTEGER
) WITHOUT ROWID;

CREATE INDEX api_keys_by_namespace ON api_keys (namespace, id);

-- Browsers that have logged in; `hash` is the SHA-256 of a cookie.
CREATE TABLE sessions (
    hash       TEXT PRIMARY KEY NOT NULL,
    principal  TEXT NOT NULL,
    grants     TEXT NOT NULL,               -- JSON
    key_id     TEXT REFERENCES api_keys (id) ON DELETE CASCADE, -- null for one that began with a token
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,            -- however much it is used
    seen_at    INTEGER NOT NULL             -- to a minute or so
) WITHOUT ROWID;

CREATE INDEX sessions_by_end ON sessions (expires_at);
CREATE INDEX sessions_by_principal ON sessions (principal, created_at);

CREATE TABLE audit_log (
    id         TEXT PRIMARY KEY NOT NULL,   -- sorts by time
    at         INTEGER NOT NULL,
    principal  TEXT NOT NULL,
    namespace  TEXT,                        -- null when the request came to none
    action     TEXT NOT NULL,
    target     TEXT NOT NULL,
    outcome    TEXT NOT NULL,
    status     INTEGER NOT NULL,
    request_id TEXT NOT NULL,
    source     TEXT NOT NULL,
    detail     TEXT
) WITHOUT ROWID;

CREATE INDEX audit_log_by_namespace ON audit_log (namespace, id);
