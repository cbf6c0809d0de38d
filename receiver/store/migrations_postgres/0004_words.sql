-- What a provider said to a process is more than until when to wait; whoever is alive says it again within a second.
DELETE FROM replicas;
ALTER TABLE replicas RENAME COLUMN holds TO words;
