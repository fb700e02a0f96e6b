-- The places in S3 that the jobs of a namespace may use, as a list in JSON; null for all.
ALTER TABLE namespaces ADD COLUMN allowed_locations text;
