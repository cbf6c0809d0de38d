"""The library of the example in `receiver/senders/README.md`: a line out, a line back."""

import asyncio


class Error(Exception):
    """The connection is of no use any more."""


class Rejected(Exception):
    """The server does not want this one."""


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @property
    def connected(self) -> bool:
        return not self._reader.at_eof()

    async def put(self, queue: str, body: bytes, *, key: str) -> str:
        self._writer.write(f"{queue} {key} {len(body)}\n".encode())
        answer = (await self._reader.readline()).decode().strip()
        if not answer:
            raise Error("the server hung up")
        if answer.startswith("no"):
            raise Rejected(answer)
        return answer

    def close(self) -> None:
        self._writer.close()


async def connect(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, user: str | None, password: str | None
) -> Client:
    writer.write(f"{user} {password}\n".encode())
    if await reader.readline() != b"welcome\n":
        raise Error("nobody of that name")
    return Client(reader, writer)
