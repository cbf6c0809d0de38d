"""One made-up event of every type that goes out, and where the schema of each type is."""

from typing import Any

from receiver import formats, json_text, made_up
from receiver.domain import EventType, Format, Ms, OperatorEvent
from receiver.ids import id_of
from receiver.rendering import Rendered, rendered

AT: Ms = 1_795_204_080_000
SEQ = 4711
PING = "ping"
TYPES: tuple[str, ...] = (*map(str, EventType), *map(str, OperatorEvent), PING)
VERSION = "v1"


def path_of(type: str) -> str:
    """Where the schema of this type of event is; it is its `$id`, too, whatever host it is asked from."""
    return f"/schemas/{VERSION}/{type}.json"


def sample(type: str) -> dict[str, Any]:
    """A made-up event of this type, in the format `standard`."""
    read: dict[str, Any] = json_text.read_strict(_body(type).encode())
    return read


def sample_as(format: Format, type: str) -> Rendered:
    """The same as the webhook of a destination with this format."""
    prompt = made_up.PROMPT if type in [*EventType] else None
    return rendered(format, _body(type), seq=0 if type == PING else SEQ, prompt=prompt)


def _body(type: str) -> str:
    if type != PING:
        return made_up.envelope_of(EventType(type) if type in [*EventType] else OperatorEvent(type))
    told = {"destination_id": made_up.DESTINATION_ID}
    return json_text.write(
        {"id": id_of("evt", "never happened", PING), "type": PING, "timestamp": formats.timestamp(AT), "data": told}
    )
