"""Servers that many tests share, each emptied before its test."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.senders.servers import Nats, Postgres, Redis, a_server


@pytest.fixture(scope="session")
def nats_server() -> Iterator[Nats]:
    with a_server(Nats) as server:
        yield server


@pytest.fixture(scope="session")
def redis_server() -> Iterator[Redis]:
    with a_server(Redis) as server:
        yield server


@pytest.fixture(scope="session")
def user_postgres() -> Iterator[Postgres]:
    """Not ours: one that events are sent to."""
    with a_server(Postgres) as server:
        yield server


@pytest.fixture(params=["nats_server", "redis_server", "user_postgres"])
def running(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue(request.param)


@pytest.fixture
async def server(anyio_backend: str, running: Any) -> Any:
    """One of each kind, running and with nothing in it; of one kind where a module says which is `running`."""
    running.start()
    await running.empty()
    return running
