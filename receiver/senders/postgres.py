"""Keeps events as rows of a PostgreSQL of the user's own: the columns of the SQLite log, one row per event."""

import logging
import re
from collections.abc import Sequence
from typing import Any, LiteralString

import psycopg
from psycopg import AsyncConnection, errors
from psycopg.sql import SQL, Composed, Identifier, Literal

from receiver import formats, json_text
from receiver.domain import Destination
from receiver.senders.base import PING_SEQ
from receiver.senders.remote import ODD_ANSWERS, Client, Kind, Lost, Outcome, Refused
from receiver.store.records import Parcel
from receiver.streams import Streams
from receiver.targets import Rule, Shape, Target

_MODES = ("disable", "prefer", "require", "verify-full")
_SHAPE = Shape(
    schemes={"postgresql": False, "postgres": False},
    port=5432,
    path=Rule(pattern=r"[^/]{1,63}", told="a database's name, as in postgresql://user:password@host:5432/database"),
    options={
        "schema": Rule(
            pattern=r"(?!pg_)[a-z_][a-z0-9_]{0,62}", told="a name of small letters, digits and _", default="taskweir"
        ),
        "sslmode": Rule(pattern="|".join(_MODES), told=f"one of {', '.join(_MODES)}", default="prefer"),
        "channel_binding": Rule(pattern="disable|prefer|require", told="disable, prefer or require", default="prefer"),
    },
    user="postgresql://user:password@host:5432/database",
)
_MOST_DIALLED, _DIALLED_FOR_S = 3, 4

_TYPES: dict[str, LiteralString] = {
    "seq": "bigint",
    "timestamp": "timestamptz",
    "outputs": "jsonb",
    "credits": "double precision",
    "late": "boolean",
    "expires_at": "timestamptz",
    "metadata": "jsonb",
    "data": "jsonb",
}  # all other columns are text
_KNOWN: LiteralString = "SELECT to_regnamespace({name}), to_regclass({name} || '.events')"
_MADE: LiteralString = """CREATE TABLE IF NOT EXISTS {schema}.events ({columns}, PRIMARY KEY (id));
CREATE INDEX IF NOT EXISTS events_task_id_seq ON {schema}.events (task_id, seq);
CREATE INDEX IF NOT EXISTS events_seq ON {schema}.events (seq);
CREATE OR REPLACE VIEW {schema}.tasks AS SELECT DISTINCT ON (task_id)
  task_id, provider, provider_task_id, model, status, prompt, output_url, outputs, error_kind, error_message, credits,
  late, expires_at, metadata, (data->'task'->>'created_at')::timestamptz AS created_at, timestamp AS updated_at, seq
FROM {schema}.events WHERE task_id IS NOT NULL ORDER BY task_id, seq DESC"""
# What we were told is there must be there after a crash: a server that commits in its memory shall not do so with ours.
_INSERT: LiteralString = """INSERT INTO {schema}.events ({names})
SELECT {names} FROM jsonb_to_recordset(%s::jsonb) AS given ({columns}),
  (SELECT set_config('synchronous_commit', CASE current_setting('synchronous_commit') WHEN 'off' THEN 'on'
    ELSE current_setting('synchronous_commit') END, true)) AS durable
ON CONFLICT (id) DO NOTHING"""
_FAULTS = (psycopg.Error, OSError, *ODD_ANSWERS)
# The library warns of what it could not undo or cancel; here that is told as the attempt's error.
logging.getLogger("psycopg").setLevel(logging.ERROR)
# What one row may do; whatever else goes wrong goes wrong for every row.
_OF_A_ROW = (psycopg.DataError, psycopg.IntegrityError)
# Nothing of the operator's own goes along to a user's server: neither a password file, nor a certificate, nor a ticket.
_NOTHING_OF_OURS = {"passfile": "/dev/null/none", "sslcertmode": "disable", "gssencmode": "disable"}
_NUL = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")


