"""Each sentence of a task's story, word for word."""

from dataclasses import replace
from typing import Any

import pytest

from adapters.base import Accepted, Ambiguous, NotCreated, PollFailed, Refused
from receiver.domain import Failure, FailureKind, Kind, Ms, Output, Status, Task, Update, Verified
from receiver.spans import span
from receiver.story import Exchange, Heard, Line, called_back, polled, put_off, submitted, tell
from tests.make import HOUR, MINUTE, NOW, SECOND, a_task, a_timer

BUSY = Failure(kind=FailureKind.RATE_LIMITED, message="too fast.", code="429")
GONE = Failure(kind=FailureKind.NOT_FOUND, message="no such task", code="422")
CUT = Failure(kind=FailureKind.UNAVAILABLE, message="the connection was closed")
ONE = (Output(kind=Kind.VIDEO, url="https://x/1.mp4"),)
TOKEN = "task_1." + "A" * 43

HANDED = a_task(status=Status.SUBMITTING)
OPEN = a_task(provider_status="waiting")
DONE = a_task(status=Status.SUCCEEDED, outputs=ONE, provider_status="success")
EXPIRED = a_task(status=Status.EXPIRED, ours=True)
UNSURE = a_task(status=Status.UNCONFIRMED)


def said(status: Status | None, word: str | None = None, **fields: Any) -> Update:
    return Update(status=status, provider_status=word, **fields)


TOOK = said(Status.SUBMITTED, provider_task_id="p1")


@pytest.mark.parametrize(
    ("answer", "after", "exchange", "text"),
    [
        (
            Accepted(update=TOOK),
            OPEN,
            Exchange(status=200, ms=312),
            "Sent to apikley, which took it as p1 (HTTP 200 after 312 ms).",
        ),
        (
            Accepted(update=said(Status.SUBMITTED)),
            replace(OPEN, provider_task_id=None),
            Exchange(status=200, ms=1),
            "Sent to apikley, which took it (HTTP 200 after 1 ms).",
        ),
        (
            Accepted(update=said(Status.SUCCEEDED, outputs=ONE)),
            DONE,
            Exchange(status=200, ms=9000),
            "Sent to apikley, which answered with the outcome at once, succeeded (HTTP 200 after 9 s).",
        ),
        (
            Accepted(update=TOOK),
            UNSURE,
            Exchange(status=200, ms=5),
            (
                "Sent to apikley, which named p1, the id of another task: nobody knows what became of this one "
                "(HTTP 200 after 5 ms)."
            ),
        ),
        (
            Accepted(update=TOOK),
            a_task(status=Status.CANCELED, ours=True),
            Exchange(status=200, ms=5),
            "Sent to apikley, which took it as p1, but it is canceled here meanwhile (HTTP 200 after 5 ms).",
        ),
        (
            Refused(failure=Failure(kind=FailureKind.QUOTA, message="no credits", code="402")),
            a_task(status=Status.FAILED),
            Exchange(status=200, ms=5),
            "Sent to apikley, which refused it: no credits (code 402, HTTP 200 after 5 ms).",
        ),
        (
            NotCreated(failure=BUSY),
            a_task(status=Status.QUEUED),
            Exchange(status=429, ms=5),
            "Sent to apikley, which created nothing: too fast (HTTP 429 after 5 ms); it is tried again in 7 s.",
        ),
        (
            NotCreated(failure=CUT),
            a_task(status=Status.QUEUED),
            Exchange(ms=5),
            ("Nothing was sent to apikley: the connection was closed (after 5 ms); it is tried again in 7 s."),
        ),
        (
            NotCreated(failure=BUSY),
            a_task(status=Status.CANCELED, ours=True),
            Exchange(status=429, ms=5),
            "Sent to apikley, which created nothing: too fast (HTTP 429 after 5 ms); it is not tried again.",
        ),
        (
            Ambiguous(failure=CUT),
            UNSURE,
            Exchange(ms=5),
            (
                "Sent, and nobody knows whether apikley took it: the connection was closed (after 5 ms); "
                "it is not sent again by itself."
            ),
        ),
        (
            Ambiguous(failure=CUT),
            OPEN,
            Exchange(ms=5),
            (
                "Sent to apikley, where it is known as p1, without a usable answer: "
                "the connection was closed (after 5 ms)."
            ),
        ),
        (
            Ambiguous(failure=Failure(kind=FailureKind.UNKNOWN, message="the process ended")),
            UNSURE,
            Exchange(),
            (
                "The handover broke off: nobody knows whether apikley took it: the process ended; "
                "it is not sent again by itself."
            ),
        ),
    ],
)
def test_what_became_of_a_handover(answer: Any, after: Task, exchange: Exchange, text: str) -> None:
    """Sent or not, taken or not, and why; what is tried again says when."""
    line = submitted(answer, after, exchange, next_at=NOW + 7 * SECOND, now=NOW)
    assert (line.kind, line.text) == ("submit", text)


