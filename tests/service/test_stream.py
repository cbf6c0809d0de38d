"""The stream of events: from where its reader stood, in order, each once, to as many as want it."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from receiver.domain import EventType
from receiver.readers import MOST_WAITING
from receiver.server import SEND_BUFFER
from receiver.service import SERVERLESS, Limits
from tests.make import a_task
from tests.service.asking import complaint
from tests.service.world import LIMITS, a_pair, a_world, created, record, scripted, soon
from tests.sse import Streamed, happen, streamed

pytestmark = pytest.mark.anyio

STREAM = "/v1/events/stream"
OFTEN = replace(LIMITS, heartbeat_s=0.05)


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    """The loop of production, for its transports are what slow readers meet."""
    return "asyncio", {"use_uvloop": True}


@asynccontextmanager
async def a_stream(directory: Path, limits: Limits = LIMITS, **fields: Any) -> AsyncIterator[Streamed]:
    async with a_world(directory, limits=limits, **fields) as world, streamed(world) as reached:
        yield reached


async def test_what_comes_is_told_as_it_is_listed(tmp_path: Path) -> None:
    """`id` is the seq, `event` the type, `data` the list's item; nothing on the way may keep or hold it back."""
    async with (
        scripted(created(), record("success")) as apikley,
        a_pair(tmp_path, apikley) as world,
        streamed(world) as reached,
        reached.listening() as listener,
    ):
        assert listener.response is not None
        headers = listener.response.headers
        assert [headers[name] for name in ("content-type", "cache-control", "x-accel-buffering")] == [
            "text/event-stream",
            "no-store",
            "no",
        ]
        assert "content-length" not in headers
        task = await world.submit()
        await world.end(task["id"], step_s=30)
        await listener.until(lambda heard: len(heard.messages) == 2)
        listed = await world.events()
        assert [each.data for each in listener.messages] == listed
        assert [(each.id, each.type) for each in listener.messages] == [(f"{e['seq']}", e["type"]) for e in listed]


async def test_it_begins_now_unless_it_is_told_where(tmp_path: Path) -> None:
    """`Last-Event-ID` before `after`, a page's cursor as well as a seq; 0 is the oldest kept."""
    async with a_stream(tmp_path) as reached:
        await reached.happen(5)
        for asked, wanted in (
            ({}, []),
            ({"params": {"after": "0"}}, [1, 2, 3, 4, 5]),
            ({"params": {"after": "3"}}, [4, 5]),
            ({"params": {"after": "3:2"}}, [4, 5]),
            ({"params": {"after": "1"}, "headers": {"last-event-id": "4"}}, [5]),
            ({"params": {"after": "2"}, "headers": {"last-event-id": ""}}, [3, 4, 5]),
            ({"params": {"after": "5"}}, []),
        ):
            async with reached.listening(**asked) as listener:
                [seq] = await reached.happen(1)
                reached.look()
                await listener.until(lambda heard, seq=seq: heard.seqs[-1:] == [seq])
                had = [*wanted, *range(6, seq)] if asked else []
                assert listener.seqs == [*had, seq]


async def test_who_heard_nothing_yet_comes_back_to_where_he_was(tmp_path: Path) -> None:
    """Its place is the stream's first word, and a heartbeat's: no filter and no silence makes a gap."""
    async with a_stream(tmp_path, OFTEN) as reached:
        await reached.happen(5)
        rare = {"params": {"type": "task.failed"}}
        async with reached.listening(**rare) as listener:
            await soon(lambda: listener.last_id == "5")
            await reached.happen(3)
            reached.look()
            await soon(lambda: listener.last_id == "8")
            await soon(lambda: listener.comments > 2)
            assert listener.messages == []
        await reached.happen(1, type=EventType.FAILED)
        async with reached.listening(**rare, headers={"last-event-id": listener.last_id}) as listener:
            await listener.until(lambda heard: heard.seqs == [9])


