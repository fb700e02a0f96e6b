-- How often pipelines or schedules of a namespace changed: whoever follows them sees with one look whether they did.
CREATE TABLE revisions (
    namespace text COLLATE "C" NOT NULL,
    subject   text COLLATE "C" NOT NULL, -- `pipelines` or `schedules`
    revision  bigint NOT NULL,
    PRIMARY KEY (namespace, subject)
);
