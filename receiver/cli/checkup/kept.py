"""The store: whether it can be reached, has our schema, and was sealed with a key that we hold."""

import json
import sqlite3
import time
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

from receiver.cli.checkup.findings import Finding, ok, skipped, wrong
from receiver.cli.checkup.given import Given
from receiver.errors import ConfigurationError, NotVerified
from receiver.sealing import Seal
from receiver.settings import Settings
from receiver.store import sqlite
from receiver.store.statements import QUERIES

_VERSION = QUERIES["select_schema_version"]
_SEALED = QUERIES["select_sealed_secrets"]
_PATIENCE_S = 2.0
_ANOTHER = "Point TASKWEIR_DATABASE_URL at a database of ours, or at a new file."


def look(given: Given) -> tuple[list[Finding], float | None]:
    """What was found, and how many seconds our clock is ahead of the database's, where it has one."""
    if not given.database_known:
        return [skipped("store", "not looked at: TASKWEIR_DATABASE_URL is wrong")], None
    path = given.settings.sqlite_path
    return (_in_file(path, given), None) if path is not None else _in_postgres(given)


def _in_file(path: Path, given: Given) -> list[Finding]:
    if not path.exists():
        return [ok("store", f"{path} is not there yet: the first start makes it")]
    try:
        with closing(
            sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=ro", uri=True, timeout=_PATIENCE_S)
        ) as db:
            db.row_factory = sqlite3.Row
            tables = {row["name"] for row in db.execute("SELECT name FROM sqlite_master")}
            if tables and "schema_migrations" not in tables:
                return [wrong("store", f"{path} is somebody else's database", _ANOTHER)]
            have = (db.execute(_VERSION).fetchone()["version"] or 0) if tables else 0
            found = _schema(str(path), have, sqlite.newest_version(), given.settings)
            sealed = [dict(row) for row in db.execute(_SEALED)] if have == sqlite.newest_version() else []
    except sqlite3.DatabaseError as error:
        return [wrong("store", f"{path} cannot be read: {error}", _ANOTHER)]
    return [found, *_seals(sealed, given)]


def _in_postgres(given: Given) -> tuple[list[Finding], float | None]:
    import psycopg  # that it is installed was found with the settings

    from receiver.store.postgres_connection import dial
    from receiver.store.postgres_schema import schema_version
    from receiver.store.postgres_sql import newest_version

    try:
        with closing(dial(given.settings.database_url)) as db:
            have, newest = schema_version(db), newest_version()
            now = db.execute("SELECT extract(epoch FROM clock_timestamp())::float8 AS now").fetchone()
            ahead = None if now is None else time.time() - float(now["now"])
            found = _schema("PostgreSQL", have, newest, given.settings)
            sealed = db.execute(_SEALED.encode()).fetchall() if have == newest else []
    except (psycopg.Error, ConfigurationError) as error:
        words = str(error).strip().splitlines()
        remedy = "Start it, or set TASKWEIR_DATABASE_URL=postgresql://user:password@host:5432/database as it is now."
        return [
            wrong("store", f"PostgreSQL cannot be reached: {words[0] if words else type(error).__name__}", remedy)
        ], None
    return [found, *_seals(sealed, given)], ahead


def _schema(name: str, have: int, newest: int, settings: Settings) -> Finding:
    """What to say of a database whose schema is `have`, to a program that knows up to `newest`."""
    if have > newest:
        remedy = "It was written by a newer taskweir: upgrade, or use another database."
        return wrong("store", f"{name} has schema {have}, this program knows {newest}", remedy)
    if have == newest:
        return ok("store", f"{name} can be read, schema {have}")
    if settings.migrate:
        return ok("store", f"{name} has schema {have}; the next start brings it to {newest}")
    remedy = "Run `taskweir migrate`: TASKWEIR_MIGRATE=0 leaves that to you."
    return wrong("store", f"{name} has schema {have}, a start needs {newest}", remedy)


def _seals(sealed: Iterable[Mapping[str, Any]], given: Given) -> list[Finding]:
    """Whether the key we have opens what is sealed."""
    texts = [(text, row["row"]) for row in sealed for text in _texts(row)]
    if not texts:
        return []
    remedy = (
        "Put the key that sealed them back into TASKWEIR_SECRET_KEY, behind the new one; "
        "where it is lost, rotate those secrets."
    )
    if not given.secret_key_known:
        told = f"{len(texts)} secrets are sealed, and the key that sealed them is not here"
        return [wrong("secrets", told, remedy)]
    seal = Seal(given.settings.secret_keys)
    closed = sum(1 for text, row in texts if not _opens(seal, text, row))
    if closed:
        told = f"{closed} of {len(texts)} secrets were sealed with another key: what they sign for is not delivered"
        return [wrong("secrets", told, remedy)]
    return [ok("secrets", f"TASKWEIR_SECRET_KEY opens all {len(texts)}")]


def _texts(row: Mapping[str, Any]) -> list[str]:
    return list(json.loads(row["text"]).values()) if row["place"] == "headers" else [row["text"]]


def _opens(seal: Seal, text: str, row: str) -> bool:
    try:
        seal.open(text, row=row)
    except NotVerified:
        return False
    return True
