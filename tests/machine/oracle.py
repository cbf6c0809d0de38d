"""The invariants, judged from the database file and the provider's own ledger, by a reader of its own."""

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.machine.network import Consumer
from tests.machine.provider import EMPTY, MISSING, OPEN, Provider

FINAL = {"succeeded", "failed", "canceled", "expired"}
DAY = 24 * 3600 * 1000
GRACE = 120_000
PATIENCE = 600_000
ATTEMPTS = 10
WANTED = {  # destination's URL -> what it asked for; None: everything about tasks but progress
    "http://all.test/hook": None,
    "http://ends.test/hook": {"task.unconfirmed", *(f"task.{status}" for status in FINAL)},
}


@dataclass
class Seen:
    """What was seen of one task: it may only grow."""

    types: list[str] = field(default_factory=list)
    finals: list[dict[str, Any]] = field(default_factory=list)
    status: str = ""
    ours: bool = False
    provider_task_id: str | None = None


@dataclass
class Oracle:
    """`accepted` are the tasks we got a 2xx for; `asked` those whose caller ended them.

    `claims` are the ends that callbacks claimed for the first time, by task: (when, status, the id that it named).
    """

    provider: Provider
    consumer: Consumer
    canaries: Sequence[str]
    accepted: set[str] = field(default_factory=set)
    asked: set[str] = field(default_factory=set)
    claims: dict[str, list[tuple[int, str, str]]] = field(default_factory=dict)
    seq: int = 0
    bodies: dict[str, str] = field(default_factory=dict)
    tasks: dict[str, Seen] = field(default_factory=dict)
    _reader: sqlite3.Connection | None = None

    def open(self, path: Path) -> None:
        """Read this file from now on; what was seen in the one before must be in it."""
        self._reader = sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)
        self._reader.row_factory = sqlite3.Row
        kept = {row["id"]: row["body"] for row in self._rows("SELECT id, body FROM events")}
        assert kept.items() >= self.bodies.items(), "I-LOSS: an event is gone, or changed"

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _rows(self, sql: str, *values: Any) -> list[sqlite3.Row]:
        assert self._reader is not None
        return self._reader.execute(sql, values).fetchall()

    def look(self) -> None:
        """Judge what is new, and whatever holds at every moment."""
        if self._reader is None:
            return
        for row in self._rows("SELECT * FROM events WHERE seq > ? ORDER BY seq", self.seq):
            self._see_event(row)
        count = self._rows("SELECT count(*) AS n FROM events")[0]["n"]
        assert count == len(self.bodies), "I-SEQ: an event appeared behind a reader that follows"
        self._see_tasks()
        self._see_deliveries()
        self._see_money()

    def _see_event(self, row: sqlite3.Row) -> None:
        assert row["seq"] > self.seq, "I-SEQ"
        assert row["id"] not in self.bodies, "an event id twice"
        self.seq = row["seq"]
        self.bodies[row["id"]] = row["body"]
        self._find_canaries("an event", row["body"])
        if not row["task_id"]:
            return
        event, seen = json.loads(row["body"]), self.tasks.setdefault(row["task_id"], Seen())
        kind, data = row["type"], event["data"]
        assert data["sequence"] == len(seen.types) + 1, "I-SEQ: a gap in a task's sequence"
        assert kind == "task.progress" or kind not in seen.types, f"I-ONE: {kind} twice"
        seen.types.append(kind)
        status = kind.removeprefix("task.")
        if status in FINAL:
            self._see_final(row["task_id"], row["at"], status, data, seen)
        else:
            assert not seen.finals, f"I-MONO: {kind} after the end"
        owed = {r["target"] for r in self._rows(_OWED, row["seq"])}
        wanted = {url for url, types in WANTED.items() if (kind != "task.progress" if types is None else kind in types)}
        assert owed == wanted, f"I-LOSS: {kind} is owed to {owed}, wanted by {wanted}"

    def _see_final(self, task_id: str, at: int, status: str, data: dict[str, Any], seen: Seen) -> None:
        if data["late"]:
            assert [final["ours"] for final in seen.finals] == [True], "I-ONE: late, but not after ours"
        else:
            assert not seen.finals, "I-ONE: two ends"
        ours = self._judge(task_id, at, status, data)
        assert not (ours and data["late"]), "I-ONE: our own verdict, late"
        seen.finals.append({"status": status, "ours": ours})

    def _judge(self, task_id: str, at: int, status: str, data: dict[str, Any]) -> bool:
        """I-PHANTOM: whether this end is our own verdict; raises where nobody said so."""
        task, error = data["task"], data["task"]["error"] or {}
        named = task["provider_task_id"]
        answers = [(when, word) for when, word in self.provider.answers.get(named, []) if when <= at]
        made = self.provider.made.get(named)
        if made is not None and made.owner != task_id:  # echoing another's URL, it says that this one is not there
            answers = [(when, word and MISSING) for when, word in answers]
        where = f"I-PHANTOM: {status} of {task_id} ({named}), {data['source']}, {answers[-5:]}"
        if data["source"] == "caller":
            assert task_id in self.asked, where
            return True
        if data["source"] == "deadline":
            self._judge_expiry(task_id, at, named, answers, where)
            return True
        if data["verified_by"] == "token":
            claims = [when for when, claim, _ in self.claims.get(task_id, []) if claim == status]
            assert claims, where
            assert at >= self._deadline(task_id), where
            assert not [when for when, word in answers if when > claims[-1] and word is not None], where
            return False
        assert data["verified_by"] == "poll", where
        self._judge_who_spoke_first(task_id, status, data, where)
        if named is None:
            assert status == "failed", where
            assert self.provider.requests[task_id][-1].told == "refused", where
            return False
        if error.get("kind") == "not_found":
            run = _run_of(answers, MISSING)
            assert run, where
            assert at - run[0] >= GRACE, where
            return True
        assert made is not None, where
        assert made.owner == task_id, where
        if status == "succeeded" and not task["outputs"]:
            assert at - min(when for when, word in answers if word == EMPTY) >= PATIENCE, where
            return False
        assert status in [word for _, word in answers], where
        assert [output["url"] for output in task["outputs"]] == ([made.result] if status == "succeeded" else []), where
        return False

    def _judge_who_spoke_first(self, task_id: str, status: str, data: dict[str, Any], where: str) -> None:
        """What a poll confirms was said by the callback that claimed it, however long ago, and by none that did not."""
        claims = self.claims.get(task_id, [])
        if data["source"] == "callback":
            assert status in [claim for _, claim, _ in claims], where
        elif data["source"] == "poll" and not data["late"] and (data["task"]["error"] or {}).get("kind") != "not_found":
            unanimous = {claim for _, claim, _ in claims} == {status}
            assert not (unanimous and data["task"]["provider_task_id"] in [named for _, _, named in claims]), where

    def _judge_expiry(self, task_id: str, at: int, named: str | None, answers: list[Any], where: str) -> None:
        deadline = self._deadline(task_id)
        assert at >= deadline, where
        if named is not None and at < deadline + 7 * DAY:
            assert (at, OPEN) in answers, where

    def _deadline(self, task_id: str) -> int:
        deadline: int = self._rows("SELECT deadline_at FROM tasks WHERE id = ?", task_id)[0]["deadline_at"]
        return deadline

    def _see_tasks(self) -> None:
        rows = {row["id"]: row for row in self._rows(_TASKS)}
        assert rows.keys() >= self.accepted, "I-LOSS: an accepted task is gone"
        for task_id, row in rows.items():
            seen, status = self.tasks.setdefault(task_id, Seen()), row["status"]
            if seen.status in FINAL and status != seen.status:
                assert status in FINAL, f"I-MONO: {seen.status} became {status}"
                assert seen.ours, f"I-MONO: the provider's {seen.status} became {status}"
            assert (seen.status, status) != ("running", "submitted"), "I-MONO: running became submitted"
            if status in FINAL and seen.finals and seen.finals[-1]["ours"] and not row["ours"]:
                said = [word for _, word in self.provider.answers.get(row["provider_task_id"], [])]
                said += [claim for _, claim, _ in self.claims.get(task_id, [])]
                assert status in said or EMPTY in said, "ours is no longer open to theirs"
            named = [request.named for request in self.provider.requests.get(task_id, [])]
            bound = (None, row["provider_task_id"])
            assert seen.provider_task_id in bound or bound[1] in named, "a task changed its provider's id"
            assert row["sequence"] == len(seen.types), "I-SEQ: a task counts other events than there are"
            assert (status in FINAL) == bool(seen.finals), f"I-LOSS: {status} with {seen.types}"
            assert status in FINAL or row["due_at"] is not None, f"I-LOSS: nobody looks after a {status} task"
            seen.status, seen.ours, seen.provider_task_id = status, bool(row["ours"]), row["provider_task_id"]

    def _see_deliveries(self) -> None:
        for row in self._rows(_DELIVERIES):
            if row["state"] == "delivered":
                assert (row["target"], row["event_id"]) in self.consumer.acknowledged, "I-LOSS: delivered to nobody"
            elif row["state"] == "dead":
                assert row["attempts"] >= ATTEMPTS, "I-LOSS: dead before its time"
            else:
                assert row["state"] == "pending"
        for (_, event), body in self.consumer.taken.items():
            assert self.bodies.get(event) == body.decode(), "I-PHANTOM: sent, and not recorded"

    def _see_money(self) -> None:
        for task_id, requests in self.provider.requests.items():
            assert self.provider.creates(task_id) <= 1, f"I-MONEY: {task_id} was created twice"
            told = [request.told for request in requests[:-1]]
            assert set(told) <= {"nothing sent", "nothing created"}, f"I-MONEY: {task_id} was sent again after {told}"

    def next_due(self) -> int | None:
        """When anything is due next, as far as the store knows."""
        due: int | None = self._rows(_NEXT)[0]["due"]
        return due

    def unsettled(self) -> list[str]:
        """What has not come to its end yet."""
        tasks = [f"{row['id']} {row['status']}" for row in self._rows(_TASKS) if row["status"] not in FINAL]
        owed = [f"{row['event_id']} {row['state']}" for row in self._rows(_DELIVERIES) if row["state"] == "pending"]
        return tasks + owed

    def watched(self) -> list[str]:
        """Tasks that ended by our own verdict, and are still asked about."""
        return [row["id"] for row in self._rows(_TASKS) if row["status"] in FINAL and row["due_at"] is not None]

    def settle(self) -> None:
        """At the end of everything: the truth has come out, and nothing secret is written down anywhere."""
        self.look()
        for row in self._rows(_TASKS):
            made = self.provider.made.get(row["provider_task_id"])
            if made is not None and made.owner == row["id"] and row["due_at"] is None and not row["ours"]:
                continue  # judged as it was said
            ended = row["due_at"] is None or made is None or made.owner != row["id"]
            assert ended, f"I-LOSS: never heard how it ended: {dict(row)}, {made}"
            told = [request for request in self.provider.requests.get(row["id"], []) if request.told == "taken"]
            for request in told:
                assert request.made is not None
                assert row["provider_task_id"] == request.made.id, f"{row['id']} lost the id that its provider told it"
        self._find_written()

    def _find_written(self) -> None:
        for table in [row["name"] for row in self._rows("SELECT name FROM sqlite_master WHERE type = 'table'")]:
            for row in self._rows(f"SELECT * FROM {table}"):
                for value in tuple(row):
                    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
                    self._find_canaries(table, text)

    def _find_canaries(self, where: str, text: str) -> None:
        for canary in [*self.canaries, *self._tokens()]:
            assert canary not in text, f"I-SECRET: {canary} is in {where}"

    def _tokens(self) -> list[str]:
        return [made.callback_url.rpartition(".")[2] for made in self.provider.made.values()]


def _run_of(answers: list[tuple[int, str | None]], word: str) -> list[int]:
    """Since when, without a break, the last answers said this."""
    run: list[int] = []
    for when, said in reversed(answers):
        if said != word:
            break
        run.insert(0, when)
    return run


_TASKS = """SELECT tasks.id, status, ours, provider_task_id, sequence, due_at FROM tasks
LEFT JOIN timers ON timers.task_id = tasks.id"""
_DELIVERIES = """SELECT event_id, state, attempts, target FROM deliveries
JOIN destinations ON destinations.id = destination_id"""
_OWED = "SELECT target FROM deliveries JOIN destinations ON destinations.id = destination_id WHERE event_seq = ?"
_NEXT = """SELECT min(due) AS due FROM (SELECT min(due_at) AS due FROM timers
  WHERE provider NOT IN (SELECT provider FROM standings WHERE paused IS NOT NULL)
UNION ALL SELECT min(due_at) FROM deliveries WHERE state = 'pending'
UNION ALL SELECT min(probe_at) FROM standings WHERE paused IS NOT NULL)"""
