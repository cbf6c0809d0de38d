"""What is recorded reaches every destination: signed, on schedule, in spite of what answers."""

import asyncio
import json
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlite_utils

from receiver import formats
from receiver.delivery import DeliveryLimits
from receiver.domain import Attempt, DeliveryState
from tests.make import MINUTE, NOW
from tests.service.asking import dump
from tests.service.consumer import Consumer, a_consumer
from tests.service.engines import makes_a_log
from tests.service.world import LIMITS, World, a_world, created, record, scripted

pytestmark = pytest.mark.anyio

FINISHED = {
    "task_id": "r1",
    "status": "SUCCESS",
    "consumed_credits": 12,
    "response": {"resultUrls": ["https://x/1.png"]},
}
DONE_AT_ONCE = (200, {"code": 200, "message": "success", "data": FINISHED})
SCHEDULE_S = (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)


def a_house(directory: Path, reve: Any, **fields: Any) -> Any:
    """A world whose provider finishes every task inside the submit answer."""
    return a_world(directory, base_urls={"reve2img": reve.base_url}, **fields)


def numbered() -> Any:
    """Answers with a new task id each time."""
    return [(200, {"code": 200, "message": "success", "data": FINISHED | {"task_id": f"r{n}"}}) for n in range(500)]


async def one_event(world: World, **fields: Any) -> dict[str, Any]:
    return await world.submit("reve2img", "reve-2.0", **fields)


async def test_an_event_arrives_signed_and_verifies(tmp_path: Path) -> None:
    """Standard Webhooks, checked by the official package: id, the attempt's time, the very body that was signed."""
    async with scripted(DONE_AT_ONCE) as reve, a_consumer() as consumer, a_house(tmp_path, reve) as world:
        made = await world.destination(consumer.url)
        await one_event(world, metadata={"order": "42"})
        await world.turn()
        consumer.verify(made["secret"])
        [event] = await world.events()
        assert consumer.events == [{key: event[key] for key in ("id", "type", "timestamp", "data")}]
        assert consumer.ids == [event["id"]]
        assert consumer.headers[0]["content-type"] == "application/json"
        assert consumer.bodies[0] == json.dumps(consumer.events[0], separators=(",", ":")).encode()
        [delivery] = await world.deliveries()
        assert (delivery["state"], delivery["attempts"], delivery["next_attempt_at"]) == ("delivered", 1, None)


async def test_a_secret_of_the_users_own_signs(tmp_path: Path) -> None:
    """Given, it is used as it is; the API shows it only where it is asked for."""
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    async with scripted(DONE_AT_ONCE) as reve, a_consumer() as consumer, a_house(tmp_path, reve) as world:
        made = await world.destination(consumer.url, secret=secret)
        await one_event(world)
        await world.turn()
        consumer.verify(secret)
        shown = await world.api.get(f"/v1/destinations/{made['id']}/secret")
        assert shown.json() == {"secret": secret}
        assert secret.encode() not in dump(tmp_path)


@pytest.mark.parametrize("answer", [500, 301, 404, 400, "close", (429, "retry-after: 1\r\n", "slow")])
async def test_whatever_is_not_2xx_is_tried_again_on_the_schedule(tmp_path: Path, answer: Any) -> None:
    """Ten attempts over three days with the same id, then the delivery is dead."""
    async with scripted(DONE_AT_ONCE) as reve, a_consumer(answer) as consumer, a_house(tmp_path, reve) as world:
        await world.destination(consumer.url)
        await one_event(world)
        await world.turn()
        for number, pause in enumerate(SCHEDULE_S, start=1):
            await world.turn(pause * 0.79)
            assert len(consumer.ids) == number
            await world.turn(pause * 0.42)
        assert len(consumer.ids) == 10
        assert len(set(consumer.ids)) == 1
        times = [int(headers["webhook-timestamp"]) for headers in consumer.headers]
        assert times == sorted(set(times))
        [delivery] = await world.deliveries(state="dead")
        assert delivery["attempts"] == 10
        await world.turn(10 * 86_400)
        assert len(consumer.ids) == 10


