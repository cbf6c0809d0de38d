"""Odd bodies, odd paths, other people's tasks: refused in the provider's shape, and nothing is recorded."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.routing import Route

from adapters.base import Adapter
from adapters.drop_in import DropIn
from adapters.reve2img import Reve2img
from receiver.accounts import provider_of
from receiver.domain import Status
from receiver.errors import ConfigurationError
from receiver.main import load_adapters
from receiver.web.app import routes
from tests.adapters import hostile
from tests.drop_in.wires import WIRES, Wire, told
from tests.make import a_task
from tests.service.asking import counts
from tests.service.engines import looks_into_the_file
from tests.service.tenants import a_holder
from tests.service.world import LIMITS, Scripted, World, a_pair, a_world, created, keep, record, scripted, soon, submits

pytestmark = pytest.mark.anyio

every_wire = pytest.mark.parametrize("wire", WIRES.values(), ids=WIRES)
APIKLEY = WIRES["apikley"]
ENVELOPES: dict[str, set[str]] = {
    "apikley": {"code", "msg", "data"},
    "reapi": {"error"},
    "reelbyte": {"code", "message", "data"},
    "reve2img": {"code", "message", "detail"},
}
WITH_FIELDS = {  # beside the bodies that no JSON parser would take
    "a model that is a list": {"model": []},
    "a model that is an object": {"model": {"a": 1}},
    "a model of 10,000 letters": {"model": "m" * 10_000},
    "a prompt of blanks": {"prompt": " ", "input": {"prompt": 5}, "mediaType": "  "},
    "a key of ours": {"callBackUrl": "http://[::1"},
}


def refusal_of(wire: Wire, answer: httpx.Response) -> str | None:
    """What is wrong with a refusal; None where it is one that the provider could have given."""
    try:
        body = answer.json()
    except ValueError:
        return f"no JSON: {answer.text[:100]}"
    if answer.status_code >= 500 or body.keys() != ENVELOPES[wire.name]:
        return f"{answer.status_code} {answer.text[:200]}"
    inner = body["error"] if wire.name == "reapi" else body
    if inner["code"] in (0, 200) or len(answer.content) > 2000:
        return answer.text[:200]
    return None


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """As wide as the world that refuses all of it."""
    return "asyncio"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hostile")


@pytest.fixture(scope="module")
async def world(anyio_backend: str, place: Path) -> AsyncIterator[World]:
    """Its providers cannot be reached: nothing that is sent to them would pass unseen."""
    async with a_world(place, base_url="http://127.0.0.1:9", TASKWEIR_MAX_BODY="100000") as one:
        yield one


@every_wire
async def test_odd_bodies_are_refused(world: World, place: Path, wire: Wire) -> None:
    """More than sixty of them, in the provider's shape, never a 500; nothing is left behind."""
    bodies = hostile.BODIES | {name: json.dumps(wire.submit(**fields)).encode() for name, fields in WITH_FIELDS.items()}
    bodies["half a megabyte"] = json.dumps(wire.submit("x" * 500_000)).encode()
    assert len(bodies) >= 64
    complaints = {name: refusal_of(wire, await wire.send(world.api, body)) for name, body in bodies.items()}
    assert {name: each for name, each in complaints.items() if each} == {}
    if wire.polls_by_post:
        for body in hostile.BODIES.values():
            asked = await world.api.post(f"/{wire.name}{wire.poll_path}", content=body)
            assert refusal_of(wire, asked) is None
    assert counts(place) == {}


@every_wire
async def test_odd_addresses_are_refused(world: World, wire: Wire) -> None:
    """By any method."""
    for method in ("GET", "PUT", "DELETE", "PATCH", "POST"):
        for path in ("", "/", "//", "/api/v1/../../v1/tasks", f"{wire.submit_path}/", "/%00", "/api/v1/tasks/a/b"):
            answer = await world.api.request(method, f"/{wire.name}{path}")
            assert refusal_of(wire, answer) is None, (method, path)
    assert refusal_of(wire, await world.api.get(f"/{wire.name}{wire.submit_path}")) is None


