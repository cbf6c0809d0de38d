"""Lists and timelines of a store with a long history, beside those of a young one."""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from itertools import cycle, islice
from pathlib import Path
from statistics import median

from tests.bench.figures import Row, Run
from tests.bench.history import SMALL, history
from tests.bench.servers import profiled
from tests.bench.stage import Stage, a_stage
from tests.bench.wire import Load, request
from tests.service.world import API_KEY

_REQUESTS = 100
_LONGEST_S = 5
_PLACES = 20
_LOOKED_THROUGH = ("/v1/tasks of a model, none", "/v1/tasks by metadata, none")

Paths = Mapping[str, Sequence[str]]  # of each list: those that are asked in turn


async def long_history(run: Run) -> Sequence[Row]:
    """Each list's median time, at places all over it, and of filters that nothing passes.

    One that has to be looked through has no bar: all of a small store is less than one page's share of a large one.
    """
    small, large = await history(run, SMALL), await history(run, run.size.events)
    rows: dict[str, Row] = {}
    async with a_stage(run, small, move=True) as young, a_stage(run, large, move=True) as old:
        asked = [(stage, _paths(stage.database)) for stage in (young, old)]
        for number in range(run.size.rounds):
            run.say(f"lists with {run.size.events:,} events, round {number + 1}")
            with profiled(old.server):
                times = [await _times(stage, paths) for stage, paths in asked]
            for name in times[0]:
                title, bar = (
                    f"GET {name}, {run.size.events // 1000:,}k events",
                    None if name in _LOOKED_THROUGH else 1.5,
                )
                row = rows.setdefault(name, Row(title=title, unit="ms", bar=bar, at_least=False, ratio_of="5k"))
                row.add(times[1][name] * 1e3, times[0][name] * 1e3)
    return list(rows.values())


async def _times(stage: Stage, paths: Paths) -> dict[str, float]:
    times = {}
    async with Load(stage.server.port, connections=1) as load:
        for name, places in paths.items():
            load.took.clear()
            asked = islice(cycle(_requests(places, stage.server.port)), _REQUESTS)
            await load.closed_loop(asked, seconds=_LONGEST_S)
            assert not load.refused("200"), (name, load.statuses)
            times[name] = median(load.took)
    return times


def _requests(paths: Sequence[str], port: int) -> list[bytes]:
    headers = f"Authorization: Bearer {API_KEY}\r\n"
    return [request("GET", path, host=f"127.0.0.1:{port}", headers=headers) for path in paths]


def _paths(path: Path) -> Paths:
    """What is asked of a store, its own ids in it."""
    tasks, deliveries = list(_places(path, "tasks", "id")), list(_places(path, "deliveries", "id"))
    seqs, known = list(_places(path, "events", "seq")), list(_places(path, "tasks", "provider_task_id"))
    return {
        "/v1/events": ["/v1/events", "/v1/events?order=desc", *(f"/v1/events?after={seq}" for seq in seqs)],
        "/v1/tasks": ["/v1/tasks", *(f"/v1/tasks?cursor={task}" for task in tasks)],
        "…/timeline": [f"/v1/tasks/{task}/timeline" for task in tasks],
        "/v1/deliveries": [
            "/v1/deliveries",
            *(f"/v1/deliveries?cursor={delivery}" for delivery in deliveries),
            *(f"/v1/deliveries?task_id={task}" for task in tasks),
        ],
        "/v1/events of a type, none": ["/v1/events?type=task.expired"],
        "/v1/events of a provider, none": ["/v1/events?provider=reapi&order=desc"],
        "/v1/tasks of a status, none": ["/v1/tasks?status=failed", "/v1/tasks?status=submitted"],
        "/v1/tasks by the provider's id": [f"/v1/tasks?provider_task_id={each}" for each in known],
        "/v1/tasks of a model, none": ["/v1/tasks?model=another"],
        "/v1/tasks by metadata, none": ["/v1/tasks?metadata.order=none"],
        "/v1/deliveries of a state, none": ["/v1/deliveries?state=dead"],
    }


def _places(path: Path, table: str, column: str) -> Iterator[str]:
    """Values of an ascending column, spread over the table."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        [(first, last)] = connection.execute(f"SELECT min(rowid), max(rowid) FROM {table}")
        for number in range(1, _PLACES + 1):
            rowid = first + (last - first) * number // (_PLACES + 1)
            [(value,)] = connection.execute(f"SELECT {column} FROM {table} WHERE rowid >= ? LIMIT 1", (rowid,))
            yield value
