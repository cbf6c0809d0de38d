"""What every store must do, whatever its engine."""

import asyncio
import sqlite3
from dataclasses import asdict, replace

import pytest
from psycopg.errors import UniqueViolation

from receiver import formats, json_text
from receiver.domain import (
    Attempt,
    DeliveryState,
    EventType,
    Failure,
    FailureKind,
    Kind,
    Output,
    Role,
    Status,
    Task,
    Usage,
    Work,
)
from receiver.ids import new_id
from receiver.store.notes import MOST_NOTES
from receiver.store.protocol import Storage, Store
from receiver.store.records import Chronicle, Page, Tally
from tests.make import DAY, MINUTE, NOW, SECOND, a_delivery, a_destination, a_task, a_timer, an_event

pytestmark = pytest.mark.anyio

FULL_TASK = a_task(
    status=Status.SUCCEEDED,
    media=Kind.IMAGE,
    callback_expected=True,
    provider_status="success",
    progress=100,
    outputs=(Output(kind=Kind.VIDEO, url="https://x/1.mp4", role=Role.LAST_FRAME, index=1, expires_at=NOW + DAY),),
    error=Failure(kind=FailureKind.QUOTA, message="no credits ☃", code="402", request_id="r", retryable=True),
    usage=Usage(amount=12.5),
    retry_of="task_0",
    webhook_id="dst_own",
    webhook_events=("task.*", "task.progress"),
    finished_at=NOW + MINUTE,
    ours=True,
    emitted=EventType.SUCCEEDED.bit,
    sequence=3,
    version=4,
)


async def test_a_task_comes_back_as_it_was_recorded(storage: Storage) -> None:
    """Every field survives, nested ones and text beyond ASCII too."""
    await storage.write(lambda store: store.record_task(FULL_TASK))
    assert await storage.read(lambda store: store.task(FULL_TASK.id)) == FULL_TASK
    assert await storage.read(lambda store: store.task("task_none")) is None


async def test_a_brief_look_finds_what_is_committed(storage: Storage) -> None:
    """And nothing of a write that is under way."""
    seen: list[Task | None] = []
    loop = asyncio.get_running_loop()

    def record(store: Store) -> None:
        store.record_task(FULL_TASK)
        look = storage.read(lambda store: store.task(FULL_TASK.id), brief=True)
        seen.append(asyncio.run_coroutine_threadsafe(look, loop).result(30))

    await storage.write(record)
    seen.append(await storage.read(lambda store: store.task(FULL_TASK.id), brief=True))
    assert seen == [None, FULL_TASK]


async def test_a_task_is_found_by_its_providers_id(storage: Storage) -> None:
    """The provider's own id names one task per provider."""
    await storage.write(lambda store: store.record_task(FULL_TASK))
    assert await storage.read(lambda store: store.task_of_provider("apikley", "p1")) == FULL_TASK
    assert await storage.read(lambda store: store.task_of_provider("reapi", "p1")) is None


async def test_a_providers_id_is_bound_once(storage: Storage) -> None:
    """The engine itself refuses a second task under a provider's id."""
    await storage.write(lambda store: store.record_task(FULL_TASK))
    with pytest.raises((sqlite3.IntegrityError, UniqueViolation)):
        await storage.write(lambda store: store.record_task(replace(FULL_TASK, id="task_2")))
    assert await storage.read(lambda store: store.task("task_2")) is None


async def test_a_task_is_saved_only_over_the_version_that_was_read(storage: Storage) -> None:
    """Compare-and-set: the second of two decisions on one version changes nothing."""
    first = a_task()
    await storage.write(lambda store: store.record_task(first))
    done = replace(first, status=Status.SUCCEEDED, version=1)
    failed = replace(first, status=Status.FAILED, version=1)
    assert await storage.write(lambda store: store.save_task(done, expected_version=0))
    assert not await storage.write(lambda store: store.save_task(failed, expected_version=0))
    assert await storage.read(lambda store: store.task(first.id)) == done


