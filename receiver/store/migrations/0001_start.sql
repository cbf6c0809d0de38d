-- Times are milliseconds since 1970-01-01 UTC. Ids sort by the time they were made. JSON columns hold text that we wrote.

CREATE TABLE tasks (
  id TEXT PRIMARY KEY,
  tenant TEXT NOT NULL,
  provider TEXT NOT NULL,
  model TEXT NOT NULL,
  status TEXT NOT NULL,
  provider_task_id TEXT,
  provider_status TEXT,
  metadata TEXT NOT NULL,
  media TEXT NOT NULL,
  callback_expected INTEGER NOT NULL,
  progress INTEGER,
  outputs TEXT NOT NULL,
  error TEXT,
  usage TEXT,
  retry_of TEXT,
  created_at BIGINT NOT NULL,
  submitted_at BIGINT,
  finished_at BIGINT,
  deadline_at BIGINT NOT NULL,
  ours INTEGER NOT NULL,
  emitted INTEGER NOT NULL,
  sequence INTEGER NOT NULL,
  version INTEGER NOT NULL
);
-- One provider's task is one task of ours, for ever.
CREATE UNIQUE INDEX tasks_by_provider_task ON tasks (provider, provider_task_id) WHERE provider_task_id IS NOT NULL;
CREATE INDEX tasks_by_tenant ON tasks (tenant, id);

-- Apart from the task, so that a change of status does not rewrite a long prompt.
CREATE TABLE inputs (
  task_id TEXT PRIMARY KEY,
  input TEXT NOT NULL
);

-- Narrow on purpose: a million of these are due within an hour. A lease is a due time moved forward, and an owner.
CREATE TABLE timers (
  task_id TEXT PRIMARY KEY,
  provider TEXT NOT NULL,
  work TEXT NOT NULL,
  due_at BIGINT NOT NULL,
  owner TEXT,
  tries INTEGER NOT NULL,
  rings INTEGER,
  rung_at BIGINT,
  claimed TEXT,
  missing_since BIGINT,
  answered_at BIGINT
);
CREATE INDEX timers_due ON timers (work, provider, due_at);

-- Every distinct callback body, once: the digest is of what was received, the body has our tokens cut out.
CREATE TABLE inbox (
  task_id TEXT NOT NULL,
  digest TEXT NOT NULL,
  received_at BIGINT NOT NULL,
  outcome TEXT NOT NULL,
  body BLOB NOT NULL,
  PRIMARY KEY (task_id, digest)
);

CREATE TABLE counters (
  name TEXT PRIMARY KEY,
  value BIGINT NOT NULL
);
INSERT INTO counters (name, value) VALUES ('seq', 0);

CREATE TABLE events (
  seq BIGINT PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  tenant TEXT NOT NULL,
  task_id TEXT NOT NULL,
  provider TEXT NOT NULL,
  type TEXT NOT NULL,
  at BIGINT NOT NULL,
  body TEXT NOT NULL
);
CREATE INDEX events_by_tenant ON events (tenant, seq);
CREATE INDEX events_by_task ON events (task_id, seq);

CREATE TABLE destinations (
  id TEXT PRIMARY KEY,
  tenant TEXT NOT NULL,
  type TEXT NOT NULL,
  target TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  event_types TEXT NOT NULL,
  providers TEXT,
  models TEXT,
  metadata TEXT,
  format TEXT NOT NULL,
  description TEXT NOT NULL,
  max_in_flight INTEGER NOT NULL,
  enabled INTEGER NOT NULL,
  disabled_reason TEXT,
  sealed_secret TEXT NOT NULL
);
CREATE INDEX destinations_by_tenant ON destinations (tenant, id);
-- Two destinations appending to one SQLite log would each claim half of it.
CREATE UNIQUE INDEX destinations_one_log ON destinations (tenant, target) WHERE type = 'sqlite';

CREATE TABLE deliveries (
  id TEXT PRIMARY KEY,
  tenant TEXT NOT NULL,
  event_seq BIGINT NOT NULL,
  event_id TEXT NOT NULL,
  task_id TEXT NOT NULL,
  destination_id TEXT NOT NULL,
  state TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  due_at BIGINT,
  attempts INTEGER NOT NULL,
  owner TEXT
);
CREATE INDEX deliveries_due ON deliveries (destination_id, due_at) WHERE state = 'pending';
CREATE INDEX deliveries_by_tenant ON deliveries (tenant, id);
CREATE INDEX deliveries_by_task ON deliveries (task_id);
CREATE INDEX deliveries_by_event ON deliveries (event_id);

CREATE TABLE attempts (
  delivery_id TEXT NOT NULL,
  number INTEGER NOT NULL,
  at BIGINT NOT NULL,
  duration_ms INTEGER NOT NULL,
  status INTEGER,
  error TEXT,
  response TEXT NOT NULL,
  PRIMARY KEY (delivery_id, number)
);
