"""Decisions about a delivery, by table."""

import pytest

from receiver import delivery_policy
from receiver.domain import Attempt, Delivery, DeliveryState, EventType, Ms
from tests.make import DAY, HOUR, MINUTE, NOW, SECOND, a_delivery, a_destination, a_task


def after(attempts: int, *, retry_after_s: float | None = None, spread: float = 0.5, **outcome: object) -> object:
    delivery: Delivery = a_delivery(attempts=attempts)
    attempt = Attempt(number=attempts, at=NOW, duration_ms=1, **outcome)  # type: ignore[arg-type]
    return delivery_policy.next_delivery(delivery, attempt, retry_after_s=retry_after_s, now=NOW, spread=spread)


def pending(due_at: Ms) -> object:
    return delivery_policy.Next(state=DeliveryState.PENDING, due_at=due_at)


@pytest.mark.parametrize("status", [200, 201, 204, 299, None])
def test_2xx_is_success_and_so_is_an_append_without_error(status: int | None) -> None:
    """Whatever the body says."""
    assert after(1, status=status) == delivery_policy.Next(state=DeliveryState.DELIVERED)


@pytest.mark.parametrize("outcome", [{"status": 301}, {"status": 400}, {"status": 500}, {"error": "timeout"}])
def test_nothing_else_is(outcome: dict[str, object]) -> None:
    """Redirects are not followed; an error is a failure even where a status came first."""
    assert after(1, **outcome) == pending(NOW + 5 * SECOND)


def test_the_schedule() -> None:
    """0 s, 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h, 24 h after each other, then dead."""
    gaps = [5 * SECOND, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR]
    for number, gap in enumerate(gaps, start=1):
        assert after(number, status=500) == pending(NOW + gap)
        assert after(number, status=500, spread=0) == pending(NOW + round(gap * 0.8))
        assert after(number, status=500, spread=1) == pending(NOW + round(gap * 1.2))
    assert after(10, status=500) == delivery_policy.Next(state=DeliveryState.DEAD)
    assert after(11, status=200) == delivery_policy.Next(state=DeliveryState.DELIVERED)


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
    assert after(1, status=status, retry_after_s=asked_s) == pending(NOW + gap)


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
