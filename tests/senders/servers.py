"""Real servers of the kinds that events are sent to: NATS with JetStream, Redis, PostgreSQL; each with a login."""

import asyncio
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import nats
import psycopg
import redis
from nats.js.errors import NotFoundError
from psycopg.rows import dict_row

from tests.postgres_server import PostgresServer
from tests.service.world import free_port

UNPACKED = Path(sys.prefix) / "servers" / "usr"
USER, PASSWORD = "weaver", "pass/word?of-the-user"
QUOTED = "pass%2Fword%3Fof-the-user"
SUBJECT, STREAM = "taskweir.events", "EVENTS"
Got = Mapping[str, Any]


def _program(name: str) -> str:
    unpacked = [UNPACKED / place / name for place in ("bin", "sbin") if (UNPACKED / place / name).exists()]
    found = str(unpacked[0]) if unpacked else shutil.which(name)
    assert found is not None, f"{name} is not there: run `make setup` on a Debian, or put it on PATH"
    return found


class Server(ABC):
    """One server on a loopback port, that can be stopped, paused, and started again with what it kept."""

    kind: str

    def __init__(self, folder: Path, *, certificate: Path | None = None) -> None:
        self.port = free_port()
        self._folder = folder
        self._certificate = certificate

    @abstractmethod
    def url(self, login: str = f"{USER}:{QUOTED}@", *, host: str = "127.0.0.1", tls: bool = False) -> str:
        """A destination's URL."""

    @abstractmethod
    async def got(self) -> Sequence[Got]:
        """What is there, in order: the headers or columns of each event, `id` among them."""

    @abstractmethod
    async def empty(self) -> None:
        """Nothing is there any more."""

    @abstractmethod
    def start(self) -> None:
        """Return once it takes connections; it may do so already."""

    @abstractmethod
    def kill(self) -> None:
        """End it at once; it may have ended already."""

    @abstractmethod
    def paused(self) -> AbstractContextManager[None]:
        """It takes connections, as far as the system does that for it, and answers nothing."""

    @asynccontextmanager
    async def under_tls(self, context: ssl.SSLContext, certificate: Path) -> AsyncIterator["Server"]:
        """Another one of the kind, that speaks TLS."""
        with a_server(type(self), certificate=certificate) as server:
            yield server


class Program(Server):
    """One that is a single process, begun by one command."""

    def __init__(self, folder: Path, *, certificate: Path | None = None) -> None:
        super().__init__(folder, certificate=certificate)
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def _command(self) -> list[str]: ...

    def start(self) -> None:
        if self._process is not None:
            return
        libraries = os.pathsep.join(str(each) for each in UNPACKED.glob("lib/*"))
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command(),
                stdout=log,
                stderr=log,
                cwd=self._folder,
                env=os.environ | {"LD_LIBRARY_PATH": libraries},
            )
        ends_at = time.monotonic() + 20
        while True:
            assert self._process.poll() is None, (self._folder / "log").read_text()
            assert time.monotonic() < ends_at, (self._folder / "log").read_text()
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                continue
            return

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    @contextmanager
    def paused(self) -> Iterator[None]:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        _wait_until_stopped(self._process.pid)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)


class Nats(Program):
    """A stream takes the subject, once `empty` was called."""

    kind = "nats"

    def __init__(self, folder: Path, *, certificate: Path | None = None, token: str = "") -> None:
        super().__init__(folder, certificate=certificate)
        self._token = token

    def url(self, login: str = f"{USER}:{QUOTED}@", *, host: str = "127.0.0.1", tls: bool = False) -> str:
        return f"{'tls' if tls else 'nats'}://{login}{host}:{self.port}/{SUBJECT}"

    def _command(self) -> list[str]:
        """Who is only a reader may publish nothing."""
        reader = {"user": "reader", "password": "reader-password", "permissions": {"publish": "$JS.API.INFO"}}
        users = {"users": [{"user": USER, "password": PASSWORD}, reader]}
        settings: dict[str, Any] = {"authorization": {"token": self._token} if self._token else users}
        if self._certificate:
            settings["tls"] = {"cert_file": str(self._certificate), "key_file": str(self._certificate)}
        file = self._folder / "settings.conf"
        file.write_text(json.dumps(settings))
        options = ["-js", "-sd", str(self._folder), "-a", "127.0.0.1", "-p", str(self.port)]
        return [_program("nats-server"), "-c", str(file), *options]

    async def _connected(self) -> Any:
        context = None
        if self._certificate:
            context = ssl.create_default_context(cafile=os.environ["SSL_CERT_FILE"])
        login = {"token": self._token} if self._token else {"user": USER, "password": PASSWORD}
        return await nats.connect(f"nats://127.0.0.1:{self.port}", tls=context, tls_hostname="localhost", **login)

    async def empty(self, **fields: Any) -> None:
        client = await self._connected()
        with suppress(NotFoundError):
            await client.jetstream().delete_stream(STREAM)
        await client.jetstream().add_stream(name=STREAM, subjects=["taskweir.>"], **fields)
        await client.close()

    async def got(self) -> Sequence[Got]:
        client = await self._connected()
        stream = client.jetstream()
        try:
            state = (await stream.stream_info(STREAM)).state
            found = [await stream.get_msg(STREAM, seq) for seq in range(1, state.last_seq + 1)]
        finally:
            await client.close()
        return [dict(each.headers) | {"id": each.headers["Nats-Msg-Id"], "body": each.data} for each in found]


