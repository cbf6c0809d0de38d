"""REST hooks: no-code tools subscribe, look whether they have, ask for samples, and are gone when they say so."""

import json
from pathlib import Path
from typing import Any

import pytest

from receiver import formats
from receiver.domain import EventType, OperatorEvent
from receiver.retention import DAY
from receiver.store.protocol import Store
from receiver.store.records import BITE
from tests.make import NOW, a_delivery, a_destination
from tests.service.asking import complaint, failures
from tests.service.consumer import a_consumer
from tests.service.owing import OPERATORS, happen, quiet
from tests.service.tenants import a_holder
from tests.service.world import World, a_pair, a_world, created, record, scripted

pytestmark = pytest.mark.anyio

URL = "http://127.0.0.1:9/hooks/catch/1/abc?x=1"
NAMES = ("target_url", "targetUrl", "hookUrl", "url")


async def subscribed(world: World, url: str = URL, event: str = "task.finished", **more: Any) -> str:
    """The id of a hook."""
    answer = await world.api.post("/v1/hooks", json={"target_url": url, "event": event, **more})
    assert answer.status_code == 201, answer.text
    assert answer.json().keys() == {"id"}
    world.clock.advance(1)
    return str(answer.json()["id"])


async def hooks(world: World, **query: str) -> list[str]:
    answer = await world.api.get("/v1/hooks", params=query)
    assert answer.status_code == 200, answer.text
    return [each["id"] for each in answer.json()["items"]]


async def samples(world: World, **query: Any) -> list[dict[str, Any]]:
    answer = await world.api.get("/v1/hooks/sample", params=query)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()
    return items


async def a_success(world: World, task_id: str) -> str:
    """A task that succeeds at a scripted Apikley, under its own id."""
    task = await world.submit(metadata={"order": "42"})
    ended = await world.end(task["id"], step_s=30)
    assert (ended["status"], ended["provider_task_id"]) == ("succeeded", task_id)
    return str(task["id"])


async def test_subscribing(tmp_path: Path) -> None:
    """Any of the names that tools know, whatever else they send; the same URL and event is the same hook."""
    async with a_world(tmp_path) as world:
        first = await subscribed(world, style="instant", zap={"id": 1})
        for name in NAMES:
            body = {"event": "task.finished", name: URL, "hook_url": None, "url": URL}
            answer = await world.api.post("/v1/hooks", json=body)
            assert (answer.status_code, answer.json()) == (201, {"id": first})
        other = await subscribed(world, event="task.failed")
        elsewhere = await subscribed(world, url="http://127.0.0.1:9/other", event="task.*")
        assert len({first, other, elsewhere}) == 3
        assert await hooks(world) == [elsewhere, other, first]
        [shown] = (await world.api.get("/v1/hooks", params={"url": URL, "event": "task.finished"})).json()["items"]
        made_at = "2025-12-08T09:40:00.000Z"
        assert shown == {"id": first, "url": URL, "event": "task.finished", "enabled": True, "created_at": made_at}
        assert await hooks(world, url=URL) == [other, first]
        assert await hooks(world, url="http://127.0.0.1:9/none") == []


async def test_a_hook_is_a_destination(tmp_path: Path) -> None:
    """Listed with the others, in the flat format and at a rate; what it was made by cannot be changed there."""
    async with a_world(tmp_path) as world:
        hook = await subscribed(world)
        shown = (await world.api.get(f"/v1/destinations/{hook}")).json()
        wanted = {
            "type": "webhook",
            "url": URL,
            "event_types": ["task.finished"],
            "format": "flat",
            "hook": "task.finished",
        }
        assert shown | wanted | {"rate_per_second": 14.0, "description": "REST hook"} == shown
        assert [each["id"] for each in (await world.api.get("/v1/destinations")).json()["items"]] == [hook]
        for change in ({"url": "http://127.0.0.1:9/x"}, {"event_types": ["task.*"]}, {"format": None}):
            answer = await world.api.patch(f"/v1/destinations/{hook}", json=change)
            assert complaint(answer, 422, *change) is None
        answer = await world.api.patch(f"/v1/destinations/{hook}", json={"headers": {"x-team": "blue"}})
        assert answer.json()["headers"] == {"x-team": "set"}


REFUSED: list[tuple[Any, str]] = [
    ({"event": "task.finished"}, "target_url"),
    ({"event": "task.finished", "target_url": "", "url": None}, "target_url"),
    ({"event": "task.finished", "url": URL, "targetUrl": URL + "2"}, "targetUrl"),
    ({"event": "task.finished", "url": ["http://127.0.0.1:9/"]}, "url"),
    ({"url": URL}, "event"),
    ({"url": URL, "event": ["task.finished"]}, "event"),
    ({"url": URL, "event": "task.finnished"}, "event"),
    ({"event": "task.finished", "hookUrl": "http://10.0.0.1/"}, "hookUrl"),
    ({"event": "task.finished", "targetUrl": "http://nowhere.invalid/"}, "targetUrl"),
    ({"event": "task.finished", "url": "ftp://example.com/"}, "url"),
    ([], ""),
]


