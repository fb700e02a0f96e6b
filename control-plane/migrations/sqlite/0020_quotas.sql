-- What namespaces may use that do not just have the defaults of the service. No limit where there is no number.
CREATE TABLE namespace_quotas (
    namespace              TEXT PRIMARY KEY NOT NULL,
    weight                 INTEGER NOT NULL,
    min_share              INTEGER NOT NULL, -- slots
    max_runs               INTEGER,
    max_queued_runs        INTEGER,
    max_tasks              INTEGER,
    max_memory_bytes       INTEGER,
    max_storage_bytes      INTEGER,
    submissions_per_minute INTEGER,
    submission_burst       INTEGER NOT NULL,
    updated_at             INTEGER NOT NULL
) WITHOUT ROWID;

-- The token buckets of submissions: a bucket is full again at this time, in microseconds since the Unix epoch.
CREATE TABLE submission_buckets (
    namespace TEXT PRIMARY KEY NOT NULL,
    full_at   INTEGER NOT NULL
) WITHOUT ROWID;

-- Bytes of the results that a run has left in storage.
ALTER TABLE runs ADD COLUMN kept_bytes INTEGER NOT NULL DEFAULT 0;
CREATE INDEX runs_by_kept_bytes ON runs (namespace, kept_bytes) WHERE kept_bytes > 0;
