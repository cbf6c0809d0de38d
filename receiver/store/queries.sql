-- Every statement the stores share, by name. Parameters are :named; an engine may replace a statement by its own.

-- insert_task --
-- A task, as it is first recorded.
INSERT INTO tasks (id, tenant, provider, model, status, provider_task_id, provider_status, metadata, media,
  callback_expected, progress, outputs, error, usage, retry_of, created_at, submitted_at, finished_at, deadline_at,
  ours, emitted, sequence, version)
VALUES (:id, :tenant, :provider, :model, :status, :provider_task_id, :provider_status, :metadata, :media,
  :callback_expected, :progress, :outputs, :error, :usage, :retry_of, :created_at, :submitted_at, :finished_at,
  :deadline_at, :ours, :emitted, :sequence, :version)

-- insert_input --
INSERT INTO inputs (task_id, input) VALUES (:task_id, :input)

-- update_task --
-- Compare-and-set: nothing happens unless the task is still at the version that was decided on.
UPDATE tasks SET status = :status, provider_task_id = :provider_task_id, provider_status = :provider_status,
  progress = :progress, outputs = :outputs, error = :error, usage = :usage, submitted_at = :submitted_at,
  finished_at = :finished_at, ours = :ours, emitted = :emitted, sequence = :sequence, version = :version
WHERE id = :id AND version = :expected

-- select_task --
SELECT tasks.*, inputs.input FROM tasks JOIN inputs ON inputs.task_id = tasks.id WHERE tasks.id = :id

-- select_task_by_provider --
SELECT tasks.*, inputs.input FROM tasks JOIN inputs ON inputs.task_id = tasks.id
WHERE tasks.provider = :provider AND tasks.provider_task_id = :provider_task_id

-- upsert_timer --
INSERT INTO timers (task_id, provider, work, due_at, owner, tries, rings, rung_at, claimed, missing_since, answered_at)
VALUES (:task_id, :provider, :work, :due_at, :owner, :tries, :rings, :rung_at, :claimed, :missing_since, :answered_at)
ON CONFLICT (task_id) DO UPDATE SET work = excluded.work, due_at = excluded.due_at, owner = excluded.owner,
  tries = excluded.tries, rings = excluded.rings, rung_at = excluded.rung_at, claimed = excluded.claimed,
  missing_since = excluded.missing_since, answered_at = excluded.answered_at

-- select_timer --
SELECT * FROM timers WHERE task_id = :task_id

-- delete_timer --
DELETE FROM timers WHERE task_id = :task_id

-- select_due_timers --
SELECT * FROM timers WHERE work = :work AND provider = :provider AND due_at <= :now ORDER BY due_at LIMIT :limit

-- lease_timer --
UPDATE timers SET owner = :owner, due_at = :until WHERE task_id = :task_id

-- select_next_due_timer --
SELECT min(due_at) AS due_at FROM timers WHERE work = :work AND provider = :provider

-- insert_callback --
-- Once per task and digest: a repeat changes nothing.
INSERT INTO inbox (task_id, digest, received_at, outcome, body) VALUES (:task_id, :digest, :received_at, :outcome, :body)
ON CONFLICT (task_id, digest) DO NOTHING

-- count_callbacks --
SELECT count(*) AS kept FROM inbox WHERE task_id = :task_id

-- select_callbacks --
SELECT body FROM inbox WHERE task_id = :task_id ORDER BY received_at DESC

-- next_seq --
UPDATE counters SET value = value + 1 WHERE name = 'seq' RETURNING value

-- insert_event --
INSERT INTO events (seq, id, tenant, task_id, provider, type, at, body)
VALUES (:seq, :id, :tenant, :task_id, :provider, :type, :at, :body)

-- insert_destination --
INSERT INTO destinations (id, tenant, type, target, created_at, event_types, providers, models, metadata, format,
  description, max_in_flight, enabled, disabled_reason, sealed_secret)
VALUES (:id, :tenant, :type, :target, :created_at, :event_types, :providers, :models, :metadata, :format,
  :description, :max_in_flight, :enabled, :disabled_reason, :sealed_secret)

