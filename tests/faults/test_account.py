"""The account can tell: each invariant broken by hand is named, and a sound run gives no fault."""

import copy
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.faults.account import Account, Evidence, account_of
from tests.faults.history import OWED, TASKS, TENANT, history_faults, plant


def evidence(change: Callable[[dict[str, Any]], object] = lambda said: None) -> Evidence:
    """One finished task and one that a crash left in doubt, as every party tells it; `change` lets one of them lie."""
    done = {
        "id": "task_1",
        "provider": "apikley",
        "provider_task_id": "p1",
        "status": "succeeded",
        "input": {"prompt": "one"},
        "callback_expected": True,
        "waiting_for": None,
    }
    doubted = done | {"id": "task_2", "provider_task_id": None, "status": "unconfirmed", "input": {"prompt": "two"}}
    events = [
        event(1, 1, "submitted", done),
        event(2, 2, "succeeded", done),
        event(3, 1, "unconfirmed", doubted),
    ]
    said: dict[str, Any] = {
        "tasks": {"task_1": done, "task_2": doubted},
        "events": events,
        "ledger": [{"provider": "apikley", "id": "p1", "prompt": "one", "status": "succeeded"}],
        "answered": {"task_1"},
        "delivered": {each["id"]: each for each in events},
        "wrong": (),
        "logged": [each["id"] for each in events],
    }
    said = copy.deepcopy(said)
    change(said)
    return Evidence(**said | {"answered": frozenset(said["answered"])})


def event(seq: int, sequence: int, kind: str, task: dict[str, Any]) -> dict[str, Any]:
    return {"id": f"evt_{seq}", "seq": seq, "type": f"task.{kind}", "data": {"sequence": sequence, "task": task}}


def test_a_sound_run() -> None:
    """No fault, and the figures."""
    assert account_of(evidence()) == Account(tasks=2, creates=1, doubtful=1)
    assert account_of(evidence()) + account_of(evidence()) == Account(tasks=4, creates=2, doubtful=2)


LIES: dict[str, tuple[str, Callable[[dict[str, Any]], object]]] = {
    "an answered task is gone": ("lost", lambda said: said["answered"].add("task_9")),
    "a create nobody knows of": ("lost", lambda said: said["ledger"].append(said["ledger"][0] | {"prompt": "nine"})),
    "a created one stays in doubt": (
        "lost",
        lambda said: said["ledger"].append(said["ledger"][0] | {"prompt": "two", "id": "p2"}),
    ),
    "a task that never ends": ("lost", lambda said: said["tasks"]["task_2"].update(status="submitted")),
    "an event not delivered": ("lost", lambda said: said["delivered"].pop("evt_2")),
    "an event not logged": ("lost", lambda said: said["logged"].remove("evt_2")),
    "an event of no task": ("phantom", lambda said: said["tasks"].pop("task_2")),
    "a success without a create": ("phantom", lambda said: said["ledger"].clear()),
    "a success of a failed one": ("phantom", lambda said: said["ledger"][0].update(status="failed")),
    "delivered, never recorded": ("phantom", lambda said: said["delivered"].update(evt_9={})),
    "logged, never recorded": ("phantom", lambda said: said["logged"].append("evt_9")),
    "an unverified webhook": ("phantom", lambda said: said.update(wrong=("evt_1 does not verify",))),
    "two terminal events": ("double", lambda said: said["events"][2].update(said["events"][1] | {"seq": 3})),
    "a finished task without one": ("double", lambda said: said["tasks"]["task_2"].update(status="failed")),
    "twice in the log": ("double", lambda said: said["logged"].append("evt_1")),
    "a gap": ("gaps", lambda said: said["events"][1]["data"].update(sequence=3)),
    "a stream that goes back": ("gaps", lambda said: said["events"].reverse()),
    "retention took what is owed": ("pruned", lambda said: said.update(pruned=("2 events kept that are owed, of 3",))),
    "created twice": ("resent", lambda said: said["ledger"].append(said["ledger"][0] | {"id": "p2"})),
    "one id, two tasks": ("resent", lambda said: said["tasks"]["task_2"].update(provider_task_id="p1")),
}


@pytest.mark.parametrize("name", LIES)
def test_a_fault(name: str) -> None:
    """Counted under its own invariant."""
    kind, lie = LIES[name]
    account = account_of(evidence(lie))
    assert getattr(account, kind) != ()
    assert set(getattr(account, kind)) <= set(account.faults)


def test_a_history_that_is_over_its_days(tmp_path: Path) -> None:
    """What is left of it is told, what was taken though it is owed, and what was taken by half."""
    plant(tmp_path)
    assert history_faults(tmp_path, 1) == (f"{2 * TASKS - OWED} events left by retention",)
    with closing(sqlite3.connect(tmp_path / "taskweir.db")) as database, database:
        database.execute(f"DELETE FROM events WHERE tenant = '{TENANT}'")
    assert history_faults(tmp_path, 1) == (
        f"{TASKS} tasks left by retention",
        f"{2 * TASKS} orphans in deliveries left by retention",
        f"0 events kept that are owed, of {OWED}",
    )