async def test_attempts_are_recorded(tmp_path: Path) -> None:
    """Status, duration, error, the answer's first 4 KiB as text; the next time is known."""
    big = (503, "", "no \x00" + "x" * 9000)
    async with (
        scripted(DONE_AT_ONCE) as reve,
        a_consumer("close", big, 200) as consumer,
        a_house(tmp_path, reve) as world,
    ):
        await world.destination(consumer.url)
        await one_event(world)
        await world.turn()
        [waiting] = await world.deliveries(state="pending")
        assert formats.time_of(waiting["next_attempt_at"]) - world.clock.now() == pytest.approx(5000, rel=0.2)
        await world.turn(6)
        await world.turn(360)
        [delivery] = await world.deliveries(state="delivered")
        log = (await world.api.get(f"/v1/deliveries/{delivery['id']}")).json()["attempt_log"]
        assert [(entry["number"], entry["status"]) for entry in log] == [(1, None), (2, 503), (3, 200)]
        assert log[0]["error"]
        assert log[1]["response"] == "no \ufffd" + "x" * (4096 - 4)
        assert log[2] == log[2] | {"error": None, "response": "ok"}


async def test_retry_after_delays_further(tmp_path: Path) -> None:
    """A 429 that asks for an hour gets an hour."""
    answers = ((429, "retry-after: 3600\r\n", "slow"), 204)
    async with scripted(DONE_AT_ONCE) as reve, a_consumer(*answers) as consumer, a_house(tmp_path, reve) as world:
        await world.destination(consumer.url)
        await one_event(world)
        await world.turn()
        await world.turn(3599)
        assert len(consumer.ids) == 1
        await world.turn(1)
        assert len(consumer.ids) == 2


async def test_each_destination_gets_what_it_asked_for(tmp_path: Path) -> None:
    """Types, provider, model, metadata; by default what is finished and what is unconfirmed."""
    async with scripted(DONE_AT_ONCE) as reve, a_consumer() as consumer, a_house(tmp_path, reve) as world:
        wanted: dict[str, dict[str, Any]] = {
            "default": {},
            "all": {"event_types": ["task.*"]},
            "provider": {"providers": ["reve2img"]},
            "both": {"models": ["reve-2.0"], "metadata": {"order": "42"}},
        }
        unwanted: dict[str, dict[str, Any]] = {
            "types": {"event_types": ["task.failed"]},
            "provider": {"providers": ["apikley"]},
            "model": {"models": ["other"]},
            "metadata": {"metadata": {"order": "43"}},
        }
        yes = {(await world.destination(consumer.url, **fields))["id"] for fields in wanted.values()}
        for fields in unwanted.values():
            await world.destination(consumer.url, **fields)
        await one_event(world, metadata={"order": "42"})
        assert {each["destination_id"] for each in await world.deliveries()} == yes


async def test_deleting_a_destination_ends_what_is_owed_to_it(tmp_path: Path) -> None:
    """What waits is canceled, nothing more is sent, and it gets no new events."""
    async with scripted(*numbered()) as reve, a_consumer(500) as consumer, a_house(tmp_path, reve) as world:
        made = await world.destination(consumer.url)
        await one_event(world)
        await world.turn()
        assert (await world.api.delete(f"/v1/destinations/{made['id']}")).status_code == 204
        await one_event(world)
        await world.turn(3600)
        assert len(consumer.ids) == 1
        assert [each["state"] for each in await world.deliveries()] == ["canceled"]


async def test_no_more_than_max_in_flight_at_once(tmp_path: Path) -> None:
    """A destination that takes two at a time has two under way, and gets the rest as they end."""
    async with scripted(*numbered()) as reve, a_consumer("hang") as consumer, a_house(tmp_path, reve) as world:
        await world.destination(consumer.url, max_in_flight=2)
        for _ in range(5):
            await one_event(world)
        for _ in range(3):
            await world.service.courier.run_once()
        assert await _arrived(consumer, 2)
        assert len(consumer.ids) == 2


