"""A task's own webhook: to the URL that it names, signed with its tenant's secret."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from receiver.domain import Source, Status, Update, Verified
from receiver.intake import take
from receiver.store.protocol import Store
from tests.service.asking import dump
from tests.service.consumer import Consumer, a_consumer
from tests.service.world import Scripted, World, a_world, created, record, scripted

pytestmark = pytest.mark.anyio

DAY_S = 86_400


def a_house(directory: Path, apikley: Scripted, **fields: Any) -> Any:
    return a_world(directory, base_urls={"apikley": apikley.base_url}, **fields)


async def secret_of(world: World) -> str:
    secret: str = (await world.api.get("/v1/webhook-secret")).json()["secret"]
    return secret


async def finish(world: World, apikley: Scripted, url: str, number: int = 1, **fields: Any) -> dict[str, Any]:
    """Submit a task with a webhook of its own, and see it through."""
    apikley.say(created(f"p{number}"), record("generating", f"p{number}"), record("success", f"p{number}"))
    task = await world.submit(webhook_url=url, **fields)
    await world.end(task["id"], step_s=100)
    await world.turn()
    return task


def types(consumer: Consumer) -> list[str]:
    return [event["type"].removeprefix("task.") for event in consumer.events]


async def refused(world: World, **fields: Any) -> list[dict[str, str]]:
    body = {"provider": "apikley", "model": "m", "input": {"prompt": "x"}, **fields}
    answer = await world.api.post("/v1/tasks", json=body)
    assert answer.status_code == 422, answer.text
    errors: list[dict[str, str]] = answer.json()["errors"]
    return errors


async def test_the_final_event_goes_to_the_tasks_own_url_signed(tmp_path: Path) -> None:
    """Only that one, signed with the tenant's secret, and nothing of tasks that name no URL."""
    async with scripted() as apikley, a_consumer() as consumer, a_house(tmp_path, apikley) as world:
        task = await finish(world, apikley, consumer.url)
        apikley.say(created("p2"), record("success", "p2"))
        other = await world.submit()
        await world.end(other["id"], step_s=100)
        await world.turn()
        consumer.verify(await secret_of(world))
        assert [event["data"]["task"]["id"] for event in consumer.events] == [task["id"]]
        assert types(consumer) == ["succeeded"]
        assert "webhook" not in json.dumps(consumer.events)
        assert not {"webhook_id", "webhook_events", "webhook_url"} & (await world.task(task["id"])).keys()


async def test_a_task_says_which_of_its_events_it_wants(tmp_path: Path) -> None:
    """Each task its own, though one URL serves them all."""
    async with scripted() as apikley, a_consumer() as consumer, a_house(tmp_path, apikley) as world:
        await finish(world, apikley, consumer.url, 1, webhook_events=["task.*"])
        assert types(consumer) == ["submitted", "running", "succeeded"]
        await finish(world, apikley, consumer.url, 2, webhook_events=["task.running"])
        assert types(consumer)[3:] == ["running"]
        await finish(world, apikley, consumer.url, 3)
        assert types(consumer)[4:] == ["succeeded"]


async def test_progress_is_told_where_its_name_is_named(tmp_path: Path) -> None:
    """A task's own webhook may be the only one that asks for it."""
    async with scripted(created()) as apikley, a_consumer() as consumer, a_house(tmp_path, apikley) as world:
        task = await world.submit(webhook_url=consumer.url, webhook_events=["task.progress"])

        def grow(store: Store) -> int:
            found = store.task(task["id"])
            assert found is not None
            update = Update(status=Status.SUBMITTED, progress=40)
            return take(store, found, update, source=Source.POLL, verified_by=Verified.POLL, now=world.clock.now()).owed

        assert await world.service.storage.write(grow) == 1
        await world.turn()
        assert types(consumer) == ["progress"]


async def test_one_hidden_destination_serves_one_url(tmp_path: Path) -> None:
    """It is in no list and under no address; its deliveries are in the list of deliveries."""
    async with scripted() as apikley, a_consumer() as consumer, a_house(tmp_path, apikley) as world:
        await finish(world, apikley, consumer.url, 1)
        await finish(world, apikley, consumer.url, 2)
        await finish(world, apikley, f"{consumer.url}/another", 3)
        deliveries = await world.deliveries()
        assert [each["state"] for each in deliveries] == ["delivered"] * 3
        hidden = {each["destination_id"] for each in deliveries}
        assert len(hidden) == 2
        assert (await world.api.get("/v1/destinations")).json()["items"] == []
        for name in hidden:
            assert len(await world.deliveries(destination_id=name)) in (1, 2)
            for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/secret")):
                answer = await world.api.request(method, f"/v1/destinations/{name}{path}")
                assert (answer.status_code, "serves the webhook_url of tasks" in answer.text) == (404, True)
        one = await world.api.get(f"/v1/deliveries/{deliveries[0]['id']}")
        assert one.json()["attempt_log"][0]["status"] == 204


