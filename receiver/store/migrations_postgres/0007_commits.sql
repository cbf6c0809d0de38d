-- The last transaction that each process committed, written by that transaction itself: a process that does not hear the
-- answer to its COMMIT finds it here. A transaction's id alone proves nothing: a server that ended before it had written
-- anything of a transaction to disk gives the same id to another one.
CREATE TABLE commits (
  process TEXT COLLATE "C" PRIMARY KEY,
  transaction TEXT NOT NULL,
  at BIGINT NOT NULL
) WITH (fillfactor = 50);
