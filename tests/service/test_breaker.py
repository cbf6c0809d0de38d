"""A destination that fails: its queue is held and probed, operators are told, in the end it is disabled."""

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from receiver import breaker, delivery_policy, formats
from receiver.delivery_policy import LOST
from receiver.domain import DeliveryState, Status
from receiver.store.protocol import Store
from tests.logs import capture_logs
from tests.make import NOW
from tests.service.consumer import Consumer, a_consumer, a_gated_consumer
from tests.service.engines import makes_a_log
from tests.service.owing import (
    OPERATORS,
    PATIENT,
    attempt_log,
    breaker_of,
    disable,
    due_at,
    enable,
    happen,
    kept,
    kinds,
    quiet,
    told,
)
from tests.service.world import World, a_world, created, scripted

pytestmark = pytest.mark.anyio

HOURS = 3600


async def held(world: World, broken: Consumer, **fields: Any) -> dict[str, Any]:
    """A destination that was just found failing: five events are owed to it, each was tried once."""
    made = await world.destination(broken.url, **fields)
    await happen(world, 5)
    await quiet(world)
    assert len(broken.ids) == 5
    return made


async def waiting(world: World, destination_id: str) -> dict[str, tuple[int, int | None]]:
    """What is pending for a destination: attempts, and when it is due by its schedule, by delivery."""
    found = await world.deliveries(state="pending", destination_id=destination_id)
    return {each["id"]: (each["attempts"], await due_at(world, each["id"])) for each in found}


# Held, probed, recovered


async def test_five_failures_over_three_deliveries_hold_the_queue(tmp_path: Path) -> None:
    """Nothing more is sent, no attempt of what waits is used up; operators are told, but not where the trouble is."""
    async with a_consumer(500) as broken, a_consumer() as pager, a_world(tmp_path) as world:
        await world.destination(pager.url, event_types=OPERATORS)
        made = await held(world, broken, event_types=["task.finished", *OPERATORS])
        await happen(world, 20, first=100)
        assert await quiet(world, 59) == 1
        assert len(broken.ids) == 5
        assert sorted(n for n, _ in (await waiting(world, made["id"])).values()) == [0] * 20 + [1] * 5
        [event] = pager.events
        assert event["type"] == "destination.failing"
        assert event["data"] == {
            "destination_id": made["id"],
            "type": "webhook",
            "url": broken.url,
            "reason": "HTTP 500",
            "since": formats.timestamp(NOW),
        }


async def test_probes_go_out_after_1_2_4_8_15_minutes_outside_the_schedule(tmp_path: Path) -> None:
    """One at a time; a probe that fails leaves its delivery where it stood, and due when it was."""
    async with a_consumer(500) as broken, a_world(tmp_path) as world:
        made = await held(world, broken)
        before = await waiting(world, made["id"])
        for number, minutes in enumerate((1, 2, 4, 8, 15, 15, 15), start=1):
            assert await quiet(world, minutes * 60 - 1) == 1
            assert len(broken.ids) == 4 + number
            await quiet(world, 1)
            assert len(broken.ids) == 5 + number
        after = await waiting(world, made["id"])
        assert {name: at for name, (_, at) in after.items()} == {name: at for name, (_, at) in before.items()}
        assert sum(attempts for attempts, _ in after.values()) == 5 + 7
        assert await kinds(world) == ["destination.failing"]


async def test_probes_try_another_delivery_each_time(tmp_path: Path) -> None:
    """The oldest may be the very one that this receiver chokes on: it must not hold the queue for good."""
    async with a_consumer(500) as broken, a_world(tmp_path) as world:
        await held(world, broken)
        await quiet(world, 30)
        await happen(world, 1, first=100)
        await quiet(world, 30)
        await quiet(world, 120)
        assert broken.ids[5] in broken.ids[:5]
        assert broken.ids[6] not in broken.ids[:5]


