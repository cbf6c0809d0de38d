-- When a callback claimed what it claimed. Until now that was when the last one rang, for older claims were forgotten.
ALTER TABLE timers ADD COLUMN claimed_at BIGINT;
UPDATE timers SET claimed_at = rung_at WHERE claimed IS NOT NULL;
