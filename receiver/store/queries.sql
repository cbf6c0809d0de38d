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

-- select_tasks --
SELECT tasks.*, inputs.input FROM tasks JOIN inputs ON inputs.task_id = tasks.id
WHERE tasks.id IN (SELECT value FROM json_each(:ids))

-- select_resubmission --
SELECT id FROM tasks WHERE retry_of = :task_id LIMIT 1

-- select_task_by_provider --
SELECT tasks.*, inputs.input FROM tasks JOIN inputs ON inputs.task_id = tasks.id
WHERE tasks.provider = :provider AND tasks.provider_task_id = :provider_task_id

-- count_open_tasks --
SELECT count(*) AS count FROM (
  SELECT 1 FROM tasks WHERE status = :status AND finished_at IS NULL LIMIT :most
) AS found

-- select_overdue_tasks --
-- Nobody has them, or nobody knows who: no answer is waited for.
SELECT tasks.*, inputs.input FROM tasks JOIN inputs ON inputs.task_id = tasks.id
WHERE tasks.finished_at IS NULL AND tasks.status IN ('queued', 'unconfirmed') AND tasks.deadline_at <= :now
  AND tasks.provider_task_id IS NULL
ORDER BY tasks.deadline_at LIMIT :limit

-- select_next_deadline --
-- One step of the index for each status.
SELECT min(deadline_at) AS deadline_at FROM (
  SELECT * FROM (
    SELECT deadline_at FROM tasks WHERE finished_at IS NULL AND status = 'queued' AND provider_task_id IS NULL
    ORDER BY deadline_at LIMIT 1
  ) AS queued
  UNION ALL
  SELECT * FROM (
    SELECT deadline_at FROM tasks WHERE finished_at IS NULL AND status = 'unconfirmed' AND provider_task_id IS NULL
    ORDER BY deadline_at LIMIT 1
  ) AS unconfirmed
) AS firsts

-- select_unasked_tasks --
-- Past their deadline, with a provider that is not asked: a callback's claim may stand in, or they are given up.
SELECT tasks.*, inputs.input FROM tasks JOIN inputs ON inputs.task_id = tasks.id
JOIN timers ON timers.task_id = tasks.id
WHERE tasks.finished_at IS NULL AND tasks.status IN ('submitted', 'running') AND tasks.deadline_at <= :now
  AND tasks.provider = :provider AND (timers.claimed IS NOT NULL OR tasks.deadline_at <= :given_up_by)
ORDER BY tasks.deadline_at LIMIT :limit

-- upsert_timer --
INSERT INTO timers (task_id, provider, work, due_at, owner, tries, rings, rung_at, claimed, claimed_at, missing_since,
  answered_at, empty_since)
VALUES (:task_id, :provider, :work, :due_at, :owner, :tries, :rings, :rung_at, :claimed, :claimed_at, :missing_since,
  :answered_at, :empty_since)
ON CONFLICT (task_id) DO UPDATE SET work = excluded.work, due_at = excluded.due_at, owner = excluded.owner,
  tries = excluded.tries, rings = excluded.rings, rung_at = excluded.rung_at, claimed = excluded.claimed,
  claimed_at = excluded.claimed_at,
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

-- lease_timers --
UPDATE timers SET owner = :owner, due_at = :until WHERE task_id IN (SELECT value FROM json_each(:ids))

-- select_next_due_timer --
SELECT min(due_at) AS due_at FROM timers WHERE work = :work AND provider = :provider

-- claim_timer --
UPDATE timers SET owner = :owner, due_at = :until WHERE task_id = :task_id AND work = :work AND due_at <= :now

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
-- Once per task and digest: a repeat changes nothing, nor does what comes when a task has as many as are kept.
INSERT INTO inbox (task_id, digest, received_at, outcome, body)
SELECT :task_id, :digest, :received_at, :outcome, :body WHERE (SELECT count(*) FROM inbox WHERE task_id = :task_id) < :most
ON CONFLICT (task_id, digest) DO NOTHING

-- select_callbacks --
SELECT body FROM inbox WHERE task_id = :task_id ORDER BY received_at DESC

-- next_seq --
UPDATE counters SET value = value + 1 WHERE name = 'seq' RETURNING value

-- skip_seqs --
UPDATE counters SET value = value + :count WHERE name = 'seq' RETURNING value