async def test_one_success_closes_it_and_the_backlog_is_delivered(tmp_path: Path) -> None:
    """What was held stands where it stood on its schedule; operators are told."""
    async with a_consumer(500) as broken, a_consumer() as pager, a_world(tmp_path) as world:
        await world.destination(pager.url, event_types=OPERATORS)
        made = await held(world, broken)
        await happen(world, 40, first=100)
        broken.answers[0] = 204
        await quiet(world, 60)
        assert await waiting(world, made["id"]) == {}
        assert len(broken.ids) == 5 + 45
        assert sorted(set(broken.ids[5:])) == sorted(broken.ids[5:])
        assert not (await breaker_of(world, made["id"])).open
        assert [event["type"] for event in pager.events] == ["destination.failing", "destination.recovered"]
        assert pager.events[1]["data"]["since"] == formats.timestamp(NOW)


async def test_failures_of_two_deliveries_hold_nothing(tmp_path: Path) -> None:
    """However many: it may be these two."""
    async with a_consumer(500) as broken, a_world(tmp_path) as world:
        await world.destination(broken.url)
        await happen(world, 2)
        for seconds in (0, 7, 400, 2400):
            await quiet(world, seconds)
        assert len(broken.ids) == 8
        assert await kinds(world) == []


async def test_a_success_between_failures_starts_the_count_again(tmp_path: Path) -> None:
    """Five in a row, not five in all."""
    async with a_consumer(500, 500, 500, 500, 204, 500) as shaky, a_world(tmp_path) as world:
        made = await world.destination(shaky.url, max_in_flight=1)
        await happen(world, 9)
        for _ in range(9):
            await world.turn()
        assert (await breaker_of(world, made["id"])).failures == 4
        assert await kinds(world) == []


# Given up, gone, disabled


async def test_120_hours_of_nothing_but_failures_disable_it(tmp_path: Path) -> None:
    """Nothing is sent any more and new events make no delivery; what waits is delivered once it is enabled."""
    async with a_consumer(500) as broken, a_consumer() as pager, a_world(tmp_path) as world:
        await world.destination(pager.url, event_types=OPERATORS)
        made = await held(world, broken)
        for _ in range(119):
            await quiet(world, HOURS)
        assert (await kept(world, made["id"])).enabled
        await quiet(world, HOURS)
        found = await kept(world, made["id"])
        assert (found.enabled, found.disabled_reason) == (False, "failing")
        assert [event["type"] for event in pager.events] == ["destination.failing", "destination.disabled"]
        assert pager.events[1]["data"]["reason"] == "failing"
        tried = len(broken.ids)
        await happen(world, 3, first=100)
        await quiet(world, HOURS)
        assert len(broken.ids) == tried
        assert len(await waiting(world, made["id"])) == 5
        broken.answers[0] = 204
        await enable(world, made["id"])
        await quiet(world)
        assert len(broken.ids) == tried + 5
        assert await waiting(world, made["id"]) == {}


async def test_410_disables_at_once(tmp_path: Path) -> None:
    """The delivery follows its schedule, and waits for somebody to enable the destination."""
    async with a_consumer(410) as gone, a_consumer() as pager, a_world(tmp_path) as world:
        await world.destination(pager.url, event_types=OPERATORS)
        made = await world.destination(gone.url)
        await happen(world, 1)
        await quiet(world)
        found = await kept(world, made["id"])
        assert (found.enabled, found.disabled_reason) == (False, "gone")
        [(kind, data)] = await told(world)
        assert (kind, data["reason"], data["destination_id"]) == ("destination.disabled", "gone", made["id"])
        assert [event["type"] for event in pager.events] == ["destination.disabled"]
        await quiet(world, 24 * HOURS)
        assert len(gone.ids) == 1
        gone.answers[0] = 204
        await enable(world, made["id"])
        await quiet(world)
        assert len(gone.ids) == 2
        assert [each["attempts"] for each in await world.deliveries(state="delivered", destination_id=made["id"])] == [
            2
        ]


