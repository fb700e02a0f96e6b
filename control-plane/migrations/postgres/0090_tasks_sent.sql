-- Tasks whose messages were sent and that are not over, begun or not: what they take of the fleet's slots.
ALTER TABLE runs ADD COLUMN tasks_sent bigint NOT NULL DEFAULT 0;