async def test_tasks_are_listed_newest_first_by_pages(storage: Storage) -> None:
    """A cursor goes on where the page before ended; another tenant's tasks are not there."""

    def record(store: Store) -> None:
        for number in range(5):
            store.record_task(a_task(id=f"task_{number}", provider_task_id=f"p{number}"))
        store.record_task(a_task(id="task_9", provider_task_id="p9", tenant="other"))

    await storage.write(record)
    first = await storage.read(lambda store: store.list_tasks(Page(tenant="default", limit=2)))
    rest = await storage.read(lambda store: store.list_tasks(Page(tenant="default", limit=9, cursor=first[-1].id)))
    assert [task.id for task in [*first, *rest]] == ["task_4", "task_3", "task_2", "task_1", "task_0"]


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({"where": {"status": "failed"}}, ["task_2"]),
        ({"where": {"provider": "reapi"}}, ["task_2"]),
        ({"where": {"model": "m1"}}, ["task_1"]),
        ({"where": {"provider_task_id": "p2"}}, ["task_2"]),
        ({"where": {"error_kind": "quota"}}, ["task_2"]),
        ({"where": {"error_kind": "auth"}}, []),
        ({"metadata": {"order": "1"}}, ["task_1"]),
        ({"metadata": {"order": "1", "who": "me"}}, []),
        ({"metadata": {"a.b'\"?:": "odd"}}, ["task_2"]),
    ],
)
async def test_tasks_are_filtered(storage: Storage, filters: dict[str, object], found: list[str]) -> None:
    """Each filter of the list keeps what equals it, whatever the metadata's key looks like."""
    one = a_task(id="task_1", model="m1", metadata={"order": "1"})
    two = a_task(
        id="task_2",
        provider="reapi",
        provider_task_id="p2",
        status=Status.FAILED,
        error=Failure(kind=FailureKind.QUOTA, message="no"),
        metadata={"order": "2", "a.b'\"?:": "odd"},
        created_at=NOW + 1,
    )
    await storage.write(lambda store: [store.record_task(each) for each in (one, two)])
    page = Page(tenant="default", limit=9, **filters)  # type: ignore[arg-type]
    assert [task.id for task in await storage.read(lambda store: store.list_tasks(page))] == found


async def test_tasks_are_found_by_when_they_were_made(storage: Storage) -> None:
    """To the millisecond, which their ids tell; neither end is among them."""
    made = [a_task(id=new_id("task", NOW + ms), provider_task_id=f"p{ms}", created_at=NOW + ms) for ms in range(4)]
    await storage.write(lambda store: [store.record_task(each) for each in made])
    for after, before, found in ((0, None, [3, 2, 1]), (None, 3, [2, 1, 0]), (0, 3, [2, 1]), (1, 2, []), (3, None, [])):
        page = Page(
            tenant="default",
            limit=9,
            created_after=None if after is None else NOW + after,
            created_before=None if before is None else NOW + before,
        )
        tasks = await storage.read(lambda store, page=page: store.list_tasks(page))  # type: ignore[misc]
        assert [task.created_at - NOW for task in tasks] == found


async def test_a_task_has_one_timer_which_is_replaced(storage: Storage) -> None:
    """Setting a timer twice leaves the second; every field survives; dropping it leaves none."""
    full = a_timer(
        owner="own_1",
        tries=2,
        rings=1,
        rung_at=NOW + 1,
        claimed=Status.FAILED,
        claimed_at=NOW + 2,
        missing_since=NOW + 3,
        answered_at=NOW + 4,
        empty_since=NOW + 5,
    )
    assert None not in asdict(full).values()
    await storage.write(lambda store: store.set_timer(a_timer()))
    await storage.write(lambda store: store.set_timer(full))
    assert await storage.read(lambda store: store.timer("task_1")) == full
    await storage.write(lambda store: store.drop_timer("task_1"))
    assert await storage.read(lambda store: store.timer("task_1")) is None