async def test_a_destination_of_the_users_own_is_apart(tmp_path: Path) -> None:
    """The same URL as destination and as webhook_url: both deliver, each with its own secret."""
    async with scripted() as apikley, a_consumer() as consumer, a_house(tmp_path, apikley) as world:
        made = await world.destination(consumer.url)
        await finish(world, apikley, consumer.url)
        assert len(consumer.events) == 2
        assert len(set(consumer.ids)) == 1
        secrets = (made["secret"], await secret_of(world))
        signatures = {headers["webhook-signature"] for headers in consumer.headers}
        assert len(signatures) == 2
        assert len(set(secrets)) == 2


async def test_the_secret_is_made_by_its_first_use(tmp_path: Path) -> None:
    """Asking for it before any task is a use; it stays the same, and lies sealed in the store."""
    async with scripted() as apikley, a_consumer() as consumer, a_house(tmp_path, apikley) as world:
        first = await asyncio.gather(*(secret_of(world) for _ in range(5)))
        assert len(set(first)) == 1
        assert first[0].startswith("whsec_")
        await finish(world, apikley, consumer.url)
        consumer.verify(first[0])
        assert first[0].encode() not in dump(tmp_path)


async def test_a_rotated_secrets_predecessor_signs_along_for_a_while(tmp_path: Path) -> None:
    """A day, unless said otherwise; what is signed after that bears the new signature alone."""
    async with scripted() as apikley, a_consumer() as consumer, a_house(tmp_path, apikley) as world:
        old = await secret_of(world)
        new = (await world.api.post("/v1/webhook-secret/rotate")).json()["secret"]
        assert new != old
        assert await secret_of(world) == new
        await finish(world, apikley, consumer.url, 1)
        consumer.verify(old)
        consumer.verify(new)
        world.clock.advance(DAY_S)
        await finish(world, apikley, consumer.url, 2)
        consumer.verify(new)
        assert [len(headers["webhook-signature"].split(" ")) for headers in consumer.headers] == [2, 1]


async def test_a_rotation_may_be_sharp(tmp_path: Path) -> None:
    """`overlap_seconds: 0`, because the old one leaked; a first rotation makes the first secret."""
    async with scripted() as apikley, a_consumer() as consumer, a_house(tmp_path, apikley) as world:
        first = (await world.api.post("/v1/webhook-secret/rotate", json={})).json()["secret"]
        assert await secret_of(world) == first
        sharp = await world.api.post("/v1/webhook-secret/rotate", json={"overlap_seconds": 0})
        await finish(world, apikley, consumer.url)
        consumer.verify(sharp.json()["secret"])
        assert " " not in consumer.headers[0]["webhook-signature"]


@pytest.mark.parametrize("body", [{"overlap_seconds": -1}, {"overlap_seconds": 31 * DAY_S}, {"overlap": 1}])
async def test_a_rotation_is_checked(tmp_path: Path, body: dict[str, Any]) -> None:
    """Nothing rotates on a typo."""
    async with scripted() as apikley, a_house(tmp_path, apikley) as world:
        before = await secret_of(world)
        answer = await world.api.post("/v1/webhook-secret/rotate", json=body)
        assert (answer.status_code, answer.json()["errors"][0]["path"]) == (422, next(iter(body)))
        assert await secret_of(world) == before


async def test_a_secret_sealed_with_a_lost_key_is_the_operators_trouble(tmp_path: Path) -> None:
    """503, not a word about the caller's key; a rotation mends it."""
    async with scripted() as apikley, a_house(tmp_path, apikley) as world:
        await secret_of(world)
    async with scripted() as apikley, a_house(tmp_path, apikley, TASKWEIR_SECRET_KEY="t" * 32) as world:
        answer = await world.api.get("/v1/webhook-secret")
        assert (answer.status_code, "TASKWEIR_SECRET_KEY" in answer.json()["detail"]) == (503, True)
        new = (await world.api.post("/v1/webhook-secret/rotate")).json()["secret"]
        assert await secret_of(world) == new


