"""`taskweir doctor`: each misconfiguration is planted as it happens, and found with its remedy."""

import json
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from email.utils import formatdate
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from receiver.cli.checkup import accounts, disk
from receiver.cli.checkup.findings import State
from receiver.sealing import Seal
from receiver.store.sqlite import migrate_file, newest_version
from tests.cli.driving import Cli
from tests.cli.stub import HANG_UP, answer, stub
from tests.postgres_server import PostgresServer
from tests.service.world import free_port

NO_SUCH_TASK = {"error": {"code": 40400, "message": "Task not found"}}
KEY = "0123456789abcdef"
SECRET = "s" * 32


@pytest.fixture
def healthy(tmp_path: Path) -> dict[str, str]:
    """Settings that nothing is wrong with, but that no provider is configured."""
    return {
        "TASKWEIR_DATA_DIR": str(tmp_path),
        "TASKWEIR_DATABASE_URL": f"sqlite:///{tmp_path}/taskweir.db",
        "TASKWEIR_API_KEY": KEY,
        "TASKWEIR_SECRET_KEY": SECRET,
        "TASKWEIR_PORT": str(free_port()),
    }


def found(settings: Mapping[str, str], **more: str) -> dict[str, list[tuple[str, str, str]]]:
    """What is found: by its state, the check, the text and the remedy of each; the exit status fits."""
    result = Cli(settings=settings)("doctor", "--json", **more)
    by_state: dict[str, list[tuple[str, str, str]]] = {state.value: [] for state in State}
    for each in result.json:
        by_state[each["state"]].append((each["check"], each["text"], each["remedy"]))
    assert result.code == (1 if by_state["wrong"] else 0)
    return by_state


def the_one_wrong(settings: Mapping[str, str], **more: str) -> tuple[str, str, str]:
    """The only thing that is wrong."""
    [wrong] = found(settings, **more)["wrong"]
    return wrong


@contextmanager
def reapi(*answers: bytes) -> Iterator[dict[str, str]]:
    """Settings for reAPI, played by a stub."""
    with stub(answers) as server:
        yield {"TASKWEIR_REAPI_API_KEY": "any", "TASKWEIR_REAPI_BASE_URL": server.url}


def dated(seconds_ago: float) -> bytes:
    """The provider's answer about no task, with its own clock."""
    date = formatdate(time.time() - seconds_ago, usegmt=True)
    return answer(404, NO_SUCH_TASK).replace(b"\r\n\r\n", f"\r\nDate: {date}\r\n\r\n".encode(), 1)


def test_where_nothing_is_wrong_it_says_so(server: dict[str, str]) -> None:
    """Beside a running server: its port, its store and its public URL are seen to be its own."""
    url, directory = server["TASKWEIR_URL"], server["TASKWEIR_DATA_DIR"]
    sealed = Cli(settings=server)("destinations", "add", "http://127.0.0.1:9/", "--events", "task.expired", "--json")
    ours = {
        "TASKWEIR_DATABASE_URL": f"sqlite:///{directory}/taskweir.db",
        "TASKWEIR_PUBLIC_URL": url,
        "TASKWEIR_PORT": url.rpartition(":")[2],
    }
    with reapi(dated(0)) as provider:
        settings = {**server, **ours, **provider}
        looked = found(settings)
        told = {check: text for check, text, _ in looked["ok"]}
        named = ("settings", "disk", "store", "secrets", "clock", "reapi", "server", "TASKWEIR_URL", "public URL")
        assert told.keys() == set(named)
        assert (looked["wrong"], looked["skipped"]) == ([], [])
        assert "comes back to a server with our key" in told["public URL"]
        assert "knows our API key" in told["server"]
        assert f"schema {newest_version()}" in told["store"]
        people = Cli(settings=settings)("doctor")
    Cli(settings=server)("destinations", "delete", sealed.json["id"])
    assert (people.code, "nothing wrong" in people.err) == (0, True)
    assert any(line.split()[:2] == ["ok", "store"] for line in people.lines)


def test_looking_leaves_nothing_behind(tmp_path: Path) -> None:
    """No key, no database, no directory."""
    directory = tmp_path / "not" / "yet"
    looked = found({"TASKWEIR_DATA_DIR": str(directory), "TASKWEIR_PORT": str(free_port())})
    assert looked["wrong"] == []
    assert list(tmp_path.iterdir()) == []


