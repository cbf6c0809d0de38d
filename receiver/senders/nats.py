"""Publishes events to a JetStream subject, each with its id as `Nats-Msg-Id`, by which NATS drops repeats."""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import ParseResult

from nats.aio.client import Client as NatsClient
from nats.aio.transport import TcpTransport
from nats.errors import Error, MaxPayloadError, NoServersError
from nats.js.errors import APIError, NoStreamResponseError

from receiver import formats
from receiver.domain import Destination, Format
from receiver.rendering import rendered
from receiver.senders.remote import DEADLINE_S, ODD_ANSWERS, Client, Kind, Lost, Outcome, Refused
from receiver.store.records import Parcel
from receiver.streams import Stream, Streams
from receiver.targets import Rule, Shape, Target

_SHAPE = Shape(
    schemes={"nats": False, "tls": True},
    port=4222,
    path=Rule(
        pattern=r"(?!\$)[^\s.*>@/]+(\.[^\s.*>@/]+)*",
        told="the subject to publish to, without wildcards: nats://host:4222/taskweir.events",
    ),
)
_FAULTS = (Error, OSError, TimeoutError, asyncio.IncompleteReadError, *ODD_ANSWERS)
# The library logs what a server says wrong, with tracebacks; here that is told as the attempt's error.
logging.getLogger("nats").setLevel(logging.CRITICAL)


class _Transport(TcpTransport):
    """The library's own, over a stream that was dialled already; a password waits for TLS where TLS was asked for."""

    def __init__(self, stream: Stream, *, encrypt: bool) -> None:
        TcpTransport.__init__(self)
        self._stream: Stream | None = stream
        self._plain = encrypt

    def __bool__(self) -> bool:
        return True  # else the library would take one of its own instead, and dial

    async def connect(self, uri: ParseResult, buffer_size: int, connect_timeout: int) -> None:
        if self._stream is None:
            raise NoServersError
        self._bare_io_reader, self._bare_io_writer = self._io_reader, self._io_writer = self._stream
        self._stream = None

    async def connect_tls(self, uri: Any, ssl_context: Any, buffer_size: int, connect_timeout: int) -> None:
        assert self._io_writer is not None  # noqa: S101 - `connect` came before
        await self._io_writer.start_tls(ssl_context, server_hostname=uri)  # the library's way would read without limit
        self._plain = False

    def write(self, payload: bytes) -> None:
        if self._plain:
            raise ConnectionError("the server offers no TLS: write nats:// for tls://, or let it")
        TcpTransport.write(self, payload)


class _Connection(NatsClient):
    """The library's client on such a transport. It dials no other server, whatever it hears of: we do, guarded."""

    def __init__(self, transport: _Transport) -> None:
        super().__init__()
        self._transport = transport


class _Publisher:
    """One connection for all that goes to a subject; `over` is done once it is of no use, and why."""

    def __init__(self, connection: NatsClient, writer: asyncio.StreamWriter, subject: str) -> None:
        self._connection = connection
        self._writer = writer
        self._stream = connection.jetstream(timeout=DEADLINE_S)
        self._subject = subject
        self.over: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()
        # Not by the library's own word for it, which does not come where it is stuck.
        self._watch = asyncio.ensure_future(self._until_closed())

    @property
    def usable(self) -> bool:
        return not self.over.done() and self._connection.is_connected

    async def send(self, destination: Destination, parcels: Sequence[Parcel]) -> Sequence[Outcome]:
        return [await self._publish(destination, parcel) for parcel in parcels]

    async def close(self) -> None:
        self.end(Lost("the connection was closed"))
        try:
            await self._connection.close()
        finally:
            self._writer.transport.abort()

    def end(self, why: Exception) -> None:
        if not self.over.done():
            self.over.set_result(why)

    async def _until_closed(self) -> None:
        with suppress(OSError):
            await self._writer.wait_closed()
        self.end(Lost("the connection was closed by the server"))

    async def _publish(self, destination: Destination, parcel: Parcel) -> Outcome:
        prompt = formats.prompt_of(parcel.input) if destination.format is Format.FLAT else None
        message = rendered(destination.format, parcel.body, seq=parcel.seq, prompt=prompt)
        headers = {**message.headers, "Nats-Msg-Id": parcel.delivery.event_id}
        publishing = asyncio.ensure_future(self._stream.publish(self._subject, message.body, headers=headers))
        either: set[asyncio.Future[Any]] = {publishing, self.over}
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not publishing.done() or publishing.cancelled():  # the library cancels what it closes under
                raise self.over.result() if self.over.done() else Lost("the connection was closed")
            ack = publishing.result()
        except NoStreamResponseError:
            named = f"no JetStream stream takes the subject {self._subject}"
            return Outcome(error=f"{named}: nats stream add --subjects '{self._subject}'")
        except MaxPayloadError:
            return Outcome(error=f"the event has {len(message.body)} bytes, more than the server takes (max_payload)")
        except APIError as error:
            return Outcome(error=f"JetStream refused it: {error.description or error.code}")
        except _FAULTS as error:
            raise Lost(_words(error)) from None
        finally:
            publishing.cancel()
        return Outcome(told=f"stream {ack.stream}, sequence {ack.seq}{', a repeat' if ack.duplicate else ''}")


async def _connect(target: Target, streams: Streams) -> Client:
    stream = await streams.open(target.origin)
    connection = _Connection(_Transport(stream, encrypt=target.tls))
    publisher = _Publisher(connection, stream[1], target.path)

    async def failed(error: Exception) -> None:
        if "permissions violation" in str(error).lower():  # else nobody would hear of it: there is no answer then
            publisher.end(Refused(_words(error)))

    try:
        await connection.connect(
            f"nats://{target.origin.removeprefix('http://').rstrip('/')}",
            name="taskweir",
            allow_reconnect=False,
            connect_timeout=round(DEADLINE_S),
            tls=streams.tls_context(),
            tls_hostname=target.host,
            **_login(target),
            error_cb=failed,
        )
    except _FAULTS as error:
        raise Refused(f"NATS cannot be used: {_words(error)}") from None
    finally:
        if not connection.is_connected:
            stream[1].transport.abort()
    return publisher


def _login(target: Target) -> dict[str, Any]:
    """A user name alone is a token, as NATS has it."""
    if target.password is None:
        return {} if target.user is None else {"token": target.user}
    return {"user": target.user, "password": target.password}


def _words(error: BaseException) -> str:
    return str(error).removeprefix("nats: ").strip("'") or type(error).__name__


KIND = Kind(shape=_SHAPE, connect=_connect)
