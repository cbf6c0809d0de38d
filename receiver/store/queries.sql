-- Every statement the stores share, by name. Parameters are :named; an engine may replace a statement by its own.

-- insert_task --
-- A task, as it is first recorded.
INSERT INTO tasks (id, tenant, provider, model, status, provider_task_id, provider_status, metadata, media,
  callback_expected, progress, outputs, error, usage, retry_of, webhook_id, webhook_events, created_at, submitted_at,
  finished_at, deadline_at, ours, cancel_asked, emitted, sequence, version)
VALUES (:id, :tenant, :provider, :model, :status, :provider_task_id, :provider_status, :metadata, :media,
  :callback_expected, :progress, :outputs, :error, :usage, :retry_of, :webhook_id, :webhook_events, :created_at,
  :submitted_at, :finished_at, :deadline_at, :ours, :cancel_asked, :emitted, :sequence, :version)

-- insert_input --
INSERT INTO inputs (task_id, input) VALUES (:task_id, :input)

-- update_task --
-- Compare-and-set: nothing happens unless the task is still at the version that was decided on.
UPDATE tasks SET status = :status, provider_task_id = :provider_task_id, provider_status = :provider_status,
  progress = :progress, outputs = :outputs, error = :error, usage = :usage, submitted_at = :submitted_at,
  finished_at = :finished_at, ours = :ours, cancel_asked = :cancel_asked, emitted = :emitted,
  sequence = :sequence, version = :version
WHERE id = :id AND version = :expected

-- select_task --
SELECT tasks.*, inputs.input FROM tasks JOIN inputs ON inputs.task_id = tasks.id WHERE tasks.id = :id

-- select_resubmission --
SELECT id FROM tasks WHERE retry_of = :task_id LIMIT 1

-- select_task_by_provider --
SELECT tasks.*, inputs.input FROM tasks JOIN inputs ON inputs.task_id = tasks.id
WHERE tasks.provider = :provider AND tasks.provider_task_id = :provider_task_id

-- select_overdue_tasks --
-- Nobody has them, or nobody knows who: no answer is waited for.
SELECT tasks.*, inputs.input FROM tasks JOIN inputs ON inputs.task_id = tasks.id
WHERE tasks.finished_at IS NULL AND tasks.status IN ('queued', 'unconfirmed') AND tasks.deadline_at <= :now
  AND tasks.provider_task_id IS NULL
ORDER BY tasks.deadline_at LIMIT :limit

-- select_unasked_tasks --
-- Past their deadline, with a provider that is not asked: a callback's claim may stand in, or they are given up.
SELECT tasks.*, inputs.input FROM tasks JOIN inputs ON inputs.task_id = tasks.id
JOIN timers ON timers.task_id = tasks.id
WHERE tasks.finished_at IS NULL AND tasks.status IN ('submitted', 'running') AND tasks.deadline_at <= :now
  AND tasks.provider = :provider AND (timers.claimed IS NOT NULL OR tasks.deadline_at <= :given_up_by)
ORDER BY tasks.deadline_at LIMIT :limit

-- upsert_timer --
INSERT INTO timers (task_id, provider, work, due_at, owner, tries, rings, rung_at, claimed, missing_since, answered_at,
  empty_since)
VALUES (:task_id, :provider, :work, :due_at, :owner, :tries, :rings, :rung_at, :claimed, :missing_since, :answered_at,
  :empty_since)
ON CONFLICT (task_id) DO UPDATE SET work = excluded.work, due_at = excluded.due_at, owner = excluded.owner,
  tries = excluded.tries, rings = excluded.rings, rung_at = excluded.rung_at, claimed = excluded.claimed,
  missing_since = excluded.missing_since, answered_at = excluded.answered_at, empty_since = excluded.empty_since

-- select_timer --
SELECT * FROM timers WHERE task_id = :task_id

-- delete_timer --
DELETE FROM timers WHERE task_id = :task_id

-- select_due_timers --
SELECT * FROM timers WHERE work = :work AND provider = :provider AND due_at <= :now ORDER BY due_at LIMIT :limit

-- select_freshest_timers --
SELECT * FROM timers WHERE work = :work AND provider = :provider AND due_at <= :now ORDER BY due_at DESC LIMIT :limit

-- hasten_submits --
-- What waits for its provider looks again within a minute; what is due later was paced so on purpose.
UPDATE timers SET due_at = :now
WHERE work = 'submit' AND provider = :provider AND owner IS NULL AND due_at > :now AND due_at <= :now + 60000

-- lease_timer --
UPDATE timers SET owner = :owner, due_at = :until WHERE task_id = :task_id

-- select_next_due_timer --
SELECT min(due_at) AS due_at FROM timers WHERE work = :work AND provider = :provider

-- count_timers --
SELECT count(*) AS count FROM timers WHERE work = :work AND provider = :provider

-- select_leased_timers --
SELECT * FROM timers WHERE work = :work AND owner IS NOT NULL

-- release_polls --
UPDATE timers SET owner = NULL, due_at = :now WHERE work = 'poll' AND owner IS NOT NULL

-- release_deliveries --
-- Cut off by our own stopping: that burns no attempt.
UPDATE deliveries SET owner = NULL, due_at = :now, attempts = attempts - 1
WHERE state = 'pending' AND owner IS NOT NULL

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
  description, max_in_flight, enabled, disabled_reason, hidden, sealed_secret)