async def test_disabling_twice_is_told_once(tmp_path: Path) -> None:
    """The first reason stays."""
    async with a_consumer() as consumer, a_world(tmp_path) as world:
        made = await world.destination(consumer.url)
        await disable(world, made["id"])
        await world.service.storage.write(
            lambda store: breaker.disable(store, _of(store, made["id"]), breaker.GONE, world.clock.now())
        )
        assert (await kept(world, made["id"])).disabled_reason == "caller"
        [(kind, data)] = await told(world)
        assert (kind, data["reason"], data["since"]) == ("destination.disabled", "caller", None)


def _of(store: Store, destination_id: str) -> Any:
    found = store.destination(destination_id, "default")
    assert found is not None
    return found


async def test_enabling_forgets_the_failures(tmp_path: Path) -> None:
    """A held queue is sent at once, and must fail anew to be held again."""
    async with a_consumer(500) as broken, a_world(tmp_path) as world:
        made = await held(world, broken)
        broken.answers[0] = 204
        await enable(world, made["id"])
        await quiet(world, 6)
        assert len(broken.ids) == 10
        assert await waiting(world, made["id"]) == {}


async def test_the_webhook_of_a_task_is_held_and_disabled_like_any_other(tmp_path: Path) -> None:
    """A hidden destination; its own secret is its tenant's, and never written to it."""
    async with (
        a_consumer(500) as broken,
        scripted(*(created(f"p{number}") for number in range(5))) as apikley,
        a_world(tmp_path, base_urls={"apikley": apikley.base_url}) as world,
    ):
        for _ in range(5):
            await world.submit(webhook_url=broken.url, webhook_events=["task.submitted"])
        await quiet(world)
        assert len(broken.ids) == 5
        [hidden] = {each["destination_id"] for each in await world.deliveries()}
        assert await kinds(world) == ["destination.failing"]
        broken.answers[0] = 410
        await quiet(world, 60)
        found = await kept(world, hidden)
        assert (found.enabled, found.disabled_reason, found.sealed_secret) == (False, "gone", "")


# Dead


async def test_operators_are_told_of_a_dead_letter(tmp_path: Path) -> None:
    """With what was last heard of it."""
    async with a_consumer(500, "close") as broken, a_consumer() as pager, a_world(tmp_path) as world:
        await world.destination(pager.url, event_types=OPERATORS)
        made = await world.destination(broken.url)
        [task_id] = await happen(world, 1)
        for pause_s in delivery_policy.PAUSES_S:
            await quiet(world, pause_s * 1.2)
        [dead] = await world.deliveries(state="dead")
        events = [event["data"] for event in pager.events if event["type"] == "delivery.dead"]
        assert events == [
            {
                "delivery_id": dead["id"],
                "destination_id": made["id"],
                "event_id": dead["event_id"],
                "task_id": task_id,
                "attempts": 10,
                "status": None,
                "error": "the connection was closed before an answer",
            }
        ]


# Operators' events cause no further ones


async def test_a_failed_operators_event_counts_for_nothing(tmp_path: Path) -> None:
    """Neither towards a held queue nor told when it is dead: two failing pagers must not feed each other."""
    async with a_consumer(500) as broken, a_consumer(500) as pager, a_world(tmp_path) as world:
        paged = await world.destination(pager.url, event_types=OPERATORS)
        for number in range(6):
            made = await world.destination(broken.url)
            await happen(world, 5, first=100 * number + 1)
            await quiet(world)
            await world.api.delete(f"/v1/destinations/{made['id']}")
        assert len(pager.ids) == 6
        assert (await breaker_of(world, paged["id"])).failures == 0
        for _ in range(10):
            await quiet(world, 30 * HOURS)
        assert len(await world.deliveries(state="dead", destination_id=paged["id"])) == 6
        assert await kinds(world) == ["destination.failing"] * 6


