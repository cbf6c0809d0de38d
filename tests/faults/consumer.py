"""A user's webhook endpoint in a thread of its own: it verifies what comes, and remembers every event."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks import Webhook

SECRET = "whsec_" + "c2VjcmV0" * 4


class Inbox:
    """Verified events by id, the moments at which each came, and what did not verify or changed between two tries."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._webhook = Webhook(SECRET)
        self.bodies: dict[str, bytes] = {}
        self.came: dict[str, list[float]] = {}
        self.wrong: list[str] = []

    def take(self, headers: dict[str, str], body: bytes) -> None:
        event_id = headers["webhook-id"]
        with self._lock:
            self.came.setdefault(event_id, []).append(time.monotonic())
            try:
                event: Any = self._webhook.verify(body, headers)
            except Exception as error:  # noqa: BLE001 - the package raises whatever it likes; all of it means no
                self.wrong.append(f"{event_id} does not verify: {error!r}")
                return
            if event["id"] != event_id or self.bodies.setdefault(event_id, body) != body:
                self.wrong.append(f"{event_id} changed between two tries")

    def moments(self) -> dict[str, list[float]]:
        """When each event came, every time."""
        with self._lock:
            return {event_id: list(moments) for event_id, moments in self.came.items()}

    def events(self) -> dict[str, Any]:
        with self._lock:
            return {event_id: json.loads(body) for event_id, body in self.bodies.items()}


@contextmanager
def an_inbox(*, answers_after_s: float = 0) -> Iterator[tuple[Inbox, str]]:
    """The endpoint and its URL; it is as far away as `answers_after_s`."""
    inbox = Inbox()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            inbox.take({name.lower(): value for name, value in self.headers.items()}, body)
            time.sleep(answers_after_s)
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *values: Any) -> None:
            """Nothing: the tests tell what matters."""

        def handle(self) -> None:
            try:
                super().handle()
            except ConnectionError:
                return  # the server that sent it was killed

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 256  # of five, as it is, the sixth at once finds no connection

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield inbox, f"http://127.0.0.1:{server.server_address[1]}/hook"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