def test_a_short_api_key(healthy: dict[str, str]) -> None:
    """1: with the command that makes a longer one; the rest is looked at all the same, and the key is not told."""
    looked = found(healthy, TASKWEIR_API_KEY="tooshort!")
    [(check, text, remedy)] = looked["wrong"]
    assert (check, text) == ("settings", "TASKWEIR_API_KEY has 9 characters")
    assert "Use 16 or more: python3 -c" in remedy
    assert {"store", "disk", "server"} <= {check for check, _, _ in looked["ok"]}
    assert "tooshort!" not in str(looked)


def test_postgresql_without_a_secret_key_and_out_of_reach(healthy: dict[str, str]) -> None:
    """2 and 3: each with its remedy, neither hides the other; no password is told."""
    del healthy["TASKWEIR_SECRET_KEY"]
    url = f"postgresql://weaver:canary@127.0.0.1:{free_port()}/taskweir"
    wrong = found(healthy, TASKWEIR_DATABASE_URL=url)["wrong"]
    assert [check for check, _, _ in wrong] == ["settings", "store"]
    assert "TASKWEIR_SECRET_KEY is unset" in wrong[0][1]
    assert "Set it everywhere to one value" in wrong[0][2]
    assert "PostgreSQL cannot be reached" in wrong[1][1]
    assert "Start it, or set TASKWEIR_DATABASE_URL" in wrong[1][2]
    assert "canary" not in str(wrong)


def test_a_store_that_was_not_migrated(healthy: dict[str, str], tmp_path: Path) -> None:
    """4: where a start will not do it; one that a newer program wrote cannot be used at all."""
    migrate_file(tmp_path / "taskweir.db", now=0)
    with closing(sqlite3.connect(tmp_path / "taskweir.db")) as database, database:
        database.execute("DELETE FROM schema_migrations WHERE version > 3")
    assert found(healthy)["wrong"] == []
    check, text, remedy = the_one_wrong(healthy, TASKWEIR_MIGRATE="0")
    assert (check, "has schema 3" in text, "taskweir migrate" in remedy) == ("store", True, True)
    with closing(sqlite3.connect(tmp_path / "taskweir.db")) as database, database:
        database.execute("INSERT INTO schema_migrations (version, at) VALUES (999, 0)")
    assert "upgrade" in the_one_wrong(healthy)[2]


def test_a_store_that_is_none(healthy: dict[str, str], tmp_path: Path) -> None:
    """Another program's database, or a file that is no database."""
    with closing(sqlite3.connect(tmp_path / "taskweir.db")) as database, database:
        database.execute("CREATE TABLE notes (text TEXT)")
    check, text, remedy = the_one_wrong(healthy)
    assert (check, "somebody else's" in text) == ("store", True)
    assert "Point TASKWEIR_DATABASE_URL" in remedy
    (tmp_path / "taskweir.db").write_bytes(b"\x89PNG" * 1000)
    assert "cannot be read" in the_one_wrong(healthy)[1]


def test_a_secret_key_that_sealed_nothing(healthy: dict[str, str], tmp_path: Path) -> None:
    """5: what was sealed with another one cannot be signed for."""
    migrate_file(tmp_path / "taskweir.db", now=0)
    sealed = Seal(["another-key-" * 4]).seal("whsec_x", row="dst_1")
    with closing(sqlite3.connect(tmp_path / "taskweir.db")) as database, database:
        database.execute("INSERT INTO tenant_secrets (tenant, sealed_secret) VALUES ('default', ?)", [sealed])
    check, text, remedy = the_one_wrong(healthy)
    assert (check, text[:33]) == ("secrets", "1 of 1 secrets were sealed with a")
    assert "back into TASKWEIR_SECRET_KEY" in remedy
    del healthy["TASKWEIR_SECRET_KEY"]
    assert "the key that sealed them is not here" in the_one_wrong(healthy)[1]


def test_a_data_directory_that_cannot_be_written_to(healthy: dict[str, str], tmp_path: Path) -> None:
    """6: here a file stands in its way."""
    (tmp_path / "file").touch()
    check, text, remedy = the_one_wrong(healthy, TASKWEIR_DATA_DIR=str(tmp_path / "file" / "data"))
    assert (check, "Not a directory" in text, "TASKWEIR_DATA_DIR" in remedy) == ("disk", True, True)


def test_a_misspelt_variable(healthy: dict[str, str]) -> None:
    """7: with the name that is probably meant, and never its value."""
    check, text, remedy = the_one_wrong(healthy, TASKWEIR_PUBLIC_UR="canary")
    assert (check, text) == ("settings", "TASKWEIR_PUBLIC_UR is set, and nothing reads it")
    assert remedy == "TASKWEIR_PUBLIC_URL is probably meant: rename it."


