-- Keys that were handed out, by the SHA-256 of each: the key itself is shown once and kept nowhere.
CREATE TABLE api_keys (
  id TEXT PRIMARY KEY,
  tenant TEXT NOT NULL,
  label TEXT NOT NULL,
  scopes TEXT NOT NULL,
  digest TEXT NOT NULL UNIQUE,
  hint TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  last_used_at BIGINT
);
CREATE INDEX api_keys_by_tenant ON api_keys (tenant, id);
