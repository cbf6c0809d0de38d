"""What the demo shows: live rows on a terminal, one line per change elsewhere, a table at the end."""

import shlex
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from receiver.cli.demo.standing import Standing
from receiver.cli.screen import mark, padded, say, spinner_of, status_text
from receiver.cli.sink_app import Heard
from receiver.cli.text import clock, duration, main_urls, plain
from receiver.domain import FINAL
from receiver.formats import time_of, timestamp

_EVENTS_SHOWN = 8
_WIDE = 170


class Screen:
    """Shows how far the demo is. Use as a context manager; `show` and `stage` as often as there is news."""

    def __init__(self, console: Console, started_s: float) -> None:
        self._console = console
        self._started_s = started_s
        self._spinner = Spinner(spinner_of(console), style="cyan")
        self._standings: Sequence[Standing] = ()
        self._heard: Sequence[Heard] = ()
        self._stage = ""
        self._told: set[tuple[str, ...]] = set()
        self._live = (
            Live(get_renderable=self._render, console=console, refresh_per_second=12, transient=True)
            if console.is_terminal
            else None
        )

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._live is not None:
            self._live.stop()

    def stage(self, text: str) -> None:
        """What is being done now."""
        self._stage = text
        self._line(text)

    def show(self, standings: Sequence[Standing], heard: Sequence[Heard]) -> None:
        """How the tasks stand, and what the webhook has heard."""
        self._standings, self._heard = standings, heard
        for each in standings:
            if each.task["status"] in FINAL and each.outcome is None:
                continue  # the line comes with the webhook
            self._line(plain(each.order.provider), plain(each.task["status"]), _told_of(each))
        for post in heard:
            self._line("webhook", post.webhook_id, about=event_text(self._console, post))

    def _line(self, *parts: str, about: Text | None = None) -> None:
        """One line where there is no terminal to draw on; each status and each event once."""
        if self._live is not None or parts[:2] in self._told:
            return
        self._told.add(parts[:2])
        text = Text(f"{time.monotonic() - self._started_s:5.1f} s  ")
        text.append(about or "  ".join([f"{parts[0]:<9}", *parts[1:]] if parts[1:] else parts))
        say(self._console, text)

    def _render(self) -> RenderableType:
        age = Text(f"{time.monotonic() - self._started_s:.0f} s", style="dim")
        parts: list[RenderableType] = [Text("  ").join([Text("Taskweir demo", style="bold"), Text(self._stage), age])]
        if self._standings:
            parts += [Text(), self._rows(), Text(), *self._events()]
        return Padding(Group(*parts), (1, 0, 1, 2))

    def _rows(self) -> Table:
        table = Table.grid(padding=(0, 2, 0, 0))
        for least in (1, 8, 10, 8, 0):
            table.add_column(no_wrap=True, overflow="ellipsis", min_width=least or None)
        for each in self._standings:
            final = each.task["status"] in FINAL
            sign = mark(self._console, not each.hopeless) if final else self._spinner
            way = "callback" if each.task["callback_expected"] else "poll"
            table.add_row(
                sign,
                Text(each.order.provider),
                status_text(each.task["status"]),
                Text(learnt_by(each)[0] or ("" if final else way), style="bold" if final else "dim"),
                Text(next_look(each.task, time.time()), style="dim"),
            )
        return table

    def _events(self) -> list[Text]:
        verified, logged = (
            sum(map(len, sets))
            for sets in zip(*((each.verified, each.logged) for each in self._standings), strict=True)
        )
        told = f"{verified} events at the webhook, signed and verified; {logged} in the SQLite log"
        lines = [event_text(self._console, post) for post in self._heard[-_EVENTS_SHOWN:]]
        for line in lines:
            line.no_wrap, line.overflow = True, "ellipsis"
        return [Text(told, style="bold"), *lines]


