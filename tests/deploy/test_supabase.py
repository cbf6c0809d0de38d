"""Supabase's SQL on a real PostgreSQL, with stand-ins for what only Supabase has."""

import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg.rows import dict_row

from receiver.store.postgres_schema import bring_up_to_date
from tests.deploy.files import DEPLOY
from tests.postgres_server import SUPERUSER, PostgresServer

SETUP, TICK = ((DEPLOY / "supabase" / f"{name}.sql").read_text() for name in ("setup", "tick"))
ROLE = "of_supabase"  # the test's own server has one that is called taskweir
# As pg_cron 1.6, pg_net 0.14 and Supabase's vault declare them; what they are asked is kept.
STAND_INS = """
create schema cron; create schema net; create schema vault;
create table cron.job (jobname text primary key, schedule text, command text);
create table cron.job_run_details (end_time timestamptz);
create function cron.schedule(job_name text, schedule text, command text) returns bigint language sql as
  $$ insert into cron.job values (job_name, schedule, command)
     on conflict (jobname) do update set schedule = excluded.schedule, command = excluded.command
     returning 1::bigint $$;
create table vault.decrypted_secrets (name text unique, decrypted_secret text);
create function vault.create_secret(new_secret text, new_name text default null, new_description text default '',
  new_key_id uuid default null) returns uuid language sql as
  $$ insert into vault.decrypted_secrets values (new_name, new_secret) returning gen_random_uuid() $$;
create table net.asked (url text, body jsonb, params jsonb, headers jsonb, timeout_milliseconds int);
create function net.http_post(url text, body jsonb default '{}', params jsonb default '{}',
  headers jsonb default '{"Content-Type": "application/json"}', timeout_milliseconds int default 5000)
  returns bigint language sql as
  $$ insert into net.asked values (url, body, params, headers, timeout_milliseconds) returning 1::bigint $$;
"""


@pytest.fixture
def supabase(postgres_server: PostgresServer, tmp_path: Path) -> str:
    """A database of its own."""
    return postgres_server.make_database(f"supabase_{tmp_path.name}")


def test_everything_is_made_in_a_schema_of_its_own(supabase: str) -> None:
    """By the role that the setup makes, without a word about a schema in the URL; `public` stays empty."""
    ours = SETUP.replace("role taskweir ", f"role {ROLE} ").replace("to taskweir;", f"to {ROLE};")
    with psycopg.connect(supabase, autocommit=True) as admin:
        admin.execute(ours.encode())
        try:
            assert bring_up_to_date(supabase.replace(f"{SUPERUSER}@", f"{ROLE}@", 1), now=0) != []
            tables = admin.execute(
                "SELECT schemaname, count(*) FROM pg_tables WHERE schemaname IN ('public', 'taskweir') GROUP BY 1"
            ).fetchall()
        finally:
            admin.execute(f"DROP SCHEMA taskweir CASCADE; DROP ROLE {ROLE}".encode())
    [(schema, count)] = tables
    assert schema == "taskweir"
    assert count > 5


def test_the_heartbeat_calls_us(supabase: str) -> None:
    """Every five seconds, with the secret as bearer, for no longer than it waits for the answer."""
    made = TICK.replace("https://tasks.example.com", "https://our.example").replace("CRON SECRET", "a-secret")
    made = re.sub("create extension if not exists pg_(cron|net);\n", "", made)
    assert "extension" not in made
    with psycopg.connect(supabase, autocommit=True, row_factory=dict_row) as admin:
        admin.execute(STAND_INS.encode())
        admin.execute(made.encode())
        jobs = {job["jobname"]: job for job in admin.execute("SELECT * FROM cron.job")}
        assert jobs["taskweir-tick"]["schedule"] == "5 seconds"
        for job in jobs.values():
            admin.execute(job["command"].encode())
        [asked] = admin.execute("SELECT * FROM net.asked").fetchall()
    held: dict[str, Any] = asked
    url = urlsplit(held["url"])
    assert (url.netloc, url.path) == ("our.example", "/internal/tick")
    assert held["headers"] == {"Authorization": "Bearer a-secret"}
    assert int(url.query.removeprefix("budget_ms=")) < held["timeout_milliseconds"]
