-- Kept in the order of their keys: what belongs to a task is found in one place, and is written there only.
CREATE TABLE kept_notes (
  task_id TEXT NOT NULL,
  number INTEGER NOT NULL,
  sequence INTEGER NOT NULL,
  at BIGINT NOT NULL,
  kind TEXT NOT NULL,
  text TEXT NOT NULL,
  data TEXT NOT NULL,
  PRIMARY KEY (task_id, number)
) WITHOUT ROWID;
INSERT INTO kept_notes (task_id, number, sequence, at, kind, text, data)
SELECT task_id, number, sequence, at, kind, text, data FROM notes ORDER BY task_id, number;
DROP TABLE notes;
ALTER TABLE kept_notes RENAME TO notes;

CREATE TABLE kept_timers (
  task_id TEXT PRIMARY KEY,
  provider TEXT NOT NULL,
  work TEXT NOT NULL,
  due_at BIGINT NOT NULL,
  owner TEXT,
  tries INTEGER NOT NULL,
  rings INTEGER,
  rung_at BIGINT,
  claimed TEXT,
  claimed_at BIGINT,
  missing_since BIGINT,
  answered_at BIGINT,
  empty_since BIGINT
) WITHOUT ROWID;
INSERT INTO kept_timers (task_id, provider, work, due_at, owner, tries, rings, rung_at, claimed, claimed_at,
  missing_since, answered_at, empty_since)
SELECT task_id, provider, work, due_at, owner, tries, rings, rung_at, claimed, claimed_at, missing_since, answered_at,
  empty_since
FROM timers ORDER BY task_id;
DROP TABLE timers;
ALTER TABLE kept_timers RENAME TO timers;
CREATE INDEX timers_due ON timers (work, provider, due_at);
