"""Which engine a database's URL means, and what time it is there."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from receiver.clock import Clock, SystemClock
from receiver.domain import Ms
from receiver.errors import ConfigurationError
from receiver.hand_off import HandOff
from receiver.settings import POSTGRES, Settings
from receiver.store.protocol import Storage
from receiver.store.shares import WHOLE, Heard, Word
from receiver.store.sides import Side
from receiver.store.sqlite import SqliteStorage
from receiver.store.sqlite_side import SqliteSide

if TYPE_CHECKING:
    from receiver.store.postgres import PostgresStorage


SQLITE = "sqlite:///"


class Opened(Storage, Protocol):
    """A storage that can be opened and closed."""

    async def open(self, *, now: Ms, migrate: bool = True) -> None: ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A storage; the clock that all who share it go by; a sign of life to them, which tells what part is ours.

    `rest` says that we do nothing for a while. Both are None where nobody can share it.
    """

    storage: Opened
    clock: Clock
    beat: Callable[[Mapping[str, Word]], Awaitable[Heard]] | None = None
    rest: Callable[[], Awaitable[None]] | None = None

    async def say(self, words: Mapping[str, Word]) -> Heard:
        """Say that we are alive, and what providers said to us; what the others say."""
        return Heard(share=WHOLE, words={}) if self.beat is None else await self.beat(words)


def storage_of(settings: Settings, handing: HandOff) -> Kept:
    """The storage that the settings name, not opened yet; raises `ConfigurationError`."""
    path = settings.sqlite_path
    if path is not None:
        return Kept(storage=SqliteStorage(path, handing), clock=SystemClock())
    found = postgres()(settings.database_url, handing)
    return Kept(storage=found, clock=found.offset, beat=found.beat, rest=found.rest)


def side_of(url: str, *, now: Ms) -> Side:
    """One side of a move, which nobody else may use; raises `ConfigurationError`."""
    if url.startswith(POSTGRES):
        postgres()
        from receiver.store.postgres_side import PostgresSide

        return PostgresSide(url, now=now)
    if not url.startswith(SQLITE) or url == SQLITE:
        raise ConfigurationError(
            f"{url.partition(':')[0]!r} is no database of ours", hint="Use sqlite:///… or postgresql://…."
        )
    return SqliteSide(Path(url.removeprefix(SQLITE)), now=now)


def postgres() -> "type[PostgresStorage]":
    """PostgreSQL's, which only those who use it need the driver for."""
    try:
        from receiver.store.postgres import PostgresStorage
    except ImportError as error:
        raise ConfigurationError(
            f"PostgreSQL's driver is not installed: {error}", hint="Install it: pip install 'taskweir[postgres]'"
        ) from None
    return PostgresStorage
