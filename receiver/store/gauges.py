"""The verb that tells how much there is to do, within bounds: by indexes, and counted up to a number."""

from collections.abc import Collection

from receiver.domain import DeliveryState, Work
from receiver.ids import made_at
from receiver.store.records import Gauges
from receiver.store.statements import Statements

_COUNTED = (DeliveryState.PENDING, DeliveryState.DEAD)


class GaugeVerbs(Statements):
    def gauges(self, providers: Collection[str], kinds: Collection[str], *, most: int) -> Gauges:
        oldest = {row["type"]: row["id"] for row in self.run("select_oldest_owed")}
        seq = self.one("select_seq")
        return Gauges(
            tasks={
                (name, work): self._up_to(most, "count_waiting_tasks", provider=name, work=work.value)
                for name in providers
                for work in Work
            },
            doubts={row["provider"]: int(row["count"]) for row in self.run("count_doubts", most=most)},
            deliveries={
                (kind, state): self._up_to(most, "count_deliveries_of_kind", type=kind, state=state.value)
                for kind in kinds
                for state in _COUNTED
            },
            oldest={kind: made_at(first) for kind, first in oldest.items() if first is not None},
            destinations={(row["type"], row["state"]): int(row["count"]) for row in self.run("count_destinations")},
            paused={row["provider"] for row in self.run("select_paused")},
            seq=int(seq["value"]) if seq else 0,
        )

    def _up_to(self, most: int, name: str, **values: str) -> int:
        [row] = self.run(name, most=most, **values)
        return int(row["count"])
