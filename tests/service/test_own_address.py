"""A webhook never goes to the server itself, whatever the operator has opened: its events would come back to it."""

import socket
from pathlib import Path
from typing import Any

import pytest

from receiver.dialling import is_here
from receiver.guard import Guard
from receiver.itself import Itself
from receiver.names import Found, look_up
from receiver.outbound import Outbound
from receiver.store.protocol import Store
from receiver.store.records import Page
from tests.addresses import found
from tests.dials import dials
from tests.make import a_destination
from tests.raw_servers import RawServer, answer_all, raw_server
from tests.service.asking import complaint
from tests.service.consumer import a_consumer
from tests.service.owing import happen, quiet
from tests.service.world import PUBLIC_URL, World, a_world

pytestmark = pytest.mark.anyio

OPEN = "loopback, private, 0.0.0.0/0, ::/0, localhost, taskweir.test, moving.example"
ITSELF = "this server itself: its events would come back to it"
SPELLINGS = "127.0.0.1 localhost LOCALHOST 127.1 0x7f000001 2130706433 0177.0.0.1 0.0.0.0 0 [::ffff:127.0.0.1] [::]"


def ours(directory: Path, server: RawServer, **fields: Any) -> Any:
    """A world that takes the counting server's address for its own."""
    return a_world(directory, **{"TASKWEIR_PORT": str(server.port), "TASKWEIR_ALLOW_NETWORKS": OPEN} | fields)


def own_urls(server: RawServer) -> list[str]:
    hosts = [host for host in SPELLINGS.split() if "[" not in host or is_here("::1")]
    return [
        *(server.url("/callbacks/x/y", host=host) for host in hosts),
        f"{PUBLIC_URL}:80/hook",
        "http://TASKWEIR.test.",
    ]


async def refusals(world: World, url: str) -> list[str]:
    """What every door says to a URL."""
    task = {"provider": "apikley", "model": "m", "input": {"prompt": "x"}, "webhook_url": url}
    adopted = {"provider": "apikley", "provider_task_id": "p1", "webhook_url": url}
    known = (await world.destination("http://93.184.215.14/"))["id"]
    answers = {
        "url": [
            await world.api.post("/v1/destinations", json={"type": "webhook", "url": url}),
            await world.api.patch(f"/v1/destinations/{known}", json={"url": url}),
        ],
        "webhook_url": [
            await world.api.post("/v1/tasks", json=task),
            await world.api.post("/v1/tasks/adopt", json=adopted),
        ],
    }
    assert [complaint(answer, 422, path) for path, given in answers.items() for answer in given] == [None] * 4
    return [answer.json()["errors"][0]["message"] for given in answers.values() for answer in given]


async def test_no_door_takes_the_servers_own_address(tmp_path: Path) -> None:
    """However it is written, and by its public name: said clearly, with no line to set, for none would help."""
    async with raw_server(answer_all) as server, ours(tmp_path, server) as world:
        with dials() as dialled:
            for url in own_urls(server):
                for told in await refusals(world, url):
                    assert told.endswith(f" is {ITSELF}"), (url, told)
                    assert "TASKWEIR_" not in told
        assert dialled == []


async def test_the_courier_does_not_deliver_to_the_server_itself(tmp_path: Path) -> None:
    """A URL that is in the store all the same, as after the server moved to another port."""
    async with raw_server(answer_all) as server, ours(tmp_path, server) as world:
        urls = own_urls(server)

        def record(store: Store) -> None:
            for number, url in enumerate(urls):
                secret = world.service.doors.seal.seal("whsec_" + "A" * 32, row=f"dst_{number}")
                store.record_destination(a_destination(id=f"dst_{number}", target=url, sealed_secret=secret))

        await world.service.storage.write(record)
        with dials() as dialled:
            await happen(world, 1)
            await quiet(world)
        page = Page(tenant="default", limit=100)
        errors = await world.service.storage.read(
            lambda store: [store.attempts(each.id)[0].error or "" for each in store.list_deliveries(page)]
        )
        assert len(errors) == len(urls)
        assert [error for error in errors if not error.endswith(f" is {ITSELF}")] == []
        assert dialled == []
        assert server.connections == 0


async def test_a_name_that_moves_to_the_server_itself_is_not_dialled(tmp_path: Path) -> None:
    """Rebinding again: alone, or beside an open address."""
    now_at = ["127.0.0.2"]

    def rebinding(host: str, port: int) -> Found:
        return found(now_at, port)

    async with raw_server(answer_all) as server:
        itself = Itself(host="127.0.0.1", port=server.port, public_url=None, is_here=is_here)
        outbound = Outbound(Guard(OPEN, itself=itself), look_up=rebinding)
        async with ours(tmp_path, server, outbound=outbound) as world:
            await world.destination(server.url(host="moving.example"))
            await happen(world, 1)
            with dials() as dialled:
                for moved in ("127.0.0.1", "127.0.0.2 127.0.0.1", "0.0.0.0"):
                    now_at[:] = moved.split()
                    await quiet(world, 400)
            assert dialled == []
        assert server.connections == 0


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::", "localhost"])
async def test_neighbours_on_the_same_machine_are_served(tmp_path: Path, host: str) -> None:
    """Another port of the same address is another server; so is the same port of another machine."""
    async with raw_server(answer_all) as server, a_consumer() as consumer:
        async with ours(tmp_path, server, TASKWEIR_HOST=host, TASKWEIR_PUBLIC_URL=server.url("")) as world:
            await world.destination(consumer.url)
            await world.destination(f"http://203.0.113.77:{server.port}/", enabled=False)
            await happen(world, 1)
            await quiet(world)
        assert len(consumer.events) == 1


async def test_all_of_this_machines_addresses_are_its_own_where_it_listens_on_all(tmp_path: Path) -> None:
    """Loopback, and each address that its own name has."""
    async with raw_server(answer_all) as server:
        named = {str(address[0]) for *_, address in look_up(socket.gethostname(), 80)}
        hosts = ["127.0.0.1", socket.gethostname(), *(f"[{host}]" if ":" in host else host for host in named)]
        async with ours(tmp_path, server, TASKWEIR_HOST="0.0.0.0") as world:
            for host in hosts:
                for told in await refusals(world, server.url(host=host)):
                    assert told.endswith(f" is {ITSELF}"), (host, told)