-- select_seq --
SELECT value FROM counters WHERE name = 'seq'

-- set_seq --
UPDATE counters SET value = :value WHERE name = 'seq'

-- select_counter --
SELECT value FROM counters WHERE name = :counter

-- insert_event --
INSERT INTO events (seq, id, tenant, task_id, provider, type, at, body)
VALUES (:seq, :id, :tenant, :task_id, :provider, :type, :at, :body)

-- insert_destination --
INSERT INTO destinations (id, tenant, type, target, created_at, event_types, providers, models, metadata, format,
  description, headers, signature, ordered, max_in_flight, rate_per_second, retention_days, enabled, disabled_reason,
  hidden, hook, sealed_secret)
VALUES (:id, :tenant, :type, :target, :created_at, :event_types, :providers, :models, :metadata, :format,
  :description, :headers, :signature, :ordered, :max_in_flight, :rate_per_second, :retention_days, :enabled,
  :disabled_reason, :hidden, :hook, :sealed_secret)

-- upsert_hook --
-- Whoever subscribes the same URL to the same event again finds it, and enables it.
INSERT INTO destinations (id, tenant, type, target, created_at, event_types, format, description, max_in_flight,
  rate_per_second, enabled, hook, sealed_secret)
VALUES (:id, :tenant, :type, :target, :created_at, :event_types, :format, :description, :max_in_flight,
  :rate_per_second, 1, :hook, :sealed_secret)
ON CONFLICT (tenant, target, hook) WHERE hook IS NOT NULL DO UPDATE SET enabled = 1, disabled_reason = NULL

-- select_gone_hooks --
SELECT id FROM destinations WHERE hook IS NOT NULL AND disabled_reason = 'gone'

-- delete_gone_hook --
DELETE FROM destinations WHERE id = :id AND hook IS NOT NULL AND disabled_reason = 'gone'

-- select_hook --
SELECT id FROM destinations WHERE tenant = :tenant AND target = :target AND hook = :hook

-- update_destination --
UPDATE destinations SET target = :target, event_types = :event_types, providers = :providers, models = :models,
  metadata = :metadata, format = :format, description = :description, headers = :headers, signature = :signature,
  ordered = :ordered, max_in_flight = :max_in_flight, rate_per_second = :rate_per_second,
  retention_days = :retention_days, enabled = :enabled, disabled_reason = :disabled_reason,
  sealed_secret = :sealed_secret
WHERE id = :id

-- insert_hidden_destination --
-- The first task with this webhook_url makes it, the next ones find it: its id follows from tenant, URL and format.
INSERT INTO destinations (id, tenant, type, target, created_at, event_types, format, description, max_in_flight, enabled,
  hidden, sealed_secret)
VALUES (:id, :tenant, :type, :target, :created_at, :event_types, :format, :description, :max_in_flight, 1, 1, '')
ON CONFLICT DO NOTHING

-- enable_again --
UPDATE destinations SET enabled = 1, disabled_reason = NULL WHERE id = :id AND enabled = 0

-- select_destination --
SELECT * FROM destinations WHERE id = :id AND hidden = 0

-- select_hidden_destination --
SELECT * FROM destinations WHERE id = :id AND hidden = 1

-- insert_tenant_secret --
INSERT INTO tenant_secrets (tenant, sealed_secret) VALUES (:tenant, :sealed_secret) ON CONFLICT (tenant) DO NOTHING

-- select_tenant_secret --
SELECT * FROM tenant_secrets WHERE tenant = :tenant

-- upsert_tenant_secret --
INSERT INTO tenant_secrets (tenant, sealed_secret) VALUES (:tenant, :sealed_secret)
ON CONFLICT (tenant) DO UPDATE SET sealed_secret = excluded.sealed_secret

-- insert_retired_secret --
INSERT INTO retired_secrets (owner, sealed_secret, until) VALUES (:owner, :sealed_secret, :until)
ON CONFLICT (owner, sealed_secret) DO UPDATE SET until = excluded.until

-- select_retired_secrets_of --
SELECT * FROM retired_secrets WHERE owner = :owner AND until > :now ORDER BY until DESC

-- delete_retired_secrets --
DELETE FROM retired_secrets WHERE until <= :now

-- delete_retired_secret --
DELETE FROM retired_secrets WHERE owner = :owner AND sealed_secret = :sealed_secret

