-- What runs are found by, and what the leader of scaling last said.

ALTER TABLE runs
    ADD COLUMN created_by text,
    ADD COLUMN labels       text NOT NULL DEFAULT '{}',            -- JSON
    ADD COLUMN words        text COLLATE "C" NOT NULL DEFAULT ''; -- what a search looks into: lines in lower case

-- A run by each of its labels, `key=value`, so that those with one are read in their order. No foreign key, as for
-- the log.
CREATE TABLE run_labels (
    namespace text COLLATE "C" NOT NULL,
    label     text COLLATE "C" NOT NULL,
    run_id    text COLLATE "C" NOT NULL,
    PRIMARY KEY (namespace, label, run_id)
);

CREATE INDEX run_labels_by_run ON run_labels (run_id);

-- A log with a NUL character in it is valid JSON, but nothing that Postgres would look into.
UPDATE runs SET created_by = coalesce(metadata ->> 'created_by', metadata ->> 'submitted_by'),
    labels = coalesce(metadata ->> 'labels', '{}')
FROM (
    SELECT run_id, payload::json #> '{submission,metadata}' AS metadata
    FROM run_events WHERE seq = 1 AND strpos(payload, '\u0000') = 0
) AS submitted
WHERE run_id = id AND metadata IS NOT NULL;

INSERT INTO run_labels (namespace, label, run_id)
SELECT namespace, key || '=' || value, id FROM runs, json_each_text(labels::json) ON CONFLICT DO NOTHING;

UPDATE runs SET words = lower(concat_ws(E'\n', name, pipeline, schedule, created_by,
    (SELECT string_agg(label, E'\n') FROM run_labels WHERE run_id = id)));

-- What the control plane that decides on the number of workers last said, for all others.
CREATE TABLE scaling (
    name        text COLLATE "C" PRIMARY KEY,
    wanted      bigint NOT NULL,
    provisioned bigint NOT NULL,
    said_at     bigint NOT NULL
) WITH (fillfactor = 50);

-- What a worker runs now, JSON; null when it does not say.
ALTER TABLE workers ADD COLUMN tasks text;
