"""Bytes that no HTTP library would send, to a real server: it lives, and answers the next good request."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from receiver.signing import CallbackTokens
from tests.service.asking import counts, everything, holds
from tests.service.world import free_port

KEY = "root-key-0123456789"
SECRET = "s" * 32
PROVIDER_KEY = "provider-key-0123456789"
HEAD = f"Host: x\r\nAuthorization: Bearer {KEY}\r\n".encode()
ME = b"GET /v1/me HTTP/1.1\r\n" + HEAD + b"\r\n"
LAST = b"GET /v1/me HTTP/1.1\r\n" + HEAD + b"Connection: close\r\n\r\n"
MIB = 1024 * 1024
TASK = b'{"provider":"apikley","model":"m","input":{"prompt":"x"}}'


@dataclass
class Server:
    """A server in a process of its own, as in production; `log` is what it printed."""

    process: subprocess.Popen[bytes]
    port: int
    directory: Path

    @property
    def log(self) -> str:
        return (self.directory / "log").read_text()

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)

    def ask(self, raw: bytes, *, hang_up: bool = False) -> bytes:
        """Send these bytes, and read until the server closes; `hang_up` sends our end of the stream at once."""
        parts = []
        with self.connect() as connection:
            with suppress(ConnectionError):  # it closed with bytes of ours unread; what it said before still counts
                connection.sendall(raw)
                if hang_up:
                    connection.shutdown(socket.SHUT_WR)
            with suppress(ConnectionError):
                while part := connection.recv(65_536):
                    parts.append(part)
        return b"".join(parts)

    def good(self) -> bool:
        return statuses(self.ask(LAST)) == [200]

    def callback(self, task_id: str = "task_1") -> str:
        return f"/callbacks/apikley/{CallbackTokens([SECRET]).issue('apikley', task_id)}"


def statuses(raw: bytes) -> list[int]:
    return [int(code) for code in re.findall(rb"HTTP/1\.1 (\d{3})", raw)]


def post(path: str, body: bytes, *, head: bytes = HEAD, length: int | None = None, more: bytes = b"") -> bytes:
    size = len(body) if length is None else length
    return f"POST {path} HTTP/1.1\r\n".encode() + head + more + f"Content-Length: {size}\r\n\r\n".encode() + body


def chunked(path: str, chunks: bytes) -> bytes:
    return f"POST {path} HTTP/1.1\r\n".encode() + HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunks


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    port = free_port()
    environment = os.environ | {
        "TASKWEIR_DATABASE_URL": f"sqlite:///{tmp_path}/taskweir.db",
        "TASKWEIR_DATA_DIR": str(tmp_path),
        "TASKWEIR_API_KEY": KEY,
        "TASKWEIR_SECRET_KEY": SECRET,
        "TASKWEIR_PORT": str(port),
        "TASKWEIR_PUBLIC_URL": f"http://127.0.0.1:{port}",
        "TASKWEIR_LOG_FORMAT": "json",
        "TASKWEIR_LOG_LEVEL": "debug",
        "TASKWEIR_APIKLEY_API_KEY": PROVIDER_KEY,
        "TASKWEIR_APIKLEY_BASE_URL": f"http://127.0.0.1:{free_port()}",  # nobody is there: every task stays queued
    }
    with (tmp_path / "log").open("wb") as log:
        command = [sys.executable, "-m", "receiver", "serve"]
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    server = Server(process, port, tmp_path)
    try:
        _wait_until_it_answers(server)
        yield server
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


def _wait_until_it_answers(server: Server) -> None:
    ends_at = time.monotonic() + 30
    while time.monotonic() < ends_at:
        with suppress(ConnectionRefusedError):
            return server.connect().close()
        with suppress(subprocess.TimeoutExpired):
            server.process.wait(0.02)
            break
    raise AssertionError(server.log)


# Bytes, whether we hang up after them, and the statuses of what is answered before the connection ends.
HOSTILE: dict[str, tuple[bytes, bool, list[int]]] = {
    "nothing": (b"", True, []),
    "a line feed": (b"\n", True, []),
    "half a line": (b"GET /v1/me HTT", True, []),
    "half a head": (b"GET /v1/me HTTP/1.1\r\nHost: x\r\n", True, []),
    "half a body": (post("/v1/tasks", TASK, length=1000), True, []),
    "a body that never comes": (post("/v1/tasks", b"", length=10), True, []),
    "half a chunk": (chunked("/v1/tasks", b"ff\r\n" + TASK), True, []),
    "chunks without an end": (chunked("/v1/tasks", b"%x\r\n%b\r\n" % (len(TASK), TASK)), True, []),
    "a length that is too short": (post("/v1/tasks", b"{} {}", length=2), False, [422, 400]),
    "a negative length": (post("/v1/tasks", TASK, length=-1), False, [400]),
    "a length of thirty digits": (post("/v1/tasks", TASK, length=10**30), False, [400]),
    "two lengths": (post("/v1/tasks", TASK, more=b"Content-Length: 5\r\n"), False, [400]),
    "a length beside chunks": (post("/v1/tasks", TASK, more=b"Transfer-Encoding: chunked\r\n"), False, [400]),
    "an odd coding": (post("/v1/tasks", b"", more=b"Transfer-Encoding: gzip\r\n", length=0), False, [400]),
    "a chunk of no size": (chunked("/v1/tasks", b"zz\r\n{}\r\n0\r\n\r\n"), False, [400]),
    "a chunk of a negative size": (chunked("/v1/tasks", b"-1\r\n{}\r\n0\r\n\r\n"), False, [400]),
    "noise": (bytes(range(256)) * 40, False, [400]),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 512, False, [400]),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", False, [400]),
    "HTTP/9": (b"GET /v1/me HTTP/9.9\r\n" + HEAD + b"\r\n", False, [400]),
    "a folded header": (b"GET /v1/me HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer\r\n x\r\n\r\n", False, [400]),
    "a NUL in a header": (b"GET /v1/me HTTP/1.1\r\n" + HEAD + b"X: a\x00b\r\n\r\n", False, [400]),
    "a header without a name": (b"GET /v1/me HTTP/1.1\r\n" + HEAD + b": x\r\n\r\n", False, [400]),
    "a method from nowhere": (b"BREW /v1/me HTTP/1.1\r\n" + HEAD + b"\r\n", False, [400]),
    "a tunnel": (b"CONNECT example.com:443 HTTP/1.1\r\n" + HEAD + b"\r\n", False, [400]),
    "an address of 200 KB": (b"GET /v1/tasks/" + b"a" * 200_000 + b" HTTP/1.1\r\n" + HEAD + b"\r\n", False, [414]),
    "bytes in the address": (b"GET /v1/tasks/\xff\xfe HTTP/1.1\r\n" + HEAD + b"\r\n", False, [400]),
    "a header of 1 MiB": (LAST[:-2] + b"X: " + b"a" * MIB + b"\r\n\r\n", False, [431]),
    "10,000 headers": (LAST[:-2] + b"X: a\r\n" * 10_000 + b"\r\n", False, [431]),
    "garbage behind a request": (ME + b"\x00\x01garbage\r\n\r\n", False, [200, 400]),
    "five requests at once": (ME * 4 + LAST, False, [200] * 5),
    "an unpaired surrogate": (b"GET /v1/tasks/%ED%A0%80%00 HTTP/1.1\r\n" + HEAD + b"\r\n" + LAST, False, [404, 200]),
    "another host's address": (
        b"GET http://x.example/v1/nobody HTTP/1.1\r\n" + HEAD + b"\r\n" + LAST,
        False,
        [404, 200],
    ),
    "no address": (b"OPTIONS * HTTP/1.1\r\n" + HEAD + b"\r\n" + LAST, False, [404, 200]),
    "a key of bytes": (b"GET /v1/me HTTP/1.1\r\nAuthorization: Bearer \xff\xc3\xa9\r\n\r\n" + LAST, False, [401, 200]),
    "bad JSON, then a good one": (post("/v1/tasks", b"{") + LAST, False, [400, 200]),
    "1 MiB and a byte": (post("/v1/tasks", b" " * (MIB + 1)) + LAST, False, [413, 200]),
    "a length of a terabyte": (post("/v1/tasks", b"", length=10**12), True, [413]),
    "2 MiB in chunks": (
        chunked("/v1/tasks", (b"10000\r\n" + b" " * 65_536 + b"\r\n") * 32 + b"0\r\n\r\n") + LAST,
        False,
        [413, 200],
    ),
    "who expects a word first": (
        post("/v1/tasks", b"{", more=b"Expect: 100-continue\r\n") + LAST,
        False,
        [100, 400, 200],
    ),
}


def test_the_server_survives_all_of_it(server: Server) -> None:
    """Each gets its answer or a closed door, and the next good request is served; nothing is recorded."""
    for name, (raw, hang_up, expected) in HOSTILE.items():
        answer = server.ask(raw, hang_up=hang_up)
        assert statuses(answer) == expected, (name, answer[:300])
        assert server.good(), name
    assert counts(server.directory) == {}
    made = server.ask(post("/v1/tasks", TASK, more=b"Connection: close\r\n"))
    assert statuses(made) == [202]
    assert counts(server.directory)["tasks"] == 1


def test_a_callback_is_heard_whatever_its_frame(server: Server) -> None:
    """The door of the providers takes what it can get: 64 KiB of it, and says so; the connection stays usable."""
    made = json.loads(server.ask(post("/v1/tasks", TASK, more=b"Connection: close\r\n")).split(b"\r\n\r\n", 1)[1])
    path = server.callback(made["id"])
    huge = b"x" * (2 * MIB)
    pieces = b"".join(b"%x\r\n%b\r\n" % (1000, b"y" * 1000) for _ in range(500)) + b"0\r\n\r\n"
    for raw in (
        post(path, huge, head=b"Host: x\r\n") + LAST,
        chunked(path, pieces) + LAST,
        post(path, b"\x00" * 100, more=b"Content-Encoding: gzip\r\n") + LAST,
        post(path, b"", more=b"Expect: 100-continue\r\n") + LAST,
    ):
        assert [status for status in statuses(server.ask(raw)) if status != 100] == [200, 200]
    server.ask(post(path, b"half", length=1000), hang_up=True)
    assert statuses(server.ask(post(path[:-1], huge) + LAST)) == [404, 200]
    assert server.good()
    assert max(len(row[-1]) for row in everything(server.directory)["inbox"]) == 64 * 1024
    assert len(everything(server.directory)["tasks"]) == 1
    token = path.rsplit("/", 1)[1]
    assert holds(everything(server.directory), token) == []
    for secret in (token, KEY, SECRET, PROVIDER_KEY):
        assert secret not in server.log
    assert "Traceback" not in server.log


def test_those_who_never_finish_do_not_hold_up_the_others(server: Server) -> None:
    """Three hundred half requests: a good one is answered, and SIGTERM still ends the process in time."""
    halves = (b"", b"GET /v1/me HTT", post("/v1/tasks", TASK, length=1000), chunked("/v1/tasks", b"5\r\n{"))
    with ExitStack() as stack:
        for number in range(300):
            connection = stack.enter_context(server.connect())
            connection.sendall(halves[number % len(halves)])
        began = time.monotonic()
        assert server.good()
        assert time.monotonic() - began < 5
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(20) == 0
    assert counts(server.directory) == {}
    assert "server.stopped" in server.log
