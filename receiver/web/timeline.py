"""The door for a task's timeline: all that happened to it, one sentence each."""

from starlette.requests import Request
from starlette.responses import Response

from receiver import formats
from receiver.store.protocol import Store
from receiver.timeline import Item, timeline
from receiver.web.answers import json_answer
from receiver.web.doors import Caller, doors_of
from receiver.web.holding import held
from receiver.web.showing import owned, resolved

MOST_ROWS = 1000


async def get_timeline(request: Request, caller: Caller) -> Response:
    """`GET /v1/tasks/{id}/timeline`: in time order, and whole."""
    doors = doors_of(request)
    task_id = await resolved(doors, request.path_params["id"], caller)

    def look(store: Store) -> list[Item]:
        task, chronicle = owned(store, task_id, caller), store.chronicle(task_id, most=MOST_ROWS)
        waits = held(store, [each.delivery for each in chronicle.deliveries], doors)
        return timeline(task, chronicle, most=MOST_ROWS, now=doors.clock.now(), held=waits)

    items = [
        {"at": formats.timestamp(item.at), "kind": item.kind, "text": item.text, "data": item.data}
        for item in await doors.storage.read(look)
    ]
    return json_answer({"items": items})
