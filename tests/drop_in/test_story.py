"""The same client, once at the provider's sandbox and once at us: he cannot tell which of the two it was."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from adapters.sandbox.server import create_app, running
from tests.drop_in.wires import WIRES, Wire, told
from tests.service.world import PUBLIC_URL, World, a_world

pytestmark = pytest.mark.anyio

FINISH_S = 0.15
PROVIDERS_KEY = "provider-key"
every_wire = pytest.mark.parametrize("wire", WIRES.values(), ids=WIRES)


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """As wide as the two that are asked."""
    return "asyncio"


@dataclass
class Both:
    """The provider, and us in front of it."""

    provider: httpx.AsyncClient
    world: World

    @property
    def us(self) -> httpx.AsyncClient:
        return self.world.api

    async def send(self, wire: Wire, body: Any) -> tuple[httpx.Response, httpx.Response]:
        return await wire.send(self.provider, body), await wire.send(self.us, body)


@asynccontextmanager
async def both_of(directory: Path, **fields: Any) -> AsyncIterator[Both]:
    headers = {"authorization": f"Bearer {PROVIDERS_KEY}"}
    async with (
        running(create_app(finish_after_s=FINISH_S, api_keys=frozenset({PROVIDERS_KEY}))) as url,
        httpx.AsyncClient(base_url=url, headers=headers) as provider,
        a_world(directory, base_url=url, TASKWEIR_PUBLIC_URL="", **fields) as world,
    ):
        yield Both(provider, world)


@pytest.fixture(scope="module")
async def both(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Both]:
    async with both_of(tmp_path_factory.mktemp("story")) as two:
        yield two


async def record_of(world: World, wire: Wire, task_id: str) -> dict[str, Any]:
    """Our record of a task, by the provider's id."""
    record: dict[str, Any] = (await world.api.get(f"/v1/tasks/{wire.name}:{task_id}")).json()
    return record


async def ends(world: World, wire: Wire, task_id: str) -> dict[str, Any]:
    return await world.end((await record_of(world, wire, task_id))["id"])


async def until_told(wire: Wire, client: httpx.AsyncClient, task_id: str, end: Any) -> None:
    """Until a provider, whose clock is real, says what we say already."""
    for _ in range(500):
        answer = await wire.poll(client, task_id)
        if told(answer) == end:
            return
        await asyncio.sleep(0.01)
    assert told(answer) == end


@every_wire
async def test_a_task_that_waits_and_works(both: Both, wire: Wire) -> None:
    """Accepted, then the provider's own words for both."""
    theirs, ours = await both.send(wire, wire.submit("[slow] a"))
    assert told(ours) == told(theirs)
    waits = told(await wire.poll(both.provider, wire.id_of(theirs)))
    assert told(await wire.poll(both.us, wire.id_of(ours))) == waits
    theirs, ours = await both.send(wire, wire.submit("[never] a"))
    await both.world.turn(10)
    works = told(await wire.poll(both.provider, wire.id_of(theirs)))
    assert told(await wire.poll(both.us, wire.id_of(ours))) == works
    theirs, ours = await both.send(wire, wire.submit("[odd] [never] a"))
    await both.world.turn(10)
    odd = await wire.poll(both.us, wire.id_of(ours))
    assert told(odd) == told(await wire.poll(both.provider, wire.id_of(theirs)))
    assert "pondering" in odd.text.lower()


@every_wire
@pytest.mark.parametrize("prompt", ["a red panda", "[fail] a red panda"])
async def test_a_task_to_its_end(both: Both, wire: Wire, prompt: str) -> None:
    """Its results or its reason, and its price, in the provider's shape."""
    theirs, ours = await both.send(wire, wire.submit(prompt))
    assert told(ours) == told(theirs)
    await ends(both.world, wire, wire.id_of(ours))
    end = await wire.poll(both.us, wire.id_of(ours))
    await until_told(wire, both.provider, wire.id_of(theirs), told(end))
    assert ("_sandbox/files" in end.text) == ("fail" not in prompt)


async def test_nothing_goes_on_behind_an_answer_in_serverless_mode(tmp_path: Path) -> None:
    """Submitted and polled as anywhere else, moved along by whoever calls by the clock."""
    async with both_of(tmp_path, TASKWEIR_MODE="serverless") as both:
        for wire in WIRES.values():
            theirs, ours = await both.send(wire, wire.submit())
            assert told(ours) == told(theirs)
            task_id = wire.id_of(ours)
            while (await record_of(both.world, wire, task_id))["finished_at"] is None:
                both.world.clock.advance(5)
                await both.world.tick(budget_ms=100)
            end = told(await wire.poll(both.us, task_id))
            await until_told(wire, both.provider, wire.id_of(theirs), end)


