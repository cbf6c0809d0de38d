"""A real PgBouncer in transaction mode before a PostgreSQL, as poolers of hosted databases are."""

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from tests.postgres_server import SUPERUSER, PostgresServer

UNPACKED = Path(sys.prefix) / "servers" / "usr"
SERVER_CONNECTIONS = 4


def _program() -> str:
    unpacked = UNPACKED / "sbin" / "pgbouncer"
    found = str(unpacked) if unpacked.exists() else shutil.which("pgbouncer")
    assert found is not None, "pgbouncer is not there: run `make setup` on a Debian, or put it on PATH"
    return found


@contextmanager
def a_pooler(server: PostgresServer) -> Iterator[str]:
    """The directory of its socket, on port 6432. It refuses to be root, as PostgreSQL does."""
    home = Path(tempfile.mkdtemp(prefix="taskweir-pool-"))
    settings = home / "pgbouncer.ini"
    settings.write_text(
        f"[databases]\n* = host={server.home / 'data'} user={SUPERUSER}\n"
        f"[pgbouncer]\nlisten_addr =\nunix_socket_dir = {home}\nauth_type = any\npool_mode = transaction\n"
        f"default_pool_size = {SERVER_CONNECTIONS}\nmax_client_conn = 100\nserver_lifetime = 5\n"
    )
    user: dict[str, object] = {}
    program = _program()
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        os.chown(home, nobody.pw_uid, nobody.pw_gid)
        user = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        copied = home / "pgbouncer"  # nobody may not be let into where we are
        shutil.copy(program, copied)
        program = str(copied)
    libraries = home / "lib"
    libraries.mkdir(mode=0o755)
    for library in UNPACKED.glob("lib/*/lib*.so*"):
        shutil.copy(library, libraries)
    env = {"LD_LIBRARY_PATH": str(libraries), "PATH": os.environ["PATH"]}
    with (home / "log").open("ab") as log:
        process = subprocess.Popen([program, str(settings)], stdout=log, stderr=log, env=env, **user)  # type: ignore[call-overload]
    try:
        ends_at = time.monotonic() + 10
        while True:
            assert process.poll() is None, (home / "log").read_text()
            try:
                psycopg.connect(f"host={home} port=6432 user={SUPERUSER} dbname=postgres").close()
            except psycopg.OperationalError:
                assert time.monotonic() < ends_at, (home / "log").read_text()
                continue
            break
        yield str(home)
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(home)