class Redis(Program):
    kind = "redis"

    def url(self, login: str = f"{USER}:{QUOTED}@", *, host: str = "127.0.0.1", tls: bool = False) -> str:
        return f"{'rediss' if tls else 'redis'}://{login}{host}:{self.port}/0?stream=events"

    def _command(self) -> list[str]:
        user = ["--user", USER, "on", f">{PASSWORD}", "~*", "+@all", "--requirepass", "nobody-else-knows"]
        kept = ["--dir", str(self._folder), "--appendonly", "yes", "--appendfsync", "always"]
        plain = ["--bind", "127.0.0.1", "--port", str(self.port)]
        certificate = str(self._certificate)
        tls = ["--bind", "127.0.0.1", "--port", "0", "--tls-port", str(self.port), "--tls-auth-clients", "no"]
        tls += ["--tls-cert-file", certificate, "--tls-key-file", certificate, "--tls-ca-cert-file", certificate]
        return [_program("redis-server"), *(tls if self._certificate else plain), *kept, *user]

    def client(self) -> Any:
        return redis.Redis(
            port=self.port, username=USER, password=PASSWORD, ssl=bool(self._certificate), ssl_cert_reqs="none"
        )

    def start(self) -> None:
        super().start()
        with self.client() as client:
            while True:
                with suppress(redis.BusyLoadingError):  # what it kept is being read
                    client.ping()
                    return

    async def empty(self) -> None:
        with self.client() as client:
            client.flushall()

    async def got(self) -> Sequence[Got]:
        with self.client() as client:
            entries = client.xrange("events")
        found = [{name.decode(): value for name, value in fields.items()} for _, fields in entries]
        return [{name: value if name == "body" else value.decode() for name, value in each.items()} for each in found]


class Postgres(Server):
    """The user may make schemas in the database `shop`."""

    kind = "postgres"

    def __init__(self, folder: Path, *, certificate: Path | None = None) -> None:
        super().__init__(folder, certificate=certificate)
        self.server = PostgresServer(settings={"listen_addresses": "127.0.0.1", "port": str(self.port)})
        self.server.start()
        self.admin = self.server.make_database("shop")
        with psycopg.connect(self.admin, autocommit=True) as connection:
            connection.execute(f"CREATE ROLE {USER} LOGIN PASSWORD '{PASSWORD}'".encode())
            connection.execute(f"GRANT CREATE ON DATABASE shop TO {USER}".encode())

    def url(self, login: str = f"{USER}:{QUOTED}@", *, host: str = "127.0.0.1", tls: bool = False) -> str:
        return f"postgresql://{login}{host}:{self.port}/shop{'?sslmode=verify-full' if tls else ''}"

    @asynccontextmanager
    async def under_tls(self, context: ssl.SSLContext, certificate: Path) -> AsyncIterator[Server]:
        """The wheel's PostgreSQL has no TLS: somebody else speaks it for it, as in front of hosted ones."""
        behind, serving = self.port, list[Any]()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            serving.append(asyncio.current_task())
            assert (await reader.readexactly(8))[4:] == bytes.fromhex("04d2162f")  # "may we speak TLS?"
            writer.write(b"S")
            with suppress(OSError):
                await writer.start_tls(context)
                to_server = await asyncio.open_connection("127.0.0.1", behind)
                await asyncio.gather(_pipe(reader, to_server[1]), _pipe(to_server[0], writer))
            writer.close()

        front = await asyncio.start_server(serve, "127.0.0.1")
        self.port = front.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            self.port = behind
            front.close()
            await asyncio.gather(*serving)

    def start(self) -> None:
        if self.server.stopped:
            self.server.start()

    def kill(self) -> None:
        if not self.server.stopped:
            self.server.stop()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """The server and all that serve its connections."""
        for pid in self.server.signal_all(signal.SIGSTOP):
            _wait_until_stopped(pid)
        try:
            yield
        finally:
            self.server.signal_all(signal.SIGCONT)

    async def got(self) -> Sequence[Got]:
        [made] = self.query("SELECT to_regclass('taskweir.events') IS NOT NULL AS there")
        return self.query("SELECT * FROM taskweir.events ORDER BY seq") if made["there"] else []

    def query(self, statement: str) -> list[dict[str, Any]]:
        with psycopg.connect(self.admin, row_factory=dict_row) as connection:
            return connection.execute(statement.encode()).fetchall()

    async def empty(self) -> None:
        with psycopg.connect(self.admin, autocommit=True) as connection:
            connection.execute("DROP SCHEMA IF EXISTS taskweir CASCADE")

    def remove(self) -> None:
        self.server.remove()


def _wait_until_stopped(pid: int) -> None:
    """Every thread of it: one that runs on another core stops a moment after the signal was sent."""
    ends_at = time.monotonic() + 20
    with suppress(FileNotFoundError, ProcessLookupError):  # it ended by itself meanwhile
        while any(_runs(stat) for stat in Path(f"/proc/{pid}/task").glob("*/stat")):
            assert time.monotonic() < ends_at


def _runs(stat: Path) -> bool:
    return stat.read_text().rpartition(") ")[2][0] not in "tTZ"


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
    finally:
        writer.close()
        await writer.wait_closed()


@contextmanager
def a_server(kind: type[Server], **fields: Any) -> Iterator[Any]:
    """A running one, and gone with all it kept."""
    with tempfile.TemporaryDirectory(prefix=f"taskweir-{kind.kind}-") as folder:
        server = kind(Path(folder), **fields)
        server.start()
        try:
            yield server
        finally:
            server.kill()
            if isinstance(server, Postgres):
                server.remove()


@asynccontextmanager
async def a_running(kind: type[Server]) -> AsyncIterator[Any]:
    """The same, ready to be sent to."""
    with a_server(kind) as server:
        await server.empty()
        yield server
