"""How a task is found, waited for and shown, for every door that answers with one."""

import asyncio
from collections.abc import Callable
from typing import Any

from starlette.requests import Request

from receiver import formats, turns
from receiver.bell import Watch
from receiver.domain import EventType, Ms, Status, Task, Timer
from receiver.errors import Unknown
from receiver.intake import Taken
from receiver.store.protocol import Store
from receiver.waiting import Held, waiting_for
from receiver.web.doors import Caller, Doors, doors_of, query_integer
from receiver.web.holders import Holders

MOST_WAIT_S = 60
LOOKS_AGAIN_S, LOOKS_FOR_OTHERS_S = 1.0, 0.25  # the second where all that happens is another process's doing
_UNSETTLED = frozenset({Status.QUEUED, Status.SUBMITTING, Status.UNCONFIRMED})
_WITH_PROVIDER = frozenset({Status.SUBMITTED, Status.RUNNING})


def query_wait(request: Request) -> int:
    """`?wait=`: how many seconds the caller waits for the end; raises `Invalid`."""
    return query_integer(request, "wait", 0, least=0, most=MOST_WAIT_S)


async def resolved(doors: Doors, task_id: str, caller: Caller) -> str:
    """Our id of a task that may be named `<provider>:<provider_task_id>`; what nobody has stays as it is."""
    provider, colon, provider_task_id = task_id.partition(":")
    if not colon:
        return task_id
    task = await doors.storage.read(lambda store: store.task_of_provider(provider, provider_task_id), brief=True)
    return task.id if task and task.tenant == caller.tenant else task_id


def owned(store: Store, task_id: str, caller: Caller) -> Task:
    """The caller's task of that id; raises `Unknown`, of another tenant's, too."""
    task = store.task(task_id)
    if task is None or task.tenant != caller.tenant:
        raise Unknown(f"no task {task_id!r}")
    return task


def handed_over(task: Task) -> bool:
    """Whether the handover is over for now: answered, in doubt, or put off."""
    put_off = task.status is Status.QUEUED and task.emitted & EventType.QUEUED.bit
    return bool(put_off) or task.status not in (Status.QUEUED, Status.SUBMITTING)


def ended(task: Task) -> bool:
    return task.status.final


async def wait_until(
    doors: Doors, task_id: str, caller: Caller, happened: Callable[[Task], bool], *, within_s: float
) -> None:
    """Return when it happened or the seconds are over; looks again soon, for another process may change it."""
    if within_s > 0:
        with doors.bell.watch(task_id) as watch:
            await heard_until(doors, watch, caller, happened, within_s=within_s)


async def heard_until(
    doors: Doors, watch: Watch, caller: Caller, happened: Callable[[Task], bool], *, within_s: float
) -> Taken | None:
    """The same by a watch that is there already, and of what it heard; that with which it happened."""
    ends_at, told = asyncio.get_running_loop().time() + within_s, watch.heard()
    while (left_s := ends_at - asyncio.get_running_loop().time()) > 0:
        if told is None:
            found = await doors.storage.read(lambda store: owned(store, watch.task_id, caller), brief=True)
            watch.learn(told := Taken(task=found))
        if happened(told.task):
            return told
        if happened is handed_over and turns.idle():
            break  # nobody here is at it
        if doors.health.draining and (happened is ended or not doors.role.works):
            break  # an end may be hours away; a handover of ours is over before the process is
        told = await watch.wait(min(left_s, LOOKS_AGAIN_S if doors.role.works else LOOKS_FOR_OTHERS_S))
    return None


async def shown(
    doors: Doors, task_id: str, caller: Caller, *, told: Taken | None = None
) -> tuple[dict[str, Any], Status]:
    """A task as it is answered, and its status; nothing is read where all of that was `told` a moment ago."""
    holders = Holders(doors)
    if told is not None and told.task.status.final:
        return _answer(told.task, None, holders.now), told.task.status
    if told is not None and told.outlook is not None and told.task.status in _WITH_PROVIDER:
        held = holders.unpolled(told.outlook.standing)
        return _answer(told.task, told.outlook.timer, holders.now, held), told.task.status

    def look(store: Store) -> tuple[dict[str, Any], Status]:
        task = owned(store, task_id, caller)
        return task_answer(holders, store, task, store.timer(task_id)), task.status

    return await doors.storage.read(look, brief=True)


def submit_code(status: Status) -> int:
    """201 once handed over, finished or refused; 202 while nobody can say that."""
    return 202 if status in _UNSETTLED else 201


def task_answer(holders: Holders, store: Store, task: Task, timer: Timer | None) -> dict[str, Any]:
    """The task with its input and what it waits for."""
    return _answer(task, timer, holders.now, holders.held(store, task, timer))


def _answer(task: Task, timer: Timer | None, now: Ms, held: Held | None = None) -> dict[str, Any]:
    waiting = waiting_for(task, timer, now, held=held)
    fields = formats.task_fields(task)
    fields["input"] = dict(task.input)
    fields["waiting_for"] = waiting and {
        "what": waiting.what,
        "since": formats.timestamp(waiting.since),
        "next_at": waiting.next_at and formats.timestamp(waiting.next_at),
        "text": waiting.text,
    }
    return fields


def watch_url(request: Request, task_id: str) -> str:
    """Where anybody may watch a task: at our public URL, or where we were asked."""
    doors = doors_of(request)
    base = doors.callbacks.public_url or str(request.base_url).rstrip("/")
    return f"{base}/v1/watch/{doors.watch.issue(task_id)}"