async def test_a_pager_that_is_gone_is_disabled_silently(tmp_path: Path) -> None:
    """Nobody hears of it, but it is not asked again."""
    async with (
        a_consumer(500) as broken,
        a_consumer(410) as pager,
        a_consumer() as other,
        a_world(tmp_path) as world,
    ):
        paged = await world.destination(pager.url, event_types=OPERATORS)
        await world.destination(other.url, event_types=OPERATORS)
        await held(world, broken)
        await quiet(world)
        assert (await kept(world, paged["id"])).disabled_reason == "gone"
        assert await kinds(world) == ["destination.failing"]
        assert len(other.ids) == 1


async def test_an_operators_event_that_arrives_closes_the_breaker_silently(tmp_path: Path) -> None:
    """A success is a success."""
    async with a_consumer(500) as first, a_consumer(500) as second, a_world(tmp_path) as world:
        pager = await world.destination(first.url, event_types=["task.finished", *OPERATORS])
        await happen(world, 5)
        await quiet(world)
        await world.destination(second.url, providers=["apikley"], event_types=["task.failed"])
        await happen(world, 5, first=100, statuses=[Status.FAILED])
        await quiet(world)
        assert await kinds(world) == ["destination.failing"] * 2
        first.answers[0] = 204
        await world.service.storage.write(lambda store: _only_operators_wait(store, pager["id"]))
        await quiet(world, 60)
        assert not (await breaker_of(world, pager["id"])).open
        assert await kinds(world) == ["destination.failing"] * 2


def _only_operators_wait(store: Store, destination_id: str) -> None:
    """As if the events of tasks had been canceled one by one."""
    store.execute(  # type: ignore[attr-defined]
        "UPDATE deliveries SET state = 'canceled', due_at = NULL WHERE destination_id = :id AND task_id <> ''",
        {"id": destination_id},
    )


# What kills its worker comes to an end


async def test_ten_attempts_that_were_never_heard_of_again_are_enough(tmp_path: Path) -> None:
    """The delivery is dead with the reason said; somebody who retries it gets another ten."""
    async with a_consumer() as consumer, a_consumer() as pager, a_world(tmp_path) as world:
        await world.destination(pager.url, event_types=OPERATORS)
        made = await world.destination(consumer.url)
        await happen(world, 1)
        await _lose(world, made["id"], 10)
        await quiet(world, 1)
        assert consumer.ids == []
        [dead] = await world.deliveries(state="dead")
        *lost, entry = await attempt_log(world, dead["id"])
        assert [each["error"] for each in lost] == [LOST] * 10
        assert entry["error"] == "given up: 10 attempts in a row were begun, and never heard of again"
        assert (entry["number"], dead["attempts"]) == (11, 11)
        assert [event["type"] for event in pager.events] == ["delivery.dead"]
        await _again(world, dead["id"])
        await quiet(world)
        assert len(consumer.ids) == 1
        assert [each["state"] for each in await world.deliveries(destination_id=made["id"])] == ["delivered"]


async def test_lost_attempts_are_counted_in_a_row(tmp_path: Path) -> None:
    """One that ended between them, however it did, shows that the delivery can be survived."""
    async with a_consumer(500, 204) as consumer, a_world(tmp_path) as world:
        made = await world.destination(consumer.url)
        await happen(world, 1)
        await _lose(world, made["id"], 9)
        await quiet(world)  # found to be a suspect, it waits
        await quiet(world, HOURS)
        await _lose(world, made["id"], 9)
        await quiet(world)  # found to be a suspect, it waits
        await quiet(world, HOURS)
        [delivery] = await world.deliveries(state="delivered")
        assert (delivery["attempts"], len(consumer.ids)) == (20, 2)


