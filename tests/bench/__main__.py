"""`python -m tests.bench [figure ...]`: measure, print a table, keep it as JSON."""

import json
import os
import tempfile
from pathlib import Path
from typing import Annotated

import typer
import uvloop
from rich.console import Console

from tests.bench import callbacks
from tests.bench.figures import Plan
from tests.bench.machine import LOAD_CORE, description
from tests.bench.servers import PROFILED, a_baseline

OUT = Path(__file__).parent.parent.parent / "bench-results"


def main(
    figures: Annotated[list[str] | None, typer.Argument(help="Which; all where none is named.")] = None,
    rounds: Annotated[int, typer.Option(min=1)] = 3,
    seconds: Annotated[float, typer.Option(help="Load per round.")] = 6,
    connections: Annotated[int, typer.Option(min=1)] = 64,
    tasks: Annotated[
        int, typer.Option(min=1, help="Prepared per figure: at least what one round can use up.")
    ] = 40_000,
    quick: Annotated[bool, typer.Option("--quick", help="One round of 4 s.")] = False,
    profile: Annotated[str | None, typer.Option(help="A file for py-spy: .svg or .txt.")] = None,
) -> None:
    """Measure, with the server on one core and everything else on another."""
    console = Console()
    if quick:
        rounds, seconds, tasks = 1, 4, min(tasks, 20_000)
    if profile is not None:
        os.environ[PROFILED] = profile
    os.sched_setaffinity(0, {LOAD_CORE})
    OUT.mkdir(exist_ok=True)
    about = description(OUT)
    console.print(about)
    with tempfile.TemporaryDirectory(dir=OUT, prefix="run-") as name:
        directory = Path(name)
        with a_baseline(directory) as baseline:
            plan = Plan(directory=directory, seconds=seconds, connections=connections, rounds=rounds, baseline=baseline)
            for each in uvloop.run(callbacks.sustained(plan, tasks)):
                console.print(each, f"ratio {each.ratio:.3f}")
    (OUT / "bench.json").write_text(json.dumps(about))


if __name__ == "__main__":
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(main)
    app()