def _told_of(each: Standing) -> str:
    """What an open task waits for; how the outcome of one that is done was learnt."""
    if each.outcome is None:
        return plain((each.task["waiting_for"] or {}).get("text"))
    return "learnt by {}, verified by {}".format(*learnt_by(each))


def next_look(task: Mapping[str, Any], now_s: float) -> str:
    """How long the provider has said so, and when we ask next."""
    waiting = task["waiting_for"]
    if waiting is None:
        return ""
    word = plain(task["provider_status"] or task["status"])
    told = f"{word} for {max(now_s - time_of(waiting['since']) / 1000, 0):.0f} s"
    if waiting["next_at"] is None:
        return told
    return f"{told}; next poll in {max(time_of(waiting['next_at']) / 1000 - now_s, 0):.0f} s"


def learnt_by(each: Standing) -> tuple[str, str]:
    """Which mouth told the outcome, and who vouched for it; nothing while it has not arrived."""
    if each.outcome is None:
        return "", ""
    data = each.outcome["data"]
    return plain(data["source"]), plain(data["verified_by"])


def event_text(console: Console, post: Heard) -> Text:
    """One webhook on one line."""
    task = post.event["data"]["task"] if post.verified else {}
    verdict = "signed and verified" if post.verified else f"NOT verified: {plain(post.fault)}"
    return Text("  ").join(
        [
            Text(clock(timestamp(post.at)), style="dim"),
            padded(status_text(post.event.get("type") or "?"), 14),
            Text(f"{plain(task.get('provider')):<9}"),
            mark(console, bool(post.verified)) + Text(f" {verdict}", style="dim" if post.verified else "red"),
        ]
    )


_COLUMNS = (
    "provider",
    "model",
    "status",
    "learnt\nby",
    "verified\nby",
    "events",
    "signed,\nverified",
    "in SQLite\nlog",
)


def final_table(console: Console, standings: Sequence[Standing]) -> None:
    """Print every outcome; where the terminal is narrow, models are left out and URLs stand below the table."""
    wide = console.width >= _WIDE
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for name in (*_COLUMNS, "after", "output"):
        if wide or name not in ("model", "output"):
            table.add_column(name, no_wrap=True, justify="right" if name == "after" else "left")
    for each in standings:
        cells = _cells(console, each)
        table.add_row(*(cells if wide else [*cells[:1], *cells[2:-1]]))
    say(console, "")
    console.print(Padding(table, (0, 0, 0, 2), expand=False))
    if not wide:
        say(console, "")
        for each in standings:
            say(console, Text(f"  {each.order.provider:<9} ").append(_url(each), style="cyan"))


def _cells(console: Console, each: Standing) -> list[Text]:
    return [
        Text(each.order.provider),
        Text(each.order.model),
        status_text(each.task["status"]),
        *(Text(word) for word in learnt_by(each)),
        Text(str(len(each.verified))),
        mark(console, each.all_verified),
        mark(console, each.all_logged),
        Text(f"{seconds_of(each):.1f} s"),
        Text(_url(each), style="cyan"),
    ]


def _url(each: Standing) -> str:
    return next(iter(main_urls(each.task)), "")


def seconds_of(each: Standing) -> float:
    """From the submit to the outcome, by the server's clock."""
    return (time_of(each.task["finished_at"]) - time_of(each.task["created_at"])) / 1000


def farewell(console: Console, standings: Sequence[Standing], log: Path | None, took_s: float) -> None:
    """What was shown, and where to look further."""
    events = sum(len(each.verified) for each in standings)
    told = f"{len(standings)} tasks, {events} events, each signed, verified and in the SQLite log"
    say(console, f"\n  {told}, in {duration(took_s)}.")
    if log is None:
        say(
            console,
            "  The sandbox and its outputs are gone; `taskweir demo --keep DIR` keeps the logs and the database.",
        )
        return
    query = "SELECT timestamp, type, provider, output_url FROM events ORDER BY seq"
    say(console, f'  The SQLite log is {log}; ask it for example:\n  sqlite3 {shlex.quote(str(log))} "{query}"')
