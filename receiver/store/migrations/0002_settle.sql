-- How each provider stands with us; a provider that was never in trouble has no row.
CREATE TABLE standings (
  provider TEXT PRIMARY KEY,
  paused TEXT,
  since BIGINT,
  doubtful INTEGER NOT NULL,
  failed INTEGER NOT NULL,
  probe_at BIGINT,
  probes INTEGER NOT NULL,
  probed INTEGER NOT NULL,
  error TEXT
);

-- Committed with the task, kept as long as it.
CREATE TABLE idempotency_keys (
  tenant TEXT NOT NULL,
  key TEXT NOT NULL,
  fingerprint TEXT NOT NULL,
  task_id TEXT NOT NULL,
  status INTEGER,
  PRIMARY KEY (tenant, key)
);

-- A cancel asked for while the task was being handed over; a webhook of the task's own (a hidden destination).
ALTER TABLE tasks ADD COLUMN cancel_asked INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tasks ADD COLUMN webhook_id TEXT;
ALTER TABLE tasks ADD COLUMN webhook_events TEXT;
-- What was resubmitted already.
CREATE INDEX tasks_by_retry ON tasks (retry_of) WHERE retry_of IS NOT NULL;

-- Since when the provider has said "succeeded" without a result.
ALTER TABLE timers ADD COLUMN empty_since BIGINT;

-- One hidden destination per tenant, URL and format serves the webhook_urls of tasks.
ALTER TABLE destinations ADD COLUMN hidden INTEGER NOT NULL DEFAULT 0;
CREATE UNIQUE INDEX destinations_one_hidden ON destinations (tenant, target, format) WHERE hidden = 1;

-- What signs for them; after a rotation the one before signs along until `retired_until`.
CREATE TABLE tenant_secrets (
  tenant TEXT PRIMARY KEY,
  sealed_secret TEXT NOT NULL,
  retired_secret TEXT,
  retired_until BIGINT NOT NULL
);

-- What was tried and heard of a task that no other table holds: submit attempts, polls that decided something.
-- `number` counts a task's notes from 0, `sequence` its events before this one, for much happens in one millisecond.
CREATE TABLE notes (
  id TEXT PRIMARY KEY,
  task_id TEXT NOT NULL,
  number INTEGER NOT NULL,
  sequence INTEGER NOT NULL,
  at BIGINT NOT NULL,
  kind TEXT NOT NULL,
  text TEXT NOT NULL,
  data TEXT NOT NULL
);
CREATE INDEX notes_by_task ON notes (task_id, number);

-- What is only counted, per task and since its last note (`after`, the notes so far): polls that told nothing new,
-- repeated callbacks.
CREATE TABLE tallies (
  task_id TEXT NOT NULL,
  after INTEGER NOT NULL,
  kind TEXT NOT NULL,
  count INTEGER NOT NULL,
  first_at BIGINT NOT NULL,
  last_at BIGINT NOT NULL,
  PRIMARY KEY (task_id, after, kind)
);
