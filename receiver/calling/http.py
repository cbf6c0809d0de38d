"""One request and its answer, repeated where that is safe: JSON, pages of a list, a stream."""

import random
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from typing import Any
from urllib.parse import quote

import httpx

from receiver.calling.errors import ClientError, NotTaskweir, Unreachable, error_of
from receiver.calling.server import Server
from receiver.errors import ConfigurationError

Query = Mapping[str, str | int]

ANSWER_S = 30.0  # the API answers a submit within 20 s
_CONNECT_S = 10.0
_SILENCE_S = 60.0  # a stream's heartbeats come more often
_MOST_PER_PAGE = 200
_GATEWAYS = frozenset({502, 503, 504})
_MOMENTARY = frozenset({429, *_GATEWAYS})
_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 30.0
_LINE_END = re.compile(rb"\r\n|\n|\r")


class Http:
    """Talks to one server. Every call gives the answer's JSON, or raises a `ClientError`.

    What may be repeated (a GET, or what says that it is `safe`) is, up to `retries` times, after a pause that grows or
    that the server names.
    """

    def __init__(self, server: Server, *, retries: int, pause: Callable[[float], None] = time.sleep) -> None:
        self.server = server
        self._retries = retries
        self._pause = pause
        try:
            self._client = httpx.Client(
                base_url=server.url,
                headers={"authorization": f"Bearer {server.key}", "user-agent": "taskweir"},
                trust_env=not server.on_loopback,  # a proxy cannot reach this machine's own loopback
                # All the authorities there are take 20 ms to read, and nobody shows a certificate there.
                verify=not server.on_loopback or server.url.lower().startswith("https:"),
            )
        except (ImportError, ValueError, httpx.InvalidURL) as error:
            raise ConfigurationError(
                f"the proxy in the environment cannot be used: {error}", hint="Unset ALL_PROXY, or add to NO_PROXY."
            ) from None

    def close(self) -> None:
        self._client.close()

    def get(self, path: str, query: Query | None = None, *, holds: str = "id", waits_s: float = 0) -> dict[str, Any]:
        """An object with the field `holds` in it; `waits_s` is how long the server may wait before it answers."""
        return self._object(self._ask("GET", path, safe=True, query=query, read_s=ANSWER_S + waits_s), holds)

    def post(
        self,
        path: str,
        body: Any = None,
        *,
        holds: str = "id",
        waits_s: float = 0,
        safe: bool = False,
        query: Query | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """What was made of the body, with the field `holds` in it; `safe` where a repeat does nothing twice."""
        reply = self._ask("POST", path, safe=safe, query=query, body=body, headers=headers, read_s=ANSWER_S + waits_s)
        return self._object(reply, holds)

    def patch(self, path: str, body: Any) -> dict[str, Any]:
        """What the changes in the body made of it."""
        return self._object(self._ask("PATCH", path, body=body), "id")

    def delete(self, path: str, query: Query | None = None) -> None:
        self._read(self._ask("DELETE", path, query=query))

    def listed(self, path: str, query: Query, *, limit: int | None = None) -> Iterator[dict[str, Any]]:
        """The items of a list, newest first, over as many pages as that takes; `limit` is the most of them."""
        left, cursor = limit, dict[str, str]()
        while True:
            size = _MOST_PER_PAGE if left is None else min(left, _MOST_PER_PAGE)
            page = self.get(path, {**query, **cursor, "limit": size}, holds="items")
            items = page["items"] if left is None else page["items"][:left]
            yield from items
            left = None if left is None else left - len(items)
            if page["next_cursor"] is None or left == 0:
                return
            cursor = {"cursor": page["next_cursor"]}

    @contextmanager
    def stream(self, path: str, query: Query) -> Iterator[Iterator[bytes]]:
        """The lines of a stream as they come; raises `Unreachable` also where it breaks off in the middle."""
        headers = {"accept": "text/event-stream", "accept-encoding": "identity", "cache-control": "no-store"}
        timeout = httpx.Timeout(_CONNECT_S, read=_SILENCE_S)
        with (
            self._told("GET"),
            self._client.stream("GET", path, params=query, headers=headers, timeout=timeout) as reply,
        ):
            if not reply.headers.get("content-type", "").startswith("text/event-stream") or not reply.is_success:
                reply.read()
                self._read(reply)
                raise self._stranger(reply)
            yield _lines(reply.iter_bytes())

    def _ask(
        self,
        method: str,
        path: str,
        *,
        safe: bool = False,
        query: Query | None = None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        read_s: float = ANSWER_S,
    ) -> httpx.Response:
        request = self._client.build_request(
            method, path, params=query, json=body, headers=headers, timeout=httpx.Timeout(_CONNECT_S, read=read_s)
        )
        for tried in count():
            last = not safe or tried >= self._retries
            try:
                with self._told(method):
                    reply = self._client.send(request)
            except Unreachable:
                if last:
                    raise
                self._pause(_pause_s(tried))
                continue
            pause_s = None if last else _asked_to_wait(reply, tried)
            if pause_s is None or pause_s > _LONGEST_PAUSE_S:
                return reply
            self._pause(pause_s)
        raise AssertionError

    @contextmanager
    def _told(self, method: str) -> Iterator[None]:
        """What the network does, as an `Unreachable`."""
        try:
            yield
        except httpx.ConnectError:
            raise Unreachable(
                f"no server answers at {self.server.url}",
                "Start one with `taskweir serve`, or set TASKWEIR_URL to where it runs.",
            ) from None
        except (httpx.TransportError, httpx.DecodingError) as error:
            lines = () if method == "GET" else ("It may have been done all the same: look before you repeat it.",)
            raise Unreachable(f"{self.server.url} gave no answer ({type(error).__name__})", *lines) from None

    def _object(self, reply: httpx.Response, holds: str) -> dict[str, Any]:
        value = self._read(reply)
        if not isinstance(value, dict) or holds not in value:
            raise self._stranger(reply)
        return value

    def _read(self, reply: httpx.Response) -> Any:
        try:
            value = None if reply.status_code == httpx.codes.NO_CONTENT else reply.json()
        except ValueError:
            raise self._stranger(reply) from None
        if reply.is_success:
            return value
        if not isinstance(value, dict) or "detail" not in value:
            raise self._stranger(reply)
        hint = (
            f"The key came from {self.server.key_from}; give one that {self.server.url} knows."
            if reply.status_code == 401
            else ""
        )
        raise error_of(reply.status_code, value, retry_after=_retry_after(reply), hint=hint)

    def _stranger(self, reply: httpx.Response) -> ClientError:
        """Something else answered; a gateway that says so speaks of a server behind it that does not."""
        kind = Unreachable if reply.status_code in _GATEWAYS else NotTaskweir
        return kind(
            f"{self.server.url} answered {reply.status_code}, but not as Taskweir does",
            "Is TASKWEIR_URL the address of a Taskweir server?",
        )


def path_of(collection: str, id: str, *rest: str) -> str:
    """The address of one thing in a collection; what people type as an id may be anything, and is never a path."""
    if "/" in id:
        raise ClientError(f"{id} is not an id: it holds a slash")
    return "/".join(["/v1", collection, quote(id, safe=":").replace(".", "%2E") or "%20", *rest])


def given(**fields: Any) -> dict[str, Any]:
    """The fields that were given at all."""
    return {name: value for name, value in fields.items() if value is not None}


def _asked_to_wait(reply: httpx.Response, tried: int) -> float | None:
    """How many seconds to wait before asking again; None where the answer stands.

    A 409 that says when to come again is about a first use of the same Idempotency-Key.
    """
    after = _retry_after(reply)
    if reply.status_code in _MOMENTARY or (reply.status_code == httpx.codes.CONFLICT and after is not None):
        return _pause_s(tried) if after is None else after
    return None


def _pause_s(tried: int) -> float:
    return _FIRST_PAUSE_S * (1 << tried) * random.uniform(0.8, 1.2)  # noqa: S311 - spreads load, guards nothing


def _retry_after(reply: httpx.Response) -> float | None:
    text: str = reply.headers.get("retry-after", "").strip()
    return float(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def _lines(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Lines that end as Server-Sent Events allow; letters beyond ASCII that end lines elsewhere end none here."""
    rest = b""
    for chunk in chunks:
        rest += chunk
        held = b"\r" if rest.endswith(b"\r") else b""  # a line feed may still belong to it
        *lines, rest = _LINE_END.split(rest.removesuffix(b"\r") if held else rest)
        rest += held
        yield from lines
