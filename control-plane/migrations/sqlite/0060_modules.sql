-- What the Wasm components of namespaces take in the storage. Servers note what they keep and delete; housekeeping
-- compares that with what is there.
CREATE TABLE namespace_modules (
    namespace TEXT NOT NULL,
    digest TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    -- When somebody last saw it in the storage, in milliseconds.
    seen_at INTEGER NOT NULL,
    PRIMARY KEY (namespace, digest)
) WITHOUT ROWID;
