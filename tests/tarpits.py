"""Servers that take a request and then take their time: each a script for `tests.raw_servers`."""

import asyncio
import gzip

from tests.raw_servers import RawServer, silent

Reader, Writer = asyncio.StreamReader, asyncio.StreamWriter
PAUSE_S = 0.1
BOMB = gzip.compress(bytes(10_000_000))


async def _drip(writer: Writer, start: bytes, drop: bytes) -> None:
    writer.write(start)
    while True:
        writer.write(drop)
        await writer.drain()
        await asyncio.sleep(PAUSE_S)


async def header_drip(server: RawServer, reader: Reader, writer: Writer) -> None:
    """200, and one header that never ends."""
    await server.read(reader)
    await _drip(writer, b"HTTP/1.1 200 OK\r\nX-Long: ", b"a")


async def body_drip(server: RawServer, reader: Reader, writer: Writer) -> None:
    """200, and a body byte by byte."""
    await server.read(reader)
    await _drip(writer, b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n", b"a")


async def endless_interim(server: RawServer, reader: Reader, writer: Writer) -> None:
    """Early hints, and more of them, as fast as they are read."""
    await server.read(reader)
    while True:
        writer.write(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 1000)
        await writer.drain()


async def gzip_bomb(server: RawServer, reader: Reader, writer: Writer) -> None:
    """Ten megabytes in ten kilobytes, again and again, in a body that never ends."""
    await server.read(reader)
    writer.write(b"HTTP/1.1 500 X\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"%x\r\n" % len(BOMB) + BOMB + b"\r\n")
        await writer.drain()


async def never_closing(server: RawServer, reader: Reader, writer: Writer) -> None:
    """200 without a length, and then nothing: only closing would end the body."""
    await server.read(reader)
    writer.write(b"HTTP/1.1 200 OK\r\n\r\nok")
    await reader.read()


TARPITS = {
    "header drip": header_drip,
    "body drip": body_drip,
    "endless 1xx": endless_interim,
    "gzip bomb": gzip_bomb,
    "never closing": never_closing,
    "silent": silent,
}