def test_a_signature_that_the_provider_does_not_give(healthy: dict[str, str]) -> None:
    """Found with the settings, as `settings` finds it; the account's key is tried all the same."""
    with reapi(dated(0)) as provider:
        looked = found({**healthy, **provider}, TASKWEIR_REAPI_TRUST="signature")
    [(check, text, remedy)] = looked["wrong"]
    assert (check, "does not sign" in text, remedy) == ("settings", True, "Use poll (the default) or token.")
    assert "reapi" in {check for check, _, _ in looked["ok"]}


def test_a_key_that_its_provider_refuses(healthy: dict[str, str]) -> None:
    """8: in the provider's words."""
    with reapi(answer(401, {"error": {"code": 10003, "message": "Invalid API key"}})) as provider:
        check, text, remedy = the_one_wrong({**healthy, **provider})
    assert (check, text.endswith("refuses our key: Invalid API key")) == ("reapi", True)
    assert remedy.startswith("Set TASKWEIR_REAPI_API_KEY")


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (answer(404, "<html>", kind="text/html"), "is not reapi"),
        (answer(502, "<html>", kind="text/html"), "fails: HTTP 502"),
        (HANG_UP, "does not answer (RemoteProtocolError)"),
    ],
)
def test_a_base_url_that_leads_elsewhere(healthy: dict[str, str], said: bytes, told: str) -> None:
    """9: whatever answers there, if anything does, is not the provider."""
    with reapi(said) as provider:
        check, text, remedy = the_one_wrong({**healthy, **provider})
    assert (check, told in text, "TASKWEIR_REAPI_BASE_URL" in remedy) == ("reapi", True, True)


def test_a_clock_that_is_wrong(healthy: dict[str, str]) -> None:
    """10: against the provider's own; where another clock agrees with ours, it is the provider's that is wrong."""
    with reapi(dated(seconds_ago=3600)) as provider:
        check, text, remedy = the_one_wrong({**healthy, **provider})
    assert (check, "60 min ahead of" in text, "NTP" in remedy) == ("clock", True, True)
    assert accounts.clock([3600.0, -2.0]).state is State.OK


def test_a_port_that_is_taken(healthy: dict[str, str], server: dict[str, str]) -> None:
    """11: by something else, or by another Taskweir."""
    with stub([answer(200, "hello", kind="text/plain")]) as other:
        check, text, remedy = the_one_wrong(healthy, TASKWEIR_PORT=str(urlsplit(other.url).port))
    assert (check, "not Taskweir" in text, "TASKWEIR_PORT" in remedy) == ("server", True, True)
    port = server["TASKWEIR_URL"].rpartition(":")[2]
    assert "it is another one" in the_one_wrong(healthy, TASKWEIR_PORT=port)[1]
    assert "cannot be listened on" in the_one_wrong(healthy, TASKWEIR_HOST="192.0.2.1")[1]


@pytest.mark.parametrize(
    ("said", "told", "remedy"),
    [
        (HANG_UP, "nothing answers", "Start the server"),
        (answer(200, "hello"), "it is not us", "lead to this server"),
        (answer(404, "no"), "another server", "every path"),
        (answer(301, ""), "answers 301", "where it redirects to"),
    ],
)
def test_a_public_url_that_does_not_come_back(healthy: dict[str, str], said: bytes, told: str, remedy: str) -> None:
    """12: only a server that knows what it signed from what it did not is us."""
    with stub([said]) as other:
        wrong = the_one_wrong(healthy, TASKWEIR_PUBLIC_URL=other.url)
    assert (wrong[0], told in wrong[1], remedy in wrong[2]) == ("public URL", True, True)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://localhost:8080", "of our own network"),
        ("https://10.0.0.8", "of our own network"),
        ("http://tasks.example.com", "is not https"),
    ],
)
def test_a_public_url_that_no_provider_reaches(healthy: dict[str, str], url: str, told: str) -> None:
    """13: judged by its looks, where a provider that calls back is not on this machine."""
    account = {"TASKWEIR_APIKLEY_API_KEY": "any", "TASKWEIR_APIKLEY_BASE_URL": "https://apikley.invalid"}
    wrong = {
        check: (text, remedy) for check, text, remedy in found(healthy, TASKWEIR_PUBLIC_URL=url, **account)["wrong"]
    }
    assert wrong.keys() == {"apikley", "public URL"}
    assert told in wrong["public URL"][0]
    assert "TASKWEIR_PUBLIC_URL=https://" in wrong["public URL"][1]


