-- What several processes over one store need.

ALTER TABLE runs ADD COLUMN tasks_waiting INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN tasks_running INTEGER NOT NULL DEFAULT 0;
-- The messages of all tasks that were dispatched up to this event have been sent.
ALTER TABLE runs ADD COLUMN dispatched_seq INTEGER NOT NULL DEFAULT 0;

-- Requests with an idempotency key.
CREATE TABLE requests (
    namespace  TEXT NOT NULL,
    key        TEXT NOT NULL,
    digest     TEXT NOT NULL, -- SHA-256 of the request
    run_id     TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (namespace, key)
) WITHOUT ROWID;

CREATE INDEX requests_by_age ON requests (created_at);

-- Reports that came to a process that does not own their runs.
CREATE TABLE reports (
    id     INTEGER PRIMARY KEY AUTOINCREMENT,
    run_id TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    body   TEXT NOT NULL -- as it came
);

CREATE INDEX reports_by_run ON reports (run_id);

CREATE TABLE workers (
    id         TEXT PRIMARY KEY NOT NULL,
    seen_at    INTEGER NOT NULL,
    started_at INTEGER NOT NULL,
    slots      INTEGER NOT NULL,
    running    INTEGER NOT NULL,
    draining   INTEGER NOT NULL,
    version    TEXT NOT NULL,
    host       TEXT NOT NULL
) WITHOUT ROWID;

-- Who does what only one may do at a time.
CREATE TABLE leaders (
    name  TEXT PRIMARY KEY NOT NULL,
    owner TEXT NOT NULL,
    until INTEGER NOT NULL
) WITHOUT ROWID;
