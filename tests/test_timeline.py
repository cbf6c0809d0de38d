"""How the parts of a task's chronicle become one story."""

from typing import Any

import pytest

from receiver import formats, json_text
from receiver.domain import Attempt, DeliveryState, EventType, Ms, Source, Verified
from receiver.store.records import Brought, Chronicle, Note, Recorded, Tally
from receiver.timeline import Item, timeline
from tests.make import HOUR, NOW, SECOND, a_delivery, a_task, an_event

TASK = a_task()


def a_chronicle(**fields: Any) -> Chronicle:
    return Chronicle(**{"notes": (), "tallies": (), "events": (), "deliveries": (), "attempts": ()} | fields)


def a_note(text: str, *, at: Ms = NOW, sequence: int = 0) -> Note:
    return Note(at=at, sequence=sequence, kind="poll", text=text, data={"a": 1})


def recorded(sequence: int = 1, **fields: Any) -> Recorded:
    event = an_event(sequence, **fields)
    body = json_text.write(formats.envelope(event))
    return Recorded(seq=event.seq, id=event.id, type=event.type.value, task_id="task_1", body=body)


def brought(**fields: Any) -> Brought:
    whom: dict[str, Any] = {
        "destination_type": "webhook",
        "target": "https://example.com:8443/hook?key=k",
        "hidden": False,
    }
    whom["description"] = ""
    of = {name: fields.pop(name, default) for name, default in whom.items()}
    return Brought(delivery=a_delivery(**fields), event_type="task.succeeded", **of)


def a_pause(type: str, at: Ms, reason: str = "unreachable") -> Recorded:
    data = {"provider": "apikley", "reason": reason, "since": formats.timestamp(NOW), "error": "somebody's secret"}
    body = {"id": "evt_o", "type": type, "timestamp": formats.timestamp(at), "data": data}
    return Recorded(seq=7, id="evt_o", type=type, task_id="", body=json_text.write(body))


def told(chronicle: Chronicle, most: int = 1000) -> list[Item]:
    return timeline(TASK, chronicle, most=most, now=NOW)[1:]


def test_it_begins_with_what_was_asked_for() -> None:
    """By whom the outcome is told, and until when; what it repeats."""
    [item] = timeline(a_task(model="", retry_of="task_0", callback_expected=True), a_chronicle(), most=9, now=NOW)
    assert (item.at, item.kind) == (NOW, "task")
    assert item.text == (
        "A task was asked for at apikley, a resubmit of task_0, to be done within 60 min; "
        "apikley is to call back, and is asked as well."
    )
    assert item.data["deadline_at"] == "2025-12-08T10:40:00.000Z"
    [polled] = timeline(TASK, a_chronicle(), most=9, now=NOW)
    assert polled.text.endswith("to be done within 60 min; it is asked about.")


def test_one_millisecond_is_told_in_order() -> None:
    """What caused an event, the event, its deliveries, what was told after it; counts between the notes they lie."""
    chronicle = a_chronicle(
        notes=[a_note("first"), a_note("second", sequence=1), a_note("third", sequence=1)],
        tallies=[
            Tally(after=0, kind="poll", count=1, first_at=NOW, last_at=NOW),
            Tally(after=2, kind="poll_failed", count=2, first_at=NOW, last_at=NOW),
            Tally(after=3, kind="unkept", count=1, first_at=NOW, last_at=NOW),
        ],
        events=[recorded(1), recorded(2, type=EventType.SUCCEEDED)],
        deliveries=[brought(event_id="evt_1"), brought(id="dlv_2", event_id="evt_none")],
        attempts=[
            ("dlv_1", Attempt(number=1, at=NOW, duration_ms=1, status=204)),
            ("dlv_none", Attempt(number=1, at=NOW, duration_ms=1, status=204)),
        ],
    )
    assert [(item.kind, item.text.split()[0]) for item in told(chronicle)] == [
        ("poll", "1"),
        ("poll", "first"),
        ("event", "task.submitted"),
        ("delivery", "task.succeeded"),
        ("poll", "second"),
        ("poll", "2"),
        ("poll", "third"),
        ("event", "task.succeeded"),
        ("unkept", "1"),
        ("delivery", "task.succeeded"),
        ("attempt", "Attempt"),
    ]