async def test_suspects_are_tried_one_at_a_time_after_a_wait(tmp_path: Path) -> None:
    """All that was under way in three crashes in a row; what is not suspected goes out beside them at once."""
    async with a_gated_consumer() as consumer, a_world(tmp_path, limits=PATIENT) as world:
        made = await world.destination(consumer.url)
        await happen(world, 4)
        await _lose(world, made["id"], 3, limit=4)
        await happen(world, 2, first=100)
        await rounds(world)
        await consumer.arrived(2)
        fresh = set(consumer.ids)
        assert all(event_id not in fresh for event_id in await _suspected(world))
        consumer.answer(204)
        await world.service.courier.crew.drain()
        for count in range(3, 7):
            world.clock.advance(60)
            await rounds(world)
            await consumer.arrived(count)
            await rounds(world)
            assert (len(consumer.ids), world.service.courier.crew.total) == (count, 1)
            consumer.answer(204)
            await world.service.courier.crew.drain()
        await rounds(world)
        assert len(set(consumer.ids)) == 6
        log = [len(await attempt_log(world, each["id"])) for each in await world.deliveries()]
        assert sorted(log) == [1, 1, 4, 4, 4, 4]


async def test_a_held_queue_of_suspects_is_probed_as_any(tmp_path: Path) -> None:
    """By one delivery; while a suspect of another destination is under way, a little later, and no probe is counted."""
    async with a_consumer(500) as broken, a_gated_consumer() as other, a_world(tmp_path, limits=PATIENT) as world:
        made = await held(world, broken)
        await _lose(world, made["id"], 3, limit=5, after_s=HOURS)
        await rounds(world)
        await world.service.courier.crew.drain()
        assert len(broken.ids) == 6
        fares = await breaker_of(world, made["id"])
        assert (fares.probes, fares.failures) == (1, 6)
        hanging = await world.destination(other.url)
        await happen(world, 1, first=100)
        await _lose(world, hanging["id"], 3)
        await disable(world, made["id"])
        await rounds(world)
        await rounds_after(world, 46)
        await other.arrived(1)
        await world.api.post(f"/v1/destinations/{made['id']}/enable")
        await world.service.storage.write(lambda store: store.save_breaker(fares))
        await rounds_after(world, HOURS)
        after = await breaker_of(world, made["id"])
        assert (len(broken.ids), after.probes) == (6, 1)
        assert after.probe_at is not None
        assert 2000 <= after.probe_at - world.clock.now() <= 8000
        other.answer(204)
        await world.service.courier.crew.drain()
        await rounds_after(world, 8)
        await world.service.courier.crew.drain()
        assert len(broken.ids) == 7


async def test_an_attempt_that_its_process_did_not_outlive_is_told(tmp_path: Path) -> None:
    """Not while it may be under way; after that in the delivery's log and in the task's story, beside what followed."""
    async with a_consumer() as consumer, a_world(tmp_path) as world:
        made = await world.destination(consumer.url)
        [task_id] = await happen(world, 1)
        now = world.clock.now()
        [parcel] = await world.service.storage.write(
            lambda store: store.claim_deliveries(made["id"], owner="dead", now=now, until=now + 30_000, limit=1)
        )
        assert await attempt_log(world, parcel.delivery.id) == []
        world.clock.advance(31)
        [lost] = await attempt_log(world, parcel.delivery.id)
        assert (lost["number"], lost["error"], lost["status"], lost["at"]) == (
            1,
            LOST,
            None,
            (await world.deliveries())[0]["created_at"],
        )
        await quiet(world)
        assert [(each["number"], each["error"]) for each in await attempt_log(world, parcel.delivery.id)] == [
            (1, LOST),
            (2, None),
        ]
        tried = [item["text"] for item in await world.story(task_id) if item["kind"] == "attempt"]
        assert [text.partition(consumer.url.split("/")[2])[2].partition(" after ")[0] for text in tried] == [
            " was begun, and never heard of again.",
            " arrived",
        ]
        assert len(consumer.ids) == 1


async def rounds(world: World) -> None:
    """Claim until there is no more to claim now; what is begun is not waited for."""
    while await world.service.courier.run_once() == 0:
        pass


async def rounds_after(world: World, seconds: float) -> None:
    world.clock.advance(seconds)
    await rounds(world)


