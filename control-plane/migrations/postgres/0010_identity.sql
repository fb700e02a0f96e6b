-- Who may do what, and what they did.

CREATE TABLE namespaces (
    name         text COLLATE "C" PRIMARY KEY,
    display_name text NOT NULL,
    created_at   bigint NOT NULL,
    created_by   text NOT NULL
);

-- It always exists. Those of runs that are there already become known.
INSERT INTO namespaces (name, display_name, created_at, created_by)
SELECT name, '', (extract(epoch FROM clock_timestamp()) * 1000)::bigint, 'weir'
FROM (SELECT 'default' AS name UNION SELECT namespace FROM runs) AS known;

-- Secrets are not here: `hash` is the SHA-256 of one.
CREATE TABLE api_keys (
    id           text COLLATE "C" PRIMARY KEY, -- sorts by time of creation
    namespace    text COLLATE "C" REFERENCES namespaces (name) ON DELETE CASCADE, -- null for the whole service
    role         text COLLATE "C" NOT NULL,
    name         text NOT NULL,
    prefix       text NOT NULL,                -- the first characters of the secret, for people
    hash         text COLLATE "C" NOT NULL UNIQUE,
    created_by   text NOT NULL,
    created_at   bigint NOT NULL,
    expires_at   bigint,
    last_used_at bigint,                       -- to a minute or so
    revoked_at   bigint
);

CREATE INDEX api_keys_by_namespace ON api_keys (namespace, id);

-- Browsers that have logged in; `hash` is the SHA-256 of a cookie.
CREATE TABLE sessions (
    hash       text COLLATE "C" PRIMARY KEY,
    principal  text NOT NULL,
    grants     text NOT NULL,                  -- JSON
    key_id     text COLLATE "C" REFERENCES api_keys (id) ON DELETE CASCADE, -- null for one that began with a token
    created_at bigint NOT NULL,
    expires_at bigint NOT NULL,                -- however much it is used
    seen_at    bigint NOT NULL                 -- to a minute or so
);

CREATE INDEX sessions_by_end ON sessions (expires_at);
CREATE INDEX sessions_by_principal ON sessions (principal, created_at);

CREATE TABLE audit_log (
    id         text COLLATE "C" PRIMARY KEY,   -- sorts by time
    at         bigint NOT NULL,
    principal  text NOT NULL,
    namespace  text COLLATE "C",               -- null when the request came to none
    action     text COLLATE "C" NOT NULL,
    target     text NOT NULL,
    outcome    text COLLATE "C" NOT NULL,
    status     bigint NOT NULL,
    request_id text NOT NULL,
    source     text NOT NULL,
    detail     text
);

CREATE INDEX audit_log_by_namespace ON audit_log (namespace, id);
