"""One connection: HTTP as uvicorn reads it, within limits; a refusal is an answer, and then the end."""

import asyncio
from collections.abc import Iterable
from http import HTTPStatus
from itertools import islice
from typing import Any, cast

import httptools
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from receiver.web import limits as rules
from receiver.web.answers import problem
from receiver.web.limits import ReceiveLimits, Refusal, Wait

# A callback is never answered 4xx: one that does not arrive whole is hung up on, so that it is sent again.
_HUNG_UP_ON = b"/callbacks/"
_ENDLESS = tuple(each.encode() for each in rules.ENDLESS)
_ROOM_MADE = 64
_OF_AN_UPGRADE = (b"connection", b"upgrade", b"http2-settings")


class Refused(Exception):
    """Ends the reading of a head from inside the parser."""


class Reception(HttpToolsProtocol):
    """What is asked over one connection, and how long the other side was waited for.

    Nothing is timed while requests are read: the server calls `look` at intervals, and a wait is as long as the looks
    that found the same one.
    """

    limits = ReceiveLimits()

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._begun = 0  # requests of which a byte came
        self._owed = 0  # answers to whole heads that are not complete
        self._heading = False
        self._whole = True
        self._upgrading = False
        self._came = 0  # bytes in the last chunk
        self._size = 0  # bytes of the head or the body that is being read, in the chunks before it
        self._unsure = 0  # bytes of the chunk that a head began in, behind another request
        self._fault: Refusal | None = None
        self._ending = False
        self._parting: Refusal | None = None
        self._leaving = False
        self._found: tuple[int, Wait] | None = None
        self._waited_s = 0.0
        self._left = 0

    # What uvicorn's loop and parser call

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(cast("asyncio.Transport", transport))
        if len(self.connections) > self.limits.connections:
            make_room(each for each in self.connections if isinstance(each, Reception) and each is not self)

    def data_received(self, data: bytes) -> None:
        offer: int | None = 0
        while offer is not None and not self._ending:
            begun, between, self._came = self._begun, self._whole, len(data)
            offer = self._read(data)
            if offer is not None:
                data = self._decline(data[offer:])
            elif not self._whole:
                self._count(begun, between)

    def _read(self, data: bytes) -> int | None:
        """Parse; where the last thing in it was the offer of another protocol, what comes after that."""
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            return int(upgrade.args[0])
        except httptools.HttpParserError:
            self.refuse(self._fault or rules.MALFORMED)
        return None

    def _count(self, begun: int, between: bool) -> None:
        """Add the last chunk to the head or the body that it left unfinished."""
        if self._heading:
            if self._begun == begun or (between and self._begun == begun + 1):
                self._size += self._came
            else:  # a request ended in the same chunk: how much of it is this head's is not known
                self._unsure = self._came
            if self._size > self.limits.head_bytes:
                self.refuse(rules.too_large(self.limits, self.url))
        elif not self._whole:
            self._size += self._came
            if self._size > self.limits.wire_bytes:
                self.refuse(rules.TOO_LONG)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._begun += 1
        self._heading, self._whole, self._size, self._unsure = True, False, 0, 0

    def on_headers_complete(self) -> None:
        if self.parser.should_upgrade():
            self._upgrading = True
            return
        version, at_most = self.parser.get_http_version(), self._size + self._unsure + self._came
        self._fault = rules.fault_of(self.limits, self.url, self.headers, version=version, at_most=at_most)
        if self._fault is not None:
            raise Refused
        super().on_headers_complete()
        if self.url.startswith(_ENDLESS):
            self.scope["extensions"] = {rules.TAKEN: {"wait": self.taken}}
        self.headers = []  # what comes behind a chunked body would become headers: nobody has looked at those
        self._heading, self._size = False, 0
        self._owed += 1

    def on_message_complete(self) -> None:
        if not self._upgrading:
            super().on_message_complete()
            self._whole = True

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        self._owed -= 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        elif self._ending:
            self._leave(self._parting)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._waited_s = 0.0  # much of an answer was taken

    def shutdown(self) -> None:
        if not self._ending:
            super().shutdown()

    # What an answer that does not end asks

    async def taken(self) -> None:
        """Return when all that was written so far is taken; from now on none of it piles up here."""
        if self.transport.get_write_buffer_size():
            self.transport.set_write_buffer_limits(high=0)
            await self.flow.drain()

    # What the server asks at intervals

    def waits_for(self) -> Wait | None:
        """What the other side has to do next; None where it is we who work."""
        if self._leaving:
            return Wait.LEAVE
        if self.transport.get_write_buffer_size():
            return Wait.TAKE
        if self._ending:
            return None
        if self._heading or self.cycle is None:
            return Wait.HEAD
        if not self._whole:
            return None if self.flow.read_paused else Wait.BODY
        return Wait.ASK if self.cycle.response_complete else None

    def look(self, passed_s: float, *, stopping: bool = False) -> None:
        """Give up on who was waited for too long; `passed_s` is the time since the last look."""
        wait = self.waits_for()
        if wait is None:
            return
        found = (0 if wait is Wait.TAKE else self._begun, wait)
        left = self.transport.get_write_buffer_size()
        if found != self._found or left <= self._left - self.limits.taken_bytes:
            self._found, self._waited_s, self._left = found, 0.0, left
            return
        self._waited_s += passed_s
        allowed_s = rules.patience(self.limits, wait)
        if self._waited_s >= (min(allowed_s, self.limits.stopping_s) if stopping else allowed_s):
            self._give_up(wait, stopping=stopping)

    def _give_up(self, wait: Wait, *, stopping: bool) -> None:
        if wait is Wait.BODY:
            self.refuse(rules.STOPPING if stopping else rules.LATE_BODY)
        elif wait is Wait.HEAD and self._heading:
            self.refuse(rules.STOPPING if stopping else rules.LATE_HEAD)
        elif wait in (Wait.HEAD, Wait.ASK):
            self.transport.close()  # nothing was asked: an answer would be to nothing
        else:
            self.transport.abort()

    # How it ends

    def refuse(self, refusal: Refusal) -> None:
        """Read nothing more; say why once what was asked before is answered; then go."""
        if self._ending:
            return
        self._ending, self._parting = True, refusal
        if not self._heading and not self._whole:
            self._give_up_last()
        if self._owed:
            self.flow.pause_reading()
        else:
            self._leave(self._parting)

    def _give_up_last(self) -> None:
        """The request whose body is being read gets this refusal, or nothing where its answer has begun."""
        cycle = self.cycle
        if cycle.response_started or self.url.startswith(_HUNG_UP_ON):
            self._parting = None
        if cycle.response_complete:
            return
        self._owed -= 1
        if self.pipeline and self.pipeline[0][0] is cycle:
            self.pipeline.popleft()
        cycle.disconnected = True
        cycle.message_event.set()

    def _leave(self, refusal: Refusal | None) -> None:
        """End our side; the other one is read on for a while, for a closed door would make it miss the answer."""
        self._leaving = True
        if self.transport.is_closing():
            return
        if refusal is not None:
            self.transport.write(self._raw(refusal))
        self.flow.resume_reading()
        self.transport.write_eof()

    def _raw(self, refusal: Refusal) -> bytes:
        answer = problem(refusal.status, refusal.detail)
        headers = [*self.server_state.default_headers, *answer.raw_headers, (b"connection", b"close")]
        lines = [f"HTTP/1.1 {refusal.status} {HTTPStatus(refusal.status).phrase}".encode()]
        lines += [name + b": " + value for name, value in headers]
        return b"\r\n".join([*lines, b"", bytes(answer.body)])

    def _decline(self, rest: bytes) -> bytes:
        """An offered upgrade: the parser drops the body of such a request, so it gets to see one without the offer."""
        method, version = self.parser.get_method(), self.parser.get_http_version()
        if method == b"CONNECT" or version != "1.1":
            self.refuse(rules.MALFORMED)
            return b""
        kept = [(name, value) for name, value in self.headers if name not in _OF_AN_UPGRADE]
        lines = [method + b" " + self.url + b" HTTP/1.1", *(name + b": " + value for name, value in kept)]
        self._upgrading, self._heading, self._whole = False, False, True
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        return b"\r\n".join([*lines, b"", rest])


def make_room(others: Iterable[Reception]) -> None:
    """Hang up on some who have not asked anything, or not all of it."""
    waiting = (each for each in others if each.waits_for() not in (None, Wait.TAKE))
    for each in islice(waiting, _ROOM_MADE):
        each.transport.abort()


def within(limits: ReceiveLimits) -> type[Reception]:
    """The connections of a server with these limits: what uvicorn's setting `http` takes."""
    return type("Reception", (Reception,), {"limits": limits})