async def test_only_due_timers_of_one_kind_and_provider_are_claimed_oldest_first(storage: Storage) -> None:
    """A claim leaves alone what is not due, of another kind, or another provider's, and what is beyond the limit."""

    def record(store: Store) -> None:
        for number, due_at in enumerate((NOW, NOW - SECOND, NOW + 1, NOW)):
            store.set_timer(a_timer(task_id=f"t{number}", due_at=due_at))
        store.set_timer(a_timer(task_id="submit", work=Work.SUBMIT))
        store.set_timer(a_timer(task_id="other", provider="reapi"))

    def claim(store: Store) -> list[str]:
        claimed = store.claim_timers(Work.POLL, "apikley", owner="me", now=NOW, until=NOW + MINUTE, limit=2)
        return [each.timer.task_id for each in claimed]

    await storage.write(record)
    assert (await storage.write(claim))[0] == "t1"
    assert len(await storage.write(claim)) == 1
    assert await storage.write(claim) == []
    assert await storage.read(lambda store: store.next_due_timer(Work.POLL, "apikley")) == NOW + 1
    assert await storage.read(lambda store: store.next_due_timer(Work.POLL, "reve2img")) is None


async def test_a_lease_that_lapsed_is_due_again(storage: Storage) -> None:
    """There is no reaper: the due time moved forward simply comes; when it was due is told."""
    await storage.write(lambda store: store.set_timer(a_timer()))
    for owner, now in (("one", NOW), ("two", NOW + MINUTE)):
        [claimed] = await storage.write(
            lambda store, owner=owner, now=now: store.claim_timers(  # type: ignore[misc]
                Work.POLL, "apikley", owner=owner, now=now, until=now + MINUTE, limit=9
            )
        )
        assert (claimed.was_due_at, claimed.timer.owner, claimed.timer.due_at) == (now, owner, now + MINUTE)
        assert await storage.read(lambda store: store.timer("task_1")) == claimed.timer


async def test_a_new_process_finds_what_the_last_one_had_claimed_due(storage: Storage) -> None:
    """Lapsing makes leased timers and deliveries due, and nothing else."""

    def record(store: Store) -> None:
        store.set_timer(a_timer(task_id="leased", owner="dead", due_at=NOW + MINUTE))
        store.set_timer(a_timer(task_id="free", due_at=NOW + MINUTE))
        store.record_destination(a_destination())
        store.record_event(an_event(1), "{}")
        store.record_delivery(a_delivery(id="dlv_leased", owner="dead", due_at=NOW + MINUTE), 1)
        store.record_delivery(a_delivery(id="dlv_free", due_at=NOW + MINUTE), 1)
        store.lapse_leases(NOW)

    await storage.write(record)
    claimed = await storage.write(
        lambda store: store.claim_timers(Work.POLL, "apikley", owner="me", now=NOW, until=NOW + MINUTE, limit=9)
    )
    assert [each.timer.task_id for each in claimed] == ["leased"]
    parcels = await storage.write(
        lambda store: store.claim_deliveries("dst_1", owner="me", now=NOW, until=NOW + MINUTE, limit=9)
    )
    assert [parcel.delivery.id for parcel in parcels] == ["dlv_leased"]


def hasten(store: Store, *, after: str, limit: int) -> str | None:
    return store.hasten_safety_polls(NOW, since=NOW, within=MINUTE, after=after, limit=limit)


async def test_safety_polls_are_hastened_by_bites(storage: Storage) -> None:
    """Each goes on behind the one before; what was asked about since, or is newer than the start, is left as it is."""
    fields = {"task_3": {"answered_at": NOW + 1}, "task_4": {"answered_at": NOW}}

    def record(store: Store) -> None:
        for number in range(6):
            name = f"task_{number}"
            made = {"created_at": NOW + (number == 5), "callback_expected": True}
            store.record_task(a_task(id=name, provider_task_id=name, **made))
            store.set_timer(a_timer(task_id=name, due_at=NOW + DAY, **fields.get(name, {})))

    async def hastened() -> list[str]:
        timers = [await storage.read(lambda store, n=n: store.timer(f"task_{n}")) for n in range(6)]  # type: ignore[misc]
        return [timer.task_id for timer in timers if timer.due_at < NOW + MINUTE]

    await storage.write(record)
    assert await storage.write(lambda store: hasten(store, after="", limit=2)) == "task_1"
    assert await hastened() == ["task_0", "task_1"]
    assert await storage.write(lambda store: hasten(store, after="task_1", limit=2)) == "task_3"
    assert await hastened() == ["task_0", "task_1", "task_2"]
    assert await storage.write(lambda store: hasten(store, after="task_3", limit=9)) is None
    assert await hastened() == ["task_0", "task_1", "task_2", "task_4"]


