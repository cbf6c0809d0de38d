"""Outbound over real sockets, on both loops."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from receiver.guard import Guard
from receiver.outbound import Outbound


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """The standard loop, and uvloop as in production."""
    return "asyncio", {"use_uvloop": request.param}


@pytest.fixture
async def outbound() -> AsyncIterator[Outbound]:
    """Started, with loopback open to webhooks."""
    async with Outbound(Guard("loopback")) as started:
        yield started
