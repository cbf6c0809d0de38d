"""What was logged, for tests that read it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from receiver.telemetry import Line, log


@contextmanager
def capture_logs() -> Iterator[list[dict[str, Any]]]:
    """The lines that are logged meanwhile, instead of their being written."""
    lines: list[dict[str, Any]] = []

    def keep(line: Line) -> None:
        lines.append(dict(line))

    before, log.write = log.write, keep
    try:
        yield lines
    finally:
        log.write = before
