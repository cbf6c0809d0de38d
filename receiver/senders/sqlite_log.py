"""Appends events to a SQLite file that people query, and deletes the rows that a log keeps no longer."""

import asyncio
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from receiver import formats, json_text
from receiver.clock import Clock
from receiver.domain import Attempt, Destination, Ms
from receiver.senders import log_file
from receiver.senders.base import PING_SEQ, Sent
from receiver.senders.log_file import LogFile
from receiver.store.records import Parcel
from receiver.telemetry import log

Result = TypeVar("Result")
# What one row may do; whatever else goes wrong is the file's, and goes wrong for every row.
_OF_A_ROW = (
    OverflowError,
    sqlite3.DataError,
    sqlite3.IntegrityError,
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
)
_THREADS = 32
KEPT_OPEN_S = 0.5  # for the next batch
CLOSED_WITHIN_S = 2.0  # of those that somebody else holds locked none is waited for any longer


class SqliteLogSender:
    """Idempotent on the event's id, a batch in one transaction; `<data dir>/logs/<tenant>/<name>.db`."""

    batch = 200
    longest_attempt_s = 15.0

    def __init__(self, data_dir: Path, clock: Clock, *, lock_wait_s: float = log_file.LOCK_WAIT_S) -> None:
        self._data_dir = data_dir
        self._clock = clock
        self._lock_wait_s = lock_wait_s
        # Of its own: a log that somebody holds locked keeps its thread waiting, and nobody else's.
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="taskweir-log")
        # One connection of ours at a time: SQLite 3.7.0 to 3.51.2 can corrupt a WAL that two of them reset at once. By
        # the file: the destination that was deleted with an attempt under way may have been made anew.
        self._turns: defaultdict[Path, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._open: dict[Path, LogFile] = {}  # more is about to come: to be had by whoever has its turn
        self._ending: set[asyncio.Task[None]] = set()
        self._closing: dict[Path, asyncio.TimerHandle] = {}

    def blocked_reason(self, destination: Destination) -> str | None:
        return None

    async def send(self, destination: Destination, parcels: Sequence[Parcel]) -> Sequence[Sent]:
        at = self._clock.now()
        path = log_path(self._data_dir, destination)
        errors = await self._in_turn(path, lambda: self._outcomes(path, parcels))
        duration_ms = max(self._clock.now() - at, 0)
        return [
            Sent(attempt=Attempt(number=parcel.delivery.attempts, at=at, duration_ms=duration_ms, error=error))
            for parcel, error in zip(parcels, errors, strict=True)
        ]

    async def prune(self, destination: Destination, *, before: Ms, limit: int) -> int:
        """Delete up to `limit` of a log's oldest rows, as far as they are of before this time; how many those were.

        Where the file cannot be written now, none: they are deleted another time.
        """
        path = log_path(self._data_dir, destination)

        def pruned() -> int:
            self._let_go(path)
            return log_file.prune(path, before, limit=limit, lock_wait_s=self._lock_wait_s)

        try:
            return await self._in_turn(path, pruned)
        except (OSError, sqlite3.Error) as error:
            log.error("log.kept", destination_id=destination.id, error=str(error))
            return 0

    async def close(self) -> None:
        """Close every log that is open, or is being written to; it is opened again when there is more for it."""
        in_use = [path for path, turn in self._turns.items() if path in self._open or turn.locked()]
        if in_use:
            await asyncio.wait([self._close_soon(path) for path in in_use], timeout=CLOSED_WITHIN_S)

    async def _close(self, path: Path) -> None:
        await self._in_turn(path, lambda: self._let_go(path))

    def _let_go(self, path: Path) -> None:
        opened = self._open.pop(path, None)
        if opened is not None:
            opened.close()

    async def _in_turn(self, path: Path, do: Callable[[], Result]) -> Result:
        """Whoever no longer waits ends nothing: the file is ours until the thread is done with it."""
        return await asyncio.shield(asyncio.ensure_future(self._alone(path, do)))

    async def _alone(self, path: Path, do: Callable[[], Result]) -> Result:
        loop = asyncio.get_running_loop()
        async with self._turns[path]:
            if (closing := self._closing.pop(path, None)) is not None:
                closing.cancel()
            try:
                return await loop.run_in_executor(self._threads, do)
            finally:
                if path in self._open:
                    self._closing[path] = loop.call_later(KEPT_OPEN_S, self._close_soon, path)

    def _close_soon(self, path: Path) -> asyncio.Task[None]:
        self._ending.add(task := asyncio.ensure_future(self._close(path)))
        task.add_done_callback(self._ending.discard)
        return task

    def _outcomes(self, path: Path, parcels: Sequence[Parcel]) -> list[str | None]:
        """For each parcel what went wrong, or None."""
        errors = self._errors(path, parcels)
        return [None if error is None else f"the log cannot be written: {error}" for error in errors]

    def _errors(self, path: Path, parcels: Sequence[Parcel]) -> list[Exception | None]:
        """All in one transaction; where a row is bad, which must not keep the others out, each half in its own."""
        refused = self._refusal(path, parcels)
        if len(parcels) == 1 or not isinstance(refused, _OF_A_ROW):
            return [refused] * len(parcels)
        half = len(parcels) // 2
        errors = self._errors(path, parcels[:half])
        of_the_file = next((each for each in errors if each and not isinstance(each, _OF_A_ROW)), None)
        if of_the_file is not None:
            return [*errors, *[of_the_file] * (len(parcels) - half)]
        return errors + self._errors(path, parcels[half:])

    def _refusal(self, path: Path, parcels: Sequence[Parcel]) -> Exception | None:
        """What kept these out of the log, all of them; None where they are in it."""
        try:
            self._append(path, parcels)
        except log_file.refusals() as error:
            return error
        return None

    def _append(self, path: Path, parcels: Sequence[Parcel]) -> None:
        rows = [
            formats.log_row(parcel.seq, json_text.read_own(parcel.body), formats.prompt_of(parcel.input))
            for parcel in parcels
            if parcel.seq != PING_SEQ
        ]
        opened = self._open.pop(path, None)
        if opened is not None and not opened.current:
            opened.close()
            opened = None
        opened = opened or LogFile(path, lock_wait_s=self._lock_wait_s)
        try:
            opened.append(rows)
        except BaseException:
            opened.close()
            raise
        if len(parcels) == self.batch:
            self._open[path] = opened
        else:
            opened.close()


def log_path(data_dir: Path, destination: Destination) -> Path:
    """Where a SQLite destination's file is."""
    return data_dir / "logs" / destination.tenant / f"{destination.target}.db"
