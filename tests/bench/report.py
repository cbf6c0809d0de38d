"""The table on the screen, and the same as JSON."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from rich.table import Table
from rich.text import Text

from tests.bench.figures import Row

_BUSY = 0.1


def table(rows: Sequence[Row]) -> Table:
    """Min, median and max of each figure, what it is compared with, and whether it passes."""
    made = Table("figure", title="what one core carries", title_style="bold")
    for name in ("min", "median", "max", "against", "ratio", "bar", ""):
        made.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        against = f"{row.ratio_of} {_number(median(row.against))}" if row.against else ""
        made.add_row(
            row.title,
            *(_number(number(row.values)) for number in (min, median, max)),
            against,
            _ratios(row),
            _bar(row),
            _mark(row),
        )
    return made


def complaints(rows: Sequence[Row]) -> list[str]:
    """What does not add up, and what makes a figure doubtful."""
    told = [f"{row.title}: {count} {name}" for row in rows for name, count in row.faults.items() if count]
    busy = max((note.get("others_cpu", 0) for row in rows for note in row.notes), default=0)
    if busy > _BUSY:
        told.append(f"others used up to {busy:.0%} of a core meanwhile: take it again on an idle machine")
    return told


def as_json(about: dict[str, Any], rows: Sequence[Row], curves: dict[str, Any], path: Path) -> None:
    figures = [asdict(row) | {"ratios": row.ratios, "judged": row.judged, "passed": row.passed} for row in rows]
    path.write_text(json.dumps({**about, "figures": figures, "curves": curves}, indent=2, ensure_ascii=False) + "\n")


def _ratios(row: Row) -> str:
    ratios = row.ratios
    if not ratios:
        return ""
    return f"{median(ratios):.3f} ({min(ratios):.3f} .. {max(ratios):.3f})"


def _bar(row: Row) -> str:
    if row.bar is None:
        return ""
    unit = row.unit if not row.against else ""
    return f"{'≥' if row.at_least else '≤'} {row.bar:g}{' ' + unit if unit and unit != '/s' else unit}"


def _mark(row: Row) -> Text:
    passed = row.passed
    return Text("" if passed is None else "✔" if passed else "✘", style="green" if passed else "red")


def _number(number: float) -> str:
    return f"{number:,.0f}" if abs(number) >= 100 else f"{number:.3g}"
