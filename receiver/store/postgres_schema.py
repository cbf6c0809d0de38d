"""Brings a PostgreSQL database's schema up to date: one process at a time, however many begin at once."""

import psycopg

from receiver.domain import Ms
from receiver.errors import ConfigurationError
from receiver.store.postgres_connection import dial
from receiver.store.postgres_sql import migrations, newest_version
from receiver.store.statements import Row

_HINT = "Point TASKWEIR_DATABASE_URL at a PostgreSQL 14 or newer: postgresql://user:password@host:5432/database."
_OLDEST = 140000


def bring_up_to_date(url: str, *, now: Ms, migrate: bool = True) -> list[int]:
    """Run the migrations that the database lacks, or only look where `migrate` is false; their numbers.

    Raises `ConfigurationError` where it cannot be reached, is too old, or has another schema than this program's.
    """
    try:
        with dial(url) as connection:
            if connection.info.server_version < _OLDEST:
                raise ConfigurationError(f"the database is PostgreSQL {connection.info.server_version}", hint=_HINT)
            if migrate:
                return _migrate(connection, now)
            _require(schema_version(connection))
            return []
    except psycopg.Error as error:
        raise ConfigurationError(f"the database cannot be used: {_words(error)}", hint=_HINT) from None


def schema_version(connection: "psycopg.Connection[Row]") -> int:
    """The schema that a database has; 0 where it has none yet."""
    there = connection.execute("SELECT to_regclass('schema_migrations') IS NOT NULL AS there").fetchone()
    if there is None or not there["there"]:
        return 0
    row = connection.execute("SELECT max(version) AS version FROM schema_migrations").fetchone()
    return int(row["version"] or 0) if row else 0


def _migrate(connection: "psycopg.Connection[Row]", now: Ms) -> list[int]:
    """All in one transaction, under a lock of that transaction: whoever comes second finds it done."""
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('taskweir migrations', 0))")
        connection.execute(
            "CREATE TABLE IF NOT EXISTS schema_migrations (version INTEGER PRIMARY KEY, at BIGINT NOT NULL)"
        )
        have = schema_version(connection)
        if have > newest_version():
            _require(have)
        lacking = [(version, sql) for version, sql in migrations() if version > have]
        for version, sql in lacking:
            connection.execute(sql.encode())
            connection.execute("INSERT INTO schema_migrations (version, at) VALUES (%s, %s)", (version, now))
    return [version for version, _ in lacking]


def _require(have: int) -> None:
    if have > newest_version():
        raise ConfigurationError(
            f"the database has schema {have}, this program knows {newest_version()}",
            hint="It was written by a newer taskweir: upgrade, or use another database.",
        )
    if have != newest_version():
        raise ConfigurationError(
            f"the database has schema {have}, this program needs {newest_version()}", hint="Run `taskweir migrate`."
        )


def _words(error: psycopg.Error) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
