"""The operations on destinations, and on the secrets that sign what goes to them."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from receiver.web.bodies import NothingIn
from receiver.web.destination_acts import NewSecretIn, ReplayIn
from receiver.web.destination_models import ChangesIn, DestinationIn
from receiver.web.documents import examples
from receiver.web.documents.delivery_answers import (
    Attempt,
    Destination,
    Destinations,
    NewDestination,
    Secret,
    TenantSecret,
)
from receiver.web.documents.operation import LIMIT, Answer, Operation, cursor
from receiver.web.documents.task_answers import Counted
from receiver.web.webhooks import RotationIn

TAG = "Destinations"
_ONE = "/v1/destinations/{id}"
_ID = {"id": "The destination's id."}
_SHOWN = Answer(text="The destination.", model=Destination, example=examples.DESTINATION)
_WEBHOOK = {"type": "webhook", "url": "https://app.example/hooks/taskweir", "headers": {"x-team": "media"}}
_SECRET = {"secret": examples.SECRET}


def _act(
    act: str, name: str, summary: str, answer: Answer, *, text: str = "", body: type[BaseModel] = NothingIn, **more: Any
) -> Operation:
    """A POST that does something to one destination."""
    return Operation(
        method="POST",
        path=f"{_ONE}/{act}",
        name=name,
        tag=TAG,
        summary=summary,
        text=text,
        scope="admin",
        ids=_ID,
        body=body,
        answers={200: answer},
        **{"needed": False} | more,
    )


def _of_tenant(method: str, path: str, name: str, summary: str, **more: Any) -> Operation:
    answer: Mapping[int, Answer] = {200: Answer(text="The secret.", model=TenantSecret, example=_SECRET)}
    return Operation(
        method=method, path=path, name=name, tag=TAG, summary=summary, scope="admin", answers=answer, **more
    )


OPERATIONS = (
    Operation(
        method="GET",
        path="/v1/destinations",
        name="listDestinations",
        tag=TAG,
        summary="List destinations",
        scope="read",
        parameters=(LIMIT, cursor("dst")),
        answers={200: Answer(text="Newest first.", model=Destinations, example=examples.page(examples.DESTINATION))},
    ),
    Operation(
        method="POST",
        path="/v1/destinations",
        name="createDestination",
        tag=TAG,
        summary="Add a destination",
        text="Without `event_types` it gets `task.finished` and `task.unconfirmed`.",
        scope="admin",
        body=DestinationIn,
        examples={"a webhook": _WEBHOOK, "a SQLite log": {"type": "sqlite", "name": "results"}},
        answers={
            201: Answer(
                text="The destination, and a webhook's secret.",
                model=NewDestination,
                example=examples.DESTINATION | _SECRET,
            )
        },
        problems=(409,),
    ),
    Operation(
        method="GET",
        path=_ONE,
        name="getDestination",
        tag=TAG,
        summary="Look at a destination",
        scope="read",
        ids=_ID,
        answers={200: _SHOWN},
    ),
    Operation(
        method="PATCH",
        path=_ONE,
        name="changeDestination",
        tag=TAG,
        summary="Change a destination",
        text="A merge patch: what is left out stays, what is null has its default.",
        scope="admin",
        ids=_ID,
        body=ChangesIn,
        examples={"its types": {"event_types": ["task.*"]}, "no header": {"headers": {"x-team": None}}},
        answers={200: _SHOWN},
    ),
    Operation(
        method="DELETE",
        path=_ONE,
        name="deleteDestination",
        tag=TAG,
        summary="Remove a destination",
        text="What is still owed to it is canceled.",
        scope="admin",
        ids=_ID,
        answers={204: Answer(text="It is gone.")},
    ),
    Operation(
        method="GET",
        path=f"{_ONE}/secret",
        name="getDestinationSecret",
        tag=TAG,
        summary="Show a webhook's secret",
        scope="admin",
        ids=_ID,
        answers={200: Answer(text="The secret.", model=Secret, example=_SECRET)},
    ),
    _act(
        "rotate-secret",
        "rotateDestinationSecret",
        "Give a webhook a new secret",
        Answer(text="The new secret.", model=Secret, example=_SECRET),
        text="The one before signs along for `overlap_seconds`.",
        body=NewSecretIn,
        examples={"within an hour": {"overlap_seconds": 3600}},
    ),
    _act(
        "test",
        "testDestination",
        "Send a ping now",
        Answer(text="The attempt.", model=Attempt, example=examples.ATTEMPT),
        text="It is sent be the destination disabled or held, and not recorded.",
    ),
    _act(
        "replay",
        "replayToDestination",
        "Deliver past events to a destination again",
        Answer(text="How many deliveries were made, or would be.", model=Counted, example={"count": 3}),
        body=ReplayIn,
        needed=True,
        examples={"what it missed": {"since": "2026-11-20T19:48:00Z", "only": "missing"}},
        problems=(409,),
    ),
    _act("enable", "enableDestination", "Send to a destination, and what waits for it", _SHOWN),
    _act("disable", "disableDestination", "Send nothing to a destination", _SHOWN, text="What is pending waits."),
    _of_tenant(
        "GET",
        "/v1/webhook-secret",
        "getWebhookSecret",
        "Show the secret that signs what goes to tasks' own webhooks",
    ),
    _of_tenant(
        "POST",
        "/v1/webhook-secret/rotate",
        "rotateWebhookSecret",
        "Make a new secret for tasks' own webhooks",
        text="The one before signs along for `overlap_seconds`.",
        body=RotationIn,
        needed=False,
        examples={"within an hour": {"overlap_seconds": 3600}},
    ),
)
