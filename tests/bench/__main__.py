"""`python -m tests.bench [figure ...]`: measure, print a table, keep it as JSON and pictures."""

import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
import uvloop
from rich.console import Console

from tests.bench import callbacks, costs, fanout, hour, latency, lists, memory, plots, polls, replicas, start, submits
from tests.bench.figures import Measure, Row, Run, Size
from tests.bench.machine import LOAD_CORE, before_others, description, disk_of, in_memory
from tests.bench.report import as_json, complaints, table
from tests.bench.servers import PROFILED, a_baseline

RESULTS = Path(__file__).parent.parent.parent / "bench-results"
FIGURES: dict[str, Measure] = {
    "token": callbacks.by_token,
    "bare": callbacks.by_a_bare_script,
    "poll": callbacks.by_poll,
    "polls": polls.polled,
    "submits": submits.submitted,
    "fanout": fanout.to_twenty,
    "log": fanout.to_the_log,
    "latency": latency.received_to_delivered,
    "memory": memory.in_flight,
    "lists": lists.long_history,
    "start": start.to_ready,
    "replicas": replicas.side_by_side,
    "costs": costs.one_event,
    "hour": hour.an_hour,
}
# What fits into ten minutes, and what does not.
SHORT = [name for name in FIGURES if name not in ("replicas", "costs", "hour")]
LONG = ["memory", "lists", "start", "replicas", "costs", "hour"]
SCALE_EVENTS = 5_000_000
SCALE_IN_FLIGHT = (1_000, 10_000, 100_000, 1_000_000)


def main(
    figures: Annotated[list[str] | None, typer.Argument(help=f"Of {', '.join(FIGURES)}.")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Of each figure.")] = Size().rounds,
    seconds: Annotated[float, typer.Option(min=0.5, help="Load in each round.")] = Size().seconds,
    connections: Annotated[int, typer.Option(min=1, help="Of the load.")] = Size().connections,
    tasks: Annotated[int, typer.Option(min=1, help="Prepared: more than one round uses up.")] = Size().tasks,
    scale: Annotated[bool, typer.Option("--scale", help="A million tasks, five million events, an hour.")] = False,
    minutes: Annotated[float, typer.Option(min=0.5, help="How long the hour is.")] = 60,
    quick: Annotated[bool, typer.Option("--quick", help="One short round.")] = False,
    out: Annotated[Path, typer.Option(help="For results, and databases meanwhile: on a real disk.")] = RESULTS,
    nice: Annotated[int, typer.Option(help="-20 goes before everybody else who uses the machine.")] = 0,
    profile: Annotated[str | None, typer.Option(help="A file for py-spy: .svg a flame graph, .txt stacks.")] = None,
) -> None:
    """Measure, with the server on one core and everything else on another."""
    size = Size(rounds=rounds, seconds=seconds, connections=connections, tasks=tasks, hour_s=60 * minutes)
    if scale:
        size = replace(size, events=SCALE_EVENTS, in_flight=SCALE_IN_FLIGHT)
    if quick:
        size = replace(
            size, rounds=1, seconds=min(seconds, 4), tasks=min(tasks, 20_000), events=50_000, in_flight=(1_000, 10_000)
        )
    if profile is not None:
        os.environ[PROFILED] = str(Path(profile).absolute())
    unknown = set(figures or ()) - FIGURES.keys()
    if unknown:
        raise typer.BadParameter(f"no figure {', '.join(sorted(unknown))}: there are {', '.join(FIGURES)}")
    out.mkdir(parents=True, exist_ok=True)
    if in_memory(disk_of(out)):
        raise typer.BadParameter(f"{out} is in memory, where a commit costs nothing: use --out on a disk")
    os.sched_setaffinity(0, {LOAD_CORE})
    if nice:
        before_others(nice)
    console = Console()
    if not console.is_terminal:
        console = Console(width=140)
    rows = measured(figures or (LONG if scale else SHORT), size, out, console)
    raise SystemExit(any(any(row.faults.values()) for row in rows))


def measured(names: Sequence[str], size: Size, out: Path, console: Console) -> list[Row]:
    """Measure these figures, print and keep the results."""
    about, began, rows = description(out), time.monotonic(), list[Row]()
    console.print(", ".join(f"{name} {value}" for name, value in about.items()), highlight=False)
    with tempfile.TemporaryDirectory(dir=out, prefix="run-") as name:
        directory = Path(name)
        with a_baseline(directory) as baseline, console.status("") as status:
            say = status.update if console.is_terminal else partial(console.print, style="dim", highlight=False)
            run = Run(directory=directory, size=size, baseline=baseline, say=say)
            for figure in names:
                rows += uvloop.run(FIGURES[figure](run))
            if run.plain.values:
                rows.insert(0, run.plain)
    console.print(table(rows))
    for complaint in complaints(rows):
        console.print(complaint, style="yellow")
    for path in plots.draw(run.curves, out):
        console.print(f"drawn: {path}", highlight=False)
    as_json(about | {"took_s": time.monotonic() - began}, rows, run.curves, out / "bench.json")
    return rows


if __name__ == "__main__":
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(main)
    app()
