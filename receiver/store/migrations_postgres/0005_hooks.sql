-- See 0009_hooks.sql of SQLite.
ALTER TABLE destinations ADD COLUMN hook TEXT COLLATE "C";
CREATE UNIQUE INDEX destinations_one_hook ON destinations (tenant, target, hook) WHERE hook IS NOT NULL;
CREATE INDEX destinations_hooks ON destinations (tenant, id) WHERE hook IS NOT NULL;