async def test_a_slow_destination_does_not_hold_up_another(tmp_path: Path) -> None:
    """One hangs with its slots full; the other's event arrives."""
    async with (
        scripted(*numbered()) as reve,
        a_consumer("hang") as slow,
        a_consumer() as fast,
        a_house(tmp_path, reve) as world,
    ):
        await world.destination(slow.url, max_in_flight=1)
        await world.destination(fast.url)
        for number in range(1, 4):
            await one_event(world)
            await world.service.courier.run_once()
            assert await _arrived(fast, number)
        assert len(slow.ids) == 1


async def _arrived(consumer: Consumer, count: int) -> bool:
    for _ in range(200):
        if len(consumer.ids) >= count:
            return True
        await asyncio.sleep(0.005)
    return False


async def test_an_attempt_cut_off_by_a_crash_is_made_again_with_the_same_id(tmp_path: Path) -> None:
    """The lease lapses: the event is sent again, never lost; the attempt that died was counted."""
    async with scripted(DONE_AT_ONCE) as reve, a_consumer() as consumer, a_house(tmp_path, reve) as world:
        made = await world.destination(consumer.url)
        await one_event(world)
        await world.service.storage.write(
            lambda store: store.claim_deliveries(made["id"], owner="dead", now=NOW, until=NOW + 30_000, limit=9)
        )
        await world.turn(29)
        assert consumer.ids == []
        await world.turn(1)
        [delivery] = await world.deliveries(state="delivered")
        assert (len(consumer.ids), delivery["attempts"]) == (1, 2)


async def test_what_was_claimed_too_long_ago_is_given_back_untried(tmp_path: Path) -> None:
    """An attempt begins only while its lease outlasts it; giving back costs no attempt."""
    short = replace(LIMITS, delivery=DeliveryLimits(lease_s=10))
    async with scripted(DONE_AT_ONCE) as reve, a_consumer() as consumer, a_house(tmp_path, reve, limits=short) as world:
        await world.destination(consumer.url)
        await one_event(world)
        await world.turn()
        [delivery] = await world.deliveries(state="pending")
        assert (consumer.ids, delivery["attempts"]) == ([], 0)


async def test_a_failure_recorded_after_the_lease_was_lost_changes_nothing(tmp_path: Path) -> None:
    """Somebody else is trying by now."""
    async with scripted(DONE_AT_ONCE) as reve, a_consumer() as consumer, a_house(tmp_path, reve) as world:
        made = await world.destination(consumer.url)
        await one_event(world)
        storage = world.service.storage
        [parcel] = await storage.write(
            lambda store: store.claim_deliveries(made["id"], owner="b", now=NOW, until=NOW + MINUTE, limit=1)
        )
        failed = Attempt(number=1, at=NOW, duration_ms=1, error="late")
        assert not await storage.write(
            lambda store: store.settle_delivery(
                parcel.delivery.id, failed, owner="a", state=DeliveryState.DEAD, tries=1, due_at=None
            )
        )
        assert [each["state"] for each in await world.deliveries()] == ["pending"]


# The SQLite log


def rows(
    directory: Path, sql: str = "SELECT * FROM events ORDER BY seq", name: str = "results"
) -> list[dict[str, Any]]:
    return list(sqlite_utils.Database(directory / "logs" / "default" / f"{name}.db").query(sql))


async def a_log(world: World, name: str = "results", **fields: Any) -> None:
    made = await world.api.post("/v1/destinations", json={"type": "sqlite", "name": name, **fields})
    assert made.status_code == 201
    assert "secret" not in made.json()


