-- Statements that PostgreSQL needs in another form, by the name of the shared one that they replace; at the end those
-- that nobody else has. :process is the identity of the process that runs them; :name[] is an array.

-- upsert_timer --
INSERT INTO timers (task_id, provider, work, due_at, owner, holder, tries, rings, rung_at, claimed, claimed_at,
  missing_since, answered_at, empty_since)
VALUES (:task_id, :provider, :work, :due_at, :owner, :process, :tries, :rings, :rung_at, :claimed, :claimed_at,
  :missing_since, :answered_at, :empty_since)
ON CONFLICT (task_id) DO UPDATE SET work = excluded.work, due_at = excluded.due_at, owner = excluded.owner,
  holder = excluded.holder, tries = excluded.tries, rings = excluded.rings, rung_at = excluded.rung_at,
  claimed = excluded.claimed, claimed_at = excluded.claimed_at, missing_since = excluded.missing_since,
  answered_at = excluded.answered_at, empty_since = excluded.empty_since

-- select_tasks --
-- As an array, here and below: of a list PostgreSQL expects a hundred, and reads a small table from end to end.
SELECT tasks.*, inputs.input FROM tasks JOIN inputs ON inputs.task_id = tasks.id
WHERE tasks.id = ANY (ARRAY(SELECT value FROM json_each(:ids)))

-- select_timer --
SELECT task_id, provider, work, due_at, owner, tries, rings, rung_at, claimed, claimed_at, missing_since, answered_at,
  empty_since
FROM timers WHERE task_id = :task_id

-- select_due_timers --
SELECT task_id, provider, work, due_at, owner, tries, rings, rung_at, claimed, claimed_at, missing_since, answered_at,
  empty_since
FROM timers WHERE work = :work AND provider = :provider AND due_at <= :now ORDER BY due_at LIMIT :limit

-- select_freshest_timers --
SELECT task_id, provider, work, due_at, owner, tries, rings, rung_at, claimed, claimed_at, missing_since, answered_at,
  empty_since
FROM timers WHERE work = :work AND provider = :provider AND due_at <= :now ORDER BY due_at DESC LIMIT :limit

-- select_leased_timers --
SELECT task_id, provider, work, due_at, owner, tries, rings, rung_at, claimed, claimed_at, missing_since, answered_at,
  empty_since
FROM timers WHERE work = :work AND owner IS NOT NULL AND (:mine = 0 OR holder = :process)

-- lease_timers --
UPDATE timers SET owner = :owner, holder = :process, due_at = :until
WHERE task_id = ANY (ARRAY(SELECT value FROM json_each(:ids)))

-- claim_timer --
UPDATE timers SET owner = :owner, holder = :process, due_at = :until
WHERE task_id = :task_id AND work = :work AND due_at <= :now

-- lapse_timers --
UPDATE timers SET due_at = :now WHERE owner IS NOT NULL AND holder = :process AND due_at > :now

-- lapse_deliveries --
UPDATE deliveries SET due_at = :now
WHERE state = 'pending' AND owner IS NOT NULL AND holder = :process AND due_at > :now

-- release_polls --
UPDATE timers SET owner = NULL, due_at = :now WHERE work = 'poll' AND owner IS NOT NULL AND holder = :process

-- release_deliveries --
UPDATE deliveries SET owner = NULL, due_at = :now, attempts = attempts - 1
WHERE state = 'pending' AND owner IS NOT NULL AND holder = :process

-- lease_deliveries --
UPDATE deliveries SET owner = :owner, holder = :process, due_at = :until, attempts = attempts + 1
WHERE id = ANY (ARRAY(SELECT value FROM json_each(:ids)))

-- hasten_safety_polls --
UPDATE timers SET due_at = :now + CAST(floor(random() * :within) AS BIGINT)
WHERE task_id > :after AND task_id <= :last AND work || '' = 'poll' AND due_at > :now + :within
  AND (answered_at IS NULL OR answered_at <= :since) AND EXISTS (
  SELECT 1 FROM tasks WHERE tasks.id = timers.task_id AND tasks.callback_expected = 1 AND tasks.created_at <= :since
    AND tasks.provider_task_id IS NOT NULL AND tasks.status IN ('submitted', 'running')
)