-- delete_retired_secrets_of --
DELETE FROM retired_secrets WHERE owner = :owner

-- select_sealed_secrets --
SELECT 'destination' AS place, id AS row, sealed_secret AS text FROM destinations WHERE sealed_secret <> ''
UNION ALL SELECT 'headers', id, headers FROM destinations WHERE headers IS NOT NULL
UNION ALL SELECT 'tenant', 'tenant:' || tenant, sealed_secret FROM tenant_secrets
UNION ALL SELECT 'retired', owner, sealed_secret FROM retired_secrets

-- reseal_destination --
UPDATE destinations SET sealed_secret = :text WHERE id = :row AND sealed_secret = :old

-- reseal_headers --
UPDATE destinations SET headers = :text WHERE id = :row AND headers = :old

-- reseal_tenant --
UPDATE tenant_secrets SET sealed_secret = :text WHERE 'tenant:' || tenant = :row AND sealed_secret = :old

-- reseal_retired --
UPDATE retired_secrets SET sealed_secret = :text WHERE owner = :row AND sealed_secret = :old

-- select_log --
SELECT * FROM destinations WHERE tenant = :tenant AND type = 'sqlite' AND target = :target

-- select_ordered --
SELECT id FROM destinations WHERE ordered = 1 ORDER BY id

-- select_logs_with_an_end --
SELECT * FROM destinations WHERE type = 'sqlite' AND retention_days IS NOT NULL ORDER BY id

-- select_enabled_destinations --
SELECT * FROM destinations WHERE tenant = :tenant AND enabled = 1 AND hidden = 0

-- delete_destination --
DELETE FROM destinations WHERE id = :id

-- select_latest_pending --
SELECT id FROM deliveries
WHERE destination_id = :destination_id AND state = 'pending' AND id < :before ORDER BY id DESC LIMIT :limit

-- cancel_deliveries --
UPDATE deliveries SET state = 'canceled', due_at = NULL, owner = NULL
WHERE destination_id = :destination_id AND state = 'pending'

-- cancel_some_deliveries --
UPDATE deliveries SET state = 'canceled', due_at = NULL, owner = NULL WHERE id IN (SELECT value FROM json_each(:ids))

-- insert_delivery --
INSERT INTO deliveries (id, tenant, event_seq, event_id, task_id, destination_id, state, created_at, due_at, attempts,
  tries, owner)
VALUES (:id, :tenant, :event_seq, :event_id, :task_id, :destination_id, :state, :created_at, :due_at, :attempts,
  :tries, :owner)

-- select_delivery --
SELECT * FROM deliveries WHERE id = :id

-- select_delivery_states --
-- `|| ''` as in form_lines.
SELECT DISTINCT event_id, state FROM deliveries
WHERE event_id IN (SELECT value FROM json_each(:event_ids)) AND destination_id || '' = :destination_id

-- select_queues --
-- One index step per destination that is owed something, however long its queue is.
WITH RECURSIVE owed (id) AS (
  SELECT min(destination_id) FROM deliveries WHERE state = 'pending'
  UNION ALL
  SELECT (SELECT min(destination_id) FROM deliveries WHERE state = 'pending' AND destination_id > owed.id)
  FROM owed WHERE owed.id IS NOT NULL
)
SELECT owed.id, destinations.tenant, destinations.type, destinations.max_in_flight, destinations.rate_per_second,
  coalesce(breakers.failures, 0) AS failures, breakers.probe_at,
  (SELECT min(due_at) FROM deliveries WHERE state = 'pending' AND destination_id = owed.id) AS next_due_at
FROM owed JOIN destinations ON destinations.id = owed.id
LEFT JOIN breakers ON breakers.destination_id = destinations.id
WHERE destinations.enabled = 1

-- select_deliverable --
-- A hidden destination signs with its tenant's secret.
SELECT destinations.*, secrets.sealed_secret AS tenant_secret
FROM destinations
LEFT JOIN tenant_secrets AS secrets ON destinations.hidden = 1 AND secrets.tenant = destinations.tenant
WHERE destinations.id = :id AND destinations.enabled = 1

