"""The engines that the conformance suite runs over: add one here, and change no test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from receiver.store.postgres import PostgresStorage
from receiver.store.protocol import Storage
from receiver.store.sqlite import SqliteStorage
from tests.make import NOW

ENGINES = ["sqlite", "postgres"]


@pytest.fixture(params=ENGINES)
async def storage(anyio_backend: str, tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Storage]:
    """An empty store of each engine."""
    opened: SqliteStorage | PostgresStorage = (
        SqliteStorage(tmp_path / "taskweir.db")
        if request.param == "sqlite"
        else PostgresStorage(request.getfixturevalue("postgres_url"))
    )
    await opened.open(now=NOW)
    yield opened
    await opened.close()