async def test_safety_polls_are_hastened_for_open_tasks_that_expect_a_callback(storage: Storage) -> None:
    """After a start each of them is polled soon; tasks that are polled anyway keep their time."""

    def record(store: Store) -> None:
        for name, expected in (("task_cb", True), ("task_poll", False)):
            store.record_task(a_task(id=name, provider_task_id=name, callback_expected=expected))
            store.set_timer(a_timer(task_id=name, due_at=NOW + DAY))

    await storage.write(record)
    assert await storage.write(lambda store: hasten(store, after="", limit=9)) is None
    hastened = await storage.read(lambda store: store.timer("task_cb"))
    assert hastened is not None
    assert NOW <= hastened.due_at < NOW + MINUTE
    assert await storage.read(lambda store: store.timer("task_poll")) == a_timer(task_id="task_poll", due_at=NOW + DAY)


async def test_a_callback_is_kept_once_and_only_so_many(storage: Storage) -> None:
    """A digest is kept once per task, for ever; beyond the cap nothing is."""

    def keep(store: Store, digest: str, task: str = "task_1") -> bool:
        body = digest.encode()
        return store.keep_callback(task, digest=digest, at=NOW + len(digest), outcome="read", body=body, most=2)

    assert await storage.write(lambda store: keep(store, "a"))
    assert not await storage.write(lambda store: keep(store, "a"))
    assert await storage.write(lambda store: keep(store, "bb"))
    assert not await storage.write(lambda store: keep(store, "ccc"))
    assert await storage.write(lambda store: keep(store, "a", "task_2"))
    assert await storage.read(lambda store: store.callbacks("task_1")) == [b"bb", b"a"]


async def test_events_are_read_in_order_from_a_cursor(storage: Storage) -> None:
    """Ascending after a seq, or descending before it, filtered by type, task and provider, one tenant's only."""

    def record(store: Store) -> None:
        for number in range(1, 5):
            assert store.next_seq() == number
            kind = EventType.SUCCEEDED if number == 4 else EventType.SUBMITTED
            task = a_task(id=f"task_{number % 2}", tenant="other" if number == 3 else "default")
            store.record_event(an_event(number, type=kind, task=task), f'{{"id":"evt_{number}"}}')

    await storage.write(record)

    async def seqs(after: int | None = 0, *, newest_first: bool = False, **where: object) -> list[int]:
        page = Page(tenant="default", limit=2, where=where)
        rows = await storage.read(lambda store: store.list_events(page, after=after, newest_first=newest_first))
        return [row.seq for row in rows]

    assert await seqs() == [1, 2]
    assert await seqs(2) == [4]
    assert await seqs(None, newest_first=True) == [4, 2]
    assert await seqs(2, newest_first=True) == [1]
    assert await seqs(type=["task.succeeded", "task.failed"]) == [4]
    assert await seqs(task_id="task_1") == [1]
    assert await seqs(provider="reapi") == []
    found = await storage.read(lambda store: store.event("evt_2", "default"))
    assert found is not None
    assert (found.seq, found.type, found.task_id, found.body) == (2, "task.submitted", "task_0", '{"id":"evt_2"}')
    assert await storage.read(lambda store: store.event("evt_3", "default")) is None