def test_the_facts_of_a_handover() -> None:
    """The answer in one word, the provider's own code, the next try as a time."""
    taken = submitted(Accepted(update=TOOK), OPEN, Exchange(status=200, ms=3), next_at=NOW, now=NOW)
    assert taken.data == {"answer": "accepted", "http_status": 200, "ms": 3, "provider_task_id": "p1"}
    queued = a_task(status=Status.QUEUED)
    busy = submitted(NotCreated(failure=BUSY), queued, Exchange(status=429, ms=3), next_at=NOW, now=NOW)
    assert busy.data == {
        "answer": "not_created",
        "http_status": 429,
        "ms": 3,
        "error_kind": "rate_limited",
        "code": "429",
        "next_at": "2025-12-08T09:40:00.000Z",
    }
    assert put_off("apikley is paused").text == "Not handed over yet: apikley is paused."


def a_poll(answer: Any, before: Task, after: Task, **timer: Any) -> Line:
    return polled(answer, before, after, a_timer(**timer), next_at=NOW + 4 * SECOND, now=NOW)


RUNNING = replace(OPEN, status=Status.RUNNING, provider_status="generating")
FAILED = replace(OPEN, status=Status.FAILED, error=Failure(kind=FailureKind.UPSTREAM, message="no luck"))