async def test_what_it_refuses(tmp_path: Path) -> None:
    """No key, a place that is none, an unknown type or parameter; HEAD does not wait for events."""
    async with a_stream(tmp_path) as reached:
        assert complaint(await reached.api.get(STREAM, headers={"authorization": ""}), 401) is None
        for asked, path in (
            ({"params": {"after": "x"}}, "after"),
            ({"headers": {"last-event-id": "-1"}}, "Last-Event-ID"),
            ({"params": {"type": "task.nothing"}}, "type"),
            ({"params": {"order": "desc"}}, "order"),
            ({"params": {"limit": "2"}}, "limit"),
        ):
            answer = await reached.api.get(STREAM, **asked)
            assert complaint(answer, 422) is None
            assert [each["path"] for each in answer.json()["errors"]] == [path]
        assert (await reached.api.head(STREAM)).headers["content-type"] == "text/event-stream"
        assert (await reached.api.post(STREAM)).status_code == 405


async def test_who_was_away_too_long_is_told_so(tmp_path: Path) -> None:
    """410 where retention deleted what comes next, before the stream begins; with the oldest kept it goes on."""
    async with a_stream(tmp_path) as reached:
        world = reached.world
        await reached.happen(5)
        world.clock.advance(60 * 86_400)
        [seq] = await happen(world, 1, task=a_task(created_at=world.clock.now()))
        while await world.service.retention.run_once() < 1:
            pass
        assert complaint(await reached.api.get(STREAM, headers={"last-event-id": "2"}), 410) is None
        async with reached.listening(params={"after": "0"}) as listener:
            await listener.until(lambda heard: heard.seqs == [seq])


async def test_everybody_gets_what_he_asked_for_and_no_other_tenants(tmp_path: Path) -> None:
    """Filters by type, group of types, task and provider, live and from the pages alike."""
    async with a_stream(tmp_path) as reached:
        asked: list[dict[str, Any]] = [
            {},
            {"type": "task.failed"},
            {"type": "task.finished"},
            {"task_id": "task_2"},
            {"provider": "reapi"},
            {"provider": "reapi", "type": ["task.submitted", "task.failed"]},
        ]
        wanted = [[1, 2, 3, 4], [4], [2, 4], [2, 3], [3, 4], [4]]
        happened = [
            (a_task(), EventType.SUBMITTED),
            (a_task(id="task_2"), EventType.SUCCEEDED),
            (a_task(id="task_2", provider="reapi"), EventType.RUNNING),
            (a_task(id="task_3", provider="reapi"), EventType.FAILED),
            (a_task(id="task_4", tenant="other"), EventType.FAILED),
        ]

        async def heard(**more: Any) -> list[list[int]]:
            opened = [reached.listening(params=each | more) for each in asked]
            listeners = [await each.__aenter__() for each in opened]
            if not more:
                for task, what in happened:
                    await happen(reached.world, 1, task=task, type=what)
                reached.look()
            for listener, seqs in zip(listeners, wanted, strict=True):
                await listener.until(lambda each, seqs=seqs: len(each.messages) >= len(seqs))
            [mark] = await reached.happen(1, tenant="nobody")
            reached.look()
            await soon(lambda: reached.world.service.feed is not None and reached.world.service.feed.at == mark)
            for each in opened:
                await each.__aexit__(None, None, None)
            return [listener.seqs for listener in listeners]

        assert await heard() == wanted
        assert await heard(after="0") == wanted


async def test_who_was_away_for_long_catches_up_and_misses_nothing(tmp_path: Path) -> None:
    """20,000 events behind, while more come: each once, in order; others hear at once meanwhile."""
    async with a_stream(tmp_path) as reached:
        for _ in range(10):
            await reached.happen(2000)
        async with reached.listening() as fresh, reached.listening(params={"after": "0"}) as late:
            while len(late.messages) < 20_000:
                [seq] = await reached.happen(1)
                reached.look()
                await fresh.until(lambda heard, seq=seq: heard.seqs[-1:] == [seq], within_s=3)
            [last] = await reached.happen(1)
            reached.look()
            await late.until(lambda heard: heard.seqs[-1:] == [last])
            assert late.seqs == list(range(1, last + 1))
            assert fresh.seqs == list(range(20_001, last + 1))
            assert last > 20_003


