"""Tasks: submitted, adopted, waited for, settled."""

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self
from uuid import uuid4

from receiver.calling.answers import TaskFields
from receiver.calling.errors import MOMENTARY, TimedOut
from receiver.calling.http import Http, given, path_of
from receiver.calling.patience import Patience

LONGEST_WAIT_S = 60
_PATIENCE_S = 60.0
_BULK_S = 3600.0


class Task(TaskFields):
    """A task, and what can be done with it."""

    def __init__(self, fields: Mapping[str, Any], tasks: "Tasks") -> None:
        super().__init__(fields)
        self._tasks = tasks

    def wait(self, timeout: float | None = None) -> Self:
        """Return when it is final, up to date; a server that is away meanwhile is waited for, for a minute.

        Raises `TimedOut` after `timeout` seconds; the task goes on. That it failed is no error: see `succeeded`.
        """
        ends_at = None if timeout is None else time.monotonic() + timeout
        patience = Patience(_PATIENCE_S)
        while not self.final:
            left = LONGEST_WAIT_S if ends_at is None else ends_at - time.monotonic()
            if left <= 0:
                raise TimedOut(f"{self.id} is {self.status} after {timeout:g} s; it goes on")
            try:
                self._become(self._tasks.task(self.id, wait=min(max(round(left), 1), LONGEST_WAIT_S)))
                patience.answered()
            except MOMENTARY as failure:
                patience.missed(failure)
        return self

    def reload(self) -> Self:
        """Up to date with the server."""
        return self._become(self._tasks.task(self.id))

    def refresh(self) -> Self:
        """Have its provider asked now."""
        return self._become(self._tasks.refresh(self.id))

    def cancel(self) -> Self:
        """Cancel it here, and at the provider where that can be done."""
        return self._become(self._tasks.cancel(self.id))

    def resolve(self, *, provider_task_id: str | None = None, failed: bool = False) -> Self:
        """Say what became of an `unconfirmed` one: the provider has it under this id, or never had it."""
        return self._become(self._tasks.resolve(self.id, provider_task_id=provider_task_id, failed=failed))

    def resubmit(self) -> "Task":
        """Submit the same content once more: a new task, paid for again."""
        return self._tasks.resubmit(self.id)

    def _become(self, other: "Task") -> Self:
        self.clear()
        self.update(other)
        return self


