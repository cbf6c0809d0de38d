"""Verbs about what is kept no longer."""

from collections.abc import Sequence

from receiver import json_text
from receiver.domain import Ms
from receiver.ids import first_id
from receiver.store.statements import Statements

_OF_EVENTS = ("prune_attempts", "prune_deliveries", "prune_events")
_OF_TASKS = ("prune_inputs", "prune_inbox", "prune_notes", "prune_tallies", "prune_keys", "prune_tasks")


class RetentionVerbs(Statements):
    def prune(self, before: Ms, *, limit: int) -> int:
        events = self.run("select_prunable_events", end_id=first_id("evt", before), limit=limit)
        self._delete(_OF_EVENTS, [row["id"] for row in events])
        if events:
            self.count("raise_pruned", seq=max(row["seq"] for row in events))
        tasks = self.run("select_prunable_tasks", end_id=first_id("task", before), before=before, limit=limit)
        self._delete(_OF_TASKS, [row["id"] for row in tasks])
        return len(events) + len(tasks)

    def pruned_seq(self) -> int:
        [row] = self.run("select_pruned")
        return int(row["value"])

    def _delete(self, names: Sequence[str], ids: Sequence[str]) -> None:
        if ids:
            for name in names:
                self.count(name, ids=json_text.write(list(ids)))
