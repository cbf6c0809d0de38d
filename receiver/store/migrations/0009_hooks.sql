-- The event that a REST hook asked for; null where a destination is none. Whoever subscribes again finds what is there.
ALTER TABLE destinations ADD COLUMN hook TEXT;
CREATE UNIQUE INDEX destinations_one_hook ON destinations (tenant, target, hook) WHERE hook IS NOT NULL;
CREATE INDEX destinations_hooks ON destinations (tenant, id) WHERE hook IS NOT NULL;
