"""SQLite: connections, durability, migrations, one process at a time."""

import asyncio
import fcntl
import sqlite3
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from pathlib import Path
from typing import IO, TypeVar

from receiver.domain import Ms
from receiver.errors import ConfigurationError, Unavailable
from receiver.hand_off import HandOff
from receiver.store.protocol import Store
from receiver.store.sqlite_store import STATEMENTS, SqliteStore, tell
from receiver.store.sqlite_writing import WritingStore
from receiver.store.writer import Writer

Result = TypeVar("Result")
_READERS = 3
_PATIENCE_MS = 5000
_CACHED_KIB = 8192  # of the pages that are written: with SQLite's 2 MB each write reads four of them back first
_CHECKPOINT_AFTER = 1000  # pages written, as far as rows tell
_CHECKPOINT_AT_LAST = 16_000  # pages written: then it is part of a commit
_LEAST_CHANGES, _MOST_CHANGES = 50, 5_000  # rows between two checkpoints
_ALL_CHANGES = 2**32  # SQLite counts no further
_PRAGMAS = ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON", "mmap_size = 0", "temp_store = MEMORY")


class _Connection:
    """The one connection that writes, and the only one that checkpoints.

    SQLite 3.7.0 to 3.51.2 can corrupt a WAL that two connections reset at the same moment, so readers never do.
    """

    def __init__(self, path: Path, handing: HandOff) -> None:
        self._connection = _connect(path)
        self._connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_AT_LAST}")
        self._connection.execute(f"PRAGMA cache_size = -{_CACHED_KIB}")
        self._patient = True
        self._checkpointed_at = self._connection.total_changes
        self._changes_until = _CHECKPOINT_AFTER
        self._store = WritingStore(self._connection, handing)
        self.store: Store = self._store

    def begin(self, *, patient: bool) -> None:
        if patient is not self._patient:
            _run(self._connection, f"PRAGMA busy_timeout = {_PATIENCE_MS if patient else 0}")
            self._patient = patient
        # A plain BEGIN that reads before it writes fails at once with "database is locked", whatever the timeout.
        _run(self._connection, "BEGIN IMMEDIATE")

    def prepare(self) -> None:
        self._store.before_commit()

    def commit(self) -> None:
        _run(self._connection, "COMMIT")

    def rollback(self) -> None:
        self._store.forget()
        if self._connection.in_transaction:
            _run(self._connection, "ROLLBACK")

    def checkpoint_due(self) -> bool:
        return self._changes() >= self._changes_until

    def checkpoint(self) -> None:
        """How many pages that wrote tells how many rows are as many as should be, until the next one."""
        changes, self._checkpointed_at = self._changes(), self._connection.total_changes
        [[_, pages, _]] = self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
        until = _CHECKPOINT_AFTER * changes // max(pages, 1)
        self._changes_until = min(max(until, _LEAST_CHANGES), _MOST_CHANGES)

    def _changes(self) -> int:
        """Rows changed since the last checkpoint."""
        return (self._connection.total_changes - self._checkpointed_at) % _ALL_CHANGES

    def again(self, error: BaseException, tries: int) -> bool:
        return False  # nobody else writes: it would fail as it did

    def close(self) -> None:
        self._connection.close()


def _run(connection: sqlite3.Connection, sql: str) -> None:
    try:
        connection.execute(sql)
    except sqlite3.DatabaseError as error:
        tell(error)


