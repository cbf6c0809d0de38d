"""The bench itself, in small: whatever time it takes, what it counts must add up."""

import json
from pathlib import Path

import pytest
from rich.console import Console

from tests.bench.__main__ import measured
from tests.bench.figures import Size

SMALL = Size(rounds=1, seconds=30, connections=8, baseline_s=0.1, tasks=200, events=6_000, servers=(2,))


@pytest.mark.parametrize("name", ["token", "lists", "replicas", "costs"])
def test_what_a_figure_counts_adds_up(name: str, tmp_path: Path) -> None:
    """Nothing is lost, doubled, refused or left unrecorded, and there is a number for each row, kept as JSON."""
    rows = measured([name], SMALL, tmp_path, Console(quiet=True))
    assert [row.faults for row in rows if any(row.faults.values())] == []
    assert all(row.values and min(row.values) > 0 for row in rows)
    if name in ("token", "replicas"):
        assert {row.notes[0]["callbacks"] for row in rows if "callbacks" in row.notes[0]} == {200}
    kept = json.loads((tmp_path / "bench.json").read_text())
    assert [figure["title"] for figure in kept["figures"]] == [row.title for row in rows]
