-- What a review of the service's security found missing.

-- Names of namespaces that were deleted a moment ago: what requests left there that were under way is deleted, and then
-- the name can be used again.
CREATE TABLE deleted_namespaces (
    name       TEXT PRIMARY KEY NOT NULL,
    deleted_at INTEGER NOT NULL
) WITHOUT ROWID;

-- For a session that began with the bootstrap key: the SHA-256 of that key's digest and the cookie. It ends when the key
-- is another one.
ALTER TABLE sessions ADD COLUMN bootstrap TEXT;
DELETE FROM sessions WHERE principal = 'bootstrap key';

-- What is done to the service is nobody's namespace's.
UPDATE audit_log SET namespace = NULL
WHERE namespace = 'default'
  AND action IN ('namespaces_list', 'namespaces_create', 'namespaces_get', 'namespaces_delete', 'workers_list', 'scaling_get');