async def test_what_is_refused(tmp_path: Path) -> None:
    """With the name that it was said under; nothing is kept."""
    async with a_world(tmp_path) as world:
        asked = {str(body): (await world.api.post("/v1/hooks", json=body), path) for body, path in REFUSED}
        assert failures({name: complaint(answer, 422, path) for name, (answer, path) in asked.items()}) == {}
        assert await hooks(world) == []


async def test_other_refusals(tmp_path: Path) -> None:
    """As everywhere: no JSON, no key, queries that nobody could mean."""
    async with a_world(tmp_path) as world:
        other = await world.destination("http://127.0.0.1:9/")
        nobody = {"authorization": "Bearer nobody"}
        asked = {
            "no JSON": (await world.api.post("/v1/hooks", content=b"url=http"), 400, []),
            "no key": (await world.api.post("/v1/hooks", json={}, headers=nobody), 401, []),
            "no key to look": (await world.api.get("/v1/hooks", headers=nobody), 401, []),
            "no key to delete": (await world.api.delete("/v1/hooks/x", headers=nobody), 401, []),
            "no key for samples": (await world.api.get("/v1/hooks/sample", headers=nobody), 401, []),
            "a filter without a value": (await world.api.get("/v1/hooks?url="), 422, ["url"]),
            "all of them": (await world.api.delete("/v1/hooks"), 422, ["url"]),
            "a URL that is none": (await world.api.delete("/v1/hooks?url="), 422, ["url"]),
            "an id that is none": (await world.api.delete("/v1/hooks/undefined"), 404, []),
            "what is no hook": (await world.api.delete(f"/v1/hooks/{other['id']}"), 404, []),
            "samples of nothing": (await world.api.get("/v1/hooks/sample?event=task.done"), 422, ["event"]),
            "too many samples": (await world.api.get("/v1/hooks/sample?limit=51"), 422, ["limit"]),
        }
        assert (
            failures({name: complaint(answer, status, *paths) for name, (answer, status, paths) in asked.items()}) == {}
        )
        assert (await world.api.get(f"/v1/destinations/{other['id']}")).status_code == 200


async def test_unsubscribing(tmp_path: Path) -> None:
    """By id or by URL, twice as well; another tenant's is not there."""
    async with a_world(tmp_path) as world:
        theirs = a_destination(id=f"dst_{0:026}", tenant="other", target=URL, hook="task.finished")
        await world.service.storage.write(lambda store: store.record_hook(theirs))
        first, second = await subscribed(world), await subscribed(world, event="task.failed")
        third = await subscribed(world, url="http://127.0.0.1:9/other")
        for _ in range(2):
            gone = await world.api.delete(f"/v1/hooks/{third}")
            assert (gone.status_code, gone.content) == (204, b"")
        ours = await a_holder(world, "default", "admin")
        assert complaint(await ours.ask("DELETE", f"/v1/hooks/{theirs.id}"), 404) is None
        assert (await world.api.delete("/v1/hooks", params={"url": URL, "event": "task.failed"})).status_code == 204
        assert await hooks(world) == [first]
        assert second not in await hooks(world)
        for _ in range(2):
            assert (await world.api.delete("/v1/hooks", params={"url": URL})).status_code == 204
        assert await hooks(world) == []
        assert await world.service.storage.read(lambda store: store.destination(theirs.id, "other")) is not None
        assert await subscribed(world) != first


async def test_a_hook_gets_what_the_sample_shows(tmp_path: Path) -> None:
    """Event and sample are the same, stable id included; the sample is newest first, and of that event only."""
    answers = [created("p1"), record("success", "p1"), created("p2"), record("fail", "p2", failMsg="no")]
    async with a_consumer() as zap, scripted(*answers) as apikley, a_pair(tmp_path, apikley) as world:
        await subscribed(world, zap.url)
        task_id = await a_success(world, "p1")
        failed = await world.submit()
        assert (await world.end(failed["id"], step_s=30))["status"] == "failed"
        await quiet(world)
        succeeded, refused = zap.events
        assert (succeeded["type"], succeeded["task_id"], succeeded["prompt"]) == (
            "task.succeeded",
            task_id,
            "a red panda",
        )
        assert succeeded["output_url"] == "https://files.example/1.mp4"
        assert (succeeded["metadata_order"], refused["status"]) == ("42", "failed")
        assert succeeded.keys() == {*formats.FLAT_COLUMNS, "metadata_order"}
        assert await samples(world, event="task.finished") == [refused, succeeded]
        assert await samples(world, event="task.succeeded") == await samples(world, event="task.succeeded", limit=1)
        assert await samples(world, event="task.finished", limit=1) == [refused]
        assert len(await samples(world)) == 4


