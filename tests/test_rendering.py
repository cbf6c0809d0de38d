"""What goes out in each format: byte for byte, and for any event whatever."""

import json
import re
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver import formats, json_text
from receiver.domain import EventType, Failure, FailureKind, Format, Kind, OperatorEvent, Output, Role, Status, Usage
from receiver.rendering import MOST_FLAT, SOURCE, Rendered, rendered
from tests.make import NOW, a_task, an_event
from tests.rendered.samples import FOLDER, FORMATS, METADATA, PROMPT, SEQ, TYPES, body_of, page_of, rendered_as

FLAT = [
    "id", "type", "timestamp", "task_id", "provider", "provider_task_id", "model", "status", "prompt", "output_url",
    "output_urls", "error_kind", "error_message", "credits", "late", "expires_at", "created_at", "finished_at",
]  # fmt: skip
_HEADER = re.compile(r"[!-~]+")


@pytest.mark.parametrize("type", TYPES)
def test_every_byte_of_every_format_is_known(type: str) -> None:
    """As it was once read by a person; `python -m tests.rendered.samples` writes the files anew."""
    assert page_of(type).encode() == (FOLDER / f"{type}.txt").read_bytes()


def test_every_type_has_its_page() -> None:
    """None is left over either."""
    assert {path.stem for path in FOLDER.glob("*.txt")} == {*EventType, *OperatorEvent, "ping"}


@pytest.mark.parametrize("type", TYPES)
def test_the_default_format_is_the_stored_text_itself(type: str) -> None:
    """What is listed, streamed and sent is one text; it is not even parsed."""
    assert rendered_as(Format.STANDARD, type).body == body_of(type).encode()
    assert rendered(Format.STANDARD, '{"a":  1e0}', seq=1, prompt=None).body == b'{"a":  1e0}'


@pytest.mark.parametrize("type", TYPES)
def test_both_modes_of_cloudevents_say_the_same(type: str) -> None:
    """The attributes in headers are those in the body, and the data is the envelope's own."""
    event = json.loads(body_of(type))
    structured = json.loads(rendered_as(Format.CLOUDEVENTS, type).body)
    binary = rendered_as(Format.CLOUDEVENTS_BINARY, type)
    attributes = {name[3:]: unquote(value) for name, value in binary.headers.items() if name.startswith("ce-")}
    assert structured.pop("data") == json.loads(binary.body) == event["data"]
    assert structured.pop("datacontenttype") == binary.headers["content-type"] == "application/json"
    assert structured == attributes
    assert (structured["id"], structured["type"], structured["time"]) == (event["id"], type, event["timestamp"])
    assert (structured["specversion"], structured["source"]) == ("1.0", SOURCE)


def test_sequences_sort_as_text() -> None:
    """By the global order, up to the largest number a store counts to; a ping is in no order."""
    counts = [1, 9, 10, 4711, 10**9, 2**63 - 1]
    body = body_of(EventType.RUNNING)
    texts = [json.loads(rendered(Format.CLOUDEVENTS, body, seq=seq, prompt=None).body)["sequence"] for seq in counts]
    assert texts == sorted(texts)
    assert [int(text) for text in texts] == counts
    assert "sequence" not in json.loads(rendered_as(Format.CLOUDEVENTS, "ping").body)


@pytest.mark.parametrize("type", TYPES)
def test_flat_is_one_level_with_the_contracts_columns(type: str) -> None:
    """Exactly these, in this order, for every event; then one per key of the metadata; only `output_urls` is a list."""
    flat = json.loads(rendered_as(Format.FLAT, type).body)
    expected = [f"metadata_{key}" for key in METADATA] if type.startswith("task.") else []
    assert list(flat) == FLAT + expected
    assert all(isinstance(value, str | int | float | None) for name, value in flat.items() if name != "output_urls")
    assert all(isinstance(url, str) for url in flat["output_urls"])


def a_large_event(**task: Any) -> str:
    return json_text.write(formats.envelope(an_event(1, type=EventType.SUCCEEDED, task=a_task(**task))))


def flat_of(body: str, prompt: str | None) -> tuple[int, dict[str, Any]]:
    """How many bytes, and what they say."""
    raw = rendered(Format.FLAT, body, seq=1, prompt=prompt).body
    return len(raw), json.loads(raw)


