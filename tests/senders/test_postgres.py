"""A log in a PostgreSQL of the user's: its rows, its view, what is made, what one row may do to the others."""

import asyncio
from datetime import UTC, datetime

import psycopg
import pytest

from receiver import formats
from receiver.domain import EventType, Kind, Output, Role, Status, Usage
from receiver.store.records import Parcel
from tests.raw_servers import RawServer, raw_server
from tests.senders.remotely import a_place, a_remote, an_owed, arrives, attempts, error_of, ids
from tests.senders.servers import USER, Postgres
from tests.service.world import soon

pytestmark = pytest.mark.anyio


@pytest.fixture
def running(user_postgres: Postgres) -> Postgres:
    return user_postgres


def a_success(seq: int, task_id: str = "task_1", url: str = "https://files.example/1.mp4") -> Parcel:
    return an_owed(
        seq,
        type=EventType.SUCCEEDED,
        id=task_id,
        status=Status.SUCCEEDED,
        outputs=(Output(kind=Kind.VIDEO, role=Role.MAIN, index=0, url=url, expires_at=None),),
        usage=Usage(amount=12.5, unit="credits", phase="charged"),
    )


async def test_a_row_has_the_columns_of_the_sqlite_log(server: Postgres) -> None:
    """In PostgreSQL's own types."""
    async with a_remote("postgres") as sender:
        await arrives(sender, a_place("postgres", server.url()), a_success(7))
    [row] = server.query("SELECT * FROM taskweir.events")
    assert list(row) == list(formats.LOG_COLUMNS)
    wanted = {
        "seq": 7,
        "id": "evt_7",
        "type": "task.succeeded",
        "timestamp": datetime(2025, 12, 8, 9, 40, tzinfo=UTC),
        "prompt": "a red panda",
        "output_url": "https://files.example/1.mp4",
        "credits": 12.5,
        "late": False,
        "metadata": {"order": "42"},
    }
    assert {name: row[name] for name in wanted} == wanted
    assert row["outputs"][0]["url"] == "https://files.example/1.mp4"
    assert row["data"]["task"]["status"] == "succeeded"


async def test_a_view_has_the_latest_of_each_task(server: Postgres) -> None:
    """By seq, in whatever order they arrived; operators' events are of no task."""
    place = a_place("postgres", server.url())
    async with a_remote("postgres") as sender:
        await arrives(sender, place, a_success(3), an_owed(4, id="task_2"))
        await arrives(sender, place, an_owed(1))
    found = server.query("SELECT task_id, status, seq, credits, created_at FROM taskweir.tasks ORDER BY task_id")
    created = datetime(2025, 12, 8, 9, 40, tzinfo=UTC)
    assert found == [
        {"task_id": "task_1", "status": "succeeded", "seq": 3, "credits": 12.5, "created_at": created},
        {"task_id": "task_2", "status": "submitted", "seq": 4, "credits": None, "created_at": created},
    ]


async def test_one_row_per_event_whatever_is_sent_again(server: Postgres) -> None:
    """Alone, within a batch, by two destinations at once; the first one stays as it is."""
    places = [a_place("postgres", server.url(), id=f"dst_{number}") for number in range(2)]
    parcels = [an_owed(seq) for seq in range(1, 201)]
    async with a_remote("postgres") as sender:
        await asyncio.gather(*(arrives(sender, place, *parcels, parcels[0]) for place in places))
        await arrives(sender, places[0], parcels[5])
    assert ids(await server.got()) == [f"evt_{seq}" for seq in range(1, 201)]


async def test_what_postgresql_cannot_keep_is_written_without_it(server: Postgres) -> None:
    """A NUL, wherever a provider put one; what only looks like one stays."""
    place = a_place("postgres", server.url())
    async with a_remote("postgres") as sender:
        await arrives(sender, place, an_owed(1, prompt="a\0b", metadata={"order": "\0", "path": "\\u0000"}))
    [row] = server.query("SELECT prompt, metadata FROM taskweir.events")
    assert row == {"prompt": "a\ufffdb", "metadata": {"order": "\ufffd", "path": "\\u0000"}}


async def test_one_bad_row_does_not_keep_the_others_out(server: Postgres) -> None:
    """It alone fails, and says why."""
    place = a_place("postgres", server.url())
    async with a_remote("postgres") as sender:
        await arrives(sender, place, an_owed(1))
        with psycopg.connect(server.admin, autocommit=True) as connection:
            connection.execute("ALTER TABLE taskweir.events ADD CHECK (model <> 'unwanted')")
        made = await attempts(sender, place, an_owed(2), an_owed(3, model="unwanted"), an_owed(4))
    assert [each.error is None for each in made] == [True, False, True]
    assert made[1].error is not None
    assert made[1].error.startswith("the row cannot be written: ")
    assert ids(await server.got()) == ["evt_1", "evt_2", "evt_4"]


