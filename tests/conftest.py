"""What every test may ask for."""

import os

import pytest

from receiver.telemetry import configure_logs

# What a developer's shell may hold, and no test asked for.
for _name in ("http_proxy", "https_proxy", "all_proxy", "FORCE_COLOR"):
    os.environ.pop(_name, None)
    os.environ.pop(_name.upper(), None)


@pytest.fixture
def anyio_backend() -> str:
    """Everything here runs on asyncio, as in production."""
    return "asyncio"


@pytest.fixture(autouse=True)
def _logs() -> None:
    """As in production; what a failing test logged is shown with it."""
    configure_logs(fmt="json", level="debug")
