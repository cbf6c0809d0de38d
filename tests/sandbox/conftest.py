"""One sandbox per module, swept before each test, and a client for it."""

from collections.abc import AsyncIterator

import httpx
import pytest

from adapters.sandbox.server import create_app, running
from tests.sandbox.inbox import Inbox, open_inbox
from tests.sandbox.wires import caller_of

FINISH_AFTER_S = 0.05


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """As wide as the sandbox, which lives in the loop of the tests."""
    return "asyncio"


@pytest.fixture(scope="module")
async def sandbox_url(anyio_backend: str) -> AsyncIterator[str]:
    async with running(create_app(finish_after_s=FINISH_AFTER_S, callback_retry_s=0.02)) as url:
        yield url


@pytest.fixture(scope="module")
async def keyed_client(sandbox_url: str) -> AsyncIterator[httpx.AsyncClient]:
    async with caller_of(sandbox_url) as client:
        yield client


@pytest.fixture
async def client(keyed_client: httpx.AsyncClient) -> httpx.AsyncClient:
    """A client with a key, on a sandbox with an empty ledger."""
    await keyed_client.delete("/_sandbox/tasks")
    return keyed_client


@pytest.fixture(scope="module")
async def open_inbox_of_module(anyio_backend: str) -> AsyncIterator[Inbox]:
    async with open_inbox() as inbox:
        yield inbox


@pytest.fixture
def inbox(open_inbox_of_module: Inbox, client: httpx.AsyncClient) -> Inbox:
    """An empty inbox for callbacks; the sandbox was swept before, so that nothing late can arrive in it."""
    open_inbox_of_module.bodies.clear()
    open_inbox_of_module.answers.clear()
    return open_inbox_of_module
