"""The sandbox's words, through the whole system: whatever a provider does, what is recorded is true."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from adapters.sandbox.server import create_app, running
from tests.service.world import World, a_reachable_world

pytestmark = pytest.mark.anyio

PROVIDERS: dict[str, tuple[str, dict[str, Any]]] = {
    "apikley": ("bytedance/v1-pro-text-to-video", {}),
    "reapi": ("doubao-seedance-2.0-face", {}),
    "reelbyte": (
        "bytedance/seedance-1-lite",
        {"mediaType": "video", "provider": "replicate", "scene": "text-to-video"},
    ),
    "reve2img": ("kling3-pro-text-to-video", {}),
}
ALL = list(PROVIDERS)
SUCCEEDED = ["submitted", "succeeded"]


@pytest.fixture
async def sandbox(anyio_backend: str) -> AsyncIterator[str]:
    async with running(create_app(finish_after_s=0.05, callback_retry_s=0.02)) as url:
        yield url


@pytest.fixture
async def world(sandbox: str, tmp_path: Path) -> AsyncIterator[World]:
    async with a_reachable_world(tmp_path, base_url=sandbox) as world:
        yield world


async def ended(world: World, provider: str, word: str, **fields: Any) -> tuple[dict[str, Any], list[str]]:
    """A task whose prompt holds the word, at its end, and its events but `running`, which depends on the moment."""
    model, more = PROVIDERS[provider]
    task = await world.submit(provider, model, input={"prompt": f"{word} a red panda", **more}, **fields)
    task = await world.end(task["id"])
    return task, [kind for kind in await world.types(task["id"]) if kind != "running"]


async def creates(sandbox: str) -> int:
    async with httpx.AsyncClient(verify=False) as client:
        count: int = (await client.get(f"{sandbox}/_sandbox/tasks")).json()["count"]
        return count


@pytest.mark.parametrize("provider", ALL)
async def test_plain(world: World, sandbox: str, provider: str) -> None:
    """Submitted, then succeeded, with a result; Apikley by callback, the others by poll, all confirmed by a poll."""
    task, types = await ended(world, provider, "")
    assert (task["status"], types) == ("succeeded", SUCCEEDED)
    assert task["outputs"][0]["url"].startswith(sandbox)
    [*_, last] = await world.events(task["id"])
    assert last["data"]["source"] == ("callback" if provider == "apikley" else "poll")
    assert last["data"]["verified_by"] == "poll"
    assert await creates(sandbox) == 1


@pytest.mark.parametrize("provider", ALL)
async def test_fail(world: World, provider: str) -> None:
    """The provider's own failure, as one terminal event with its reason."""
    task, types = await ended(world, provider, "[fail]")
    assert (task["status"], types) == ("failed", ["submitted", "failed"])
    assert task["error"]["message"]
    assert task["outputs"] == []


@pytest.mark.parametrize("provider", ALL)
async def test_slow(world: World, provider: str) -> None:
    """Ten times the time: where it is polled it is seen running in between."""
    task, types = await ended(world, provider, "[slow]")
    assert (task["status"], types) == ("succeeded", SUCCEEDED)
    assert ("running" in await world.types(task["id"])) == (provider != "apikley")


@pytest.mark.parametrize("provider", ALL)
async def test_never(world: World, provider: str) -> None:
    """It ends at its deadline, by us, after the provider said that it is not finished."""
    task, types = await ended(world, provider, "[never]", deadline_seconds=40)
    assert (task["status"], types) == ("expired", ["submitted", "expired"])


@pytest.mark.parametrize("provider", ALL)
async def test_reject(world: World, sandbox: str, provider: str) -> None:
    """Refused by the provider: a failed task, nothing created."""
    task, types = await ended(world, provider, "[reject]")
    assert (task["status"], types) == ("failed", ["failed"])
    assert task["error"]["kind"] in ("quota", "invalid_request")
    assert await creates(sandbox) == 0


@pytest.mark.parametrize("provider", ALL)
async def test_429(world: World, sandbox: str, provider: str) -> None:
    """Put off once, then handed over: one create."""
    task, types = await ended(world, provider, "[429]")
    assert (task["status"], types) == ("succeeded", ["queued", *SUCCEEDED])
    assert await creates(sandbox) == 1


@pytest.mark.parametrize("word", ["[500]", "[hang]"])
@pytest.mark.parametrize("provider", ALL)
async def test_no_usable_answer(world: World, sandbox: str, provider: str, word: str) -> None:
    """Created there, never learnt here: confirmed by the callback where there is one, never created twice."""
    task, types = await ended(world, provider, word, deadline_seconds=60)
    if provider == "apikley":
        # The callback may come while we still wait for the answer; then there is nothing to doubt.
        assert task["status"] == "succeeded"
        assert [kind for kind in types if kind != "unconfirmed"] == SUCCEEDED
    else:
        assert (task["status"], types) == ("expired", ["unconfirmed", "expired"])
    assert await creates(sandbox) == 1


@pytest.mark.parametrize("provider", ALL)
async def test_odd(world: World, provider: str) -> None:
    """A status word from tomorrow keeps the task where it is."""
    task, types = await ended(world, provider, "[odd]")
    assert (task["status"], types) == ("succeeded", SUCCEEDED)


@pytest.mark.parametrize(
    ("word", "status", "source"),
    [
        ("[no-callback]", "succeeded", "poll"),
        ("[twice]", "succeeded", "callback"),
        ("[early]", "succeeded", "callback"),
        ("[forge]", "failed", "poll"),
        ("[twice][fail]", "failed", "callback"),
    ],
)
async def test_callbacks_that_misbehave(world: World, sandbox: str, word: str, status: str, source: str) -> None:
    """None, twice, before the answer, a lie: one terminal event, and it is true."""
    task, types = await ended(world, "apikley", word)
    assert (task["status"], types) == (status, ["submitted", status])
    [*_, last] = await world.events(task["id"])
    assert (last["data"]["source"], last["data"]["verified_by"]) == (source, "poll")
    await world.turn(600)
    assert len(await world.events(task["id"])) == len(types) + ("running" in await world.types(task["id"]))
    assert await creates(sandbox) == 1
