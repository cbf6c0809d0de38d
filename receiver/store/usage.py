"""The verb that adds up what a tenant's tasks came to and cost, a part of its history at a time."""

from collections.abc import Sequence

from receiver.store.records import Part, Tallied
from receiver.store.statements import Row, Statements


class UsageVerbs(Statements):
    def add_up(self, tenant: str, *, since: str, before: str, limit: int, metadata: Sequence[str]) -> Part | None:
        [found] = self.run("select_part_of_history", tenant=tenant, since=since, before=before, limit=limit)
        if not found["count"]:
            return None
        keys = {f"key{place}": key for place, key in enumerate(metadata)}
        ends = {"tenant": tenant, "first": found["first"], "before": before}
        rows = [_tallied(row, len(metadata)) for row in self.execute(_sql(len(metadata)), ends | keys)]
        return Part(first=found["first"], count=int(found["count"]), rows=rows)


def _sql(keys: int) -> str:
    """Grouped by the places of its columns: PostgreSQL cannot tell that two texts with parameters are one."""
    value = "(SELECT value FROM json_each(tasks.metadata) WHERE key = :key{0}) AS value{0}"
    values = [value.format(place) for place in range(keys)]
    unit = "json_extract(usage, '$.unit') AS unit"
    phase = "json_extract(usage, '$.phase') AS phase"
    columns = ["provider", "model", "status", unit, phase, *values]
    amount = "sum(CAST(json_extract(usage, '$.amount') AS DOUBLE PRECISION)) AS amount"
    return f"""SELECT {", ".join(columns)}, count(*) AS tasks, {amount} FROM tasks
WHERE tenant = :tenant AND id >= :first AND id < :before
GROUP BY {", ".join(str(place + 1) for place in range(len(columns)))}"""  # noqa: S608 - names of ours


def _tallied(row: Row, keys: int) -> Tallied:
    return Tallied(
        provider=row["provider"],
        model=row["model"],
        status=row["status"],
        unit=row["unit"],
        phase=row["phase"],
        metadata=tuple(row[f"value{place}"] for place in range(keys)),
        tasks=int(row["tasks"]),
        amount=float(row["amount"] or 0),
    )
