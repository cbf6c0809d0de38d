"""Redis streams: what an entry holds, what is added once, and what is trimmed."""

import asyncio

import pytest

from receiver.domain import Format
from tests.dials import dials
from tests.raw_servers import RawServer, raw_server
from tests.rendered.samples import FORMATS
from tests.senders.remotely import a_place, a_remote, an_owed, arrives, arrives_rendered, attempts, error_of, ids
from tests.senders.servers import Redis

pytestmark = pytest.mark.anyio


@pytest.fixture
def running(redis_server: Redis) -> Redis:
    return redis_server


@pytest.mark.parametrize("format", FORMATS)
async def test_an_entry_is_the_event_in_its_format(server: Redis, format: Format) -> None:
    """Its id and type, the headers that a webhook would get, and the body."""
    got, message = await arrives_rendered(server, format)
    assert got == {"id": "evt_7", "type": "task.submitted", **message.headers, "body": message.body}


async def test_a_repeat_tells_the_entry_that_is_there(server: Redis) -> None:
    """The mark of a delivery and its entry are written in one step, and the mark goes after a day."""
    place = a_place("redis", server.url())
    async with a_remote("redis") as sender:
        [first] = await arrives(sender, place, an_owed(1))
        [again] = await arrives(sender, place, an_owed(1))
    assert again == f"{first}, a repeat"
    with server.client() as client:
        marks = client.keys("*taskweir:*")
        assert marks == [b"{events}:taskweir:dlv_1"]
        assert 86_000 < client.ttl(marks[0]) <= 86_400


async def test_a_replay_arrives_again(server: Redis) -> None:
    """It is another delivery, and meant to; consumers know it by the event's id."""
    place = a_place("redis", server.url())
    async with a_remote("redis") as sender:
        await arrives(sender, place, an_owed(1))
        await arrives(sender, place, an_owed(1, delivery="dlv_replay"))
    assert ids(await server.got()) == ["evt_1", "evt_1"]


async def test_a_stream_is_trimmed_where_its_url_says_so(server: Redis) -> None:
    """About: Redis drops whole nodes of a hundred entries."""
    place = a_place("redis", f"{server.url()}&maxlen=50")
    async with a_remote("redis") as sender:
        await arrives(sender, place, *(an_owed(seq) for seq in range(1, 301)))
    got = ids(await server.got())
    assert 50 <= len(got) < 200
    assert got[-1] == "evt_300"


async def test_what_redis_refuses_it_says_itself(server: Redis) -> None:
    """A key of another kind, a user who may not: nothing is marked as added."""
    with server.client() as client:
        client.set("events", "not a stream")
        client.execute_command("ACL", "SETUSER", "reader", "on", ">reader-password", "~*", "+@read")
    async with a_remote("redis") as sender:
        [made] = await attempts(sender, a_place("redis", server.url()))
        assert made.error is not None
        assert "WRONGTYPE" in made.error
        error = await error_of(sender, a_place("redis", server.url("reader:reader-password@")))
        assert "no permissions to run the 'eval' command" in error
    with server.client() as client:
        assert client.keys("*taskweir:*") == []


async def test_a_cluster_says_that_its_stream_is_elsewhere() -> None:
    """It is not followed: the address that it tells nobody has judged."""

    async def move(_: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4096)
        writer.write(b"-MOVED 3999 127.0.0.1:6381\r\n")

    async with raw_server(move) as server, a_remote("redis") as sender:
        address = server.url("").removeprefix("http://").rstrip("/")
        with dials() as dialled:
            assert "name that one in the URL" in await error_of(sender, a_place("redis", f"redis://{address}/0"))
        assert {f"127.0.0.1:{each.address[1]}" for each in dialled} == {address}


async def test_a_user_who_may_do_this_and_no_more(server: Redis) -> None:
    """What the README says that he needs."""
    with server.client() as client:
        may = ["~events", "~{events}:taskweir:*", "+eval", "+get", "+set", "+xadd"]
        client.execute_command("ACL", "SETUSER", "writer", "on", ">writer-password", *may)
    async with a_remote("redis") as sender:
        await arrives(sender, a_place("redis", server.url("writer:writer-password@")))
    assert ids(await server.got()) == ["evt_1"]


async def test_another_database_of_the_server(server: Redis) -> None:
    """The number in the path; the stream's name where none is given."""
    url = server.url().replace("/0?stream=events", "/3")
    async with a_remote("redis") as sender:
        await arrives(sender, a_place("redis", url))
    with server.client() as client:
        client.select(3)
        assert client.xlen("taskweir") == 1