def test_flat_is_cut_where_no_host_would_take_it() -> None:
    """Texts are cut, the last of the URLs left out, never half of one; whatever its size, all columns are there."""
    urls = [f"https://files.example/{number}/{'x' * 2000}" for number in range(4000)]
    outputs = tuple(Output(kind=Kind.IMAGE, url=url, index=number) for number, url in enumerate(urls))
    inline = Output(kind=Kind.IMAGE, url="data:image/png;base64," + "A" * 6_000_000)
    size, flat = flat_of(a_large_event(outputs=outputs), "\U0001f600\n" * 20_000)
    assert MOST_FLAT - 3000 < size <= MOST_FLAT
    assert flat["output_url"] == urls[0]
    assert flat["output_urls"] == urls[: len(flat["output_urls"])]
    assert flat["prompt"] == "\U0001f600\n" * 5000
    size, flat = flat_of(a_large_event(outputs=(inline, *outputs[:2]), metadata={"order": "42"}), "a red panda")
    assert (flat["output_url"], flat["output_urls"], flat["prompt"]) == (None, urls[:2], "a red panda")
    assert list(flat) == [*FLAT, "metadata_order"]


def test_flat_is_whole_up_to_its_limit() -> None:
    """Not a character less, to the byte."""
    size, _ = flat_of(a_large_event(), "")
    _, whole = flat_of(a_large_event(), "x" * (MOST_FLAT - size))
    _, cut = flat_of(a_large_event(), "x" * (MOST_FLAT - size + 1))
    assert (len(whole["prompt"]), len(cut["prompt"])) == (MOST_FLAT - size, 10_000)


def test_flat_has_what_people_map() -> None:
    """The main outputs come first, credits only where the unit is credits, an operators' event says why."""
    done = json.loads(rendered_as(Format.FLAT, EventType.SUCCEEDED).body)
    assert (done["output_url"], done["prompt"], done["credits"], done["late"]) == (
        done["output_urls"][0],
        PROMPT,
        12.5,
        True,
    )
    assert done["output_urls"][-1].endswith("last.png")
    assert done["expires_at"] == "2025-12-09T09:40:00.000Z"
    canceled = json.loads(rendered_as(Format.FLAT, EventType.CANCELED).body)
    assert (canceled["credits"], canceled["output_url"], canceled["output_urls"]) == (None, None, [])
    failed = json.loads(rendered_as(Format.FLAT, EventType.FAILED).body)
    assert (failed["error_kind"], failed["error_message"]) == ("content_policy", 'refused: "no"\nsorry \U0001f61e')
    whys = {kind: json.loads(rendered_as(Format.FLAT, kind).body)["error_message"] for kind in OperatorEvent}
    assert whys[OperatorEvent.PROVIDER_PAUSED] == "401 from polls"
    assert whys[OperatorEvent.DESTINATION_FAILING] == "no answer within 15 s"
    assert json.loads(rendered_as(Format.FLAT, OperatorEvent.DELIVERY_DEAD).body)["task_id"] == "task_1"


@pytest.mark.parametrize("format", FORMATS)
def test_a_prompt_of_500_kb_goes_where_it_belongs(format: Format) -> None:
    """Whole, and into `flat` only: the others never held it."""
    prompt = '\U0001f43c\u2028 "\\\x01' * 70_000
    result = rendered(format, body_of(EventType.SUCCEEDED), seq=SEQ, prompt=prompt)
    if format is Format.FLAT:
        assert json.loads(result.body)["prompt"] == prompt
    else:
        assert len(result.body) < 4096


HOSTILE_TEXTS = [
    "", " ", "x" * 8192, 'a"b', "a\\", "\r\nwebhook-id: evil\r\n\r\n", "\x1b[2J", "\x01\x7f\x80", "\u2028\u2029",
    "\u202e", "\U0001f600" * 20, "e\u0301", "__proto__", "constructor", "metadata_x", "id", "output_urls[]", "a.b[0]",
    "{{7*7}}", "=1+1", "@SUM(1)", "</script>", "%00%0d%0a", "\ufffe\uffff", "\ufeff", "null",
]  # fmt: skip


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("text", HOSTILE_TEXTS)
def test_hostile_metadata_stays_what_it_is(format: Format, text: str) -> None:
    """As a key and as a value, in a prompt and in an error: it takes no other field's place, and leaves no header."""
    task = a_task(
        metadata={text: text},
        status=Status.FAILED,
        error=Failure(kind=FailureKind.UNKNOWN, message=text, code=text),
    )
    body = json_text.write(formats.envelope(an_event(type=EventType.FAILED, task=task)))
    result = rendered(format, body, seq=1, prompt=text)
    plain = rendered(format, body_of(EventType.FAILED), seq=1, prompt="")
    _check(result)
    assert result.headers.keys() == plain.headers.keys()
    value = json.loads(result.body)
    if format is Format.FLAT:
        assert list(value) == [*FLAT, f"metadata_{text}"]
        assert (value[f"metadata_{text}"], value["prompt"], value["error_message"]) == (text, text, text)
    else:
        data = value if format is Format.CLOUDEVENTS_BINARY else value["data"]
        assert data["task"]["metadata"] == {text: text}