async def test_a_model_that_answers_at_once(both: Both) -> None:
    """With its result in the answer to the submit."""
    wire = WIRES["reve2img"]
    body = wire.submit(model="reve-2.0")
    theirs, ours = await wire.send(both.provider, body), await wire.send(both.us, body)
    assert told(ours) == told(theirs)
    assert ours.json()["data"]["status"] == "SUCCESS"


@every_wire
async def test_both_ids_are_polled(both: Both, wire: Wire) -> None:
    """The provider's and ours; each answer names the one that was asked about."""
    task_id = wire.id_of(await wire.send(both.us, wire.submit()))
    record = await ends(both.world, wire, task_id)
    by_theirs, by_ours = await wire.poll(both.us, task_id), await wire.poll(both.us, record["id"])
    assert by_theirs.json() != by_ours.json()
    assert by_ours.text.replace(record["id"], task_id) == by_theirs.text


REFUSALS: dict[str, dict[str, Any]] = {
    "no model": {"model": None},
    "no prompt": {"prompt": None},
    "a refusal of the provider's own": {"prompt": "[reject] a red panda"},
    "no JSON": {"raw": b"{"},
    "no object": {"raw": b"[]"},
}


@every_wire
@pytest.mark.parametrize("what", REFUSALS)
async def test_refusals(both: Both, wire: Wire, what: str) -> None:
    """Our checks and the provider's own, each in the provider's shape and under its status."""
    fields = dict(REFUSALS[what])
    if what == "no prompt" and wire.name == "reelbyte":
        fields["options"] = None
    body = fields.pop("raw", None) or wire.submit(**{"prompt": "a red panda", **fields})
    status, theirs = told(await wire.send(both.provider, body))
    mine, ours = told(await wire.send(both.us, body))
    assert mine == status
    assert without_codes(wire, what, ours) == without_codes(wire, what, theirs)


def without_codes(wire: Wire, what: str, answer: Any) -> Any:
    """No page of reAPI's says which of its two codes a model that is missing has: ours is 20003."""
    if wire.name == "reapi" and what == "no model":
        return {"error": answer["error"] | {"code": 20003}}
    return answer


@every_wire
@pytest.mark.parametrize("headers", [{"authorization": ""}, {"authorization": "Bearer nobody"}])
async def test_keys_that_are_none(both: Both, wire: Wire, headers: dict[str, str]) -> None:
    """Refused as the provider refuses them, at the submit and at the poll."""
    for ask in (
        lambda client: wire.send(client, wire.submit(), headers=headers),
        lambda client: wire.poll(client, "x", headers=headers),
    ):
        status, theirs = told(await ask(both.provider))
        mine, ours = told(await ask(both.us))
        assert mine == status
        if wire.name == "reapi":  # 10001 where there is none, 10003 where it is not known: both are "no" to a client
            theirs["error"]["code"] = 10003
        assert ours == theirs


@every_wire
async def test_polls_of_nobodys_task(both: Both, wire: Wire) -> None:
    """The provider's own not-found; of a poll that names none its own refusal."""
    for task_id in ("nobodys", "task_01kbyna2c0frny0hwpcn3kjbhy", "%00", "%F0%9F%90%BC", "x" * 300, "%0d%0a"):
        assert told(await wire.poll(both.us, task_id)) == told(await wire.poll(both.provider, task_id)), task_id
    if wire.name != "reapi":
        assert told(await wire.poll(both.us, "")) == told(await wire.poll(both.provider, ""))


@every_wire
@pytest.mark.parametrize("path", ["/api/v1/balance", "/", "/api/v1"])
async def test_addresses_that_are_not_here(both: Both, wire: Wire, path: str) -> None:
    """In the provider's shape, and saying what there is."""
    ours = await both.us.get(f"/{wire.name}{path}")
    assert told(ours) == told(await both.provider.get(f"/{wire.name}{path}"))
    assert wire.submit_path in ours.text


async def test_nothing_of_ours_is_hidden_behind_a_provider(both: Both) -> None:
    """What is neither of ours nor below a provider's name is answered as before."""
    for method, path, status in (
        ("GET", "/nobody/api/v1/status", 404),
        ("DELETE", "/v1/tasks", 405),
        ("GET", "/v1/nothing", 404),
        ("GET", "/Apikley/api/v1/jobs/recordInfo", 404),
    ):
        answer = await both.us.request(method, path)
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert str(both.us.base_url) == PUBLIC_URL
