"""What every adapter answers with."""

import json

import pytest

from adapters.base import (
    Adapter,
    Ambiguous,
    NotCreated,
    failure_of_status,
    in_doubt,
    retry_after_seconds,
    unexplained_poll,
    unexplained_submit,
)
from receiver.domain import Failure, FailureKind, Kind
from receiver.errors import Malformed
from receiver.wire import Callback, Reply
from tests.adapters.plain import NOW, adapter_of


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        (" 7 ", 7.0),
        ("0", 0.0),
        ("86401", 86_400.0),
        ("9" * 5000, 86_400.0),
        ("Mon, 08 Dec 2025 09:41:00 GMT", 60.0),
        ("Mon, 08 Dec 2025 09:39:00 GMT", 0.0),
        ("Tue, 08 Dec 2026 09:40:00 GMT", 86_400.0),
        ("", None),
        ("soon", None),
        ("-1", None),
        ("1.5", None),
        ("\u0667", None),
        ("Mon, 99 Foo 99999 99:99:99 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str, seconds: float | None) -> None:
    """Both forms of RFC 9110, 10.2.3, from 0 to 24 h; anything else is as if it were not there."""
    assert retry_after_seconds({"retry-after": value}, NOW) == seconds


def test_no_retry_after_is_none() -> None:
    """Most answers carry none."""
    assert retry_after_seconds({}, NOW) is None


@pytest.mark.parametrize(
    ("status", "kind", "retryable"),
    [
        (400, FailureKind.INVALID_REQUEST, False),
        (401, FailureKind.AUTH, False),
        (402, FailureKind.QUOTA, False),
        (403, FailureKind.AUTH, False),
        (404, FailureKind.NOT_FOUND, False),
        (422, FailureKind.INVALID_REQUEST, False),
        (429, FailureKind.RATE_LIMITED, True),
        (418, FailureKind.UNKNOWN, False),
        (200, FailureKind.UNKNOWN, False),
        (500, FailureKind.UNAVAILABLE, True),
        (599, FailureKind.UNAVAILABLE, True),
    ],
)
def test_an_http_status_alone_has_a_kind(status: int, kind: FailureKind, retryable: bool) -> None:
    """Its digits are the code, the message the caller's."""
    failure = failure_of_status(status, "why")

    assert (failure.kind, failure.retryable, failure.code, failure.message) == (kind, retryable, str(status), "why")


@pytest.mark.parametrize("status", [200, 204, 302, 400, 401, 404, 408, 418, 422, 500, 502, 599])
def test_a_submit_answered_by_somebody_else_is_in_doubt(status: int) -> None:
    """A gateway's page proves nothing, whatever its status, and nobody may take it for safe to send again."""
    answer = unexplained_submit(_reply(status), NOW)

    assert isinstance(answer, Ambiguous)
    assert answer.failure.retryable is False
    assert answer.failure.message == f"HTTP {status} with no answer of the provider's own in it"


def test_too_many_requests_create_nothing() -> None:
    """429 alone may be sent again, when it says so."""
    answer = unexplained_submit(_reply(429), NOW, lacks="and no more")

    assert answer == NotCreated(
        failure=Failure(kind=FailureKind.RATE_LIMITED, code="429", message="HTTP 429 and no more", retryable=True),
        retry_after_s=7.0,
    )


@pytest.mark.parametrize(
    ("status", "kind", "retryable"),
    [
        (200, FailureKind.UNAVAILABLE, True),
        (401, FailureKind.AUTH, False),
        (403, FailureKind.AUTH, False),
        (404, FailureKind.UNAVAILABLE, True),
        (422, FailureKind.UNAVAILABLE, True),
        (429, FailureKind.RATE_LIMITED, True),
        (500, FailureKind.UNAVAILABLE, True),
    ],
)
def test_a_poll_answered_by_somebody_else_does_not_speak_of_the_task(
    status: int, kind: FailureKind, retryable: bool
) -> None:
    """It tells of our key and our pace at the most: a page that is missing is no task that is missing."""
    answer = unexplained_poll(_reply(status), NOW)

    assert (answer.failure.kind, answer.failure.retryable, answer.retry_after_s) == (kind, retryable, 7.0)


def test_a_failure_in_doubt_is_not_retryable() -> None:
    """A submit is never sent again by itself where it may have created a task."""
    failure = Failure(kind=FailureKind.UPSTREAM, message="why", retryable=True)

    assert in_doubt(failure).failure == Failure(kind=FailureKind.UPSTREAM, message="why")


def _reply(status: int) -> Reply:
    return Reply(status=status, headers={"retry-after": "7"}, body=b"<html>")


def test_an_adapter_s_defaults_are_those_of_a_polled_video() -> None:
    """Without words of its own an adapter checks nothing further, reads no callbacks and expects a video."""
    adapter = adapter_of("reapi")

    assert list(Adapter.check(adapter, "m", {})) == []
    assert Adapter.media(adapter, "m", {}) is Kind.VIDEO
    assert Adapter.deadline_seconds(adapter, "m", {}) == adapter.profile.deadline_s
    with pytest.raises(Malformed, match="sends no callbacks"):
        Adapter.read_callback(adapter, Callback(headers={}, body=b"{}"), media=Kind.VIDEO, now=NOW)


def test_the_default_ack_is_json() -> None:
    """A provider that names no ack gets one that any parser takes."""
    assert json.loads(adapter_of("reapi").profile.ack) == {"ok": True}
