"""`python -m tests.faults.clusters 1000 200`: servers side by side, killed, paused, terminated so many times each."""

import json
import random
import shutil
import tempfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import httpx
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from receiver.roles import ServerRole
from tests.faults.account import Account
from tests.faults.repeats import Repeats
from tests.faults.replicas import a_cluster

PER_CLUSTER = 50  # a fresh database each time, so that a fault is found near its cause
SERVERS = 3
TASKS = 15


def main(
    times: Annotated[int, typer.Argument(min=1, help="Of kill, pause and terminate each.")] = 1000,
    stops: Annotated[int, typer.Argument(min=1, help="Of the database's own server, at once.")] = 200,
    seed: Annotated[int, typer.Option(help="The same one chooses the same moments.")] = 2026,
) -> None:
    """Under load, one thing after the other goes wrong; then everything is accounted for."""
    chance, console = random.Random(seed), Console()
    counts = {"kill": times, "pause": times, "terminate": times, "database": stops}
    table = Table(
        "what", "times", "seconds each", "tasks", "in doubt", "came again", "faults", title=f"{SERVERS} servers"
    )
    faults: list[str] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console) as progress:
        bar = progress.add_task("", total=sum(counts.values()))
        for what, count in counts.items():
            total, again, took_s, wrong = Account(), 0, 0.0, list[str]()
            for done in range(0, count, PER_CLUSTER):
                progress.update(bar, description=f"{what}, {len(faults) + len(wrong)} faults")
                now = min(PER_CLUSTER, count - done)
                one = suffer(what, now, chance)
                total, again, took_s = total + one.account, again + one.repeats.count, took_s + one.seconds
                wrong += one.faults
                progress.advance(bar, now)
            cells = (count, f"{took_s / count:.1f}", total.tasks, total.doubtful, again, len(wrong))
            table.add_row(what, *map(str, cells))
            faults += wrong
    console.print(table)
    for fault in faults:
        console.print(fault, style="red", markup=False)
    raise typer.Exit(1 if faults else 0)


@dataclass(frozen=True, slots=True)
class Suffered:
    """What became of one cluster: its account, what came again, what was done to it, and how long that took."""

    account: Account
    repeats: Repeats
    done: Counter[str]
    seconds: float

    @property
    def faults(self) -> tuple[str, ...]:
        return self.account.faults + self.repeats.unexplained


def suffer(what: str, count: int, chance: random.Random) -> Suffered:
    """A fresh cluster to which this is done so many times, under load; what it wrote is kept where there is a fault."""
    directory = Path(tempfile.mkdtemp(prefix="taskweir-faults-"))
    with a_cluster(directory, [ServerRole.ALL] * SERVERS) as cluster:
        began = time.monotonic()
        for _ in range(count):
            cluster.suffer(what, chance, tasks=TASKS)
        seconds = time.monotonic() - began
        suffered = Suffered(cluster.settle(), cluster.repeats(), cluster.done, seconds)
        if suffered.faults:
            (directory / "faults.json").write_text(json.dumps(suffered.faults, indent=1))
            with suppress(httpx.HTTPError):  # a server that is at fault may not answer
                (directory / "left.json").write_text(json.dumps(cluster.left(), indent=1))
    if not suffered.faults:
        shutil.rmtree(directory, ignore_errors=True)
    return suffered


if __name__ == "__main__":
    app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)
    app.command()(main)
    app()
