-- What runs are found by, and what the leader of scaling last said.

ALTER TABLE runs ADD COLUMN created_by TEXT;
ALTER TABLE runs ADD COLUMN labels TEXT NOT NULL DEFAULT '{}'; -- JSON
ALTER TABLE runs ADD COLUMN words TEXT NOT NULL DEFAULT '';    -- what a search looks into: lines in lower case

CREATE INDEX runs_by_namespace ON runs (namespace, id);

-- A run by each of its labels, `key=value`, so that those with one are read in their order.
CREATE TABLE run_labels (
    namespace TEXT NOT NULL,
    label     TEXT NOT NULL,
    run_id    TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    PRIMARY KEY (namespace, label, run_id)
) WITHOUT ROWID;

CREATE INDEX run_labels_by_run ON run_labels (run_id);

UPDATE runs SET created_by = coalesce(json_extract(payload, '$.submission.metadata.created_by'),
        json_extract(payload, '$.submission.metadata.submitted_by')),
    labels = coalesce(json_extract(payload, '$.submission.metadata.labels'), '{}')
FROM run_events WHERE run_events.run_id = runs.id AND seq = 1;

INSERT OR IGNORE INTO run_labels (namespace, label, run_id)
SELECT runs.namespace, l.key || '=' || l.value, runs.id FROM runs, json_each(runs.labels) AS l;

UPDATE runs SET words = lower(name || coalesce(char(10) || pipeline, '') || coalesce(char(10) || schedule, '')
    || coalesce(char(10) || created_by, '')
    || coalesce(char(10) || (SELECT group_concat(label, char(10)) FROM run_labels WHERE run_id = runs.id), ''));

-- What the control plane that decides on the number of workers last said, for all others.
CREATE TABLE scaling (
    name        TEXT PRIMARY KEY NOT NULL,
    wanted      INTEGER NOT NULL,
    provisioned INTEGER NOT NULL,
    said_at     INTEGER NOT NULL
) WITHOUT ROWID;

-- What a worker runs now, JSON; null when it does not say.
ALTER TABLE workers ADD COLUMN tasks TEXT;
