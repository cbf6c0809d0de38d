"""One connection to PostgreSQL that outlives its server's restarts: dialled again, with back-off, where it broke.

Nothing is kept in the session, so that a pooler may give each transaction another one: limits are set for the
transaction alone, statements are prepared only where the connection proves to be to the server itself.
"""

import random
import time
from collections.abc import Callable
from typing import Any, LiteralString

import psycopg
from psycopg import errors, sql
from psycopg.pq import TransactionStatus
from psycopg.rows import dict_row
from psycopg.types.string import StrBinaryDumper, StrDumperUnknown

from receiver.errors import Unavailable
from receiver.store.statements import Row

# What a user's own URL may say otherwise. A dead peer is noticed within half a minute, in the middle of an answer too.
_DEFAULTS: dict[str, Any] = {
    "connect_timeout": "5",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "20000",
    "application_name": "taskweir",
}
_BEGIN_WRITING: LiteralString = """BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;
SET LOCAL lock_timeout = '10s'; SET LOCAL statement_timeout = '60s';
SET LOCAL idle_in_transaction_session_timeout = '5s';
SELECT pg_current_xact_id()::text AS transaction, set_config('synchronous_commit',
  CASE current_setting('synchronous_commit') WHEN 'off' THEN 'on' WHEN 'local' THEN 'on'
  ELSE current_setting('synchronous_commit') END, true) AS durable,
  CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT) AS now"""
_COMMIT = sql.SQL("""INSERT INTO commits VALUES
  ({process}, pg_current_xact_id()::text, CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT))
  ON CONFLICT (process) DO UPDATE SET transaction = excluded.transaction, at = excluded.at; COMMIT""")
_BEGIN_READING: LiteralString = """BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
SET LOCAL statement_timeout = '60s'; SET LOCAL idle_in_transaction_session_timeout = '60s'"""
_PAUSES_S = (0.05, 0.1, 0.2, 0.4, 0.8)


class _NoNul(StrDumperUnknown):
    """PostgreSQL keeps no NUL in a text; what others send us may hold one."""

    def dump(self, obj: str) -> Any:
        return super().dump(obj.replace("\0", "\ufffd") if "\0" in obj else obj)


class _NoNulBinary(StrBinaryDumper):
    """The same of what goes in as an array."""

    def dump(self, obj: str) -> Any:
        return super().dump(obj.replace("\0", "\ufffd") if "\0" in obj else obj)


class Broken(Exception):
    """The connection is gone, and with it whatever was under way; a transaction that was not committed is undone."""


