"""What a `callBackUrl` becomes: a webhook in the shape of a provider's callback, rebuilt from what was verified."""

import json
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from adapters.sandbox.server import create_app, running
from tests.drop_in.wires import WIRES, Wire, shape
from tests.sandbox.inbox import Inbox, open_inbox
from tests.service.consumer import Consumer, a_consumer
from tests.service.world import World, a_pair, a_reachable_world, a_world, created, record, ring, scripted

pytestmark = pytest.mark.anyio

APIKLEY = WIRES["apikley"]
REFUSED = (200, {"code": 402, "msg": "Insufficient Credits", "data": None})
every_wire = pytest.mark.parametrize("wire", WIRES.values(), ids=WIRES)


async def secret_of(world: World) -> str:
    secret: str = (await world.api.get("/v1/webhook-secret")).json()["secret"]
    return secret


async def ours(world: World) -> dict[str, Any]:
    """The one task that there is, as we show it."""
    [item] = (await world.api.get("/v1/tasks")).json()["items"]
    found: dict[str, Any] = item
    return found


async def seen_through(world: World) -> dict[str, Any]:
    """The one task, once it is final and its webhook was tried."""
    ended = await world.end((await ours(world))["id"], step_s=100)
    await world.turn()
    return ended


def params(body: dict[str, Any]) -> dict[str, Any]:
    """What a callback echoes of the submit."""
    echoed: dict[str, Any] = json.loads(body["data"]["param"])
    return echoed


@pytest.mark.parametrize("prompt", ["a red panda", "[fail] a red panda"])
async def test_every_provider_calls_back(tmp_path: Path, prompt: str) -> None:
    """In Apikley's shape, as the sandbox's own callback is; signed, with the caller's URL in it, never ours."""
    async with (
        running(create_app(finish_after_s=0.02)) as sandbox,
        open_inbox() as inbox,
        a_consumer(200) as consumer,
        a_reachable_world(tmp_path, base_url=sandbox) as world,
        httpx.AsyncClient(base_url=sandbox, headers={"authorization": "Bearer k"}) as provider,
    ):
        await APIKLEY.send(provider, APIKLEY.submit(prompt, callBackUrl=inbox.url))
        for number, wire in enumerate(WIRES.values(), start=1):
            answer = await wire.send(world.api, wire.submit(prompt, callBackUrl=consumer.url))
            sent = (await provider.get("/_sandbox/tasks")).json()["items"][-1]["body"]
            assert consumer.url not in json.dumps(sent)
            assert ("callBackUrl" in sent) == (wire.name == "apikley")
            await world.until(partial(called, inbox, consumer, number))
            body = consumer.events[-1]
            assert alike(body) == alike(inbox.bodies[0])
            assert body["data"]["taskId"] == wire.id_of(answer)
            assert params(body)["callBackUrl"] == consumer.url
            assert json.loads(params(body)["input"])["prompt"] == prompt
            assert "/callbacks/" not in json.dumps(body)
        consumer.verify(await secret_of(world))


def called(inbox: Inbox, consumer: Consumer, number: int) -> bool:
    """Whether the provider called its own caller back, and we ours so often."""
    return bool(inbox.bodies) and len(consumer.bodies) == number


def alike(body: dict[str, Any]) -> Any:
    """What two callbacks have in common, whichever provider's task it was: each has its own input, codes and price."""
    told = shape(body)
    told["data"] |= {"model": "a model", "creditsConsumed": "a price", "failCode": bool(told["data"]["failCode"])}
    told["data"]["param"]["JSON text"] |= {"model": "a model", "input": "an input"}
    return told


async def test_what_a_provider_only_claims_is_not_passed_on(tmp_path: Path) -> None:
    """A forged success is called back as the failure that it is."""
    async with (
        running(create_app(finish_after_s=0.02)) as sandbox,
        a_consumer(200) as consumer,
        a_reachable_world(tmp_path, base_url=sandbox) as world,
    ):
        await APIKLEY.send(world.api, APIKLEY.submit("[forge] a red panda", callBackUrl=consumer.url))
        await world.until(lambda: consumer.bodies)
        assert [(each["code"], each["data"]["state"]) for each in consumer.events] == [(501, "fail")]


async def test_a_callback_is_tried_again(tmp_path: Path) -> None:
    """As any webhook: the same body under the same id, until somebody takes it."""
    async with (
        scripted(created(), record("success")) as apikley,
        a_consumer(503, "close", 200) as consumer,
        a_pair(tmp_path, apikley) as world,
    ):
        await APIKLEY.send(world.api, APIKLEY.submit(callBackUrl=consumer.url))
        await seen_through(world)
        await world.turn(10)
        await world.turn(600)
        assert len(set(consumer.ids)) == 1
        assert len(consumer.bodies) == 3
        assert len(set(consumer.bodies)) == 1
        [delivery] = await world.deliveries()
        assert (delivery["state"], delivery["attempts"]) == ("delivered", 3)


async def told_ours(world: World, consumer: Consumer) -> str:
    """Submit to a provider that names no task yet: our own id, in the shape of a success."""
    answer = await APIKLEY.send(world.api, APIKLEY.submit(callBackUrl=consumer.url))
    assert (answer.status_code, answer.json()["code"]) == (200, 200), answer.text
    task_id = APIKLEY.id_of(answer)
    assert task_id == (await ours(world))["id"]
    waits = (await APIKLEY.poll(world.api, task_id)).json()
    assert (waits["code"], waits["data"]["state"]) == (200, "waiting")
    return task_id