async def test_who_reads_slowly_holds_up_nobody_and_takes_no_room(tmp_path: Path) -> None:
    """What waits for one that takes nothing is bounded; when he goes on reading he gets everything all the same."""
    async with a_stream(tmp_path) as reached, reached.listening() as quick:
        feed = reached.world.service.feed
        assert feed is not None
        async with reached.server.caller(buffer=4096) as slow:
            key = reached.api.headers["authorization"]
            await slow.say(f"GET {STREAM} HTTP/1.1\r\nHost: x\r\nAuthorization: {key}\r\n\r\n".encode())
            await soon(lambda: len(feed._readers) == 2)
            for each in reached.server.state.connections:  # as the server has it, else the kernel takes megabytes
                each.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
            for _ in range(5):
                [*_, last] = await reached.happen(250)
                reached.look()
                await quick.until(lambda heard, last=last: heard.seqs[-1:] == [last], within_s=3)
                assert all(reader._size <= MOST_WAITING for reader in feed._readers)
            assert sum(reader.missed for reader in feed._readers) == 1
            assert max(each.transport.get_write_buffer_size() for each in reached.server.state.connections) < 100_000
            wanted = f"id: {last}\n".encode()
            heard = b""
            async with asyncio.timeout(20):
                while wanted not in heard:
                    heard += await slow.reader.read(65_536)
            found = [int(line[4:]) for line in heard.split(b"\n") if line.startswith(b"id: ")]
            assert found[1:] == list(range(1, last + 1))


async def test_many_readers_cost_one_query_a_look(tmp_path: Path) -> None:
    """However many read along: 30 of them, 10 looks, some 10 reads of the store."""
    async with a_world(tmp_path) as world, streamed(world) as reached:
        reads = 0
        storage = world.service.storage
        read = type(storage).read

        class Counted(type(storage)):  # type: ignore[misc]
            async def read(self, *args: Any, **fields: Any) -> Any:
                nonlocal reads
                reads += 1
                return await read(self, *args, **fields)

        storage.__class__ = Counted
        opened = [reached.listening() for _ in range(30)]
        listeners = [await each.__aenter__() for each in opened]
        reads = 0
        for _ in range(10):
            [seq] = await reached.happen(1)
            reached.look()
            for listener in listeners:
                await listener.until(lambda heard, seq=seq: heard.seqs[-1:] == [seq])
        assert 20 <= reads <= 40  # half of them are those of `happen`
        assert {tuple(listener.seqs) for listener in listeners} == {tuple(range(1, 11))}
        for each in opened:
            await each.__aexit__(None, None, None)
        await soon(lambda: world.service.feed is not None and not world.service.feed._readers)


async def test_when_the_server_stops_so_do_the_streams(tmp_path: Path) -> None:
    """At once and in order; who comes meanwhile is told when to come back, for a browser gives up at a refusal."""
    async with a_stream(tmp_path) as reached, reached.listening() as first, reached.listening() as second:
        draining = asyncio.ensure_future(reached.world.service.drain())
        await first.until(lambda heard: heard.ended, within_s=2)
        await second.until(lambda heard: heard.ended, within_s=2)
        await draining
        async with reached.listening() as late:
            await late.until(lambda heard: heard.ended, within_s=2)
            assert late.response is not None
            assert (late.response.status_code, late.messages) == (200, [])
            assert 1000 <= (late.retry_ms or 0) <= 4000


async def test_no_more_are_open_than_there_is_room_for(tmp_path: Path) -> None:
    """503 with Retry-After: what callbacks need is not used up by readers."""
    async with a_stream(tmp_path) as reached, reached.listening():
        assert reached.world.service.feed is not None
        reached.world.service.feed._most = 1
        refused = await reached.api.get(STREAM)
        assert complaint(refused, 503) is None
        assert "retry-after" in refused.headers


async def test_where_hosts_cut_requests_a_stream_ends_before(tmp_path: Path) -> None:
    """In serverless mode after less than 25 s, in order, and it keeps nobody's turn from ending; the next goes on."""
    assert SERVERLESS.stream_s is not None
    assert 20 <= SERVERLESS.stream_s < 25
    limits = replace(LIMITS, stream_s=0.3)
    async with a_stream(tmp_path, limits, TASKWEIR_MODE="serverless") as reached:
        async with reached.listening() as listener:
            assert not reached.world.service.turns._running
            await reached.happen(2)
            await listener.until(lambda heard: heard.ended, within_s=3)
        async with reached.listening(headers={"last-event-id": listener.last_id}) as again:
            await again.until(lambda heard: heard.ended, within_s=3)
            assert [*listener.seqs, *again.seqs] == [1, 2]


