"""What every test may ask for."""

import pytest


@pytest.fixture
def anyio_backend() -> str:
    """Everything here runs on asyncio, as in production."""
    return "asyncio"
