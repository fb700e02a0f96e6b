-- What the Wasm components of namespaces take in the storage. Servers note what they keep and delete; housekeeping
-- compares that with what is there.
CREATE TABLE namespace_modules (
    namespace text COLLATE "C" NOT NULL,
    digest text COLLATE "C" NOT NULL,
    bytes bigint NOT NULL,
    -- When somebody last saw it in the storage, in milliseconds.
    seen_at bigint NOT NULL,
    PRIMARY KEY (namespace, digest)
);