@every_wire
async def test_a_key_in_any_of_the_places_is_taken(world: World, wire: Wire) -> None:
    """Bearer or `x-api-key`, for every provider: the poll of nobody's task is then no matter of keys."""
    key = world.api.headers["authorization"].removeprefix("Bearer ")
    for headers in ({"authorization": f"bearer {key}"}, {"authorization": "", "x-api-key": key}):
        answer = await wire.poll(world.api, "nobodys", headers=headers)
        assert answer.text.replace("request_id", "") != "", headers
        assert not any(word in answer.text.lower() for word in ("api key", "unauthorized", "10003"))
    denied = await wire.poll(world.api, "nobodys", headers={"authorization": "", "x-api-key": f"{key}x"})
    assert refusal_of(wire, denied) is None


@every_wire
async def test_another_tenants_task_is_nobodys(world: World, wire: Wire) -> None:
    """By either id, and whichever provider's it is."""
    theirs = a_task(id=f"task_{wire.name}", tenant="other", provider=wire.name, provider_task_id=f"p-{wire.name}")
    await keep(world, theirs)
    nobodys = await wire.poll(world.api, "nobodys")
    for task_id in (theirs.id, f"p-{wire.name}"):
        answer = await wire.poll(world.api, task_id)
        assert refusal_of(wire, answer) is None
        assert "a red panda" not in answer.text
        assert (answer.status_code, answer.json().keys()) == (nobodys.status_code, nobodys.json().keys())
    elsewhere = "reapi" if wire.name != "reapi" else "apikley"
    mine = a_task(id=f"task_mine_{wire.name}", provider=elsewhere, provider_task_id=None)
    await keep(world, mine)
    assert refusal_of(wire, await wire.poll(world.api, mine.id)) is None


@every_wire
async def test_two_tenants_see_nothing_of_each_other(world: World, wire: Wire) -> None:
    """Each by its own key, in either of its places; the other one's task is nobody's."""
    one, other = await a_holder(world, "one", "submit"), await a_holder(world, "other", "submit")
    made = a_task(id=f"task_of_one_{wire.name}", tenant="one", provider=wire.name, provider_task_id=f"one-{wire.name}")
    await keep(world, made)
    for task_id in (made.id, made.provider_task_id or ""):
        mine = await wire.poll(world.api, task_id, headers={"authorization": "", "x-api-key": one.key})
        assert task_id in mine.text
        assert refusal_of(wire, mine) is not None
        denied = await wire.poll(world.api, task_id, headers={"authorization": f"Bearer {other.key}"})
        nobodys = await wire.poll(world.api, "nobodys", headers={"authorization": f"Bearer {other.key}"})
        assert told(denied) == told(nobodys)
        elsewhere = await wire.poll(world.api, task_id, headers={"x-api-key": one.key})  # the bearer's is root's
        assert told(elsewhere) == told(nobodys)


@every_wire
async def test_keys_need_the_scope_for_what_they_ask(world: World, wire: Wire) -> None:
    """A key that reads polls, be it by POST, and submits nothing; the refusal is one of keys."""
    tenant = f"acme-{wire.name}"
    reads, submits_too = await a_holder(world, tenant, "read"), await a_holder(world, tenant, "submit")
    denied = await wire.send(world.api, wire.submit(), headers={"authorization": f"Bearer {reads.key}"})
    wrong = await wire.send(world.api, wire.submit(), headers={"authorization": "Bearer nobodys"})
    assert told(denied) == told(wrong)
    assert await reads.get("/v1/tasks") == {"items": [], "next_cursor": None}
    polled = await wire.poll(world.api, "nobodys", headers={"authorization": f"Bearer {reads.key}"})
    assert told(polled) == told(await wire.poll(world.api, "nobodys"))
    taken = await wire.send(world.api, wire.submit(), headers={"authorization": f"Bearer {submits_too.key}"})
    assert wire.id_of(taken) == (await reads.get("/v1/tasks"))["items"][0]["id"]
    await submits_too.post(f"/v1/tasks/{wire.id_of(taken)}/cancel")


