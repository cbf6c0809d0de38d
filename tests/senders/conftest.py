"""Servers that several tests of a module share, each emptied before its test."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.senders.servers import Nats, Postgres, Redis, a_server

KINDS = [Nats, Redis, Postgres]


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: kind.kind)
def running(request: pytest.FixtureRequest) -> Iterator[Any]:
    with a_server(request.param) as server:
        yield server


@pytest.fixture
async def server(anyio_backend: str, running: Any) -> Any:
    """One of each kind, running and with nothing in it."""
    running.start()
    await running.empty()
    return running
