"""Forbidden addresses, in every spelling, through every path that takes a URL: refused, told why, never dialled."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from receiver.dialling import is_here
from receiver.guard import Guard
from receiver.names import Found
from receiver.outbound import Outbound
from receiver.store.protocol import Store
from receiver.store.records import Page
from tests.addresses import Spelling, found, look_up, spellings
from tests.dials import dials
from tests.make import a_destination
from tests.raw_servers import RawServer, answer_all, raw_server
from tests.service.asking import complaint, counts
from tests.service.consumer import a_consumer
from tests.service.owing import happen, quiet
from tests.service.world import World, a_world, record, scripted

pytestmark = pytest.mark.anyio

PUBLIC = "http://93.184.215.14/hook"
LINE = re.compile(r"; the operator may allow it, beside what is allowed already: TASKWEIR_ALLOW_NETWORKS=(\S+)$")
UNREADABLE = re.compile(r"the URL |the port of the URL |the host \S+ does not resolve$")


Give = Callable[[World, str, str], Awaitable[httpx.Response]]


async def create(world: World, url: str, known: str) -> httpx.Response:
    return await world.api.post("/v1/destinations", json={"type": "webhook", "url": url})


async def change(world: World, url: str, known: str) -> httpx.Response:
    return await world.api.patch(f"/v1/destinations/{known}", json={"url": url})


async def submit(world: World, url: str, known: str) -> httpx.Response:
    body = {"provider": "apikley", "model": "m", "input": {"prompt": "x"}, "webhook_url": url}
    return await world.api.post("/v1/tasks", json=body)


async def adopt(world: World, url: str, known: str) -> httpx.Response:
    body = {"provider": "apikley", "provider_task_id": "p1", "webhook_url": url}
    return await world.api.post("/v1/tasks/adopt", json=body)


# Every way for a caller to give a URL, and the field that it has there.
DOORS: list[tuple[Give, str]] = [(create, "url"), (change, "url"), (submit, "webhook_url"), (adopt, "webhook_url")]


@asynccontextmanager
async def listening() -> AsyncIterator[list[RawServer]]:
    """Servers on 127.0.0.1 and, where this machine has it, ::1, with one port, which count who comes."""
    async with AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(raw_server(answer_all))]
        if is_here("::1"):
            servers.append(await stack.enter_async_context(raw_server(answer_all, host="::1", port=servers[0].port)))
        yield servers


def closed_world(directory: Path, allowed: str = "") -> Any:
    """A world that asks no name server, and where nothing is open but what is said."""
    outbound = Outbound(Guard(allowed), look_up=look_up)
    return a_world(directory, outbound=outbound, TASKWEIR_ALLOW_NETWORKS=allowed)


def wrong(spelling: Spelling, told: str) -> str | None:
    """What is wrong with a refusal's text; None where it names the range and prints the line, or says what is odd."""
    line = LINE.search(told)
    if spelling.range is None:
        return None if UNREADABLE.match(told) and line is None else told
    return None if re.search(rf"\bis {spelling.range};", told) and line is not None else told


def nobody_came(servers: Sequence[RawServer]) -> bool:
    return all(server.connections == 0 for server in servers)


@pytest.mark.parametrize(("give", "path"), DOORS)
async def test_no_door_takes_a_forbidden_address(tmp_path: Path, give: Give, path: str) -> None:
    """422 with the field's name, the range and the line, for each of them; nothing is recorded, nothing is dialled."""
    async with listening() as servers, closed_world(tmp_path) as world:
        known = (await world.destination(PUBLIC))["id"]
        corpus = spellings(servers[0].port)
        assert len(corpus) >= 400
        faults: dict[str, str | None] = {}
        with dials() as dialled:
            for spelling in corpus:
                answer = await give(world, spelling.url, known)
                faults[spelling.url] = complaint(answer, 422, path) or wrong(
                    spelling, answer.json()["errors"][0]["message"]
                )
        assert {url: fault for url, fault in faults.items() if fault} == {}
        assert dialled == []
        assert nobody_came(servers)
        assert counts(tmp_path) == {"destinations": 1}
        assert (await world.api.get(f"/v1/destinations/{known}")).json()["url"] == PUBLIC


async def store(world: World, corpus: Sequence[Spelling]) -> None:
    """Destinations that no door let in."""

    def record(store: Store) -> None:
        for number, spelling in enumerate(corpus):
            secret = world.service.doors.seal.seal("whsec_" + "A" * 32, row=f"dst_{number}")
            store.record_destination(a_destination(id=f"dst_{number}", target=spelling.url, sealed_secret=secret))

    await world.service.storage.write(record)


async def test_the_courier_dials_no_forbidden_address(tmp_path: Path) -> None:
    """A URL that is in the store, however it came there: each attempt fails with the range and the line."""
    async with listening() as servers, closed_world(tmp_path) as world:
        corpus = spellings(servers[0].port)
        await store(world, corpus)
        with dials() as dialled:
            await happen(world, 1)
            await quiet(world)
        errors = await world.service.storage.read(_first_errors)
        assert len(errors) == len(corpus)
        faults = {each.url: wrong(each, errors[f"dst_{number}"]) for number, each in enumerate(corpus)}
        assert {url: fault for url, fault in faults.items() if fault} == {}
        assert dialled == []
        assert nobody_came(servers)


