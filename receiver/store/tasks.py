"""Verbs about tasks, their timers and their callbacks."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from receiver import json_text
from receiver.domain import Ms, Status, Task, Timer, Work
from receiver.ids import first_id
from receiver.store.records import BEHIND_ALL, Found, LeasedTimer, Page
from receiver.store.rows import task_of, task_row, timer_of, timer_row
from receiver.store.searches import MOST_SEARCHED, Condition, Searches
from receiver.store.statements import Row

# All others have an index of their own. SQLite, and so this, says of it what the migration says.
COMMON_STATUSES = ("submitting", "submitted", "running", "succeeded")
_RARE = " AND ".join(f"tasks.status <> '{each}'" for each in COMMON_STATUSES)
# One step of the unique index per provider that there is.
_ANY_PROVIDER = """tasks.provider IN (
  WITH RECURSIVE known (provider) AS (
    SELECT min(provider) FROM tasks WHERE provider_task_id IS NOT NULL
    UNION ALL
    SELECT (SELECT min(provider) FROM tasks WHERE provider_task_id IS NOT NULL AND provider > known.provider)
    FROM known WHERE known.provider IS NOT NULL
  )
  SELECT provider FROM known
)"""


class TaskVerbs(Searches):
    def record_task(self, task: Task) -> None:
        self.count("insert_task", **task_row(task))
        text = task.input.text if isinstance(task.input, json_text.Unread) else json_text.write(dict(task.input))
        self.count("insert_input", task_id=task.id, input=text)

    def task(self, task_id: str) -> Task | None:
        row = self.one("select_task", id=task_id)
        return task_of(row) if row else None

    def tasks(self, task_ids: Collection[str]) -> Mapping[str, Task]:
        rows = self.run("select_tasks", ids=json_text.write(list(task_ids)))
        return {row["id"]: task_of(row) for row in rows}

    def task_of_provider(self, provider: str, provider_task_id: str) -> Task | None:
        row = self.one("select_task_by_provider", provider=provider, provider_task_id=provider_task_id)
        return task_of(row) if row else None

    def save_task(self, task: Task, *, expected_version: int) -> bool:
        return self.count("update_task", **task_row(task), expected=expected_version) == 1

    def task_versions(self, task_ids: Collection[str]) -> Mapping[str, int]:
        rows = self.run("select_versions", ids=json_text.write(list(task_ids)))
        return {row["id"]: row["version"] for row in rows}

    def resubmitted(self, task_id: str) -> bool:
        return self.one("select_resubmission", task_id=task_id) is not None

    def list_tasks(self, page: Page) -> Found[Task]:
        filters = {name: value for name, value in (page.where or {}).items() if value is not None}
        after, before = page.created_after, page.created_before
        piece = [
            *self._way(page.tenant, filters),
            ("tasks.id < ?", page.cursor),
            # Ids tell when a task was made.
            ("tasks.id >= ?", None if after is None else first_id("task", after + 1)),
            ("tasks.id < ?", None if before is None else first_id("task", before)),
        ]
        rest: list[Condition] = [("json_extract(tasks.error, '$.kind') = ?", filters.pop("error_kind", None))]
        rest += [(f"tasks.{column} = ?", value) for column, value in filters.items()]
        for key, value in (page.metadata or {}).items():
            rest.append(("EXISTS (SELECT 1 FROM json_each(tasks.metadata) WHERE key = ? AND value = ?)", key, value))
        return self.search(
            "SELECT tasks.*, inputs.input FROM tasks JOIN inputs ON inputs.task_id = tasks.id",
            [piece],
            rest,
            key="tasks.id",
            newest_first=True,
            limit=page.limit,
            item=task_of,
        )

    def _way(self, tenant: str, filters: dict[str, Any]) -> list[Condition]:
        """The index by which a list is found, as the conditions that lead there; they are taken out of the filters."""
        among: Condition = ("tasks.tenant || '' = ?", tenant)
        if "provider_task_id" in filters:
            of = ("tasks.provider = ?", filters.pop("provider")) if "provider" in filters else (_ANY_PROVIDER,)
            return [("tasks.provider_task_id = ?", filters.pop("provider_task_id")), of, among]
        status = filters.get("status")
        if status is not None and status not in COMMON_STATUSES:
            return [("tasks.tenant = ?", tenant), ("tasks.status = ?", filters.pop("status")), (_RARE,)]
        if status is not None and status != Status.SUCCEEDED and self._few(status):
            return [("tasks.finished_at IS NULL",), ("tasks.status = ?", filters.pop("status")), among]
        return [("tasks.tenant = ?", tenant)]

    def _few(self, status: str) -> bool:
        """Whether so few tasks have it that all of them can be looked through; else most of the newest have it."""
        [row] = self.run("count_open_tasks", status=status, most=MOST_SEARCHED)
        return int(row["count"]) < MOST_SEARCHED

    def overdue_tasks(self, now: Ms, *, limit: int) -> Sequence[Task]:
        return [task_of(row) for row in self.run("select_overdue_tasks", now=now, limit=limit)]

    def next_deadline(self) -> Ms | None:
        row = self.one("select_next_deadline")
        return row["deadline_at"] if row else None

    def unasked_tasks(self, provider: str, *, now: Ms, given_up_by: Ms, limit: int) -> Sequence[Task]:
        of = {"provider": provider, "now": now, "given_up_by": given_up_by}
        return [task_of(row) for row in self.run("select_unasked_tasks", **of, limit=limit)]

    def timer(self, task_id: str) -> Timer | None:
        row = self.one("select_timer", task_id=task_id)
        return timer_of(row) if row else None

    def set_timer(self, timer: Timer) -> None:
        self.count("upsert_timer", **timer_row(timer))

    def drop_timer(self, task_id: str) -> None:
        self.count("delete_timer", task_id=task_id)

    def claim_timers(
        self, work: Work, provider: str, *, owner: str, now: Ms, until: Ms, limit: int, freshest: int = 0
    ) -> Sequence[LeasedTimer]:
        of = {"work": work.value, "provider": provider, "now": now}
        rows = list(self.run("select_due_timers", **of, limit=limit - freshest))
        if freshest and len(rows) == limit - freshest:
            known = {row["task_id"] for row in rows}
            newest = self.run("select_freshest_timers", **of, limit=freshest)
            rows += [row for row in newest if row["task_id"] not in known]
        if rows:
            self.count("lease_timers", owner=owner, until=until, ids=json_text.write([row["task_id"] for row in rows]))
        return [_leased(row, owner, until) for row in rows]

    def claim_timer(self, work: Work, task_id: str, *, owner: str, now: Ms, until: Ms) -> Sequence[LeasedTimer]:
        row = self.one("select_timer", task_id=task_id)
        claimed = self.count("claim_timer", work=work.value, task_id=task_id, owner=owner, now=now, until=until)
        return [_leased(row, owner, until)] if row is not None and claimed else []

    def hasten_submits(self, provider: str, now: Ms) -> None:
        self.count("hasten_submits", provider=provider, now=now)

    def hasten_polls(self, now: Ms, *, within: Ms) -> int:
        return self.count("hasten_polls", now=now, within=within)

    def submits(self, *, after: str, limit: int) -> Sequence[str]:
        return [row["task_id"] for row in self.run("select_submits", after=after, limit=limit)]

    def hasten_safety_polls(self, now: Ms, *, since: Ms, within: Ms, after: str, limit: int) -> str | None:
        row = self.one("select_last_of_timers", after=after, others=limit - 1)
        last = BEHIND_ALL if row is None else str(row["task_id"])
        self.count("hasten_safety_polls", now=now, since=since, within=within, after=after, last=last)
        return None if row is None else last

    def next_due_timer(self, work: Work, provider: str) -> Ms | None:
        row = self.one("select_next_due_timer", work=work.value, provider=provider)
        return row["due_at"] if row else None

    def count_timers(self, work: Work, provider: str) -> int:
        [row] = self.run("count_timers", work=work.value, provider=provider)
        return int(row["count"])

    def leased_timers(self, work: Work, *, mine: bool = False) -> Sequence[Timer]:
        return [timer_of(row) for row in self.run("select_leased_timers", work=work.value, mine=int(mine))]

    def keep_callback(self, task_id: str, *, digest: str, at: Ms, outcome: str, body: bytes, most: int) -> bool:
        values = {"task_id": task_id, "digest": digest, "received_at": at, "outcome": outcome, "body": body}
        return self.count("insert_callback", **values, most=most) == 1

    def callbacks(self, task_id: str) -> Sequence[bytes]:
        return [bytes(row["body"]) for row in self.run("select_callbacks", task_id=task_id)]


def _leased(row: Row, owner: str, until: Ms) -> LeasedTimer:
    return LeasedTimer(timer=timer_of(row, owner=owner, due_at=until), was_due_at=row["due_at"])
