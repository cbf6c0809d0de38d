"""The operations that are streams, which AsyncAPI tells more of."""

from receiver.web.documents.of_events import OF_PROVIDER, OF_TASK, OF_TYPE, PLACE
from receiver.web.documents.operation import Answer, Operation, Parameter

SSE = "text/event-stream"
_LAST = "Last-Event-ID"

OPERATIONS = (
    Operation(
        method="GET",
        path="/v1/events/stream",
        name="streamEvents",
        tag="Events",
        summary="Follow events as they come",
        text="Server-sent events: `id` is `seq`, `event` the type, `data` the event as it is listed. A reader that "
        "comes back with `Last-Event-ID` misses none.",
        scope="read",
        parameters=(
            Parameter(
                name="after",
                schema={"type": "string", "pattern": PLACE},
                text="A `seq`, or a `next_cursor`: begin behind it; with what comes from now on if left out.",
                may_be_empty=True,
            ),
            OF_TYPE,
            OF_TASK,
            OF_PROVIDER,
            Parameter(
                name=_LAST,
                schema={"type": "string"},
                text="What a browser sends when it comes back: the `id` that it had last.",
                place="header",
            ),
        ),
        answers={200: Answer(text="The stream.", media=SSE)},
        problems=(410,),
    ),
    Operation(
        method="GET",
        path="/v1/watch/{token}",
        name="watchTask",
        tag="Events",
        summary="Watch one task, without a key",
        text="The `watch_url` of a submit's answer, for a web page: server-sent events of that task, without its input "
        "and metadata, and `end` behind the last. It may be asked for from any page, until 24 h after the end.",
        scope=None,
        ids={"token": "The signed token in `watch_url`."},
        parameters=(
            Parameter(name=_LAST, schema={"type": "string"}, text="The `id` that a browser had last.", place="header"),
        ),
        answers={
            200: Answer(text="The stream.", media=SSE),
            204: Answer(text="The end was told already: do not come back."),
        },
        problems=(410,),
    ),
)