@pytest.mark.parametrize(
    ("answer", "before", "after", "timer", "text"),
    [
        (said(Status.SUBMITTED, "waiting"), OPEN, OPEN, {}, ""),
        (said(Status.SUBMITTED, "waiting"), OPEN, OPEN, {"rings": 3}, ""),
        (
            said(Status.SUBMITTED, "waiting"),
            replace(OPEN, provider_status=None),
            OPEN,
            {},
            "Asked, apikley says waiting: the task stays submitted.",
        ),
        (
            said(None, "quantum"),
            OPEN,
            replace(OPEN, provider_status="quantum"),
            {},
            "Asked, apikley says quantum, a word that we do not know: the task stays submitted.",
        ),
        (said(Status.RUNNING, "generating"), OPEN, RUNNING, {}, "Asked, apikley says generating: the task is running."),
        (
            said(Status.SUBMITTED, "waiting"),
            OPEN,
            OPEN,
            {"tries": 1},
            "Asked again after a poll that failed, apikley says waiting: the task stays submitted.",
        ),
        (
            said(Status.SUBMITTED, "waiting"),
            OPEN,
            OPEN,
            {"tries": 6},
            "Asked again after 6 polls in a row that failed, apikley says waiting: the task stays submitted.",
        ),
        (
            said(Status.SUCCEEDED, "success", outputs=ONE),
            OPEN,
            DONE,
            {"rings": 0, "claimed": Status.SUCCEEDED},
            "Asked because a callback came, apikley says success: the task is succeeded, with 1 output.",
        ),
        (
            said(Status.SUCCEEDED),
            OPEN,
            replace(DONE, outputs=()),
            {"empty_since": NOW},
            "Asked, apikley says succeeded: the task is succeeded, with no outputs.",
        ),
        (
            said(Status.FAILED, "fail"),
            OPEN,
            FAILED,
            {"rings": 0, "claimed": Status.SUCCEEDED},
            (
                "Asked because a callback came, apikley says fail: the task is failed (no luck), "
                "though a callback claimed succeeded."
            ),
        ),
        (
            said(Status.RUNNING, "generating"),
            RUNNING,
            RUNNING,
            {"rings": 0, "claimed": Status.SUCCEEDED},
            (
                "Asked because a callback came, apikley says generating: "
                "the callback's claim, succeeded, is not believed; it is asked again in 4 s."
            ),
        ),
        (
            said(Status.RUNNING, "generating"),
            RUNNING,
            RUNNING,
            {"rings": 0, "rung_at": NOW, "claimed": Status.SUCCEEDED, "claimed_at": NOW - HOUR},
            "",
        ),
        (
            said(Status.SUCCEEDED, "success"),
            OPEN,
            OPEN,
            {},
            "Asked, apikley says success, but shows no result: it is asked again in 4 s.",
        ),
        (said(Status.SUCCEEDED, "success"), OPEN, OPEN, {"empty_since": NOW}, ""),
        (
            said(Status.RUNNING, "generating"),
            RUNNING,
            EXPIRED,
            {},
            "Asked, apikley says generating: the task is expired, for its time is over.",
        ),
        (
            said(Status.SUCCEEDED, "success", outputs=ONE),
            EXPIRED,
            DONE,
            {},
            "Asked, apikley says success, after our own verdict expired: the task is now succeeded, with 1 output.",
        ),
        (
            said(Status.EXPIRED, "expired"),
            EXPIRED,
            replace(EXPIRED, ours=False),
            {},
            "Asked, apikley says expired, after our own verdict expired: the task stays expired.",
        ),
        (said(Status.RUNNING, "generating"), EXPIRED, EXPIRED, {}, ""),
        (
            said(Status.FAILED, "fail"),
            DONE,
            DONE,
            {},
            "Asked, apikley says fail, which contradicts its verdict succeeded: that stays.",
        ),
        (said(Status.SUCCEEDED, "success"), DONE, DONE, {}, ""),
        (said(Status.RUNNING, "generating"), DONE, DONE, {}, ""),
        (
            PollFailed(failure=CUT),
            OPEN,
            OPEN,
            {},
            "Asked, and learnt nothing (the connection was closed): it is asked again in 4 s.",
        ),
        (
            PollFailed(failure=CUT),
            OPEN,
            OPEN,
            {"rings": 0},
            "Asked because a callback came, and learnt nothing (the connection was closed): it is asked again in 4 s.",
        ),
        (PollFailed(failure=CUT), OPEN, OPEN, {"tries": 1}, ""),
        (
            PollFailed(failure=GONE),
            OPEN,
            OPEN,
            {"tries": 1},
            (
                "Asked again after a poll that failed, apikley does not know the task (no such task): "
                "it is asked again in 4 s."
            ),
        ),
        (PollFailed(failure=GONE), OPEN, OPEN, {"tries": 1, "missing_since": NOW}, ""),
        (
            PollFailed(failure=GONE),
            OPEN,
            replace(FAILED, ours=True),
            {"tries": 2, "missing_since": NOW - 2 * MINUTE},
            (
                "Asked again after 2 polls in a row that failed, apikley still does not know the task (no such task), "
                "after 2 min: it is failed."
            ),
        ),
        (
            PollFailed(failure=CUT),
            OPEN,
            EXPIRED,
            {"tries": 9},
            "Asked in vain to the end (the connection was closed): the task is expired.",
        ),
        (
            PollFailed(failure=CUT),
            OPEN,
            DONE,
            {"tries": 9, "claimed": Status.SUCCEEDED},
            (
                "Nobody could be asked by the deadline (the connection was closed): "
                "what a callback claimed is taken, succeeded, with 1 output."
            ),
        ),
    ],
)
def test_what_a_poll_told(answer: Any, before: Task, after: Task, timer: dict[str, Any], text: str) -> None:
    """A sentence where it changed or decided something, a count where it did not."""
    line = a_poll(answer, before, after, **timer)
    assert line.text == text
    assert line.kind == ("poll_failed" if isinstance(answer, PollFailed) and not text else "poll")


