-- Definitions that runs are made of, when they are made, and what lists of runs show of that.

-- Of one that is deleted the row stays, without its versions: a number is never given to another version.
CREATE TABLE pipelines (
    namespace   TEXT NOT NULL,
    name        TEXT NOT NULL,
    description TEXT,
    labels      TEXT NOT NULL,    -- JSON
    version     INTEGER NOT NULL, -- the latest, from one
    generation  INTEGER NOT NULL, -- grows with every change
    created_at  INTEGER NOT NULL,
    created_by  TEXT NOT NULL,
    updated_at  INTEGER NOT NULL,
    updated_by  TEXT NOT NULL,
    deleted_at  INTEGER,
    PRIMARY KEY (namespace, name)
) WITHOUT ROWID;

CREATE TABLE pipeline_versions (
    namespace  TEXT NOT NULL,
    name       TEXT NOT NULL,
    version    INTEGER NOT NULL,
    template   TEXT NOT NULL, -- JSON
    digest     TEXT NOT NULL, -- SHA-256 of the template
    note       TEXT,
    created_at INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    PRIMARY KEY (namespace, name, version)
) WITHOUT ROWID;

CREATE TABLE schedules (
    namespace  TEXT NOT NULL,
    name       TEXT NOT NULL,
    pipeline   TEXT NOT NULL,
    definition TEXT NOT NULL,    -- JSON
    status     TEXT NOT NULL,    -- JSON
    next_at    INTEGER,          -- null while it is suspended, and when no time is left
    generation INTEGER NOT NULL, -- grows with every change by people
    created_at INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    updated_at INTEGER NOT NULL,
    updated_by TEXT NOT NULL,
    PRIMARY KEY (namespace, name)
) WITHOUT ROWID;

CREATE INDEX schedules_by_pipeline ON schedules (namespace, pipeline, name);
CREATE INDEX schedules_due ON schedules (next_at) WHERE next_at IS NOT NULL;

ALTER TABLE runs ADD COLUMN pipeline TEXT;
ALTER TABLE runs ADD COLUMN pipeline_version INTEGER;
ALTER TABLE runs ADD COLUMN schedule TEXT;
ALTER TABLE runs ADD COLUMN scheduled_at INTEGER;
ALTER TABLE runs ADD COLUMN pause_requested_by TEXT;
ALTER TABLE runs ADD COLUMN restart_at INTEGER; -- when a run that is over is to be tried again, until it was
ALTER TABLE runs ADD COLUMN expires_at INTEGER; -- when a run that is over is to be forgotten

CREATE INDEX runs_by_pipeline ON runs (namespace, pipeline, id) WHERE pipeline IS NOT NULL;
CREATE INDEX runs_by_schedule ON runs (namespace, schedule, id) WHERE schedule IS NOT NULL;
CREATE INDEX runs_to_restart ON runs (restart_at) WHERE restart_at IS NOT NULL;
CREATE INDEX runs_to_expire ON runs (expires_at) WHERE expires_at IS NOT NULL;