-- hasten_polls --
UPDATE timers SET due_at = :now + CAST(floor(random() * :within) AS BIGINT)
WHERE work = 'poll' AND EXISTS (
  SELECT 1 FROM tasks WHERE tasks.id = timers.task_id AND tasks.provider_task_id IS NOT NULL
)

-- next_seq --
UPDATE counters SET value = value + :count WHERE name = 'seq' RETURNING value

-- insert_event --
INSERT INTO events (seq, id, tenant, task_id, provider, type, at, body)
SELECT * FROM unnest(CAST(:seq[] AS BIGINT[]), CAST(:id[] AS TEXT[]), CAST(:tenant[] AS TEXT[]), CAST(:task_id[] AS TEXT[]),
  CAST(:provider[] AS TEXT[]), CAST(:type[] AS TEXT[]), CAST(:at[] AS BIGINT[]), CAST(:body[] AS TEXT[]))

-- insert_attempt --
INSERT INTO attempts (delivery_id, number, at, duration_ms, status, error, response)
SELECT * FROM unnest(CAST(:delivery_id[] AS TEXT[]), CAST(:number[] AS INTEGER[]), CAST(:at[] AS BIGINT[]),
  CAST(:duration_ms[] AS INTEGER[]), CAST(:status[] AS INTEGER[]), CAST(:error[] AS TEXT[]), CAST(:response[] AS TEXT[]))
ON CONFLICT (delivery_id, number) DO NOTHING

-- settle_delivered --
UPDATE deliveries SET state = 'delivered', due_at = NULL, owner = NULL
WHERE id = ANY (CAST(:id[] AS TEXT[])) AND state <> 'delivered'

-- insert_delivery --
INSERT INTO deliveries (id, tenant, event_seq, event_id, task_id, destination_id, state, created_at, due_at, attempts,
  tries, owner, holder)
SELECT *, :process FROM unnest(CAST(:id[] AS TEXT[]), CAST(:tenant[] AS TEXT[]), CAST(:event_seq[] AS BIGINT[]),
  CAST(:event_id[] AS TEXT[]), CAST(:task_id[] AS TEXT[]), CAST(:destination_id[] AS TEXT[]), CAST(:state[] AS TEXT[]),
  CAST(:created_at[] AS BIGINT[]), CAST(:due_at[] AS BIGINT[]), CAST(:attempts[] AS INTEGER[]), CAST(:tries[] AS INTEGER[]),
  CAST(:owner[] AS TEXT[]))

-- form_lines --
-- `|| ''` keeps the planner off the indexes that hold thousands where a task has a handful, that of what is due among them.
UPDATE deliveries SET due_at = NULL
WHERE id IN (SELECT value FROM json_each(:ids)) AND due_at IS NOT NULL AND owner IS NULL AND task_id <> '' AND EXISTS (
  SELECT 1 FROM deliveries AS other
  WHERE other.task_id = deliveries.task_id AND other.destination_id || '' = deliveries.destination_id
    AND other.state || '' = 'pending' AND other.due_at IS NOT NULL AND other.id <> deliveries.id
    AND (other.owner IS NOT NULL OR (other.event_seq, other.id) < (deliveries.event_seq, deliveries.id))
)

-- beat --
-- One that was taken for gone begins anew: the others have taken over its part.
INSERT INTO replicas (id, began_at, seen_at, words) VALUES (:process, :now, :now, :words)
ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at, words = excluded.words,
  began_at = CASE WHEN replicas.seen_at <= :gone THEN excluded.began_at ELSE replicas.began_at END

-- rest --
UPDATE replicas SET seen_at = :gone WHERE id = :process

-- select_replicas --
SELECT id, began_at, seen_at, words FROM replicas

-- forget_replica --
DELETE FROM replicas WHERE id = :process

-- forget_replicas --
-- Long gone: nobody gives them a part any more.
DELETE FROM replicas WHERE seen_at < :before

-- database_time --
SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT) AS now

-- forget_commits --
-- Who asks for one that is gone learns that nobody knows.
DELETE FROM commits WHERE at < :before
