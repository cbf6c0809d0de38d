"""History ends after its days: all of it, in small bites, and never what is still owed."""

import asyncio
import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from receiver import formats, json_text
from receiver.domain import Ms
from receiver.errors import Unavailable
from receiver.ids import new_id
from receiver.retention import BETWEEN_BITES_S, Retention
from receiver.senders.sqlite_log import SqliteLogSender
from receiver.store.protocol import Storage, Store
from receiver.store.records import Bite, Page
from receiver.store.sqlite import SqliteStorage
from receiver.telemetry import configure_logs
from tests.make import DAY, HOUR, NOW, StoppedClock, a_delivery, a_task, an_event
from tests.service.asking import complaint, everything
from tests.service.consumer import a_consumer
from tests.service.engines import makes_a_log
from tests.service.world import APIKLEY_MODEL, World, a_reachable_world, a_world, created, record, scripted

pytestmark = pytest.mark.anyio

DAY_S = 86_400
BODY = {"provider": "apikley", "model": APIKLEY_MODEL, "input": {"prompt": "a red panda"}}
HISTORY = {
    "attempts",
    "deliveries",
    "events",
    "idempotency_keys",
    "inbox",
    "inputs",
    "notes",
    "tallies",
    "tasks",
}


def history(directory: Path) -> dict[str, int]:
    """How many rows there are of everything that retention is about; tables without any are left out."""
    kept = everything(directory)
    return {name: len(kept[name]) for name in sorted(HISTORY | {"timers"}) if kept[name]}


async def retain(world: World) -> int:
    """One whole run, as the loop does it; how many bites it took."""
    bites = 1
    while await world.service.retention.run_once() == BETWEEN_BITES_S:
        bites += 1
    return bites


async def a_life(world: World, url: str) -> str:
    """A task with a key, a webhook of its own, a callback heard twice, all delivered; its id."""
    headers = {"idempotency-key": "order-42"}
    answer = await world.api.post("/v1/tasks", json={**BODY, "webhook_url": url}, headers=headers)
    task_id: str = answer.json()["id"]
    path = await world.callback_url(task_id)
    for _ in range(2):
        body = {"code": 200, "data": {"taskId": "p1", "state": "success"}}
        assert (await world.api.post(path, json=body)).status_code == 200
    await world.end(task_id)
    await world.turn()
    return task_id


async def test_after_its_days_nothing_of_a_task_is_left(tmp_path: Path) -> None:
    """Events, deliveries, attempts, callbacks, input, notes, counts, key and the task itself, and the hidden
    destination of its webhook; who asks for them gets 404, and its key makes a new task."""
    async with (
        scripted(created(), record("generating"), record("success")) as apikley,
        a_consumer(500, 204) as consumer,
        a_reachable_world(tmp_path, base_urls={"apikley": apikley.base_url}) as world,
    ):
        hook = await world.destination(consumer.url, event_types=["task.*"])
        task_id = await a_life(world, consumer.url)
        await world.turn(400)
        await world.turn(10)
        assert set(history(tmp_path)) == HISTORY
        [event, *_], [delivery, *_] = await world.events(task_id), await world.deliveries(task_id=task_id)
        world.clock.advance(29 * DAY_S)
        await retain(world)
        assert set(history(tmp_path)) == HISTORY
        world.clock.advance(2 * DAY_S)
        await retain(world)
        assert history(tmp_path) == {}
        assert [row[0] for row in everything(tmp_path)["destinations"]] == [hook["id"]]
        for address in (
            f"/v1/tasks/{task_id}",
            "/v1/tasks/apikley:p1",
            f"/v1/tasks/{task_id}/timeline",
            f"/v1/events/{event['id']}",
            f"/v1/deliveries/{delivery['id']}",
        ):
            assert complaint(await world.api.get(address), 404) is None, address
        for address in (f"/v1/tasks/{task_id}/cancel", f"/v1/tasks/{task_id}/resubmit"):
            assert complaint(await world.api.post(address), 404) is None, address
        for address in ("/v1/tasks", "/v1/events", "/v1/deliveries"):
            assert (await world.api.get(address)).json()["items"] == []
        apikley.say(created("p2"))
        again = await world.api.post("/v1/tasks", json=BODY, headers={"idempotency-key": "order-42"})
        assert (again.status_code, again.headers.get("idempotent-replayed")) == (201, None)
        assert again.json()["id"] != task_id