async def test_whoever_reads_along_gets_the_events_of_all_tenants_in_order(storage: Storage) -> None:
    """From a place on, so many at once; the last place is known whether or not its event is kept."""
    assert await storage.read(lambda store: (store.last_seq(), store.events_after(0, limit=9))) == (0, [])

    def write(store: Store) -> None:
        for tenant in ("a", "b", "a"):
            task = a_task(tenant=tenant, provider=f"of {tenant}")
            event = an_event(store.next_seq(), id=new_id("evt", NOW), task=task)
            store.record_event(event, json_text.write(formats.envelope(event)))

    await storage.write(write)
    assert await storage.read(lambda store: store.last_seq()) == 3
    rows = await storage.read(lambda store: store.events_after(1, limit=9))
    assert [(row.seq, row.tenant, row.provider) for row in rows] == [(2, "b", "of b"), (3, "a", "of a")]
    assert [row.seq for row in await storage.read(lambda store: store.events_after(0, limit=2))] == [1, 2]
    await storage.write(lambda store: store.skip_seqs(10))
    assert await storage.read(lambda store: store.last_seq()) == 13


async def test_how_often_tasks_changed_is_told_of_many_at_once(storage: Storage) -> None:
    """Those that are not kept are missing."""
    for each in ("task_1", "task_2", "task_3"):
        await storage.write(lambda store, each=each: store.record_task(a_task(id=each, provider_task_id=each)))
    task = a_task(id="task_2", provider_task_id="task_2", version=1)
    assert await storage.write(lambda store: store.save_task(task, expected_version=0))
    asked = ["task_1", "task_2", "task_9"]
    assert await storage.read(lambda store: store.task_versions(asked)) == {"task_1": 0, "task_2": 1}


async def test_a_bad_write_fails_alone(storage: Storage) -> None:
    """Writes that waited together: one raises, the others are committed, each exactly once."""

    def bad(store: Store) -> None:
        store.next_seq()
        raise ValueError("bad")

    results = await asyncio.gather(
        *(storage.write(bad if number == 20 else (lambda store: store.next_seq())) for number in range(40)),
        return_exceptions=True,
    )
    assert sorted(each for each in results if isinstance(each, int)) == list(range(1, 40))
    assert [str(each) for each in results if isinstance(each, Exception)] == ["bad"]


async def test_a_caller_that_leaves_does_not_undo_its_write(storage: Storage) -> None:
    """Cancellation is not rollback."""
    waiting = asyncio.ensure_future(storage.write(lambda store: store.record_task(a_task())))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await storage.write(lambda store: store.schema_version())
    assert await storage.read(lambda store: store.task("task_1")) is not None


async def test_the_schema_has_a_version(storage: Storage) -> None:
    """Readiness asks for it."""
    assert await storage.read(lambda store: store.schema_version()) >= 1


async def _chronicle(storage: Storage, task_id: str = "task_1", most: int = 99) -> Chronicle:
    return await storage.read(lambda store: store.chronicle(task_id, most=most))


async def test_notes_come_back_in_the_order_of_their_telling(storage: Storage) -> None:
    """With their facts, several of one millisecond too; another task's are not among them."""

    def write(store: Store) -> None:
        for number in range(20):
            store.note("task_1", at=NOW, sequence=number % 3, kind="poll", text=f"{number} \u2603", data={"n": number})
        store.note("task_2", at=NOW, sequence=0, kind="submit", text="other", data={})

    await storage.write(write)
    notes = (await _chronicle(storage)).notes
    assert [note.text for note in notes] == [f"{number} \u2603" for number in range(20)]
    assert (notes[5].at, notes[5].sequence, notes[5].kind, notes[5].data) == (NOW, 2, "poll", {"n": 5})
    assert len((await _chronicle(storage, "task_2")).notes) == 1


async def test_what_is_counted_is_counted_between_notes(storage: Storage) -> None:
    """How often, from when to when, since the note before; each kind and each task apart."""

    def write(store: Store) -> None:
        for second in range(3):
            store.tally("task_1", "poll", at=NOW + second)
        store.tally("task_1", "callback_again", at=NOW)
        store.tally("task_2", "poll", at=NOW)
        store.note("task_1", at=NOW, sequence=0, kind="poll", text="news", data={})
        store.tally("task_1", "poll", at=NOW + MINUTE)

    await storage.write(write)
    assert list((await _chronicle(storage)).tallies) == [
        Tally(after=0, kind="callback_again", count=1, first_at=NOW, last_at=NOW),
        Tally(after=0, kind="poll", count=3, first_at=NOW, last_at=NOW + 2),
        Tally(after=1, kind="poll", count=1, first_at=NOW + MINUTE, last_at=NOW + MINUTE),
    ]


