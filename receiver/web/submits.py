"""How a submit is answered: recorded once, waited for, with the code that tells how far it got."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from receiver import turns
from receiver.bell import Watch
from receiver.store.protocol import Store
from receiver.web.answers import json_answer
from receiver.web.doors import Caller, doors_of, refuse_if_stopping
from receiver.web.idempotency import Keep, once, remember, replayed, use_of
from receiver.web.showing import ended, handed_over, heard_until, query_wait, shown, submit_code, watch_url

# What `once` asks for, by whom the watch hears of the task before it is committed.
Record = Callable[[Keep, Watch], Awaitable[str]]
Answering = Callable[[str, bool], Awaitable[Response]]


async def submitted(
    request: Request, caller: Caller, asked: Any, record: Record, *, answering: Answering | None = None
) -> Response:
    """Have a new task recorded, once per Idempotency-Key, and answer when it is handed over.

    `asked` is the JSON that the request asks for: the same key with another one is refused. `Prefer: respond-async`
    does not wait, `?wait=` waits for the end as well. `answering` says how the task of an id is answered, and hears
    whether that is so again; without it as the task.
    """
    doors, wait_s = doors_of(request), query_wait(request)
    answer_by = asyncio.get_running_loop().time() + doors.answer_within_s
    refuse_if_stopping(doors)
    use = use_of(request, caller, asked)
    with doors.bell.watch() as watch:
        if use:
            task_id, earlier = await once(doors, use, lambda keep: record(keep, watch))
        else:
            task_id, earlier = await record(_keep_nothing, watch), None
        if earlier is not None:
            watch.follow(task_id)
        await turns.settled()  # where nothing goes on after the answer, a handover that began is over before it
        told, settled = None, turns.idle()
        if not _does_not_wait(request):
            left_s = answer_by - asyncio.get_running_loop().time()  # looking up the host of a webhook may take seconds
            told = await heard_until(doors, watch, caller, handed_over, within_s=left_s)
            if wait_s > 0:
                told = await heard_until(doors, watch, caller, ended, within_s=wait_s)
    if answering is None:
        # What was told before others' work was settled may be seconds old.
        fields, status = await shown(doors, task_id, caller, told=None if settled else told)
        response = json_answer(fields | {"watch_url": watch_url(request, task_id)}, submit_code(status))
    else:
        response = await answering(task_id, earlier is not None)
    if earlier is not None:
        return replayed(earlier, response)
    return await remember(doors, use, response) if use else response


def left_for_later(request: Request) -> bool:
    """Whether a caller who does not wait for a handover leaves it to the heartbeat: nothing goes on after an answer."""
    return doors_of(request).serverless and _does_not_wait(request)


def _does_not_wait(request: Request) -> bool:
    return "respond-async" in ",".join(request.headers.getlist("prefer")).lower()


def _keep_nothing(store: Store, task_id: str) -> None:
    """A request without a key."""
