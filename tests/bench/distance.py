"""A database that is further away, each answer that much later; and what a round trip to it takes meanwhile.

Both are processes of their own: nobody else's work delays them, and no event loop's clock, which counts in
milliseconds, rounds their waits. The one who asks waits as a server's writer does, for a place on the same cores.
"""

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import fmean

import psycopg

from tests.bench.machine import REST, on_cores
from tests.postgres_server import SUPERUSER

_EVERY_S = 0.02


@contextmanager
def further(path: Path, database: str, *, round_trip_s: float) -> Iterator[str]:
    """The URL by which the server on that socket is so far away."""
    command = [sys.executable, "-m", "tests.bench.distance", str(path), str(round_trip_s)]
    with on_cores(REST):
        process = subprocess.Popen(command, stdout=subprocess.PIPE)
    with process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        try:
            yield f"postgresql://{SUPERUSER}@127.0.0.1:{port}/{database}?sslmode=disable&gssencmode=disable"
        finally:
            process.kill()


@contextmanager
def asked_meanwhile(url: str) -> Iterator[Callable[[], float]]:
    """Ask the database for nothing, again and again; the mean of what that took, in seconds, once it is asked for."""
    command = [sys.executable, "-m", "tests.bench.distance", url]
    with on_cores(REST):
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with process:
        yield lambda: float(process.communicate()[0])
        process.kill()


def _ask(url: str) -> None:
    took, ended = list[float](), threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    with psycopg.connect(url, autocommit=True) as connection:
        while not ended.wait(_EVERY_S):
            began = time.perf_counter()
            connection.execute("SELECT 1")
            took.append(time.perf_counter() - began)
    print(fmean(took))  # noqa: T201 - for who began us


def _carry(source: socket.socket, target: socket.socket, late_s: float) -> None:
    """Pass on what comes; who asks and waits for the answer never has two things under way."""
    with suppress(OSError):
        while data := source.recv(1 << 20):
            time.sleep(late_s)
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


def _serve(path: str, round_trip_s: float) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        print(listening.getsockname()[1], flush=True)  # noqa: T201 - for who began us
        while True:
            client, _ = listening.accept()
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            server = socket.socket(socket.AF_UNIX)
            server.connect(path)
            for pair in ((client, server), (server, client)):
                threading.Thread(target=_carry, args=(*pair, round_trip_s / 2), daemon=True).start()


if __name__ == "__main__":
    _serve(sys.argv[1], float(sys.argv[2])) if len(sys.argv) > 2 else _ask(sys.argv[1])
