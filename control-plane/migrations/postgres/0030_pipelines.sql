-- Definitions that runs are made of, when they are made, and what lists of runs show of that.

-- Of one that is deleted the row stays, without its versions: a number is never given to another version.
CREATE TABLE pipelines (
    namespace   text COLLATE "C" NOT NULL,
    name        text COLLATE "C" NOT NULL,
    description text,
    labels      text NOT NULL,  -- JSON
    version     bigint NOT NULL, -- the latest, from one
    generation  bigint NOT NULL, -- grows with every change
    created_at  bigint NOT NULL,
    created_by  text NOT NULL,
    updated_at  bigint NOT NULL,
    updated_by  text NOT NULL,
    deleted_at  bigint,
    PRIMARY KEY (namespace, name)
);

CREATE TABLE pipeline_versions (
    namespace  text COLLATE "C" NOT NULL,
    name       text COLLATE "C" NOT NULL,
    version    bigint NOT NULL,
    template   text NOT NULL,             -- JSON
    digest     text COLLATE "C" NOT NULL, -- SHA-256 of the template
    note       text,
    created_at bigint NOT NULL,
    created_by text NOT NULL,
    PRIMARY KEY (namespace, name, version)
);

CREATE TABLE schedules (
    namespace  text COLLATE "C" NOT NULL,
    name       text COLLATE "C" NOT NULL,
    pipeline   text COLLATE "C" NOT NULL,
    definition text NOT NULL,   -- JSON
    status     text NOT NULL,   -- JSON
    next_at    bigint,          -- null while it is suspended, and when no time is left
    generation bigint NOT NULL, -- grows with every change by people
    created_at bigint NOT NULL,
    created_by text NOT NULL,
    updated_at bigint NOT NULL,
    updated_by text NOT NULL,
    PRIMARY KEY (namespace, name)
);

CREATE INDEX schedules_by_pipeline ON schedules (namespace, pipeline, name);
CREATE INDEX schedules_due ON schedules (next_at) WHERE next_at IS NOT NULL;

ALTER TABLE runs
    ADD COLUMN pipeline           text COLLATE "C",
    ADD COLUMN pipeline_version   bigint,
    ADD COLUMN schedule           text COLLATE "C",
    ADD COLUMN scheduled_at       bigint,
    ADD COLUMN pause_requested_by text,
    ADD COLUMN restart_at         bigint, -- when a run that is over is to be tried again, until it was
    ADD COLUMN expires_at         bigint; -- when a run that is over is to be forgotten

CREATE INDEX runs_by_pipeline ON runs (namespace, pipeline, id) WHERE pipeline IS NOT NULL;
CREATE INDEX runs_by_schedule ON runs (namespace, schedule, id) WHERE schedule IS NOT NULL;
CREATE INDEX runs_to_restart ON runs (restart_at) WHERE restart_at IS NOT NULL;
CREATE INDEX runs_to_expire ON runs (expires_at) WHERE expires_at IS NOT NULL;
