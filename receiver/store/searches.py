"""Looks through a list for what its filters let through: so many rows at most, however few of them fit."""

from collections.abc import Callable, Sequence
from typing import Any

from receiver.store.records import Found, Item
from receiver.store.statements import Row, Statements, Where

# Of each piece. Looking through so many takes some 20 ms; who wants more goes on from there.
MOST_SEARCHED = 5000

Condition = tuple[Any, ...]  # a clause, and a value for each `?` of it


class Searches(Statements):
    def search(
        self,
        select: str,
        pieces: Sequence[Sequence[Condition]],
        rest: Sequence[Condition],
        *,
        key: str,
        newest_first: bool,
        limit: int,
        item: Callable[[Row], Item],
    ) -> Found[Item]:
        """A page of a list, in the order of `key`, an id or a seq.

        Each of the `pieces` is found by an index that has it in this order; all of `rest` has to be looked at row by
        row. `select` names its table before any other.
        """
        rest = [each for each in rest if None not in each]
        ends = [self._end(select, piece, key, newest_first) for piece in pieces] if rest else []
        known = [end for end in ends if end is not None]
        nearest = (max(known) if newest_first else min(known)) if known else None
        within = (f"{key} >= ?" if newest_first else f"{key} <= ?", nearest)
        order = f"{key} DESC" if newest_first else key
        rows: list[Row] = []
        for piece in pieces:
            rows += self.page(select, _where(*piece, *rest, within), order=order, limit=limit)
        name = key.rpartition(".")[2]
        rows.sort(key=lambda row: row[name], reverse=newest_first)
        found = Found(item(row) for row in rows[:limit])
        found.to = nearest if len(found) < limit else None
        return found

    def _end(self, select: str, piece: Sequence[Condition], key: str, newest_first: bool) -> Any:
        """The last that is looked at, where there are so many; found in the index alone."""
        table = select.split(" FROM ")[1].split()[0]
        where, order = _where(*piece), f"{key} DESC" if newest_first else key
        sql = f"SELECT {key} AS last FROM {table} WHERE {' AND '.join(where.clauses)} ORDER BY {order}"  # noqa: S608
        rows = self.execute(f"{sql} LIMIT 1 OFFSET :others", where.values | {"others": MOST_SEARCHED - 1})
        return rows[0]["last"] if rows else None


def _where(*conditions: Condition) -> Where:
    where = Where()
    for clause, *values in conditions:
        where.add(clause, *values)
    return where
