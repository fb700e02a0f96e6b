-- Admins see all sessions, the youngest first.
CREATE INDEX sessions_by_age ON sessions (created_at, hash);

-- Runs of a namespace that ended so, of a job, or not yet cleaned up after, in the order in which they are listed.
CREATE INDEX runs_by_outcome ON runs (namespace, outcome, id) WHERE outcome IS NOT NULL;
CREATE INDEX runs_by_job ON runs (namespace, name, id);
DROP INDEX runs_by_name;
CREATE INDEX runs_open_by_namespace ON runs (namespace, id) WHERE NOT cleaned;