async def test_a_callback_of_a_task_that_is_kept_no_longer_is_answered(tmp_path: Path) -> None:
    """200, and nothing is stored: the provider can do nothing about it."""
    async with (
        scripted(created(), record("success")) as apikley,
        a_consumer() as consumer,
        a_reachable_world(tmp_path, base_urls={"apikley": apikley.base_url}) as world,
    ):
        task_id = await a_life(world, consumer.url)
        world.clock.advance(31 * DAY_S)
        await retain(world)
        path = await world.callback_url(task_id)
        for body in ({"code": 200, "data": {"taskId": "p1", "state": "fail"}}, {"odd": True}):
            assert (await world.api.post(path, json=body)).status_code == 200
        await world.turn(60)
        assert history(tmp_path) == {}


async def test_what_is_owed_is_kept_until_it_is_delivered(tmp_path: Path) -> None:
    """A destination was disabled for months: its events wait with all that belongs to them, and reach it in the end."""
    async with (
        scripted(created(), record("generating"), record("success")) as apikley,
        a_consumer() as consumer,
        a_world(tmp_path, base_urls={"apikley": apikley.base_url}, TASKWEIR_PUBLIC_URL="") as world,
    ):
        made = await world.destination(consumer.url, event_types=["task.succeeded"])
        task = await world.submit()
        await world.service.poller.run_once()
        await world.service.poller.crew.drain()
        await switch(world, made["id"], on=False)
        assert (await world.end(task["id"], step_s=5))["status"] == "succeeded"
        assert await world.deliveries(state="pending") == []  # while it is disabled, events make no delivery
        await switch(world, made["id"], on=True)
        apikley.say(created("p2"), record("success", "p2"))
        owed = await world.submit()
        await finish(world, owed["id"])
        await switch(world, made["id"], on=False)
        world.clock.advance(200 * DAY_S)
        await retain(world)
        [waiting] = await world.deliveries()
        assert (waiting["task_id"], waiting["state"]) == (owed["id"], "pending")
        assert [event["type"] for event in await world.events()] == ["task.succeeded"]
        assert (await world.task(owed["id"]))["input"] == {"prompt": "a red panda"}
        assert (await world.api.get(f"/v1/tasks/{task['id']}")).status_code == 404
        await switch(world, made["id"], on=True)
        await world.turn(1)
        assert consumer.ids == [waiting["event_id"]]
        world.clock.advance(HOUR / 1000)
        await retain(world)
        assert history(tmp_path) == {}


async def switch(world: World, destination_id: str, *, on: bool) -> None:
    def save(store: Store) -> None:
        kept = store.destination(destination_id, "default")
        assert kept is not None
        store.save_destination(replace(kept, enabled=on))

    await world.service.storage.write(save)


async def finish(world: World, task_id: str) -> None:
    """Poll until it is final; deliver nothing."""
    while (await world.task(task_id))["status"] != "succeeded":
        world.clock.advance(5)
        await world.service.poller.run_once()
        await world.service.poller.crew.drain()


async def test_a_task_under_way_is_kept_however_old(tmp_path: Path) -> None:
    """One that the provider never finishes within the days: its old events go, it goes on, and ends."""
    async with (
        scripted(created(), record("generating")) as apikley,
        a_world(
            tmp_path,
            base_urls={"apikley": apikley.base_url},
            TASKWEIR_PUBLIC_URL="",
            TASKWEIR_RETENTION_DAYS="1",
        ) as world,
    ):
        task = await world.submit(deadline_seconds=5 * DAY_S)
        await world.turn(60)
        assert await world.types(task["id"]) == ["submitted", "running"]
        world.clock.advance(3 * DAY_S)
        await retain(world)
        assert await world.types(task["id"]) == []
        apikley.say(record("success"))
        await world.turn(60)
        assert (await world.task(task["id"]))["status"] == "succeeded"
        [event] = await world.events(task["id"])
        assert (event["type"], event["data"]["sequence"]) == ("task.succeeded", 3)
        assert [each["kind"] for each in await world.story(task["id"]) if each["kind"] == "event"] == ["event"]


