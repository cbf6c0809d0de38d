"""What every test may ask for."""

import pytest

from receiver.telemetry import configure_logs


@pytest.fixture
def anyio_backend() -> str:
    """Everything here runs on asyncio, as in production."""
    return "asyncio"


@pytest.fixture(autouse=True)
def _logs() -> None:
    """As in production; what a failing test logged is shown with it."""
    configure_logs(fmt="json", level="debug")
