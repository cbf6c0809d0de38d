"""`taskweir demo`: four providers, one stream of signed events, in some ten seconds and without a key."""

import os
import signal
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from receiver import signing
from receiver.cli.commands import Failed
from receiver.cli.demo.children import Stage, broken, on_stage
from receiver.cli.demo.orders import ORDERS, Order
from receiver.cli.demo.screen import Screen, farewell, final_table
from receiver.cli.demo.standing import Standing, standings
from receiver.cli.screen import aside, output, say
from receiver.cli.sink_app import Heard, create_sink, running
from receiver.client import Taskweir, Unreachable
from receiver.settings import API_KEY_FILE

LIMIT_S = 50.0
FINISH_AFTER_S = 3.0
LOG_NAME = "demo"
_LOOK_EVERY_S = 0.1

app = typer.Typer(add_completion=False)


@app.command()
def demo(
    keep: Annotated[Path | None, typer.Option(metavar="DIR", help="Keep everything in this new directory.")] = None,
    port_base: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Use the first free ports from here on, not any.")
    ] = None,
) -> None:
    """Submit a task to each of four providers, played by a sandbox, and watch the outcomes arrive."""
    with _signals_end_it():
        try:
            run(ORDERS, keep=keep, port_base=port_base)
        except KeyboardInterrupt:
            say(aside(), "ended early; nothing of the demo is left running")
            raise typer.Exit(130) from None  # as a shell counts a Ctrl-C


@contextmanager
def _signals_end_it() -> Iterator[None]:
    """A polite kill ends the demo as Ctrl-C does: in order."""

    def end(number: int, frame: Any) -> NoReturn:
        raise KeyboardInterrupt

    names = [name for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {name: signal.signal(getattr(signal, name), end) for name in names}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(getattr(signal, name), handler)


def run(
    orders: Sequence[Order],
    *,
    keep: Path | None = None,
    port_base: int | None = None,
    limit_s: float = LIMIT_S,
    finish_after_s: float = FINISH_AFTER_S,
) -> None:
    """The whole demo; raises `Failed` with what is missing, and the processes' last words, after `limit_s`."""
    started_s = time.monotonic()
    console = output()
    with ExitStack() as stack:
        directory = stack.enter_context(_directory(keep))
        screen = stack.enter_context(Screen(console, started_s))
        screen.stage("starting the providers' sandbox, the server and a webhook")
        heard: deque[Heard] = deque()
        secret = signing.new_secret(os.urandom(32))
        sink_url = stack.enter_context(running(create_sink(secret, heard.append)))
        names = [order.provider for order in orders]
        stage = stack.enter_context(
            on_stage(directory, finish_after_s=finish_after_s, port_base=port_base, providers=names)
        )
        key = (directory / API_KEY_FILE).read_text(encoding="utf-8").strip()
        client = stack.enter_context(Taskweir(stage.server_url, key, retries=0))
        play = Play(client=client, stage=stage, log=_log_in(directory), screen=screen, heard=heard)
        found = play.perform(orders, f"{sink_url}/events", secret, until_s=started_s + limit_s)
        took_s = time.monotonic() - started_s
    final_table(console, found)
    farewell(console, found, _log_in(directory) if keep else None, took_s)


@contextmanager
def _directory(keep: Path | None) -> Iterator[Path]:
    """Where everything of the demo goes: a directory that is removed again, or an empty one to keep."""
    if keep is not None:
        yield _empty(keep)
        return
    try:
        made = tempfile.TemporaryDirectory(prefix="taskweir-demo-", ignore_cleanup_errors=True)
    except OSError as error:
        raise Failed(
            f"no temporary directory can be made: {error.strerror}", "Set TMPDIR, or use --keep DIR."
        ) from None
    with made as name:
        yield Path(name)


def _empty(directory: Path) -> Path:
    try:
        directory = directory.absolute()
        directory.mkdir(parents=True, exist_ok=True)
        used = any(directory.iterdir())
    except OSError as error:
        raise Failed(f"{directory} cannot be used: {error.strerror}", "Choose another --keep.") from None
    if used:
        raise Failed(f"{directory} is not empty", "Choose another --keep: the demo starts from nothing.")
    return directory


def _log_in(directory: Path) -> Path:
    return directory / "logs" / "default" / f"{LOG_NAME}.db"


@dataclass(frozen=True, slots=True, kw_only=True)
class Play:
    """What happens once everything is up."""

    client: Taskweir
    stage: Stage
    log: Path
    screen: Screen
    heard: Sequence[Heard]

    def perform(self, orders: Sequence[Order], url: str, secret: str, *, until_s: float) -> list[Standing]:
        """From the destinations to the last outcome; raises `Failed` with what is missing."""
        try:
            self._choose_destinations(url, secret)
            return self._watch(self._submit(orders), until_s=until_s)
        except Unreachable as failure:
            raise broken(str(failure), self.stage.children) from None

    def _choose_destinations(self, url: str, secret: str) -> None:
        """Every event goes to the webhook, and to a SQLite log."""
        self.client.add_webhook(url, secret=secret, event_types=["task.*"])
        self.client.add_log(LOG_NAME, event_types=["task.*"])

    def _submit(self, orders: Sequence[Order]) -> list[tuple[Order, str]]:
        """Each order with its task's id."""
        self.screen.stage("submitting one task to each provider")
        return [(order, self.client.submit(order.provider, order.model, order.input).id) for order in orders]

    def _watch(self, placed: Sequence[tuple[Order, str]], *, until_s: float) -> list[Standing]:
        """Show how it goes until every outcome is in both places."""
        self.screen.stage("waiting for the outcomes")
        while True:
            tasks = list(self.client.tasks(limit=len(placed)))
            heard = list(self.heard)
            found = standings(placed, tasks, heard, self.log)
            self.screen.show(found, heard)
            if all(each.complete for each in found):
                return found
            gone = [f"the {child.name} has ended" for child in self.stage.children if child.ended]
            if gone or any(each.hopeless for each in found) or time.monotonic() > until_s:
                raise broken("the demo is not complete", self.stage.children, [*gone, *_missing(found)])
            time.sleep(_LOOK_EVERY_S)


def _missing(found: Sequence[Standing]) -> list[str]:
    return [f"{each.order.provider}: {what}" for each in found if not each.complete for what in each.missing()]