async def remember(world: World, at: Ms, count: int, tenant: str = "default", owed_to: tuple[str, ...] = ()) -> None:
    """Record events of a time, owed to the logs of these names."""

    def write(store: Store) -> None:
        for _ in range(count):
            event = an_event(store.next_seq(), id=new_id("evt", at), at=at, task=a_task(tenant=tenant))
            store.record_event(event, json_text.write(formats.envelope(event)))
            for name in owed_to:
                log = store.log_named(name, tenant)
                assert log is not None
                delivery = a_delivery(id=new_id("dlv", at), event_id=event.id, destination_id=log.id, due_at=at)
                store.record_delivery(delivery, event.seq)

    await world.service.storage.write(write)


async def page(world: World, after: object, **query: Any) -> dict[str, Any]:
    answer = await world.api.get("/v1/events", params={"after": after, **query})
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def test_a_reader_that_was_away_too_long_is_told_so(tmp_path: Path) -> None:
    """410 with what helps; the oldest that is kept is found by after=0, and newest first ends without a fault."""
    async with a_world(tmp_path) as world:
        await remember(world, NOW, 5)
        world.clock.advance(31 * DAY_S)
        await remember(world, world.clock.now(), 3)
        assert (await page(world, 2))["items"][0]["seq"] == 3
        await retain(world)
        for after in (1, 2, 4):
            gone = await world.api.get("/v1/events", params={"after": after})
            assert complaint(gone, 410) is None
            assert "after=0" in gone.json()["detail"]
        assert [item["seq"] for item in (await page(world, 0))["items"]] == [6, 7, 8]
        assert [item["seq"] for item in (await page(world, 5))["items"]] == [6, 7, 8]
        assert [item["seq"] for item in (await page(world, 0, order="desc"))["items"]] == [8, 7, 6]
        assert (await page(world, 6, order="desc"))["items"] == []


async def test_a_reader_that_reads_on_is_never_told_so(tmp_path: Path) -> None:
    """However quiet its tenant or rare what its filter lets through: its cursor moves along with what it was shown."""
    async with a_world(tmp_path) as world:
        await remember(world, NOW, 5)
        rare = await page(world, 0, type="task.failed")
        assert (rare["items"], rare["next_cursor"], rare["has_more"]) == ([], "5", False)
        await remember(world, NOW, 5, tenant="other")
        quiet = await page(world, 0)
        assert quiet["next_cursor"] == "5"
        world.clock.advance(31 * DAY_S)
        await retain(world)
        assert await page(world, rare["next_cursor"], type="task.failed") == rare
        await remember(world, world.clock.now(), 1)
        assert [item["seq"] for item in (await page(world, quiet["next_cursor"]))["items"]] == [11]


async def owe(world: World, *seqs: int) -> None:
    """Let these events be owed to somebody."""

    def record(store: Store) -> None:
        for event in store.list_events(Page(tenant="default", limit=99), after=0, newest_first=False):
            if event.seq in seqs:
                store.record_delivery(a_delivery(id=f"dlv_{event.seq}", event_id=event.id), event.seq)

    await world.service.storage.write(record)


async def test_a_reader_that_begins_with_the_oldest_gets_past_what_is_owed(tmp_path: Path) -> None:
    """Events that are kept for a destination stand among those that went; page after page leads past them."""
    async with a_world(tmp_path) as world:
        await remember(world, NOW, 6)
        await owe(world, 1, 2, 4)
        world.clock.advance(31 * DAY_S)
        await remember(world, world.clock.now(), 2)
        await retain(world)
        seen, cursors, more = [], ["0"], True
        while more:
            read = await page(world, cursors[-1], limit=1)
            seen += [item["seq"] for item in read["items"]]
            cursors.append(read["next_cursor"])
            more = read["has_more"]
        assert (seen, cursors) == ([1, 2, 4, 7, 8], ["0", "1:6", "2:6", "4:6", "7", "8"])
        back = await page(world, "4:6", order="desc")
        assert [item["seq"] for item in back["items"]] == [2, 1]


