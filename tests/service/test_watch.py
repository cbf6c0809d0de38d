"""Watching one task by the URL in its submit's answer: without a key, without its input, for as long as it matters."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from receiver import intake
from receiver.domain import Source, Status, Update
from receiver.store.protocol import Store
from tests.service.asking import complaint
from tests.service.world import World, a_pair, created, record, scripted, soon
from tests.sse import streamed

pytestmark = pytest.mark.anyio


def path_of(task: dict[str, Any]) -> str:
    """Where a task is watched, at whatever server."""
    return "/v1/" + str(task["watch_url"]).partition("/v1/")[2]


async def progress(world: World, task_id: str, percent: int) -> None:
    """The provider says how far it is; nobody asked for that by name, so that it gives no event."""

    def take(store: Store) -> intake.Taken:
        task = store.task(task_id)
        assert task is not None
        update = Update(status=Status.RUNNING, provider_status="generating", progress=percent)
        return intake.take(store, task, update, source=Source.POLL, verified_by=None, now=world.clock.now())

    world.service.bell.ring(await world.service.storage.write(take))


async def test_every_submits_answer_says_where(tmp_path: Path) -> None:
    """The first one, its repeat, a resubmit, an adoption and its repeat: the same task, the same address."""
    async with scripted(created()) as apikley, a_pair(tmp_path, apikley) as world:
        body = {"provider": "apikley", "model": "bytedance/v1-pro-text-to-video", "input": {"prompt": "a red panda"}}
        keyed = {"headers": {"idempotency-key": "k1"}}
        first, again = [(await world.api.post("/v1/tasks", json=body, **keyed)) for _ in range(2)]
        assert again.headers["idempotent-replayed"] == "true"
        assert first.json()["watch_url"] == again.json()["watch_url"]
        assert first.json()["watch_url"].startswith(f"http://taskweir.test/v1/watch/{first.json()['id']}.")
        adopt = {"provider": "apikley", "provider_task_id": "p9"}
        new, known = [(await world.api.post("/v1/tasks/adopt", json=adopt)) for _ in range(2)]
        assert (new.status_code, known.status_code) == (201, 200)
        assert new.json()["watch_url"] == known.json()["watch_url"] != first.json()["watch_url"]
        await world.api.post(f"/v1/tasks/{first.json()['id']}/cancel")
        more = (await world.api.post(f"/v1/tasks/{first.json()['id']}/resubmit")).json()
        assert more["id"] in more["watch_url"]
        assert "watch_url" not in await world.task(more["id"])


async def test_without_a_public_url_it_is_where_we_were_asked(tmp_path: Path) -> None:
    """By the host that the caller used."""
    async with (
        scripted(created()) as apikley,
        a_pair(tmp_path, apikley, TASKWEIR_PUBLIC_URL="") as world,
        streamed(world) as reached,
    ):
        body = {"provider": "apikley", "model": "m", "input": {"prompt": "a"}, "checks": False}
        task = (await reached.api.post("/v1/tasks", json=body)).json()
        assert task["watch_url"].startswith(f"http://127.0.0.1:{reached.server.port}/v1/watch/")
        assert (await reached.api.head(task["watch_url"])).status_code == 200


async def test_a_page_sees_how_it_stands_what_happens_and_the_end(tmp_path: Path) -> None:
    """However late it comes; after the end it is told to stop, and 204 when it comes back all the same."""
    async with (
        scripted(created(), record("generating"), record("success")) as apikley,
        a_pair(tmp_path, apikley, TASKWEIR_PUBLIC_URL="") as world,
        streamed(world) as reached,
    ):
        task = await world.submit(metadata={"order": "for nobody else"})
        nobody = httpx.AsyncClient(base_url=reached.api.base_url)
        page = replace(reached, api=nobody)
        async with page.listening(path_of(task)) as early, AsyncExitStack() as stack:
            await early.until(lambda heard: heard.types == ["submitted"])
            assert early.response is not None
            assert early.response.headers["access-control-allow-origin"] == "*"
            await world.turn(30)
            late = await stack.enter_async_context(page.listening(path_of(task)))
            await late.until(lambda heard: heard.types == ["running"])
            await progress(world, task["id"], 40)
            await late.until(lambda heard: heard.types == ["running", "progress"])
            assert late.messages[-1].data["data"]["task"]["progress"] == 40
            assert late.last_id == "2"
            await world.turn(30)
            await early.until(lambda heard: heard.ended)
            await late.until(lambda heard: heard.ended)
            assert early.types == ["submitted", "running", "progress", "succeeded", "end"]
            assert late.types == ["running", "progress", "succeeded", "end"]
            assert [each.id for each in early.messages] == ["1", "2", "2", "3", "3"]
            for each in early.messages[:-1]:
                shown = each.data["data"]["task"]
                assert not shown.keys() & {"input", "metadata", "waiting_for"}
                assert "for nobody else" not in each.text
            events = await world.events(task["id"])
            told = [each for each in early.messages if each.type not in ("task.progress", "end")]
            assert [each.data["id"] for each in told] == [each["id"] for each in events]
            after = await stack.enter_async_context(page.listening(path_of(task)))
            await after.until(lambda heard: heard.types == ["succeeded", "end"] and heard.ended)
            assert after.messages[0].data["id"] == events[-1]["id"]
        for had, wanted in (
            ("3", (204, [])),
            ("2", (200, ["succeeded", "end"])),
            ("1", (200, ["running", "succeeded", "end"])),
        ):
            async with page.listening(path_of(task), headers={"last-event-id": had}) as again:
                await again.until(lambda heard: heard.ended)
                assert again.response is not None
                assert (again.response.status_code, again.types) == wanted
        await nobody.aclose()


async def test_a_script_of_any_page_may_say_what_it_had_last(tmp_path: Path) -> None:
    """A browser asks before it sends that header for a script; without the answer, nobody resumes but `EventSource`."""
    async with scripted(created()) as apikley, a_pair(tmp_path, apikley) as world:
        asked = {"origin": "https://shop.example", "access-control-request-method": "GET"}
        asked["access-control-request-headers"] = "last-event-id"
        path = path_of(await world.submit())
        answer = await world.api.options(path, headers=asked)
        assert (answer.status_code, answer.content) == (204, b"")
        assert answer.headers["access-control-allow-origin"] == "*"
        assert answer.headers["access-control-allow-methods"] == "GET"
        assert answer.headers["access-control-allow-headers"] == "*"


async def test_what_is_behind_the_events_is_told_once(tmp_path: Path) -> None:
    """Who comes back without having missed an event is told how the task stands, for that may be news."""
    async with scripted(created()) as apikley, a_pair(tmp_path, apikley) as world, streamed(world) as reached:
        task = await world.submit()
        await progress(world, task["id"], 10)
        had = {"headers": {"last-event-id": "2"}}
        async with reached.listening(path_of(task), **had) as listener:
            await progress(world, task["id"], 50)
            await listener.until(lambda heard: len(heard.messages) == 2)
            assert [each.data["data"]["task"]["progress"] for each in listener.messages] == [10, 50]


async def test_it_is_watched_for_a_day_after_its_end(tmp_path: Path) -> None:
    """Then 410, 404 once it is deleted; any page may read these answers, too."""
    async with scripted(created(), record("success")) as apikley, a_pair(tmp_path, apikley) as world:
        task = await world.submit()
        await world.turn(120)
        path, nobody = path_of(task), {"headers": {"authorization": ""}}
        world.clock.advance(24 * 3600)
        assert "event: task.succeeded\n" in (await world.api.get(path, **nobody)).text
        world.clock.advance(1)
        gone = await world.api.get(path, **nobody)
        assert complaint(gone, 410) is None
        assert gone.headers["access-control-allow-origin"] == "*"
        world.clock.advance(60 * 86_400)
        while await world.service.retention.run_once() < 1:
            pass
        assert complaint(await world.api.get(path, **nobody), 404) is None


async def test_only_our_own_token_opens_it(tmp_path: Path) -> None:
    """Not a made-up one, not that of the task's callback, not another task's id with it; reading only."""
    async with scripted(created()) as apikley, a_pair(tmp_path, apikley) as world:
        task = await world.submit()
        token = path_of(task).removeprefix("/v1/watch/")
        callback = (await world.callback_url(task["id"])).rpartition("/")[2]
        other = token.replace(task["id"], "task_" + "0" * 26)
        for wrong in (token[:-2], callback, other, task["id"], "%00", "x" * 500):
            refused = await world.api.get(f"/v1/watch/{wrong}")
            assert complaint(refused, 404) is None
            assert refused.headers["access-control-allow-origin"] == "*"
        assert (await world.api.post(f"/callbacks/apikley/{token}", json={})).status_code == 404
        for method in ("POST", "PUT", "DELETE"):
            assert (await world.api.request(method, path_of(task))).status_code == 405
        assert (await world.api.head(path_of(task))).status_code == 200


async def test_its_token_is_in_no_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever happens on the way."""
    async with scripted(created()) as apikley, a_pair(tmp_path, apikley) as world, streamed(world) as reached:
        task = await world.submit()
        async with reached.listening(path_of(task)) as listener:
            await listener.until(lambda heard: heard.messages)
        await world.service.storage.close()
        assert (await world.api.get(path_of(task))).status_code == 200  # told to come back
        await world.api.get(path_of(task)[:-1])
    printed = capsys.readouterr()
    assert "task.handed_over" in printed.out + printed.err
    assert path_of(task).rpartition(".")[2] not in printed.out + printed.err


