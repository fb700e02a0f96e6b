-- What namespaces may use that do not just have the defaults of the service. No limit where there is no number.
CREATE TABLE namespace_quotas (
    namespace              text COLLATE "C" PRIMARY KEY,
    weight                 bigint NOT NULL,
    min_share              bigint NOT NULL, -- slots
    max_runs               bigint,
    max_queued_runs        bigint,
    max_tasks              bigint,
    max_memory_bytes       bigint,
    max_storage_bytes      bigint,
    submissions_per_minute bigint,
    submission_burst       bigint NOT NULL,
    updated_at             bigint NOT NULL
);

-- The token buckets of submissions: a bucket is full again at this time, in microseconds by the clock of the database.
CREATE TABLE submission_buckets (
    namespace text COLLATE "C" PRIMARY KEY,
    full_at   bigint NOT NULL
) WITH (fillfactor = 50);

-- Bytes of the results that a run has left in storage.
ALTER TABLE runs ADD COLUMN kept_bytes bigint NOT NULL DEFAULT 0;
CREATE INDEX runs_by_kept_bytes ON runs (namespace, kept_bytes) WHERE kept_bytes > 0;
