"""Decisions about a delivery, by table."""

from typing import Any

import pytest

from receiver import delivery_policy
from receiver.delivery_policy import LOST, Next, attempt_log, next_delivery
from receiver.domain import Attempt, Delivery, DeliveryState, EventType, Ms, OperatorEvent
from tests.make import DAY, HOUR, MINUTE, NOW, SECOND, a_delivery, a_destination, a_task


def after(
    tries: int = 0,
    *,
    retry_after_s: float | None = None,
    spread: float = 0.5,
    probe_of: Ms | None = None,
    **outcome: object,
) -> Next:
    """What becomes of a delivery that failed so often on the schedule, and was tried more often, after one more."""
    delivery: Delivery = a_delivery(tries=tries, attempts=tries + 40)
    attempt = Attempt(number=tries + 40, at=NOW, duration_ms=1, **outcome)
    return next_delivery(delivery, attempt, retry_after_s=retry_after_s, now=NOW, spread=spread, probe_of=probe_of)


def pending(tries: int, due_at: Ms) -> Next:
    return Next(state=DeliveryState.PENDING, tries=tries, due_at=due_at)


@pytest.mark.parametrize("status", [200, 201, 204, 299, None])
@pytest.mark.parametrize("probe_of", [None, NOW - DAY])
@pytest.mark.parametrize("tries", [0, 9, 10])
def test_2xx_is_success_and_so_is_an_append_without_error(status: int | None, probe_of: Ms | None, tries: int) -> None:
    """Whatever the body says, however often it failed before, and a probe's as well."""
    assert after(tries, status=status, probe_of=probe_of) == Next(state=DeliveryState.DELIVERED, tries=tries)


@pytest.mark.parametrize("outcome", [{"status": 301}, {"status": 400}, {"status": 500}, {"error": "timeout"}])
def test_nothing_else_is(outcome: dict[str, object]) -> None:
    """Redirects are not followed; an error is a failure even where a status came first."""
    assert after(**outcome) == pending(1, NOW + 5 * SECOND)


def test_the_schedule() -> None:
    """0 s, 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h, 24 h after each other, then dead: what was tried outside the
    schedule does not count."""
    gaps = [5 * SECOND, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR]
    for tries, gap in enumerate(gaps):
        assert after(tries, status=500) == pending(tries + 1, NOW + gap)
        assert after(tries, status=500, spread=0) == pending(tries + 1, NOW + round(gap * 0.8))
        assert after(tries, status=500, spread=1) == pending(tries + 1, NOW + round(gap * 1.2))
    assert after(9, status=500) == Next(state=DeliveryState.DEAD, tries=10)


@pytest.mark.parametrize("was_due_at", [NOW - DAY, NOW, NOW + DAY])
@pytest.mark.parametrize("tries", [0, 9])
@pytest.mark.parametrize("outcome", [{"status": 500}, {"error": "timeout"}, {"status": 410}])
def test_a_probe_that_fails_leaves_the_delivery_as_it_was(
    was_due_at: Ms, tries: int, outcome: dict[str, object]
) -> None:
    """Due when it was due, as far on the schedule as it was, never dead of it."""
    assert after(tries, probe_of=was_due_at, retry_after_s=None, **outcome) == pending(tries, was_due_at)


def test_a_probe_has_no_retry_after() -> None:
    """The next probe has a time of its own."""
    assert after(2, probe_of=NOW, status=429, retry_after_s=60) == pending(2, NOW)


@pytest.mark.parametrize(
    ("status", "asked_s", "gap"),
    [
        (429, 60, MINUTE),
        (503, 60, MINUTE),
        (429, 1, 5 * SECOND),
        (429, 99 * 24 * 3600, DAY),
        (500, 60, 5 * SECOND),
        (429, None, 5 * SECOND),
    ],
)
def test_retry_after_delays_further(status: int, asked_s: float | None, gap: int) -> None:
    """Only on 429 and 503, never earlier than the schedule, at most a day."""
    assert after(status=status, retry_after_s=asked_s) == pending(1, NOW + gap)


