"""`python -m tests.faults.slow_clients`: what good clients wait, alone and beside 2,000 who take their time.

Half of what is sent by the good ones are callbacks, each over a connection of its own; nobody is refused.
"""

import asyncio
import json
import multiprocessing
import random
import resource
import socket
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Annotated, TypeAlias

import httpx
import typer
import uvloop
from rich.console import Console
from rich.table import Table

from receiver.signing import CallbackTokens
from tests.processes import a_process, environment
from tests.service.world import API_KEY, free_port

BAR_MS = 250
PROMPT = 400_000  # bytes of a task that those who do not read ask for
PER_SECOND = 200  # connections made at the beginning
KEY = f"Host: x\r\nAuthorization: Bearer {API_KEY}\r\n"

Reader: TypeAlias = asyncio.StreamReader
Writer: TypeAlias = asyncio.StreamWriter
Script = Callable[[Reader, Writer], Awaitable[None]]


@dataclass(frozen=True)
class Paths:
    """Where to: a server's port, a callback's path, and a task that is long to read."""

    port: int
    callback: str
    large: str


async def _drip(writer: Writer, head: str, drop: bytes) -> None:
    writer.write(head.encode())
    while True:
        await asyncio.sleep(1)
        writer.write(drop)
        await writer.drain()


def _scripts(paths: Paths) -> dict[str, Script]:
    """What each kind does with a connection, until it is taken from it."""
    post = f"POST {paths.callback} HTTP/1.1\r\nHost: x\r\n"
    get = f"GET {paths.large} HTTP/1.1\r\n{KEY}\r\n".encode()

    async def silent(reader: Reader, writer: Writer) -> None:
        await reader.read()

    async def slow_head(reader: Reader, writer: Writer) -> None:
        await _drip(writer, f"{post}X: ", b"a\r\nX: ")

    async def slow_body(reader: Reader, writer: Writer) -> None:
        await _drip(writer, f"{post}Content-Length: 10000\r\n\r\n", b"a")

    async def slow_chunks(reader: Reader, writer: Writer) -> None:
        await _drip(writer, f"{post}Transfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n")

    async def idle(reader: Reader, writer: Writer) -> None:
        writer.write(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.read()

    async def deaf(reader: Reader, writer: Writer) -> None:
        writer.write(get)
        while True:
            await asyncio.sleep(1)
            writer.write(b"\r\n")
            await writer.drain()

    return {each.__name__: each for each in (silent, slow_head, slow_body, slow_chunks, idle, deaf)}


async def _connect(port: int, *, buffer: int | None = None) -> tuple[Reader, Writer]:
    """A connection of our own; with `buffer`, one that takes little of what it does not read."""
    ours = socket.socket()
    if buffer is not None:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    ours.setblocking(False)
    await asyncio.get_running_loop().sock_connect(ours, ("127.0.0.1", port))
    return await asyncio.open_connection(sock=ours, limit=2048 if buffer else 65_536)


@dataclass
class Crowd:
    """So many at once: whose connection is taken comes back with another one."""

    paths: Paths
    count: int
    open: int = 0
    dropped: Counter[str] = field(default_factory=Counter)

    async def run(self) -> None:
        kinds = list(_scripts(self.paths).items())
        await asyncio.gather(*(self._one(*kinds[number % len(kinds)]) for number in range(self.count)))

    async def _one(self, name: str, script: Script) -> None:
        await asyncio.sleep(random.uniform(0, self.count / PER_SECOND))
        while True:
            with suppress(OSError, RuntimeError):  # uvloop's own word for writing to who has gone
                reader, writer = await _connect(self.paths.port, buffer=4096 if name == "deaf" else None)
                self.open += 1
                try:
                    await script(reader, writer)
                finally:
                    self.open -= 1
                    writer.transport.abort()
            self.dropped[name] += 1
            await asyncio.sleep(random.uniform(0, 0.2))


def _crowd(pipe: Connection, paths: Paths, count: int) -> None:
    """A process of its own, so that nobody waits for it; answers how many are open, and what was dropped."""
    _open_all_files()

    async def crowd() -> None:
        together = Crowd(paths, count)
        running = asyncio.ensure_future(together.run())
        while await asyncio.to_thread(pipe.recv):
            pipe.send((together.open, dict(together.dropped)))
        running.cancel()

    uvloop.run(crowd())


def _open_all_files() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


@contextmanager
def _beside(paths: Paths, count: int) -> Iterator[Connection]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_crowd, args=(theirs, paths, count), daemon=True)
    process.start()
    try:
        yield ours
    finally:
        ours.send(None)
        process.join(5)
        process.kill()


@dataclass
class Found:
    """One phase: how many milliseconds each good request took, in order, and the answers that were none."""

    times: list[float] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    open: int = 0
    dropped: dict[str, int] = field(default_factory=dict)

    def quantile(self, share: float) -> float:
        return self.times[min(int(len(self.times) * share), len(self.times) - 1)]