@every_wire
async def test_a_server_that_stops_says_so(tmp_path: Path, wire: Wire) -> None:
    """In the provider's shape, with the time to come back after."""
    async with a_world(tmp_path, base_url="http://127.0.0.1:9") as world:
        world.service.health.draining = True
        answer = await wire.send(world.api, wire.submit())
        assert answer.json().keys() == ENVELOPES[wire.name]
        assert "stopping" in answer.text
        assert answer.headers["retry-after"] == "5"


def a_house(directory: Path, apikley: Scripted, **fields: Any) -> Any:
    return a_pair(directory, apikley, **fields)


async def test_an_idempotency_key_makes_one_task(tmp_path: Path) -> None:
    """The same body gives the same answer, another one a refusal; the provider hears of one."""
    async with scripted(created("p1"), created("p2")) as apikley, a_house(tmp_path, apikley) as world:
        key = {"idempotency-key": "order-42"}
        first = await APIKLEY.send(world.api, APIKLEY.submit(), headers=key)
        again = await APIKLEY.send(world.api, APIKLEY.submit(), headers=key)
        assert again.text == first.text
        assert again.headers["idempotent-replayed"] == "true"
        assert submits(apikley) == 1
        other = await APIKLEY.send(world.api, APIKLEY.submit("another"), headers=key)
        assert (other.json()["code"], other.json()["data"]) == (422, None)
        as_task = await world.api.post(
            "/v1/tasks", json={"provider": "apikley", "model": "m", "input": {}}, headers=key
        )
        assert as_task.status_code == 422


async def test_a_repeat_tells_the_id_that_was_told(tmp_path: Path) -> None:
    """Ours, even once the provider has named the task, and even where it was refused in the end."""
    slow = (200, {"code": 429, "msg": "slow down", "data": None})
    refused = (200, {"code": 402, "msg": "no credits", "data": None})
    async with scripted(slow, created("p1")) as apikley, a_house(tmp_path, apikley) as world:
        answers = []
        for number, then in enumerate(((created("p1"), record("generating", "p1")), (refused,))):
            apikley.say(slow, *then)
            key = {"idempotency-key": f"order-{number}"}
            first = await APIKLEY.send(world.api, APIKLEY.submit(), headers=key)
            task_id = APIKLEY.id_of(first)
            for _ in range(3):
                await world.turn(100)
            answers.append((await world.task(task_id))["status"])
            again = await APIKLEY.send(world.api, APIKLEY.submit(), headers=key)
            assert again.text == first.text
        assert answers == ["running", "failed"]


async def test_a_refusal_is_repeated_as_one(tmp_path: Path) -> None:
    """Under its own status."""
    wire = WIRES["reve2img"]
    refused = (402, {"code": 402, "message": "INSUFFICIENT_CREDITS", "detail": "none"})
    async with scripted(refused) as provider, a_world(tmp_path, base_urls={"reve2img": provider.base_url}) as world:
        key = {"idempotency-key": "order-42"}
        first = await wire.send(world.api, wire.submit(), headers=key)
        again = await wire.send(world.api, wire.submit(), headers=key)
        assert (first.status_code, first.json()) == (again.status_code, again.json()) == refused
        assert submits(provider) == 1


@looks_into_the_file
async def test_a_store_that_fails_behind_a_task_makes_no_error_of_it(tmp_path: Path) -> None:
    """It is recorded and on its way: its caller is told so, by our id."""
    limits = replace(LIMITS, answer_within_s=0.2, submit=replace(LIMITS.submit, deadline_s=5))
    async with scripted(asyncio.Event(), created()) as apikley, a_house(tmp_path, apikley, limits=limits) as world:
        asked = asyncio.create_task(APIKLEY.send(world.api, APIKLEY.submit()))
        await soon(lambda: submits(apikley) == 1)
        await world.service.storage.write(lambda store: store.execute("PRAGMA query_only = 1", {}))  # type: ignore[attr-defined]
        answer = await asked
        [task] = (await world.api.get("/v1/tasks")).json()["items"]
        assert task["status"] == "submitting"
        assert answer.json() == {"code": 200, "msg": "success", "data": {"taskId": task["id"]}}