def test_progress_is_counted_apart() -> None:
    """It is news, but not worth a sentence each time."""
    line = a_poll(said(Status.RUNNING, "generating", progress=50), RUNNING, replace(RUNNING, progress=50))
    assert (line.kind, line.text) == ("poll_progress", "")


def test_a_poll_says_when_the_next_one_is() -> None:
    """None after the provider's verdict; our own is watched on."""

    def next_at(answer: Any, after: Task) -> object:
        return a_poll(answer, OPEN, after).data["next_at"]

    soon = "2025-12-08T09:40:04.000Z"
    assert next_at(said(Status.RUNNING), RUNNING) == soon
    assert next_at(said(Status.SUCCEEDED), DONE) is None
    assert next_at(said(Status.RUNNING), EXPIRED) == soon
    assert next_at(PollFailed(failure=CUT), OPEN) == soon
    assert next_at(PollFailed(failure=CUT), EXPIRED) is None


def a_callback(*heard: Heard, after: Task = OPEN, **fields: Any) -> Line:
    return called_back(heard, after, **{"odd": None, "proof": None, "rang": False, "kept": True} | fields)


def hears(update: Update, before: Task = OPEN, after: Task | None = None, *, refused: bool = False) -> Heard:
    return Heard(update=update, before=before, after=after or before, refused=refused)


SUCCESS = said(Status.SUCCEEDED, "success", provider_task_id="p1")
BOUND = replace(UNSURE, status=Status.SUBMITTED, provider_task_id="p9")


@pytest.mark.parametrize(
    ("heard", "after", "fields", "text"),
    [
        ([hears(SUCCESS)], OPEN, {"rang": True}, "A callback came, claiming success; apikley is asked."),
        (
            [hears(SUCCESS, HANDED)],
            HANDED,
            {"rang": True},
            "A callback came, claiming success; apikley is asked as soon as it is handed over.",
        ),
        ([], UNSURE, {"rang": True}, "A callback came; nobody can be asked about it."),
        (
            [],
            OPEN,
            {"rang": True, "odd": f"what is {TOKEN}"},
            "A callback came that cannot be read (what is [callback token]); apikley is asked.",
        ),
        (
            [hears(said(None))],
            OPEN,
            {},
            "A callback came, claiming nothing.",
        ),
        (
            [hears(replace(SUCCESS, provider_task_id="p9"), UNSURE, BOUND)],
            BOUND,
            {"rang": True},
            "A callback came, claiming success; the task is known at apikley as p9; apikley is asked.",
        ),
        (
            [hears(replace(SUCCESS, provider_task_id="p9"), UNSURE, replace(DONE, provider_task_id="p9"))],
            DONE,
            {},
            "A callback came, claiming success; the task is known at apikley as p9, and succeeded, with 1 output.",
        ),
        (
            [hears(SUCCESS, UNSURE, refused=True)],
            UNSURE,
            {},
            "A callback came, claiming success; it names p1, the id of another task, and is not believed.",
        ),
        (
            [hears(replace(SUCCESS, provider_task_id="p2"))],
            OPEN,
            {},
            "A callback came, claiming success; it is about p2, not about p1, and changes nothing.",
        ),
        (
            [hears(said(Status.RUNNING, "generating"), OPEN, RUNNING), hears(SUCCESS, RUNNING, DONE)],
            DONE,
            {"proof": Verified.SIGNATURE},
            (
                "A signed callback came, claiming generating, then success; the task is running; "
                "the task is succeeded, with 1 output."
            ),
        ),
        (
            [hears(said(Status.FAILED, "fail"), DONE)],
            DONE,
            {},
            "A callback came, claiming fail; that contradicts the verdict succeeded, which stays.",
        ),
        ([hears(SUCCESS, DONE)], DONE, {}, "A callback came, claiming success; that is known already."),
        ([hears(said(Status.RUNNING, "generating"), DONE)], DONE, {}, "A callback came, claiming generating."),
        (
            [hears(SUCCESS, EXPIRED)],
            EXPIRED,
            {"rang": True},
            "A callback came, claiming success; that contradicts the verdict expired; apikley is asked.",
        ),
        ([hears(SUCCESS)], OPEN, {"kept": False}, ""),
        (
            [hears(SUCCESS, OPEN, DONE)],
            DONE,
            {"kept": False, "proof": Verified.SIGNATURE},
            "A signed callback came, claiming success; the task is succeeded, with 1 output.",
        ),
    ],
)
def test_what_a_callback_did(heard: list[Heard], after: Task, fields: dict[str, Any], text: str) -> None:
    """What it claimed, what that changed, and who is asked; one that repeats is counted."""
    line = a_callback(*heard, after=after, **fields)
    assert (line.kind, line.text) == ("callback" if text else "callback_again", text)


