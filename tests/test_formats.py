"""Events and tasks as text."""

import json

import pytest

from receiver import formats, json_text
from receiver.domain import EventType, Failure, FailureKind, Kind, Output, Role, Status, Usage
from tests.make import NOW, a_task, an_event

FRAME = Output(kind=Kind.IMAGE, url="https://x/f.png", role=Role.LAST_FRAME)
MAIN = Output(kind=Kind.VIDEO, url="https://x/1.mp4", expires_at=NOW + 86_400_000)


def test_times_are_rfc_3339_in_utc_with_milliseconds() -> None:
    """As the contract writes them."""
    assert formats.timestamp(1_763_668_080_123) == "2025-11-20T19:48:00.123Z"
    assert formats.timestamp(1_763_668_080_000) == "2025-11-20T19:48:00.000Z"
    assert formats.timestamp(formats.time_of("0042-07-13T10:00:00Z")) == "0042-07-13T10:00:00.000Z"


def test_every_time_that_is_read_can_be_written() -> None:
    """Those that are in UTC of a year that has no name are the first there is, or the last."""
    first, last = "0001-01-01T00:00:00.000Z", "9999-12-31T23:59:59.999Z"
    for text in (first, "0001-01-01T00:00:00+00:01"):
        assert formats.timestamp(formats.time_of(text)) == first
    for text in (last, "9999-12-31T23:59:59-00:01", "9999-12-31T23:59:59.9999Z"):
        assert formats.timestamp(formats.time_of(text)) == last


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2025-11-20T19:48:00Z", 1_763_668_080_000),
        ("2025-11-20T19:48:00.123+00:00", 1_763_668_080_123),
        ("2025-11-20T20:48:00+01:00", 1_763_668_080_000),
        ("2025-11-20T19:48:00", 1_763_668_080_000),
        ("1763668080", 1_763_668_080_000),
    ],
)
def test_times_are_read_in_the_forms_people_write(text: str, at: int) -> None:
    """A time without an offset is UTC."""
    assert formats.time_of(text) == at


@pytest.mark.parametrize("text", ["", "yesterday", "2025-13-01", "99999999999999", "2025-11-20T25:00:00Z"])
def test_what_is_no_time_is_refused(text: str) -> None:
    """Never guessed."""
    with pytest.raises(ValueError, match=r".*"):
        formats.time_of(text)


def test_an_event_is_the_contracts_envelope() -> None:
    """Every key in its place; `input` and `waiting_for` are not in it."""
    task = a_task(
        status=Status.FAILED,
        outputs=(MAIN,),
        error=Failure(kind=FailureKind.QUOTA, message="no", code="402"),
        usage=Usage(amount=12.0),
        finished_at=NOW,
    )
    event = an_event(7, type=EventType.FAILED, task=task, late=True, verified_by=None)
    assert json.loads(json_text.write(formats.envelope(event))) == {
        "id": "evt_7",
        "type": "task.failed",
        "timestamp": "2025-12-08T09:40:00.000Z",
        "data": {
            "task": {
                "id": "task_1",
                "tenant": "default",
                "provider": "apikley",
                "model": "bytedance/v1-pro-text-to-video",
                "status": "failed",
                "provider_task_id": "p1",
                "provider_status": None,
                "metadata": {"order": "42"},
                "progress": None,
                "callback_expected": False,
                "outputs": [
                    {
                        "kind": "video",
                        "role": "main",
                        "index": 0,
                        "url": "https://x/1.mp4",
                        "expires_at": "2025-12-09T09:40:00.000Z",
                    }
                ],
                "error": {"kind": "quota", "code": "402", "message": "no", "request_id": None, "retryable": False},
                "usage": {"amount": 12, "unit": "credits", "phase": "charged"},
                "retry_of": None,
                "created_at": "2025-12-08T09:40:00.000Z",
                "submitted_at": "2025-12-08T09:40:00.000Z",
                "finished_at": "2025-12-08T09:40:00.000Z",
                "deadline_at": "2025-12-08T10:40:00.000Z",
            },
            "sequence": 7,
            "source": "submit",
            "verified_by": None,
            "late": True,
        },
    }


def test_a_log_row_has_what_people_query() -> None:
    """The main output's URL, not the first; credits only where the unit is credits."""
    task = a_task(status=Status.SUCCEEDED, outputs=(FRAME, MAIN), usage=Usage(amount=1.5))
    row = formats.log_row(3, formats.envelope(an_event(3, type=EventType.SUCCEEDED, task=task)), "a panda")
    assert list(row) == list(formats.LOG_COLUMNS)
    assert (row["seq"], row["prompt"], row["output_url"], row["credits"]) == (3, "a panda", MAIN.url, 1.5)
    assert (row["expires_at"], row["late"], row["error_kind"]) == ("2025-12-09T09:40:00.000Z", 0, None)
    assert json.loads(row["data"])["task"]["id"] == "task_1"
    dollars = a_task(usage=Usage(amount=1.5, unit="usd"), error=Failure(kind=FailureKind.AUTH, message="m"))
    row = formats.log_row(4, formats.envelope(an_event(4, task=dollars)), None)
    assert (row["output_url"], row["credits"], row["error_kind"], row["error_message"]) == (None, None, "auth", "m")
