"""Databases prepared through the store's own verbs, before the server that is measured starts."""

import os
import shutil
import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from adapters.base import Accepted
from adapters.sandbox.apikley import Apikley
from adapters.sandbox.base import Media, Order, Stage
from adapters.sandbox.base import Task as SandboxTask
from receiver import json_text, story
from receiver.domain import HOUR, Kind, Ms, Source, Status, Task, Timer, Update, Verified, Work
from receiver.ids import new_id
from receiver.intake import take
from receiver.signing import CallbackTokens
from receiver.store.protocol import Store
from receiver.store.sqlite import SqliteStorage

MODEL = "bytedance/v1-pro-text-to-video"
PROVIDER = "apikley"
SECRET_KEY = "s" * 32  # that of `tests.processes.environment`
PROMPT = "A red panda crosses a rope bridge over a misty gorge at dawn, the camera following from behind, 35 mm"
_AT_ONCE = 500
_URL = "https://tasks.example.com/callbacks/apikley/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A task that waits at the provider: our id, the provider's, the token of its callback URL."""

    id: str
    provider_id: str
    token: str

    @property
    def path(self) -> str:
        return f"/callbacks/{PROVIDER}/{self.token}"


def database(directory: Path) -> Path:
    """Where `tests.processes.environment` tells a server to keep everything."""
    return directory / "taskweir.db"


async def prepare(directory: Path, count: int) -> list[Made]:
    """A new database with so many tasks that their provider took, each waiting for its callback."""
    tokens = CallbackTokens([SECRET_KEY])
    now = time.time_ns() // 1_000_000
    made = []
    for number in range(count):
        task_id = new_id("task", now)
        made.append(
            Made(id=task_id, provider_id=f"task_bytedance_{now}{number:08}", token=tokens.issue(PROVIDER, task_id))
        )
    await _record_all(database(directory), made, now)
    return made


async def _record_all(path: Path, made: Sequence[Made], now: Ms) -> None:
    storage = SqliteStorage(path)
    await storage.open(now=now)
    for first in range(0, len(made), _AT_ONCE):
        some = made[first : first + _AT_ONCE]
        await storage.write(lambda store, some=some: [_record(store, each, now) for each in some])
    await storage.close()


def _record(store: Store, made: Made, now: Ms) -> None:
    """As `receiver.submit` leaves a task that was handed over."""
    task = Task(
        id=made.id,
        tenant="default",
        provider=PROVIDER,
        model=MODEL,
        status=Status.SUBMITTING,
        created_at=now,
        deadline_at=now + 24 * HOUR,
        input={"prompt": PROMPT, "resolution": "720p", "duration": "5"},
        metadata={"order": made.id[-8:]},
        media=Kind.VIDEO,
        callback_expected=True,
    )
    store.record_task(task)
    update = Update(status=Status.SUBMITTED, provider_task_id=made.provider_id)
    taken = take(store, task, update, source=Source.SUBMIT, verified_by=Verified.POLL, now=now)
    store.set_timer(Timer(task_id=task.id, provider=PROVIDER, work=Work.POLL, due_at=now + HOUR))
    told = story.submitted(
        Accepted(update=update), taken.task, story.Exchange(status=200, ms=120), next_at=now + HOUR, now=now
    )
    story.tell(store, task, told, now)


def copy(source: Path, target: Path, *, polls_after_s: float = 55) -> None:
    """A fresh copy of a prepared database; its polls are due in so many seconds.

    At its start a server makes each open task due within a minute: one that is due before that stays as it is, so
    nothing is polled while callbacks are measured.
    """
    shutil.copyfile(database(source), database(target))
    with closing(sqlite3.connect(database(target))) as connection:
        due_at = time.time_ns() // 1_000_000 + round(polls_after_s * 1000)
        connection.execute("UPDATE timers SET due_at = ?", (due_at,))
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    os.sync()  # what is still to be written must not be written while somebody measures


class Callbacks:
    """Bodies as the provider writes them, by the sandbox's own code."""

    def __init__(self) -> None:
        order = Order(
            model=MODEL,
            prompt=PROMPT,
            input={"prompt": PROMPT, "resolution": "720p", "duration": "5"},
            media=Media.VIDEO,
            callback_url=_URL + "(token)",
        )
        now = time.time_ns() // 1_000_000
        self._task = SandboxTask(
            provider=PROVIDER,
            id="(task)",
            order=order,
            words=frozenset(),
            method="POST",
            path="",
            headers={},
            body={},
            base="https://files.example.com",
            created_at=now,
            started_s=0,
            takes_s=42,
            fails=False,
        )
        self._callback = json_text.write(Apikley().callback(self._task, Stage.SUCCEEDED))
        self._shown = {
            stage: json_text.write(Apikley().shown(self._task, stage).body)
            for stage in (Stage.WORKING, Stage.SUCCEEDED)
        }

    def succeeded(self, made: Made) -> bytes:
        """The callback that says that a task succeeded."""
        return _filled(self._callback, made)

    def record(self, made: Made, *, succeeded: bool) -> bytes:
        """The answer to a poll."""
        return _filled(self._shown[Stage.SUCCEEDED if succeeded else Stage.WORKING], made)


def _filled(text: str, made: Made) -> bytes:
    return text.replace("(task)", made.provider_id).replace("(token)", made.token).encode()
