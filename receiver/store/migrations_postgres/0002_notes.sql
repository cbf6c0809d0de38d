-- A task's notes are told one from the other by their number. Two transactions at once may have given the same one.
UPDATE notes SET number = told.place FROM (
  SELECT id, row_number() OVER (PARTITION BY task_id ORDER BY number, id) - 1 AS place FROM notes
) AS told
WHERE notes.id = told.id AND notes.number <> told.place;
DROP INDEX notes_by_task;
ALTER TABLE notes DROP COLUMN id;
ALTER TABLE notes ADD PRIMARY KEY (task_id, number);
