"""A list whose filters let through what is far behind: short pages, even empty ones, and a cursor that leads there."""

from pathlib import Path

import pytest

from receiver.domain import EventType, Status
from receiver.ids import first_id
from receiver.store.protocol import Store
from receiver.store.searches import MOST_SEARCHED
from tests.make import NOW, a_task, an_event
from tests.service.world import a_world

pytestmark = pytest.mark.anyio

COUNT = MOST_SEARCHED + 20


def record_tasks(store: Store) -> None:
    """Only the oldest has the metadata that is asked for."""
    for number in range(COUNT):
        metadata = {"order": "other" if number else "first"}
        fields = {"id": first_id("task", NOW + number), "provider_task_id": f"p{number}", "metadata": metadata}
        store.record_task(a_task(**fields, status=Status.SUBMITTED, created_at=NOW + number))


def record_events(store: Store) -> None:
    """Only the second has the type that is asked for."""
    for seq in range(1, COUNT + 1):
        kind = EventType.QUEUED if seq == 2 else EventType.SUBMITTED
        store.record_event(an_event(store.next_seq(), id=f"evt_{seq:09}", type=kind), f'{{"id":"evt_{seq}"}}')


async def test_tasks_are_reached_over_an_empty_page(tmp_path: Path) -> None:
    """`next_cursor` is null at the end of the list, not where nothing was found so far."""
    async with a_world(tmp_path) as world:
        await world.service.storage.write(record_tasks)
        path = "/v1/tasks?metadata.order=first&limit=5"
        empty = (await world.api.get(path)).json()
        assert (empty["items"], empty["next_cursor"]) == ([], first_id("task", NOW + 20))
        page = (await world.api.get(f"{path}&cursor={empty['next_cursor']}")).json()
        assert ([task["id"] for task in page["items"]], page["next_cursor"]) == ([first_id("task", NOW)], None)


async def test_an_action_on_many_reaches_what_is_behind_an_empty_page(tmp_path: Path) -> None:
    """It works through the list to its end."""
    async with a_world(tmp_path) as world:
        await world.service.storage.write(record_tasks)
        body = {"action": "cancel", "filter": {"metadata.order": "first"}, "dry_run": True}
        assert (await world.api.post("/v1/tasks/bulk", json=body)).json() == {"count": 1}
        assert (await world.api.post("/v1/tasks/bulk", json=body | {"dry_run": False})).json() == {"count": 1}
        task = (await world.api.get(f"/v1/tasks/{first_id('task', NOW)}")).json()
        assert task["status"] == "canceled"


async def test_events_are_reached_over_an_empty_page(tmp_path: Path) -> None:
    """Either way round `has_more` says that there is more to look through, and `next_cursor` goes on from there."""
    async with a_world(tmp_path) as world:
        await world.service.storage.write(record_events)

        async def read(query: str) -> tuple[list[int], str, bool]:
            page = (await world.api.get(f"/v1/events?type=task.queued&{query}")).json()
            return [event["seq"] for event in page["items"]], page["next_cursor"], page["has_more"]

        assert await read("order=desc") == ([], "21", True)
        assert await read("order=desc&after=21") == ([2], "2", False)
        assert await read("after=2&limit=1") == ([], str(MOST_SEARCHED + 2), True)
        assert await read(f"after={MOST_SEARCHED + 2}") == ([], str(COUNT), False)
        assert await read("limit=1") == ([2], str(MOST_SEARCHED), True)
