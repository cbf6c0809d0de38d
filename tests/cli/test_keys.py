"""`taskweir keys`."""

import sqlite3
import time
from contextlib import closing
from pathlib import Path

import httpx

from receiver.sealing import Seal
from tests.cli.driving import Cli
from tests.cli.stub import answer, stub
from tests.processes import environment, start, unmeasured, wait_until_up
from tests.service.world import API_KEY, free_port

HOOK = "http://127.0.0.1:9/hook"
OLD, NEW = "old-key-" * 4, "new-key-" * 4
MANY = 3000


def sealed(directory: Path) -> list[str]:
    """The keys that the destinations' secrets are sealed with, by their ids."""
    with closing(sqlite3.connect(directory / "taskweir.db", timeout=30)) as database:
        return [text.split(":")[1] for (text,) in database.execute("SELECT sealed_secret FROM destinations")]


def wait_for_the_middle(directory: Path) -> None:
    """Return once the first is sealed anew and the last is not; without a pause, for all of it takes a moment."""
    ends_at = time.monotonic() + 60
    ends = (f"dst_{0:026d}", f"dst_{MANY - 1:026d}")
    with closing(sqlite3.connect(directory / "taskweir.db", timeout=30)) as database:
        keys: set[str] = set()
        while len(keys) < 2:
            assert time.monotonic() < ends_at
            rows = database.execute("SELECT sealed_secret FROM destinations WHERE id IN (?, ?)", ends)
            keys = {text.split(":")[1] for (text,) in rows}


def fill(directory: Path, secret: str) -> None:
    """Thousands of destinations whose secret is sealed with the old key."""
    seal = Seal([OLD])
    ids = [f"dst_{number:026d}" for number in range(MANY)]
    rows = [(each, seal.seal(secret, row=each)) for each in ids]
    with closing(sqlite3.connect(directory / "taskweir.db", timeout=30)) as database, database:
        database.executemany(
            "INSERT INTO destinations (id, tenant, type, target, created_at, event_types, format, description, "
            "max_in_flight, enabled, hidden, sealed_secret) "
            "VALUES (?, 'default', 'webhook', 'http://127.0.0.1:9/', 0, '[\"task.*\"]', 'standard', '', 1, 1, 0, ?)",
            rows,
        )


def test_secrets_are_resealed_through_kill_and_restart(tmp_path: Path) -> None:
    """Kill -9 in the middle, run again, take the old key away: every secret is what it was, and signs."""
    port, log, secret = free_port(), tmp_path / "server.log", "whsec_" + "c2VjcmV0" * 5
    cli = Cli(settings={"TASKWEIR_URL": f"http://127.0.0.1:{port}", "TASKWEIR_API_KEY": API_KEY})

    def up(keys: str) -> None:
        nonlocal server
        server = start(
            "serve", env=unmeasured(environment(tmp_path, port, HOOK)) | {"TASKWEIR_SECRET_KEY": keys}, log=log
        )
        wait_until_up(f"http://127.0.0.1:{port}/health/ready", server, log)

    server = start("migrate", env=environment(tmp_path, port, HOOK), log=log)
    assert server.wait(30) == 0
    fill(tmp_path, secret)
    [old_id] = set(sealed(tmp_path))
    try:
        up(f"{NEW},{OLD}")
        with cli.process("keys", "rotate-secrets") as running:
            wait_for_the_middle(tmp_path)
            server.kill()
            server.wait()
            out, err = running.communicate(timeout=30)
        assert (running.returncode, out) == (1, "")
        assert "may have been done" in err
        assert old_id in sealed(tmp_path)
        up(f"{NEW},{OLD}")
        again = cli("keys", "rotate-secrets")
        assert (again.code, again.out) == (0, "")
        assert "TASKWEIR_SECRET_KEY" in again.err
        assert cli("keys", "rotate-secrets", "--json").json == {"resealed": 0, "already": MANY, "unreadable": 0}
        server.kill()
        server.wait()
        assert old_id not in sealed(tmp_path)
        up(NEW)
        assert cli("destinations", "secret", f"dst_{MANY // 2:026d}").lines == [secret]
        with stub([answer(200, {})]) as consumer:
            made = f"dst_{1:026d}"
            assert cli("destinations", "update", made, "--url", consumer.url).code == 0
            assert cli("destinations", "test", made).code == 0
        server.kill()
        server.wait()
        up(OLD)
        lost = cli("keys", "rotate-secrets")
        assert lost.code == 1
        assert f"{MANY} need a key that TASKWEIR_SECRET_KEY does not hold" in lost.err
        listed = cli("destinations", "list")
        assert [" blocked " in line for line in listed.lines] == [False] + [True] * MANY
        assert listed.err.startswith(f"{MANY} blocked: nothing can be signed")
        assert listed.err.count("put the key that sealed it back into TASKWEIR_SECRET_KEY") == 1
    finally:
        server.kill()
        server.wait()


