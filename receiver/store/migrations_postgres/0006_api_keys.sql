-- See 0010_api_keys.sql of SQLite.
CREATE TABLE api_keys (
  id TEXT COLLATE "C" PRIMARY KEY,
  tenant TEXT COLLATE "C" NOT NULL,
  label TEXT NOT NULL,
  scopes TEXT NOT NULL,
  digest TEXT COLLATE "C" NOT NULL UNIQUE,
  hint TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  last_used_at BIGINT
);
CREATE INDEX api_keys_by_tenant ON api_keys (tenant, id);