VALUES (:id, :tenant, :type, :target, :created_at, :event_types, :providers, :models, :metadata, :format,
  :description, :max_in_flight, :enabled, :disabled_reason, :hidden, :sealed_secret)

-- insert_hidden_destination --
-- The first task with this webhook_url makes it, the next ones find it: its id follows from tenant, URL and format.
INSERT INTO destinations (id, tenant, type, target, created_at, event_types, format, description, max_in_flight, enabled,
  hidden, sealed_secret)
VALUES (:id, :tenant, :type, :target, :created_at, :event_types, :format, :description, :max_in_flight, 1, 1, '')
ON CONFLICT DO NOTHING

-- select_destination --
SELECT * FROM destinations WHERE id = :id AND hidden = 0

-- select_hidden_destination --
SELECT * FROM destinations WHERE id = :id AND hidden = 1

-- insert_tenant_secret --
INSERT INTO tenant_secrets (tenant, sealed_secret, retired_secret, retired_until) VALUES (:tenant, :sealed_secret, NULL, 0)
ON CONFLICT (tenant) DO NOTHING

-- select_tenant_secret --
SELECT * FROM tenant_secrets WHERE tenant = :tenant

-- rotate_tenant_secret --
-- The one before signs along for a while; the one before that is forgotten.
INSERT INTO tenant_secrets (tenant, sealed_secret, retired_secret, retired_until) VALUES (:tenant, :sealed_secret, NULL, 0)
ON CONFLICT (tenant) DO UPDATE SET retired_secret = tenant_secrets.sealed_secret, retired_until = :retired_until,
  sealed_secret = excluded.sealed_secret

-- select_log --
SELECT * FROM destinations WHERE tenant = :tenant AND type = 'sqlite' AND target = :target

-- select_enabled_destinations --
SELECT * FROM destinations WHERE tenant = :tenant AND enabled = 1 AND hidden = 0

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
SELECT destinations.*, secrets.sealed_secret AS tenant_secret, secrets.retired_secret, secrets.retired_until,
  (SELECT min(due_at) FROM deliveries WHERE state = 'pending' AND destination_id = owed.id) AS next_due_at
FROM owed JOIN destinations ON destinations.id = owed.id
LEFT JOIN tenant_secrets AS secrets ON destinations.hidden = 1 AND secrets.tenant = destinations.tenant
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

-- select_schema_version --
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

-- select_standing --
SELECT * FROM standings WHERE provider = :provider

-- upsert_standing --
INSERT INTO standings (provider, paused, since, doubtful, failed, probe_at, probes, probed, error)
VALUES (:provider, :paused, :since, :doubtful, :failed, :probe_at, :probes, :probed, :error)
ON CONFLICT (provider) DO UPDATE SET paused = excluded.paused, since = excluded.since, doubtful = excluded.doubtful,
  failed = excluded.failed, probe_at = excluded.probe_at, probes = excluded.probes, probed = excluded.probed,
  error = excluded.error

-- insert_note --
-- Nothing happens where a task has as many notes as are kept.
INSERT INTO notes (id, task_id, number, sequence, at, kind, text, data)
SELECT :id, :task_id, count(*), :sequence, :at, :kind, :text, :data FROM notes WHERE task_id = :task_id HAVING count(*) < :most

-- count_up --
INSERT INTO tallies (task_id, after, kind, count, first_at, last_at)
SELECT :task_id, count(*), :kind, 1, :at, :at FROM notes WHERE task_id = :task_id
ON CONFLICT (task_id, after, kind) DO UPDATE SET count = tallies.count + 1, last_at = excluded.last_at

-- select_notes --
SELECT * FROM notes WHERE task_id = :task_id ORDER BY number

-- select_tallies --
SELECT * FROM tallies WHERE task_id = :task_id ORDER BY after, first_at, kind

-- select_events_of_task --
SELECT * FROM events WHERE task_id = :task_id ORDER BY seq LIMIT :limit

-- select_pauses_of_task --
-- What operators were told of its provider while the task was open.
SELECT events.* FROM tasks JOIN events ON events.task_id = '' AND events.provider = tasks.provider
WHERE tasks.id = :task_id AND events.type IN ('provider.paused', 'provider.resumed')
  AND events.at >= tasks.created_at AND (tasks.finished_at IS NULL OR events.at <= tasks.finished_at)
ORDER BY events.seq LIMIT :limit

-- select_deliveries_of_task --
SELECT deliveries.*, events.type AS event_type, destinations.type AS destination_type, destinations.target,
  destinations.hidden
FROM deliveries
JOIN events ON events.seq = deliveries.event_seq
LEFT JOIN destinations ON destinations.id = deliveries.destination_id
WHERE deliveries.task_id = :task_id ORDER BY deliveries.event_seq, deliveries.id LIMIT :limit

-- select_attempts_of_task --
SELECT attempts.* FROM deliveries JOIN attempts ON attempts.delivery_id = deliveries.id
WHERE deliveries.task_id = :task_id ORDER BY attempts.at, attempts.number LIMIT :limit

-- insert_key --
-- The first use of an Idempotency-Key, committed with its task: a second one changes nothing.
INSERT INTO idempotency_keys (tenant, key, fingerprint, task_id, status)
VALUES (:tenant, :key, :fingerprint, :task_id, :status)
ON CONFLICT (tenant, key) DO NOTHING

-- select_key --
SELECT * FROM idempotency_keys WHERE tenant = :tenant AND key = :key

-- answer_key --
UPDATE idempotency_keys SET status = :status WHERE tenant = :tenant AND key = :key AND status IS NULL
