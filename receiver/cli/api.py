"""The HTTP API as the commands see it: where it is, with which key, and what its refusals say."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, urlsplit

import httpx

from receiver.cli.commands import Failed
from receiver.cli.text import plain
from receiver.errors import ConfigurationError
from receiver.settings import API_KEY_FILE

DEFAULT_URL = "http://127.0.0.1:8080"
_MOST_PER_PAGE = 200
_ANSWER_S = 30.0  # the API answers a submit within 20 s
_CONNECT_S = 10.0

Json = Any


class Unreachable(Failed):
    """No answer came: nothing listens there, or the connection broke."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A running Taskweir: its address, the key, and where that was found."""

    url: str
    key: str = field(repr=False)
    key_from: str


def server_of(environment: Mapping[str, str]) -> Server:
    """The server that the environment names; raises `ConfigurationError`."""
    url = environment.get("TASKWEIR_URL", "").strip().rstrip("/") or DEFAULT_URL
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or not url.isascii() or not url.isprintable():
        raise ConfigurationError(f"TASKWEIR_URL is {plain(url)!r}", hint=f"Set it as {DEFAULT_URL}.")
    key, key_from = _key_of(environment)
    if not key.isascii() or not key.isprintable() or not key:
        raise ConfigurationError(f"the key in {key_from} is not plain text", hint="Put the API key there.")
    return Server(url=url, key=key, key_from=key_from)


def _key_of(environment: Mapping[str, str]) -> tuple[str, str]:
    key = environment.get("TASKWEIR_API_KEY", "").strip()
    if key:
        return key, "TASKWEIR_API_KEY"
    named = environment.get("TASKWEIR_API_KEY_FILE", "").strip()
    path = Path(named) if named else Path(environment.get("TASKWEIR_DATA_DIR", "").strip() or ".") / API_KEY_FILE
    try:
        return path.read_text(encoding="utf-8").strip(), str(path)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "not text"
        raise ConfigurationError(
            f"TASKWEIR_API_KEY is not set, and there is no key in {path}: {why}",
            hint="Set TASKWEIR_API_KEY, or TASKWEIR_DATA_DIR to the directory where the server keeps its key.",
        ) from None


class Api:
    """One server's API. Every call gives the answer's JSON, or raises `Failed` with what the server said."""

    def __init__(self, server: Server) -> None:
        self._server = server
        loopback = urlsplit(server.url).hostname in ("127.0.0.1", "::1", "localhost")
        try:
            self._client = httpx.Client(
                base_url=server.url,
                headers={"authorization": f"Bearer {server.key}", "user-agent": "taskweir"},
                trust_env=not loopback,  # a proxy cannot reach this machine's own loopback
            )
        except (ImportError, ValueError, httpx.InvalidURL) as error:
            raise ConfigurationError(
                f"the proxy in the environment cannot be used: {error}", hint="Unset ALL_PROXY, or add to NO_PROXY."
            ) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._client.close()

    def get(
        self, path: str, query: Mapping[str, str | int] | None = None, *, holds: str = "id", waits_s: float = 0
    ) -> dict[str, Any]:
        """An object with the field `holds` in it; `waits_s` is how long the server may wait before it answers."""
        return self._object("GET", path, holds, query=query, read_s=_ANSWER_S + waits_s)

    def post(self, path: str, body: Json, *, holds: str = "id", waits_s: float = 0) -> dict[str, Any]:
        """What was made of the body, with the field `holds` in it; `waits_s` is how much longer that may take."""
        return self._object("POST", path, holds, body=body, read_s=_ANSWER_S + waits_s)

    def patch(self, path: str, body: Json) -> dict[str, Any]:
        """What the changes in the body made of it."""
        return self._object("PATCH", path, "id", body=body)

    def delete(self, path: str) -> None:
        self._read(self._ask("DELETE", path))

    def listed(self, path: str, query: Mapping[str, str], *, limit: int) -> list[dict[str, Any]]:
        """The newest `limit` items of a list, over as many pages as that takes."""
        items: list[dict[str, Any]] = []
        cursor: dict[str, str] = {}
        while True:
            page = self.get(path, {**query, **cursor, "limit": min(limit - len(items), _MOST_PER_PAGE)}, holds="items")
            items += page["items"]
            if page["next_cursor"] is None or len(items) >= limit:
                return items[:limit]
            cursor = {"cursor": page["next_cursor"]}

    def _object(self, method: str, path: str, holds: str, **request: Any) -> dict[str, Any]:
        reply = self._ask(method, path, **request)
        value = self._read(reply)
        if not isinstance(value, dict) or holds not in value:
            raise self._stranger(reply)
        return value

    def _ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str | int] | None = None,
        body: Json = None,
        read_s: float = _ANSWER_S,
    ) -> httpx.Response:
        timeout = httpx.Timeout(_CONNECT_S, read=read_s)
        try:
            return self._client.request(method, path, params=query, json=body, timeout=timeout)
        except httpx.ConnectError:
            raise Unreachable(
                f"no server answers at {self._server.url}",
                "Start one with `taskweir serve`, or set TASKWEIR_URL to where it runs.",
            ) from None
        except httpx.TransportError as error:
            lines = () if method == "GET" else ("It may have been done all the same: look before you repeat it.",)
            raise Unreachable(f"{self._server.url} gave no answer ({type(error).__name__})", *lines) from None

    def _read(self, reply: httpx.Response) -> Json:
        try:
            value = None if reply.status_code == httpx.codes.NO_CONTENT else reply.json()
        except ValueError:
            raise self._stranger(reply) from None
        if reply.is_success:
            return value
        if not isinstance(value, dict) or "detail" not in value:
            raise self._stranger(reply)
        raise Failed(plain(value["detail"]), *_fault_lines(value), *self._key_lines(reply.status_code))

    def _stranger(self, reply: httpx.Response) -> Failed:
        return Failed(
            f"{self._server.url} answered {reply.status_code}, but not as Taskweir does",
            "Is TASKWEIR_URL the address of a Taskweir server?",
        )

    def _key_lines(self, status: int) -> Iterator[str]:
        if status == httpx.codes.UNAUTHORIZED:
            yield f"The key came from {self._server.key_from}."


def _fault_lines(problem: Mapping[str, Json]) -> Iterator[str]:
    faults = problem.get("errors")
    for fault in faults if isinstance(faults, list) else ():
        if isinstance(fault, dict) and fault.get("message") != problem["detail"]:
            code = f" (code {fault['code']})" if "code" in fault else ""
            yield plain(f"{fault.get('path')}: {fault.get('message')}{code}")


def path_of(collection: str, id: str, *rest: str) -> str:
    """The address of one thing in a collection; what people type as an id may be anything, and is never a path."""
    if "/" in id:
        raise Failed(f"{plain(id)} is not an id: it holds a slash")
    return "/".join(["/v1", collection, quote(id, safe=":").replace(".", "%2E") or "%20", *rest])
