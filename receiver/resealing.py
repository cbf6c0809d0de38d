"""Seals everything that is sealed with the first key, so that the others can be taken away."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from receiver import json_text
from receiver.errors import NotVerified
from receiver.sealing import Seal
from receiver.store.protocol import Storage, Store
from receiver.store.records import Sealed

BATCH = 100
_HEADERS = "headers"  # the place whose text is a JSON object: names, and sealed values


@dataclass(frozen=True, slots=True, kw_only=True)
class Resealed:
    """How many secrets and header values were sealed anew, were so already, or need a key that we do not hold."""

    resealed: int
    already: int
    unreadable: int


async def reseal(storage: Storage, seal: Seal) -> Resealed:
    """Reseal what is kept, a small transaction for every `BATCH`. Broken off anywhere, it can be run again."""
    found, changed, lost = await _round(storage, seal)
    resealed = changed
    while lost:  # somebody changed a row under us, and may have kept a part of it as it was
        _, changed, lost = await _round(storage, seal)
        resealed += changed
    return Resealed(resealed=resealed, already=found["already"], unreadable=found["unreadable"])


async def unreadable(storage: Storage, seal: Seal) -> int:
    """How many secrets and header values need a key that we do not hold."""
    kept = await storage.read(lambda store: store.sealed_secrets())
    return sum(_fresh(seal, each)[1]["unreadable"] for each in kept)


async def _round(storage: Storage, seal: Seal) -> tuple[Counter[str], int, bool]:
    """What was found, how much of it was resealed, and whether any of it was changed meanwhile."""
    found: Counter[str] = Counter()
    todo: list[tuple[Sealed, str, int]] = []
    for old in await storage.read(lambda store: store.sealed_secrets()):
        text, counts = _fresh(seal, old)
        found += counts
        if counts["resealed"]:
            todo.append((old, text, counts["resealed"]))
    changed, lost = 0, False
    for first in range(0, len(todo), BATCH):
        kept = await storage.write(partial(_put, todo[first : first + BATCH]))
        changed += sum(kept)
        lost = lost or 0 in kept
    return found, changed, lost


def _put(batch: Sequence[tuple[Sealed, str, int]], store: Store) -> list[int]:
    return [count if store.reseal(old, text) else 0 for old, text, count in batch]


def _fresh(seal: Seal, old: Sealed) -> tuple[str, Counter[str]]:
    """The text to put in the place of an old one, and what was found in it."""
    if old.place != _HEADERS:
        text, what = _resealed(seal, old.text, old.row)
        return text, Counter([what])
    pairs = {name: _resealed(seal, text, old.row) for name, text in json_text.read_own(old.text).items()}
    texts = {name: text for name, (text, _) in pairs.items()}
    return json_text.write(texts), Counter(what for _, what in pairs.values())


def _resealed(seal: Seal, text: str, row: str) -> tuple[str, str]:
    try:
        secret = seal.open(text, row=row)
    except NotVerified:
        return text, "unreadable"
    return (text, "already") if seal.sealed_now(text) else (seal.seal(secret, row=row), "resealed")
