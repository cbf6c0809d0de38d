-- What a destination may ask for. `headers` are names with sealed values.
ALTER TABLE destinations ADD COLUMN headers TEXT;
ALTER TABLE destinations ADD COLUMN signature TEXT NOT NULL DEFAULT 'v1';
ALTER TABLE destinations ADD COLUMN ordered INTEGER NOT NULL DEFAULT 0;
ALTER TABLE destinations ADD COLUMN rate_per_second REAL;
ALTER TABLE destinations ADD COLUMN retention_days INTEGER;

-- Where a delivery stands on the schedule: `attempts` counts probes, and what a crash cut off, as well.
ALTER TABLE deliveries ADD COLUMN tries INTEGER NOT NULL DEFAULT 0;
UPDATE deliveries SET tries = (SELECT count(*) FROM attempts WHERE attempts.delivery_id = deliveries.id)
WHERE state = 'pending';

-- A destination that failed lately; one that did not has no row.
CREATE TABLE breakers (
  destination_id TEXT PRIMARY KEY,
  failures INTEGER NOT NULL,
  failing TEXT NOT NULL,
  failing_since BIGINT,
  opened_at BIGINT,
  probe_at BIGINT,
  probes INTEGER NOT NULL
);

-- Secrets that sign along for a while after a rotation; `owner` is a destination, or `tenant:<name>`.
CREATE TABLE retired_secrets (
  owner TEXT NOT NULL,
  sealed_secret TEXT NOT NULL,
  until BIGINT NOT NULL,
  PRIMARY KEY (owner, sealed_secret)
);
INSERT INTO retired_secrets (owner, sealed_secret, until)
SELECT 'tenant:' || tenant, retired_secret, retired_until FROM tenant_secrets WHERE retired_secret IS NOT NULL;
ALTER TABLE tenant_secrets DROP COLUMN retired_secret;
ALTER TABLE tenant_secrets DROP COLUMN retired_until;

-- The highest seq of a tenant's that retention has deleted: a reader that stopped before it has missed something.
CREATE TABLE pruned (
  tenant TEXT PRIMARY KEY,
  seq BIGINT NOT NULL
);

-- What goes with a task that is kept no longer is found by it.
CREATE INDEX idempotency_keys_by_task ON idempotency_keys (task_id);
CREATE INDEX tasks_by_webhook ON tasks (webhook_id) WHERE webhook_id IS NOT NULL;