async def test_budgets_and_pauses_hold_for_drop_in_callers(tmp_path: Path) -> None:
    """As for any task: a paused provider is not talked to, and the caller is none the wiser."""
    async with scripted(created()) as apikley, a_house(tmp_path, apikley) as world:
        assert (await world.api.post("/v1/providers/apikley/pause")).status_code == 200
        answer = await APIKLEY.send(world.api, APIKLEY.submit())
        assert answer.json()["code"] == 200
        assert submits(apikley) == 0
        [task] = (await world.api.get("/v1/tasks")).json()["items"]
        assert task["status"] == "queued"


KIE = {"kie": {"adapter": "apikley", "base_url": "http://127.0.0.1:9", "api_key": "k"}}


class WithoutDoors(Reve2img):
    """An adapter of somebody else's, from before there were any doors."""

    def drop_in(self) -> DropIn | None:  # type: ignore[override]
        return None


async def test_every_configured_account_has_its_adapters_doors(tmp_path: Path) -> None:
    """Under its own name; one whose adapter has none says where to go instead."""
    adapters: dict[str, Adapter] = {**load_adapters(), "plain": WithoutDoors()}
    async with (
        scripted(created("p1"), record("success", "p1")) as kie,
        a_world(
            tmp_path,
            adapters=adapters,
            TASKWEIR_PROVIDERS=json.dumps({"kie": KIE["kie"] | {"base_url": kie.base_url}}),
        ) as world,
    ):
        wire = Wire(**{name: getattr(APIKLEY, name) for name in Wire.__slots__} | {"name": "kie"})
        task_id = wire.id_of(await wire.send(world.api, wire.submit()))
        assert task_id == "p1"
        [task] = (await world.api.get("/v1/tasks")).json()["items"]
        assert (task["provider"], task["provider_task_id"]) == ("kie", "p1")
        await world.end(task["id"], step_s=100)
        assert (await wire.poll(world.api, "p1")).json()["data"]["state"] == "success"
        assert (await APIKLEY.poll(world.api, "p1")).json()["code"] == 422
        none = await world.api.post("/plain/api/v1/generate", json={})
        assert (none.status_code, none.headers["content-type"]) == (404, "application/problem+json")
        assert "/v1/tasks" in none.json()["detail"]


@every_wire
async def test_a_canceled_task_is_told_in_the_providers_words(world: World, wire: Wire) -> None:
    """Canceled here, and never there: an end all the same."""
    await keep(
        world,
        a_task(id=f"task_c_{wire.name}", provider=wire.name, status=Status.CANCELED, provider_task_id=None, ours=True),
    )
    answer = (await wire.poll(world.api, f"task_c_{wire.name}")).json()
    word = answer["status"] if wire.name == "reapi" else answer["data"].get("state") or answer["data"]["status"]
    assert word == {"apikley": "fail", "reapi": "failed", "reelbyte": "canceled", "reve2img": "FAILED"}[wire.name]


def test_no_provider_has_the_name_of_an_address_of_ours(world: World) -> None:
    """Its own addresses would be hidden behind ours."""
    ours = [route.path for route in [*world.service.app.routes, *routes()] if isinstance(route, Route)]
    names = {path.split("/")[1] for path in ours}
    assert {"v1", "callbacks", "health", "metrics", "internal"} <= names
    for name in names | {"docs", "static", "dashboard", "schemas"}:
        with pytest.raises(ConfigurationError, match="name"):
            provider_of(name, KIE["kie"], {"apikley": "https://e.example"}, where="here")