class SqliteStorage:
    """A database file: one writer with group commit, readers beside it, and a lock against a second process."""

    def __init__(self, path: Path, handing: HandOff | None = None) -> None:
        self._path = path
        handing = handing or HandOff(lease=0, now=0)
        self._writer = Writer(lambda: _Connection(path, handing))
        self.commits = self._writer.counts
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="taskweir-reader")
        self._of_thread = threading.local()
        self._opened: list[sqlite3.Connection] = []
        self._lock: IO[str] | None = None
        self._closed = False

    async def open(self, *, now: Ms, migrate: bool = True) -> None:
        """Take the lock, bring the schema up to date, start the writer; raises `ConfigurationError`."""
        self._lock = take_lock(self._path)
        try:
            self._bring_up_to_date(now, migrate=migrate)
            await self._writer.open()
        except BaseException:
            self._lock.close()
            raise
        await self.write(lambda store: store.lapse_leases(now))

    def _bring_up_to_date(self, now: Ms, *, migrate: bool) -> None:
        if migrate:
            migrate_file(self._path, now=now)
        elif (have := schema_version(self._path)) != newest_version():
            raise ConfigurationError(
                f"{self._path} has schema {have}, this program needs {newest_version()}", hint="Run `taskweir migrate`."
            )

    async def write(
        self, do: Callable[[Store], Result], *, brief: bool = False, ends: bool = False, can_wait: bool = False
    ) -> Result:
        return await self._writer.write(do, brief=brief, ends=ends, can_wait=can_wait)

    async def read(self, do: Callable[[Store], Result], *, brief: bool = False) -> Result:
        if self._closed:
            raise Unavailable("the store is closed")
        if brief:  # a thread, and the way there and back, costs more than a few rows
            return self._read(do)
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._read, do)

    def _read(self, do: Callable[[Store], Result]) -> Result:
        connection = getattr(self._of_thread, "connection", None)
        if connection is None:
            try:
                connection = _dial(self._path, *_PRAGMAS, "wal_autocheckpoint = 0", "query_only = 1")
            except sqlite3.DatabaseError as error:  # the file was good when we began: this is no setting's fault
                tell(error)
            self._of_thread.connection = connection
            self._opened.append(connection)
        _run(connection, "BEGIN")
        try:
            return do(SqliteStore(connection))
        finally:
            if connection.in_transaction:
                _run(connection, "ROLLBACK")

    async def close(self) -> None:
        """Commit what waits and let go of the file."""
        self._closed = True
        await self._writer.close()
        self._readers.shutdown()
        while self._opened:
            self._opened.pop().close()
        if self._lock is not None:
            self._lock.close()


def take_lock(path: Path) -> IO[str]:
    """The lock that one process at a time holds on a database; closing the file, or dying, lets go of it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)  # prompts and sealed secrets: readable by their owner only, the WAL too
        lock = Path(f"{path}.lock").open("a+", encoding="utf-8")  # noqa: SIM115 - held for the life of the process
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be opened: {error.strerror}", hint="Point TASKWEIR_DATABASE_URL at a writable file."
        ) from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise ConfigurationError(
            f"another process has {path} open",
            hint="One process at a time may serve a SQLite file; stop the other one, or use another file.",
        ) from None
    return lock


def migrations() -> list[tuple[int, str]]:
    """The numbered migrations: (number, SQL), in order."""
    found = [item for item in files("receiver.store.migrations").iterdir() if item.name.endswith(".sql")]
    return sorted((int(item.name.split("_")[0]), item.read_text(encoding="utf-8")) for item in found)


def newest_version() -> int:
    return migrations()[-1][0]


def schema_version(path: Path) -> int:
    """The schema that a database file has; 0 where it has none yet."""
    connection = _connect(path)
    try:
        return SqliteStore(connection).schema_version()
    except sqlite3.OperationalError:
        return 0
    finally:
        connection.close()


def migrate_file(path: Path, *, now: Ms) -> list[int]:
    """Run the migrations that a database file lacks, each in a transaction of its own; their numbers."""
    connection = _connect(path)
    try:
        applied = []
        _in_transaction(
            connection,
            ["CREATE TABLE IF NOT EXISTS schema_migrations (version INTEGER PRIMARY KEY, at BIGINT NOT NULL)"],
        )
        have = SqliteStore(connection).schema_version()
        if have > newest_version():
            raise ConfigurationError(
                f"{path} has schema {have}, this program knows {newest_version()}",
                hint="The file was written by a newer taskweir: upgrade, or use another file.",
            )
        for version, sql in migrations():
            if version > have:
                record = f"INSERT INTO schema_migrations (version, at) VALUES ({version}, {now})"  # noqa: S608 - ints
                _in_transaction(connection, [*_split(sql), record])
                applied.append(version)
        return applied
    finally:
        connection.close()


def _split(sql: str) -> list[str]:
    bare = "\n".join(line for line in sql.splitlines() if not line.startswith("--"))
    return [statement for statement in bare.split(";\n") if statement.strip()]


def _in_transaction(connection: sqlite3.Connection, statements: Sequence[str]) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        for statement in statements:
            connection.execute(statement)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _connect(path: Path) -> sqlite3.Connection:
    if path.is_dir():
        raise ConfigurationError(f"{path} is a directory", hint="Point TASKWEIR_DATABASE_URL at a writable file.")
    try:
        return _dial(path, *_PRAGMAS)
    except sqlite3.DatabaseError as error:
        raise ConfigurationError(
            f"{path} cannot be used: {error}",
            hint="Point TASKWEIR_DATABASE_URL at a writable file of ours, or a new one.",
        ) from None


def _dial(path: Path, *pragmas: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path, isolation_level=None, check_same_thread=False, timeout=_PATIENCE_MS / 1000, cached_statements=STATEMENTS
    )
    try:
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}")
    except sqlite3.DatabaseError:
        connection.close()
        raise
    return connection
