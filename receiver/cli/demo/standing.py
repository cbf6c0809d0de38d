"""How far the demo is: what the server, the webhook and the SQLite log each know about every task."""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from receiver.cli.demo.orders import Order
from receiver.cli.sink_app import Heard
from receiver.cli.text import failure_of, plain
from receiver.domain import FINAL, Status


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One order: its task as the API shows it, the events that came by webhook (by id), the ids in the log."""

    order: Order
    task: Mapping[str, Any]
    verified: Mapping[str, Mapping[str, Any]]
    refused: int
    logged: frozenset[str]

    @property
    def outcome(self) -> Mapping[str, Any] | None:
        """The final event, once it came signed and verified."""
        return next((event for event in self.verified.values() if event["data"]["task"]["status"] in FINAL), None)

    @property
    def owed(self) -> int | None:
        """How many events the task has given, known from the last one."""
        return None if self.outcome is None else int(self.outcome["data"]["sequence"])

    @property
    def all_verified(self) -> bool:
        return self.owed == len(self.verified)

    @property
    def all_logged(self) -> bool:
        return self.owed == len(self.logged)

    @property
    def complete(self) -> bool:
        """Whether it succeeded, and every event of it arrived in both places."""
        return self.task["status"] == Status.SUCCEEDED and self.all_verified and self.all_logged

    @property
    def hopeless(self) -> bool:
        """Whether it has ended otherwise, so that waiting is no use."""
        return self.task["status"] in FINAL - {Status.SUCCEEDED}

    def missing(self) -> list[str]:
        """What keeps it from being complete, in words."""
        if self.hopeless:
            return [f"{plain(self.task['status'])}: {failure_of(self.task)}"]
        if self.task["status"] not in FINAL:
            return [f"still {plain(self.task['status'])}: {plain((self.task['waiting_for'] or {}).get('text'))}"]
        told = []
        if self.outcome is None:
            told.append("its outcome has not arrived at the webhook")
        elif not self.all_verified:
            told.append(f"only {len(self.verified)} of its {self.owed} events arrived at the webhook")
        if self.refused:
            told.append(f"{self.refused} webhooks came with a wrong signature")
        if not self.all_logged:
            told.append(f"the SQLite log has {len(self.logged)} of its events")
        return told


def standings(
    orders: Sequence[tuple[Order, str]], tasks: Iterable[Mapping[str, Any]], heard: Iterable[Heard], log: Path
) -> list[Standing]:
    """Where each order stands; `orders` pairs it with its task's id."""
    by_id = {task["id"]: task for task in tasks}
    posts = list(heard)
    logged = read_log(log)
    return [
        Standing(
            order=order,
            task=by_id[task_id],
            verified={
                post.event["id"]: post.event for post in posts if post.verified and _task_id(post.event) == task_id
            },
            refused=sum(1 for post in posts if not post.verified and _task_id(post.event) == task_id),
            logged=frozenset(event_id for event_id, about in logged if about == task_id),
        )
        for order, task_id in orders
    ]


def _task_id(event: Mapping[str, Any]) -> Any:
    try:
        return event["data"]["task"]["id"]
    except (KeyError, TypeError):
        return None  # not a post of our server's


def read_log(path: Path) -> list[tuple[str, str]]:
    """The ids of the events in a SQLite log, each with its task's; none while there is no log yet."""
    try:
        connection = sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=1.0)
    except sqlite3.OperationalError:
        return []
    try:
        return connection.execute("SELECT id, task_id FROM events").fetchall()
    except sqlite3.OperationalError:
        return []  # its first transaction is not committed yet
    finally:
        connection.close()
