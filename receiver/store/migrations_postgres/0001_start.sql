-- The same tables as SQLite's, at its migration 6. Text compares by its bytes ("C"), so that ids sort as they do there,
-- whatever the database's own collation. Times are milliseconds since 1970-01-01 UTC.

CREATE TABLE tasks (
  id TEXT COLLATE "C" PRIMARY KEY,
  tenant TEXT COLLATE "C" NOT NULL,
  provider TEXT COLLATE "C" NOT NULL,
  model TEXT COLLATE "C" NOT NULL,
  status TEXT COLLATE "C" NOT NULL,
  provider_task_id TEXT COLLATE "C",
  provider_status TEXT,
  metadata TEXT NOT NULL,
  media TEXT NOT NULL,
  callback_expected SMALLINT NOT NULL,
  progress INTEGER,
  outputs TEXT NOT NULL,
  error TEXT,
  usage TEXT,
  retry_of TEXT COLLATE "C",
  webhook_id TEXT COLLATE "C",
  webhook_events TEXT,
  created_at BIGINT NOT NULL,
  submitted_at BIGINT,
  finished_at BIGINT,
  deadline_at BIGINT NOT NULL,
  ours SMALLINT NOT NULL,
  cancel_asked SMALLINT NOT NULL,
  emitted INTEGER NOT NULL,
  sequence INTEGER NOT NULL,
  version INTEGER NOT NULL
) WITH (fillfactor = 80);
CREATE UNIQUE INDEX tasks_by_provider_task ON tasks (provider, provider_task_id) WHERE provider_task_id IS NOT NULL;
CREATE INDEX tasks_by_tenant ON tasks (tenant, id);
CREATE INDEX tasks_by_retry ON tasks (retry_of) WHERE retry_of IS NOT NULL;
CREATE INDEX tasks_by_deadline ON tasks (status, deadline_at) WHERE finished_at IS NULL;
CREATE INDEX tasks_by_webhook ON tasks (webhook_id) WHERE webhook_id IS NOT NULL;

CREATE TABLE inputs (
  task_id TEXT COLLATE "C" PRIMARY KEY,
  input TEXT NOT NULL
);