async def test_a_submit_in_doubt_is_no_error(tmp_path: Path) -> None:
    """Its caller is told our id; whatever becomes known of it later, that is what it is called back by."""
    async with (
        scripted((500, b"oops")) as apikley,
        a_consumer(200) as consumer,
        a_pair(tmp_path, apikley) as world,
    ):
        task_id = await told_ours(world, consumer)
        assert (await world.task(task_id))["status"] == "unconfirmed"
        apikley.say(record("success", "p7"))
        await ring(world, task_id, record("success", "p7")[1])
        await seen_through(world)
        [body] = consumer.events
        assert (body["code"], body["data"]["taskId"]) == (200, task_id)
        for known_as in (task_id, "p7"):
            assert (await APIKLEY.poll(world.api, known_as)).json()["data"]["state"] == "success"
        told = [line for line in await world.story(task_id) if line["kind"] == "told_ours"]
        assert len(told) == 1


async def test_a_task_that_waits_for_its_provider_is_no_error(tmp_path: Path) -> None:
    """A provider that takes no more now, then refuses: the caller learns it as an end, by the id that he has."""
    async with (
        scripted((200, {"code": 429, "msg": "slow down", "data": None}), REFUSED) as apikley,
        a_consumer(200) as consumer,
        a_pair(tmp_path, apikley) as world,
    ):
        task_id = await told_ours(world, consumer)
        assert (await seen_through(world))["status"] == "failed"
        [body] = consumer.events
        assert (body["code"], body["data"]["taskId"], body["data"]["failCode"]) == (501, task_id, "402")
        assert (await APIKLEY.poll(world.api, task_id)).json()["data"]["state"] == "fail"


async def test_nobody_is_called_back_about_a_refusal(tmp_path: Path) -> None:
    """The answer to the submit was that already; what is recorded says why nothing was sent."""
    async with scripted(REFUSED) as apikley, a_consumer(200) as consumer, a_pair(tmp_path, apikley) as world:
        answer = await APIKLEY.send(world.api, APIKLEY.submit(callBackUrl=consumer.url))
        assert answer.json() == REFUSED[1]
        await world.turn(60)
        assert consumer.bodies == []
        [delivery] = await world.deliveries()
        [attempt] = (await world.api.get(f"/v1/deliveries/{delivery['id']}")).json()["attempt_log"]
        assert delivery["state"] == "delivered"
        assert "refusal" in attempt["response"]


async def test_a_task_that_runs_out_of_time_is_called_back_about(tmp_path: Path) -> None:
    """As a failure with the code for it; the provider's late verdict follows as a callback of its own."""
    async with (
        scripted(created(), record("generating")) as apikley,
        a_consumer(200) as consumer,
        a_pair(tmp_path, apikley) as world,
    ):
        await APIKLEY.send(world.api, APIKLEY.submit(callBackUrl=consumer.url))
        await world.turn(25 * 3600)
        await world.turn(60)
        apikley.say(record("success"))
        await world.turn(60)
        await world.turn(60)
        ends = [(each["code"], each["data"]["taskId"], each["data"]["failCode"]) for each in consumer.events]
        assert ends == [(501, "p1", "408"), (200, "p1", "")]


@every_wire
@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://169.254.169.254/", "metadata"),
        ("http://127.0.0.1:9/", "TASKWEIR_ALLOW_NETWORKS"),
        ("ftp://example.com/", "http"),
        ("nowhere", "http"),
        (5, "URL"),
        (["http://93.184.215.14/"], "URL"),
    ],
)
async def test_a_callback_url_that_may_not_be_dialled_is_refused(wire: Wire, url: Any, says: str, shut: World) -> None:
    """In the provider's shape, and before anything is recorded or spent."""
    answer = await wire.send(shut.api, wire.submit(callBackUrl=url))
    assert "callBackUrl" in answer.text
    assert says in answer.text
    assert "webhook_url" not in answer.text
    assert (await shut.api.get("/v1/tasks")).json()["items"] == []


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """As wide as the one world that refuses."""
    return "asyncio"


@pytest.fixture(scope="module")
async def shut(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    directory = tmp_path_factory.mktemp("shut")
    async with a_world(directory, base_url="http://127.0.0.1:9", TASKWEIR_ALLOW_NETWORKS="") as world:
        yield world


async def test_a_callback_url_whose_host_has_no_address_yet_is_taken(tmp_path: Path) -> None:
    """No provider looks at a submit whether it has one; it is looked up for every attempt."""
    async with scripted(created(), record("success")) as apikley, a_pair(tmp_path, apikley) as world:
        answer = await APIKLEY.send(world.api, APIKLEY.submit(callBackUrl="http://nobody.invalid/hook"))
        assert answer.json()["code"] == 200
        await seen_through(world)
        [delivery] = await world.deliveries()
        assert (delivery["state"], delivery["attempts"]) == ("pending", 1)


async def test_a_webhook_of_our_own_beside_it_is_another_one(tmp_path: Path) -> None:
    """The same URL as `webhook_url` of another task gets the event, not the callback, and is in no poll's answer."""
    async with (
        scripted(created("p1"), record("success", "p1")) as apikley,
        a_consumer(200) as consumer,
        a_pair(tmp_path, apikley) as world,
    ):
        await APIKLEY.send(world.api, APIKLEY.submit(callBackUrl=consumer.url))
        await seen_through(world)
        apikley.say(created("p2"), record("success", "p2"))
        await world.end((await world.submit(webhook_url=consumer.url))["id"], step_s=100)
        await world.turn()
        assert ["code" in each for each in consumer.events] == [True, False]
        polled = [(await APIKLEY.poll(world.api, task_id)).json() for task_id in ("p1", "p2")]
        assert [params(each)["callBackUrl"] for each in polled] == [consumer.url, None]
        consumer.verify(await secret_of(world))