def _first_errors(store: Store) -> dict[str, str]:
    found = {}
    for delivery in store.list_deliveries(Page(tenant="default", limit=10_000)):
        [attempt] = store.attempts(delivery.id)
        assert (attempt.number, attempt.status) == (1, None)
        found[delivery.destination_id] = attempt.error or ""
    return found


async def test_a_ping_dials_no_forbidden_address(tmp_path: Path) -> None:
    """The test call answers with the attempt, and says in it why none was made."""
    async with listening() as servers, closed_world(tmp_path) as world:
        corpus = spellings(servers[0].port)
        await store(world, corpus)
        faults = {}
        with dials() as dialled:
            for number, spelling in enumerate(corpus):
                attempt = (await world.api.post(f"/v1/destinations/dst_{number}/test")).json()
                assert attempt["status"] is None
                faults[spelling.url] = wrong(spelling, attempt["error"])
        assert {url: fault for url, fault in faults.items() if fault} == {}
        assert dialled == []
        assert nobody_came(servers)


async def test_the_line_that_a_door_prints_opens_it(tmp_path: Path) -> None:
    """One spelling of each range, and each door: refused, the line set as it was told, and taken."""
    by_range = {each.range: each for each in reversed(spellings(4000)) if each.range}
    assert len(by_range) > 15
    lines: dict[str, str] = {}
    async with closed_world(tmp_path) as world:
        for spelling in by_range.values():
            answer = await create(world, spelling.url, "")
            line = LINE.search(answer.json()["errors"][0]["message"])
            assert line is not None
            assert answer.json()["detail"].endswith(line[0])
            lines[spelling.url] = line[1]
    for number, (url, line) in enumerate(lines.items()):
        directory = tmp_path / str(number)
        directory.mkdir()
        async with closed_world(directory, line) as world:
            known = (await world.destination(PUBLIC))["id"]
            answers = [await give(world, url, known) for give in (create, change, adopt)]
            assert [answer.status_code for answer in answers] == [201, 200, 201], (url, line)


async def only_attempts(world: World) -> list[tuple[int | None, str | None]]:
    """Status and error of every attempt so far, the oldest first."""

    def read(store: Store) -> list[tuple[int | None, str | None]]:
        deliveries = reversed(store.list_deliveries(Page(tenant="default", limit=1000)))
        return [(each.status, each.error) for delivery in deliveries for each in store.attempts(delivery.id)]

    return await world.service.storage.read(read)


async def test_what_the_settings_close_again_is_not_dialled(tmp_path: Path) -> None:
    """Saved while it was open: from the next start on each attempt says so, until it is open once more."""
    async with a_consumer() as consumer:
        async with closed_world(tmp_path, "loopback") as world:
            await world.destination(consumer.url)
        async with closed_world(tmp_path, "private") as world:
            await happen(world, 1)
            with dials() as dialled:
                await quiet(world)
            assert dialled == []
            [(status, error)] = await only_attempts(world)
            assert status is None
            assert (error or "").endswith("TASKWEIR_ALLOW_NETWORKS=loopback")
        async with closed_world(tmp_path, "private, loopback") as world:
            await quiet(world, 10)
            assert (await only_attempts(world))[1:] == [(204, None)]
        assert len(consumer.events) == 1


@pytest.mark.parametrize("give", [create, change, adopt])
async def test_a_name_that_moves_after_it_was_saved_is_not_dialled(tmp_path: Path, give: Give) -> None:
    """Rebinding: public at every door, then loopback, alone or mixed, at each of three attempts."""
    now_at = ["8.8.8.8"]

    def rebinding(host: str, port: int) -> Found:
        return found(now_at, port)

    async with a_consumer() as consumer, scripted(record("success")) as apikley:
        url = consumer.url.replace("127.0.0.1", "moving.example")
        outbound = Outbound(Guard(), look_up=rebinding)
        base_urls = {"apikley": apikley.base_url}
        async with a_world(tmp_path, outbound=outbound, base_urls=base_urls, TASKWEIR_ALLOW_NETWORKS="") as world:
            known = (await world.destination(PUBLIC, enabled=give is change))["id"]
            assert (await give(world, url, known)).status_code in (200, 201)
            await world.service.poller.run_once()
            await world.service.poller.crew.drain()
            await happen(world, 1)
            with dials() as dialled:
                for moved in ("127.0.0.1", "8.8.8.8 127.0.0.1", "::ffff:127.0.0.1"):
                    now_at[:] = moved.split()
                    await quiet(world, 400)
            assert dialled == []
            errors = [error or "" for _, error in await only_attempts(world)]
            assert len(errors) == 3
            assert all(error.startswith("moving.example is at ") and LINE.search(error) for error in errors)
        assert consumer.events == []
