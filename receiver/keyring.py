"""Who holds an API key right now: found in the store, remembered for a moment."""

from contextlib import suppress
from dataclasses import dataclass

from receiver.api_keys import ApiKey, digest_of
from receiver.clock import Clock
from receiver.copying import replace
from receiver.domain import MINUTE, SECOND, Ms
from receiver.errors import Unavailable
from receiver.store.protocol import Storage

REMEMBERED: Ms = 2 * SECOND  # for so long a key that another process revoked may pass here
NOTED_EVERY: Ms = MINUTE  # when a key was last used is known to the minute: no write per request
MOST_REMEMBERED = 4096


@dataclass(frozen=True, slots=True)
class _Known:
    key: ApiKey
    read_at: Ms


class Keyring:
    """The keys that were used lately, by their digests. What is revoked here is forgotten at once."""

    def __init__(self, storage: Storage, clock: Clock) -> None:
        self._storage = storage
        self._clock = clock
        self._known: dict[str, _Known] = {}
        self.revoked = 0  # how often one was, in this process

    async def holder(self, given: bytes) -> ApiKey | None:
        """The key that this is; None where there is none such, or no more."""
        digest, now = digest_of(given), self._clock.now()
        if digest is None:
            return None
        known = self._known.get(digest)
        if known is not None and 0 <= now - known.read_at < REMEMBERED:
            key: ApiKey | None = known.key
        else:
            key = await self._read(digest, now)
        if key is not None and now - (key.last_used_at or 0) >= NOTED_EVERY:
            await self._note_use(digest, key, now)
        return key

    def forget(self) -> None:
        """A key was revoked: look all of them up again."""
        self.revoked += 1
        self._known.clear()

    async def _read(self, digest: str, now: Ms) -> ApiKey | None:
        revoked = self.revoked
        key = await self._storage.read(lambda store: store.api_key_of(digest), brief=True)
        self._known.pop(digest, None)
        if key is not None and revoked == self.revoked:  # else what was read may have been revoked since
            self._remember(digest, _Known(key, now))
        return key

    def _remember(self, digest: str, known: _Known) -> None:
        if len(self._known) >= MOST_REMEMBERED:
            self._known.clear()
        self._known[digest] = known

    async def _note_use(self, digest: str, key: ApiKey, now: Ms) -> None:
        known = self._known.get(digest)
        if known is not None:  # whoever comes meanwhile leaves it to us
            self._known[digest] = replace(known, key=replace(key, last_used_at=now))
        with suppress(Unavailable):  # a store that takes no write can still be read
            await self._storage.write(lambda store: store.note_use(key.id, now), brief=True)