async def test_what_a_user_drops_stays_dropped_and_his_own_stays(server: Postgres) -> None:
    """A view of his in the place of ours, a column more: a new connection makes nothing anew."""
    place = a_place("postgres", server.url())
    async with a_remote("postgres") as sender:
        await arrives(sender, place, an_owed(1))
    with psycopg.connect(server.admin, autocommit=True) as connection:
        connection.execute(
            "DROP VIEW taskweir.tasks; ALTER TABLE taskweir.events ADD COLUMN seen boolean DEFAULT false"
        )
    async with a_remote("postgres") as sender:
        await arrives(sender, place, an_owed(2))
    assert ids(await server.got()) == ["evt_1", "evt_2"]
    assert server.query("SELECT to_regclass('taskweir.tasks') AS view") == [{"view": None}]


ON_UVLOOP = pytest.mark.parametrize("anyio_backend", [("asyncio", {"use_uvloop": True})], ids=["uvloop"])
WAITING = (
    "SELECT count(*) AS count FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name = 'taskweir'"
)


@ON_UVLOOP
async def test_what_is_under_way_when_the_url_is_changed_ends_as_it_began(server: Postgres) -> None:
    """Its connection is closed after it: to close a socket that is waited on ends a process on uvloop."""
    place, moved = (a_place("postgres", f"{server.url()}?schema={name}") for name in ("taskweir", "taskweir_two"))
    async with a_remote("postgres") as sender:
        await arrives(sender, place, an_owed(1))
        with psycopg.connect(server.admin) as holder:
            holder.execute("LOCK TABLE taskweir.events IN ACCESS EXCLUSIVE MODE")
            under_way = asyncio.ensure_future(arrives(sender, place, an_owed(2)))
            await soon(lambda: server.query(WAITING) == [{"count": 1}])
            await arrives(sender, moved, an_owed(3))
            assert not under_way.done()
        await under_way
        await soon(lambda: not sender._ending)
    assert ids(await server.got()) == ["evt_1", "evt_2"]
    with psycopg.connect(server.admin, autocommit=True) as connection:
        connection.execute("DROP SCHEMA taskweir_two CASCADE")


@ON_UVLOOP
async def test_a_table_that_somebody_holds_locked(server: Postgres) -> None:
    """Each attempt ends in its time, and what is repeated once it is free arrives."""
    place = a_place("postgres", server.url())
    async with a_remote("postgres") as sender:
        await arrives(sender, place, an_owed(1))
        with psycopg.connect(server.admin) as holder:
            holder.execute("LOCK TABLE taskweir.events IN ACCESS EXCLUSIVE MODE")
            sender.longest_attempt_s = 0.2
            for seq in range(2, 5):
                both = (error_of(sender, place, an_owed(seq)) for _ in range(2))
                assert set(await asyncio.gather(*both)) <= {"no answer within 0.2 s", "no connection within 0.2 s"}
        sender.longest_attempt_s = 10
        await arrives(sender, place, an_owed(2), an_owed(3))
    assert ids(await server.got())[:3] == [
        "evt_1",
        "evt_2",
        "evt_3",
    ]  # the last may have arrived, though nobody said so


async def test_a_table_that_is_gone_is_made_again(server: Postgres) -> None:
    """On the next attempt: this one fails, and says what is missing."""
    place = a_place("postgres", server.url())
    async with a_remote("postgres") as sender:
        await arrives(sender, place, an_owed(1))
        await server.empty()
        assert "does not exist" in await error_of(sender, place, an_owed(2))
        await arrives(sender, place, an_owed(2))
    assert ids(await server.got()) == ["evt_2"]


async def test_who_may_not_make_a_schema_is_told_what_to_run(server: Postgres) -> None:
    """Once somebody did, he needs no more than that schema; its name is the URL's."""
    with psycopg.connect(server.admin, autocommit=True) as connection:
        connection.execute(f"REVOKE CREATE ON DATABASE shop FROM {USER}".encode())
        connection.execute("DROP SCHEMA IF EXISTS films")
        place = a_place("postgres", f"{server.url()}?schema=films")
        async with a_remote("postgres") as sender:
            remedy = "let its owner run CREATE SCHEMA films AUTHORIZATION …, with the URL's user"
            assert (await error_of(sender, place)).endswith(remedy)
            connection.execute(f"CREATE SCHEMA films AUTHORIZATION {USER}".encode())
            await arrives(sender, place)
        connection.execute(f"DROP SCHEMA films CASCADE; GRANT CREATE ON DATABASE shop TO {USER}".encode())


async def test_nothing_of_the_operators_goes_along(monkeypatch: pytest.MonkeyPatch) -> None:
    """His PGPASSWORD and PGUSER are for his own database, not for whoever's server a URL names."""
    monkeypatch.setenv("PGPASSWORD", "the-operators-own")
    monkeypatch.setenv("PGUSER", "operator")
    heard: list[bytes] = []

    async def ask(_: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read(4096))
        writer.write(b"R\0\0\0\x08\0\0\0\x03")  # "your password, please, as it is"
        heard.append(await reader.read(4096))

    async with raw_server(ask) as server, a_remote("postgres") as sender:
        _, _, port = server.url("").rstrip("/").rpartition(":")
        place = a_place("postgres", f"postgresql://{USER}@127.0.0.1:{port}/shop?sslmode=disable")
        assert "password" in await error_of(sender, place)
    assert USER.encode() in heard[0]
    assert b"operator" not in b"".join(heard)