@pytest.mark.parametrize(
    ("wanted", "event", "wants"),
    [
        (("task.finished",), EventType.SUCCEEDED, True),
        (("task.finished",), EventType.EXPIRED, True),
        (("task.finished",), EventType.RUNNING, False),
        (("task.finished",), EventType.UNCONFIRMED, False),
        (("task.*",), EventType.RUNNING, True),
        (("task.*",), EventType.FAILED, True),
        (("task.*",), EventType.PROGRESS, False),
        (("task.progress",), EventType.PROGRESS, True),
        (("task.failed", "task.queued"), EventType.QUEUED, True),
        (("task.failed",), EventType.SUCCEEDED, False),
    ],
)
def test_event_types(wanted: tuple[str, ...], event: EventType, wants: bool) -> None:
    """Groups are understood; progress is sent only where it is asked for by name."""
    assert delivery_policy.wants(a_destination(event_types=wanted), event, a_task()) is wants


@pytest.mark.parametrize(
    ("filters", "wants"),
    [
        ({"providers": ("apikley", "reapi")}, True),
        ({"providers": ("reapi",)}, False),
        ({"models": ("m",)}, True),
        ({"models": ("other",)}, False),
        ({"metadata": {"order": "42"}}, True),
        ({"metadata": {"order": "42", "team": "a"}}, False),
        ({"metadata": {"order": "43"}}, False),
        ({"metadata": {}}, True),
    ],
)
def test_every_filter_that_is_set_must_let_it_through(filters: dict[str, object], wants: bool) -> None:
    """A filter that is not set lets everything through."""
    task = a_task(model="m")
    assert delivery_policy.wants(a_destination(**filters), EventType.SUCCEEDED, task) is wants


@pytest.mark.parametrize(
    ("fields", "event", "about", "wants"),
    [
        ({"event_types": ("task.*",)}, OperatorEvent.DELIVERY_DEAD, "dst_2", False),
        ({"event_types": ("delivery.dead",)}, OperatorEvent.DELIVERY_DEAD, "dst_2", True),
        ({"event_types": ("delivery.dead",)}, OperatorEvent.DELIVERY_DEAD, "dst_1", False),
        ({"event_types": ("destination.failing",)}, OperatorEvent.DESTINATION_RECOVERED, "dst_2", False),
        (
            {"event_types": ("destination.disabled",), "providers": ("reapi",)},
            OperatorEvent.DESTINATION_DISABLED,
            "dst_2",
            True,
        ),
        ({"event_types": ("provider.paused",), "providers": ("reapi",)}, OperatorEvent.PROVIDER_PAUSED, "reapi", True),
        (
            {"event_types": ("provider.paused",), "providers": ("reapi",)},
            OperatorEvent.PROVIDER_PAUSED,
            "apikley",
            False,
        ),
        ({"event_types": ("provider.resumed",)}, OperatorEvent.PROVIDER_RESUMED, "apikley", True),
    ],
)
def test_operators_events_go_to_whoever_names_them(
    fields: dict[str, object], event: OperatorEvent, about: str, wants: bool
) -> None:
    """Never to the destination that one is about; a filter by provider is about providers only."""
    assert delivery_policy.wants_operator_event(a_destination(**fields), event, about) is wants


@pytest.mark.parametrize(
    ("delivery", "kept", "told"),
    [
        ({"attempts": 0}, (), {}),
        ({"attempts": 3}, (1, 2, 3), {1: None, 2: None, 3: None}),
        ({"attempts": 3}, (2,), {1: LOST, 2: None, 3: LOST}),
        ({"attempts": 2}, (), {1: LOST, 2: LOST}),
        ({"attempts": 2, "owner": "own", "due_at": NOW + 1}, (), {1: LOST}),
        ({"attempts": 2, "owner": "own", "due_at": NOW}, (1,), {1: None, 2: LOST}),
        ({"attempts": 2, "state": DeliveryState.CANCELED, "due_at": None}, (), {1: LOST}),
        ({"attempts": 2, "state": DeliveryState.DELIVERED, "due_at": None}, (2,), {1: LOST, 2: None}),
        ({"attempts": 1}, (1, 2), {1: None, 2: None}),
    ],
)
def test_what_was_begun_and_never_heard_of_again_has_its_place(
    delivery: dict[str, Any], kept: tuple[int, ...], told: dict[int, str | None]
) -> None:
    """Every number up to the last has an attempt, but the one that may be under way; none is told twice."""
    attempts = [Attempt(number=number, at=NOW + number, duration_ms=1, status=500) for number in kept]
    log = attempt_log(a_delivery(**delivery), attempts, NOW)
    assert {attempt.number: attempt.error for attempt in log} == told
    assert [attempt.number for attempt in log] == sorted(told)
    assert [attempt for attempt in log if attempt.error is None] == attempts
    assert [attempt.at for attempt in log] == sorted(attempt.at for attempt in log)
