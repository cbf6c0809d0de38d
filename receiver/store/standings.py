"""Verbs about how providers stand with us."""

from dataclasses import asdict

from receiver.provider_policy import Pause, Standing
from receiver.store.statements import Statements


class StandingVerbs(Statements):
    def standing(self, provider: str) -> Standing:
        row = self.one("select_standing", provider=provider)
        if row is None:
            return Standing(provider=provider)
        paused = Pause(row["paused"]) if row["paused"] else None
        return Standing(**dict(row) | {"paused": paused, "probed": bool(row["probed"])})

    def save_standing(self, standing: Standing) -> None:
        row = asdict(standing)
        paused = standing.paused.value if standing.paused else None
        self.count("upsert_standing", **row | {"paused": paused, "probed": int(standing.probed)})