class Tasks:
    """What the API does with tasks."""

    _http: Http

    def submit(
        self,
        provider: str,
        model: str,
        input: Mapping[str, Any],
        *,
        metadata: Mapping[str, str] | None = None,
        webhook_url: str | None = None,
        webhook_events: Sequence[str] | None = None,
        webhook_format: str | None = None,
        deadline_seconds: int | None = None,
        checks: bool | None = None,
        at_once: bool = False,
        idempotency_key: str | None = None,
    ) -> Task:
        """Submit a task; handed over, refused by its provider, or still on its way: `status` tells.

        Every submit has an Idempotency-Key, made here where none is given, so that one whose answer was lost is asked
        for again and is still one task. `at_once`: answer when it is recorded, not when it is handed over.
        """
        fields = given(
            metadata=metadata and dict(metadata),
            webhook_url=webhook_url,
            webhook_events=webhook_events and list(webhook_events),
            webhook_format=webhook_format,
            deadline_seconds=deadline_seconds,
            checks=checks,
        )
        headers = {"idempotency-key": idempotency_key or str(uuid4())}
        if at_once:
            headers["prefer"] = "respond-async"
        body = {"provider": provider, "model": model, "input": dict(input), **fields}
        return self._task(self._http.post("/v1/tasks", body, headers=headers, safe=True))

    def adopt(
        self,
        provider: str,
        provider_task_id: str,
        *,
        model: str | None = None,
        input: Mapping[str, Any] | None = None,
        metadata: Mapping[str, str] | None = None,
        webhook_url: str | None = None,
        webhook_events: Sequence[str] | None = None,
        webhook_format: str | None = None,
        deadline_seconds: int | None = None,
    ) -> Task:
        """Follow a task that was submitted elsewhere; the same id again is the same task."""
        fields = given(
            model=model,
            input=input and dict(input),
            metadata=metadata and dict(metadata),
            webhook_url=webhook_url,
            webhook_events=webhook_events and list(webhook_events),
            webhook_format=webhook_format,
            deadline_seconds=deadline_seconds,
        )
        body = {"provider": provider, "provider_task_id": provider_task_id, **fields}
        return self._task(self._http.post("/v1/tasks/adopt", body, safe=True))

    def task(self, id: str, *, wait: int = 0) -> Task:
        """One task, once it is final or `wait` seconds, 60 at most, are over; `id` may be `<provider>:<their id>`."""
        query = {"wait": wait} if wait else {}
        return self._task(self._http.get(path_of("tasks", id), query, holds="status", waits_s=wait))

    def tasks(
        self,
        *,
        status: str | None = None,
        provider: str | None = None,
        model: str | None = None,
        provider_task_id: str | None = None,
        error_kind: str | None = None,
        metadata: Mapping[str, str] | None = None,
        created_after: str | None = None,
        created_before: str | None = None,
        tenant: str | None = None,
        filters: Mapping[str, str] | None = None,
        limit: int | None = None,
    ) -> Iterator[Task]:
        """All tasks that the filters let through, newest first, page by page as they are read; `limit` at most.

        `filters` are more of them by the API's own names, as `bulk` takes them.
        """
        query = given(
            status=status,
            provider=provider,
            model=model,
            provider_task_id=provider_task_id,
            error_kind=error_kind,
            created_after=created_after,
            created_before=created_before,
            tenant=tenant,
        )
        query |= {**{f"metadata.{key}": value for key, value in (metadata or {}).items()}, **(filters or {})}
        return map(self._task, self._http.listed("/v1/tasks", query, limit=limit))

    def timeline(self, id: str) -> list[dict[str, Any]]:
        """The story of one task, in time order: `{at, kind, text, data}` each."""
        items: list[dict[str, Any]] = self._http.get(path_of("tasks", id, "timeline"), holds="items")["items"]
        return items

    def cancel(self, id: str) -> Task:
        """Cancel a task here, and at the provider where that can be done."""
        return self._task(self._http.post(path_of("tasks", id, "cancel")))

    def refresh(self, id: str) -> Task:
        """Have a task's provider asked now, or the task handed over now."""
        return self._task(self._http.post(path_of("tasks", id, "refresh")))

    def resolve(self, id: str, *, provider_task_id: str | None = None, failed: bool = False) -> Task:
        """Say what became of an `unconfirmed` task: the provider has it under this id, or never had it."""
        if failed is (provider_task_id is not None):
            raise ValueError("give provider_task_id, or failed=True")
        found = {"status": "failed"} if failed else {"provider_task_id": provider_task_id}
        return self._task(self._http.post(path_of("tasks", id, "resolve"), found))

    def resubmit(self, id: str, *, idempotency_key: str | None = None) -> Task:
        """Submit a final or `unconfirmed` task once more: a new one, paid for again."""
        headers = {"idempotency-key": idempotency_key or str(uuid4())}
        return self._task(self._http.post(path_of("tasks", id, "resubmit"), headers=headers, safe=True))

    def bulk(
        self, action: str, filter: Mapping[str, str], *, rate_per_second: float | None = None, dry_run: bool = False
    ) -> int:
        """Cancel, refresh, resolve or resubmit all tasks that the list's filters mean; how many those are."""
        body = {"action": action, "filter": dict(filter), **given(rate_per_second=rate_per_second)}
        done = self._http.post("/v1/tasks/bulk", body | {"dry_run": dry_run}, holds="count", waits_s=_BULK_S)
        return int(done["count"])

    def _task(self, fields: Mapping[str, Any]) -> Task:
        return Task(fields, self)