@pytest.mark.parametrize(
    ("pause", "text"),
    [
        (
            a_pause("provider.paused", NOW),
            "apikley is paused, for it cannot be reached: nothing is sent but a probe.",
        ),
        (
            a_pause("provider.paused", NOW, "auth"),
            "apikley is paused, for it refuses our key: nothing is sent but a probe.",
        ),
        (
            a_pause("provider.paused", NOW, "operator"),
            "apikley is paused by an operator: polls go on, nothing is handed over.",
        ),
        (a_pause("provider.resumed", NOW + 180 * SECOND), "The pause of apikley is over, after 3 min."),
    ],
)
def test_the_providers_pauses_are_told_with_their_reason(pause: Recorded, text: str) -> None:
    """And nothing of what was heard of it, which may be about another's task."""
    [item] = told(a_chronicle(pauses=[pause]))
    assert (item.kind, item.text) == ("provider", text)
    assert set(item.data) == {"id", "type", "reason", "since"}


def test_a_pause_follows_what_caused_it_and_its_end_comes_first() -> None:
    """In one millisecond with a poll that failed, and with one that it lets begin."""
    for kind, kinds in (("provider.paused", ["poll", "provider"]), ("provider.resumed", ["provider", "poll"])):
        items = told(a_chronicle(notes=[a_note("first", at=NOW + 1)], pauses=[a_pause(kind, NOW + 1)]))
        assert [item.kind for item in items] == kinds


def test_time_comes_first() -> None:
    """Whatever the parts are."""
    chronicle = a_chronicle(
        notes=[a_note("late", at=NOW + 3)],
        events=[recorded(at=NOW + 2)],
        attempts=[("dlv_1", Attempt(number=1, at=NOW + 1, duration_ms=1, status=204))],
        deliveries=[brought(created_at=NOW)],
    )
    assert [item.kind for item in told(chronicle)] == ["delivery", "attempt", "event", "poll"]


@pytest.mark.parametrize(
    ("kind", "one", "many"),
    [
        ("action_refresh", "1 refresh was asked for by its caller", "7 refreshes were asked for by its caller"),
        ("poll", "1 poll told nothing new", "7 polls told nothing new"),
        ("poll_progress", "1 poll told of progress only", "7 polls told of progress only"),
        ("poll_failed", "1 further poll failed", "7 further polls failed"),
        (
            "callback_again",
            "1 further callback came, repeated or beyond those that are kept",
            "7 further callbacks came, repeated or beyond those that are kept",
        ),
        (
            "unkept",
            "1 further thing happened, beyond those that are told one by one",
            "7 further things happened, beyond those that are told one by one",
        ),
    ],
)
def test_counts_are_sentences(kind: str, one: str, many: str) -> None:
    """How many, and when the last was."""

    def text(count: int) -> str:
        tally = Tally(after=0, kind=kind, count=count, first_at=NOW - SECOND, last_at=NOW + SECOND)
        [item] = told(a_chronicle(tallies=[tally]))
        assert item.data == {
            "count": count,
            "first_at": "2025-12-08T09:39:59.000Z",
            "last_at": "2025-12-08T09:40:01.000Z",
        }
        assert item.kind == kind.partition("_")[0]
        return item.text

    assert text(1) == f"{one}."
    assert text(7) == f"{many}, the last at 2025-12-08T09:40:01.000Z."


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"type": EventType.QUEUED, "verified_by": None}, "handing it over is put off"),
        ({"type": EventType.UNCONFIRMED, "verified_by": None}, "nobody knows whether apikley took it"),
        ({}, "the answer of apikley to the submit said so"),
        ({"source": Source.CALLBACK}, "a callback said so, and a poll confirmed it"),
        (
            {"source": Source.CALLBACK, "verified_by": Verified.TOKEN},
            "a callback said so, and nobody but its URL vouches for it",
        ),
        (
            {"source": Source.CALLBACK, "verified_by": Verified.SIGNATURE},
            "a callback said so, and its signature vouches for it",
        ),
        ({"source": Source.POLL}, "a poll said so"),
        ({"source": Source.POLL, "late": True}, "a poll said so; late, after a verdict of our own"),
        ({"source": Source.DEADLINE, "verified_by": None}, "its time was over"),
        ({"source": Source.CALLER, "verified_by": None}, "its caller said so"),
        ({"source": Source.OPERATOR, "verified_by": None}, "an operator said so"),
        ({"source": Source.CALLER}, "by caller"),
    ],
)
def test_an_event_says_who_said_so(fields: dict[str, Any], why: str) -> None:
    """And who vouches for it."""
    [item] = told(a_chronicle(events=[recorded(**fields)]))
    kind = fields.get("type", EventType.SUBMITTED).value
    assert item.text == f"{kind} is recorded as event 1: {why}."
    assert item.data["id"] == "evt_1"