async def test_a_task_has_only_so_many_notes(storage: Storage) -> None:
    """What comes after them is counted."""

    def write(store: Store) -> None:
        for number in range(MOST_NOTES + 3):
            store.note("task_1", at=NOW + number, sequence=0, kind="poll", text="x", data={})

    await storage.write(write)
    found = await _chronicle(storage)
    assert len(found.notes) == MOST_NOTES == 500
    unkept = {"first_at": NOW + MOST_NOTES, "last_at": NOW + MOST_NOTES + 2}
    assert list(found.tallies) == [Tally(after=MOST_NOTES, kind="unkept", count=3, **unkept)]


async def test_a_chronicle_has_events_deliveries_and_attempts(storage: Storage) -> None:
    """A delivery with its event's type and whom it is for, also once that is deleted; each list up to a limit."""
    attempt = Attempt(number=1, at=NOW, duration_ms=5, status=204)

    def write(store: Store) -> None:
        store.record_task(a_task())
        store.record_destination(a_destination())
        store.record_hidden_destination(a_destination(id="dst_own", hidden=True))
        for seq in (1, 2):
            store.record_event(an_event(seq), "{}")
        store.record_event(an_event(3, task=a_task(id="task_2")), "{}")
        for number, (destination, seq) in enumerate((("dst_1", 2), ("dst_own", 1), ("dst_gone", 1))):
            store.record_delivery(a_delivery(id=f"dlv_{number}", destination_id=destination), seq)
        store.record_delivery(a_delivery(id="dlv_9", task_id="task_2"), 3)
        for delivery in ("dlv_0", "dlv_9"):
            store.settle_delivery(delivery, attempt, owner="", state=DeliveryState.DELIVERED, tries=0, due_at=None)

    await storage.write(write)
    found = await _chronicle(storage)
    assert [event.seq for event in found.events] == [1, 2]
    url = "https://example.com/hook"
    assert [
        (each.delivery.id, each.event_type, each.destination_type, each.target, each.hidden)
        for each in found.deliveries
    ] == [
        ("dlv_1", "task.submitted", "webhook", url, True),
        ("dlv_2", "task.submitted", None, None, False),
        ("dlv_0", "task.submitted", "webhook", url, False),
    ]
    assert list(found.attempts) == [("dlv_0", attempt)]
    cut = await _chronicle(storage, most=1)
    assert (len(cut.events), len(cut.deliveries), len(cut.attempts)) == (1, 1, 1)


async def test_a_chronicle_has_the_pauses_of_its_provider_while_the_task_is_open(storage: Storage) -> None:
    """After its beginning, up to its end; no other provider's, and no other event for operators."""

    def write(store: Store) -> None:
        store.record_task(a_task())
        store.record_task(a_task(id="task_2", provider_task_id="p2", finished_at=NOW + 2))
        told = [
            ("provider.paused", "apikley", NOW - 1),
            ("provider.resumed", "apikley", NOW),
            ("provider.paused", "apikley", NOW + 1),
            ("provider.paused", "reapi", NOW + 1),
            ("delivery.dead", "apikley", NOW + 1),
            ("provider.resumed", "apikley", NOW + 2),
            ("provider.paused", "apikley", NOW + 3),
        ]
        for seq, (kind, provider, at) in enumerate(told, 1):
            store.record_operator_event(
                seq=seq, id=f"evt_{seq}", tenant="default", provider=provider, type=kind, at=at, body="{}"
            )

    await storage.write(write)
    assert [event.seq for event in (await _chronicle(storage)).pauses] == [3, 6, 7]
    assert [event.seq for event in (await _chronicle(storage, "task_2")).pauses] == [3, 6]
    assert [event.seq for event in (await _chronicle(storage, most=1)).pauses] == [3]
