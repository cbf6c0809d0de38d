"""Every request example of the providers' documents, through the whole system, against the sandbox."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from adapters.sandbox.server import create_app, running
from tests.adapters.plain import adapter_of, entries
from tests.service.world import a_reachable_world

pytestmark = pytest.mark.anyio

SEEDS = Path(__file__).parent.parent / "adapters" / "seeds"
EXAMPLES = {
    f"{path.parent.name}-{path.stem}": (path.parent.name, json.loads(path.read_text()))
    for path in sorted(SEEDS.glob("*/*.json"))
}


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """As wide as the sandbox, which lives in the loop of the tests."""
    return "asyncio"


@pytest.fixture(scope="module")
async def sandbox(anyio_backend: str) -> AsyncIterator[str]:
    async with running(create_app(finish_after_s=0.02)) as url:
        yield url


async def last_request(sandbox: str, path: str) -> dict[str, Any]:
    """The last submit that the sandbox took, as it stood on the wire."""
    async with httpx.AsyncClient(base_url=sandbox, verify=False) as client:
        tasks: list[dict[str, Any]] = (await client.get("/_sandbox/tasks")).json()["items"]
    return [task for task in tasks if task["path"].endswith(path)][-1]


def test_there_are_examples_of_every_provider() -> None:
    """The walk below is over something."""
    assert {provider for provider, _ in EXAMPLES.values()} == {entry.name for entry in entries()}
    assert len(EXAMPLES) >= 20


@pytest.mark.parametrize("mode", ["server", "serverless"])
@pytest.mark.parametrize("name", EXAMPLES)
async def test_as_written(sandbox: str, tmp_path: Path, name: str, mode: str) -> None:
    """The native request on the wire is the documented one, and the final event is a success with a result."""
    provider, example = EXAMPLES[name]
    async with a_reachable_world(tmp_path, base_url=sandbox, TASKWEIR_MODE=mode) as world:
        task = await world.submit(provider, **example["request"])
        seen = await last_request(sandbox, example["wire"]["path"])
        wanted = dict(example["wire"]["body"])
        if adapter_of(provider).profile.takes_callback:
            path = await world.callback_url(task["id"], provider)
            [field] = [name for name, value in seen["body"].items() if str(value).endswith(path)]
            del seen["body"][field]
            assert wanted.pop(field, None) == example["wire"].get("callback_url")
        assert (seen["method"], seen["body"]) == (example["wire"]["method"], wanted)
        assert seen["headers"]["content-type"] == "application/json"
        assert seen["headers"]["authorization"] == "present"
        ended = await world.end(task["id"])
        [*_, last] = await world.events(task["id"])
        assert (ended["status"], last["type"]) == ("succeeded", "task.succeeded")
        assert last["data"]["task"]["outputs"][0]["url"].startswith("http")
