-- What is over without anybody being asked is looked for in every round.
CREATE INDEX tasks_by_deadline ON tasks (status, deadline_at) WHERE finished_at IS NULL;