def test_serverless_as_it_should_not_be(healthy: dict[str, str]) -> None:
    """14: SQLite where no file is kept is wrong; whoever ticks with the root key is only warned."""
    check, text, remedy = the_one_wrong(healthy, TASKWEIR_MODE="serverless", VERCEL="1")
    assert (check, "Vercel keeps no files" in text, "postgresql://" in remedy) == ("settings", True, True)
    [told] = [each for each in found(healthy, TASKWEIR_MODE="serverless")["warning"] if each[0] == "settings"]
    assert ("TASKWEIR_CRON_SECRET is unset" in told[1], "Set TASKWEIR_CRON_SECRET" in told[2]) == (True, True)


def test_a_disk_that_is_nearly_full() -> None:
    """15: by what is left of it."""
    states = [disk._room(Path("/data"), free * disk.MIB).state for free in (99, 500, 5000)]
    assert states == [State.WRONG, State.WARNING, State.OK]


def test_commands_that_go_nowhere(healthy: dict[str, str]) -> None:
    """16: TASKWEIR_URL names no server."""
    check, text, _ = the_one_wrong(healthy, TASKWEIR_URL=f"http://127.0.0.1:{free_port()}")
    assert (check, "no server answers" in text) == ("TASKWEIR_URL", True)


def test_before_the_first_start_nothing_is_wrong(tmp_path: Path) -> None:
    """No key is there yet, nor a server at TASKWEIR_URL that could have another: a start makes both."""
    settings = {
        "TASKWEIR_DATA_DIR": str(tmp_path),
        "TASKWEIR_PORT": str(free_port()),
        "TASKWEIR_URL": f"http://127.0.0.1:{free_port()}",
    }
    looked = found(settings)
    [told] = [text for check, text, _ in looked["ok"] if check == "TASKWEIR_URL"]
    assert (looked["wrong"], list(tmp_path.iterdir())) == ([], [])
    assert told.endswith("and there is no API key yet: the first start makes it")


def test_a_server_whose_key_is_not_here(tmp_path: Path, server: dict[str, str]) -> None:
    """Where one answers at TASKWEIR_URL, or that is no address, no start makes the key that is missing."""
    settings = {"TASKWEIR_DATA_DIR": str(tmp_path), "TASKWEIR_PORT": str(free_port())}
    check, text, remedy = the_one_wrong(settings, TASKWEIR_URL=server["TASKWEIR_URL"])
    assert (check, text[:27]) == ("TASKWEIR_URL", "TASKWEIR_API_KEY is not set")
    assert remedy.startswith("Set TASKWEIR_API_KEY, or TASKWEIR_DATA_DIR")
    assert the_one_wrong(settings, TASKWEIR_URL="ftp://x")[1] == "TASKWEIR_URL is 'ftp://x'"


def test_what_is_wrong_is_told_to_people(healthy: dict[str, str]) -> None:
    """The remedy stands below it; exit status 1."""
    result = Cli(settings=healthy)("doctor", TASKWEIR_PORT="http")
    assert result.code == 1
    at = next(number for number, line in enumerate(result.lines) if line.startswith("wrong"))
    assert "TASKWEIR_PORT is 'http'" in result.lines[at]
    assert result.lines[at + 1].strip() == "Set TASKWEIR_PORT to a whole number."
    assert "1 wrong" in result.err


def test_a_postgresql_is_looked_into_too(healthy: dict[str, str], postgres_server: PostgresServer) -> None:
    """Its schema, what is sealed in it, and its clock; a SQLite log's directory is not needed there."""
    url = postgres_server.make_database("doctor")
    healthy["TASKWEIR_DATABASE_URL"] = url
    [told] = [text for check, text, _ in found(healthy)["ok"] if check == "store"]
    assert told.startswith("PostgreSQL has schema 0; the next start brings it to ")
    assert "taskweir migrate" in the_one_wrong(healthy, TASKWEIR_MIGRATE="0")[2]
    assert Cli(settings=healthy)("migrate").code == 0
    sealed = Seal(["another-key-" * 4]).seal("whsec_x", row="tenant:default")
    headers = json.dumps({"x-team": Seal([SECRET]).seal("ours", row="dst_1")})
    with psycopg.connect(url) as database:
        database.execute("INSERT INTO tenant_secrets (tenant, sealed_secret) VALUES ('default', %s)", [sealed])
        database.execute(
            "INSERT INTO destinations (id, tenant, type, target, created_at, event_types, format, description, "
            "max_in_flight, enabled, hidden, sealed_secret, headers) "
            "VALUES ('dst_1', 'default', 'webhook', 'http://x/', 0, '[]', 'standard', '', 1, 1, 0, '', %s)",
            [headers],
        )
    looked = found(healthy)
    [(check, text, _)] = looked["wrong"]
    assert (check, text[:16]) == ("secrets", "1 of 2 secrets w")
    assert ("clock", "within 1 s of others'") in {(check, text) for check, text, _ in looked["ok"]}
