"""Where a reader of the events stands, and what comes next for him."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from receiver.copying import replace
from receiver.errors import Gone
from receiver.store.protocol import Store
from receiver.store.records import Found, Page, Recorded

LAST_SEQ = 2**62
_CURSOR = re.compile(r"([0-9]{1,19})(?::([0-9]{1,19}))?")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a reader stands: behind the event `seq`, aware of what was deleted up to `pruned`.

    Of these only what is still owed is there to be read, so that none of it is missed by going on.
    """

    seq: int
    pruned: int = 0

    def __str__(self) -> str:
        return f"{self.seq}:{self.pruned}" if self.seq < self.pruned else f"{self.seq}"


def place_in(text: str) -> Place | None:
    """The place that a cursor of ours names, a bare seq among them; None where it is none of ours."""
    found = _CURSOR.fullmatch(text)
    if found is None or int(found[1]) > LAST_SEQ:
        return None
    return Place(int(found[1]), int(found[2] or 0))


def check_kept(store: Store, tenant: str, after: Place) -> int:
    """Up to where a tenant's events were deleted; raises `Gone` where a reader has missed some of those."""
    pruned = store.pruned_seq(tenant)
    if after.seq and pruned > max(after.seq, after.pruned):
        raise Gone(
            f"events after {after.seq} were deleted, up to {pruned}: read on with after=0, which begins with the "
            "oldest that is kept, and from there with `next_cursor`"
        )
    return pruned


def forward(store: Store, page: Page, after: Place) -> tuple[Found[Recorded], Place]:
    """What comes after a place, and where a reader of it stands after the last: at the newest event of all, whatever
    its filter let through, so that one who reads on never falls behind what is kept.

    Raises `Gone` where he has missed something that was deleted; who begins with the oldest has not.
    """
    pruned = check_kept(store, page.tenant, after)
    newest = store.newest_seq(page.tenant)  # asked first: what comes in between is not passed over
    rows = store.list_events(page, after=after.seq, newest_first=False)
    return rows, Place(max(after.seq, newest, pruned, *(row.seq for row in rows[-1:])), pruned)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What a reader gets in one go, and where he stands then; there may be `more` on his way."""

    rows: Sequence[Recorded]
    place: Place
    more: bool


def step(store: Store, page: Page, after: Place, *, up_to: int) -> Step:
    """The next page on the way to the event `up_to`, which it does not go beyond; raises `Gone`."""
    rows, end = forward(store, page, after)
    reached = rows[-1].seq if len(rows) == page.limit else rows.to
    if reached is not None and reached < up_to:
        return Step(rows=rows, place=replace(end, seq=reached), more=True)
    return Step(
        rows=[row for row in rows if row.seq <= up_to], place=replace(end, seq=max(after.seq, up_to)), more=False
    )