async def test_samples_before_there_is_anything(tmp_path: Path) -> None:
    """Made up, one of each type, the same at every time and on every server, and in the same shape."""
    events = [*EventType, *OperatorEvent]
    seen = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        async with a_world(tmp_path / name) as world:
            seen.append({event: await samples(world, event=event) for event in (*events, "task.finished", "task.*")})
    assert seen[0] == seen[1]
    for event in events:
        [only] = seen[0][event]
        assert only["type"] == event
        assert set(formats.FLAT_COLUMNS) <= only.keys()
    finished = seen[0]["task.finished"]
    assert [each["status"] for each in finished] == ["succeeded", "failed", "canceled", "expired"]
    assert [each["timestamp"] for each in finished] == sorted((each["timestamp"] for each in finished), reverse=True)
    assert finished[0]["output_url"] == finished[0]["output_urls"][0]
    assert finished[1]["error_kind"] == "content_policy"
    assert "task.progress" not in {each["type"] for each in seen[0]["task.*"]}
    assert len({each["id"] for each in seen[0]["task.*"]}) == len(EventType) - 1


async def test_samples_are_together_no_larger_than_one_hook(tmp_path: Path) -> None:
    """However large each of them is."""
    body = {
        "id": "",
        "type": "task.failed",
        "timestamp": "2025-12-08T09:40:00.000Z",
        "data": {"reason": "x" * 2_400_000},
    }

    def fill(store: Store) -> None:
        for number in range(4):
            seq, event_id = store.next_seq(), f"evt_{number:026}"
            text = json.dumps(body | {"id": event_id})
            store.record_operator_event(
                seq=seq, id=event_id, tenant="default", provider="", type="task.failed", at=1, body=text
            )

    async with a_world(tmp_path) as world:
        await world.service.storage.write(fill)
        assert [each["id"] for each in await samples(world)] == [f"evt_{3:026}", f"evt_{2:026}"]


async def test_410_deletes_a_hook(tmp_path: Path) -> None:
    """Not merely disables: what it is owed is canceled, operators are told, and unsubscribing is 204 all the same."""
    async with (
        a_consumer(410) as gone,
        a_consumer() as pager,
        scripted(created("p1"), record("success", "p1")) as apikley,
        a_pair(tmp_path, apikley) as world,
    ):
        await world.destination(pager.url, event_types=OPERATORS)
        hook = await subscribed(world, gone.url, event="task.*")
        await a_success(world, "p1")
        await quiet(world)
        assert len(gone.ids) == 1
        assert await hooks(world) == []
        assert complaint(await world.api.get(f"/v1/destinations/{hook}"), 404) is None
        states = {each["state"] for each in await world.deliveries(destination_id=hook)}
        assert states == {"canceled"}
        [told] = [each["data"] for each in pager.events if each["type"] == "destination.disabled"]
        assert (told["destination_id"], told["reason"]) == (hook, "gone")
        assert (await world.api.delete(f"/v1/hooks/{hook}")).status_code == 204
        assert await subscribed(world, gone.url, event="task.*") != hook


async def test_410_deletes_a_hook_that_is_owed_a_lot(tmp_path: Path) -> None:
    """Disabled at once, for nobody shall wait while thousands are canceled; deleted by the next run of retention."""
    async with a_consumer(410) as gone, a_world(tmp_path) as world:
        hook = await subscribed(world, gone.url)

        def owe(store: Store) -> None:
            for number in range(BITE + 1):
                later = a_delivery(id=f"dlv_{number:026}", destination_id=hook, due_at=NOW + DAY)
                store.record_delivery(later, 1)

        await world.service.storage.write(owe)
        await happen(world, 1)
        await quiet(world)
        assert len(gone.ids) == 1
        shown = (await world.api.get(f"/v1/destinations/{hook}")).json()
        assert (shown["state"], shown["disabled_reason"]) == ("disabled", "gone")
        await world.service.retention.run_once()
        assert await hooks(world) == []
        assert await world.deliveries(destination_id=hook, state="pending") == []


async def test_subscribing_again_enables_again(tmp_path: Path) -> None:
    """Where somebody switched it off meanwhile: who subscribes wants events."""
    async with a_world(tmp_path) as world:
        hook = await subscribed(world)
        assert (await world.api.post(f"/v1/destinations/{hook}/disable")).json()["enabled"] is False
        assert [each["enabled"] for each in (await world.api.get("/v1/hooks")).json()["items"]] == [False]
        assert await subscribed(world) == hook
        assert (await world.api.get(f"/v1/destinations/{hook}")).json()["state"] == "healthy"


async def test_the_list_has_pages(tmp_path: Path) -> None:
    """As every list, newest first."""
    async with a_world(tmp_path) as world:
        made = [await subscribed(world, url=f"{URL}{number}") for number in range(3)]
        page = (await world.api.get("/v1/hooks?limit=2")).json()
        assert [each["id"] for each in page["items"]] == [made[2], made[1]]
        rest = (await world.api.get("/v1/hooks", params={"cursor": page["next_cursor"]})).json()
        assert ([each["id"] for each in rest["items"]], rest["next_cursor"]) == ([made[0]], None)
