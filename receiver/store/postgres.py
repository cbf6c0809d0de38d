"""PostgreSQL: one writer with group commit per process, readers beside it, any number of processes on one database."""

import asyncio
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import psycopg
from psycopg import errors

from receiver.domain import Ms
from receiver.errors import Unavailable
from receiver.hand_off import HandOff
from receiver.ids import new_id
from receiver.roles import ServerRole
from receiver.store.postgres_connection import Broken, Link
from receiver.store.postgres_schema import bring_up_to_date
from receiver.store.postgres_store import PostgresStore
from receiver.store.postgres_writing import Raced, WritingStore
from receiver.store.protocol import Store
from receiver.store.shares import HOLDS_FOR_S, NONE, Heard, Share, Word
from receiver.store.writer import Writer

Result = TypeVar("Result")
_READERS = 3
_PATIENCE_S = 5.0
_MOST_RACES = 20
# Run again they find what made them fail, and go another way; what a program of ours got wrong fails each time.
_COUNTED = "notes_pkey"  # whose number is how many there are: it is another one the next time
_ANOTHER_WAS_FIRST = (Raced, errors.DeadlockDetected, errors.SerializationFailure, errors.UniqueViolation)


class _Undone(Exception):
    """The connection broke, and the transaction was not committed: it may be run again."""


class _Connection:
    """The connection that writes: what its transactions decide on is read and written under locks of theirs."""

    def __init__(self, url: str, process: str, share: Callable[[], Share], handing: HandOff, offset: "Offset") -> None:
        self._link = Link(url, patience_s=_PATIENCE_S)
        self._process, self._share, self._handing = process, share, handing
        self._offset = offset
        self._transaction = ""
        self._unknown: Unavailable | None = None
        self._store = self._make()

    def _make(self) -> WritingStore:
        link = self._link
        return WritingStore(link.connection, self._process, self._share, self._handing, link.judged)

    @property
    def store(self) -> Store:
        return self._store

    def begin(self, *, patient: bool) -> None:
        asked = time.time()
        try:
            begun = self._link.begin(write=True)
        except Broken as error:
            raise _Undone(str(error)) from error
        assert begun is not None  # noqa: S101 - of a transaction that writes it tells
        self._offset.learn(asked, begun["now"], time.time())
        self._transaction = begun["transaction"]
        if not self._store.on(self._link.connection):
            self._store = self._make()
        self._store.begin()

    def prepare(self) -> None:
        self._store.before_commit()

    def commit(self) -> None:
        try:
            self._link.commit(self._process)
        except Broken as broken:
            self._find_out(broken)

    def _find_out(self, broken: Broken) -> None:
        """The server went away between our COMMIT and its answer: ask the next one what became of the transaction."""
        until = time.monotonic() + 3 * _PATIENCE_S
        committed = None
        while time.monotonic() < until and committed is None:
            try:
                committed = self._link.committed(self._process, self._transaction)
            except (psycopg.Error, Broken, Unavailable):
                self._link.drop()
            if committed is None:
                time.sleep(0.1)
        if committed is None:
            self._unknown = Unavailable("the database went away during a commit: what became of it is not known")
            raise self._unknown from broken
        if not committed:
            raise _Undone(str(broken)) from broken

    def rollback(self) -> None:
        """Raises where it is not known whether it was committed: then nothing of it may be run again."""
        self._store.begin()
        self._link.rollback()
        unknown, self._unknown = self._unknown, None
        if unknown is not None:
            raise unknown

    def checkpoint_due(self) -> bool:
        return False  # the server's own business

    def checkpoint(self) -> None:
        return None

    def again(self, error: BaseException, tries: int) -> bool:
        """Whether what failed with this may be run once more, and now."""
        if isinstance(error, _Undone | Broken):
            return tries < 2
        return isinstance(error, _ANOTHER_WAS_FIRST) and tries < (1 if _for_good(error) else _MOST_RACES)

    def close(self) -> None:
        self._link.drop()


def _for_good(error: BaseException) -> bool:
    """What is there twice stays so: once more, in case that the transaction looked before the other one was over."""
    return isinstance(error, errors.UniqueViolation) and error.diag.constraint_name != _COUNTED


