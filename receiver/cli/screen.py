"""What the commands print on: standard output for results, standard error for everything about them."""

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from receiver.cli.text import plain, pretty

_PIPE_WIDTH = 1_000_000  # nothing is cut, nothing wrapped
_NARROWEST_CUT = 5
_GAP = 2

STYLES = {
    "queued": "yellow",
    "submitting": "yellow",
    "submitted": "cyan",
    "running": "blue",
    "progress": "blue",
    "unconfirmed": "magenta",
    "succeeded": "green",
    "failed": "red",
    "canceled": "red",
    "expired": "red",
    "pending": "yellow",
    "delivered": "green",
    "dead": "red",
}


def output() -> Console:
    """Standard output: tables fit a terminal, and are as wide as they like in a pipe."""
    return _console(stderr=False)


def aside() -> Console:
    """Standard error, for progress and hints, so that a pipe gets results only."""
    return _console(stderr=True)


def _console(*, stderr: bool) -> Console:
    stream = sys.stderr if stderr else sys.stdout
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="replace")  # a terminal that cannot show a prompt's letters shows a question mark
    return wide(Console(stderr=stderr, highlight=False, markup=False, emoji=False))


def wide(console: Console) -> Console:
    """The same; where it is no terminal, no cell of a table is cut or wrapped, whatever COLUMNS says."""
    if not console.is_terminal:
        console.width = _PIPE_WIDTH
    return console


def say(console: Console, text: str | Text) -> None:
    """One line, never wrapped: it may be copied, or read by another program."""
    console.print(text, soft_wrap=True)


def mark(console: Console, good: bool) -> Text:
    """A tick or a cross, in words where the terminal has no such letters."""
    words = ("yes", "no") if console.options.ascii_only else ("✓", "✗")
    return Text(words[0 if good else 1], style="green" if good else "bold red")


def spinner_of(console: Console) -> str:
    """The name of a spinner that this terminal can show."""
    return "line" if console.options.ascii_only else "dots"


def status_text(status: Any) -> Text:
    """A status, or the end of an event's type, in its colour."""
    word = plain(status)
    return Text(word, style=STYLES.get(word.rpartition(".")[2], ""))


def padded(text: Text, width: int) -> Text:
    """The same text, with spaces behind it up to a width."""
    text.pad_right(max(width - len(text), 0))
    return text


def print_list(
    items: Sequence[Mapping[str, Any]],
    columns: Sequence[str],
    row: Callable[[Mapping[str, Any]], Sequence[str | Text]],
    *,
    whole: int,
    as_json: bool,
    none: str,
) -> None:
    """Print items as a JSON array, or as a table with a `row` each; `none` is said where there are no items.

    Where a terminal is too narrow, all but the first `whole` columns give way.
    """
    if as_json:
        say(output(), pretty(items))
    elif items:
        print_table(items, columns, row, whole=whole)
    else:
        say(aside(), none)


def print_table(
    items: Sequence[Mapping[str, Any]],
    columns: Sequence[str],
    row: Callable[[Mapping[str, Any]], Sequence[str | Text]],
    *,
    whole: int,
) -> None:
    """Print a `row` for each item under its columns; the first `whole` columns keep their width."""
    head = [Text(column, style="bold") for column in columns]
    cells = [[cell if isinstance(cell, Text) else Text(plain(cell)) for cell in row(item)] for item in items]
    _print_rows(output(), [head, *cells], whole=whole)


def _print_rows(console: Console, rows: Sequence[Sequence[Text]], *, whole: int) -> None:
    widths = [max(cell.cell_len for cell in column) for column in zip(*rows, strict=True)]
    if console.is_terminal:
        widths[whole:] = _narrowed(widths[whole:], console.width - sum(widths[:whole]) - _GAP * (len(widths) - 1))
    for row in rows:
        cells = [cell.copy() for cell in row]
        for cell, width in zip(cells, widths, strict=True):
            cell.truncate(width, overflow="ellipsis", pad=True)
        line = Text(" " * _GAP).join(cells)
        line.rstrip()
        say(console, line)


def _narrowed(widths: Sequence[int], room: int) -> list[int]:
    """Widths that fit where that is possible: the widest gives way first, none below a few letters."""
    narrowed = list(widths)
    while sum(narrowed) > room and max(narrowed) > _NARROWEST_CUT:
        narrowed[narrowed.index(max(narrowed))] -= 1
    return narrowed


def fields_of(pairs: Iterable[tuple[str, str | Text]]) -> Table:
    """Names and values below each other; what is empty is left out."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in pairs:
        text = value if isinstance(value, Text) else Text(plain(value))
        if text:
            grid.add_row(name, text)
    return grid
