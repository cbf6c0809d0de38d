"""What the sandbox remembers: every task it took, every request it saw, and which prompts it has put off."""

import time
from collections import Counter, OrderedDict, deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TextIO

from adapters.sandbox.base import Json, Stage, Task
from receiver import json_text

MAX_TASKS = 100_000
MAX_REQUESTS = 1_000
_MAX_BODY_KEPT = 16 * 1024
_SECRET_HEADERS = ("authorization", "x-api-key", "cookie")


@dataclass(slots=True, kw_only=True)
class Request:
    """One request as it came in; `path` is below the provider's base URL, `status` None until it is answered."""

    at: int
    method: str
    provider: str
    path: str
    query: str
    headers: dict[str, str]
    body: str
    status: int | None = None
    task_id: str | None = None


class Ledger:
    """Bounded in memory: the newest `max_tasks` tasks, and as many submits and polls as `MAX_REQUESTS`.

    `file` (optional) gets one JSON line when a task is created, before the submit is answered, and one when the task is
    first seen to have ended, so that creates can be counted after the sandbox was killed.
    """

    def __init__(self, *, file: Path | None = None, max_tasks: int = MAX_TASKS) -> None:
        self._max_tasks = max_tasks
        self._file: TextIO | None = file.open("a", encoding="utf-8", buffering=1) if file else None
        self._tasks: OrderedDict[tuple[str, str], Task] = OrderedDict()
        self._put_off: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._created = 0
        self._counts: dict[str, Counter[str]] = {}
        self._recent: dict[str, deque[Request]] = {}
        self.clear()

    def clear(self) -> None:
        """Forget everything but the file."""
        self._tasks.clear()
        self._put_off.clear()
        self._created = 0
        self._counts = {}
        self._recent = {kind: deque(maxlen=MAX_REQUESTS) for kind in ("submits", "polls", "others")}

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def add(self, task: Task) -> None:
        self._tasks[task.provider, task.id] = task
        self._created += 1
        if len(self._tasks) > self._max_tasks:
            self._tasks.popitem(last=False)
        self._write_line(task, "created", {"model": task.order.model, "prompt": task.order.prompt})

    def find(self, provider: str, task_id: str | None) -> Task | None:
        return None if task_id is None else self._tasks.get((provider, task_id))

    def note_stage(self, task: Task, stage: Stage) -> None:
        """Remember that somebody saw `task` in `stage`; only the first final one leaves a line in the file."""
        if stage.final and not task.noted_final:
            task.noted_final = True
            self._write_line(task, "finished", {"status": stage.value})

    def put_off(self, provider: str, prompt: str) -> bool:
        """True for the first submit of a prompt, which is to be answered 429, and False ever after."""
        first = (provider, prompt) not in self._put_off
        if first:
            self._put_off[provider, prompt] = None
            if len(self._put_off) > self._max_tasks:
                self._put_off.popitem(last=False)
        return first

    def note_request(
        self,
        *,
        kind: str,
        route: str,
        provider: str,
        method: str,
        path: str,
        query: str,
        headers: Mapping[str, str],
        body: bytes | None,
    ) -> Request:
        """Count a request under its route (a path with `{id}` left in) and keep it among the recent ones."""
        self._counts.setdefault(provider, Counter())[f"{method} {route}"] += 1
        request = Request(
            at=now_ms(),
            method=method,
            provider=provider,
            path=path,
            query=query,
            headers=_without_secrets(headers),
            body=(body or b"")[:_MAX_BODY_KEPT].decode("utf-8", "replace"),
        )
        self._recent[kind].append(request)
        return request

    def tasks_as_json(self, now_s: float, limit: int | None) -> Json:
        """`count` of all tasks taken, and the newest `limit` of those kept, in the order of their creation."""
        kept = list(self._tasks.values())
        shown = kept if limit is None else kept[max(0, len(kept) - limit) :]
        return {"count": self._created, "items": [self._task_as_json(task, task.stage(now_s)) for task in shown]}

    def requests_as_json(self) -> Json:
        total = sum(count for counts in self._counts.values() for count in counts.values())
        recent = {kind: [asdict(request) for request in requests] for kind, requests in self._recent.items()}
        return {"count": total, "counts": self._counts, **recent}

    def _task_as_json(self, task: Task, stage: Stage) -> Json:
        self.note_stage(task, stage)
        return {
            "provider": task.provider,
            "id": task.id,
            "model": task.order.model,
            "prompt": task.order.prompt,
            "input": task.order.input,
            "created_at": task.created_at,
            "status": stage.value,
            "submits": 1,
            "polls": task.polls,
            "callbacks": task.callbacks,
            "method": task.method,
            "path": task.path,
            "headers": task.headers,
            "body": task.body,
        }

    def _write_line(self, task: Task, event: str, more: Mapping[str, Json]) -> None:
        if self._file is not None:
            line = {"at": now_ms(), "event": event, "provider": task.provider, "id": task.id, **more}
            self._file.write(json_text.write(line) + "\n")


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def _without_secrets(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: "present" if name in _SECRET_HEADERS else value for name, value in headers.items()}
