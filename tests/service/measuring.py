"""What a long run shows while it goes on, and what it measured; the shorter one of the test run is silent."""

import os
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

ASKED_FOR = os.environ.get("TASKWEIR_TEST_TASKS")


class Report:
    """Rows of what was measured, each beside what it may be."""

    def __init__(self, title: str) -> None:
        self._console = Console(stderr=True, quiet=ASKED_FOR is None)
        self._table = Table("what", "measured", "allowed", title=title)

    def section(self, name: str) -> None:
        self._table.add_section()
        self._table.add_row(name)

    def add(self, what: str, measured: float, allowed: str = "") -> None:
        self._table.add_row(f"  {what}", f"{measured:,.0f}", allowed)

    @contextmanager
    def progress(self, name: str, total: int) -> Iterator[Callable[[int], None]]:
        """A bar for one stretch of the run; call what it gives with how much of it is done."""
        columns = (TextColumn(name), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=self._console) as bars:
            bar = bars.add_task(name, total=total)
            yield lambda done: bars.update(bar, completed=min(done, total))

    def show(self) -> None:
        self._console.print(self._table)


def memory_mib() -> float:
    """The most that this process ever had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
