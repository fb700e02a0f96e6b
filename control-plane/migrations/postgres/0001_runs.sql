-- All times are milliseconds since the Unix epoch. Ids and words compare by their bytes.

-- One row per run: what it is, and what lists show. Columns that change while it runs are in no index, so that an
-- update touches the table alone (HOT).
CREATE TABLE runs (
    id                  text COLLATE "C" PRIMARY KEY, -- sorts by time of submission
    namespace           text COLLATE "C" NOT NULL,
    name                text COLLATE "C" NOT NULL,
    phase               text COLLATE "C" NOT NULL,
    outcome             text COLLATE "C",             -- set together with the last event
    reason              text,                         -- JSON
    created_at          bigint NOT NULL,
    finished_at         bigint,
    stages              bigint NOT NULL DEFAULT 0,
    stages_done         bigint NOT NULL DEFAULT 0,
    tasks               bigint NOT NULL DEFAULT 0,
    tasks_done          bigint NOT NULL DEFAULT 0,
    tasks_waiting       bigint NOT NULL DEFAULT 0,
    tasks_running       bigint NOT NULL DEFAULT 0,
    cancel_requested_by text,
    -- From when the objects of a finished run are deleted; until then there is a row in run_leases that says more.
    cleaned             boolean NOT NULL DEFAULT false,
    last_seq            bigint NOT NULL DEFAULT 0,
    dispatched_seq      bigint NOT NULL DEFAULT 0,
    lease_epoch         bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 70);

CREATE INDEX runs_by_namespace ON runs (namespace, id);
CREATE INDEX runs_by_name ON runs (name, id);
CREATE INDEX runs_open ON runs (id) WHERE NOT cleaned;

-- The hot rows: one per run with something left to do, updated by every append. They are narrow, a page has room for
-- new versions of them, and there are as many as there are open runs, so that sweepers read them all.
CREATE TABLE run_leases (
    run_id         text COLLATE "C" PRIMARY KEY REFERENCES runs (id) ON DELETE CASCADE,
    epoch          bigint NOT NULL, -- only grows
    owner          text,            -- null when it was given up
    until          bigint NOT NULL, -- by the clock of the database
    last_seq       bigint NOT NULL,
    dispatched_seq bigint NOT NULL  -- the messages of all tasks that were dispatched up to this event have been sent
) WITH (
    fillfactor = 40,
    autovacuum_vacuum_scale_factor = 0.05,
    autovacuum_vacuum_threshold = 200,
    autovacuum_vacuum_cost_delay = 0
);

-- The log. No foreign key: an event is inserted by the statement that updates its run's row, and a check of its own
-- for every event would lock rows that are hot.
CREATE TABLE run_events (
    run_id  text COLLATE "C" NOT NULL,
    seq     bigint NOT NULL, -- from one, without gaps
    at      bigint NOT NULL,
    payload text NOT NULL,   -- JSON
    PRIMARY KEY (run_id, seq)
);

-- Requests with an idempotency key.
CREATE TABLE requests (
    namespace  text COLLATE "C" NOT NULL,
    key        text COLLATE "C" NOT NULL,
    digest     text COLLATE "C" NOT NULL, -- SHA-256 of the request
    run_id     text COLLATE "C" NOT NULL,
    created_at bigint NOT NULL,
    PRIMARY KEY (namespace, key)
);

CREATE INDEX requests_by_age ON requests (created_at);
CREATE INDEX requests_by_run ON requests (run_id);

-- Reports that came to a process that does not own their runs.
CREATE TABLE reports (
    id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id text COLLATE "C" NOT NULL,
    body   text NOT NULL -- as it came
) WITH (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 1000);

CREATE INDEX reports_by_run ON reports (run_id, id);

CREATE TABLE workers (
    id         text COLLATE "C" PRIMARY KEY,
    seen_at    bigint NOT NULL,
    started_at bigint NOT NULL,
    slots      bigint NOT NULL,
    running    bigint NOT NULL,
    draining   boolean NOT NULL,
    version    text NOT NULL,
    host       text NOT NULL
) WITH (fillfactor = 50);

-- Who does what only one may do at a time.
CREATE TABLE leaders (
    name  text COLLATE "C" PRIMARY KEY,
    owner text NOT NULL,
    until bigint NOT NULL -- by the clock of the database
) WITH (fillfactor = 50);
