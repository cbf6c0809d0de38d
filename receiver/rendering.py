"""An event as the body of a webhook, and the headers that say in which of the formats it is written."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from receiver import formats, json_text
from receiver.domain import Format

SOURCE = "urn:taskweir:events"  # with an event's id unique for ever, and what `sequence` is relative to
_JSON = "application/json"
_STRUCTURED = "application/cloudevents+json"
MOST_FLAT = 5_000_000  # bytes: the least that a no-code host takes, which is Make's 5 MB
_SEQ_DIGITS = 19  # of the largest number that a store can count to
_SUBJECTS = ("delivery_id", "destination_id", "provider")  # whichever comes first, where an event is of no task
# Of visible ASCII all but these two may stand in a header as it is: CloudEvents 1.0.2, HTTP binding, 3.1.3.2.
_SAFE = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '"%')


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """What goes out: header names are in small letters, `content-type` always among them."""

    headers: Mapping[str, str]
    body: bytes


def rendered(format: Format, body: str, *, seq: int, prompt: str | None) -> Rendered:
    """An event in a format; `body` is its envelope as it is kept, which `standard` sends byte for byte.

    How a provider would tell of it, only `receiver.drop_in` knows.
    `seq` is the event's place in the one order, 0 for a ping, which has none; `prompt` stands in `flat` only.
    """
    if format is Format.STANDARD:
        return Rendered(headers={"content-type": _JSON}, body=body.encode())
    envelope: dict[str, Any] = json_text.read_own(body)
    if format is Format.FLAT:
        return Rendered(headers={"content-type": _JSON}, body=_flat(formats.flat(envelope, prompt)))
    attributes = _attributes(envelope, seq)
    if format is Format.CLOUDEVENTS:
        whole = attributes | {"datacontenttype": _JSON, "data": envelope["data"]}
        return Rendered(headers={"content-type": _STRUCTURED}, body=_written(whole))
    headers = {f"ce-{name}": quote(value, safe=_SAFE) for name, value in attributes.items()}
    return Rendered(headers={"content-type": _JSON} | headers, body=_written(envelope["data"]))


def _flat(values: Mapping[str, Any]) -> bytes:
    """At most `MOST_FLAT` bytes: of a larger event texts are cut, then the last of `output_urls` left out."""
    body = _written(values)
    if len(body) <= MOST_FLAT:
        return body
    urls = [url for url in values["output_urls"] if url and len(url) <= formats.KEPT_TEXT]
    cut = formats.cut_texts(values)
    room = MOST_FLAT - len(_written(cut | {"output_urls": []}))
    return _written(cut | {"output_urls": _first_within(room, urls)})


def _first_within(room: int, texts: Iterable[str]) -> list[str]:
    """As many of the first as can be written, with a comma each, in so many bytes."""
    kept = []
    for text in texts:
        room -= len(_written(text)) + 1
        if room < 0:
            break
        kept.append(text)
    return kept


def _attributes(envelope: Mapping[str, Any], seq: int) -> dict[str, str]:
    """The attributes of CloudEvents 1.0.2 and its extension `sequence`, which sorts as text."""
    data = envelope["data"]
    values: dict[str, str | None] = {
        "specversion": "1.0",
        "id": envelope["id"],
        "source": SOURCE,
        "type": envelope["type"],
        "subject": data["task"]["id"] if "task" in data else formats.first_text(data, *_SUBJECTS),
        "time": envelope["timestamp"],
        "sequence": f"{seq:0{_SEQ_DIGITS}d}" if seq else None,
    }
    return {name: value for name, value in values.items() if value}


def _written(value: Any) -> bytes:
    return json_text.write(value).encode()
