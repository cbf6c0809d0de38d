-- See 0008_rare.sql of SQLite.
CREATE INDEX tasks_of_rare_status ON tasks (tenant, status, id)
  WHERE status <> 'submitting' AND status <> 'submitted' AND status <> 'running' AND status <> 'succeeded';
CREATE INDEX events_of_rare_type ON events (tenant, type, seq)
  WHERE type <> 'task.queued' AND type <> 'task.submitted' AND type <> 'task.running' AND type <> 'task.progress'
  AND type <> 'task.succeeded';