@pytest.mark.parametrize(
    ("fields", "whom"),
    [
        ({}, "the webhook at example.com:8443"),
        ({"hidden": True}, "its own webhook at example.com:8443"),
        ({"destination_type": "sqlite", "target": "results"}, "the SQLite log results"),
        ({"destination_type": None, "target": None}, "a destination that is deleted since"),
    ],
)
def test_a_delivery_says_whom_it_is_for(fields: dict[str, Any], whom: str) -> None:
    """By the host alone: the rest of a webhook's URL may hold a secret."""
    [item] = told(a_chronicle(deliveries=[brought(**fields)]))
    assert item.text == f"task.succeeded is owed to {whom}."
    canceled = brought(state=DeliveryState.CANCELED, due_at=None, **fields)
    [item] = told(a_chronicle(deliveries=[canceled]))
    assert item.text == f"task.succeeded is owed to {whom}, but that is canceled."
    assert (item.data["state"], item.data["next_attempt_at"]) == ("canceled", None)


@pytest.mark.parametrize(
    ("attempt", "delivery", "became"),
    [
        ({"status": 204}, {"state": DeliveryState.DELIVERED, "due_at": None}, "arrived after 12 ms"),
        ({"status": 503}, {"attempts": 2, "owner": "own", "due_at": NOW + 1}, "failed after 12 ms (HTTP 503)"),
        ({"error": "no route."}, {"due_at": NOW + HOUR}, "failed after 12 ms (no route), tried again in 60 min"),
        (
            {"status": 500},
            {"state": DeliveryState.DEAD, "due_at": None},
            "failed after 12 ms (HTTP 500): it was the last, the delivery is dead",
        ),
        ({"status": 500}, {"state": DeliveryState.CANCELED, "due_at": None}, "failed after 12 ms (HTTP 500)"),
    ],
)
def test_an_attempt_says_what_became_of_it(attempt: dict[str, Any], delivery: dict[str, Any], became: str) -> None:
    """And, if it is the last so far, what comes next."""
    made = Attempt(number=1, at=NOW, duration_ms=12, **attempt)
    chronicle = a_chronicle(deliveries=[brought(**{"attempts": 1} | delivery)], attempts=[("dlv_1", made)])
    _, item = told(chronicle)
    assert item.text == f"Attempt 1 to bring task.succeeded to the webhook at example.com:8443 {became}."
    assert (item.data["next_attempt_at"] is not None) == ("again" in became)


