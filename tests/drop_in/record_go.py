"""Writes down what reAPI's Go example sends, for machines without Go: `python -m tests.drop_in.record_go`.

It needs `go` on PATH. The example is run as it stands, its host and key changed; it must print the answer that it gets.
"""

import asyncio
import os
import tempfile
from pathlib import Path

from tests.drop_in.test_examples import EXAMPLES, RECORDING, moved
from tests.raw_servers import RawServer, answer, raw_server

_ANSWER = b'{"id":"task_1","model":"doubao-seedance-2.0-face","status":"processing","created_at":1735000000}'


async def _answer(server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await server.read(reader)
    writer.write(answer(_ANSWER, headers="content-type: application/json\r\n"))
    await writer.drain()


async def main() -> None:
    """Record it, once it is sure that the program understood the answer."""
    with tempfile.TemporaryDirectory() as folder:
        async with raw_server(_answer) as server:
            program = Path(folder) / "main.go"
            program.write_text(moved((EXAMPLES / "reapi.go").read_text(), server.url("").rstrip("/")))
            go = await asyncio.create_subprocess_exec(
                "go", "run", str(program), env=dict(os.environ), stdout=asyncio.subprocess.PIPE
            )
            printed, _ = await go.communicate()
            assert printed.strip() == _ANSWER, printed
            [(head, body)] = server.requests
            RECORDING.write_bytes(head + body)


if __name__ == "__main__":
    asyncio.run(main())