async def _good(paths: Paths, seconds: float, per_second: float) -> Found:
    """Requests at even times, whatever became of those before: a slow answer makes none of them come later."""
    found, starts_at = Found(), time.monotonic()
    asked = [
        f"POST {paths.callback} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{{}}",
        f"GET /v1/me HTTP/1.1\r\nConnection: close\r\n{KEY}\r\n",
    ]

    async def ask(number: int) -> None:
        due_at = starts_at + number / per_second
        await asyncio.sleep(max(due_at - time.monotonic(), 0))
        due_at = min(due_at, time.monotonic())  # uvloop's timers are up to a millisecond early
        answer = b""
        with suppress(OSError):
            reader, writer = await _connect(paths.port)
            writer.write(asked[number % len(asked)].encode())
            answer = await reader.read()
            writer.close()
        found.times.append(1000 * (time.monotonic() - due_at))
        if not answer.startswith(b"HTTP/1.1 200 "):
            found.refused.append(answer[:60].decode("latin-1"))

    await asyncio.gather(*(ask(number) for number in range(round(seconds * per_second))))
    found.times.sort()
    return found


@asynccontextmanager
async def _server(directory: Path) -> AsyncIterator[Paths]:
    """Taskweir as a process, with one large task; its provider is not there, so that it stays queued."""
    port, url = free_port(), "http://127.0.0.1:9"
    env = environment(directory, port, url) | {"TASKWEIR_LOG_LEVEL": "error"}
    base = f"http://127.0.0.1:{port}"
    with a_process("serve", env=env, log=directory / "log", ready=f"{base}/health/ready"):
        async with httpx.AsyncClient(
            base_url=base, headers={"authorization": f"Bearer {API_KEY}"}, verify=False
        ) as api:
            body = {"provider": "apikley", "model": "m", "input": {"prompt": "x" * PROMPT}, "checks": False}
            made = await api.post("/v1/tasks", content=json.dumps(body))
        assert made.status_code in (201, 202), made.text
        task_id = made.json()["id"]
        token = CallbackTokens(["s" * 32]).issue("apikley", task_id)
        yield Paths(port, f"/callbacks/apikley/{token}", f"/v1/tasks/{task_id}")


async def measure(slow: int, seconds: float, per_second: float) -> dict[str, Found]:
    """What good clients found, by phase: alone, and beside so many slow ones."""
    with tempfile.TemporaryDirectory(prefix="taskweir-slow-") as directory:
        async with _server(Path(directory)) as paths:
            found = {"alone": await _good(paths, seconds, per_second)}
            with _beside(paths, slow) as pipe:
                await asyncio.sleep(slow / PER_SECOND + 1)
                name = f"beside {slow:,}"
                found[name] = await _good(paths, seconds, per_second)
                pipe.send("?")
                found[name].open, found[name].dropped = await asyncio.to_thread(pipe.recv)
    return found


def _print(found: dict[str, Found]) -> None:
    console, table = (
        Console(),
        Table("good clients", "requests", "refused", "p50 ms", "p99 ms", "worst ms", "slow, open"),
    )
    for name, each in found.items():
        figures = (statistics.median(each.times), each.quantile(0.99), each.times[-1])
        shown = (f"{figure:.1f}" for figure in figures)
        table.add_row(name, f"{len(each.times):,}", f"{len(each.refused)}", *shown, f"{each.open:,}")
    console.print(table)
    for each in found.values():
        if each.dropped:
            console.print("dropped:", ", ".join(f"{name} {count:,}" for name, count in sorted(each.dropped.items())))
        for refused in each.refused[:10]:
            console.print(repr(refused), style="red", markup=False)


def _kept(found: Sequence[Found]) -> bool:
    """Nobody good was refused or had to wait, and every kind of slow ones was given up on."""
    served = all(not each.refused and each.quantile(0.99) <= BAR_MS for each in found)
    return served and found[-1].dropped.keys() == _scripts(Paths(0, "", "")).keys()


def main(
    slow: Annotated[int, typer.Option(help="How many at once.")] = 2000,
    seconds: Annotated[int, typer.Option(help="How long each phase lasts.")] = 45,
    per_second: Annotated[float, typer.Option(help="Requests of the good ones.")] = 50,
    strict: Annotated[
        bool, typer.Option(help="Exit 1 where one is refused, p99 is above 250 ms, or a slow one is kept; 45 s.")
    ] = False,
) -> None:
    """Measure; what a figure is worth depends on what else the machine does."""
    _open_all_files()
    found = uvloop.run(measure(slow, seconds, per_second))
    _print(found)
    raise typer.Exit(int(strict and not _kept(list(found.values()))))


if __name__ == "__main__":
    typer.run(main)
