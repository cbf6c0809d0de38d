"""What a list's query says is taken as it is meant, or refused: never half of it."""

from pathlib import Path

import pytest

from tests.make import NOW
from tests.service.world import a_world, created, scripted

pytestmark = pytest.mark.anyio


async def refused(world_url: str, path: Path) -> list[tuple[str, str]]:
    """Path and message of each fault."""
    async with a_world(path) as world:
        answer = await world.api.get(world_url)
        assert answer.status_code == 422, answer.text
        return [(fault["path"], fault["message"]) for fault in answer.json()["errors"]]


@pytest.mark.parametrize(
    ("list_", "known"),
    [
        (
            "tasks",
            (
                "cursor, status, provider, model, provider_task_id, error_kind, created_after, created_before, "
                "metadata.<key>, limit, tenant"
            ),
        ),
        ("events", "after, order, type, task_id, provider, limit, tenant"),
        ("deliveries", "cursor, state, destination_id, task_id, event_id, limit, tenant"),
        ("destinations", "cursor, limit, tenant"),
    ],
)
async def test_an_unknown_parameter_is_named_with_those_there_are(tmp_path: Path, list_: str, known: str) -> None:
    """A misspelt filter would show everything; each is told once."""
    faults = await refused(f"/v1/{list_}?limit=5&stats=failed&stats=x&metadata.=7", tmp_path)
    message = f"unknown parameter; there are {known}"
    assert faults == [("stats", message), ("metadata.", message)]


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ("tasks?status=failed&status=expired", "status"),
        ("tasks?metadata.order=1&metadata.order=2", "metadata.order"),
        ("tasks?limit=1&limit=2", "limit"),
        ("events?after=1&after=2", "after"),
        ("events?task_id=task_1&task_id=", "task_id"),
        ("deliveries?state=dead&state=pending", "state"),
        ("destinations?limit=1&limit=2", "limit"),
    ],
)
async def test_two_values_of_one_filter_are_refused(tmp_path: Path, query: str, path: str) -> None:
    """The list would show what one of them means."""
    assert await refused(f"/v1/{query}", tmp_path) == [(path, "given more than once, with different values: give one")]


async def test_what_is_known_passes(tmp_path: Path) -> None:
    """The tenant on every list, one value twice, metadata, and several types of event."""
    async with scripted(created()) as apikley, a_world(tmp_path, base_urls={"apikley": apikley.base_url}) as world:
        task = await world.submit(metadata={"order": "42"})
        since = NOW // 1000 - 1
        for query, many in {
            "tasks?tenant=default&status=submitted&status=submitted&metadata.order=42&cursor=": 1,
            f"tasks?created_after={since}&model={task['model']}": 1,
            "events?type=task.submitted&type=task.failed&tenant=default&order=asc": 1,
            f"deliveries?tenant=default&task_id={task['id']}": 0,
            "destinations?tenant=default&limit=5": 0,
        }.items():
            answer = await world.api.get(f"/v1/{query}")
            assert (answer.status_code, len(answer.json()["items"])) == (200, many), query