def test_an_attempt_that_was_never_heard_of_again_stands_between_the_others() -> None:
    """At the time of the one before it; where not every attempt was read, nobody can tell which are missing."""
    pair = [("dlv_1", Attempt(number=number, at=NOW + number, duration_ms=12, status=503)) for number in (1, 3)]
    chronicle = a_chronicle(deliveries=[brought(attempts=3)], attempts=pair)
    _, first, lost, third = told(chronicle)
    assert lost.text == (
        "Attempt 2 to bring task.succeeded to the webhook at example.com:8443 was begun, and never heard of again."
    )
    assert [item.data["number"] for item in (first, lost, third)] == [1, 2, 3]
    assert (lost.at, lost.data["next_attempt_at"]) == (first.at, None)
    assert [item.data["number"] for item in told(chronicle, most=2) if item.kind == "attempt"] == [1, 3]


def test_several_destinations_are_told_apart() -> None:
    """By what their owner says of them where they are at one host, and by their ids where that says nothing."""
    places = [
        {"target": "https://one.example/a"},
        {"target": "https://two.example/a", "description": "orders"},
        {"target": "https://two.example/b", "description": "stock"},
        {"target": "https://two.example/c"},
        {"target": "https://six.example/a", "description": "twins"},
        {"target": "https://six.example/b", "description": "twins"},
        {"target": None},
        {"target": "https://two.example/a", "description": "orders", "destination_id": "dst_1"},
    ]
    fields = [{"destination_id": f"dst_{number}", "id": f"dlv_{number}"} | each for number, each in enumerate(places)]
    items = told(a_chronicle(deliveries=[brought(**each) for each in fields]))
    assert [item.text.removeprefix("task.succeeded is owed to ").rstrip(".") for item in items] == [
        "the webhook at one.example",
        "the webhook at two.example (orders)",
        "the webhook at two.example (stock)",
        "the webhook at two.example (dst_3)",
        "the webhook at six.example (dst_4)",
        "the webhook at six.example (dst_5)",
        "a destination that is deleted since",
        "the webhook at two.example (orders)",
    ]
    named = [(item.data["destination_id"], item.data["destination"], item.data["description"]) for item in items]
    assert named[1:4] == [
        ("dst_1", "two.example", "orders"),
        ("dst_2", "two.example", "stock"),
        ("dst_3", "two.example", ""),
    ]
    assert named[6] == ("dst_6", None, "")


@pytest.mark.parametrize(
    ("held", "next_at", "follows"),
    [
        ({}, NOW + SECOND, ", tried again in 1 s"),
        ({"dst_1": NOW + HOUR}, NOW + HOUR, ", tried again in 60 min at the earliest, for its destination fails"),
        ({"dst_1": None}, None, ", and waits, for its destination is disabled or blocked"),
    ],
)
def test_a_held_delivery_is_not_told_to_be_tried_before_its_destination(
    held: dict[str, Ms | None], next_at: Ms | None, follows: str
) -> None:
    """Neither as a time nor in words."""
    failed = Attempt(number=1, at=NOW, duration_ms=12, status=500)
    waits = brought(attempts=1, due_at=NOW + SECOND, destination_id="dst_1")
    chronicle = a_chronicle(deliveries=[waits], attempts=[("dlv_1", failed)])
    _, owed, tried = timeline(TASK, chronicle, most=9, now=NOW, held=held)
    assert owed.data["next_attempt_at"] == tried.data["next_attempt_at"]
    assert tried.data["next_attempt_at"] == (None if next_at is None else formats.timestamp(next_at))
    assert tried.text.endswith(f"failed after 12 ms (HTTP 500){follows}.")


def test_what_is_too_much_is_cut_and_says_so() -> None:
    """Events, deliveries and attempts are read up to a limit."""
    events = [recorded(number, type=EventType.PROGRESS) for number in range(1, 4)]
    assert len(told(a_chronicle(events=events), most=4)) == 3
    *_, last = told(a_chronicle(events=events), most=3)
    assert (last.kind, last.data) == ("cut", {"most": 3})
