"""`python -m tests.bench.streams [readers …]`: what one event costs a server that so many streams are open at.

The server runs in this process, its readers in another one, which only throws away what comes. CPU is this process's
own (user and system), so that a busy machine changes little; memory is what the open streams add to it. `--behind N`
measures one reader who begins N events ago instead.
"""

import asyncio
import multiprocessing
import os
import selectors
import socket
import statistics
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path

import uvloop

from receiver.domain import Task
from receiver.server import hold_up_nothing
from tests.make import a_task
from tests.service.world import API_KEY, World, a_world, soon
from tests.sse import happen, streamed

EVENTS = 20
REQUEST = f"GET /v1/events/stream{{query}} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {API_KEY}\r\n\r\n"
PAGE_KIB = os.sysconf("SC_PAGE_SIZE") // 1024
SEEDED_AT_ONCE = 5000


def resident_kib() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_KIB


def read_along(port: int, count: int, query: str, mark: bytes, told: Connection) -> None:
    """So many streams; says how often the mark came at all of them together, whenever asked."""
    chosen, seen, tails = selectors.DefaultSelector(), 0, dict[int, bytes]()
    for _ in range(count):
        line = socket.create_connection(("127.0.0.1", port))
        line.sendall(REQUEST.format(query=query).encode())
        line.setblocking(False)
        chosen.register(line, selectors.EVENT_READ)
    told.send(count)
    while not told.poll():
        for key, _ in chosen.select(0.02):
            came = tails.get(key.fd, b"") + key.fileobj.recv(1 << 18)  # type: ignore[union-attr]
            seen += came.count(mark)
            tails[key.fd] = came[max(came.rfind(mark) + len(mark), len(came) - len(mark) + 1) :]
        told.send(seen) if seen else None
        seen = 0


async def reached(told: Connection, count: int, within_s: float = 120) -> None:
    """Return once the mark came so often."""
    async with asyncio.timeout(within_s):
        while count > 0:
            while told.poll():
                count -= told.recv()
            await asyncio.sleep(0.01)


async def open_streams(world: World, port: int, count: int) -> None:
    readers, told = count, multiprocessing.Pipe()
    before = resident_kib()
    reading = multiprocessing.get_context("spawn").Process(
        target=read_along, args=(port, readers, "", b"event: task.submitted\n", told[1]), daemon=True
    )
    reading.start()
    await asyncio.to_thread(told[0].recv)
    await soon(lambda: _seated(world) == readers)
    await asyncio.sleep(1)
    held = resident_kib() - before
    cpu: list[float] = []
    took: list[float] = []
    for _ in range(EVENTS):
        began, used = time.perf_counter(), time.process_time()
        await happen(world, 1, task=a_task())
        world.service.feed.wake.set()
        await reached(told[0], readers)
        took.append(time.perf_counter() - began)
        cpu.append(time.process_time() - used)
    told[0].send("enough")
    reading.join()
    each_us = statistics.median(cpu) / readers * 1e6
    say(
        f"{readers} streams: an event costs {statistics.median(cpu) * 1000:.0f} ms of CPU, {each_us:.1f} us a reader; "
        f"all had it after {statistics.median(took) * 1000:.0f} ms; {held / readers:.1f} KiB each"
    )


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def _seated(world: World) -> int:
    feed = world.service.feed
    return 0 if feed is None else sum(len(readers) for readers in feed._seats.values())


async def behind(world: World, port: int, count: int) -> None:
    task: Task = a_task()
    for _ in range(0, count, SEEDED_AT_ONCE):
        await happen(world, SEEDED_AT_ONCE, task=task)
    told = multiprocessing.Pipe()
    before, used, began = resident_kib(), time.process_time(), time.perf_counter()
    reading = multiprocessing.get_context("spawn").Process(
        target=read_along, args=(port, 1, "?after=0", b"event: task.submitted\n", told[1]), daemon=True
    )
    reading.start()
    await asyncio.to_thread(told[0].recv)
    catching_up = asyncio.ensure_future(reached(told[0], count, within_s=1200))
    waits: list[float] = []
    while not catching_up.done():
        asked = time.perf_counter()
        assert (await world.api.get("/v1/tasks", params={"limit": 1})).status_code == 200
        waits.append(time.perf_counter() - asked)
        await asyncio.sleep(0.02)
    await catching_up
    took, cpu = time.perf_counter() - began, time.process_time() - used
    told[0].send("enough")
    reading.join()
    waits.sort()
    say(
        f"{count} events behind: there after {took:.1f} s, {cpu:.1f} s of CPU; {count / took:.0f} events a second; "
        f"{(resident_kib() - before) / 1024:.0f} MiB more; meanwhile a list of tasks took "
        f"{waits[len(waits) // 2] * 1000:.1f} ms (p50), {waits[len(waits) * 99 // 100] * 1000:.1f} ms (p99)"
    )


async def main(arguments: list[str]) -> None:
    hold_up_nothing()  # as the server does
    far = "--behind" in arguments
    counts = [int(each) for each in arguments if each.isdigit()] or ([1_000_000] if far else [1000, 5000])
    for count in counts:
        with tempfile.TemporaryDirectory(dir=Path.cwd()) as directory:
            async with a_world(Path(directory)) as world, streamed(world) as at:
                await (behind if far else open_streams)(world, at.server.port, count)


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1:]))
