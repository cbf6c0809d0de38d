"""The engines that the conformance suite runs over: add one here, and change no test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from receiver.store.protocol import Storage
from receiver.store.sqlite import SqliteStorage
from tests.make import NOW

ENGINES = ["sqlite"]


@pytest.fixture(params=ENGINES)
async def storage(anyio_backend: str, tmp_path: Path) -> AsyncIterator[Storage]:
    """An empty store of each engine."""
    opened = SqliteStorage(tmp_path / "taskweir.db")
    await opened.open(now=NOW)
    yield opened
    await opened.close()