@makes_a_log
async def test_events_stand_in_the_log_as_people_query_them(tmp_path: Path) -> None:
    """One row per event, in the columns of the README."""
    async with (
        scripted(created(), record("fail", failCode="500", failMsg="upstream")) as apikley,
        a_world(tmp_path, base_urls={"apikley": apikley.base_url}, TASKWEIR_PUBLIC_URL="") as world,
    ):
        await a_log(world, event_types=["task.*"])
        task = await world.end((await world.submit(metadata={"order": "42"}))["id"])
        await world.turn()
        found = rows(tmp_path)
        assert [row["type"] for row in found] == ["task.submitted", "task.failed"]
        assert list(found[0]) == list(formats.LOG_COLUMNS)
        last = found[-1]
        assert (last["task_id"], last["prompt"], last["error_kind"], last["error_message"]) == (
            task["id"],
            "a red panda",
            "upstream",
            "upstream",
        )
        assert json.loads(last["metadata"]) == {"order": "42"}
        assert [row["seq"] for row in found] == [event["seq"] for event in await world.events()]
        assert {each["state"] for each in await world.deliveries()} == {"delivered"}


@makes_a_log
async def test_appending_twice_leaves_one_row(tmp_path: Path) -> None:
    """Idempotent on the event's id: a crash between append and record costs nothing."""
    async with scripted(DONE_AT_ONCE) as reve, a_house(tmp_path, reve) as world:
        await a_log(world)
        await one_event(world)
        await world.turn()
        with sqlite3.connect(tmp_path / "taskweir.db") as connection:
            connection.execute("UPDATE deliveries SET state = 'pending', due_at = 0, attempts = 0")
            connection.execute("DELETE FROM attempts")
        connection.close()
        await world.turn(1)
        assert len(rows(tmp_path)) == 1
        assert [each["state"] for each in await world.deliveries()] == ["delivered"]


@makes_a_log
async def test_a_backlog_is_appended_in_batches(tmp_path: Path) -> None:
    """Hundreds of events are a few transactions, in order."""
    async with scripted(*numbered()) as reve, a_house(tmp_path, reve) as world:
        await a_log(world)
        for _ in range(250):
            await one_event(world)
        await world.turn()
        await world.turn()
        assert [row["seq"] for row in rows(tmp_path)] == list(range(1, 251))


@makes_a_log
async def test_a_log_that_cannot_be_written_is_tried_again(tmp_path: Path) -> None:
    """A directory in the way, or somebody's lock: the reason is in the attempt, the event is not lost."""
    async with scripted(DONE_AT_ONCE) as reve, a_house(tmp_path, reve) as world:
        (tmp_path / "logs" / "default" / "results.db").mkdir(parents=True)
        await a_log(world)
        await one_event(world)
        await world.turn()
        [delivery] = await world.deliveries(state="pending")
        [entry] = (await world.api.get(f"/v1/deliveries/{delivery['id']}")).json()["attempt_log"]
        assert "the log cannot be written" in entry["error"]
        (tmp_path / "logs" / "default" / "results.db").rmdir()
        await world.turn(6)
        assert len(rows(tmp_path)) == 1


@makes_a_log
async def test_a_log_whose_table_is_somebody_elses_is_left_alone(tmp_path: Path) -> None:
    """A failure in the middle of a batch leaves nothing of it."""
    path = tmp_path / "logs" / "default" / "results.db"
    path.parent.mkdir(parents=True)
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE events (other TEXT)")
    connection.close()
    async with scripted(DONE_AT_ONCE) as reve, a_house(tmp_path, reve) as world:
        await a_log(world)
        await one_event(world)
        await world.turn()
        [delivery] = await world.deliveries(state="pending")
        [entry] = (await world.api.get(f"/v1/deliveries/{delivery['id']}")).json()["attempt_log"]
        assert "the log cannot be written" in entry["error"]
        assert rows(tmp_path, "SELECT count(*) AS n FROM events") == [{"n": 0}]


@makes_a_log
async def test_a_task_without_a_prompt_has_none_in_the_log(tmp_path: Path) -> None:
    """The column is null, not an error."""
    async with (
        scripted((200, {"id": "r_12345678", "status": "processing"})) as reapi,
        a_world(tmp_path, base_urls={"reapi": reapi.base_url}) as world,
    ):
        await a_log(world, event_types=["task.submitted"])
        await world.submit("reapi", "some-video-model", input={"prompt": {"odd": 1}})
        await world.turn()
        assert [row["prompt"] for row in rows(tmp_path)] == [None]