-- select_due_deliveries --
SELECT deliveries.*, events.body, inputs.input
FROM deliveries
JOIN events ON events.seq = deliveries.event_seq
LEFT JOIN inputs ON inputs.task_id = deliveries.task_id
WHERE deliveries.destination_id = :destination_id AND deliveries.state = 'pending' AND deliveries.due_at <= :now
ORDER BY deliveries.due_at LIMIT :limit

-- select_freshest_deliveries --
SELECT deliveries.*, events.body, inputs.input
FROM deliveries
JOIN events ON events.seq = deliveries.event_seq
LEFT JOIN inputs ON inputs.task_id = deliveries.task_id
WHERE deliveries.destination_id = :destination_id AND deliveries.state = 'pending' AND deliveries.due_at <= :now
ORDER BY deliveries.due_at DESC LIMIT :limit

-- select_first_delivery --
-- The one to probe with; never one that is under way.
SELECT deliveries.*, events.body, inputs.input
FROM deliveries
JOIN events ON events.seq = deliveries.event_seq
LEFT JOIN inputs ON inputs.task_id = deliveries.task_id
WHERE deliveries.destination_id = :destination_id AND deliveries.state = 'pending' AND deliveries.due_at IS NOT NULL
  AND (deliveries.owner IS NULL OR deliveries.due_at <= :now)
ORDER BY deliveries.due_at LIMIT 1

-- select_last_attempt --
SELECT max(number) AS number FROM attempts WHERE delivery_id = :delivery_id

-- select_next_due_delivery --
SELECT min(due_at) AS due_at FROM deliveries WHERE destination_id = :destination_id AND state = 'pending'

-- select_breaker --
SELECT * FROM breakers WHERE destination_id = :destination_id

-- select_held --
SELECT destinations.id, destinations.enabled, breakers.probe_at
FROM destinations LEFT JOIN breakers ON breakers.destination_id = destinations.id
WHERE destinations.id IN (SELECT value FROM json_each(:ids))
  AND (destinations.enabled = 0 OR breakers.probe_at IS NOT NULL)

-- upsert_breaker --
INSERT INTO breakers (destination_id, failures, failing, failing_since, reason, opened_at, probe_at, probes)
VALUES (:destination_id, :failures, :failing, :failing_since, :reason, :opened_at, :probe_at, :probes)
ON CONFLICT (destination_id) DO UPDATE SET failures = excluded.failures, failing = excluded.failing,
  failing_since = excluded.failing_since, reason = excluded.reason, opened_at = excluded.opened_at, probe_at = excluded.probe_at,
  probes = excluded.probes

-- delete_breaker --
DELETE FROM breakers WHERE destination_id = :destination_id

-- select_waiting_delivery --
-- `|| ''` as in form_lines.
SELECT id FROM deliveries
WHERE task_id = :task_id AND destination_id || '' = :destination_id AND state = 'pending' LIMIT 1

-- advance_line --
-- `|| ''` as in form_lines.
UPDATE deliveries SET due_at = :now WHERE due_at IS NULL AND id = (
  SELECT id FROM deliveries WHERE task_id = :task_id AND destination_id || '' = :destination_id AND state = 'pending'
  ORDER BY due_at IS NULL, event_seq, id LIMIT 1
)

-- fall_in --
-- `|| ''` as in form_lines.
UPDATE deliveries SET due_at = NULL WHERE id = :id AND state = 'pending' AND EXISTS (
  SELECT 1 FROM deliveries AS earlier
  WHERE earlier.task_id = deliveries.task_id AND earlier.destination_id || '' = deliveries.destination_id
    AND earlier.state = 'pending' AND (earlier.event_seq, earlier.id) < (deliveries.event_seq, deliveries.id)
)

-- form_lines --
-- Behind one that waits itself nobody waits, so that lines which were formed before stay as they are. `|| ''` keeps
-- the planner off the indexes by destination, which hold thousands where a task has a handful.
UPDATE deliveries SET due_at = NULL
WHERE id IN (SELECT value FROM json_each(:ids)) AND due_at IS NOT NULL AND owner IS NULL AND task_id <> '' AND EXISTS (
  SELECT 1 FROM deliveries AS other
  WHERE other.task_id = deliveries.task_id AND other.destination_id || '' = deliveries.destination_id
    AND other.state = 'pending' AND other.due_at IS NOT NULL AND other.id <> deliveries.id
    AND (other.owner IS NOT NULL OR (other.event_seq, other.id) < (deliveries.event_seq, deliveries.id))
)

