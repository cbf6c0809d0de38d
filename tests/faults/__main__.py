"""`python -m tests.faults 2000`: kill a server so many times, at named points and at random, and print the account."""

import random
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from tests.faults.account import Account
from tests.faults.failpoints import POINTS
from tests.faults.harness import a_rig

PER_RIG = 50  # a fresh database each time, so that a fault is found near its cause
TASKS = 10


def main(
    kills: Annotated[int, typer.Argument(min=1, help="How many.")] = 2000,
    seed: Annotated[int, typer.Option(help="The same one chooses the same points and moments.")] = 2026,
) -> None:
    """Half of the kills at named points (each in turn, a random time round), half at random moments under load."""
    chance, console = random.Random(seed), Console()
    total, where = Account(), Counter[str]()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console) as progress:
        bar = progress.add_task("kills, no fault", total=kills)
        stopped = False
        while where.total() < kills and not stopped:
            count = min(PER_RIG, kills - where.total())
            account, killed, stopped = _one_rig(count, where.total(), chance, lambda: progress.advance(bar))
            total, where = total + account, where + killed
            progress.update(bar, completed=where.total(), description=f"kills, {len(total.faults)} faults")
    console.print(_table(total, where))
    for fault in total.faults[:50]:
        console.print(fault, style="red", markup=False)
    raise typer.Exit(1 if total.faults or not where else 0)


def _one_rig(
    count: int, before: int, chance: random.Random, advance: Callable[[], None]
) -> tuple[Account, Counter[str], bool]:
    """One database's account and kills, and whether Ctrl-C ended it early: what was done until then is counted."""
    with (
        tempfile.TemporaryDirectory(prefix="taskweir-faults-", ignore_cleanup_errors=True) as directory,
        a_rig(Path(directory)) as rig,
    ):
        stopped = False
        try:
            for number in range(before, before + count):
                if number % 2:
                    rig.die_at_random(chance, tasks=2 * TASKS)
                else:
                    point = POINTS[number // 2 % len(POINTS)]
                    rig.die_at(f"{point}:{chance.randint(1, 6)}", tasks=TASKS, within_s=3)
                advance()
        except KeyboardInterrupt:
            stopped = True
            rig.kill()
        return rig.settle(), rig.kills, stopped


def _table(account: Account, where: Counter[str]) -> Table:
    table = Table("what", "count", title="kill -9, against the provider's own ledger")
    named = where.total() - where["random"]
    rows = {
        "kills": where.total(),
        f"  at {len(set(where) - {'random'})} of {len(POINTS)} named points": named,
        "  at random under load": where["random"],
        "tasks": account.tasks,
        "creates at the providers": account.creates,
        "still in doubt (poll-only, or never sent)": account.doubtful,
        "lost": len(account.lost),
        "phantom": len(account.phantom),
        "double terminal": len(account.double),
        "gaps in a sequence": len(account.gaps),
        "resent": len(account.resent),
        "left or taken wrongly by retention": len(account.pruned),
    }
    for name, number in rows.items():
        table.add_row(name, f"{number:,}")
    return table


if __name__ == "__main__":
    typer.run(main)