async def test_a_task_that_is_still_handed_over_is_shown_so(tmp_path: Path) -> None:
    """From its beginning on, before there is any event."""
    answered = asyncio.Event()
    async with scripted(answered, created()) as apikley, a_pair(tmp_path, apikley) as world, streamed(world) as reached:
        submitting = await reached.api.post(
            "/v1/tasks",
            json={"provider": "apikley", "model": "m", "input": {"prompt": "a"}, "checks": False},
            headers={"prefer": "respond-async"},
        )
        assert submitting.status_code == 202
        async with reached.listening(path_of(submitting.json())) as listener:
            await listener.until(lambda heard: heard.types == ["submitting"])
            answered.set()
            await listener.until(lambda heard: heard.types == ["submitting", "submitted"])
            assert [each.id for each in listener.messages] == ["", "1"]


async def test_what_another_process_learns_is_shown_here(tmp_path: Path, postgres_url: str) -> None:
    """Its events, and within seconds what gives none."""
    fields = {"TASKWEIR_DATABASE_URL": postgres_url}
    async with (
        scripted(created(), record("success")) as apikley,
        a_pair(tmp_path / "one", apikley, **fields) as one,
        a_pair(tmp_path / "other", apikley, **fields) as other,
        streamed(one) as reached,
    ):
        task = await one.submit()
        async with reached.listening(path_of(task)) as listener:
            await listener.until(lambda heard: heard.types == ["submitted"])
            await progress(other, task["id"], 30)
            await listener.until(lambda heard: heard.types[-1:] in (["progress"], ["running"]))
            await progress(other, task["id"], 60)
            await listener.until(lambda heard: heard.messages[-1].data["data"]["task"]["progress"] == 60)
            await other.turn(120)
            await listener.until(lambda heard: heard.types[-2:] == ["succeeded", "end"])
            assert [each for each in listener.types if each != "progress"] == [
                "submitted",
                "running",
                "succeeded",
                "end",
            ]