def test_a_callback_of_many_updates_is_told_in_part() -> None:
    """The story stays short, whatever somebody sends."""
    line = a_callback(*(hears(said(None, f"{number}" + "x" * 5000)) for number in range(1000)))
    assert len(line.text) < 4000
    assert len(line.data["claims"]) == 10


def test_tokens_are_never_told() -> None:
    """Whoever echoes one: as an id, as a status word, in a reason."""
    update = said(None, f"at /callbacks/apikley/{TOKEN}", provider_task_id=TOKEN)
    lines = [
        a_callback(hears(update, UNSURE, refused=True)),
        a_callback(hears(update)),
        submitted(Accepted(update=update), OPEN, Exchange(), next_at=None, now=NOW),
        a_poll(PollFailed(failure=Failure(kind=FailureKind.UPSTREAM, message=f"about {TOKEN}")), OPEN, OPEN),
        a_poll(said(None, TOKEN), OPEN, replace(OPEN, provider_status="x")),
    ]
    assert all(line.text and TOKEN not in f"{line.text}{line.data.values()}" for line in lines)


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (-1, "0 ms"),
        (999, "999 ms"),
        (1000, "1 s"),
        (90 * SECOND, "90 s"),
        (2 * MINUTE, "2 min"),
        (119 * MINUTE, "119 min"),
        (49 * HOUR, "49 h"),
    ],
)
def test_time_spans(ms: Ms, text: str) -> None:
    """As people say them."""
    assert span(ms) == text


def test_a_line_is_noted_or_counted() -> None:
    """By whether it has a text."""
    kept: list[tuple[Any, ...]] = []

    class Notebook:
        def note(self, task_id: str, *, at: Ms, sequence: int, kind: str, text: str, data: Any) -> None:
            kept.append((task_id, at, sequence, kind, text, data))

        def tally(self, task_id: str, kind: str, *, at: Ms) -> None:
            kept.append((task_id, at, kind))

    tell(Notebook(), replace(OPEN, sequence=3), Line(kind="poll", text="Asked.", data={"a": 1}), NOW)
    tell(Notebook(), OPEN, Line(kind="poll"), NOW)
    assert kept == [("task_1", NOW, 3, "poll", "Asked.", {"a": 1}), ("task_1", NOW, "poll")]
