-- One row per run: what lists and leases need. Everything else about a run follows from its events.
CREATE TABLE runs (
    id                  TEXT PRIMARY KEY NOT NULL, -- sorts by time of submission
    namespace           TEXT NOT NULL,
    name                TEXT NOT NULL,
    phase               TEXT NOT NULL,
    outcome             TEXT,                      -- set together with the last event
    reason              TEXT,                      -- JSON
    created_at          INTEGER NOT NULL,          -- all times: milliseconds since the Unix epoch
    finished_at         INTEGER,
    stages              INTEGER NOT NULL DEFAULT 0,
    stages_done         INTEGER NOT NULL DEFAULT 0,
    tasks               INTEGER NOT NULL DEFAULT 0,
    tasks_done          INTEGER NOT NULL DEFAULT 0,
    last_seq            INTEGER NOT NULL,
    cancel_requested_by TEXT,
    cleaned             INTEGER NOT NULL DEFAULT 0, -- whether the objects of a finished run were deleted
    lease_epoch         INTEGER NOT NULL DEFAULT 0, -- only grows
    lease_owner         TEXT,                       -- for people
    lease_token         TEXT,                       -- of the owner's process
    lease_until         INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;

CREATE INDEX runs_by_name ON runs (name, id);
CREATE INDEX runs_open ON runs (id) WHERE cleaned = 0;

CREATE TABLE run_events (
    run_id  TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    seq     INTEGER NOT NULL, -- from one, without gaps
    at      INTEGER NOT NULL,
    payload TEXT NOT NULL,    -- JSON
    PRIMARY KEY (run_id, seq)
) WITHOUT ROWID;
