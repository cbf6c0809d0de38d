"""Everything that the server sends out goes through one room: no other module can dial, and at work none does."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.dials import Dialled, dials
from tests.senders.servers import Nats, Redis, Server, a_running
from tests.service.consumer import a_consumer
from tests.service.world import World, a_world, created, record, scripted

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parent.parent
ROOM = (
    *("receiver/outbound.py", "receiver/dialling.py", "receiver/connection.py", "receiver/names.py"),
    "receiver/streams.py",
)
# Libraries that dial by themselves where nobody keeps them from it, and who may use them: for each there is a test
# that what it dials is what the guard allows (`senders/test_remote.py`), but for our own database.
CLIENTS = {
    "receiver/senders/nats.py": {"nats"},
    "receiver/senders/redis.py": {"redis"},
    "receiver/senders/postgres.py": {"psycopg"},
    "receiver/collector.py": {"opentelemetry"},  # where to is the operator's word alone, in OTEL_EXPORTER_OTLP_ENDPOINT
}
OUR_DATABASE = "receiver/store/postgres"
# Not of the server: client and command line talk to the server as anybody does, the sandbox plays the providers.
OTHERS = ("receiver/calling/", "receiver/cli/", "adapters/sandbox/")
LISTENS = "receiver/server.py"
MODULES = {
    *("aiohttp", "httpx", "requests", "urllib3", "urllib.request", "http.client", "socket", "ssl", "socketserver"),
    *("ftplib", "smtplib", "imaplib", "poplib", "nntplib", "telnetlib", "xmlrpc", "websockets", "multiprocessing"),
    *("nats", "redis", "psycopg", "psycopg_pool", "opentelemetry"),
    *("logging.handlers", "importlib.import_module", "pip", "subprocess", "ctypes", "_socket", "uvloop"),
}
CALLS = {
    *("open_connection", "open_unix_connection", "create_connection", "create_datagram_endpoint", "sock_connect"),
    *("connect_ex", "urlopen", "__import__", "import_module", "create_subprocess_exec", "create_subprocess_shell"),
}


def ways_out(text: str) -> Iterator[str]:
    """What a module has in hand to talk to the network with."""
    for node in ast.walk(ast.parse(text)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
        yield from (name for name in names if any(name == way or name.startswith(f"{way}.") for way in MODULES))
        yield from CALLS.intersection(name.rpartition(".")[2] for name in names)
        called = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
        if called in CALLS:
            yield called


def server_files() -> list[str]:
    found = [
        path.relative_to(ROOT).as_posix() for name in ("receiver", "adapters") for path in (ROOT / name).rglob("*.py")
    ]
    return [path for path in found if not path.startswith(OTHERS)]


def test_no_other_module_can_dial() -> None:
    """By import or by asyncio's own ways; the server's own socket listens."""
    files = server_files()
    assert len(files) > 80
    assert set(ROOM) < set(files)
    found = {path: set(ways_out((ROOT / path).read_text())) for path in files if path not in ROOM}
    named = {path: {way.partition(".")[0] for way in ways} for path, ways in found.items()}
    ours = {path: ways - {"psycopg"} if path.startswith(OUR_DATABASE) else ways for path, ways in named.items()}
    beside = {path: ways for path, ways in ours.items() if ways}
    assert beside == {LISTENS: {"socket"}} | CLIENTS
    listening = (ROOT / LISTENS).read_text()
    assert listening.count("socket.create_server") == 1
    assert "connect(" not in listening


@pytest.mark.parametrize(
    "text",
    [
        "import httpx",
        "import urllib.request",
        "from urllib import request",
        "from urllib.request import urlopen",
        "from http import client",
        "import http.client as h",
        "from redis.asyncio import Redis",
        "from aiohttp.client import ClientSession",
        "def f():\n    import socket",
        "await asyncio.open_connection('h', 1)",
        "from asyncio import open_connection as o\no()",
        "asyncio.get_running_loop().create_connection(p, 'h', 1)",
        "importlib.import_module('so' + 'cket')",
        "__import__('socket')",
    ],
)
def test_a_way_out_is_found_wherever_it_stands(text: str) -> None:
    """The reading above is not blind; urllib.parse, http.HTTPStatus and asyncio itself are harmless."""
    assert list(ways_out(text))
    assert (
        list(ways_out("import asyncio, urllib.parse\nfrom http import HTTPStatus\nfrom urllib.parse import quote"))
        == []
    )


def by_the_room(dialled: Dialled) -> bool:
    """Whether `outbound` was sending a request, and nobody but its dialler connected."""
    files = [file for file in dialled.files if file.endswith(ROOM)]
    return dialled.for_a_request and dialled.files[0].endswith(ROOM[1]) and files[-1].endswith((ROOM[0], ROOM[-1]))


async def _everything_once(world: World, consumer_url: str, *servers: Server) -> None:
    """Submit, poll, callback, cancel; a destination's webhook, a task's own, a ping, a retry, an operator's event.

    And all of it to these servers as well.
    """
    for server in servers:
        fields = {"type": server.kind, "url": server.url(), "event_types": ["task.*"]}
        assert (await world.api.post("/v1/destinations", json=fields)).status_code == 201
    made = await world.destination(consumer_url, event_types=["task.*", "provider.paused", "provider.resumed"])
    task = await world.submit(webhook_url=f"{consumer_url}/own")
    called = await world.api.post(await world.callback_url(task["id"]), json=record("success")[1])
    assert called.status_code == 200, called.text
    await world.end(task["id"])
    await world.turn()
    assert (await world.api.post(f"/v1/destinations/{made['id']}/test")).json()["status"] == 204
    again = await world.api.post(
        f"/v1/destinations/{made['id']}/replay", json={"since": "2020-01-01T00:00:00Z", "only": "all"}
    )
    assert again.json()["count"] > 0, again.text
    for act in ("pause", "resume"):
        assert (await world.api.post(f"/v1/providers/apikley/{act}")).status_code == 200
    await world.api.patch(f"/v1/destinations/{made['id']}", json={"url": f"{consumer_url}/moved"})
    await world.turn(60)


async def test_everything_that_is_dialled_is_dialled_by_the_room(tmp_path: Path) -> None:
    """A whole world at work: each connection is made for a request of `outbound` or a stream, to where events go.

    PostgreSQL's library dials by itself, in C, where the interpreter does not see it; where to, the guard has said.
    """
    async with (
        scripted(created(), record("success")) as apikley,
        a_consumer() as consumer,
        a_running(Nats) as nats,
        a_running(Redis) as redis,
    ):
        with dials() as dialled:
            async with a_world(tmp_path, base_urls={"apikley": apikley.base_url}) as world:
                await _everything_once(world, consumer.url, nats, redis)
        assert len(await nats.got()) == len(await redis.got()) > 0
        assert {each["type"] for each in consumer.events} >= {"task.succeeded", "ping", "provider.paused"}
        assert len(apikley.lines) >= 2
        assert [each for each in dialled if not by_the_room(each)] == []
        assert {f"127.0.0.1:{each.address[1]}" for each in dialled} == {
            apikley.base_url.removeprefix("http://"),
            consumer.url.split("/")[2],
            f"127.0.0.1:{nats.port}",
            f"127.0.0.1:{redis.port}",
        }
