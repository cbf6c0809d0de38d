"""What was measured, by the titles of the bench's own figures, and what the model takes from it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench.scaling.house import Costs

KEPT = Path(__file__).with_name("measured.json")
CONNECTIONS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Medians by title, and the machine that they are of."""

    about: Mapping[str, Any]
    figures: Mapping[str, float]

    def __getitem__(self, title: str) -> float:
        return self.figures[title]

    def get(self, title: str) -> float | None:
        return self.figures.get(title)

    def loaded(self, title: str, connections: int = CONNECTIONS) -> float:
        return self[f"{title} ({connections} at once)"]

    @property
    def costs(self) -> Costs:
        """Per event and per transaction: from one callback at a time, and many, which share transactions."""
        server, database = "an idle server's processor time per second", "  the database's for it"
        server_event, server_transaction = self._apart("  the server's processor time per event", self[server])
        database_event, database_transaction = self._apart("  the database's", self[database])
        return Costs(
            server_event=server_event,
            server_transaction=server_transaction,
            server_idle=self[server],
            database_event=database_event,
            database_transaction=database_transaction,
            database_idle=self[database],
            statements=self.loaded("statements per event"),
            held=self["  share of their time in which others' commits wait"],
        )

    def _apart(self, title: str, idle: float) -> tuple[float, float]:
        shares = [self.loaded("  transactions per event", count) for count in (1, CONNECTIONS)]
        costs = [self.loaded(title, count) - idle / self.loaded("events", count) for count in (1, CONNECTIONS)]
        transaction = (costs[0] - costs[1]) / (shares[0] - shares[1])
        return costs[1] - transaction * shares[1], transaction


def kept() -> Measured:
    return Measured(**json.loads(KEPT.read_text()))


def take(results: Path) -> None:
    """Keep what `make bench-scale`, or the figures `costs` and `replicas`, wrote; what it does not hold stays."""
    found = json.loads(results.read_text())
    about = {name: value for name, value in found.items() if isinstance(value, str | int | float)}
    taken = {each["title"]: float(f"{median(each['values']):.4g}") for each in found["figures"] if each["values"]}
    before = dict(kept().figures) if KEPT.exists() else {}
    KEPT.write_text(json.dumps({"about": about, "figures": before | taken}, indent=2, ensure_ascii=False) + "\n")
