"""The operations on events and deliveries."""

from receiver.delivery_policy import GROUPS
from receiver.domain import DeliveryState, EventType, OperatorEvent
from receiver.made_up import DESTINATION_ID
from receiver.web.bodies import NothingIn
from receiver.web.documents import examples
from receiver.web.documents.delivery_answers import Deliveries, DeliveryWhole
from receiver.web.documents.event_answers import Events, RecordedEvent, Replayed
from receiver.web.documents.operation import LIMIT, Answer, Operation, Parameter, cursor, text
from receiver.web.documents.samples import SEQ
from receiver.web.events import EventReplayIn

TAG, DELIVERIES = "Events", "Deliveries"
TYPES = [*EventType, *OperatorEvent, *sorted(GROUPS)]
_EVENT = {"id": "The event's id."}
_DELIVERY = {"id": "The delivery's id."}
_ONE = Answer(text="The delivery.", model=DeliveryWhole, example=examples.DELIVERY_WHOLE)
PLACE = "^([0-9]{1,18}(:[0-9]{1,18})?)?$"
AFTER = Parameter(
    name="after",
    schema={"type": "string", "pattern": PLACE, "default": "0"},
    text="A `seq`, or the `next_cursor` of the page before; 0 begins with the oldest event that is kept.",
)
OF_TYPE = Parameter(
    name="type",
    schema={"type": "array", "items": {"type": "string", "enum": [str(each) for each in TYPES]}, "minItems": 1},
    text="Events of these types; `task.finished` are the four final ones, `task.*` all about tasks.",
)
OF_TASK = text("task_id", "Events of this task.")
OF_PROVIDER = text("provider", "Events of this provider's tasks.")

OPERATIONS = (
    Operation(
        method="GET",
        path="/v1/events",
        name="listEvents",
        tag=TAG,
        summary="Read events from a cursor",
        text="Who reads on from `next_cursor` never misses an event.",
        scope="read",
        parameters=(
            LIMIT,
            AFTER,
            Parameter(
                name="order",
                schema={"type": "string", "enum": ["asc", "desc"], "default": "asc"},
                text="`desc`: newest first, from `after` backward.",
            ),
            OF_TYPE,
            OF_TASK,
            OF_PROVIDER,
        ),
        answers={
            200: Answer(
                text="What comes after the cursor.",
                model=Events,
                example={"items": [examples.EVENT], "next_cursor": str(SEQ), "has_more": False},
            )
        },
        problems=(410,),
    ),
    Operation(
        method="GET",
        path="/v1/events/{id}",
        name="getEvent",
        tag=TAG,
        summary="Look at an event",
        scope="read",
        ids=_EVENT,
        answers={200: Answer(text="The event.", model=RecordedEvent, example=examples.EVENT)},
    ),
    Operation(
        method="POST",
        path="/v1/events/{id}/replay",
        name="replayEvent",
        tag=TAG,
        summary="Deliver an event again",
        text="To all destinations that want it now, or to `destination_id`.",
        scope="admin",
        ids=_EVENT,
        body=EventReplayIn,
        needed=False,
        examples={"to one": {"destination_id": DESTINATION_ID}},
        answers={
            202: Answer(
                text="The new deliveries.",
                model=Replayed,
                example={"count": 1, "deliveries": [examples.DELIVERY | {"attempts": 0}]},
            )
        },
        problems=(409,),
    ),
    Operation(
        method="GET",
        path="/v1/deliveries",
        name="listDeliveries",
        tag=DELIVERIES,
        summary="List what is owed, and was",
        scope="read",
        parameters=(
            LIMIT,
            cursor("dlv"),
            text("state", "Deliveries that stand so.", enum=[each.value for each in DeliveryState]),
            text("destination_id", "Deliveries to this destination."),
            text("task_id", "Deliveries of this task's events."),
            text("event_id", "Deliveries of this event."),
        ),
        answers={200: Answer(text="Newest first.", model=Deliveries, example=examples.page(examples.DELIVERY))},
    ),
    Operation(
        method="GET",
        path="/v1/deliveries/{id}",
        name="getDelivery",
        tag=DELIVERIES,
        summary="Look at a delivery and its attempts",
        scope="read",
        ids=_DELIVERY,
        answers={200: _ONE},
    ),
    Operation(
        method="POST",
        path="/v1/deliveries/{id}/retry",
        name="retryDelivery",
        tag=DELIVERIES,
        summary="Try a delivery now",
        text="One that is dead or canceled begins its schedule anew.",
        scope="admin",
        ids=_DELIVERY,
        body=NothingIn,
        needed=False,
        answers={200: _ONE},
        problems=(409,),
    ),
    Operation(
        method="POST",
        path="/v1/deliveries/{id}/cancel",
        name="cancelDelivery",
        tag=DELIVERIES,
        summary="Do not try a delivery again",
        scope="admin",
        ids=_DELIVERY,
        body=NothingIn,
        needed=False,
        answers={200: _ONE},
        problems=(409,),
    ),
)