-- select_latest_waiting --
SELECT id FROM deliveries
WHERE destination_id = :destination_id AND state = 'pending' AND due_at IS NULL AND id < :before
ORDER BY id DESC LIMIT :limit

-- dissolve_lines --
UPDATE deliveries SET due_at = :now WHERE id IN (SELECT value FROM json_each(:ids))

-- set_delivery --
UPDATE deliveries SET state = :state, tries = :tries, due_at = :due_at, owner = NULL WHERE id = :id

-- select_newest_seq --
SELECT max(seq) AS seq FROM events WHERE tenant = :tenant

-- select_last_seq --
SELECT max(seq) AS seq FROM events

-- select_events_after --
SELECT * FROM events WHERE seq > :seq ORDER BY seq LIMIT :limit

-- select_versions --
SELECT id, version FROM tasks WHERE id IN (SELECT value FROM json_each(:ids))

-- select_span --
-- By the index of ids, not by the tenant's, which would be read from its beginning.
SELECT min(seq) AS first, max(seq) AS last FROM events
WHERE id >= :first_id AND id < :end_id AND tenant || '' = :tenant

-- select_events_between --
-- Around the ends of a span ids and seqs may be in different orders: what was made earlier is passed over.
SELECT * FROM events
WHERE tenant = :tenant AND seq > :after AND seq <= :last AND id || '' >= :first_id AND id || '' < :end_id
ORDER BY seq LIMIT :limit

-- select_old_events --
-- Those that are still owed, too: they are passed over, and a bite's work has an end.
SELECT id, seq, tenant, EXISTS (
  SELECT 1 FROM deliveries WHERE deliveries.event_id = events.id AND deliveries.state = 'pending'
) AS owed
FROM events WHERE id > :after AND id < :end_id ORDER BY id LIMIT :limit

-- prune_attempts --
DELETE FROM attempts WHERE delivery_id IN (
  SELECT id FROM deliveries WHERE event_id IN (SELECT value FROM json_each(:ids))
)

-- prune_deliveries --
DELETE FROM deliveries WHERE event_id IN (SELECT value FROM json_each(:ids))

-- prune_events --
DELETE FROM events WHERE id IN (SELECT value FROM json_each(:ids))

-- raise_pruned --
INSERT INTO pruned (tenant, seq) VALUES (:tenant, :seq)
ON CONFLICT (tenant) DO UPDATE SET seq = CASE WHEN excluded.seq > pruned.seq THEN excluded.seq ELSE pruned.seq END

-- select_pruned --
SELECT seq FROM pruned WHERE tenant = :tenant

-- select_old_tasks --
SELECT id, webhook_id, finished_at IS NULL OR finished_at >= :before
  OR EXISTS (SELECT 1 FROM timers WHERE timers.task_id = tasks.id)
  OR EXISTS (SELECT 1 FROM events WHERE events.task_id = tasks.id) AS kept
FROM tasks WHERE id > :after AND id < :end_id ORDER BY id LIMIT :limit

-- prune_inputs --
DELETE FROM inputs WHERE task_id IN (SELECT value FROM json_each(:ids))

-- prune_inbox --
DELETE FROM inbox WHERE task_id IN (SELECT value FROM json_each(:ids))

-- prune_notes --
DELETE FROM notes WHERE task_id IN (SELECT value FROM json_each(:ids))

-- prune_tallies --
DELETE FROM tallies WHERE task_id IN (SELECT value FROM json_each(:ids))

-- prune_idempotency_keys --
DELETE FROM idempotency_keys WHERE task_id IN (SELECT value FROM json_each(:ids))

-- prune_tasks --
DELETE FROM tasks WHERE id IN (SELECT value FROM json_each(:ids))

-- prune_destinations --
-- The hidden ones of tasks that are gone, where no other task has the same.
DELETE FROM destinations WHERE hidden = 1 AND id IN (SELECT value FROM json_each(:ids)) AND NOT EXISTS (
  SELECT 1 FROM tasks WHERE tasks.webhook_id = destinations.id
)

-- prune_breakers --
DELETE FROM breakers WHERE destination_id IN (SELECT value FROM json_each(:ids)) AND NOT EXISTS (
  SELECT 1 FROM destinations WHERE destinations.id = breakers.destination_id
)