class _Log:
    """One connection; a batch is one statement, and so one transaction."""

    def __init__(self, connection: AsyncConnection[tuple[Any, ...]], schema: str) -> None:
        self._connection = connection
        self._schema = schema
        self._under_way = 0
        self._over = False
        self._insert = self._composed(_INSERT)

    @property
    def usable(self) -> bool:
        return not self._connection.closed

    async def make(self) -> None:
        """The table and its view, where there is no table: what a user drops beside it stays dropped."""
        async with self._connection.transaction():
            # Two that both find nothing would both make it, and one of them fail.
            await self._connection.execute("SELECT pg_advisory_xact_lock(hashtext('taskweir log'))")
            cursor = await self._connection.execute(SQL(_KNOWN).format(name=Literal(self._schema)))
            schema, table = await cursor.fetchone() or (None, None)
            if schema is None:
                await self._connection.execute(SQL("CREATE SCHEMA {}").format(Identifier(self._schema)))
            if table is None:
                await self._connection.execute(self._composed(_MADE))

    async def send(self, destination: Destination, parcels: Sequence[Parcel]) -> Sequence[Outcome]:
        self._under_way += 1
        try:
            return await self._written(parcels)
        except _FAULTS as error:
            if self._connection.closed:
                raise Lost(_words(error)) from None
            raise Refused(_words(error)) from None
        finally:
            self._under_way -= 1
            if self._over:
                await self.close()

    async def close(self) -> None:
        """Now, or once nothing is under way any more: the library waits for its answers and for their end.

        To close the socket that a loop waits on ends a process that runs on uvloop.
        """
        self._over = True
        if not self._under_way:
            await self._connection.close()

    async def _written(self, parcels: Sequence[Parcel]) -> Sequence[Outcome]:
        try:
            await self._append(parcels)
        except _OF_A_ROW:  # one bad row must not keep the others out
            return [await self._alone(parcel) for parcel in parcels]
        return [Outcome()] * len(parcels)

    async def _alone(self, parcel: Parcel) -> Outcome:
        try:
            await self._append([parcel])
        except _OF_A_ROW as error:
            return Outcome(error=f"the row cannot be written: {_words(error)}")
        return Outcome()

    async def _append(self, parcels: Sequence[Parcel]) -> None:
        """A ping is no row, and shows all the same whether one could be written."""
        rows = [_row(parcel) for parcel in parcels if parcel.seq != PING_SEQ]
        # PostgreSQL keeps no NUL in a text; what others send us may hold one.
        text = _NUL.sub(r"\1\\ufffd", json_text.write(rows))
        await self._connection.execute(self._insert, [text])

    def _composed(self, statement: LiteralString) -> Composed:
        columns = [SQL("{} {}").format(Identifier(name), SQL(_TYPES.get(name, "text"))) for name in formats.LOG_COLUMNS]
        return SQL(statement).format(
            schema=Identifier(self._schema),
            names=SQL(", ").join(map(Identifier, formats.LOG_COLUMNS)),
            columns=SQL(", ").join(columns),
        )


def _row(parcel: Parcel) -> dict[str, Any]:
    row = formats.log_row(parcel.seq, json_text.read_own(parcel.body), formats.prompt_of(parcel.input))
    parsed = {name: json_text.read_own(row[name]) for name in ("outputs", "metadata", "data")}
    return row | parsed | {"late": bool(row["late"])}


async def _connect(target: Target, streams: Streams) -> Client:
    """The library dials by itself, and nowhere but where it is told to: the name is there for TLS alone."""
    addresses = (await streams.addresses(target.origin))[:_MOST_DIALLED]
    settings = _settings(target, addresses)
    if target.options["sslmode"] == "verify-full":
        settings["sslrootcert"] = streams.authorities() or "system"
    try:
        # There may be a pooler in between, which knows nothing of prepared statements.
        connection = await AsyncConnection.connect(autocommit=True, prepare_threshold=None, **settings)
    except _FAULTS as error:
        raise Refused(_words(error)) from None
    kept = _Log(connection, target.options["schema"])
    try:
        await kept.make()
    except errors.InsufficientPrivilege as error:
        await connection.close()
        remedy = f"let its owner run CREATE SCHEMA {target.options['schema']} AUTHORIZATION …, with the URL's user"
        raise Refused(f"{_words(error)}: {remedy}") from None
    except _FAULTS as error:
        await connection.close()
        raise Refused(_words(error)) from None
    except BaseException:
        await connection.close()
        raise
    return kept


def _settings(target: Target, addresses: Sequence[str]) -> dict[str, Any]:
    return {
        "host": ",".join([target.host] * len(addresses)),
        "hostaddr": ",".join(addresses),
        "port": target.port,
        "dbname": target.path,
        "user": target.user,
        "password": target.password or "",  # else the environment's would go along
        "sslmode": target.options["sslmode"],
        "channel_binding": target.options["channel_binding"],
        "application_name": "taskweir",
        "connect_timeout": _DIALLED_FOR_S,
        **_NOTHING_OF_OURS,
    }


def _words(error: BaseException) -> str:
    """Its first line alone: the others may hold the row that was refused."""
    return str(error).strip().partition("\n")[0] or type(error).__name__


KIND = Kind(shape=_SHAPE, connect=_connect)
