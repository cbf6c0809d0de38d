"""The operations of REST hooks, for no-code tools."""

from pydantic import BaseModel, RootModel

from receiver.domain import Format
from receiver.json_text import read_strict
from receiver.made_up import DESTINATION_ID
from receiver.web.documents.event_answers import FlatEvent
from receiver.web.documents.examples import NOW, page
from receiver.web.documents.kinds import Time
from receiver.web.documents.of_events import TYPES
from receiver.web.documents.operation import LIMIT, Answer, Operation, Parameter, cursor, text
from receiver.web.documents.samples import sample_as
from receiver.web.hook_models import HookIn

TAG = "Hooks"
_URL = text("url", "Hooks with this URL.")
_OF_EVENT = text("event", "Hooks for this event.")
_WHERE_TO = Parameter(name="url", schema={"type": "string", "minLength": 1}, text="Where to.", needed=True)
_GONE = {204: Answer(text="It is gone, or was before.")}


class HookId(BaseModel):
    """The id of a hook."""

    id: str


class Hook(BaseModel):
    """What a no-code tool asked for: a destination with the format `flat`."""

    id: str
    url: str
    event: str
    enabled: bool
    created_at: Time


class Hooks(BaseModel):
    """A page of hooks, newest first."""

    items: list[Hook]
    next_cursor: str | None


class FlatEvents(RootModel[list[FlatEvent]]):
    """Events as a hook gets them, newest first."""


_HOOK = {
    "id": DESTINATION_ID,
    "url": "https://hooks.example/catch/1",
    "event": "task.finished",
    "enabled": True,
    "created_at": NOW,
}

OPERATIONS = (
    Operation(
        method="POST",
        path="/v1/hooks",
        name="createHook",
        tag=TAG,
        summary="Subscribe to an event",
        text="Where to may be called `target_url`, `targetUrl`, `hookUrl` or `url`; other fields are ignored. The same "
        "again gives the same hook. What it gets is in the format `flat`.",
        scope="admin",
        body=HookIn,
        examples={"as Zapier does": {"target_url": "https://hooks.example/catch/1", "event": "task.finished"}},
        answers={201: Answer(text="The hook.", model=HookId, example={"id": DESTINATION_ID})},
    ),
    Operation(
        method="GET",
        path="/v1/hooks",
        name="listHooks",
        tag=TAG,
        summary="List hooks, or look whether one is there",
        scope="read",
        parameters=(LIMIT, cursor("dst"), _URL, _OF_EVENT),
        answers={200: Answer(text="Newest first.", model=Hooks, example=page(_HOOK))},
    ),
    Operation(
        method="DELETE",
        path="/v1/hooks",
        name="deleteHooks",
        tag=TAG,
        summary="Unsubscribe by the URL",
        scope="admin",
        parameters=(_WHERE_TO, _OF_EVENT),
        answers=_GONE,
    ),
    Operation(
        method="DELETE",
        path="/v1/hooks/{id}",
        name="deleteHook",
        tag=TAG,
        summary="Unsubscribe by the id",
        scope="admin",
        ids={"id": "The hook's id."},
        answers=_GONE,
    ),
    Operation(
        method="GET",
        path="/v1/hooks/sample",
        name="sampleHook",
        tag=TAG,
        summary="What a hook for this event would have got lately",
        text="Made up where there is nothing yet.",
        scope="read",
        parameters=(
            Parameter(
                name="limit",
                schema={"type": "integer", "minimum": 1, "maximum": 50, "default": 25},
                text="How many.",
                may_be_empty=True,
            ),
            text("event", "The event; `task.*` if left out.", enum=[str(each) for each in TYPES]),
        ),
        answers={
            200: Answer(
                text="Newest first.",
                model=FlatEvents,
                example=[read_strict(sample_as(Format.FLAT, "task.succeeded").body)],
            )
        },
    ),
)
