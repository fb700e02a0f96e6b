-- How often pipelines or schedules of a namespace changed: whoever follows them sees with one look whether they did.
CREATE TABLE revisions (
    namespace TEXT NOT NULL,
    subject   TEXT NOT NULL, -- `pipelines` or `schedules`
    revision  INTEGER NOT NULL,
    PRIMARY KEY (namespace, subject)
) WITHOUT ROWID;
