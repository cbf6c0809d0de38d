"""`taskweir submit`: one task, and on request its outcome."""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from receiver import json_text
from receiver.calling.errors import MOMENTARY
from receiver.cli.commands import Failed
from receiver.cli.follow import Patience
from receiver.cli.screen import aside, output, say, spinner_of
from receiver.cli.text import comma_separated, doubt_of, failure_of, main_urls, plain, pretty
from receiver.client import Task, Taskweir
from receiver.domain import FINAL, Status
from receiver.errors import Malformed

_LOOK_S = 2
_PATIENCE_S = 60.0

Show = Callable[[dict[str, Any]], None]

app = typer.Typer(add_completion=False)


def read_input(text: str) -> dict[str, Any]:
    """The JSON object in `--input`: itself, `@file`, or `@-` for standard input; raises `BadParameter`."""
    try:
        raw = text.encode() if not text.startswith("@") else _bytes_of(text[1:])
        value = json_text.read_strict(raw)
    except OSError as error:
        raise typer.BadParameter(f"{text[1:]} cannot be read: {error.strerror}", param_hint="--input") from None
    except (Malformed, UnicodeEncodeError) as error:
        raise typer.BadParameter(str(error), param_hint="--input") from None
    if not isinstance(value, dict):
        raise typer.BadParameter("must be a JSON object: the provider's own parameters", param_hint="--input")
    return value


def _bytes_of(name: str) -> bytes:
    return sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()


def read_pairs(texts: list[str], option: str = "--metadata") -> dict[str, str]:
    """`k=v` options as a dictionary; raises `BadParameter`."""
    pairs = [text.partition("=") for text in texts]
    for key, equals, _ in pairs:
        if not key or not equals:
            raise typer.BadParameter("write it as KEY=VALUE", param_hint=option)
    return {key: value for key, _, value in pairs}


WebhookUrl = Annotated[
    str, typer.Option(help="Post this task's own events there, signed with the tenant's secret.", show_default=False)
]
WebhookEvents = Annotated[
    list[str] | None, typer.Option(help="Which of its events; without it, the final one.", show_default=False)
]
WebhookFormat = Annotated[
    str, typer.Option(help="standard, cloudevents, cloudevents-binary or flat.", show_default=False)
]


@app.command()
def submit(
    provider: Annotated[str, typer.Argument(help="A configured provider, for example apikley.")],
    model: Annotated[str, typer.Argument(help="The provider's own name of the model.")],
    input: Annotated[str, typer.Option(help="The provider's own parameters: JSON, @file, or @- for standard input.")],
    metadata: Annotated[list[str] | None, typer.Option(help="KEY=VALUE of your own; may be repeated.")] = None,
    deadline: Annotated[int | None, typer.Option(min=1, help="Seconds after which we stop waiting for it.")] = None,
    webhook_url: WebhookUrl = "",
    webhook_events: WebhookEvents = None,
    webhook_format: WebhookFormat = "",
    no_checks: Annotated[bool, typer.Option("--no-checks", help="Leave judging the input to the provider.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Stay until the outcome is there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the task as JSON.")] = False,
) -> None:
    """Submit a task; with --wait, show how it goes and print its outputs."""
    asked, pairs = read_input(input), read_pairs(metadata or [])
    with Taskweir() as client:
        task = client.submit(
            provider,
            model,
            asked,
            metadata=pairs,
            webhook_url=webhook_url or None,
            webhook_events=comma_separated(webhook_events or []) or None,
            webhook_format=webhook_format or None,
            deadline_seconds=deadline,
            checks=not no_checks,
        )
    print_new(task, wait=wait, as_json=as_json)


def print_new(task: Task, *, wait: bool, as_json: bool) -> None:
    """Print a task that was just made, on request once it is final; raises `Failed` where it then did not succeed."""
    if wait and task["status"] not in FINAL:
        task = _finished(task)
    _print(task, as_json=as_json)
    if task["status"] in FINAL - {Status.SUCCEEDED}:
        raise Failed(f"{task['id']} {task['status']}", *filter(None, [failure_of(task)]))


def _finished(task: Task) -> Task:
    """The task when it is final; a server that restarts meanwhile is waited for."""
    patience, console, doubt = Patience(_PATIENCE_S), aside(), list[str]()
    try:
        with Taskweir(retries=0) as client, _shown(console, task) as show:
            while task["status"] not in FINAL:
                show(task)
                if not doubt:
                    doubt = tell_doubt(console, task)
                try:
                    task = client.task(task["id"], wait=_LOOK_S)
                    patience.answered()
                except MOMENTARY as failure:
                    patience.missed(failure)
    except KeyboardInterrupt:
        raise Failed("no longer waiting; the task goes on", f"taskweir tasks show {plain(task['id'])}") from None
    return task


@contextmanager
def _shown(console: Console, task: dict[str, Any]) -> Iterator[Show]:
    """Gives a function that shows how a task stands: a live line on a terminal, a line per change elsewhere."""
    if not console.is_terminal:
        yield _lines(console)
        return
    progress = Progress(
        SpinnerColumn(spinner_of(console)),
        TextColumn("{task.fields[status]}", markup=False),
        BarColumn(bar_width=20),
        TimeElapsedColumn(),
        TextColumn("{task.description}", style="dim", markup=False),
        console=console,
        transient=True,
    )
    line = progress.add_task("", status=task["status"], total=None)

    def show(task: dict[str, Any]) -> None:
        known = task["progress"] is not None
        progress.update(
            line,
            status=plain(task["status"]),
            description=_waiting(task),
            total=100 if known else None,
            completed=task["progress"] or 0,
        )

    with progress:
        yield show


def _lines(console: Console) -> Show:
    last = ""

    def show(task: dict[str, Any]) -> None:
        nonlocal last
        if task["status"] not in (last, *FINAL):
            last = task["status"]
            say(console, ": ".join(filter(None, [f"{task['id']} {last}", _waiting(task)])))

    return show


def tell_doubt(console: Console, task: Mapping[str, Any]) -> list[str]:
    """Print what to do about an unconfirmed task, and return it; nothing for any other."""
    doubt = doubt_of(task)
    for line in doubt:
        say(console, line)
    return doubt


def _waiting(task: dict[str, Any]) -> str:
    return plain((task["waiting_for"] or {}).get("text"))


def _print(task: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        say(output(), pretty(task))
        return
    if task["status"] == Status.SUCCEEDED:
        say(aside(), f"{task['id']} succeeded")
        for url in main_urls(task):
            say(output(), url)
    elif task["status"] not in FINAL:
        say(output(), plain(task["id"]))
        say(aside(), f"{plain(task['status'])}: {_waiting(task)}\ntaskweir tasks show {plain(task['id'])}")
        tell_doubt(aside(), task)