-- lease_deliveries --
-- The attempt is counted before the work, so that what kills its worker comes to an end.
UPDATE deliveries SET owner = :owner, due_at = :until, attempts = attempts + 1
WHERE id IN (SELECT value FROM json_each(:ids))

-- insert_attempt --
INSERT INTO attempts (delivery_id, number, at, duration_ms, status, error, response)
VALUES (:delivery_id, :number, :at, :duration_ms, :status, :error, :response)
ON CONFLICT (delivery_id, number) DO NOTHING

-- settle_delivery --
-- A success is recorded whoever holds the lease, and of one that was given up meanwhile: it did arrive. Anything else
-- only if it is still ours.
UPDATE deliveries SET state = :state, tries = :tries, due_at = :due_at, owner = NULL
WHERE id = :id AND (state = 'pending' AND owner = :owner OR state <> 'delivered' AND :state = 'delivered')

-- settle_delivered --
UPDATE deliveries SET state = 'delivered', due_at = NULL, owner = NULL WHERE id = :id AND state <> 'delivered'

-- select_attempts --
SELECT * FROM attempts WHERE delivery_id = :delivery_id ORDER BY number

-- select_schema_version --
SELECT max(version) AS version FROM schema_migrations

-- release_delivery --
UPDATE deliveries SET owner = NULL, due_at = :now, attempts = attempts - 1
WHERE id = :id AND state = 'pending' AND owner = :owner

-- lapse_timers --
-- The owner stays: a submit that somebody else began is unconfirmed.
-- Looked for where a lease can lie, one index step per provider, not among all that wait.
WITH RECURSIVE works (work) AS (VALUES ('submit'), ('poll')), known (work, provider) AS (
  SELECT work, (SELECT min(provider) FROM timers WHERE timers.work = works.work) FROM works
  UNION ALL
  SELECT work, (SELECT min(provider) FROM timers WHERE timers.work = known.work AND timers.provider > known.provider)
  FROM known WHERE known.provider IS NOT NULL
)
UPDATE timers SET due_at = :now WHERE task_id IN (
  SELECT leased.task_id FROM known JOIN timers AS leased ON leased.work = known.work AND leased.provider = known.provider
  WHERE leased.due_at > :now AND leased.due_at <= :until AND leased.owner IS NOT NULL
)

-- lapse_deliveries --
WITH RECURSIVE owed (id) AS (
  SELECT min(destination_id) FROM deliveries WHERE state = 'pending'
  UNION ALL
  SELECT (SELECT min(destination_id) FROM deliveries WHERE state = 'pending' AND destination_id > owed.id)
  FROM owed WHERE owed.id IS NOT NULL
)
UPDATE deliveries SET due_at = :now WHERE id IN (
  SELECT leased.id FROM owed JOIN deliveries AS leased ON leased.destination_id = owed.id AND leased.state = 'pending'
  WHERE leased.due_at > :now AND leased.due_at <= :until AND leased.owner IS NOT NULL
)

-- select_last_of_timers --
SELECT task_id FROM timers WHERE task_id > :after ORDER BY task_id LIMIT 1 OFFSET :others

-- hasten_safety_polls --
-- Spread over the time given, so that they do not all come at once. `|| ''` keeps the planner off the index of what is
-- due, which would be gone through to its end for every bite.
UPDATE timers SET due_at = :now + abs(random()) % :within
WHERE task_id > :after AND task_id <= :last AND work || '' = 'poll' AND due_at > :now + :within
  AND (answered_at IS NULL OR answered_at <= :since) AND EXISTS (
  SELECT 1 FROM tasks WHERE tasks.id = timers.task_id AND tasks.callback_expected = 1 AND tasks.created_at <= :since
    AND tasks.provider_task_id IS NOT NULL AND tasks.status IN ('submitted', 'running')
)

-- hasten_polls --
-- All that can be asked about, those that are long due too, spread over the time given.
UPDATE timers SET due_at = :now + abs(random()) % :within
WHERE work = 'poll' AND EXISTS (
  SELECT 1 FROM tasks WHERE tasks.id = timers.task_id AND tasks.provider_task_id IS NOT NULL
)

