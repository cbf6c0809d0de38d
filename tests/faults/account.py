"""What a run came to, pure: the invariants, each as a list of what breaks it."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

FINAL = frozenset({"task.succeeded", "task.failed", "task.canceled", "task.expired"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What each party says: the API (`tasks` by id, `events`), the provider's ledger, the caller, the consumers.

    `pruned` is what is wrong with what retention has left.
    """

    tasks: dict[str, dict[str, Any]]
    events: list[dict[str, Any]]
    ledger: list[dict[str, Any]]
    answered: frozenset[str]
    delivered: dict[str, Any]
    wrong: tuple[str, ...]
    logged: list[str]
    pruned: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Empty lists, if all is well; each line says which task or event, and what is wrong with it."""

    tasks: int = 0
    creates: int = 0
    doubtful: int = 0
    lost: tuple[str, ...] = ()
    phantom: tuple[str, ...] = ()
    double: tuple[str, ...] = ()
    gaps: tuple[str, ...] = ()
    resent: tuple[str, ...] = ()
    pruned: tuple[str, ...] = ()

    @property
    def faults(self) -> tuple[str, ...]:
        return self.lost + self.phantom + self.double + self.gaps + self.resent + self.pruned

    def __add__(self, other: "Account") -> "Account":
        return Account(**{name: getattr(self, name) + getattr(other, name) for name in Account.__slots__})


def account_of(evidence: Evidence) -> Account:
    """Hold the evidence against I-LOSS, I-PHANTOM, I-ONE, I-SEQ and I-MONEY."""
    return Account(
        tasks=len(evidence.tasks),
        creates=len(evidence.ledger),
        doubtful=sum(task["status"] == "unconfirmed" for task in evidence.tasks.values()),
        lost=tuple(_lost(evidence)),
        phantom=tuple(_phantom(evidence)),
        double=tuple(_double(evidence)),
        gaps=tuple(_gaps(evidence)),
        resent=tuple(_resent(evidence)),
        pruned=evidence.pruned,
    )


def _lost(evidence: Evidence) -> Iterator[str]:
    """I-LOSS: what was answered is kept, what was created is known, all of it ends, every event arrives everywhere."""
    yield from (f"{task_id}: answered, and gone" for task_id in evidence.answered - evidence.tasks.keys())
    by_prompt = {task["input"]["prompt"]: task for task in evidence.tasks.values()}
    for made in evidence.ledger:
        task = by_prompt.get(made["prompt"])
        if task is None:
            yield f"{made['id']}: created at {made['provider']} for no task of ours"
        elif task["status"] == "unconfirmed" and task["callback_expected"]:
            yield f"{task['id']}: called back, and still unconfirmed"
    for task in evidence.tasks.values():
        if task["status"] not in ("succeeded", "unconfirmed"):
            yield f"{task['id']}: did not end, {task['status']}: {task['waiting_for']}"
    for event in evidence.events:
        if event["id"] not in evidence.delivered:
            yield f"{event['id']}: {event['type']} never reached the webhook"
    logged = set(evidence.logged)
    yield from (f"{event['id']}: not in the log" for event in evidence.events if event["id"] not in logged)


def _phantom(evidence: Evidence) -> Iterator[str]:
    """I-PHANTOM: no event without a task and, where it says the provider has it, without a create of that prompt."""
    made = {(each["provider"], each["id"]): each for each in evidence.ledger}
    for event in evidence.events:
        told = event["data"]["task"]
        task = evidence.tasks.get(told["id"])
        if task is None:
            yield f"{event['id']}: of a task that is not there"
            continue
        if event["type"] in ("task.queued", "task.unconfirmed"):
            continue
        cause = made.get((told["provider"], told["provider_task_id"]))
        if cause is None:
            # Reve2img's finished submits name no task: there the create of this prompt is the cause.
            cause = next((each for each in evidence.ledger if each["prompt"] == task["input"]["prompt"]), None)
        if cause is None or cause["prompt"] != task["input"]["prompt"]:
            yield f"{event['id']}: {event['type']} of {told['id']} without a create"
        elif event["type"] == "task.succeeded" and cause["status"] != "succeeded":
            yield f"{event['id']}: success, where the provider says {cause['status']}"
    known = {event["id"] for event in evidence.events}
    yield from (f"{event_id}: delivered, but not an event" for event_id in evidence.delivered.keys() - known)
    yield from (f"{event_id}: logged, but not an event" for event_id in set(evidence.logged) - known)
    yield from evidence.wrong


def _double(evidence: Evidence) -> Iterator[str]:
    """I-ONE: one terminal event of each finished task, none of an open one, none twice in the log."""
    finals = Counter(event["data"]["task"]["id"] for event in evidence.events if event["type"] in FINAL)
    for task in evidence.tasks.values():
        wanted = int(task["status"] not in ("unconfirmed", "queued", "submitting", "submitted", "running"))
        if finals[task["id"]] != wanted:
            yield f"{task['id']}: {finals[task['id']]} terminal events, {task['status']}"
    yield from (f"{event_id}: {n} times in the log" for event_id, n in Counter(evidence.logged).items() if n > 1)


def _gaps(evidence: Evidence) -> Iterator[str]:
    """I-SEQ: 1, 2, 3 of each task; no type twice; the stream ascends."""
    of_task: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for event in evidence.events:
        of_task[event["data"]["task"]["id"]].append(event)
    for task_id, events in of_task.items():
        numbers = [event["data"]["sequence"] for event in events]
        types = [event["type"] for event in events]
        if numbers != list(range(1, len(numbers) + 1)) or len(set(types)) != len(types):
            yield f"{task_id}: {list(zip(numbers, types, strict=True))}"
    seqs = [event["seq"] for event in evidence.events]
    if seqs != sorted(set(seqs)):
        yield "the stream does not ascend"


def _resent(evidence: Evidence) -> Iterator[str]:
    """I-MONEY: no request was created twice, and no provider's id belongs to two tasks."""
    creates = Counter((made["provider"], made["prompt"]) for made in evidence.ledger)
    yield from (f"{prompt!r}: created {n} times at {name}" for (name, prompt), n in creates.items() if n > 1)
    bound = Counter(
        (task["provider"], task["provider_task_id"])
        for task in evidence.tasks.values()
        if task["provider_task_id"] is not None
    )
    yield from (f"{name} {provider_id}: bound to {n} tasks" for (name, provider_id), n in bound.items() if n > 1)