-- select_destination --
SELECT * FROM destinations WHERE id = :id

-- select_log --
SELECT * FROM destinations WHERE tenant = :tenant AND type = 'sqlite' AND target = :target

-- select_enabled_destinations --
SELECT * FROM destinations WHERE tenant = :tenant AND enabled = 1

-- delete_destination --
DELETE FROM destinations WHERE id = :id

-- cancel_deliveries --
UPDATE deliveries SET state = 'canceled', due_at = NULL, owner = NULL
WHERE destination_id = :destination_id AND state = 'pending'

-- insert_delivery --
INSERT INTO deliveries (id, tenant, event_seq, event_id, task_id, destination_id, state, created_at, due_at, attempts, owner)
VALUES (:id, :tenant, :event_seq, :event_id, :task_id, :destination_id, :state, :created_at, :due_at, :attempts, :owner)

-- select_delivery --
SELECT * FROM deliveries WHERE id = :id

-- select_owed_destinations --
-- One index step per destination that is owed something, however long its queue is.
WITH RECURSIVE owed (id) AS (
  SELECT min(destination_id) FROM deliveries WHERE state = 'pending'
  UNION ALL
  SELECT (SELECT min(destination_id) FROM deliveries WHERE state = 'pending' AND destination_id > owed.id)
  FROM owed WHERE owed.id IS NOT NULL
)
SELECT destinations.*,
  (SELECT min(due_at) FROM deliveries WHERE state = 'pending' AND destination_id = owed.id) AS next_due_at
FROM owed JOIN destinations ON destinations.id = owed.id
WHERE destinations.enabled = 1

-- select_due_deliveries --
SELECT deliveries.*, events.body, inputs.input
FROM deliveries
JOIN events ON events.seq = deliveries.event_seq
LEFT JOIN inputs ON inputs.task_id = deliveries.task_id
WHERE deliveries.destination_id = :destination_id AND deliveries.state = 'pending' AND deliveries.due_at <= :now
ORDER BY deliveries.due_at LIMIT :limit

-- lease_delivery --
-- The attempt is counted before the work, so that what kills its worker comes to an end.
UPDATE deliveries SET owner = :owner, due_at = :until, attempts = attempts + 1 WHERE id = :id

-- insert_attempt --
INSERT INTO attempts (delivery_id, number, at, duration_ms, status, error, response)
VALUES (:delivery_id, :number, :at, :duration_ms, :status, :error, :response)
ON CONFLICT (delivery_id, number) DO NOTHING

-- settle_delivery --
-- A success is recorded whoever holds the lease; anything else only if it is still ours.
UPDATE deliveries SET state = :state, due_at = :due_at, owner = NULL
WHERE id = :id AND state = 'pending' AND (owner = :owner OR :state = 'delivered')

-- select_attempts --
SELECT * FROM attempts WHERE delivery_id = :delivery_id ORDER BY number

-- ping --
SELECT max(version) AS version FROM schema_migrations

-- release_delivery --
UPDATE deliveries SET owner = NULL, due_at = :now, attempts = attempts - 1
WHERE id = :id AND state = 'pending' AND owner = :owner

-- lapse_timers --
-- The owner stays: a submit that somebody else began is unconfirmed.
UPDATE timers SET due_at = :now WHERE owner IS NOT NULL AND due_at > :now

-- lapse_deliveries --
UPDATE deliveries SET due_at = :now WHERE state = 'pending' AND owner IS NOT NULL AND due_at > :now

-- hasten_safety_polls --
-- Spread over the time given, so that they do not all come at once.
UPDATE timers SET due_at = :now + abs(random()) % :within
WHERE work = 'poll' AND due_at > :now + :within AND EXISTS (
  SELECT 1 FROM tasks WHERE tasks.id = timers.task_id AND tasks.callback_expected = 1
    AND tasks.provider_task_id IS NOT NULL AND tasks.status IN ('submitted', 'running')
)