-- select_submits --
SELECT task_id FROM timers WHERE work = 'submit' AND task_id > :after ORDER BY task_id LIMIT :limit

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
INSERT INTO notes (task_id, number, sequence, at, kind, text, data)
SELECT :task_id, count(*), :sequence, :at, :kind, :text, :data FROM notes WHERE task_id = :task_id HAVING count(*) < :most

-- count_unkept --
-- Where the next note of a task is not kept, it is counted.
INSERT INTO tallies (task_id, after, kind, count, first_at, last_at)
SELECT task_id, :most, :kind, 1, :at, :at FROM notes WHERE task_id = :task_id AND number = :most - 1
ON CONFLICT (task_id, after, kind) DO UPDATE SET count = tallies.count + 1, last_at = excluded.last_at

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
SELECT events.* FROM tasks
JOIN events ON events.task_id = '' AND events.provider = tasks.provider
  AND events.type IN ('provider.paused', 'provider.resumed')
  AND events.at > tasks.created_at AND events.at <= COALESCE(tasks.finished_at, events.at)
WHERE tasks.id = :task_id ORDER BY events.seq LIMIT :limit

-- select_deliveries_of_task --
SELECT deliveries.*, events.type AS event_type, destinations.type AS destination_type, destinations.target,
  destinations.description, destinations.hidden
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

-- insert_api_key --
INSERT INTO api_keys (id, tenant, label, scopes, digest, hint, created_at, last_used_at)
VALUES (:id, :tenant, :label, :scopes, :digest, :hint, :created_at, :last_used_at)

-- select_api_key_by_digest --
SELECT * FROM api_keys WHERE digest = :digest

-- select_api_key --
SELECT * FROM api_keys WHERE id = :id

-- delete_api_key --
DELETE FROM api_keys WHERE id = :id

-- note_use --
UPDATE api_keys SET last_used_at = :now WHERE id = :id AND (last_used_at IS NULL OR last_used_at < :now)

-- select_tenant_spelt_otherwise --
SELECT tenant FROM api_keys WHERE lower(tenant) = lower(:tenant) AND tenant <> :tenant LIMIT 1

-- select_part_of_history --
-- In the index alone: the oldest of the newest so many.
SELECT min(id) AS first, count(*) AS count FROM (
  SELECT id FROM tasks WHERE tenant = :tenant AND id >= :since AND id < :before ORDER BY id DESC LIMIT :limit
) AS part

-- count_waiting_tasks --
SELECT count(*) AS count FROM (
  SELECT task_id FROM timers WHERE work = :work AND provider = :provider LIMIT :most
) AS these

-- count_doubts --
SELECT provider, count(*) AS count FROM (
  SELECT provider FROM tasks WHERE finished_at IS NULL AND status = 'unconfirmed' LIMIT :most
) AS these
GROUP BY provider

-- count_deliveries_of_kind --
-- Destination by destination (CROSS JOIN is SQLite's word for that), in the index of their states.
SELECT count(*) AS count FROM (
  SELECT deliveries.id FROM destinations CROSS JOIN deliveries
  WHERE destinations.type = :type AND deliveries.destination_id = destinations.id AND deliveries.state = :state
  LIMIT :most
) AS these

-- select_oldest_owed --
-- Two index steps per destination that is owed something: ids tell when they were made.
WITH RECURSIVE owed (id) AS (
  SELECT min(destination_id) FROM deliveries WHERE state = 'pending'
  UNION ALL
  SELECT (SELECT min(destination_id) FROM deliveries WHERE state = 'pending' AND destination_id > owed.id)
  FROM owed WHERE owed.id IS NOT NULL
)
SELECT each.type, min(each.first) AS id FROM (
  SELECT destinations.type,
    (SELECT min(id) FROM deliveries WHERE destination_id = owed.id AND state = 'pending') AS first
  FROM owed JOIN destinations ON destinations.id = owed.id WHERE destinations.enabled = 1
) AS each
GROUP BY each.type

-- count_destinations --
SELECT each.type, each.state, count(*) AS count FROM (
  SELECT destinations.type, CASE
    WHEN destinations.enabled = 0 THEN 'disabled' WHEN breakers.probe_at IS NOT NULL THEN 'failing' ELSE 'healthy'
  END AS state
  FROM destinations LEFT JOIN breakers ON breakers.destination_id = destinations.id
) AS each
GROUP BY each.type, each.state

-- select_paused --
SELECT provider FROM standings WHERE paused IS NOT NULL