def _check(result: Rendered) -> None:
    """Valid JSON that no second parser reads otherwise, under headers that stay in their lines."""
    assert result.body.decode() == json_text.write(json.loads(result.body)), "minified, UTF-8, no key twice"
    assert result.headers["content-type"]
    for name, value in result.headers.items():
        assert name == name.lower()
        assert _HEADER.fullmatch(name)
        assert _HEADER.fullmatch(value)


_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=30)
_TIME = st.integers(min_value=0, max_value=4_102_444_800_000)
_OUTPUTS = st.builds(
    Output,
    kind=st.sampled_from(Kind),
    url=_TEXT,
    role=st.sampled_from(Role),
    index=st.integers(0, 9),
    expires_at=st.none() | _TIME,
)
_TASKS = st.builds(
    a_task,
    id=_TEXT.filter(bool),
    model=_TEXT,
    status=st.sampled_from(Status),
    metadata=st.dictionaries(_TEXT, _TEXT, max_size=5),
    provider_task_id=st.none() | _TEXT,
    provider_status=st.none() | _TEXT,
    progress=st.none() | st.integers(0, 100),
    outputs=st.lists(_OUTPUTS, max_size=4).map(tuple),
    error=st.none() | st.builds(Failure, kind=st.sampled_from(FailureKind), message=_TEXT, code=st.none() | _TEXT),
    usage=st.none()
    | st.builds(
        Usage, amount=st.floats(allow_nan=False, allow_infinity=False), unit=st.sampled_from(["credits", "usd"])
    ),
    finished_at=st.none() | _TIME,
)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=8,
)


@given(_TASKS, st.sampled_from(EventType), st.sampled_from(FORMATS), st.none() | _TEXT, st.integers(1, 2**63 - 1))
def test_any_task_can_be_told_in_any_format(
    task: Any, type: EventType, format: Format, prompt: str | None, seq: int
) -> None:
    """Valid JSON, headers of visible ASCII, and the very ids."""
    event = an_event(seq, type=type, task=task)
    result = rendered(format, json_text.write(formats.envelope(event)), seq=seq, prompt=prompt)
    _check(result)
    value = json.loads(result.body)
    if format is Format.CLOUDEVENTS_BINARY:
        assert unquote(result.headers["ce-id"], errors="strict") == event.id
        assert unquote(result.headers["ce-subject"], errors="strict") == task.id
        assert value["task"]["id"] == task.id
    else:
        assert value["id"] == event.id
        assert (value["task_id"] if format is Format.FLAT else value["data"]["task"]["id"]) == task.id


_NAMES = st.sampled_from(["provider", "reason", "error", "destination_id", "delivery_id", "task_id", "status", "url"])


@given(
    st.dictionaries(_NAMES | _TEXT.filter(lambda name: name != "task"), _JSON, max_size=8),
    st.sampled_from([*OperatorEvent, "ping"]),
    st.sampled_from(FORMATS),
)
def test_any_operators_event_can_be_told_in_any_format(data: dict[str, Any], type: str, format: Format) -> None:
    """Whatever is in its data."""
    body = {"id": "evt_1", "type": str(type), "timestamp": formats.timestamp(NOW), "data": data}
    result = rendered(format, json_text.write(body), seq=1, prompt=None)
    _check(result)
    if format is Format.CLOUDEVENTS_BINARY:
        assert json.loads(result.body) == data


def test_the_prompt_is_read_from_a_tasks_input() -> None:
    """Where there is one, and it is a text."""
    assert formats.prompt_of(json_text.Unread(json_text.write({"prompt": PROMPT}))) == PROMPT
    for without in (None, {}, {"prompt": None}, {"prompt": ["a"]}, {"other": "a"}):
        assert formats.prompt_of(without) is None