async def test_a_reader_that_stopped_at_what_is_owed_is_told_what_it_missed(tmp_path: Path) -> None:
    """The event that it stopped at is kept, those after it are not; what it knew to be gone was less."""
    async with a_world(tmp_path) as world:
        await remember(world, NOW, 3)
        await remember(world, NOW + DAY_S * 1000, 3)
        await owe(world, 1, 4)
        read = await page(world, 0, limit=1)
        assert read["next_cursor"] == "1"
        world.clock.advance(30.5 * DAY_S)
        await retain(world)
        assert complaint(await world.api.get("/v1/events", params={"after": "1"}), 410) is None
        aware = (await page(world, 0, limit=1))["next_cursor"]
        assert aware == "1:3"
        assert [item["seq"] for item in (await page(world, aware))["items"]] == [4, 5, 6]
        world.clock.advance(1 * DAY_S)
        await retain(world)
        for after in ("1", "1:3", "4"):
            gone = await world.api.get("/v1/events", params={"after": after})
            assert complaint(gone, 410) is None
            assert "next_cursor" in gone.json()["detail"]
        read = await page(world, 0)
        assert ([item["seq"] for item in read["items"]], read["next_cursor"]) == ([1, 4], "6")
        assert (await page(world, "6"))["items"] == []


# The run itself


class Counting:
    """A storage that remembers how many events each bite took."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self.bites: list[int] = []

    async def write(self, do: Any, *, brief: bool = False, ends: bool = False, can_wait: bool = False) -> Any:
        result = await self._storage.write(do)
        if isinstance(result, Bite):
            self.bites.append(result.rows.get("events", 0))
        return result

    async def read(self, do: Any, *, brief: bool = False) -> Any:
        return await self._storage.read(do)


async def test_a_run_goes_by_bites_and_then_an_hour_later(tmp_path: Path) -> None:
    """Each bite is a transaction of its own, so that whoever waits to write waits for one of them at most; at a start
    the first run comes at once, and one that finds nothing is silent."""
    clock, storage = StoppedClock(), SqliteStorage(tmp_path / "taskweir.db")
    await storage.open(now=NOW)

    def write(store: Store) -> None:
        for _ in range(25):
            store.record_event(an_event(store.next_seq(), id=new_id("evt", NOW - 31 * DAY)), "{}")

    await storage.write(write)
    counting = Counting(storage)
    retention = Retention(storage=counting, logs=SqliteLogSender(tmp_path, clock), clock=clock, days=30, bite=10)
    pauses = [await retention.run_once() for _ in range(6)]
    assert pauses == [BETWEEN_BITES_S] * 4 + [3600.0, 3600.0]
    assert counting.bites == [10, 10, 5, 0]
    clock.advance(3599)
    assert await retention.run_once() == 1.0
    await storage.write(write)
    clock.advance(1)
    assert [await retention.run_once() for _ in range(5)] == pauses[:5]
    assert counting.bites == [10, 10, 5, 0] * 2
    await storage.close()


async def test_other_writers_get_their_turn_between_bites(tmp_path: Path) -> None:
    """What they write while a run goes on is committed before the run is over."""
    storage = SqliteStorage(tmp_path / "taskweir.db")
    await storage.open(now=NOW)

    def write(store: Store) -> None:
        for _ in range(100):
            store.record_event(an_event(store.next_seq(), id=new_id("evt", NOW - 31 * DAY)), "{}")

    await storage.write(write)
    left: list[int] = []

    async def other() -> None:
        while not left or left[-1] > 50:
            await storage.write(lambda store: left.append(_count(store)))

    clock = StoppedClock()
    retention = Retention(storage=storage, logs=SqliteLogSender(tmp_path, clock), clock=clock, days=30, bite=1)
    writing = asyncio.ensure_future(other())
    while await retention.run_once() == BETWEEN_BITES_S:
        continue
    await writing
    assert left[0] > left[-1] > 0
    await storage.close()


def _count(store: Store) -> int:
    [row] = store.execute("SELECT count(*) AS n FROM events", {})
    return int(row["n"])


async def test_what_was_deleted_is_logged_once_by_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line for a run, with counts and nothing else; none for a run that found nothing."""
    configure_logs(fmt="json", level="info")
    async with a_world(tmp_path) as world:
        await remember(world, NOW, 3)
        for days in (29, 2, 1):
            world.clock.advance(days * DAY_S)
            await retain(world)
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    [line] = [entry for entry in lines if entry["event"] == "history.pruned"]
    assert {key: line[key] for key in line.keys() - {"event", "level", "timestamp"}} == {"events": 3}