-- Narrow, and moved at every poll: dead rows are cleared away early. `holder` is the process that leased it.
CREATE TABLE timers (
  task_id TEXT COLLATE "C" PRIMARY KEY,
  provider TEXT COLLATE "C" NOT NULL,
  work TEXT COLLATE "C" NOT NULL,
  due_at BIGINT NOT NULL,
  owner TEXT COLLATE "C",
  holder TEXT COLLATE "C",
  tries INTEGER NOT NULL,
  rings INTEGER,
  rung_at BIGINT,
  claimed TEXT,
  claimed_at BIGINT,
  missing_since BIGINT,
  answered_at BIGINT,
  empty_since BIGINT
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
CREATE INDEX timers_due ON timers (work, provider, due_at);

CREATE TABLE inbox (
  task_id TEXT COLLATE "C" NOT NULL,
  digest TEXT COLLATE "C" NOT NULL,
  received_at BIGINT NOT NULL,
  outcome TEXT NOT NULL,
  body BYTEA NOT NULL,
  PRIMARY KEY (task_id, digest)
);

CREATE TABLE counters (
  name TEXT COLLATE "C" PRIMARY KEY,
  value BIGINT NOT NULL
) WITH (fillfactor = 10);
INSERT INTO counters (name, value) VALUES ('seq', 0);

CREATE TABLE events (
  seq BIGINT PRIMARY KEY,
  id TEXT COLLATE "C" NOT NULL UNIQUE,
  tenant TEXT COLLATE "C" NOT NULL,
  task_id TEXT COLLATE "C" NOT NULL,
  provider TEXT COLLATE "C" NOT NULL,
  type TEXT COLLATE "C" NOT NULL,
  at BIGINT NOT NULL,
  body TEXT NOT NULL
);
CREATE INDEX events_by_tenant ON events (tenant, seq);
CREATE INDEX events_by_task ON events (task_id, seq);

CREATE TABLE destinations (
  id TEXT COLLATE "C" PRIMARY KEY,
  tenant TEXT COLLATE "C" NOT NULL,
  type TEXT COLLATE "C" NOT NULL,
  target TEXT COLLATE "C" NOT NULL,
  created_at BIGINT NOT NULL,
  event_types TEXT NOT NULL,
  providers TEXT,
  models TEXT,
  metadata TEXT,
  format TEXT COLLATE "C" NOT NULL,
  description TEXT NOT NULL,
  headers TEXT,
  signature TEXT NOT NULL DEFAULT 'v1',
  ordered SMALLINT NOT NULL DEFAULT 0,
  max_in_flight INTEGER NOT NULL,
  rate_per_second DOUBLE PRECISION,
  retention_days INTEGER,
  enabled SMALLINT NOT NULL,
  disabled_reason TEXT,
  hidden SMALLINT NOT NULL DEFAULT 0,
  sealed_secret TEXT NOT NULL
);
CREATE INDEX destinations_by_tenant ON destinations (tenant, id);
CREATE UNIQUE INDEX destinations_one_log ON destinations (tenant, target) WHERE type = 'sqlite';
CREATE UNIQUE INDEX destinations_one_hidden ON destinations (tenant, target, format) WHERE hidden = 1;

CREATE TABLE deliveries (
  id TEXT COLLATE "C" PRIMARY KEY,
  tenant TEXT COLLATE "C" NOT NULL,
  event_seq BIGINT NOT NULL,
  event_id TEXT COLLATE "C" NOT NULL,
  task_id TEXT COLLATE "C" NOT NULL,
  destination_id TEXT COLLATE "C" NOT NULL,
  state TEXT COLLATE "C" NOT NULL,
  created_at BIGINT NOT NULL,
  due_at BIGINT,
  attempts INTEGER NOT NULL,
  tries INTEGER NOT NULL,
  owner TEXT COLLATE "C",
  holder TEXT COLLATE "C"
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
CREATE INDEX deliveries_due ON deliveries (destination_id, due_at) WHERE state = 'pending';
CREATE INDEX deliveries_by_task ON deliveries (task_id);
CREATE INDEX deliveries_by_event ON deliveries (event_id);
CREATE INDEX deliveries_by_state ON deliveries (tenant, state, id);
CREATE INDEX deliveries_by_destination ON deliveries (destination_id, state, id);

CREATE TABLE attempts (
  delivery_id TEXT COLLATE "C" NOT NULL,
  number INTEGER NOT NULL,
  at BIGINT NOT NULL,
  duration_ms INTEGER NOT NULL,
  status INTEGER,
  error TEXT,
  response TEXT NOT NULL,
  PRIMARY KEY (delivery_id, number)
);

CREATE TABLE standings (
  provider TEXT COLLATE "C" PRIMARY KEY,
  paused TEXT,
  since BIGINT,
  doubtful INTEGER NOT NULL,
  failed INTEGER NOT NULL,
  probe_at BIGINT,
  probes INTEGER NOT NULL,
  probed SMALLINT NOT NULL,
  error TEXT
);

CREATE TABLE idempotency_keys (
  tenant TEXT COLLATE "C" NOT NULL,
  key TEXT COLLATE "C" NOT NULL,
  fingerprint TEXT NOT NULL,
  task_id TEXT COLLATE "C" NOT NULL,
  status INTEGER,
  PRIMARY KEY (tenant, key)
);
CREATE INDEX idempotency_keys_by_task ON idempotency_keys (task_id);

CREATE TABLE tenant_secrets (
  tenant TEXT COLLATE "C" PRIMARY KEY,
  sealed_secret TEXT NOT NULL
);

CREATE TABLE notes (
  id TEXT COLLATE "C" PRIMARY KEY,
  task_id TEXT COLLATE "C" NOT NULL,
  number INTEGER NOT NULL,
  sequence INTEGER NOT NULL,
  at BIGINT NOT NULL,
  kind TEXT COLLATE "C" NOT NULL,
  text TEXT NOT NULL,
  data TEXT NOT NULL
);
CREATE INDEX notes_by_task ON notes (task_id, number);

CREATE TABLE tallies (
  task_id TEXT COLLATE "C" NOT NULL,
  after INTEGER NOT NULL,
  kind TEXT COLLATE "C" NOT NULL,
  count INTEGER NOT NULL,
  first_at BIGINT NOT NULL,
  last_at BIGINT NOT NULL,
  PRIMARY KEY (task_id, after, kind)
);

CREATE TABLE breakers (
  destination_id TEXT COLLATE "C" PRIMARY KEY,
  failures INTEGER NOT NULL,
  failing TEXT NOT NULL,
  failing_since BIGINT,
  reason TEXT,
  opened_at BIGINT,
  probe_at BIGINT,
  probes INTEGER NOT NULL
);

CREATE TABLE retired_secrets (
  owner TEXT COLLATE "C" NOT NULL,
  sealed_secret TEXT COLLATE "C" NOT NULL,
  until BIGINT NOT NULL,
  PRIMARY KEY (owner, sealed_secret)
);

CREATE TABLE pruned (
  tenant TEXT COLLATE "C" PRIMARY KEY,
  seq BIGINT NOT NULL
);

-- The processes that run on this database, by their last sign of life, which is the database's own time. `holds` is JSON:
-- until when each provider asked that one to wait.
CREATE TABLE replicas (
  id TEXT COLLATE "C" PRIMARY KEY,
  began_at BIGINT NOT NULL,
  seen_at BIGINT NOT NULL,
  holds TEXT NOT NULL
) WITH (fillfactor = 50);