async def test_two_writers_and_a_reader_who_misses_nothing(tmp_path: Path, postgres_url: str) -> None:
    """On PostgreSQL: what two processes record at once is told by both, in order, each event once."""
    fields = {"TASKWEIR_DATABASE_URL": postgres_url}
    async with (
        a_world(tmp_path / "one", **fields) as one,
        a_world(tmp_path / "other", **fields) as other,
        streamed(one) as reached,
        streamed(other) as elsewhere,
        reached.listening() as here,
        elsewhere.listening() as there,
        reached.listening(params={"type": "task.failed"}) as rare,
    ):
        writes = [
            happen(world, 3, task=a_task(), type=what)
            for _ in range(60)
            for world, what in ((one, EventType.SUBMITTED), (other, EventType.FAILED))
        ]
        written = sorted(seq for seqs in await asyncio.gather(*writes) for seq in seqs)
        assert len(written) == 360
        await here.until(lambda heard: len(heard.messages) == 360)
        await there.until(lambda heard: len(heard.messages) == 360)
        await rare.until(lambda heard: len(heard.messages) == 180)
        assert here.seqs == there.seqs == written
        assert rare.seqs == [int(each.id) for each in here.messages if each.type == "task.failed"]


async def test_who_hangs_up_is_gone(tmp_path: Path) -> None:
    """Nothing of a reader is left once its connection is; the feed rests when nobody reads."""
    async with a_stream(tmp_path) as reached:
        async with reached.server.caller() as caller:
            key = reached.api.headers["authorization"]
            await caller.say(f"GET {STREAM} HTTP/1.1\r\nHost: x\r\nAuthorization: {key}\r\n\r\n".encode())
            await soon(lambda: reached.world.service.feed is not None)
            feed = reached.world.service.feed
            assert feed is not None
            await soon(lambda: len(feed._seats) == 1)
        await soon(lambda: not (feed._readers or feed._seats or feed._of_tenant))


async def test_a_key_that_is_taken_back_ends_its_streams(tmp_path: Path) -> None:
    """With the next heartbeat; a key of a tenant hears of its own events only, root of those of whom it asks for."""
    async with a_stream(tmp_path, OFTEN) as reached:
        made = await reached.api.post("/v1/keys", json={"tenant": "acme", "label": "reads", "scopes": ["read"]})
        held = {"headers": {"authorization": f"Bearer {made.json()['key']}"}}
        async with (
            reached.listening(**held) as listener,
            reached.listening(params={"tenant": "acme"}) as root,
            reached.listening() as roots_own,
        ):
            await reached.happen(1)
            await reached.happen(1, tenant="acme")
            reached.look()
            for each, seqs in ((listener, [2]), (root, [2]), (roots_own, [1])):
                await each.until(lambda heard, seqs=seqs: heard.seqs == seqs)
            assert not listener.ended
            assert (await reached.api.delete(f"/v1/keys/{made.json()['id']}")).status_code == 204
            await listener.until(lambda heard: heard.ended, within_s=3)
            assert not root.ended
        assert complaint(await reached.api.get(STREAM, **held), 401) is None


async def test_a_key_that_is_taken_back_hears_of_nothing_more(tmp_path: Path) -> None:
    """Though the next heartbeat is far: the first event after that ends its stream, and is not told."""
    async with a_stream(tmp_path) as reached:
        made = await reached.api.post("/v1/keys", json={"tenant": "acme", "label": "reads", "scopes": ["read"]})
        held = {"headers": {"authorization": f"Bearer {made.json()['key']}"}}
        async with reached.listening(**held) as listener, reached.listening(params={"tenant": "acme"}) as root:
            await reached.happen(1, tenant="acme")
            reached.look()
            await listener.until(lambda heard: heard.seqs == [1])
            await reached.api.delete(f"/v1/keys/{made.json()['id']}")
            await reached.happen(1, tenant="acme")
            reached.look()
            await root.until(lambda heard: heard.seqs == [1, 2])
            await listener.until(lambda heard: heard.ended, within_s=3)
            assert listener.seqs == [1]
        assert complaint(await reached.api.get(STREAM, **held), 401) is None