async def test_a_page_that_cannot_keep_up_is_told_the_rest(tmp_path: Path) -> None:
    """What was dropped for it is read again: nothing is missing, nothing twice."""
    async with scripted(created()) as apikley, a_pair(tmp_path, apikley) as world, streamed(world) as reached:
        task = await world.submit()
        async with reached.listening(path_of(task)) as listener:
            await listener.until(lambda heard: heard.types == ["submitted"])
            assert world.service.feed is not None
            [reader] = world.service.feed._readers
            reader.missed = True
            await progress(world, task["id"], 10)
            await listener.until(lambda heard: heard.types == ["submitted", "running"])
            await soon(lambda: not reader.missed)
            await world.api.post(f"/v1/tasks/{task['id']}/cancel")
            await listener.until(lambda heard: heard.ended)
            assert [each for each in listener.types if each != "progress"] == [
                "submitted",
                "running",
                "canceled",
                "end",
            ]


async def test_who_has_no_key_keeps_out_nobody_who_has_one(tmp_path: Path) -> None:
    """Half of the streams are for anybody; who comes then is told to come back later, and a browser does."""
    async with scripted(created()) as apikley, a_pair(tmp_path, apikley) as world, streamed(world) as reached:
        task = await world.submit()
        async with reached.listening(path_of(task)) as first, reached.listening(path_of(task)) as second:
            assert world.service.feed is not None
            world.service.feed._most = 4
            async with reached.listening(path_of(task)) as third, reached.listening() as with_key:
                await third.until(lambda heard: heard.ended)
                assert third.response is not None
                assert (third.response.status_code, third.messages) == (200, [])
                assert (third.retry_ms or 0) >= 10_000
                assert [each.ended for each in (first, second, with_key)] == [False] * 3