async def _suspected(world: World) -> set[str]:
    return {each["event_id"] for each in await world.deliveries() if each["attempts"] == 3}


async def _lose(world: World, destination_id: str, times: int, *, limit: int = 1, after_s: float = 10) -> None:
    """Crash so often in the middle of an attempt of each."""
    for _ in range(times):
        world.clock.advance(after_s)
        now = world.clock.now()
        found = await world.service.storage.write(
            lambda store: store.claim_deliveries(destination_id, owner="dead", now=now, until=now + 1, limit=limit)  # noqa: B023
        )
        assert len(found) == limit
    world.clock.advance(1)


async def _again(world: World, delivery_id: str) -> None:
    """Retry a dead letter, as its caller does."""
    now = world.clock.now()
    await world.service.storage.write(
        lambda store: store.set_delivery(delivery_id, state=DeliveryState.PENDING, tries=0, due_at=now)
    )


# Pings


async def test_a_ping_goes_out_whatever_is_held(tmp_path: Path) -> None:
    """Signed like any event, recorded nowhere; neither its failure nor its success is counted."""
    async with a_consumer(500) as broken, a_world(tmp_path) as world:
        made = await held(world, broken)
        before = await breaker_of(world, made["id"])
        await disable(world, made["id"])
        failed = await world.service.courier.ping(await kept(world, made["id"]))
        broken.answers[0] = 204
        arrived = await world.service.courier.ping(await kept(world, made["id"]))
        assert [(each.number, each.status, each.succeeded) for each in (failed, arrived)] == [
            (1, 500, False),
            (1, 204, True),
        ]
        broken.verify(made["secret"])
        ping = broken.events[-1]
        assert (ping["type"], ping["data"]) == ("ping", {"destination_id": made["id"]})
        assert broken.ids[-1] == ping["id"] != broken.ids[-2]
        assert await breaker_of(world, made["id"]) == before
        assert len(await world.deliveries()) == 5
        assert "ping" not in [event["type"] for event in await world.events()]


@makes_a_log
async def test_a_ping_of_a_log_makes_sure_that_it_can_be_written(tmp_path: Path) -> None:
    """Nothing is appended."""
    async with a_world(tmp_path) as world:
        log = (await world.api.post("/v1/destinations", json={"type": "sqlite", "name": "results"})).json()
        path = tmp_path / "logs" / "default" / "results.db"
        assert (await world.service.courier.ping(await kept(world, log["id"]))).succeeded
        with sqlite3.connect(path) as file:
            assert file.execute("SELECT count(*) FROM events").fetchone() == (0,)
        file.close()
        for each in path.parent.iterdir():
            each.unlink()
        path.mkdir()
        failed = await world.service.courier.ping(await kept(world, log["id"]))
        assert failed.error is not None
        assert "the log cannot be written" in failed.error


# Log lines


async def test_each_turn_is_a_line_of_the_log(tmp_path: Path) -> None:
    """Held, recovered, disabled; an attempt's line says when the delivery is due next."""
    async with a_consumer(500) as broken, a_world(tmp_path) as world:
        with capture_logs() as lines:
            made = await held(world, broken)
            broken.answers[0] = 204
            await quiet(world, 60)
            broken.answers[0] = 410
            await happen(world, 1, first=100)
            await quiet(world)
    turns = [(line["event"], line.get("reason")) for line in lines if line.get("destination_id") == made["id"]]
    assert [turn for turn in turns if turn[0] != "delivery.attempted"] == [
        ("destination.held", "HTTP 500"),
        ("destination.recovered", None),
        ("destination.disabled", "gone"),
    ]
    attempts = [line for line in lines if line["event"] == "delivery.attempted"]
    assert [line["next_due"] is None for line in attempts] == [False] * 5 + [True] * 5 + [False]
    assert formats.time_of(attempts[0]["next_due"]) - NOW == pytest.approx(5000, rel=0.2)