async def test_the_run_is_a_loop_of_the_service(tmp_path: Path) -> None:
    """Supervised like the others: it does not make an idle server unready, and one that hangs is named."""
    async with a_world(tmp_path) as world:
        [loop] = [each for each in world.service.loops if each.name == "retain"]
        await remember(world, NOW - 31 * DAY, 3)
        loop.start()
        async with asyncio.timeout(10):
            while await world.service.storage.read(_count):
                continue
        assert (await world.api.get("/health/ready")).status_code == 200
        await loop.stop()
        loop._moved_at -= 60
        answer = await world.api.get("/health/ready")
        assert (answer.status_code, answer.json()["reason"]) == (503, "the retain loop does not move")


async def test_a_run_that_fails_begins_anew(tmp_path: Path) -> None:
    """The store may be out of service for a while: nothing is skipped for an hour because of that."""
    clock, storage = StoppedClock(), SqliteStorage(tmp_path / "taskweir.db")
    retention = Retention(storage=storage, logs=SqliteLogSender(tmp_path, clock), clock=clock, days=30, bite=1)
    with pytest.raises(Unavailable):
        await retention.run_once()
    await storage.open(now=NOW)
    old = an_event(1, id=new_id("evt", NOW - 31 * DAY))
    await storage.write(lambda store: store.record_event(old, "{}"))
    while await retention.run_once() == BETWEEN_BITES_S:
        continue
    assert await storage.read(_count) == 0
    await storage.close()


@makes_a_log
async def test_a_log_with_an_end_forgets(tmp_path: Path) -> None:
    """Its rows go after its own days, hourly, whether events come or not; a log without an end keeps all, and what
    the store keeps is another matter."""
    async with a_world(tmp_path) as world:
        for name, days in (("short", 2), ("endless", None)):
            await world.api.post("/v1/destinations", json={"type": "sqlite", "name": name, "event_types": ["task.*"]})
            await keep_for(world, name, days)
        await remember(world, NOW, 3, owed_to=("short", "endless"))
        await world.turn()
        world.clock.advance(DAY_S)
        await remember(world, world.clock.now(), 1, owed_to=("short", "endless"))
        await world.turn()
        await retain(world)
        assert (seqs(tmp_path, "short"), seqs(tmp_path, "endless")) == ([1, 2, 3, 4], [1, 2, 3, 4])
        world.clock.advance(DAY_S + 1)
        await retain(world)
        assert (seqs(tmp_path, "short"), seqs(tmp_path, "endless")) == ([4], [1, 2, 3, 4])
        assert [item["seq"] for item in (await page(world, 0))["items"]] == [1, 2, 3, 4]


async def keep_for(world: World, name: str, days: int | None) -> None:
    def save(store: Store) -> None:
        log = store.log_named(name, "default")
        assert log is not None
        store.save_destination(replace(log, retention_days=days))

    await world.service.storage.write(save)


def seqs(directory: Path, name: str) -> list[int]:
    with closing(sqlite3.connect(directory / "logs" / "default" / f"{name}.db")) as log:
        return [seq for (seq,) in log.execute("SELECT seq FROM events ORDER BY seq")]