class Offset:
    """How far this machine's clock is from the database's, whose time all replicas go by."""

    def __init__(self) -> None:
        self._ms = 0
        self._doubt_ms = float("inf")
        self._at = 0.0

    def learn(self, asked: float, theirs: Ms, answered: float) -> None:
        """From one question: the answer is half as old as it took, if not less; an old measurement is worth less."""
        doubt_ms = abs(answered - asked) * 1000
        if doubt_ms <= self._doubt_ms or answered - self._at > 10 or answered < self._at:
            self._ms = round(theirs - (asked + answered) / 2 * 1000)
            self._doubt_ms, self._at = doubt_ms, answered

    def now(self) -> Ms:
        """The database's time."""
        return time.time_ns() // 1_000_000 + self._ms


class PostgresStorage:
    """A database that any number of processes work on; `process` names this one.

    A write that meets another process's is run again, and so is one that a restart of the server undid: for as long as
    5 s, then it is `Unavailable`. So is one whose commit nobody knows about, which may have been done.
    """

    def __init__(self, url: str, handing: HandOff | None = None, role: ServerRole = ServerRole.ALL) -> None:
        self._url = url
        self.process = new_id(role.prefix, time.time_ns() // 1_000_000)
        self.offset = Offset()
        self._share, self._share_until = NONE, 0.0
        handing = handing or HandOff(lease=0, now=0)
        self._writer = Writer(lambda: _Connection(url, self.process, self.share, handing, self.offset))
        self.commits = self._writer.counts
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="taskweir-reader")
        self._of_thread = threading.local()
        self._links: list[Link] = []
        self._closed = False

    @staticmethod
    def migrate(url: str, *, now: Ms) -> list[int]:
        """Bring a database's schema up to date; the numbers of the migrations that it lacked."""
        return bring_up_to_date(url, now=now)

    async def open(self, *, now: Ms, migrate: bool = True) -> None:
        """Bring the schema up to date, start the writer; raises `ConfigurationError`."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._readers, lambda: bring_up_to_date(self._url, now=now, migrate=migrate))
        await self._writer.open()
        await self.beat()

    def share(self) -> Share:
        """Our part of what all processes may do together: none where we have not said for long that we are alive."""
        return self._share if time.monotonic() < self._share_until else NONE

    async def beat(self, words: Mapping[str, Word] | None = None) -> Heard:
        """Say that we are alive, and what providers said to us; our part, and what others say."""
        asked_at = time.monotonic()
        heard = await self.write(lambda store: _writing(store).beat(words or {}))
        self._share, self._share_until = heard.share, asked_at + HOLDS_FOR_S
        return heard

    async def rest(self) -> None:
        """Say that we do nothing for a while: our part is the others' at once. The next sign of life ends it."""
        self._share_until = 0.0
        await self.write(lambda store: _writing(store).rest())

    async def write(
        self, do: Callable[[Store], Result], *, brief: bool = False, ends: bool = False, can_wait: bool = False
    ) -> Result:
        """However brief a write is, it waits for the network: none runs in the event loop."""
        try:
            return await self._writer.write(do, ends=ends)
        except (_Undone, Broken, Raced) as error:
            raise Unavailable(f"the database did not take it: {error}") from error

    async def read(self, do: Callable[[Store], Result], *, brief: bool = False) -> Result:
        if self._closed:
            raise Unavailable("the store is closed")
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._read, do)

    def _read(self, do: Callable[[Store], Result]) -> Result:
        link: Link | None = getattr(self._of_thread, "link", None)
        if link is None:
            link = self._of_thread.link = Link(self._url, patience_s=_PATIENCE_S)
            self._links.append(link)
        for _ in range(2):
            try:
                return self._read_on(link, do)
            except Broken:  # nothing was changed, so that it may be asked again
                continue
        return self._read_on(link, do, last=True)

    def _read_on(self, link: Link, do: Callable[[Store], Result], *, last: bool = False) -> Result:
        try:
            link.begin(write=False)
            return do(PostgresStore(link.connection, self.process, self.share, link.judged))
        except Broken as broken:
            if last:
                raise Unavailable(str(broken)) from broken
            raise
        finally:
            link.rollback()

    async def close(self) -> None:
        """Commit what waits, and hang up."""
        self._closed = True
        await self._writer.close()
        self._readers.shutdown()
        while self._links:
            self._links.pop().drop()


def _writing(store: Store) -> WritingStore:
    assert isinstance(store, WritingStore)  # noqa: S101 - what our own writer gives
    return store
