"""A server of raw answers, for what no Taskweir would say."""

import json
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.raw_servers import answer as raw_answer

HANG_UP = b""


def answer(status: int, body: Any, *, kind: str = "application/json") -> bytes:
    """An HTTP answer; a body that is text is sent as it is."""
    raw = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    return raw_answer(raw, status=f"{status} X", headers=f"Content-Type: {kind}\r\nConnection: close\r\n")


@dataclass(slots=True)
class Stub:
    """`url`, the first line of every request so far, and the headers of each, in small letters."""

    url: str
    requests: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)


@contextmanager
def stub(answers: Sequence[bytes], port: int = 0) -> Iterator[Stub]:
    """Give one answer per connection, in this order, the last one for ever; `HANG_UP` closes without a word."""
    listener = socket.create_server(("127.0.0.1", port))
    seen = Stub(url=f"http://127.0.0.1:{listener.getsockname()[1]}")
    thread = threading.Thread(target=_serve, args=(listener, list(answers), seen), daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        with socket.create_connection(listener.getsockname()) as last:
            last.sendall(b"STOP\r\n\r\n")
        thread.join(10)
        listener.close()


def _serve(listener: socket.socket, answers: list[bytes], seen: Stub) -> None:
    while True:
        connection, _ = listener.accept()
        with connection:
            line, *headers = _head(connection)
            if line == "STOP":
                return
            seen.requests.append(line)
            seen.headers.append(dict(header.lower().split(": ", 1) for header in headers))
            connection.sendall(answers.pop(0) if len(answers) > 1 else answers[0])


def _head(connection: socket.socket) -> list[str]:
    """Read one request with its body; the lines of its head. A client that goes away early has none."""
    read = b""
    while b"\r\n\r\n" not in read:
        chunk = connection.recv(65536)
        if not chunk:
            break
        read += chunk
    head, _, body = read.partition(b"\r\n\r\n")
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            while len(body) < int(line.partition(b":")[2]):
                body += connection.recv(65536)
    return head.decode().split("\r\n")