class Link:
    """A connection, made when it is needed. `patience_s` is how long one that cannot be had is tried for."""

    def __init__(self, url: str, *, patience_s: float = 5.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._url = url
        self._patience_s = patience_s
        self._clock = clock
        self._connection: psycopg.Connection[Row] | None = None
        self._refused_at: float | None = None
        self._pooled = False

    @property
    def connection(self) -> "psycopg.Connection[Row]":
        """The connection, dialled for as long as there is patience; raises `Unavailable`.

        Once that is used up everybody who comes within a second is told so at once: a queue of writes that each wait
        for a dead server would not come to an end.
        """
        if self._connection is not None and not self._connection.closed:
            return self._connection
        if self._refused_at is not None and self._clock() - self._refused_at < 1.0:
            raise Unavailable("the database cannot be reached")
        until = self._clock() + (self._patience_s if self._refused_at is None else 0.0)
        tries = 0
        while True:
            try:
                self._connection = self._dialled()
            except psycopg.OperationalError as error:
                pause_s = _PAUSES_S[min(tries, len(_PAUSES_S) - 1)] * random.uniform(0.5, 1.5)  # noqa: S311 - jitter
                if self._clock() + pause_s > until:
                    self._refused_at = self._clock()
                    raise Unavailable(f"the database cannot be reached: {_words(error)}") from error
                time.sleep(pause_s)
                tries += 1
            else:
                self._refused_at = None
                return self._connection

    def _dialled(self) -> "psycopg.Connection[Row]":
        """Whoever stands between us and the server gives its own number for the process there, or none."""
        connection = dial(self._url)
        row = connection.execute("SELECT pg_backend_pid() AS pid").fetchone()
        if not self._pooled and row is not None and row["pid"] == connection.info.backend_pid:
            connection.prepare_threshold = _PREPARED_AFTER
        return connection

    def begin(self, *, write: bool) -> Row | None:
        """Begin a transaction; of one that writes its id and the database's time, `{transaction, now}`."""
        connection = self.connection
        if connection.info.transaction_status is not TransactionStatus.IDLE:
            self.drop()
            connection = self.connection
        try:
            cursor = connection.execute(_BEGIN_WRITING if write else _BEGIN_READING)
            while cursor.nextset():
                pass
            return cursor.fetchone() if write else None
        except psycopg.Error as error:
            raise self.judged(error) from error

    def commit(self, process: str) -> None:
        """Commit, and with it that this process did; raises `Broken` where nobody knows whether it was committed."""
        assert self._connection is not None  # noqa: S101 - `begin` came before
        try:
            cursor = self._connection.execute(_COMMIT.format(process=process))
            while cursor.nextset():
                pass
        except psycopg.Error as error:
            raise self.judged(error) from error
        if cursor.statusmessage != "COMMIT":
            raise errors.InFailedSqlTransaction("a statement had failed, and the transaction was undone")

    def committed(self, process: str, transaction: str) -> bool | None:
        """Whether this transaction of a process was committed, its last one; None where that cannot be told yet.

        By what it wrote itself: a server that ended may have given its id to another one since. Asked in a transaction
        that could write, for a standby may not have heard of it yet; raises what such a one raises.
        """
        self.begin(write=True)
        try:
            asked = self.connection.execute("SELECT pg_xact_status(CAST(%s AS xid8)) AS status", (transaction,))
            status = (asked.fetchone() or {})["status"]
            if status != "committed":
                return False if status == "aborted" else None
            # Asked for after that, for it may have been committed meanwhile.
            asked = self.connection.execute("SELECT transaction FROM commits WHERE process = %s", (process,))
            last = asked.fetchone()
            return None if last is None else bool(last["transaction"] == transaction)
        except errors.InvalidParameterValue:  # an id of the future: nothing of it was ever on disk
            return False
        finally:
            self.rollback()

    def rollback(self) -> None:
        """Undo what is open; a connection that cannot is dropped, which undoes it as well."""
        if self._connection is None or self._connection.closed:
            return
        if self._connection.info.transaction_status is TransactionStatus.IDLE:
            return
        try:
            self._connection.execute("ROLLBACK")
        except psycopg.Error:
            self.drop()

    def judged(self, error: psycopg.Error) -> Exception:
        """What an error of the engine's is to us: the connection's end, out of service, or a mistake of our own.

        Its first line alone is told: the others may hold the row that was refused, with whatever is secret in it.
        """
        error.args = (_words(error),)
        closed = self._connection is None or self._connection.closed
        if isinstance(error, _PREPARED_ELSEWHERE):
            self._pooled = True
        if closed or isinstance(error, (*_ENDS, *_PREPARED_ELSEWHERE)):
            self.drop()
            return Broken(_words(error))
        if isinstance(error, _RUN_AGAIN):
            return error
        if isinstance(error, _OUT_OF_SERVICE):
            return Unavailable(f"the database cannot be used now: {_words(error)}")
        return error

    def drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None


# A server that stops, or became a replica of another one: the next connection finds who serves now.
_ENDS = (
    errors.AdminShutdown,
    errors.CrashShutdown,
    errors.CannotConnectNow,
    errors.DatabaseDropped,
    errors.IdleInTransactionSessionTimeout,
    errors.ReadOnlySqlTransaction,
    errors.FeatureNotSupported,  # to write, on a standby; or what was prepared, since a newer program changed its table
    errors.ConnectionException,
    errors.ProtocolViolation,
)
_PREPARED_ELSEWHERE = (errors.InvalidSqlStatementName, errors.DuplicatePreparedStatement)
_PREPARED_AFTER = 3
_RUN_AGAIN = (errors.DeadlockDetected, errors.SerializationFailure)
_OUT_OF_SERVICE = (psycopg.OperationalError, errors.InsufficientResources)


def dial(url: str) -> "psycopg.Connection[Row]":
    """A connection that works through a pooler in transaction mode; raises `psycopg.OperationalError`."""
    given = psycopg.conninfo.conninfo_to_dict(url)
    settings = {name: value for name, value in _DEFAULTS.items() if name not in given}
    connection = psycopg.Connection[Row].connect(
        url, autocommit=True, prepare_threshold=None, row_factory=dict_row, **settings
    )
    connection.adapters.register_dumper(str, _NoNulBinary)
    connection.adapters.register_dumper(str, _NoNul)
    return connection


def _words(error: BaseException) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
