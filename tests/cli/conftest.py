"""One server with the sandbox behind it for all tests of the command line."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from receiver.cli.demo.children import on_stage
from tests.cli.driving import Cli
from tests.processes import NAMES


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The settings that lead a command to a running server; tasks take 0.3 s, [slow] ones 3 s."""
    directory = tmp_path_factory.mktemp("server")
    with on_stage(directory, finish_after_s=0.3, port_base=None, providers=NAMES) as stage:
        yield {"TASKWEIR_URL": stage.server_url, "TASKWEIR_DATA_DIR": str(directory)}


@pytest.fixture
def cli(server: dict[str, str]) -> Cli:
    """The command line, pointed at that server."""
    return Cli(settings=server)


@pytest.fixture
def logs(server: dict[str, str]) -> Path:
    """Where the server keeps its SQLite logs."""
    return Path(server["TASKWEIR_DATA_DIR"]) / "logs" / "default"
