"""The bench itself, in small: whatever time it takes, what it counts must add up."""

import json
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import anyio
import pytest
from rich.console import Console

from tests.bench.__main__ import measured
from tests.bench.figures import Size
from tests.bench.machine import cpu_seconds, family_seconds
from tests.bench.wire import Load, answer, serving

SMALL = Size(rounds=1, seconds=30, connections=8, baseline_s=0.1, tasks=200, events=6_000, servers=(2,))


@pytest.mark.parametrize("name", ["token", "bare", "lists", "replicas", "costs"])
def test_what_a_figure_counts_adds_up(name: str, tmp_path: Path) -> None:
    """Nothing is lost, doubled, refused or left unrecorded, and there is a number for each row, kept as JSON."""
    rows = measured([name], SMALL, tmp_path, Console(quiet=True))
    assert [row.faults for row in rows if any(row.faults.values())] == []
    assert all(row.values and min(row.values) > 0 for row in rows)
    if name in ("token", "bare", "replicas"):
        assert {row.notes[0]["callbacks"] for row in rows if "callbacks" in row.notes[0]} == {200}
    kept = json.loads((tmp_path / "bench.json").read_text())
    assert [figure["title"] for figure in kept["figures"]] == [row.title for row in rows]


@pytest.mark.anyio
@pytest.mark.parametrize("left", [3, 0])
async def test_a_server_may_hang_up_on_a_load(left: int) -> None:
    """What it hung up on between two requests is used no more; where none is left, that is told, and nobody waits."""
    async with serving(lambda head, body: answer(b"{}")) as port, Load(port, connections=4) as load:
        for connection in load._connections[left:]:
            connection.transport.abort()
        await anyio.sleep(0.05)
        await load.open_loop(lambda meant_at: b"GET / HTTP/1.1\r\n\r\n", rate=400, seconds=0.1)
        assert load.statuses == ({"200": 40} if left else {"none, no connection is left": 40})


def test_the_time_of_a_process_is_told_where_it_is_less_than_a_tick() -> None:
    """Of another process, too; what it does not use is not counted."""
    with subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as cat:
        assert cat.stdin is not None
        assert cat.stdout is not None
        used = [cpu_seconds(cat.pid)]
        for _ in range(3):
            cat.stdin.write(b"a line\n")
            cat.stdin.flush()
            cat.stdout.readline()
            used.append(cpu_seconds(cat.pid))
        cat.stdin.close()
    assert all(later > earlier for earlier, later in pairwise(used))
    assert used[-1] < 0.1


CHILDREN_THAT_END = """
import os
while True:
    children = []
    while len(children) < 20:
        if not (child := os.fork()):
            os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)
"""


def test_the_time_of_a_family_counts_members_that_end_meanwhile() -> None:
    """A server's process of one connection may end at any moment, even while what it used is read."""
    with subprocess.Popen([sys.executable, "-c", CHILDREN_THAT_END]) as family:
        try:
            until = time.monotonic() + 2
            used = [family_seconds(family.pid)]
            while time.monotonic() < until:
                used.append(family_seconds(family.pid))
        finally:
            family.kill()
    assert used == sorted(used)
    assert used[-1] > 0.2
