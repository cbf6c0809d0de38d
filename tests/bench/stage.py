"""A server in its own directory, with the sink and the provider that it talks to."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from receiver.domain import Destination
from receiver.ids import new_id
from receiver.store.sqlite import SqliteStorage
from tests.bench import counting
from tests.bench.figures import Run
from tests.bench.samples import Provider
from tests.bench.seeding import copy, database, now_ms
from tests.bench.servers import Server, a_bare_script, a_taskweir
from tests.bench.sink import SECRET, Sink
from tests.bench.wire import serving

IN_FLIGHT = 64
SETTLED_WITHIN_S = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Everything that takes part; `began_at` is just before the server was started."""

    directory: Path
    began_at: int
    server: Server
    sink: Sink
    sink_port: int
    provider: Provider

    @property
    def database(self) -> Path:
        return database(self.directory)

    def destination(self, path: str = "/hook", **fields: Any) -> None:
        """A webhook for every task's end, at the sink."""
        body: dict[str, Any] = {
            "type": "webhook",
            "url": f"http://127.0.0.1:{self.sink_port}{path}",
            "secret": SECRET,
            "max_in_flight": IN_FLIGHT,
            "event_types": ["task.finished"],
        }
        made = self.server.api.post("/v1/destinations", json=body | fields)
        assert made.status_code == 201, made.text

    async def delivered(self, count: int) -> None:
        """Return once so many webhooks came, and nothing is owed any more."""
        await self.sink.wait_for(count, within_s=SETTLED_WITHIN_S)
        await counting.settled(self.database, within_s=SETTLED_WITHIN_S)

    def faults(self, owed: int) -> dict[str, int]:
        """What must be zero, where so many deliveries were owed."""
        return {
            "deliveries not recorded": owed - counting.delivered(self.database),
            "deliveries without their one attempt": owed - counting.attempted(self.database),
            "webhooks that did not come, or came again": owed - self.sink.count,
            "webhooks that came again": self.sink.again,
            "signatures that do not verify": self.sink.forged,
        }


@asynccontextmanager
async def a_stage(
    run: Run, seed: Path, *, move: bool = False, due_in_s: float | None = None, **settings: str
) -> AsyncIterator[Stage]:
    """A server on a copy of a prepared database; `move` takes the database itself."""
    sink, provider = Sink(), Provider()
    with TemporaryDirectory(dir=run.directory) as name:
        directory = seed if move else Path(name)
        if not move:
            copy(seed, directory, due_in_s=due_in_s)
        async with serving(sink.answering) as sink_port, serving(provider.answering) as port:
            began_at = now_ms()
            with a_taskweir(directory, provider_url=f"http://127.0.0.1:{port}", **settings) as server:
                yield Stage(
                    directory=directory,
                    began_at=began_at,
                    server=server,
                    sink=sink,
                    sink_port=sink_port,
                    provider=provider,
                )


@asynccontextmanager
async def a_bare_stage(run: Run, seed: Path) -> AsyncIterator[Stage]:
    """The bare script in the server's place, with the one destination that it knows."""
    sink, destination_id, began_at = Sink(), new_id("dst", now_ms()), now_ms()
    with TemporaryDirectory(dir=run.directory) as name:
        directory = Path(name)
        copy(seed, directory)
        storage = SqliteStorage(database(directory))
        await storage.open(now=began_at)
        await storage.write(
            lambda store: store.record_destination(
                Destination(
                    id=destination_id,
                    tenant="default",
                    type="webhook",
                    target="http://127.0.0.1/hook",
                    created_at=began_at,
                    event_types=("task.finished",),
                )
            )
        )
        await storage.close()
        async with serving(sink.answering) as sink_port:
            with a_bare_script(directory, sink_port, destination_id) as server:
                yield Stage(
                    directory=directory,
                    began_at=began_at,
                    server=server,
                    sink=sink,
                    sink_port=sink_port,
                    provider=Provider(),
                )
