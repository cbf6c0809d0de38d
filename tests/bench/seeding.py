"""Databases prepared through the store's own verbs, before the server that is measured starts."""

import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from adapters.base import Accepted
from receiver import story
from receiver.domain import HOUR, Kind, Ms, Source, Status, Task, Timer, Update, Verified, Work
from receiver.ids import new_id
from receiver.intake import take
from receiver.signing import CallbackTokens
from receiver.store.protocol import Store
from receiver.store.sqlite import SqliteStorage
from tests.bench.samples import INPUT, MODEL, PROVIDER

SECRET_KEY = "s" * 32  # that of `tests.processes.environment`
_AT_ONCE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A task that waits at the provider: our id, the provider's, the token of its callback URL."""

    id: str
    provider_id: str
    token: str

    @property
    def path(self) -> str:
        return f"/callbacks/{PROVIDER}/{self.token}"


def now_ms() -> Ms:
    return time.time_ns() // 1_000_000


def database(directory: Path) -> Path:
    """Where `tests.processes.environment` tells a server to keep everything."""
    return directory / "taskweir.db"


async def prepare(
    directory: Path,
    count: int,
    *,
    callback: bool = True,
    polled: bool = False,
    before: Callable[[Store], None] | None = None,
    after: Callable[[Store, Task], None] | None = None,
) -> list[Made]:
    """A new database with so many tasks that their provider took, each waiting for its callback.

    Those that expect no `callback` are not asked about at a start. `polled` ones do not either, run for two hours
    already, and are due. `before` and `after` add what else there shall be, at the beginning and for each task.
    """
    tokens, now, made = CallbackTokens([SECRET_KEY]), now_ms(), []
    for number in range(count):
        task_id, provider_id = new_id("task", now), f"task_bytedance_{now}{number:08}"
        made.append(Made(id=task_id, provider_id=provider_id, token=tokens.issue(PROVIDER, task_id)))
    storage = SqliteStorage(database(directory))
    await storage.open(now=now)
    if before is not None:
        await storage.write(before)

    def record(store: Store, some: Sequence[Made]) -> None:
        for each in some:
            task = _record_polled(store, each, now) if polled else _record(store, each, now, callback=callback)
            if after is not None:
                after(store, task)

    for first in range(0, count, _AT_ONCE):
        some = made[first : first + _AT_ONCE]
        await storage.write(lambda store, some=some: record(store, some))
    await storage.close()
    return made


def _record(store: Store, made: Made, now: Ms, *, callback: bool) -> Task:
    """As `receiver.submit` leaves a task that was handed over."""
    task = Task(
        id=made.id,
        tenant="default",
        provider=PROVIDER,
        model=MODEL,
        status=Status.SUBMITTING,
        created_at=now,
        deadline_at=now + 24 * HOUR,
        input=INPUT,
        metadata={"order": made.id[-8:]},
        media=Kind.VIDEO,
        callback_expected=callback,
    )
    store.record_task(task)
    update = Update(status=Status.SUBMITTED, provider_task_id=made.provider_id)
    taken = take(store, task, update, source=Source.SUBMIT, verified_by=Verified.POLL, now=now)
    store.set_timer(Timer(task_id=task.id, provider=PROVIDER, work=Work.POLL, due_at=now + HOUR))
    told = story.submitted(
        Accepted(update=update), taken.task, story.Exchange(status=200, ms=120), next_at=now + HOUR, now=now
    )
    story.tell(store, task, told, now)
    return taken.task


def _record_polled(store: Store, made: Made, now: Ms) -> Task:
    """As a poll leaves a task that the provider works on; old, so that it is asked about every few minutes only."""
    began = now - 2 * HOUR
    task = _record(store, made, began, callback=False)
    update = Update(status=Status.RUNNING, provider_status="generating", provider_task_id=made.provider_id)
    taken = take(store, task, update, source=Source.POLL, verified_by=Verified.POLL, now=began)
    timer = store.timer(made.id)
    assert timer is not None
    store.set_timer(Timer(task_id=made.id, provider=PROVIDER, work=Work.POLL, due_at=now, answered_at=began))
    return taken.task


def copy(source: Path, target: Path, *, due_in_s: float | None = None) -> None:
    """A fresh copy of a prepared database, on the disk before anybody measures; its polls due in so many seconds."""
    shutil.copyfile(database(source), database(target))
    if due_in_s is not None:
        with closing(sqlite3.connect(database(target))) as connection:
            connection.execute("UPDATE timers SET due_at = ?", (now_ms() + round(due_in_s * 1000),))
            connection.commit()
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    os.sync()


# At its start a server makes each open task due within a minute. One that is due before that anyhow stays as it is: so
# nobody is asked about while callbacks are measured.
JUST_BEFORE_A_MINUTE_S = 55
