"""What every test may ask for."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from receiver.store.postgres_schema import bring_up_to_date
from receiver.telemetry import configure_logs
from tests.postgres_server import PostgresServer, forget, remove_servers

# What a developer's shell may hold, and no test asked for.
for _name in ("http_proxy", "https_proxy", "all_proxy", "FORCE_COLOR"):
    os.environ.pop(_name, None)
    os.environ.pop(_name.upper(), None)

# On a disk, most of the time would be waiting for it. What is written is the same, and the tests pull no plug.
MEMORY, ROOM = Path("/dev/shm"), 1 << 30
if os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > ROOM:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))


@pytest.fixture
def tmp_path(tmp_path: Path) -> Iterator[Path]:
    """As pytest has it; where it is gone with a test that passed, its name may be another one's soon."""
    yield tmp_path
    forget(tmp_path)


@pytest.fixture
def anyio_backend() -> str:
    """Everything here runs on asyncio, as in production."""
    return "asyncio"


@pytest.fixture(autouse=True)
def _logs() -> None:
    """As in production; what a failing test logged is shown with it."""
    configure_logs(fmt="json", level="debug")


THE_DATABASE = "tests"


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One PostgreSQL for all tests of this process, with a database for those that want one at a time."""
    # Counted while a long write was under way, a table that began empty is taken for empty: plans are for rows then.
    server = PostgresServer(settings={"autovacuum": "off"})
    try:
        server.start()
        bring_up_to_date(server.make_database(THE_DATABASE), now=0)
        yield server
    finally:
        server.remove()


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> str:
    """A database with the schema and nothing else in it: emptied, for a copy of one takes ten times as long."""
    postgres_server.empty(THE_DATABASE)
    return postgres_server.url(THE_DATABASE)


def pytest_sessionfinish() -> None:
    """Servers that tests started by the way: the processes of a test run end without asking anybody."""
    remove_servers()
