"""The door for one action on many tasks, chosen by the filters of their list."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from receiver.action_policy import Action
from receiver.bulk import BATCH, Bulk, Errand
from receiver.errors import Fault, Invalid
from receiver.intake import Taken
from receiver.store.records import Page
from receiver.web.answers import json_answer
from receiver.web.bodies import read_model
from receiver.web.doors import Caller, doors_of, refuse_if_stopping
from receiver.web.idempotency import HEADER
from receiver.web.task_filters import EQUAL, METADATA, TIMES, filtered_page

_NO_KEY = (
    "a bulk call takes no key: remove it. It can be made again without one, for what it canceled, resolved or "
    "resubmitted is left out then"
)


_WORD: dict[str, Any] = {"type": "string", "minLength": 1}
_FILTER: dict[str, Any] = {
    "properties": dict.fromkeys(EQUAL, _WORD) | {name: {"anyOf": [_WORD, {"type": "integer"}]} for name in TIMES},
    "patternProperties": {r"^metadata\..": _WORD},
    "additionalProperties": False,
}


class BulkIn(BaseModel):
    """What to do to which tasks; `filter` is required, and all tasks are meant by an empty one."""

    model_config = ConfigDict(extra="forbid", strict=True)

    action: Literal["cancel", "refresh", "resolve", "resubmit"]
    filter: Annotated[dict[str, Any], Field(json_schema_extra=_FILTER)]
    rate_per_second: Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)] | None = None
    dry_run: bool = False


async def act_on_many(request: Request, caller: Caller) -> Response:
    """`POST /v1/tasks/bulk`: how many tasks were changed, or would be; the others do not fit the action."""
    doors = doors_of(request)
    if HEADER in request.headers:
        raise Invalid([Fault(path=HEADER, message=_NO_KEY)])
    asked = await read_model(request, BulkIn)
    if not asked.dry_run:
        refuse_if_stopping(doors)

    def announce(batch: Sequence[Taken]) -> None:
        for taken in batch:
            doors.bell.ring(taken)
        doors.wake_submitter()
        doors.wake_poller()

    bulk = Bulk(doors.storage, doors.providers, doors.callbacks, announce)
    errand = Errand(
        action=Action(asked.action),
        page=_page(asked.filter, caller.tenant),
        now=doors.clock.now(),
        rate=asked.rate_per_second,
    )
    count = await (bulk.count(errand) if asked.dry_run else bulk.run(errand))
    return json_answer({"count": count})


def _page(filters: dict[str, Any], tenant: str) -> Page:
    """What the filters choose. A mistake here would be made many times: nothing unknown, nothing empty."""
    faults = [fault for name, value in filters.items() if (fault := _fault(name, value))]
    if faults:
        raise Invalid(faults)
    texts = {name: str(value) for name, value in filters.items()}
    return filtered_page(texts, tenant=tenant, limit=BATCH, under="filter.")


def _fault(name: str, value: Any) -> Fault | None:
    path = f"filter.{name}"
    if name not in (*EQUAL, *TIMES) and (not name.startswith(METADATA) or name == METADATA):
        known = ", ".join((*EQUAL, f"{METADATA}<key>", *TIMES))
        return Fault(path=path, message=f"unknown filter; there are {known}")
    if not isinstance(value, str) and (name not in TIMES or type(value) is not int):
        return Fault(path=path, message="must be a string" + (", or whole seconds since 1970" if name in TIMES else ""))
    return Fault(path=path, message="must not be empty: leave it out") if value == "" else None