@pytest.mark.parametrize(
    ("fields", "path", "says"),
    [
        ({"webhook_url": "http://127.0.0.1:9/"}, "webhook_url", "TASKWEIR_ALLOW_NETWORKS"),
        ({"webhook_url": "http://169.254.169.254/"}, "webhook_url", "metadata"),
        ({"webhook_url": "ftp://example.com/"}, "webhook_url", "http"),
        ({"webhook_url": ""}, "webhook_url", "http"),
        ({"webhook_url": "http://nobody.invalid/"}, "webhook_url", "resolve"),
        ({"webhook_url": 5}, "webhook_url", "string"),
        ({"webhook_url": "http://93.184.215.14/", "webhook_events": ["task.sumbitted"]}, "webhook_events", "sumbitted"),
        ({"webhook_url": "http://93.184.215.14/", "webhook_events": ["provider.paused"]}, "webhook_events", "paused"),
        ({"webhook_url": "http://93.184.215.14/", "webhook_events": []}, "webhook_events", "at least 1"),
        ({"webhook_url": "http://93.184.215.14/", "webhook_format": "xml"}, "webhook_format", "standard"),
        ({"webhook_events": ["task.*"]}, "webhook_events", "webhook_url"),
        ({"webhook_format": "standard"}, "webhook_format", "webhook_url"),
    ],
)
async def test_what_a_task_says_of_its_webhook_is_checked(
    tmp_path: Path, fields: dict[str, Any], path: str, says: str
) -> None:
    """Refused with the field's own name, before anything is recorded or spent."""
    async with (
        scripted(created()) as apikley,
        a_house(tmp_path, apikley, TASKWEIR_ALLOW_NETWORKS="") as world,
    ):
        errors = await refused(world, **fields)
        assert [error["path"] for error in errors] == [path]
        assert says in errors[0]["message"]
        assert (await world.api.get("/v1/tasks")).json()["items"] == []
        assert apikley.lines == []


async def test_a_hidden_destination_that_is_disabled_gets_nothing(tmp_path: Path) -> None:
    """As any other."""
    async with scripted(created()) as apikley, a_consumer() as consumer, a_house(tmp_path, apikley) as world:
        task = await world.submit(webhook_url=consumer.url, webhook_events=["task.running"])

        def disable(store: Store) -> None:
            found = store.task(task["id"])
            assert found is not None
            own = store.hidden_destination(found.webhook_id or "")
            assert own is not None
            store.delete_destination(own.id)
            store.record_destination(replace(own, enabled=False))

        await world.service.storage.write(disable)
        apikley.say(record("generating"))
        await world.turn(100)
        assert (await world.task(task["id"]))["status"] == "running"
        assert await world.deliveries() == []


async def test_a_resubmission_enables_its_webhook_as_any_new_task_does(tmp_path: Path) -> None:
    """One that was gone, and disabled for it, gets the outcome of the new task."""
    failed = record("fail", failCode="500", failMsg="upstream")
    async with (
        scripted(created("p1"), failed, created("p2"), record("success", "p2")) as apikley,
        a_consumer(410, 204) as consumer,
        a_house(tmp_path, apikley) as world,
    ):
        first = await world.end((await world.submit(webhook_url=consumer.url))["id"], step_s=100)
        await world.turn()
        assert (await world.deliveries(task_id=first["id"]))[0]["state"] == "pending"
        again = (await world.api.post(f"/v1/tasks/{first['id']}/resubmit")).json()
        await world.end(again["id"], step_s=100)
        await world.turn()
        assert [each["state"] for each in await world.deliveries(task_id=again["id"])] == ["delivered"]


async def test_an_adopted_tasks_webhook_is_no_different(tmp_path: Path) -> None:
    """It was submitted elsewhere; its end is told here."""
    async with (
        scripted(record("success", "p7")) as apikley,
        a_consumer() as consumer,
        a_house(tmp_path, apikley) as world,
    ):
        body = {"provider": "apikley", "provider_task_id": "p7", "webhook_url": consumer.url}
        adopted = await world.api.post("/v1/tasks/adopt", json=body)
        assert adopted.status_code == 201, adopted.text
        await world.end(adopted.json()["id"], step_s=100)
        await world.turn()
        consumer.verify(await secret_of(world))
        assert types(consumer) == ["succeeded"]
