"""Verbs about tasks, their timers and their callbacks."""

from collections.abc import Sequence

from receiver import json_text
from receiver.domain import Ms, Task, Timer, Work
from receiver.store.records import Page
from receiver.store.rows import task_of, task_row, timer_of, timer_row
from receiver.store.statements import Statements, Where


class TaskVerbs(Statements):
    def record_task(self, task: Task) -> None:
        self.count("insert_task", **task_row(task))
        self.count("insert_input", task_id=task.id, input=json_text.write(dict(task.input)))

    def task(self, task_id: str) -> Task | None:
        row = self.one("select_task", id=task_id)
        return task_of(row) if row else None

    def task_of_provider(self, provider: str, provider_task_id: str) -> Task | None:
        row = self.one("select_task_by_provider", provider=provider, provider_task_id=provider_task_id)
        return task_of(row) if row else None

    def save_task(self, task: Task, *, expected_version: int) -> bool:
        return self.count("update_task", **task_row(task), expected=expected_version) == 1

    def resubmitted(self, task_id: str) -> bool:
        return self.one("select_resubmission", task_id=task_id) is not None

    def list_tasks(self, page: Page) -> Sequence[Task]:
        filters = page.where or {}
        where = Where()
        where.add("tasks.tenant = ?", page.tenant)
        where.add("tasks.id < ?", page.cursor)
        where.add("tasks.created_at > ?", page.created_after)
        where.add("tasks.created_at < ?", page.created_before)
        where.add("json_extract(tasks.error, '$.kind') = ?", filters.get("error_kind"))
        for column in ("status", "provider", "model", "provider_task_id"):
            where.add(f"tasks.{column} = ?", filters.get(column))
        for key, value in (page.metadata or {}).items():
            where.add("EXISTS (SELECT 1 FROM json_each(tasks.metadata) WHERE key = ? AND value = ?)", key, value)
        sql = "SELECT tasks.*, inputs.input FROM tasks JOIN inputs ON inputs.task_id = tasks.id"
        return [task_of(row) for row in self.page(sql, where, order="tasks.id DESC", limit=page.limit)]

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
    ) -> Sequence[Timer]:
        of = {"work": work.value, "provider": provider, "now": now}
        rows = list(self.run("select_due_timers", **of, limit=limit - freshest))
        if freshest and len(rows) == limit - freshest:
            known = {row["task_id"] for row in rows}
            newest = self.run("select_freshest_timers", **of, limit=freshest)
            rows += [row for row in newest if row["task_id"] not in known]
        for row in rows:
            self.count("lease_timer", owner=owner, until=until, task_id=row["task_id"])
        return [timer_of(row) for row in rows]

    def claim_timer(self, work: Work, task_id: str, *, owner: str, now: Ms, until: Ms) -> Sequence[Timer]:
        timer = self.timer(task_id)
        claimed = self.count("claim_timer", work=work.value, task_id=task_id, owner=owner, now=now, until=until)
        return [timer] if timer is not None and claimed else []

    def hasten_submits(self, provider: str, now: Ms) -> None:
        self.count("hasten_submits", provider=provider, now=now)

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