def test_it_is_the_operators(cli: Cli, server: dict[str, str]) -> None:
    """Not without the key."""
    assert cli("keys", "rotate-secrets", TASKWEIR_API_KEY="0123456789abcdef").code == 1
    assert httpx.post(f"{server['TASKWEIR_URL']}/internal/rotate-secrets", verify=False).status_code == 401


def test_nothing_to_do_is_no_failure(cli: Cli) -> None:
    """Counted, and status 0."""
    assert cli("keys", "rotate-secrets").code == 0
    found = cli("keys", "rotate-secrets", "--json").json
    assert (found["resealed"], found["unreadable"]) == (0, 0)


def test_a_key_is_made_used_and_revoked(cli: Cli) -> None:
    """It is printed once; what it may do is what it was made for, and nothing after it is revoked."""
    made = cli("keys", "create", "the shop")
    [key] = made.lines
    key_id = made.err.split()[0]
    assert (made.code, key_id.startswith("key_"), "may read, submit" in made.err) == (0, True, True)
    assert cli("tasks", "list", TASKWEIR_API_KEY=key).code == 0
    refused = cli("keys", "create", "more", TASKWEIR_API_KEY=key)
    assert (refused.code, "admin" in refused.err) == (1, True)
    [row] = [line for line in cli("keys").lines if line.startswith(key_id)]
    assert "the shop" in row
    assert key not in cli("keys", "list", "--json").out
    assert cli("keys", "revoke", key_id).err.strip() == f"{key_id} revoked"
    gone = cli("tasks", "list", TASKWEIR_API_KEY=key)
    assert (gone.code, "TASKWEIR_API_KEY" in gone.err) == (1, True)
    assert cli("keys", "revoke", key_id).code == 1


def test_the_root_key_makes_keys_for_others(cli: Cli) -> None:
    """With the scopes that are named; theirs are listed and revoked under their tenant."""
    made = cli("keys", "create", "them", "--scope", "admin", "--scope", "read", "--tenant", "acme", "--json").json
    assert (made["tenant"], sorted(made["scopes"])) == ("acme", ["admin", "read"])
    theirs = cli("keys", "--tenant", "acme", "--json").json
    assert made["id"] in {each["id"] for each in theirs}
    assert made["id"] not in {each["id"] for each in cli("keys", "--json").json}
    assert cli("tasks", "list", "--json", TASKWEIR_API_KEY=made["key"]).json == []
    assert cli("keys", "revoke", made["id"], "--tenant", "acme").code == 0
    assert cli("keys", "create", "them", "--scope", "everything").code == 1


def test_no_keys_are_none_of_one_tenant() -> None:
    """It is said of which, and how to see another's: the root key sees one tenant's at a time."""
    with stub([answer(200, {"items": [], "next_cursor": None})]) as server:
        root = Cli(settings={"TASKWEIR_URL": server.url, "TASKWEIR_API_KEY": API_KEY})
        ours, theirs = root("keys", "list"), root("keys", "--tenant", "acme")
    assert (ours.code, ours.out, theirs.code, theirs.out) == (0, "", 0, "")
    assert "no API keys of the tenant default; --tenant NAME" in ours.err
    assert "no API keys of the tenant acme; " in theirs.err
